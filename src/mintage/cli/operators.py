"""Capture: who runs the service over its admin API, and what each of them may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from mintage.capture.operators import Operator
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, line, say, table
from mintage.core.messages import _

operator = typer.Typer(
    help="Who runs the service over its admin API: add, list, rotate and revoke.",
    no_args_is_help=True,
)

_Named = Annotated[str, typer.Argument(help="An operator's name or id.")]


class RoleName(StrEnum):
    """What an operator may be."""

    VIEWER = "viewer"
    SUPPORT = "support"
    BILLING = "billing"
    ADMIN = "admin"


_Role = Annotated[
    RoleName,
    typer.Option(
        "--role",
        help="viewer reads; support has customers and keys; billing plans and invoices; admin all.",
    ),
]


@operator.command("add")
def add_operator(
    name: Annotated[str, typer.Argument(help="Who it is.")],
    *,
    role: _Role,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Add an operator with a key for the admin API, which is shown now and never again."""
    with opened(home, make=True) as app:
        issued = app.capture.operators.add(name, role)
    if as_json:
        emit(issued.to_json())
        return
    line(issued.key.reveal())
    say(
        _(
            "{name} ({id}) is {role}; the key is shown only now, only its digest is kept.",
            name=issued.operator.name,
            id=issued.operator.id,
            role=issued.operator.role,
        )
    )


@operator.command("list")
def list_operators(*, home: Home = None, as_json: Json = False) -> None:
    """List every operator, revoked ones too; never their keys."""
    with opened(home) as app:
        listed = app.capture.operators.list()
    if as_json:
        emit(list(listed))
        return
    rows = [
        (
            each["name"],
            each["id"],
            each["role"],
            ", ".join(f"…{found['last4']}" for found in each["keys"]),
            each["created_at"][:16],
            (each["revoked_at"] or "")[:16],
        )
        for each in listed
    ]
    table((_("operator"), _("id"), _("role"), _("ends"), _("since"), _("revoked")), rows)


@operator.command("role")
def set_role(who: _Named, *, role: _Role, home: Home = None, as_json: Json = False) -> None:
    """Let an operator do other things, from the next request on."""
    with opened(home) as app:
        changed = app.capture.operators.set_role(who, role)
    _say(changed, as_json=as_json)


@operator.command("rotate")
def rotate_operator(
    who: _Named,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old one is taken yet; 0s for no longer.")
    ] = "24h",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make an operator another key; the one before expires when the overlap is over."""
    with opened(home) as app:
        issued = app.capture.rotate_operator(who, overlap)
    if as_json:
        emit(issued.to_json())
        return
    line(issued.key.reveal())
    say(
        _(
            "The key of {name}; those before it are taken until {moment}; it is shown only now.",
            name=issued.operator.name,
            moment=issued.until,
        )
    )


@operator.command("revoke")
def revoke_operator(who: _Named, *, home: Home = None, as_json: Json = False) -> None:
    """Revoke an operator; they are refused from the next request on."""
    with opened(home) as app:
        revoked = app.capture.operators.revoke(who)
    _say(revoked, as_json=as_json)


def _say(found: Operator, *, as_json: bool) -> None:
    if as_json:
        emit(found.to_json())
    elif found.revoked_at is not None:
        line(_("{id} is revoked since {revoked_at}", id=found.name, revoked_at=found.revoked_at))
    else:
        line(f"{found.name}  {found.role}")
