"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.root import App
from mintage.core.settings import load_settings

Home = Annotated[
    Path | None,
    typer.Option("--home", help="The workspace's folder. (default: $MINTAGE_HOME or ./.mintage)"),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@contextmanager
def opened(home: Path | None, *, make: bool = False, **settings: Any) -> Iterator[App]:
    """The workspace, closed again whatever happens; only what fills it may ``make`` it."""
    with App(load_settings(home=home, **settings), make=make) as app:
        yield app
