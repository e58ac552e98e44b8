"""Keys to verify with, wherever they come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, get_args

from mintage.core.errors import DataError, SignatureMismatch, TrustError
from mintage.core.messages import Message, _
from mintage.trust.key_files import public_keys_in, read_key_file, role_named
from mintage.trust.key_list import KeyList, is_list, open_list, unconfirmed
from mintage.trust.key_record import believed
from mintage.trust.keys import PublicKey, Role
from mintage.trust.public_key import Revocation, SigningRole, Validity


class KeySource(Protocol):
    """What verifying asks for: the keys that are believed in a role."""

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """The keys believed in this role; raises SignatureMismatch where some are, but none so."""
        ...


@dataclass(frozen=True)
class GivenKeys:
    """Public keys that somebody named for this once, each believed in one role or in all it fits.

    With none, nothing verifies. ``notes`` say of lists of keys whether a root confirms them.
    """

    keys: tuple[tuple[PublicKey, Role | None], ...] = ()
    notes: tuple[Message, ...] = ()

    def public_keys(self, role: Role) -> tuple[PublicKey, ...]:
        """Those that are believed in this role, and of the kind that signs in it.

        Raises:
            SignatureMismatch: keys were given, and none is for it.
        """
        found = tuple(key for key, only in self.keys if key.fits(role) and only in (None, role))
        if self.keys and not found:
            roles = sorted({only for __, only in self.keys if only is not None})
            raise SignatureMismatch(
                _(
                    "None of the keys that were given is for the role {role}; they are for: "
                    "{roles}.",
                    role=role,
                    roles=", ".join(roles) or _("another kind of signature"),
                ),
                remedy=_("Give that key too: --key {role}.pub", role=role),
            )
        return found


def given_keys(paths: Sequence[Path]) -> GivenKeys:
    """Keys from files; ``receipt.pub`` and ``NAME.receipt.pub`` are believed for receipts alone.

    So whoever took the key of one role signs nothing of another. A name without a role is believed
    for all that keys of its kind sign. A file may also be a publisher's list of keys: as ``mintage
    signing-key publish`` writes it, or as ``GET /v1/keys`` answers it. Where a root key is among
    the others, that has to have signed the list.

    Raises:
        DataError: a file cannot be read, or is neither.
        TrustError: one holds a private key, no key, or a kind that Mintage does not verify with; or
            the root key that was given did not sign a list.
    """
    keys: list[tuple[PublicKey, Role | None]] = []
    lists: list[tuple[Path, bytes]] = []
    for path in paths:
        data = read_key_file(path)
        if data.lstrip().startswith(b"{"):
            lists.append((path, data))
        else:
            keys += [(key, role_named(path)) for key in public_keys_in(data)]
    roots = [key for key, only in keys if only == "root"]
    listed: list[tuple[PublicKey, Role | None]] = []
    notes = []
    for path, data in lists:
        found, note = _listed(path, data, roots)
        listed += found
        notes.append(note)
    # What a list says of a key counts where the key was given by itself too.
    known = {key.key_id for key, __ in listed}
    alone = [each for each in keys if each[0].key_id not in known]
    return GivenKeys((*listed, *alone), tuple(notes))


def _listed(
    path: Path, data: bytes, roots: Sequence[PublicKey]
) -> tuple[list[tuple[PublicKey, Role | None]], Message]:
    """The keys of a list, and what there is to know of it."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _no_list(path) from error
    if not is_list(said):
        found = [*_plain(path, said)]
        if not found:
            raise _no_list(path)
        return found, _(
            "{path}: a list of keys that nobody signed. Its keys are believed since you gave them: "
            "you must have it from their owner, by another way than what is checked.",
            path=path,
        )
    if roots:
        listed, root = open_list(data, roots)
        return _of(listed, root), _(
            "{path}: version {version} of the list of keys, as the root key {root}… signed it.",
            path=path,
            version=listed.version,
            root=root.key_id[:12],
        )
    return _of(unconfirmed(said), None), _(
        "{path}: a list of keys, and no root key was given that shows whose it is. Its keys are "
        "believed since you gave them; with --key root.pub its signature is checked too.",
        path=path,
    )


def _of(listed: KeyList, root: PublicKey | None) -> list[tuple[PublicKey, Role | None]]:
    # It is somebody else's list, of which no log here shows anything.
    roles = get_args(SigningRole)
    return [(key, role) for role in roles for key in believed(listed, role, root=root)]


def _plain(path: Path, said: Any) -> Iterator[tuple[PublicKey, Role | None]]:
    """As ``GET /v1/keys`` has them: by role one key, with those before it as ``former``."""
    try:
        for role in get_args(SigningRole):
            for each in [said[role]] if isinstance(said.get(role), dict) else said.get(role) or []:
                for one in (each, *each.get("former", ())):
                    yield _plain_key(one), role
    except (KeyError, TypeError, AttributeError, ValueError, TrustError) as error:
        raise _no_list(path) from error


def _plain_key(said: Mapping[str, Any]) -> PublicKey:
    key = PublicKey.from_pem(said["pem"].encode())
    since, until, revoked = (said.get(each) for each in ("valid_from", "valid_until", "revoked_at"))
    for moment in (since, until, revoked):
        datetime.fromisoformat(moment or "2026-01-01")
    return PublicKey(
        key.key,
        Revocation(revoked, str(said.get("reason")), lambda __: False) if revoked else None,
        Validity(since, until) if since else None,
    )


def _no_list(path: Path) -> DataError:
    return DataError(
        _("{path} is neither a public key nor a list of keys.", path=path),
        remedy=_("Give a public key (PEM), or what mintage signing-key publish wrote."),
    )
