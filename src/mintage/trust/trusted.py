"""Keys of others whose signatures are believed here; each change stands in the audit log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mintage.core.errors import ConfigError, DataError, RequestError, TrustError
from mintage.core.files import readable_failures, sync_folder, write_atomic
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.repository import Connection

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
            _("{path} cannot be read: {reason}.", path=path, reason=error.strerror),
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

    def list(self) -> Mapping[Path, PublicKey]:
        """Every trusted key by its file; raises TrustError for a file that holds none."""
        return self._keys.trusted()

    def add(self, key: PublicKey) -> bool:
        """Believe a key from now on; False where it was believed already.

        File and leaf are made inside one transaction of the log's only writer, so that the same
        key added twice at once is added once.
        """
        folder = self._keys.trusted_folder

        def work(connection: Connection) -> bool:
            if key.key_id in {known.key_id for known in self.list().values()}:
                return False
            audit.append(connection, "key.trusted", self._record(key))
            with readable_failures(folder):
                folder.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(folder / f"{key.key_id[:_NAME_DIGITS]}.pub", key.pem)
            return True

        return self._database.write(work)

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
        found = {k.key_id: k for k in self.list().values() if k.key_id.startswith(wanted)}
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
        return next(iter(found.values()))

    def remove(self, key_id: str) -> PublicKey:
        """Believe a key no longer, whatever files hold it; raises as ``find`` does."""

        def work(connection: Connection) -> PublicKey:
            key = self.find(key_id)
            audit.append(connection, "key.distrusted", self._record(key))
            folder = self._keys.trusted_folder
            with readable_failures(folder):
                for path, known in self.list().items():
                    if known.key_id == key.key_id:
                        path.unlink()
                sync_folder(folder)
            return key

        return self._database.write(work)

    def _record(self, key: PublicKey) -> dict[str, str]:
        return {"key_id": key.key_id, "algorithm": key.algorithm, "changed_at": self._now()}
