"""Trust: verify, public-key, log."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line
from mintage.core.messages import _


class Role(StrEnum):
    """What a signing key signs."""

    DATA = "data"
    BUNDLE = "bundle"
    RECEIPT = "receipt"
    LOG = "log"


def verify(
    model: Annotated[str, typer.Argument(help="A model (pets@3) or the path of a bundle.")],
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
        line(
            _(
                "{subject} is as it was signed: {count} files, {digest}",
                subject=bundle.subject,
                count=len(bundle.files),
                digest=bundle.digest,
            )
        )


def public_key(
    role: Annotated[Role, typer.Argument(help="What the key signs.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the public half of a signing key, for those who check what it signed."""
    with opened(home) as app:
        signer = app.keys.signer(role.value)
    if as_json:
        emit({"role": role, "key_id": signer.key_id, "pem": signer.public_pem.decode()})
    else:
        line(signer.public_pem.decode().rstrip())


def log(*, home: Home = None, as_json: Json = False) -> None:
    """Check every record of the audit log against its leaf, and print its signed head."""
    with opened(home) as app:
        found = app.capture.audit()
    if as_json:
        emit(found)
        return
    line(_("{records} records are as they were logged.", records=found["records"]))
    line()
    line(found["note"].rstrip())
