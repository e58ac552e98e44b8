"""PostgreSQL, for workspaces that outgrew SQLite: the same promises by its own means.

Whoever commits holds an advisory lock from its first statement to its end, so that the audit log
has no gap, what is read before a write still holds, and rows become visible in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, cast

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoneFree

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.store.buckets import Buckets
from mintage.store.postgres_refusals import explained
from mintage.store.postgres_shared import Door, Line, SharedBuckets, SharedEpoch

_DRIVER = "postgresql+psycopg"
_SAVEPOINT = "SAVEPOINT one_of_several"
_NEXT_SAVEPOINT = f"RELEASE one_of_several; {_SAVEPOINT}"
_LOCK = int.from_bytes(b"mintage", "big")
# The line for epoch and buckets comes on top; the committer's connection is one of these.
_POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": 10}
# A server that is gone is noticed within 15 s, one that hangs with the lock in its hand is let go
# by PostgreSQL after a minute, and nobody waits for the lock longer than 30 s.
_CONNECTING = {
    "application_name": "mintage",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "2",
    "tcp_user_timeout": "15000",
    "options": "-c idle_in_transaction_session_timeout=60s -c lock_timeout=30s",
}
# For what the event loop waits for.
_ASKING: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": "2",
    "tcp_user_timeout": "2000",
    "options": "-c statement_timeout=2s",
}
# What is acknowledged is on the disk, whatever the server's own setting.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

_PASSING = "SELECT set_config('synchronous_commit', 'off', false)"


class Postgres:
    """Implements ``Backend``."""

    errors: tuple[type[Exception], ...] = (DBAPIError, NoneFree, psycopg.Error)

    def __init__(self, address: SecretStr) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigError: the address is none of a PostgreSQL database.
        """
        url = _parsed(address)
        self.where = _where(url)
        self._url, self._door = url, Door()
        door = self._door
        self.engine = _engine(url, door)
        self._passing: Engine | None = None
        __, given = self.engine.dialect.create_connect_args(url)
        self._line = Line(lambda: door.connect(**{**_CONNECTING, **_ASKING, **given}))
        self._epoch = SharedEpoch(self._line)
        self._buckets: SharedBuckets | None = None
        self._saved = False

    def exists(self) -> bool:
        """Whoever runs PostgreSQL has made it."""
        return True

    def writer(self, *, passing: bool = False) -> Connection:
        """A connection whose every statement sees what was committed before it."""
        if passing and self._passing is None:
            self._passing = _engine(self._url, self._door, passing=True)
        engine = self._passing if passing and self._passing is not None else self.engine
        writing = engine.connect()
        return writing.execution_options(mintage_write=True, isolation_level="READ COMMITTED")

    @contextmanager
    def committing(self, connection: Connection, *, changes: bool) -> Iterator[None]:
        """Under the advisory lock, which ends with the transaction or its connection."""
        with connection.begin():
            driver = _driver(connection)
            driver.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            self._saved = False  # under the lock: two committers share this
            if changes:
                driver.execute("UPDATE changes SET number = number + 1")
            yield
            self._demand_whole(connection)

    @contextmanager
    def savepoint(self, connection: Connection) -> Iterator[None]:
        """By the driver; the one before is let go of in the same round trip, the last by COMMIT."""
        driver = _driver(connection)
        driver.execute(_NEXT_SAVEPOINT if self._saved else _SAVEPOINT, prepare=False)
        self._saved = True
        try:
            yield
            self._demand_whole(connection)
        except BaseException:
            if not driver.closed:
                driver.execute("ROLLBACK TO one_of_several")
            raise

    def is_whole(self, connection: Connection) -> bool:
        """Not where a statement failed and nothing was rolled back since."""
        return _driver(connection).info.transaction_status == TransactionStatus.INTRANS

    def _demand_whole(self, connection: Connection) -> None:
        """PostgreSQL would take all back at the end, and say nothing."""
        if not self.is_whole(connection):
            raise RuntimeError("a write went on after one of its statements had failed")

    def is_lost(self, connection: Connection) -> bool:
        """As the driver noticed when it last used it."""
        return connection.invalidated or _driver(connection).closed

    def epoch(self) -> int | None:
        """One row, asked for on every call."""
        return self._epoch.now()

    def buckets(self) -> Buckets:
        """In a table."""
        if self._buckets is None:
            self._buckets = SharedBuckets(self._line, self.explained)
        return self._buckets

    def damage(self, connection: Connection) -> str:  # noqa: ARG002
        """It checks itself."""
        return ""

    def size_bytes(self, connection: Connection) -> int:
        """Of the whole database."""
        found = connection.exec_driver_sql("SELECT pg_database_size(current_database())")
        return int(found.scalar_one())

    def scrub(self, *, whole: bool) -> None:
        """Tables are written anew; the server's own log of changes is out of our reach."""
        with self.engine.connect() as connection:
            driver = _driver(connection)
            driver.autocommit = True
            try:
                driver.execute("VACUUM FULL" if whole else "VACUUM FULL data_keys")
            finally:
                driver.autocommit = False

    def explained(self, error: BaseException) -> BaseException:
        """See ``postgres_refusals``."""
        return explained(error, self.where)

    def close(self) -> None:
        """Let go of all connections."""
        self._line.close()
        self.engine.dispose()
        if self._passing is not None:
            self._passing.dispose()


class _Whole(Loader):
    """The sum of integers, which PostgreSQL makes a decimal number; others there are none."""

    def load(self, data: Buffer) -> int | Decimal:
        text = bytes(data).decode()
        return Decimal(text) if "." in text else int(text)


def _driver(connection: Connection) -> psycopg.Connection:
    return cast("psycopg.Connection", connection.connection.driver_connection)


def _parsed(address: SecretStr) -> URL:
    try:
        url = make_url(address.get_secret_value())
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in (_DRIVER, "postgresql", "postgres"):
        raise ConfigError(  # the address stays out of it: there may be a password in it
            _("MINTAGE_DATABASE_URL is not the address of a PostgreSQL database."),
            remedy=_("Write it as {address}.", address=f"{_DRIVER}://USER:PASSWORD@HOST:5432/NAME"),
        )
    return url.set(drivername=_DRIVER)


def _where(url: URL) -> str:
    """Host, port and name, without who we are."""
    named = url.host or url.query.get("host") or "localhost"
    host = named if isinstance(named, str) else ",".join(named)
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL {host}{port}/{url.database or ''}"


def _engine(url: URL, door: Door, *, passing: bool = False) -> Engine:
    connecting = {name: value for name, value in _CONNECTING.items() if name not in url.query}
    engine = create_engine(
        url,
        connect_args=connecting,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        hide_parameters=True,
        **_POOL,
    )

    @event.listens_for(engine, "do_connect")
    def connect(
        _dialect: Any, _record: Any, _args: Any, given: dict[str, Any]
    ) -> psycopg.Connection:
        return door.connect(**given)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.adapters.register_loader("numeric", _Whole)
        connection.autocommit = True
        connection.execute(_PASSING if passing else _DURABLE)
        connection.autocommit = False

    return engine
