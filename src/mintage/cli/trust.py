"""Trust: verify."""

from __future__ import annotations

from typing import Annotated

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line


def verify(
    model: Annotated[str, typer.Argument(help="A model (pets@3) or the folder of a bundle.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Check that every byte, name and file of a bundle is what was signed; else exit 3."""
    with opened(home) as app:
        bundle = app.create.model(model)
    if as_json:
        files = sorted(bundle.files)
        emit({"model": bundle.subject, "bundle_digest": bundle.digest, "files": files})
    else:
        line(f"{bundle.subject} is as it was signed: {len(bundle.files)} files, {bundle.digest}")
