"""The audit log's tables and that of signed documents: the only statements that touch them."""

from __future__ import annotations

import json
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    LargeBinary,
    and_,
    cast,
    delete,
    func,
    insert,
    select,
    update,
)

from mintage.core.canonical import canonical_json
from mintage.core.errors import LogForked, SealBroken
from mintage.core.messages import _
from mintage.store.as_it_lies import bytes_of
from mintage.store.schema import (
    log_cosignatures,
    log_heads,
    log_leaves,
    log_nodes,
    logs,
    statements,
    witnessed_heads,
)
from mintage.store.sealed import (
    MARK_BYTES,
    WORKSPACE,
    Sealer,
    closed,
    customer,
    first_row,
    mark_of,
    number_of,
    seal_or_ours,
    sealer_of,
)
from mintage.store.statements import Insertion, Statement
from mintage.trust.notes import SignedHead

__all__ = [
    "Connection",
    "HeadRow",
    "LogRecord",
    "LogRow",
    "add_head",
    "add_leaves",
    "add_log",
    "add_nodes",
    "add_statement",
    "all_logs",
    "cosignatures",
    "drop_heads",
    "find_statement",
    "freeze",
    "hashes",
    "hashes_under",
    "head_of",
    "head_sizes",
    "keep_cosignature",
    "keep_witnessed",
    "last_head",
    "last_position",
    "opened_leaf",
    "read_heads",
    "read_row",
    "read_rows",
    "witnessed",
]

_COLUMNS = (
    log_leaves.c.position,
    log_leaves.c.kind,
    log_leaves.c.record,
    log_leaves.c.salt,
    log_leaves.c.leaf_hash,
)
_LEAF = (_COLUMNS[0], *map(bytes_of, _COLUMNS[1:]))
_LOG = (logs.c.number, bytes_of(logs.c.origin), logs.c.first_position, bytes_of(logs.c.begun_at))
_LOG_ENDS = (bytes_of(logs.c.frozen_at), logs.c.frozen_size, bytes_of(logs.c.reason))
_HEAD = (log_heads.c.log, log_heads.c.size, *map(bytes_of, [*log_heads.c][2:]))
_LAST = Statement("SELECT max(position) FROM log_leaves")
_INSERT = Insertion(log_leaves, [column.name for column in _COLUMNS])
_NODES = Insertion(log_nodes, [column.name for column in log_nodes.columns])
_REMEDY = _("Somebody changed the database: restore it from a backup.")
SALT_BYTES = 16
_OF_THE_BOOKS = ("invoice.", "ledger.", "credit.", "payment.")
_STREAMED = {"yield_per": 1000}
# As it is opened: SQLite keeps in any column what it is given, text too.
_MARK = func.substr(cast(log_leaves.c.record, LargeBinary), 1, MARK_BYTES, type_=LargeBinary)


@dataclass(frozen=True)
class LogRow:
    """One entry, opened where it is sealed; of an erased customer's only the hash is left.

    ``key`` is the number of the data key that it is sealed under. One that is ``broken`` lies open
    where all is sealed, or is not what was sealed there.
    """

    position: int
    kind: str
    record: bytes
    salt: bytes
    leaf_hash: bytes
    erased: bool = False
    key: int | None = None
    broken: bool = False


@dataclass(frozen=True)
class LogRecord:
    """A log: the entries from ``first_position`` to that of the next one."""

    number: int
    origin: str
    first_position: int
    begun_at: str
    frozen_at: str | None = None
    frozen_size: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class HeadRow:
    """A head that was signed."""

    log: int
    size: int
    root: bytes
    note: str
    signed_at: str


def add_leaves(
    connection: Connection,
    rows: Sequence[tuple[str, bytes, bytes, bytes]],
    at: int | None = None,
) -> int:
    """Append ``kind, record, salt, leaf_hash`` behind the last one; the first one's position.

    The caller's transaction holds the log alone. ``at`` is a position further on.
    """
    first = last_position(connection) + 1 if at is None else at
    placed = [(first + number, *row) for number, row in enumerate(rows)]
    sealer = sealer_of(connection)
    if sealer is not None:
        placed = [_sealed(connection, sealer, *row) for row in placed]
    _INSERT.execute(connection, placed)
    return first


def last_position(connection: Connection) -> int:
    """Of the newest entry; -1 where there is none."""
    last = _LAST.only(connection)
    return -1 if last is None else int(last)


