"""Data keys: one for each customer and dataset and one for the workspace, wrapped in the database.

A key is looked up each time, so that one destroyed by another process opens nothing here either;
only what unwraps it is kept in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mintage.core.errors import SealBroken
from mintage.core.messages import _
from mintage.core.ports import WrappingKey
from mintage.store import data_keys as rows
from mintage.store.data_keys import Connection, KeyRow
from mintage.store.engine import Database
from mintage.store.sealed import (
    MARK_BYTES,
    WORKSPACE,
    Erased,
    customer,
    mark_of,
    not_sealed,
    number_of,
)
from mintage.trust.sealing import tink_keys

if TYPE_CHECKING:
    from tink import aead, streaming_aead


class DataKey:
    """32 random bytes, and what is derived of them for each use."""

    def __init__(self, number: int, owner: str, secret: bytes) -> None:
        self.number, self.owner = number, owner
        self._secret = secret

    @cached_property
    def values(self) -> aead.Aead:
        """For values of the database."""
        return tink_keys.value_cipher(self._secret)

    @cached_property
    def files(self) -> streaming_aead.StreamingAead:
        """For files."""
        return tink_keys.file_cipher(self._secret)

    def name(self, of: str) -> str:
        """What something is called or found by, told to nobody who lacks the key."""
        return hmac.new(self._naming, of.encode(), hashlib.sha256).hexdigest()

    @cached_property
    def _naming(self) -> bytes:
        return tink_keys.derived(self._secret, "names")


class DataKeys:
    """The data keys of one database; also its ``Sealer``."""

    def __init__(self, database: Database, wrapping: WrappingKey, now: Callable[[], str]) -> None:
        self._database = database
        self.wrapping = wrapping
        self._now = now
        self._unwrapped: dict[bytes, DataKey] = {}
        self._read: WeakKeyDictionary[Connection, dict[int, DataKey | None]] = WeakKeyDictionary()

    def check(self) -> None:
        """Whether the key-encryption key is this workspace's; a new one gets its first data key.

        Raises:
            SealBroken: it is another.
        """
        self.for_files(WORKSPACE)

    def for_files(self, owner: str) -> DataKey:
        """An owner's newest key, made where there is none; not within a write.

        Raises:
            Erased: the owner was.
        """
        with self._database.read() as connection:
            row = rows.newest(connection, owner)
        if row is None or row.retired_at is not None:
            return self._database.write(lambda each: self.newest(each, owner))
        return self._usable(row)

    def for_names(self, owner: str) -> DataKey:
        """The owner's first key, by which names are made whatever was rotated since."""
        self.for_files(owner)
        with self._database.read() as connection:
            row = rows.first_of(connection, owner)
        if row is None:
            raise SealBroken(_("There is no data key of {owner}.", owner=owner))
        return self._usable(row)

    def newest(self, connection: Connection, owner: str) -> DataKey:
        """An owner's newest key, made within the caller's write where there is none.

        Raises:
            Erased: the owner was.
        """
        row = rows.newest(connection, owner)
        if row is None or (row.retired_at is not None and row.destroyed_at is None):
            return self._made(connection, owner)
        return self._usable(row)

    def numbered(self, number: int) -> DataKey | None:
        """The key with a number; None where it was destroyed.

        Raises:
            SealBroken: there is none.
        """
        with self._database.read() as connection:
            return self._numbered(connection, number)

    def seal(self, connection: Connection, owner: str, where: str, data: bytes) -> bytes:
        """See ``Sealer``."""
        key = self.newest(connection, owner)
        sealed = key.values.encrypt(data, _context(owner, where))
        return mark_of(key.number) + bytes(sealed)

    def open(
        self, connection: Connection, owner: str | None, where: str, sealed: bytes
    ) -> bytes | None:
        """See ``Sealer``."""
        number = number_of(sealed)
        if number is None:
            raise not_sealed(where)
        key = self._numbered(connection, number)
        if key is None:
            return None
        if owner not in (None, key.owner) and key.owner != WORKSPACE:
            raise SealBroken(
                _("{what} is sealed under the key of {other}.", what=where, other=key.owner),
                remedy=_("Somebody moved it there. Restore the workspace from a backup."),
            )
        try:
            return bytes(key.values.decrypt(sealed[MARK_BYTES:], _context(key.owner, where)))
        except tink_keys.tink_error() as error:
            raise SealBroken(
                _("{what} was changed, or is sealed for another place.", what=where),
                remedy=_("Somebody moved or changed it. Restore the workspace from a backup."),
            ) from error

    def index(self, connection: Connection, column: str, value: str) -> str:
        """See ``Sealer``: by the workspace's first key."""
        row = rows.first_of(connection, WORKSPACE)
        key = self._made(connection, WORKSPACE) if row is None else self._usable(row)
        return key.name(f"{column}={value}")

    def rewrapped(self, connection: Connection, row: KeyRow) -> bool:
        """Wrap a key by what wraps now; False where it is, or was destroyed."""
        if row.wrapped is None or row.wrapped_by == self.wrapping.current():
            return False
        context = _wrapping_context(row.owner, row.number)
        secret = self.wrapping.unwrap(row.wrapped_by, row.wrapped, context)
        wrapped_by, wrapped = self.wrapping.wrap(secret, context)
        rows.wrap(connection, row.number, wrapped, wrapped_by)
        return True

    def _made(self, connection: Connection, owner: str) -> DataKey:
        number = rows.add(connection, owner, self._now())
        secret = secrets.token_bytes(tink_keys.SECRET_BYTES)
        wrapped_by, wrapped = self.wrapping.wrap(secret, _wrapping_context(owner, number))
        rows.wrap(connection, number, wrapped, wrapped_by)
        return DataKey(number, owner, secret)

    def _numbered(self, connection: Connection, number: int) -> DataKey | None:
        """Within one reading a key is looked up once: it sees the database as it stood."""
        if connection.get_execution_options().get("mintage_write"):
            return self._looked_up(connection, number)
        known = self._read.setdefault(connection, {})
        if number not in known:
            known[number] = self._looked_up(connection, number)
        return known[number]

    def _looked_up(self, connection: Connection, number: int) -> DataKey | None:
        row = rows.numbered(connection, number)
        if row is None:
            raise SealBroken(
                _("There is no data key {number}.", number=number),
                remedy=_("Restore the workspace from a backup."),
            )
        return None if row.wrapped is None else self._usable(row)

    def _usable(self, row: KeyRow) -> DataKey:
        if row.wrapped is None and not row.owner.startswith(customer("")):
            raise SealBroken(
                _(
                    "The data key of {owner} was destroyed, and not by Mintage.",
                    owner=row.owner,
                ),
                remedy=_("Restore the workspace from a backup."),
            )
        if row.wrapped is None:
            raise Erased(
                _("{customer} was erased: nothing is kept of them any more.", customer=row.owner),
                remedy=_("Add another customer."),
            )
        found = self._unwrapped.get(row.wrapped)
        if found is None or (found.number, found.owner) != (row.number, row.owner):
            context = _wrapping_context(row.owner, row.number)
            secret = self.wrapping.unwrap(row.wrapped_by, row.wrapped, context)
            found = self._unwrapped[row.wrapped] = DataKey(row.number, row.owner, secret)
        return found


def _context(owner: str, where: str) -> bytes:
    return f"mintage value 1\n{owner}\n{where}".encode()


def _wrapping_context(owner: str, number: int) -> bytes:
    return f"mintage data key 1\n{owner}\n{number}".encode()
