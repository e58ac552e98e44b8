"""Score: every picture of a folder, zip or table, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import TerminalProgress, emit, line, table, warn
from mintage.core.messages import _


def score(
    source: Annotated[
        str,
        typer.Argument(help="A folder or zip of pictures, sorted or not, or a table of paths."),
    ],
    *,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model: pets, pets@latest or pets@3.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table to write: .csv, .jsonl or .parquet.")
    ],
    label: Annotated[
        str | None,
        typer.Option(help="A table's column with the true label. (default: label, if it is there)"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table, or rows of another run.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask a model about every picture of a folder, zip or table: a row each, in one table.

    Run it again after an interruption, and it goes on where it was.
    """
    with opened(home) as app, TerminalProgress() as progress:
        done = app.deliver.score(source, model, out, label=label, force=force, progress=progress)
    if done["unreadable"]:
        warn(
            _(
                "{count:,} of {rows:,} could not be read; the column error says why.",
                count=done["unreadable"],
                rows=done["rows"],
            )
        )
    if as_json:
        emit(done)
    else:
        _show(done)


def _show(done: Mapping[str, Any]) -> None:
    line(
        _(
            "{path}: {rows:,} rows, by {model}",
            path=done["path"],
            rows=done["rows"],
            model=done["model"],
        )
    )
    counts = [
        *done["labels"].items(),
        (_("no label"), done["abstained"]),
        (_("unreadable"), done["unreadable"]),
    ]
    table((_("answer"), _("rows")), [(name, f"{n:,}") for name, n in counts], numbers=1)
