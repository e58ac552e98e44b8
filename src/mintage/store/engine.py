"""One database, one thread that commits: writes that wait together share one flush.

SQLite's own waiting starves under load, so the committer holds an exclusive ``flock`` beside the
database from BEGIN IMMEDIATE to COMMIT; it survives kill -9 of whoever held it.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError

from mintage.core.errors import ConfigError, DependencyDown, MintageError
from mintage.core.messages import _
from mintage.store.buckets import Buckets
from mintage.store.epoch import Epoch
from mintage.store.refusals import explained

T = TypeVar("T")
REVISIONS = ("0001",)
"""The shapes that the tables ever had, the newest last: those that can be brought up to date."""
_MOST_IN_ONE_COMMIT = 512


@dataclass(frozen=True)
class _Write:
    work: Callable[[Connection], Any]
    done: Future[Any]
    only_adds: bool


class Database:
    """Reads go through a pool; every write goes through the one committer of this process."""

    def __init__(self, path: Path, refusal: MintageError | None = None) -> None:
        """``refusal`` is why nothing can be written: then files are only read."""
        self.path = path
        self._refusal = refusal
        self._engine = _engine(path) if refusal is None else _reading_engine(path)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._known: Epoch | None = None
        self._writing: Connection | None = None
        self._buckets: Buckets | None = None

    def epoch(self) -> int | None:
        """A number that stands for all that was committed but what only adds (see ``submit``).

        What was read from the database may be kept while it is the same before the reading and
        now. None: a change is under way, or nobody can say; then nothing may be kept.

        Raises:
            DependencyDown: its file cannot be made.
        """
        if self._refusal is not None:
            return None
        return self._epoch().now()

    def _epoch(self) -> Epoch:
        if self._known is None:
            path = self.path.with_name(f"{self.path.name}.epoch")
            try:
                self._known = Epoch(path)
            except OSError as error:
                raise explained(error, path) from error
        return self._known

    def buckets(self) -> Buckets:
        """What rate limits are counted with, in a file beside the database.

        Raises:
            DependencyDown: it cannot be made.
        """
        if self._buckets is None:
            if self._refusal is not None:
                raise self._refusal
            path = self.path.with_name(f"{self.path.name}.rates")
            try:
                self._buckets = Buckets(path)
            except OSError as error:
                raise explained(error, path) from error
        return self._buckets

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading, in one consistent snapshot."""
        try:
            with self._engine.connect() as connection, connection.begin():
                yield connection
        except (DBAPIError, sqlite3.Error) as error:
            raise explained(error, self.path) from error

    def submit(self, work: Callable[[Connection], T], *, only_adds: bool = False) -> Future[T]:
        """Queue a write; resolved once it is on disk. A failing write fails alone.

        ``only_adds``: it adds rows that nobody keeps in memory, such as usage events, so that it
        leaves ``epoch`` as it is.
        """
        if self._refusal is not None:
            raise self._refusal
        done: Future[T] = Future()
        with self._starting:
            if self._closed:
                raise DependencyDown(_("The workspace is closed."), remedy=_("Open it again."))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._queue.put(_Write(work, done, only_adds))
        return done

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do a write and wait until it is on disk."""
        return self.submit(work).result()

    def is_current(self) -> bool:
        """Whether the tables have this version's shape; False where there are none, or older ones.

        Raises:
            ConfigError: they were made by a newer Mintage.
        """
        if not self.path.exists():
            return False
        with self.read() as connection:
            return self._revision(connection) == REVISIONS[-1]

    def is_empty(self) -> bool:
        """Whether there are no tables of ours yet."""
        if not self.path.exists():
            return True
        with self.read() as connection:
            return self._revision(connection) is None

    def migrate(self) -> None:
        """Bring the tables to this version's shape.

        Raises:
            ConfigError: they were made by a newer Mintage.
            DependencyDown: the database cannot be written.
        """
        try:
            with self._exclusive(), self._writer() as connection:
                if self._revision(connection) != REVISIONS[-1]:
                    _upgrade(connection)
        except (DBAPIError, sqlite3.Error, OSError) as error:
            raise explained(error, self.path) from error

    def _revision(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if found is not None and found not in REVISIONS:
            raise ConfigError(
                _(
                    "{path} was made by a newer Mintage (schema {found}, ours {revision}).",
                    path=self.path,
                    found=found,
                    revision=REVISIONS[-1],
                ),
                remedy=_("Upgrade with: pip install --upgrade mintage"),
            )
        return found

    def close(self) -> None:
        """Finish what is queued, then let go of the files."""
        with self._starting:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None:
            thread.join()
        self._engine.dispose()
        for beside in (self._known, self._buckets):
            if beside is not None:
                beside.close()

    def _run(self) -> None:
        try:
            self._write_until_closed()
        finally:
            self._let_go()

    def _write_until_closed(self) -> None:
        open_for_work = True
        while open_for_work:
            batch = [self._queue.get()]
            with suppress(queue.Empty):
                while len(batch) < _MOST_IN_ONE_COMMIT:
                    batch.append(self._queue.get_nowait())
            open_for_work = None not in batch
            writes = [
                write
                for write in batch
                if write is not None and write.done.set_running_or_notify_cancel()
            ]
            if writes:
                self._commit(writes)

    def _commit(self, writes: list[_Write]) -> None:
        results: list[tuple[Future[Any], Any]] = []
        failures: list[tuple[Future[Any], BaseException]] = []
        failed = False
        try:
            with self._exclusive(), self._changing(writes), self._committing() as connection:
                for write in writes:
                    try:
                        with _savepoint(connection) if len(writes) > 1 else nullcontext():
                            results.append((write.done, write.work(connection)))
                    except Exception as error:
                        # A full disk makes SQLite take the whole transaction back, and a COMMIT
                        # after that succeeds: nobody's write holds.
                        if len(writes) == 1 or not _in_transaction(connection):
                            raise
                        failures.append((write.done, explained(error, self.path)))
        except Exception as error:  # noqa: BLE001 - the commit itself failed: nobody's write holds
            cause = explained(error, self.path)
            failures = [(write.done, cause) for write in writes]
            results = []
            failed = True
        for done, value in results:
            done.set_result(value)
        for done, reason in failures:
            done.set_exception(reason)
        if failed:
            self._let_go()

    def _changing(self, writes: list[_Write]) -> AbstractContextManager[None]:
        if all(write.only_adds for write in writes):
            return nullcontext()
        return self._epoch().changing()

    @contextmanager
    def _committing(self) -> Iterator[Connection]:
        """The committer's own connection, which it keeps: the pool's takes 70 µs of each commit."""
        if self._writing is None:
            self._writing = self._engine.connect().execution_options(mintage_write=True)
        with self._writing.begin():
            yield self._writing

    def _let_go(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            with suppress(Exception):  # it may be broken: another takes its place
                writing.close()

    @contextmanager
    def _writer(self) -> Iterator[Connection]:
        with self._engine.connect() as plain:
            connection = plain.execution_options(mintage_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    # Parameters hold customers' data: they belong in no message.
    engine = create_engine(url, pool_size=16, max_overflow=48, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's "begin" event says BEGIN, not the driver
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA busy_timeout=10000")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("mintage_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

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


def _upgrade(connection: Connection) -> None:
    # Alembic takes 0.2 s to import, so only a database that has to change pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "mintage.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _savepoint(connection: Connection) -> Iterator[None]:
    """A write among others that stand when it fails; by the driver: 1 µs, not 57."""
    driver = driver_of(connection)
    driver.execute("SAVEPOINT one_of_several")
    try:
        yield
    except BaseException:
        if driver.in_transaction:
            driver.execute("ROLLBACK TO one_of_several")
            driver.execute("RELEASE one_of_several")
        raise
    driver.execute("RELEASE one_of_several")


def _in_transaction(connection: Connection) -> bool:
    return driver_of(connection).in_transaction


def driver_of(connection: Connection) -> sqlite3.Connection:
    """What is under SQLAlchemy, for the few statements of every call: 2 µs, not 15."""
    return cast("sqlite3.Connection", connection.connection.driver_connection)
