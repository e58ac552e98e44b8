"""Columns that are sealed where a workspace is: closed on the way in, opened on the way out.

This is the one place that knows which they are. Rooms write ``closed(connection, table, row)`` and
read by ``all_rows`` and ``first_row``; in an open workspace both leave everything as it is.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy import Column, Label, LargeBinary, Select, Table, and_, func, select, update

from mintage.core.errors import DataError, SealBroken
from mintage.core.messages import _
from mintage.store.schema import metadata, usage_events

Connection = sqlalchemy.Connection
Values = dict[str, Any]
WORKSPACE = "workspace"
"""Who owns what belongs to no customer and no dataset."""
_MARK = "\x1fsealed:"
"""What a sealed text begins with: no name, label or address that a person gives can."""
SEALED_BYTE = b"\x01"
"""What a sealed value begins with, and no JSON does."""
_NUMBER_BYTES = 4
MARK_BYTES = len(SEALED_BYTE) + _NUMBER_BYTES
"""How much of a sealed value says under which data key it is: ``mark_of`` its number."""
_OPTION = "mintage_sealer"


class Erased(DataError):
    """Whose key it was to be sealed under was erased."""


class Sealer(Protocol):
    """Seals values of a database; ``where`` names table, column and row."""

    def seal(self, connection: Connection, owner: str, where: str, data: bytes) -> bytes:
        """The data, sealed under the owner's newest key; it opens nowhere else.

        Raises:
            Erased: the owner was.
        """
        ...

    def open(
        self, connection: Connection, owner: str | None, where: str, sealed: bytes
    ) -> bytes | None:
        """The data; None where its owner was erased.

        ``owner`` is who it has to be of; what is the workspace's own may be anywhere.

        Raises:
            SealBroken: it is not what was sealed there, or not under this owner's key.
        """
        ...

    def index(self, connection: Connection, column: str, value: str) -> str:
        """What a value is found by that is not to be read: the same for the same value."""
        ...


@dataclass(frozen=True)
class Sealed:
    """What is sealed of a table: each column, and what stands in for it once its owner is erased.

    ``key`` are the columns that name a row, ``customer`` the one that says whose it is, and
    ``index`` maps a column to that which it is found by. The workspace's own have no ``customer``.
    """

    key: tuple[str, ...]
    columns: Mapping[str, str | None]
    customer: str | None = None
    index: Mapping[str, str] = field(default_factory=dict)


COLUMNS: Mapping[str, Sealed] = {
    "customers": Sealed(
        ("id",), {"name": "{key}", "details": "{{}}"}, "id", index={"name": "name_key"}
    ),
    "operators": Sealed(("id",), {"name": None}, index={"name": "name_key"}),
    "api_keys": Sealed(("id",), {"name": None}, "customer"),
    "webhook_endpoints": Sealed(("id",), {"url": ""}, "customer"),
    "notices": Sealed(("id",), {"data": "{{}}"}, "customer"),
    "feedback": Sealed(("receipt",), {"label": None, "output": "{{}}"}, "customer"),
    "answers": Sealed(("receipt",), {"answer": None}, "customer"),
    # What the law has a seller keep outlives whom it is about.
    "invoices": Sealed(("id",), {"document": None}),
    "statements": Sealed(("name", "number"), {"envelope": None}),
}
"""What is sealed of each table but the log's, which ``trust.repository`` does."""


def mark_of(number: int) -> bytes:
    """What a value begins with that is sealed under the data key of this number."""
    return SEALED_BYTE + number.to_bytes(_NUMBER_BYTES, "big")


def number_of(value: bytes) -> int | None:
    """Of the data key that a value is sealed under; None: it is not sealed."""
    if not value.startswith(SEALED_BYTE) or len(value) < MARK_BYTES:
        return None
    return int.from_bytes(value[len(SEALED_BYTE) : MARK_BYTES], "big")


def customer(name: str | None) -> str:
    """The owner of what is a customer's; of what is nobody's it is the workspace."""
    return WORKSPACE if name is None else f"customer/{name}"


def dataset(name: str) -> str:
    """The owner of what is a dataset's."""
    return f"dataset/{name}"


def sealer_of(connection: Connection) -> Sealer | None:
    """What seals the database of a connection; None where it is open."""
    found: Sealer | None = connection.get_execution_options().get(_OPTION)
    return found


def know(connection: Connection, sealer: Sealer | None) -> None:
    """Have a connection that was just opened, or is kept, know what seals its database."""
    if sealer is not None and sealer_of(connection) is not sealer:
        connection.execution_options(**{_OPTION: sealer})


def closed(connection: Connection, table: Table, row: Mapping[str, Any]) -> Values:
    """A row, or what changes of one, as it is kept; it names the row, and whose it is.

    What a column is found by is added; what only says whose it is, and is no column, goes.
    """
    sealer, said = sealer_of(connection), COLUMNS[table.name]
    kept = {name: value for name, value in row.items() if name in table.c}
    for column, by in said.index.items():
        if column in row:
            kept[by] = found_by(connection, table, column, row[column])
    if sealer is None:
        return kept
    for column in said.columns.keys() & row.keys():
        value = row[column]
        if value is not None:
            owner = WORKSPACE if said.customer is None else customer(row[said.customer])
            data = value if isinstance(value, bytes) else str(value).encode()
            where = _where(table.name, column, _named(row, said.key))
            sealed = seal_or_ours(sealer, connection, owner, where, data)
            kept[column] = sealed if isinstance(value, bytes) else _spelled(sealed)
    return kept


def seal_or_ours(
    sealer: Sealer, connection: Connection, owner: str, where: str, data: bytes
) -> bytes:
    """Sealed for its owner, or for the workspace where that was erased."""
    try:
        return sealer.seal(connection, owner, where, data)
    except Erased:
        return sealer.seal(connection, WORKSPACE, where, data)


def seal_rows(
    connection: Connection, *, name: str, after: str, most: int
) -> tuple[str | None, int]:
    """Seal what lies open of so many rows of a table after one.

    Where to go on, None after the last, and how many rows there were.
    """
    said, table = COLUMNS[name], metadata.tables[name]
    first = said.key[0]
    names = [table.c[each] for each in said.key]
    asked = select(table).where(table.c[first] > after).order_by(*names).limit(most)
    if name == "answers":  # they say by their event whose they are
        asked = asked.add_columns(usage_events.c.customer).join(usage_events)
    rows = connection.execute(asked).mappings().all()
    is_last = len(rows) < most
    if not is_last:  # others of the last one's name may follow: they wait for the next turn
        rows = [row for row in rows if row[first] != rows[-1][first]] or rows
    for row in rows:
        lying_open = {each: row[each] for each in said.columns if _lies_open(row[each])}
        if lying_open:
            whose = {} if said.customer is None else {said.customer: row[said.customer]}
            known = {**whose, **{each: row[each] for each in said.key}, **lying_open}
            this = and_(*(each == row[each.name] for each in names))
            changes = closed(connection, table, known)
            connection.execute(update(table).where(this).values(changes))
    return None if is_last else str(rows[-1][first]), len(rows)


def _lies_open(value: object) -> bool:
    if isinstance(value, str):
        return not value.startswith(_MARK)
    return value is not None and not bytes(value).startswith(SEALED_BYTE)  # type: ignore[call-overload]


def lying_open(connection: Connection) -> list[str]:
    """The columns, as ``table.column``, in which at least one value is not sealed."""
    found = []
    for name, said in COLUMNS.items():
        table = metadata.tables[name]
        for each in said.columns:
            column = table.c[each]
            binary = isinstance(column.type, LargeBinary)
            mark: str | bytes = SEALED_BYTE if binary else _MARK
            is_open = and_(column.is_not(None), func.substr(column, 1, len(mark)) != mark)
            if connection.execute(select(table.c[said.key[0]]).where(is_open).limit(1)).first():
                found.append(f"{name}.{each}")
    return found


def found_by(connection: Connection, table: Table, column: str, value: str) -> str:
    """What a row is found by whose column has this value."""
    sealer = sealer_of(connection)
    return value if sealer is None else sealer.index(connection, f"{table.name}.{column}", value)


def all_rows(connection: Connection, statement: Select[Any]) -> list[Values]:
    """What a statement selects, opened; of a sealed column it selects the row's key too."""
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return list(opened(connection, statement, rows))


def opened(
    connection: Connection, statement: Select[Any], rows: Iterable[Values]
) -> Iterable[Values]:
    """Rows of a statement, opened as they come, for whoever does not hold all of them at once."""
    sealer = sealer_of(connection)
    wanted = [] if sealer is None else _sealed_among(statement)
    if sealer is None or not wanted:
        return rows
    return (
        row | {each.label: _opened(connection, sealer, each, row) for each in wanted}
        for row in rows
    )


def first_row(connection: Connection, statement: Select[Any]) -> Values | None:
    """The first of ``all_rows``."""
    found = all_rows(connection, statement.limit(1))
    return found[0] if found else None


@dataclass(frozen=True)
class _Wanted:
    """A sealed column among those selected, and what it, its row's key and its owner are called."""

    table: str
    column: str
    label: str
    key: tuple[str, ...]
    customer: str | None


def _sealed_among(statement: Select[Any]) -> list[_Wanted]:
    labels: dict[tuple[str, str], str] = {}
    for label, each in statement.selected_columns.items():
        column = each.element if isinstance(each, Label) else each
        if isinstance(column, Column) and isinstance(column.table, Table):
            labels.setdefault((column.table.name, column.name), str(label))
    return [
        _Wanted(
            table,
            column,
            labels[table, column],
            tuple(labels[table, each] for each in said.key),
            labels.get((table, said.customer or "")),
        )
        for table, said in COLUMNS.items()
        for column in said.columns
        if (table, column) in labels
    ]


def _opened(connection: Connection, sealer: Sealer, each: _Wanted, row: Values) -> Any:
    value, key = row[each.label], _named(row, each.key)
    if value is None:
        return None
    said = COLUMNS[each.table]
    owner = WORKSPACE if said.customer is None else None
    if each.customer is not None:
        owner = customer(row[each.customer])
    where = _where(each.table, each.column, key)
    binary = not isinstance(value, str)
    data = sealer.open(connection, owner, where, bytes(value) if binary else _read(value, where))
    if data is None:
        instead = said.columns[each.column]
        return None if instead is None else instead.format(key=key)
    return data if binary else data.decode()


def _where(table: str, column: str, key: str) -> str:
    return f"{table}.{column}/{key}"


def _named(row: Mapping[str, Any], key: tuple[str, ...]) -> str:
    return "/".join(str(row[each]) for each in key)


def _spelled(sealed: bytes) -> str:
    return _MARK + base64.b64encode(sealed).decode()


def _read(text: str, where: str) -> bytes:
    if not text.startswith(_MARK):
        raise not_sealed(where)
    try:
        return base64.b64decode(text.removeprefix(_MARK), validate=True)
    except ValueError as error:
        raise SealBroken(_("{what} is not as it was sealed.", what=where)) from error


def not_sealed(what: str) -> SealBroken:
    """Something lies open in a sealed workspace: nobody of ours put it there."""
    return SealBroken(
        _("{what} is not sealed, as everything in this workspace is.", what=what),
        remedy=_("Somebody put it there. Restore the workspace from a backup."),
    )
