"""What one kind of database does in its own way; everything else is ``Database``'s."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy import Connection, Engine

from mintage.core.errors import missing_extra
from mintage.store.buckets import Buckets
from mintage.store.sqlite import Sqlite


class Backend(Protocol):
    """Engines, exclusive commits, the epoch, buckets, savepoints and refusals in words."""

    where: str
    """What messages call it: a path, or host and name; never a password."""
    errors: tuple[type[Exception], ...]
    """What its driver raises, and SQLAlchemy over it."""
    engine: Engine
    """Its pool of connections, each of which reads in one consistent snapshot."""

    def exists(self) -> bool:
        """Whether there is a database at all, with or without tables."""

    def writer(self, *, passing: bool = False) -> Connection:
        """A connection for ``committing``; what is ``passing`` need not survive a power cut."""

    def committing(
        self, connection: Connection, *, changes: bool
    ) -> AbstractContextManager[object]:
        """One transaction, within which no other process commits; its end is on the disk.

        ``changes`` gives the epoch another number. What fails on entering has done nothing.
        """

    def savepoint(self, connection: Connection) -> AbstractContextManager[None]:
        """A write among others of one transaction, which stand when it fails."""

    def is_whole(self, connection: Connection) -> bool:
        """Whether there is a transaction that can still be committed."""

    def is_lost(self, connection: Connection) -> bool:
        """Whether the connection has ended, so that only another one can go on."""

    def epoch(self) -> int | None:
        """See ``Database.epoch``."""

    def buckets(self) -> Buckets:
        """See ``Database.buckets``."""

    def damage(self, connection: Connection) -> str:
        """What is wrong with the database itself; "" where nothing is."""

    def size_bytes(self, connection: Connection) -> int:
        """What it takes on its disk."""

    def scrub(self, *, whole: bool) -> None:
        """See ``Database.scrub``; within no transaction."""

    def explained(self, error: BaseException) -> BaseException:
        """What was refused, and what to do; an error of the statement itself as it is."""

    def close(self) -> None:
        """Let go of connections and files."""


def backend_of(home: Path, address: SecretStr | None, *, writable: bool = True) -> Backend:
    """The database at an address, or SQLite in the workspace's folder where there is none.

    ``writable`` says whether files can be made in that folder.

    Raises:
        ConfigError: the address is none of a PostgreSQL database.
        DependencyDown: the driver is not installed.
    """
    if address is None:
        return Sqlite(home / "mintage.db", writable=writable)
    try:
        from mintage.store.postgres import Postgres  # noqa: PLC0415 - with its driver
    except ImportError as error:
        raise missing_extra("psycopg", "postgres") from error
    return Postgres(address)
