"""Demo: the command; what it does is in ``showcase``, which loads the server and the drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End by itself, in a terminal too.")] = False,
    folder: Annotated[
        Path, typer.Option(help="Where drawings and workspace go; may be deleted afterwards.")
    ] = Path("mintage-demo"),
    seconds: Annotated[
        float, typer.Option("--train-seconds", min=20, help="The time for both candidates.")
    ] = 60.0,
    drawings: Annotated[int, typer.Option(min=120, help="How many drawings.")] = 1200,
) -> None:
    """The whole way once: draw cats and dogs, train, sign, publish, serve, sell one answer."""
    from mintage.cli.showcase import show  # noqa: PLC0415 - the server takes half a second to load

    show(folder, once=once, seconds=seconds, drawings=drawings)
