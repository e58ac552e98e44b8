"""Keys of others whose signatures are believed here; each change stands in the audit log.

The leaf is on disk before the file changes, so that no key is ever believed, or believed no longer,
without a record. Where the file then cannot be changed, that is an error, and the same verb again
does it (and is logged again).
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mintage.core.errors import ConfigError, DataError, RequestError, TrustError, said_by
from mintage.core.files import readable_failures, sync_folder, write_atomic
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.keys import KeyRing, PublicKey, Role, TrustedFile

_MOST_BYTES = 65_536
_NAME_DIGITS = 32
"""Of the key id in the file's name: 128 bits, so that no other key can be made to fit it."""
_KEY_ID = re.compile("[0-9a-f]{8,64}")


def read_public_key(path: Path) -> PublicKey:
    """The one public key in a PEM file.

    Raises:
        DataError: it cannot be read, or holds no key or several.
        TrustError: it holds a private key, or a kind that Mintage does not verify with.
    """
    try:
        with path.open("rb") as stream:
            pem = stream.read(_MOST_BYTES)
    except OSError as error:
        raise DataError(
            _(
                "{path} cannot be read: {reason}.",
                path=path,
                reason=said_by(error),
            ),
            remedy=_("Name the file with the publisher's public key."),
        ) from error
    if b"PRIVATE KEY" in pem:
        raise TrustError(
            _(
                "{path} holds a private key: whoever has it can sign in its owner's name. "
                "Nothing of it was kept.",
                path=path,
            ),
            remedy=_(
                "Give and take public keys alone, as mintage public-key bundle prints them; "
                "if this file has left its owner's machine, its owner needs a new key."
            ),
        )
    count = pem.count(b"-----BEGIN ")
    if count > 1:
        raise DataError(
            _("{path} holds {count} keys where one belongs.", path=path, count=count),
            remedy=_("Put each key into a file of its own."),
        )
    return PublicKey.from_pem(pem)


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
        with self._alone():
            known = {file.role for file in self.list() if file.key.key_id == key.key_id}
            new = [role for role in wanted if role not in known]
            if new:
                self._log("key.trusted", key, new)
            for role in new:
                name = key.key_id[:_NAME_DIGITS] + ("" if role == key.usual_role else f".{role}")
                write_atomic(self._keys.trusted_folder / f"{name}.pub", key.pem)
        return bool(new)

    def find(self, key_id: str) -> PublicKey:
        """The trusted key whose id begins so.

        Raises:
            ConfigError: not a key id, or several begin so.
            RequestError: none does (404).
        """
        wanted = key_id.lower()
        if not _KEY_ID.fullmatch(wanted):
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
        with self._alone():
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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Held from looking at the files until leaf and file stand."""
        folder = self._keys.trusted_folder.parent
        with readable_failures(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder / ".trusted.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

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
