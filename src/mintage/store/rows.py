"""All rows of all tables, as lines that any of our databases can take in again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import sqlalchemy
from sqlalchemy import Column, LargeBinary, Table, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.store.engine import REVISIONS
from mintage.store.schema import metadata

Connection = sqlalchemy.Connection  # so that other rooms need not import SQLAlchemy
_ROWS_AT_ONCE = 2000
SHAPE = REVISIONS[-1]
"""The shape of the tables whose rows these are."""


def tables() -> list[str]:
    """The names of all tables, those that others refer to first."""
    return [table.name for table in metadata.sorted_tables]


def has_any(connection: Connection) -> bool:
    """Whether there is a row in any table."""
    return any(
        connection.execute(select(table.primary_key.columns[0]).limit(1)).first() is not None
        for table in metadata.sorted_tables
    )


def lines_of(connection: Connection, name: str) -> Iterator[bytes]:
    """A line with the names of a table's columns, then one a row; all as of one snapshot."""
    table = metadata.tables[name]
    yield _line([column.name for column in table.columns])
    asked = select(table).order_by(*table.primary_key.columns)
    binary = _binary(table)
    rows = connection.execute(asked, execution_options={"yield_per": _ROWS_AT_ONCE})
    for row in rows:
        yield _line(
            [
                base64.b64encode(_bytes(value)).decode()
                if n in binary and value is not None
                else value
                for n, value in enumerate(row)
            ]
        )


def take_in(connection: Connection, name: str, lines: Iterable[bytes]) -> int:
    """Add the rows that ``lines_of`` wrote; how many there were.

    Raises:
        DataError: they are not rows of this table, or contradict one another.
    """
    try:
        return _taken_in(connection, metadata.tables[name], lines)
    except (IntegrityError, StatementError, ValueError) as error:
        if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError):
            raise  # the disk is full, or the database is away
        raise DataError(
            _("The backup's rows of {name} contradict one another.", name=name),
            remedy=_("Name another backup; this one cannot be relied on."),
        ) from error


def _taken_in(connection: Connection, table: Table, lines: Iterable[bytes]) -> int:
    name = table.name
    found = iter(lines)
    columns = _parsed(name, next(found, b"[]"))
    if columns != [column.name for column in table.columns]:
        raise DataError(
            _("The backup has the table {name} with other columns than this version.", name=name),
            remedy=_("Restore it with the version of Mintage that made it."),
        )
    later: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    binary, count = _binary(table), 0
    while some := list(islice(found, _ROWS_AT_ONCE)):
        rows = []
        for line in some:
            values = _parsed(name, line)
            for n in binary:
                values[n] = None if values[n] is None else base64.b64decode(values[n])
            rows.append(dict(zip(columns, values, strict=True)))
        later += _set_aside(table, rows)
        connection.execute(insert(table), rows)
        count += len(rows)
    for key, said in later:
        wanted = [table.c[column] == value for column, value in key.items()]
        connection.execute(update(table).where(*wanted).values(said))
    return count


def go_on_counting(connection: Connection) -> None:
    """Have PostgreSQL number new rows after those taken in; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        last = connection.execute(select(func.max(column))).scalar()
        if last is not None:
            connection.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
                {"table": table.name, "column": column.name, "last": last},
            )


def _set_aside(
    table: Table, rows: list[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What rows say of other rows of their own table, which may not be there yet."""
    later = []
    for column in _of_itself(table):
        for row in rows:
            if row[column.name] is not None:
                key = {each.name: row[each.name] for each in table.primary_key.columns}
                later.append((key, {column.name: row[column.name]}))
                row[column.name] = None
    return later


def _of_itself(table: Table) -> list[Column[Any]]:
    return [
        column
        for column in table.columns
        if any(key.column.table is table for key in column.foreign_keys)
    ]


def _binary(table: Table) -> list[int]:
    return [n for n, column in enumerate(table.columns) if isinstance(column.type, LargeBinary)]


def _bytes(value: bytes | str) -> bytes:
    """SQLite keeps in any column what it is given; somebody may have given it text."""
    return value.encode() if isinstance(value, str) else value


def _line(values: list[Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _parsed(name: str, line: bytes) -> list[Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise DataError(_("The backup's table {name} is not one.", name=name))
    return found
