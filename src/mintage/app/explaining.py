"""Explanations as files: one picture each, in a folder that may hold other things."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from mintage.bundle.occlusion import where
from mintage.bundle.overlay import is_ours, overlay_png, readable
from mintage.bundle.predictor import Explanation
from mintage.core.errors import ConfigError
from mintage.core.files import readable_failures, write_atomic
from mintage.core.messages import _
from mintage.sources.listing import well_formed

_ENDING = ".explained.png"
_LONGEST = 50
_BEGINNING = 256
_DECIMALS = 6


class Drawings:
    """Draws explanations into one folder; no two of one command share a file."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, if it is not there.

        Raises:
            ConfigError: there is a file in its place, or it may not be written.
        """
        if folder.exists() and not folder.is_dir():
            raise ConfigError(
                _("{folder} is not a folder.", folder=folder),
                remedy=_("Name the folder that the drawings are to be written to."),
            )
        with readable_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._written: set[Path] = set()

    def draw(self, path: Path, data: bytes, explanation: Explanation) -> dict[str, Any]:
        """Write the drawing for one input; the answer's ``explanation`` as JSON.

        Where the model abstains there is none, but the reason.

        Raises:
            ConfigError: it may not be written.
        """
        if explanation.map is None:
            return {"file": None, "where": None, "drop": None, "reason": explanation.reason}
        target = self._free(path)
        write_atomic(target, overlay_png(readable(data), explanation.map), durable=False)
        self._written.add(target)
        return {
            "file": str(target),
            "where": where(explanation.map),
            "drop": round(float(explanation.map.max()), _DECIMALS),
        }

    def _free(self, path: Path) -> Path:
        """A name by the input's, that nothing has but a drawing of an earlier command."""
        return next(
            target
            for target in _names(self._folder, well_formed(path.stem)[:_LONGEST])
            if target not in self._written and _may_replace(target)
        )


def _names(folder: Path, stem: str) -> Iterator[Path]:
    """``cat.explained.png``, ``cat-2.explained.png`` and so on."""
    yield folder / (stem + _ENDING)
    for number in count(2):
        yield folder / f"{stem}-{number}{_ENDING}"


def _may_replace(target: Path) -> bool:
    try:
        with target.open("rb") as stream:
            return is_ours(stream.read(_BEGINNING))
    except FileNotFoundError:
        return not target.is_symlink()
    except OSError:  # whatever it is, it is not ours
        return False
