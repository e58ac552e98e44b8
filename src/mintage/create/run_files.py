"""What a run's folder holds as JSON, read with care: people copy, cut and edit such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mintage.core.errors import DataError
from mintage.core.files import read_whole
from mintage.core.messages import _

RECIPE_FILE, RECORD_FILE = "recipe.json", "run.json"


def read_run_file(folder: Path, name: str) -> dict[str, Any]:
    """One of a run's files.

    Raises:
        DataError: it is gone or damaged.
    """
    try:
        found = json.loads(read_whole(folder / name))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, name) from error
    if not isinstance(found, dict):
        raise _damaged(folder, name)
    return found


def seconds_used(folder: Path) -> float:
    """How long a run took from its last beginning, when its recipe is written, to its last sign."""
    written = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
    try:
        return max(0.0, max(written) - (folder / RECIPE_FILE).stat().st_mtime)
    except FileNotFoundError:
        return 0.0


def _damaged(folder: Path, name: str) -> DataError:
    return DataError(
        _("The file {file} of the run {run} is missing or damaged.", file=name, run=folder.name),
        remedy=_("Restore it from a backup, or train again; the model itself is not concerned."),
    )
