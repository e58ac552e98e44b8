"""The few statements of every call: text for the driver, written once for every database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Table
from sqlalchemy.dialects import sqlite

_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")
Values = Mapping[str, Any]


class Statement:
    """SQL with parameters written ``:name``, as SQLite takes them; psycopg wants ``%(name)s``."""

    def __init__(self, sql: str) -> None:
        turned = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        self._texts = {"sqlite": sql, "postgresql": turned}

    def execute(self, connection: Connection, **values: Any) -> CursorResult[Any]:
        """Rows with names; it takes 15 µs and more."""
        return connection.exec_driver_sql(self._texts[connection.dialect.name], values)

    def only(self, connection: Connection) -> Any:
        """The one value of one without parameters; by the driver itself: 2 µs, not 15."""
        return _driver(connection).execute(self._texts[connection.dialect.name]).fetchone()[0]

    def execute_many(self, connection: Connection, rows: Sequence[Values]) -> int:
        """For each of the rows, by the driver itself; how many rows of the table it changed."""
        text = self._texts[connection.dialect.name]
        cursor = _driver(connection).cursor()
        if len(rows) == 1:
            cursor.execute(text, rows[0])
        else:
            cursor.executemany(text, rows)
        return int(cursor.rowcount)


def insert_or_change(
    connection: Connection, table: Table, row: Values, changes: Values, *, key: Sequence[str]
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
