"""One database, one thread that commits: writes that wait together share one flush.

What is SQLite's or PostgreSQL's own way is behind ``Backend``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, inspect

from mintage.core.errors import ConfigError, DependencyDown, MintageError
from mintage.core.messages import _
from mintage.store.backend import Backend
from mintage.store.buckets import Buckets
from mintage.store.schema import metadata
from mintage.store.sealed import Sealer, know

T = TypeVar("T")
REVISIONS = ("0001",)
"""The shapes that the tables ever had, the newest last: those that can be brought up to date."""
_MOST_IN_ONE_COMMIT = 512
_MOST_WAITING = 10_000
"""Writes that may wait; callers give up waiting sooner than a stalled disk comes back."""


@dataclass(frozen=True)
class _Write:
    work: Callable[[Connection], Any]
    done: Future[Any]
    only_adds: bool


class Database:
    """Reads go through a pool; every write goes through the one committer of this process."""

    def __init__(
        self, backend: Backend, refusal: MintageError | None = None, *, passing: bool = False
    ) -> None:
        """``refusal`` is why nothing can be written."""
        self._backend = backend
        self._refusal = refusal
        self._engine = backend.engine
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False
        self._writing: Connection | None = None
        self._passing = passing
        self._beside: Database | None = None
        self._sealer: Sealer | None = None

    def seal_with(self, sealer: Sealer) -> None:
        """Have every connection know what its sealed columns are closed and opened with."""
        self._sealer = sealer

    def scrub(self, *, whole: bool) -> None:
        """Have nothing left on the disk of what rows said before, as far as the database can.

        ``whole``: of any row ever, which takes as long as copying the database; else of those that
        were removed with their bytes overwritten.

        Raises:
            DependencyDown: somebody reads for too long.
        """
        try:
            self._backend.scrub(whole=whole)
        except self._backend.errors as error:
            raise self._backend.explained(error) from error

    @property
    def passing(self) -> Database:
        """The same database with a committer that does not wait for the disk.

        For what may be lost with the power, such as holds: a commit takes 0.1 ms, not a flush.
        """
        with self._starting:
            if self._beside is None:
                self._beside = Database(self._backend, self._refusal, passing=True)
                self._beside._closed = self._closed  # noqa: SLF001 - its own kind
            return self._beside

    @property
    def where(self) -> str:
        """What messages call it: a path, or host and name."""
        return self._backend.where

    @property
    def is_committing_here(self) -> bool:
        """Whether this is asked within a write, where none may wait for another."""
        return threading.current_thread() is self._thread

    def epoch(self) -> int | None:
        """A number that stands for all that was committed but what only adds (see ``submit``).

        What was read from the database may be kept while it is the same before the reading and
        now. None: a change is under way, or nobody can say; then nothing may be kept.

        Raises:
            DependencyDown: its file cannot be made.
        """
        return None if self._refusal is not None else self._backend.epoch()

    def buckets(self) -> Buckets:
        """What rate limits are counted with, by all processes together.

        Raises:
            DependencyDown: they cannot be made.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._backend.buckets()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading, in one consistent snapshot."""
        try:
            with self._engine.connect() as connection:
                know(connection, self._sealer)
                with connection.begin():
                    yield connection
        except self._backend.errors as error:
            raise self._backend.explained(error) from error

    def submit(self, work: Callable[[Connection], T], *, only_adds: bool = False) -> Future[T]:
        """Queue a write; resolved once it is on disk. A failing write fails alone.

        Nothing is tried twice: where it fails with DependencyDown it may have been committed. The
        work is done in the context of whoever asks for it, so that the log can say who that was.

        ``only_adds``: it adds rows that nobody keeps in memory, such as usage events, so that it
        leaves ``epoch`` as it is.

        Raises:
            DependencyDown: the workspace is closed, or more writes wait than memory should hold.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._queue.qsize() >= _MOST_WAITING:
            raise DependencyDown(
                _(
                    "{path} does not keep up: {count} writes wait.",
                    path=self.where,
                    count=_MOST_WAITING,
                ),
                remedy=_("Look at its disk; it is tried again with the next call."),
            )
        done: Future[T] = Future()
        context = copy_context()
        with self._starting:
            if self._closed:
                raise DependencyDown(_("The workspace is closed."), remedy=_("Open it again."))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()
            self._queue.put(_Write(lambda each: context.run(work, each), done, only_adds))
        return done

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do a write and wait until it is on disk."""
        return self.submit(work).result()

    def is_current(self) -> bool:
        """Whether the tables have this version's shape; False where there are none, or older ones.

        Raises:
            ConfigError: they were made by a newer Mintage, or by another of the same revision.
        """
        if not self._backend.exists():
            return False
        with self.read() as connection:
            current = self._revision(connection) == REVISIONS[-1]
            if current:
                self._check_columns(connection)
            return current

    def is_empty(self) -> bool:
        """Whether there are no tables of ours yet."""
        if not self._backend.exists():
            return True
        with self.read() as connection:
            return self._revision(connection) is None

    def migrate(self) -> None:
        """Bring the tables to this version's shape.

        Raises:
            ConfigError: they were made by a newer Mintage, or by another of the same revision.
            DependencyDown: the database cannot be written.
        """
        refusals: tuple[type[Exception], ...] = (*self._backend.errors, OSError)
        try:
            with (
                self._backend.writer() as connection,
                self._backend.committing(connection, changes=False),
            ):
                if self._revision(connection) != REVISIONS[-1]:
                    _upgrade(connection)
                else:
                    self._check_columns(connection)
        except refusals as error:
            raise self._backend.explained(error) from error

    def _revision(self, connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        if found is not None and found not in REVISIONS:
            raise ConfigError(
                _(
                    "{path} was made by a newer Mintage (schema {found}, ours {revision}).",
                    path=self.where,
                    found=found,
                    revision=REVISIONS[-1],
                ),
                remedy=_("Upgrade with: pip install --upgrade mintage"),
            )
        return found

    def _check_columns(self, connection: Connection) -> None:
        """Refuse tables that another version made under the same revision."""
        lacks = _lacking(connection)
        if lacks:
            raise ConfigError(
                _("{path} lacks {columns}.", path=self.where, columns=", ".join(lacks)),
                remedy=_("It was made by another version; open it with that, or name another."),
            )

    def close(self) -> None:
        """Finish what is queued, then let go of the files."""
        with self._starting:
            self._closed = True
            thread, beside = self._thread, self._beside
            self._queue.put(None)
        if beside is not None:
            beside.close()
        if thread is not None:
            thread.join()
        if not self._passing:
            self._backend.close()

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
        backend = self._backend
        results: list[tuple[Future[Any], Any]] = []
        failures: list[tuple[Future[Any], BaseException]] = []
        failed = False
        try:
            with self._committing(writes) as connection:
                for write in writes:
                    try:
                        with backend.savepoint(connection) if len(writes) > 1 else nullcontext():
                            value = write.work(connection)
                        results.append((write.done, value))
                    except Exception as error:
                        # Where the whole transaction is gone, nobody's write holds.
                        if len(writes) == 1 or not backend.is_whole(connection):
                            raise
                        failures.append((write.done, backend.explained(error)))
        except Exception as error:  # noqa: BLE001 - the commit itself failed: nobody's write holds
            cause = backend.explained(error)
            failures = [(write.done, cause) for write in writes]
            results = []
            failed = True
        for done, value in results:
            done.set_result(value)
        for done, reason in failures:
            done.set_exception(reason)
        if failed:
            self._let_go()

    @contextmanager
    def _committing(self, writes: list[_Write]) -> Iterator[Connection]:
        changes = not all(write.only_adds for write in writes)
        with ExitStack() as stack:
            yield self._begun(stack, changes=changes)

    def _begun(self, stack: ExitStack, *, changes: bool) -> Connection:
        """The committer's own connection, which it keeps: the pool's takes 70 µs of each commit."""
        kept = self._writing is not None
        connection = self._kept()
        try:
            stack.enter_context(self._backend.committing(connection, changes=changes))
        except self._backend.errors:
            if not kept or not self._backend.is_lost(connection):
                raise
            # It ended while nobody used it, and nothing was asked of it yet.
            self._let_go()
            connection = self._kept()
            stack.enter_context(self._backend.committing(connection, changes=changes))
        return connection

    def _kept(self) -> Connection:
        if self._writing is None:
            self._writing = self._backend.writer(passing=self._passing)
        know(self._writing, self._sealer)
        return self._writing

    def _let_go(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        with suppress(Exception):  # it may be broken: another takes its place
            if self._backend.is_lost(writing):
                writing.invalidate()
            writing.close()


def _upgrade(connection: Connection) -> None:
    # Alembic takes 0.2 s to import, so only a database that has to change pays for it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "mintage.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lacking(connection: Connection) -> list[str]:
    """Tables and columns that this version expects and that are not there."""
    found = {
        table: {column["name"] for column in columns}
        for (__, table), columns in inspect(connection).get_multi_columns().items()
    }
    lacks: list[str] = []
    for table in metadata.sorted_tables:
        if table.name in found:
            lacks += [str(each) for each in table.columns if each.name not in found[table.name]]
        else:
            lacks.append(table.name)
    return lacks
