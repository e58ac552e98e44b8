"""The few statements of every call: text for the driver, written once for every database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table
from sqlalchemy.dialects import sqlite

_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")
_SIZES = (64, 16, 4, 1)
"""Rows that are one statement: few texts, so that the drivers keep them all."""


class Statement:
    """SQL with parameters written ``:name``, as SQLite takes them; psycopg wants ``%(name)s``."""

    def __init__(self, sql: str) -> None:
        turned = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        self._texts = {"sqlite": sql, "postgresql": turned}

    def execute(self, connection: Connection, **values: Any) -> CursorResult[Any]:
        """Rows with names; it takes 15 µs and more."""
        return connection.exec_driver_sql(self._texts[connection.dialect.name], values)

    def execute_each(self, connection: Connection, values: Sequence[Mapping[str, Any]]) -> None:
        """The same for several, in their order, by one call of the driver."""
        connection.exec_driver_sql(self._texts[connection.dialect.name], list(values))

    def by_driver(self, connection: Connection, **values: Any) -> Any:
        """A cursor of the driver's own, whose rows are tuples: 3 µs and more, not 15."""
        return _driver(connection).execute(self._texts[connection.dialect.name], values)

    def only(self, connection: Connection) -> Any:
        """The one value of one without parameters, by the driver itself."""
        return _driver(connection).execute(self._texts[connection.dialect.name]).fetchone()[0]


class Insertion:
    """``INSERT`` of rows that come in numbers, by the driver itself, many with each statement.

    SQLite's driver lets go of the interpreter's lock for each statement that it runs, and has to
    wait for it again where others want it too.
    """

    def __init__(self, table: Table, columns: Sequence[str], rest: str = "") -> None:
        """Values come in the order of ``columns``; ``rest`` is a clause such as ON CONFLICT."""
        names = ", ".join(columns)
        self._head = f"INSERT INTO {table.name} ({names}) VALUES "  # noqa: S608 - our own names
        self._rest = rest
        self._width = len(columns)
        self._texts: dict[tuple[str, int], str] = {}

    def execute(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Insert them in their order; how many the table has more."""
        cursor = _driver(connection).cursor()
        done = added = 0
        for size in _SIZES:
            while len(rows) - done >= size:
                part = rows[done : done + size]
                values = part[0] if size == 1 else [each for row in part for each in row]
                cursor.execute(self._text(connection.dialect.name, size), values)
                added += int(cursor.rowcount)
                done += size
        return added

    def _text(self, dialect: str, rows: int) -> str:
        """The same object each time: both drivers keep what they have prepared by it."""
        found = self._texts.get((dialect, rows))
        if found is None:
            row = ", ".join(["?" if dialect == "sqlite" else "%s"] * self._width)
            values = ", ".join([f"({row})"] * rows)
            found = self._texts[dialect, rows] = f"{self._head}{values}{self._rest}"
        return found


def insert_or_change(
    connection: Connection,
    table: Table,
    row: Mapping[str, Any],
    changes: Mapping[str, Any],
    *,
    key: Sequence[str],
) -> None:
    """Insert the row, or make the changes to the one that has its key already."""
    if connection.dialect.name == "postgresql":
        # 25 ms to import, which whoever has SQLite need not wait for.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        inserted: sqlite.Insert | postgresql.Insert = postgresql.insert(table).values(row)
    else:
        inserted = sqlite.insert(table).values(row)
    connection.execute(inserted.on_conflict_do_update(index_elements=key, set_=changes))


def _driver(connection: Connection) -> Any:
    """What is under SQLAlchemy; both drivers have cursors with the same verbs."""
    return connection.connection.driver_connection
