"""What all servers on one PostgreSQL know at once: whether something changed, and their limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import psycopg

from mintage.store.buckets import Poured


class Door:
    """Connects; where that took long and failed, it fails at once for as long again.

    So of the event loop, which waits for it, an address that swallows everything takes half.
    """

    def __init__(self) -> None:
        self._refused: psycopg.Error | None = None
        self._closed_until = 0.0

    def connect(self, **given: Any) -> psycopg.Connection:
        """A connection.

        Raises:
            psycopg.Error: there is none.
        """
        begun = time.monotonic()
        if self._refused is not None and begun < self._closed_until:
            raise self._refused.with_traceback(None)
        try:
            connection = psycopg.connect(**given)
        except psycopg.Error as error:
            now = time.monotonic()
            self._refused, self._closed_until = error, now + (now - begun)
            raise
        self._refused = None
        return connection


class Line:
    """One connection of its own, without transactions, for what is asked on every call.

    A round trip takes 75 µs on the same machine; the pool's way takes four of them.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._mine = Lock()
        self._connection: psycopg.Connection | None = None

    def ask(self, statement: str, values: dict[str, Any] | None = None) -> tuple[Any, ...]:
        """The one row of an answer; asked again where the connection had ended meanwhile.

        Raises:
            psycopg.Error: there is no answer.
        """
        with self._mine:
            kept = self._connection is not None
            try:
                return self._asked(statement, values)
            except psycopg.OperationalError:
                if not kept or self._connection is not None:
                    raise
                return self._asked(statement, values)

    def close(self) -> None:
        """Hang up."""
        with self._mine:
            self._drop()

    def _asked(self, statement: str, values: dict[str, Any] | None) -> tuple[Any, ...]:
        if self._connection is None:
            self._connection = self._connect()
        try:
            row = self._connection.execute(statement, values, prepare=True).fetchone()
        finally:
            if self._connection.closed:
                self._drop()
        if row is None:
            raise psycopg.DataError(statement)  # its row is missing
        return row

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SharedEpoch:
    """The number that each change raises, as it stands at this moment."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def now(self) -> int | None:
        """The number; None while nobody answers, so that nothing is kept."""
        try:
            return int(self._line.ask("SELECT number FROM changes")[0])
        except psycopg.Error:
            return None


_LEVEL = "least(greatest(b.empty_at - %(now)s, 0), %(room)s)"
_POUR = f"""
INSERT INTO rate_buckets AS b (name, empty_at, fitted) VALUES (
    %(name)s,
    %(now)s + CASE WHEN %(seconds)s <= %(room)s + 1e-6 THEN greatest(%(seconds)s, 0) ELSE 0 END,
    %(seconds)s <= %(room)s + 1e-6)
ON CONFLICT (name) DO UPDATE SET
    fitted = {_LEVEL} + %(seconds)s <= %(room)s + 1e-6,
    empty_at = %(now)s + CASE WHEN {_LEVEL} + %(seconds)s <= %(room)s + 1e-6
        THEN greatest({_LEVEL} + %(seconds)s, 0) ELSE {_LEVEL} END
RETURNING fitted, empty_at - %(now)s
"""  # noqa: S608 - our own text


# What drained a day ago is as good as none, by anybody's clock.
_CLEAR = """
WITH gone AS (
    DELETE FROM rate_buckets WHERE empty_at < %(now)s - 86400 RETURNING 1
) SELECT count(*) FROM gone
"""


class SharedBuckets:
    """A table of buckets; each pour is one statement, so that all servers' together are exact."""

    def __init__(self, line: Line, explained: Callable[[BaseException], BaseException]) -> None:
        self._line = line
        self._explained = explained
        self._cleared = False

    def pour(self, name: str, seconds: float, *, room_seconds: float, now: float) -> Poured:
        """See ``Buckets``.

        Raises:
            DependencyDown: PostgreSQL does not answer.
        """
        numbers = {"seconds": float(seconds), "room": float(room_seconds), "now": float(now)}
        if not self._cleared:  # once a process: those of long ago
            self._ask(_CLEAR, {"now": float(now)})
            self._cleared = True
        fitted, level = self._ask(_POUR, {"name": name, **numbers})
        return Poured(fitted, level)

    def _ask(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...]:
        try:
            return self._line.ask(statement, values)
        except psycopg.Error as error:
            raise self._explained(error) from error