def hashes(
    connection: Connection, log: LogRecord, level: int, first: int, count: int
) -> list[bytes]:
    """So many of the tree's hashes of a level from a number on, as far as there are neighbours."""
    if level == 0:
        begin = log.first_position + first
        place = log_leaves.c.position
        asked = select(place, bytes_of(log_leaves.c.leaf_hash))
    else:
        begin = first
        place = log_nodes.c.number
        asked = select(place, bytes_of(log_nodes.c.hash)).where(
            log_nodes.c.log == log.number, log_nodes.c.level == level
        )
    rows = connection.execute(asked.where(place.between(begin, begin + count - 1)).order_by(place))
    found: list[bytes] = []
    for number, each in rows:
        if number != begin + len(found):
            break
        found.append(_bytes(each))
    return found


def read_row(connection: Connection, position: int) -> LogRow | None:
    """The entry at a position, if there is one."""
    row = connection.execute(select(*_LEAF).where(log_leaves.c.position == position)).one_or_none()
    return _entry(connection, *row) if row else None


def read_rows(
    connection: Connection,
    first: int | None = None,
    end: int | None = None,
    *,
    most: int | None = None,
    kinds: Sequence[str] = (),
    keys: Collection[int] | None = None,
    newest_first: bool = False,
) -> Generator[LogRow, None, None]:
    """Entries in order, not all in memory at once; to be closed.

    They are those from the position ``first`` to before ``end``, ``most`` of them, of some
    ``kinds``, sealed under the data keys of some numbers.
    """
    position = log_leaves.c.position
    statement = select(*_LEAF).order_by(position.desc() if newest_first else position)
    if first is not None:
        statement = statement.where(position >= first)
    if end is not None:
        statement = statement.where(position < end)
    if kinds:
        statement = statement.where(log_leaves.c.kind.in_(kinds))
    if keys is not None:
        statement = statement.where(_MARK.in_([mark_of(each) for each in keys]))
    if most is not None:
        statement = statement.limit(most)
    with connection.execute(statement, execution_options=_STREAMED) as rows:
        for row in rows:
            yield _entry(connection, *row)


def hashes_under(
    connection: Connection, keys: Collection[int]
) -> Generator[tuple[int, int, bytes], None, None]:
    """``position, key, leaf_hash`` of all that is sealed under these data keys; to be closed."""
    marks, position = {mark_of(each): each for each in keys}, log_leaves.c.position
    asked = select(position, _MARK, log_leaves.c.leaf_hash).where(_MARK.in_([*marks]))
    with connection.execute(asked.order_by(position), execution_options=_STREAMED) as rows:
        for at, mark, leaf_hash in rows:
            yield at, marks[mark], _bytes(leaf_hash)


def seal_leaves(connection: Connection, *, first: int, most: int) -> tuple[int | None, int]:
    """Seal entries that lie open, from a position on; the rest is as of ``seal_rows``."""
    sealer, position = sealer_of(connection), log_leaves.c.position
    if sealer is None:
        return None, 0
    asked = select(*_LEAF).where(position >= first).order_by(position).limit(most)
    rows = connection.execute(asked).all()
    for at, kind, record, salt, leaf_hash in rows:
        if salt:  # a sealed one has none beside it
            row = _sealed(
                connection, sealer, at, _text(kind), _bytes(record), _bytes(salt), leaf_hash
            )
            changes = {"record": row[2], "salt": row[3]}
            connection.execute(update(log_leaves).where(position == at).values(changes))
    return rows[-1].position + 1 if len(rows) == most else None, len(rows)


def all_logs(connection: Connection) -> list[LogRecord]:
    """Every log that has a row, the oldest first.

    Raises:
        LogForked: a row holds what was never written there.
    """
    found = connection.execute(select(*_LOG, *_LOG_ENDS).order_by(logs.c.number))
    return [_log(*row) for row in found]


def add_log(connection: Connection, log: LogRecord) -> None:
    """Begin one."""
    connection.execute(insert(logs).values(vars(log)))


def freeze(connection: Connection, number: int, moment: str, size: int, reason: str) -> None:
    """Note that nothing more is signed of a log."""
    changes = {"frozen_at": moment, "frozen_size": size, "reason": reason}
    connection.execute(update(logs).where(logs.c.number == number).values(changes))


def add_nodes(connection: Connection, rows: Sequence[tuple[int, int, int, bytes]]) -> None:
    """Keep ``log, level, number, hash`` of complete subtrees."""
    _NODES.execute(connection, rows)


