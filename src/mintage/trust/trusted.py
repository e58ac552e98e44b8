"""Keys of others whose signatures are believed here; each change stands in the audit log.

The leaf is on disk before the file changes, so that no key is ever believed, or believed no longer,
without a record. Where the file then cannot be changed, that is an error, and the same verb again
does it (and is logged again).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError, RequestError, TrustError, said_by
from mintage.core.files import readable_failures, sync_folder, write_atomic
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit, repository
from mintage.trust.key_list import MOST_BYTES, KeyList, check_newer, open_list
from mintage.trust.key_record import alone, read_shown, shown_name, write_shown
from mintage.trust.keys import KeyRing, PublicKey, Role, TrustedFile
from mintage.trust.leaves import rehashed
from mintage.trust.shown import logged_before
from mintage.trust.switch import check_switches

_NAME_DIGITS = 32
"""Of the key id in the file's name: 128 bits, so that no other key can be made to fit it."""
KEY_ID = re.compile("[0-9a-f]{8,64}")


def read_key_list(path: Path) -> bytes:
    """What a file with a list of keys holds.

    Raises:
        DataError: it cannot be read, or is too large for one.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error)),
            remedy=_("Name the file with the publisher's list of keys."),
        ) from error
    if len(content) > MOST_BYTES:
        raise DataError(_("{path} is too large for a list of keys.", path=path))
    return content


@dataclass(frozen=True)
class TakenList:
    """A publisher's list of keys: the root that signed it; ``is_new`` unless it was here."""

    root: PublicKey
    keys: KeyList
    is_new: bool


class TrustedKeys:
    """The keys in ``keys/trusted`` of a workspace."""

    def __init__(self, database: Database, keys: KeyRing, now: Callable[[], str]) -> None:
        """``now`` gives the moment as it stands in records."""
        self._database = database
        self._keys = keys
        self._now = now

    def list(self) -> Sequence[TrustedFile]:
        """Every trusted key, its role and its file; a key with two roles has two files."""
        return self._keys.trusted()[0]

    def junk(self) -> Mapping[Path, TrustError]:
        """What is wrong with each file among them that holds no key."""
        return self._keys.trusted()[1]

    def add(self, key: PublicKey, roles: Sequence[Role] = ()) -> bool:
        """Believe a key in these roles from now on; False where it was believed in all already.

        Without ``roles`` it is believed for bundles, or a key of Ed25519 for the log. The same
        key added twice at once is added once.

        Raises:
            ConfigError: signatures of such a role are not made with a key of this kind.
        """
        wanted = tuple(dict.fromkeys(roles)) or (key.usual_role,)
        for role in wanted:
            _check_fits(key, role)
        with alone(self._keys.folder):
            known = {file.role for file in self.list() if file.key.key_id == key.key_id}
            new = [role for role in wanted if role not in known]
            if new:
                self._log("key.trusted", key, new)
            for role in new:
                name = key.key_id[:_NAME_DIGITS] + ("" if role == key.usual_role else f".{role}")
                write_atomic(self._keys.trusted_folder / f"{name}.pub", key.pem)
        return bool(new)

    def update(self, content: bytes) -> TakenList:
        """Take a publisher's list of keys: from now on what it says of them holds here.

        What a revoked key signed is believed on where our own log had it before.

        Raises:
            DataError: it is no list of keys.
            ConfigError: no root key is trusted here.
            SignatureMismatch: no trusted root signed it, or a newer one was taken already.
        """
        with alone(self._keys.folder):
            roots = [file.key for file in self.list() if file.role == "root"]
            if not roots:
                raise ConfigError(
                    _("No root key is trusted here, so no list of keys can be confirmed."),
                    remedy=_("First: mintage trust add root.pub --role root"),
                )
            keys, root = open_list(content, roots)
            check_switches(keys)
            sha256 = sha256_hex(content)
            is_new = check_newer(keys, sha256, self._last_list(root))
            path = self._keys.list_path(root)
            if is_new or not path.exists():
                record = {
                    "root": root.key_id,
                    "version": keys.version,
                    "sha256": sha256,
                    "revoked": sorted(each.key.key_id for each in keys.keys if each.revoked_at),
                    "changed_at": self._now(),
                }
                self._database.write(
                    lambda connection: audit.append(connection, "keys.updated", record)
                )
            self._keep_shown(keys, root)
            write_atomic(path, content)
        return TakenList(root, keys, is_new)

    def _last_list(self, root: PublicKey) -> tuple[int, str] | None:
        """Version and SHA-256 of the newest list that was ever taken from a root, by the log.

        Raises:
            LogForked: an entry that says so is not what was logged.
        """
        with self._database.read() as connection:
            rows = list(repository.read_rows(connection, kinds=("keys.updated",)))
        for row in rows:
            rehashed(row, row.position)
        taken = [json.loads(row.record) for row in rows]
        versions = [
            (each["version"], each["sha256"]) for each in taken if each["root"] == root.key_id
        ]
        return max(versions, default=None)

    def _keep_shown(self, keys: KeyList, root: PublicKey) -> None:
        shown = dict(read_shown(self._keys.folder))
        for each in keys.keys:
            if each.revoked_at is not None:
                name = shown_name(each.key, root)
                shown[name] = logged_before(self._database, each.revoked_at)
        write_shown(self._keys.folder, shown)

    def find(self, key_id: str) -> PublicKey:
        """The trusted key whose id begins so.

        Raises:
            ConfigError: not a key id, or several begin so.
            RequestError: none does (404).
        """
        wanted = key_id.lower()
        if not KEY_ID.fullmatch(wanted):
            raise ConfigError(
                _("Not a key id: {key_id!r}.", key_id=key_id),
                remedy=_("Give at least its first 8 hexadecimal digits; see: mintage trust list"),
            )
        keys = {file.key.key_id: file.key for file in self.list()}
        found = [key for full, key in keys.items() if full.startswith(wanted)]
        if not found:
            raise RequestError(
                _("No trusted key has the id {key_id}.", key_id=wanted),
                remedy=_("See: mintage trust list"),
                http_status=404,
            )
        if len(found) > 1:
            raise ConfigError(
                _("The ids of {count} keys begin with {key_id}.", count=len(found), key_id=wanted),
                remedy=_("Give more digits; see: mintage trust list"),
            )
        return found[0]

    def remove(self, key_id: str) -> tuple[PublicKey, Sequence[Role]]:
        """Believe a key no longer, whatever files hold it; raises as ``find`` does.

        Gives the key and the roles that it was believed in.
        """
        with alone(self._keys.folder):
            key = self.find(key_id)
            files = [file for file in self.list() if file.key.key_id == key.key_id]
            roles = sorted({file.role for file in files})
            self._log("key.distrusted", key, roles)
            folder = self._keys.trusted_folder
            with readable_failures(folder):
                for file in files:
                    file.path.unlink()
                sync_folder(folder)
        return key, roles

    def _log(self, kind: str, key: PublicKey, roles: Sequence[Role]) -> None:
        record: dict[str, Any] = {
            "key_id": key.key_id,
            "algorithm": key.algorithm,
            "roles": sorted(roles),
            "changed_at": self._now(),
        }
        self._database.write(lambda connection: audit.append(connection, kind, record))


def _check_fits(key: PublicKey, role: Role) -> None:
    if key.fits(role):
        return
    raise ConfigError(
        _(
            "Signatures of the role {role} are not made with {algorithm}.",
            role=role,
            algorithm=key.algorithm,
        ),
        remedy=_("Leave --role out, and the key is believed for {role}.", role=key.usual_role),
    )
