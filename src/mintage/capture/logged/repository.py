"""All SQL of this room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy

from mintage.store.sealed import sealer_of
from mintage.store.statements import Statement
from mintage.trust.erasures import Erasures
from mintage.trust.repository import opened_leaf

Connection = sqlalchemy.Connection
USAGE = "usage"
"""The kind of the leaves that usage events have."""

# Text for the driver: what Core does to each value takes as long as all else that is done to it.
_LOGGED = ("kind", "record", "salt", "leaf_hash")
_JOINED = "FROM usage_events AS e LEFT JOIN log_leaves AS l ON l.position = e.log_position"
_AFTER = "WHERE e.sequence > :after AND e.sequence <= :until"
_OF_CUSTOMER = "AND e.customer = :customer AND e.recorded_at >= :begin AND e.recorded_at < :end"
_IN_ORDER = "ORDER BY e.sequence LIMIT :limit"


class Events:
    """Events in their order, each as these columns and its leaf's; made once."""

    def __init__(self, columns: Sequence[str]) -> None:
        """A row is ``columns``, then ``kind, record, salt, leaf_hash``: NULL without a leaf.

        ``log_position`` is among the columns. Without record and salt, but with a kind, is an event
        whose customer was erased.
        """
        self._columns = len(columns)
        self._position = columns.index("log_position")
        own = [f"e.{name}" for name in columns]
        asked = ", ".join([*own, *(f"l.{name}" for name in _LOGGED)])
        asked = f"SELECT {asked} {_JOINED} {_AFTER}"
        self._any = Statement(f"{asked} {_IN_ORDER}")
        self._of_customer = Statement(f"{asked} {_OF_CUSTOMER} {_IN_ORDER}")

    def after(
        self, connection: Connection, erasures: Erasures, sequence: int, until: int, limit: int
    ) -> Sequence[Sequence[Any]]:
        """So many after a sequence, up to and including another."""
        values = {"after": sequence, "until": until, "limit": limit}
        return self._read(connection, erasures, self._any, **values)

    def of_customer(
        self,
        connection: Connection,
        erasures: Erasures,
        customer: str,
        moments: tuple[str, str],
        sequences: tuple[int, int],
        limit: int,
    ) -> Sequence[Sequence[Any]]:
        """So many of a customer's, recorded from one moment on and before another.

        ``sequences`` are as for ``after``.
        """
        return self._read(
            connection,
            erasures,
            self._of_customer,
            customer=customer,
            begin=moments[0],
            end=moments[1],
            after=sequences[0],
            until=sequences[1],
            limit=limit,
        )

    def _read(
        self, connection: Connection, erasures: Erasures, statement: Statement, **values: Any
    ) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = statement.by_driver(connection, **values).fetchall()
        if sealer_of(connection) is None:
            return rows
        return [self._opened(connection, erasures, each) for each in rows]

    def _opened(
        self, connection: Connection, erasures: Erasures, row: Sequence[Any]
    ) -> Sequence[Any]:
        kind, record, salt, leaf_hash = row[self._columns :]
        if kind is None:
            return row
        leaf = opened_leaf(connection, row[self._position], record, salt)
        is_erased = leaf.erased and erasures.of(connection, leaf) is not None
        said = (None, None) if is_erased else (leaf.record, leaf.salt)
        return *row[: self._columns], kind, *said, leaf_hash
