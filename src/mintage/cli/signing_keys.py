"""Trust: our own signing keys through time: list, rotate, revoke, publish."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mintage.app.moving import described_listed
from mintage.app.stopped import Stopped
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, warn
from mintage.cli.trust import show_listed
from mintage.core.errors import ConfigError
from mintage.core.files import write_atomic
from mintage.core.messages import _
from mintage.core.units import parse_moment
from mintage.trust.public_key import NOTE_ROLES
from mintage.trust.rotation import read_root

signing_key = typer.Typer(
    help="The keys that this workspace signs with: list, rotate, revoke, publish.",
    no_args_is_help=True,
)


class SigningRole(StrEnum):
    """What a signing key signs."""

    DATA = "data"
    BUNDLE = "bundle"
    RECEIPT = "receipt"
    LOG = "log"
    WITNESS = "witness"


@signing_key.command("list")
def list_keys(*, home: Home = None, as_json: Json = False) -> None:
    """List every signing key that was made here, former and revoked ones too."""
    with opened(home) as app:
        listed = app.signing_keys.list()
    if as_json:
        emit([described_listed(each) for each in listed])
        return
    show_listed(described_listed(each) for each in listed)


@signing_key.command("rotate")
def rotate(
    role: Annotated[SigningRole, typer.Argument(help="What the key signs.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign with a new key from now on; what the former one signed is believed on.

    The former private key is overwritten. A server that runs follows within a second.
    """
    with opened(home) as app:
        done = app.signing_keys.rotate(role.value)
    if as_json:
        emit({**described_listed(done.key), "former": described_listed(done.former)})
        return
    line(_("{key_id} signs from now on: {role}", key_id=done.key.key.key_id, role=role.value))
    say(
        _(
            "The former key {key_id} is kept for verification; its private half is destroyed.",
            key_id=done.former.key.key_id,
        )
    )
    _say_next()


@signing_key.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, or its first 8 digits or more.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for everybody to read.")],
    at: Annotated[
        str | None,
        typer.Option(
            help="Since when it is not to be believed: 2026-11-27 or 2026-11-27T12:00:00Z. "
            "(default: now)"
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Believe a key no longer, as of a moment; if it is in use, another takes its place.

    What it signed before is believed on where the audit log had it before; datasets and models are
    signed again with the present key, so that others believe them too. What is on sale and is not
    believed any more is named.
    """
    moment = None if at is None else parse_moment(at)
    with opened(home) as app:
        done = app.signing_keys.revoke(key_id, reason, moment)
        again = app.signing_again
        renewed = again.believed() if done.key.role in ("data", "bundle") else []
        stopped = again.stopped() if done.key.role == "bundle" else []
    if as_json:
        successor = None if done.successor is None else described_listed(done.successor)
        emit(
            {
                **described_listed(done.key),
                "shown": list(done.shown),
                "successor": successor,
                "signed_again": renewed,
                "stopped": [
                    {"product": each.product, "alias": each.alias, "model": each.model}
                    for each in stopped
                ],
            }
        )
        return
    line(
        _(
            "{key_id} is believed no longer, as of {moment}",
            key_id=done.key.key.key_id,
            moment=done.key.revoked_at,
        )
    )
    if done.key.role not in NOTE_ROLES:
        said = _(
            "The audit log had {count} signed things before; what of them this key signed "
            "is believed on.",
            count=len(done.shown),
        )
        say(said)
    if done.successor is not None:
        said = _(
            "{key_id} signs from now on: {role}",
            key_id=done.successor.key.key_id,
            role=done.successor.role,
        )
        line(said)
    _say_renewed(renewed)
    _warn_of(stopped)
    _say_next()


@signing_key.command("sign-again")
def sign_again(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="What is to be believed on your word: pets@3, pets#1f9c, INV-2026-000001. "
            "(default: all that the log had before)"
        ),
    ] = None,
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Sign with the present key what a revoked one signed, so that it is believed again.

    Every byte of it must be what was signed, and the audit log must have it. What the log had only
    after the moment of revocation is signed again where it is named: whoever took the key may have
    made it, so look at it first.
    """
    with opened(home) as app:
        again = app.signing_again
        renewed = [each for each in what if again.named(each)] if what else again.believed()
        stopped = again.stopped()
    if as_json:
        emit(renewed)
        return
    _say_renewed(renewed)
    if not renewed:
        say(_("Nothing had to be signed again."))
    _warn_of(stopped)


def _say_renewed(renewed: Sequence[str]) -> None:
    for each in renewed:
        line(_("{name} is signed by the present key from now on.", name=each))


def _warn_of(stopped: Sequence[Stopped]) -> None:
    for each in stopped:
        warn(
            _(
                "{product}: at its next start no server answers with {model} ({alias}): {problem}",
                product=each.product,
                model=each.model,
                alias=each.alias,
                problem=each.problem.message,
            )
        )
    if stopped:
        models = dict.fromkeys(each.model for each in stopped)
        say(
            _(
                "Where you know that they are yours as they are: mintage signing-key sign-again "
                "{models}; else train and publish others.",
                models=" ".join(models),
            )
        )


@signing_key.command("publish")
def publish(
    file: Annotated[
        Path, typer.Argument(help="The file to write. (default: keys.json, here)")
    ] = Path("keys.json"),
    *,
    root_key: Annotated[
        Path | None,
        typer.Option(help="The file with the private root key, where it is not on this machine."),
    ] = None,
    new_root: Annotated[
        bool,
        typer.Option("--new-root", help="Make another root key: the one before is lost or leaked."),
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write the list of our signing keys, signed by the root key, for those who verify.

    Each new list has a higher version, and nobody takes an older one again. The root key is made
    the first time.
    """
    if new_root and root_key is not None:
        raise ConfigError(
            _("A root key is made anew or taken from a file, not both."),
            remedy=_("Say --new-root or --root-key."),
        )
    root = None if root_key is None else read_root(root_key)
    with opened(home) as app:
        keys, content = app.signing_keys.publish(root, new_root=new_root)
        made = app.signing_keys.root()
        kept = app.keys.path("root")
        lies_here = kept.exists()
    write_atomic(file, content)
    if as_json:
        emit(
            {
                "path": str(file),
                "root": made.key_id,
                **keys.to_json(),
                "keys": [described_listed(each) for each in keys.keys],
            }
        )
        return
    facts(
        [
            (_("file"), file),
            (_("version"), keys.version),
            (_("keys"), len(keys.keys)),
            (_("root key"), made.key_id),
        ]
    )
    say(_("Give the root's public key once, by another way: mintage public-key root > root.pub"))
    say(
        _(
            "There: mintage trust add root.pub --role root, then mintage trust update {path}",
            path=file,
        )
    )
    if lies_here:
        warn(
            _(
                "The private root key lies in {path}: move it to where no server is, and name it "
                "with --root-key when it is needed.",
                path=kept,
            )
        )


def _say_next() -> None:
    say(_("For those who verify: mintage signing-key publish"))