def add_head(connection: Connection, head: HeadRow) -> None:
    """Keep a head."""
    connection.execute(insert(log_heads).values(vars(head)))


def last_head(connection: Connection, log: int) -> HeadRow | None:
    """The newest head of a log."""
    asked = select(*_HEAD).where(log_heads.c.log == log)
    row = connection.execute(asked.order_by(log_heads.c.size.desc()).limit(1)).one_or_none()
    return _head(*row) if row else None


def head_of(connection: Connection, log: int, size: int) -> HeadRow | None:
    """The head of a size, if one was signed."""
    asked = select(*_HEAD).where(log_heads.c.log == log, log_heads.c.size == size)
    row = connection.execute(asked).one_or_none()
    return _head(*row) if row else None


def head_sizes(connection: Connection, log: int) -> list[int]:
    """The sizes of which heads are kept, in order."""
    asked = select(log_heads.c.size).where(log_heads.c.log == log).order_by(log_heads.c.size)
    return [_count(each, "log_heads.size") for each in connection.execute(asked).scalars()]


def drop_heads(connection: Connection, log: int, before: str, most: int) -> int:
    """Forget heads that were signed before a moment, but each hour's last; how many it were.

    Those that a witness signed stay. ``most`` are forgotten at once, the oldest first.
    """
    h, hour = log_heads.c, 13  # the letters of 2026-11-27T12
    following = func.lead(h.signed_at).over(order_by=h.size).label("following")
    ordered = select(h.size, h.signed_at, following).where(h.log == log).subquery()
    told = select(log_cosignatures.c.size).where(log_cosignatures.c.log == log)
    o = ordered.c
    asked = select(o.size).where(
        o.following < before,
        func.substr(o.following, 1, hour) == func.substr(o.signed_at, 1, hour),
        o.size.not_in(told),
    )
    sizes = list(connection.execute(asked.order_by(o.size).limit(most)).scalars())
    connection.execute(delete(log_heads).where(h.log == log, h.size.in_(sizes)))
    return len(sizes)


def read_heads(connection: Connection, log: int, first: int = 0) -> Generator[HeadRow, None, None]:
    """A log's heads from a size on, in order, not all in memory at once; to be closed."""
    asked = select(*_HEAD).where(log_heads.c.log == log, log_heads.c.size >= first)
    with connection.execute(asked.order_by(log_heads.c.size), execution_options=_STREAMED) as rows:
        for row in rows:
            yield _head(*row)


def add_statement(connection: Connection, name: str, envelope: bytes, number: int = 1) -> None:
    """Keep the file in which a document was signed for the ``number``-th time."""
    values = {"name": name, "number": number, "envelope": envelope.decode()}
    connection.execute(insert(statements).values(closed(connection, statements, values)))


def find_statement(connection: Connection, name: str) -> tuple[int, bytes] | None:
    """The file in which the document of a name was signed last, and for which time."""
    kept = statements.c
    asked = select(statements).where(kept.name == name).order_by(kept.number.desc())
    row = first_row(connection, asked)
    if row is None:
        return None
    return _count(row["number"], "statements.number"), str(row["envelope"]).encode()


def keep_cosignature(
    connection: Connection, head: HeadRow, name: str, line: str, moment: str
) -> None:
    """Keep what a witness said of a head, in place of what it said before."""
    kept = log_cosignatures
    same = and_(kept.c.log == head.log, kept.c.size == head.size, kept.c.name == name)
    connection.execute(delete(kept).where(same))
    values = {"log": head.log, "size": head.size, "name": name, "line": line, "taken_at": moment}
    connection.execute(insert(kept).values(values))


def cosignatures(connection: Connection, log: int) -> tuple[int, list[str]]:
    """The size of the largest head of a log that has any, and their lines; 0 where none has."""
    kept = log_cosignatures
    size = connection.execute(select(func.max(kept.c.size)).where(kept.c.log == log)).scalar()
    if size is None:
        return 0, []
    size = _count(size, "log_cosignatures.size")
    asked = select(bytes_of(kept.c.line)).where(kept.c.log == log, kept.c.size == size)
    return size, list(map(_text, connection.execute(asked.order_by(kept.c.name)).scalars()))


def witnessed(connection: Connection, origin: str) -> SignedHead | None:
    """The largest head of a log of others that was cosigned here."""
    kept = witnessed_heads.c
    asked = select(kept.size, bytes_of(kept.root), bytes_of(kept.note)).where(kept.origin == origin)
    row = connection.execute(asked).one_or_none()
    if row is None:
        return None
    size, root, note = row
    return SignedHead(_count(size, "witnessed_heads.size"), _bytes(root), _text(note))


