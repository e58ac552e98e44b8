"""Trust: public-key, trust add, update, list and remove."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mintage.app.moving import described_key, described_listed
from mintage.cli.options import Home, Json, opened
from mintage.cli.output import emit, facts, line, say, table, warn
from mintage.core.errors import ConfigError, TrustError
from mintage.core.messages import Message, _, told
from mintage.trust import keys

trust_keys = typer.Typer(help="Whose signatures are believed here.", no_args_is_help=True)


class Role(StrEnum):
    """What a key signs; the root signs the list of the others."""

    DATA = "data"
    BUNDLE = "bundle"
    RECEIPT = "receipt"
    LOG = "log"
    WITNESS = "witness"
    ROOT = "root"


def public_key(
    role: Annotated[Role, typer.Argument(help="What the key signs.")],
    *,
    former: Annotated[
        bool, typer.Option("--former", help="Those that it followed too, which are believed still.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the public half of a signing key, for those who check what it signed."""
    with opened(home, make=True) as app:
        is_root = role is Role.ROOT
        key = app.signing_keys.root() if is_root else app.keys.signer(role.value).public
        others = [each for each in app.keys.ours(role.value) if each != key] if former else []
    if as_json:
        said = {"role": role, "key_id": key.key_id, "pem": key.pem.decode()}
        kept = [{"key_id": each.key_id, "pem": each.pem.decode()} for each in others]
        emit(said | ({"former": kept} if former else {}))
    else:
        line("".join(each.pem.decode() for each in (key, *others)).rstrip())


@trust_keys.command("add")
def add_key(
    file: Annotated[Path, typer.Argument(help="The publisher's public key (PEM).")],
    *,
    role: Annotated[
        list[Role] | None,
        typer.Option(
            help="What to believe it for, repeatable. (default: as the file is called, such as "
            "receipt.pub; else bundle, of Ed25519 log)"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Trust it without asking.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Believe what a publisher's key signs, once its id is what the publisher told you."""
    with opened(home, make=True) as app:
        key = app.moving.read_key(file)
        roles: list[keys.Role] = [each.value for each in role or ()]
        roles = roles or [app.moving.role_of(file, key)]
        described = described_key(key, roles)
        shown = [
            (_("key id"), described["key_id"]),
            (_("kind"), described["algorithm"]),
            (_("believed for"), ", ".join(described["roles"])),
        ]
        if not yes:
            for name, text in shown:
                say(_("{name}: {text}", name=name, text=text))
            _confirm()
        added = app.moving.trust(key, roles)
    if as_json:
        emit({**described, "added": added})
        return
    if yes:
        facts(shown)
    if added:
        line(_("{key_id} is trusted from now on.", key_id=key.key_id))
    else:
        line(_("{key_id} was trusted already: nothing was done.", key_id=key.key_id))


@trust_keys.command("update")
def update_list(
    file: Annotated[Path, typer.Argument(help="The publisher's list of keys (keys.json).")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take a publisher's list of signing keys, signed by a root that is trusted; never an older."""
    with opened(home, make=True) as app:
        taken = app.moving.take_list(file)
    listed = [described_listed(each) for each in taken.keys.keys]
    if as_json:
        emit(
            {
                "root": taken.root.key_id,
                "version": taken.keys.version,
                "issued_at": taken.keys.issued_at,
                "new": taken.is_new,
                "keys": listed,
            }
        )
        return
    if taken.is_new:
        said = _("Version {version} of the list holds from now on.", version=taken.keys.version)
    else:
        said = _("Version {version} of the list was taken already.", version=taken.keys.version)
    line(said)
    show_listed(listed)


def show_listed(listed: Iterable[Mapping[str, Any]]) -> None:
    """Signing keys and what each is good for, as ``described_listed`` has them."""
    table((_("key"), _("role"), _("since"), _("state")), [_listed_row(each) for each in listed])


def _listed_row(listed: Mapping[str, Any]) -> tuple[object, ...]:
    state: Message = _("signs")
    if listed["revoked_at"]:
        state = _(
            "revoked as of {moment}: {reason}",
            moment=listed["revoked_at"][:16],
            reason=listed["reason"],
        )
    elif listed["valid_until"]:
        state = _("verifies only, since {moment}", moment=listed["valid_until"][:16])
    return listed["key_id"], listed["role"], listed["valid_from"][:16], state


@trust_keys.command("list")
def list_keys(*, home: Home = None, as_json: Json = False) -> None:
    """List the keys of others that are believed here."""
    with opened(home, make=True) as app:
        listed, junk = app.moving.trusted(), app.moving.junk()
    if as_json:
        emit(
            [
                *listed,
                *({"error": str(error.message), "remedy": str(error.remedy)} for error in junk),
            ]
        )
    elif listed:
        rows = [(key["key_id"], key["algorithm"], ", ".join(key["roles"])) for key in listed]
        table((_("key"), _("kind"), _("believed for")), rows)
        for each in listed:
            if "list" in each:
                line()
                line(_("Of the list of {root}:", root=each["key_id"]))
                show_listed(each["list"]["keys"])
    elif not junk:
        say(_("No key but this workspace's own is trusted; add one with mintage trust add FILE"))
    if junk:
        if not as_json:
            for error in junk:
                warn(str(error))
        raise typer.Exit(TrustError.exit_status)


@trust_keys.command("remove")
def remove_key(
    key_id: Annotated[str, typer.Argument(help="The key's id, or its first 8 digits or more.")],
    *,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Believe a key no longer: what it alone signed does not open here any more."""
    with opened(home, make=True) as app:
        key, roles = app.moving.distrust(key_id)
    if as_json:
        emit({**described_key(key, roles), "removed": True})
    else:
        line(_("{key_id} is trusted no longer.", key_id=key.key_id))


def _confirm() -> None:
    """Ask; only a person can have compared the id."""
    if not sys.stdin.isatty():
        raise ConfigError(
            _("Nobody is here to say whether this key is the publisher's."),
            remedy=_("Compare its id with what the publisher told you, then add --yes."),
        )
    question = _("Is this the id that the publisher told you, by another way than the file?")
    if not typer.confirm(told(question), err=True):
        raise TrustError(
            _("The key's id was not confirmed, so it is not trusted."),
            remedy=_("Ask the publisher for the id of their key, by another way than the file."),
        )
