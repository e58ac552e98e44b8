"""SQLite, in files beside one another: the database, its lock, its epoch and its buckets.

SQLite's own waiting starves under load, so whoever commits holds an exclusive ``flock`` beside the
database from BEGIN IMMEDIATE to COMMIT; it survives kill -9 of whoever held it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from mintage.store.buckets import Buckets, FileBuckets
from mintage.store.epoch import Epoch
from mintage.store.refusals import explained


class Sqlite:
    """Implements ``Backend``."""

    errors: tuple[type[Exception], ...] = (DBAPIError, sqlite3.Error)

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        """Where nothing is ``writable``, its files are only read."""
        self._path = path
        self.where = str(path)
        self.engine = _engine(path) if writable else _reading_engine(path)
        self._passing: Engine | None = None
        self._epoch: Epoch | None = None
        self._buckets: FileBuckets | None = None

    def exists(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def writer(self, *, passing: bool = False) -> Connection:
        """A connection whose transactions begin by reserving the right to write."""
        if passing and self._passing is None:
            self._passing = _engine(self._path, synchronous="NORMAL")
        engine = self._passing if passing and self._passing is not None else self.engine
        return engine.connect().execution_options(mintage_write=True)

    @contextmanager
    def committing(self, connection: Connection, *, changes: bool) -> Iterator[None]:
        """Under the ``flock``; while something changes, the epoch has no number."""
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with self._known().changing() if changes else nullcontext(), connection.begin():
                yield
        finally:
            os.close(descriptor)

    @contextmanager
    def savepoint(self, connection: Connection) -> Iterator[None]:
        """By the driver: 1 µs, not 57."""
        driver = _driver(connection)
        driver.execute("SAVEPOINT one_of_several")
        try:
            yield
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK TO one_of_several")
                driver.execute("RELEASE one_of_several")
            raise
        driver.execute("RELEASE one_of_several")

    def is_whole(self, connection: Connection) -> bool:
        """A full disk makes SQLite take the whole transaction back; a COMMIT then succeeds."""
        return _driver(connection).in_transaction

    def is_lost(self, connection: Connection) -> bool:  # noqa: ARG002
        """There is nothing in between that could end."""
        return False

    def epoch(self) -> int | None:
        """From the mapped file: it costs nothing to ask on every call."""
        return self._known().now()

    def buckets(self) -> Buckets:
        """In a mapped file."""
        if self._buckets is None:
            path = self._path.with_name(f"{self._path.name}.rates")
            try:
                self._buckets = FileBuckets(path)
            except OSError as error:
                raise explained(error, path) from error
        return self._buckets

    def damage(self, connection: Connection) -> str:
        """What SQLite's own quick check says."""
        said = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
        return "" if said == "ok" else said

    def size_bytes(self, connection: Connection) -> int:  # noqa: ARG002
        """Of the file, without its log."""
        return self._path.stat().st_size

    def scrub(self, *, whole: bool) -> None:
        """Free pages and the log ahead of them hold what rows said before."""
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with self.engine.connect() as connection:
                driver = _driver(connection)
                if whole:
                    driver.execute("VACUUM")
                busy = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise sqlite3.OperationalError("database is locked")
        finally:
            os.close(descriptor)

    def explained(self, error: BaseException) -> BaseException:
        """See ``refusals``."""
        return explained(error, self._path)

    def close(self) -> None:
        """Let go of the files."""
        self.engine.dispose()
        if self._passing is not None:
            self._passing.dispose()
        for beside in (self._epoch, self._buckets):
            if beside is not None:
                beside.close()

    def _known(self) -> Epoch:
        if self._epoch is None:
            path = self._path.with_name(f"{self._path.name}.epoch")
            try:
                self._epoch = Epoch(path)
            except OSError as error:
                raise explained(error, path) from error
        return self._epoch


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _engine(path: Path, synchronous: str = "FULL") -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Parameters hold customers' data: they belong in no message.
    engine = create_engine(url, pool_size=16, max_overflow=48, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's "begin" event says BEGIN, not the driver
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA busy_timeout=10000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("mintage_write")
        # By the driver: an empty write takes 13 µs, not 21, and one to read 35, not 52.
        _driver(connection).execute("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _reading_engine(path: Path) -> Engine:
    """An engine over files that are only read, on a disk where nothing can be made beside them."""
    # Reading in WAL mode needs the index of the log (-shm); where there is no log, because whoever
    # wrote last closed it in order, SQLite does without if it is told that nobody writes.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    address = f"file:{quote(str(path))}?{mode}"
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False),
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine
