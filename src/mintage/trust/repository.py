"""The audit log's table: the only statements that touch it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from mintage.store.schema import log_leaves
from mintage.store.statements import Insertion, Statement

__all__ = [
    "Connection",
    "LogRow",
    "add_leaves",
    "leaf_hashes",
    "read_row",
    "read_rows",
    "rows_of_kinds",
]

_COLUMNS = (
    log_leaves.c.position,
    log_leaves.c.kind,
    log_leaves.c.record,
    log_leaves.c.salt,
    log_leaves.c.leaf_hash,
)
_LAST = Statement("SELECT max(position) FROM log_leaves")
_INSERT = Insertion(log_leaves, [column.name for column in _COLUMNS])


@dataclass(frozen=True)
class LogRow:
    """One entry as it lies in the table."""

    position: int
    kind: str
    record: bytes
    salt: bytes
    leaf_hash: bytes


def add_leaves(connection: Connection, rows: Sequence[tuple[str, bytes, bytes, bytes]]) -> int:
    """Append ``kind, record, salt, leaf_hash`` behind the last one; the first one's position.

    The caller's transaction holds the log alone.
    """
    last = _LAST.only(connection)
    first = 0 if last is None else int(last) + 1
    _INSERT.execute(connection, [(first + number, *row) for number, row in enumerate(rows)])
    return first


def leaf_hashes(connection: Connection) -> list[bytes]:
    """The hashes of all leaves, in order."""
    statement = select(log_leaves.c.leaf_hash).order_by(log_leaves.c.position)
    return list(connection.execute(statement).scalars())


def read_row(connection: Connection, position: int) -> LogRow | None:
    """The entry at a position, if there is one."""
    row = connection.execute(
        select(*_COLUMNS).where(log_leaves.c.position == position)
    ).one_or_none()
    return LogRow(*row) if row else None


def read_rows(connection: Connection) -> Generator[LogRow, None, None]:
    """All entries, in order, not all in memory at once; to be closed."""
    statement = select(*_COLUMNS).order_by(log_leaves.c.position)
    with connection.execution_options(yield_per=1000).execute(statement) as rows:
        for row in rows:
            yield LogRow(*row)


def rows_of_kinds(connection: Connection, kinds: Sequence[str]) -> list[LogRow]:
    """The entries of these kinds, in order: of kinds of which there are few."""
    statement = select(*_COLUMNS).where(log_leaves.c.kind.in_(kinds))
    rows = connection.execute(statement.order_by(log_leaves.c.position))
    return [LogRow(*row) for row in rows]
