"""What a workspace keeps of signing keys beside the private ones: two files in ``keys``.

``signing-keys.json`` has our own, former ones too, and which of them each role signs with: to
replace that file is the switch. ``shown.json`` has, for each revoked key, ours or another's, what
our log had before it was revoked. Neither is signed: whoever writes into ``keys`` holds the keys.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, TrustError, said_by
from mintage.core.files import readable_failures, write_atomic
from mintage.core.messages import _
from mintage.trust.key_list import KeyList, ListedKey
from mintage.trust.public_key import PublicKey, Revocation, Role, Validity
from mintage.trust.signing import FILES_TYPE, files_digest

RECORD_FILE = "signing-keys.json"
SHOWN_FILE = "shown.json"
_FORMAT = 1


@dataclass(frozen=True)
class KeyRecord:
    """Our own signing keys as they were recorded last, and the root that signs their list."""

    keys: KeyList
    root: PublicKey | None = None

    @classmethod
    def read(cls, folder: Path) -> KeyRecord | None:
        """The record; None where there is none, since no key was ever changed.

        Raises:
            TrustError: it was changed, or cannot be read.
        """
        path = folder / RECORD_FILE
        said = _read(path)
        if said is None:
            return None
        try:
            root = said["root"]
            return cls(
                KeyList.from_json(said["keys"]),
                None if root is None else PublicKey.from_pem(root.encode()),
            )
        except (ValueError, KeyError, TypeError, AttributeError, TrustError) as error:
            raise _damaged(path) from error

    def write(self, folder: Path) -> None:
        """Replace the record, durably."""
        root = None if self.root is None else self.root.pem.decode()
        said = {"format": _FORMAT, "root": root, "keys": self.keys.to_json()}
        write_atomic(folder / RECORD_FILE, canonical_json(said) + b"\n", mode=0o600)


def read_shown(folder: Path) -> Mapping[str, Sequence[str]]:
    """For each revoked key (``shown_name``), what our log had before: ``digest name@version``.

    Raises:
        TrustError: it was changed, or cannot be read.
    """
    path = folder / SHOWN_FILE
    said = _read(path) or {}
    if not all(isinstance(each, list) for each in said.values()):
        raise _damaged(path)
    return said


def write_shown(folder: Path, shown: Mapping[str, Sequence[str]]) -> None:
    """Replace that file, durably."""
    write_atomic(folder / SHOWN_FILE, canonical_json(dict(shown)) + b"\n", mode=0o600)


def shown_name(key: PublicKey, root: PublicKey | None) -> str:
    """What a revoked key is called there: no list has a say in what another says of a key."""
    return f"{root.key_id if root else 'own'} {key.key_id}"


def believed(
    keys: KeyList,
    role: Role,
    shown: Mapping[str, Sequence[str]] | None = None,
    root: PublicKey | None = None,
) -> list[PublicKey]:
    """The listed keys of a role as signatures are checked with them: with what became of each.

    ``shown`` is what our log had before each was revoked, None: there is no log to ask. ``root`` is
    whose list it is; None: our own record.
    """
    return [_believed(keys, each, shown, root) for each in keys.of(role)]


def _believed(
    keys: KeyList,
    listed: ListedKey,
    shown: Mapping[str, Sequence[str]] | None,
    root: PublicKey | None,
) -> PublicKey:
    validity, last = Validity(listed.valid_from, listed.valid_until), keys.last_head(listed)
    if listed.revoked_at is None:
        return PublicKey(listed.key.key, validity=validity, last_head=last)
    lines = frozenset((shown or {}).get(shown_name(listed.key, root), ()))

    def is_shown(payload: bytes) -> bool:
        return is_among(lines, payload)

    is_own = shown is not None and root is None
    revocation = Revocation(listed.revoked_at, listed.reason or "", is_shown, is_own=is_own)
    return PublicKey(listed.key.key, revocation, validity, last)


def is_among(lines: Collection[str], payload: bytes) -> bool:
    """Whether what a payload states, of files or of a document, is one of these ``digest name``."""
    try:
        statement = json.loads(payload)
        subject, predicate = statement["subject"][0], statement["predicate"]
        if statement["predicateType"] == FILES_TYPE:
            digest = files_digest({each["name"]: each["digest"] for each in predicate["resources"]})
        else:
            # Worked out anew: a thief could write any digest beside a document of their own.
            digest = sha256_hex(canonical_json(predicate))
        return f"{digest} {subject['name']}" in lines
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        RecursionError,
        DataError,
    ):
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Held by whoever changes keys, from looking at the files until leaf and file stand."""
    with readable_failures(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / ".trusted.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TrustError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error)),
            remedy=_("Run as the user who owns the workspace."),
        ) from error
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(path) from error
    if not isinstance(said, dict):
        raise _damaged(path)
    return said


def _damaged(path: Path) -> TrustError:
    return TrustError(
        _("{path} is not as it was written.", path=path),
        remedy=_("Restore it from a backup of the keys."),
    )