def keep_witnessed(connection: Connection, origin: str, head: SignedHead, moment: str) -> None:
    """Keep a head in place of the one before."""
    connection.execute(delete(witnessed_heads).where(witnessed_heads.c.origin == origin))
    values = {**vars(head), "origin": origin, "witnessed_at": moment}
    connection.execute(insert(witnessed_heads).values(values))


def opened_leaf(
    connection: Connection, position: int, record: object, salt: object = b""
) -> LogRow:
    """The entry at a position whose columns these are, opened; it says neither kind nor hash."""
    return _entry(connection, position, "", record, salt, b"")


def _entry(
    connection: Connection,
    position: int,
    kind: object,
    record: object,
    salt: object,
    leaf_hash: object,
) -> LogRow:
    sealer, found = sealer_of(connection), _bytes(record)
    if sealer is None:
        return LogRow(position, _text(kind), found, _bytes(salt), _bytes(leaf_hash))
    key, leaf = number_of(found), _bytes(leaf_hash)
    try:
        opened = _unsealed(connection, sealer, position, found)
    except SealBroken:  # whoever hashes it again says that it was changed
        return LogRow(position, _text(kind), found, _bytes(salt), leaf, key=key, broken=True)
    if opened is None:
        left = canonical_json({"erased": True, "kind": _text(kind)})
        return LogRow(position, _text(kind), left, b"", leaf, erased=True, key=key)
    return LogRow(position, _text(kind), opened[1], opened[0], leaf, key=key)


def _sealed(
    connection: Connection,
    sealer: Sealer,
    position: int,
    kind: str,
    record: bytes,
    salt: bytes,
    leaf_hash: bytes,
) -> tuple[int, str, bytes, bytes, bytes]:
    """A row with record and salt sealed as one; the column ``salt`` is empty."""
    owner = _owner(kind, record)
    sealed = seal_or_ours(sealer, connection, owner, _place(position), salt + record)
    return position, kind, sealed, b"", leaf_hash


def _unsealed(
    connection: Connection, sealer: Sealer, position: int, sealed: bytes
) -> tuple[bytes, bytes] | None:
    """Salt and record; None where whom they are about was erased."""
    data = sealer.open(connection, None, _place(position), sealed)
    return None if data is None else (data[:SALT_BYTES], data[SALT_BYTES:])


def _place(position: int) -> str:
    return f"log_leaves/{position}"


def _owner(kind: str, record: bytes) -> str:
    """Whose key an entry is sealed under: of the books, which the law has kept, the workspace's."""
    if kind.startswith(_OF_THE_BOOKS):
        return WORKSPACE
    said = json.loads(record)
    found = said.get("id" if kind.startswith("customer.") else "customer")
    return customer(found if isinstance(found, str) else None)


def _log(
    number: int,
    origin: object,
    first: object,
    begun_at: object,
    frozen_at: object,
    frozen_size: object,
    reason: object,
) -> LogRecord:
    begins = _count(first, "logs.first_position")
    if begins and number == 1:
        raise LogForked(
            _("The first log is said to begin at position {position}.", position=begins),
            remedy=_REMEDY,
        )
    return LogRecord(
        number=number,
        origin=_text(origin),
        first_position=begins,
        begun_at=_text(begun_at),
        frozen_at=None if frozen_at is None else _text(frozen_at),
        frozen_size=None if frozen_size is None else _count(frozen_size, "logs.frozen_size"),
        reason=None if reason is None else _text(reason),
    )


def _head(log: int, size: object, root: object, note: object, signed_at: object) -> HeadRow:
    counted = _count(size, "log_heads.size")
    return HeadRow(log, counted, _bytes(root), _text(note), _text(signed_at))


def _count(found: object, column: str) -> int:
    """A number as we write it: SQLite keeps in any column what it is given."""
    if not isinstance(found, int) or found < 0:
        raise LogForked(
            _(
                "The database has no number in {column}: {found!r}.",
                column=column,
                found=str(found),
            ),
            remedy=_REMEDY,
        )
    return found


def _bytes(found: object) -> bytes:
    """SQLite keeps in any column what it is given; somebody may have given it something else."""
    return found if isinstance(found, bytes) else str(found).encode()


def _text(found: object) -> str:
    """What is no UTF-8 is none of ours: whoever compares it, or its signature, finds that out."""
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)
