"""What all servers on one PostgreSQL know at once: whether something changed, and their limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import psycopg

from mintage.store.buckets import Poured

_PAUSE_SECONDS = 1.0  # an address that does not answer is not asked on every call
_ANSWER_SECONDS = 2


class Line:
    """One connection of its own, without transactions, for what is asked on every call.

    A round trip takes 75 µs on the same machine; the pool's way takes four of them.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._mine = Lock()
        self._connection: psycopg.Connection | None = None
        self._refused: psycopg.Error | None = None
        self._again_at = 0.0

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
        connection = self._connected()
        try:
            row = connection.execute(statement, values, prepare=True).fetchone()
        finally:
            if connection.closed:
                self._drop()
        if row is None:
            raise psycopg.DataError("a row is missing")
        return row

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            if self._refused is not None and time.monotonic() < self._again_at:
                raise self._refused
            try:
                self._connection = self._connect()
                self._connection.execute(f"SET statement_timeout = '{_ANSWER_SECONDS}s'")
            except psycopg.Error as error:
                self._refused, self._again_at = error, time.monotonic() + _PAUSE_SECONDS
                self._drop()
                raise
            self._refused = None
        return self._connection

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


class SharedBuckets:
    """A table of buckets; each pour is one statement, so that all servers' together are exact."""

    def __init__(self, line: Line, explained: Callable[[BaseException], BaseException]) -> None:
        self._line = line
        self._explained = explained

    def pour(self, name: str, seconds: float, *, room_seconds: float, now: float) -> Poured:
        """See ``Buckets``.

        Raises:
            DependencyDown: PostgreSQL does not answer.
        """
        numbers = {"seconds": float(seconds), "room": float(room_seconds), "now": float(now)}
        try:
            fitted, level = self._line.ask(_POUR, {"name": name, **numbers})
        except psycopg.Error as error:
            raise self._explained(error) from error
        return Poured(fitted, level)
