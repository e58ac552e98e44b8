"""Heads that are kept: which of them are believed, which are continued, and up to where one holds.

Whoever reaches the database can write there what they like: nothing of it is gone on with but what
a key of ours signed, and with the key of then no more than was signed by the time it was followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial

from mintage.core.errors import LogForked, SignatureMismatch, TrustError
from mintage.core.messages import _
from mintage.trust import repository
from mintage.trust.leaves import REMEDY, missing
from mintage.trust.notes import (
    SignedHead,
    key_id,
    key_ids,
    opened_by,
    signed_by,
    verify_by_any,
)
from mintage.trust.public_key import PublicKey
from mintage.trust.repository import Connection, HeadRow, LogRecord
from mintage.trust.roots import GrowingRoot
from mintage.trust.tiles import Tiles


def tiles_of(connection: Connection, log: LogRecord) -> Tiles:
    """The kept hashes of a log's tree, as they are in this snapshot."""
    return Tiles(partial(repository.hashes, connection, log))


def head_from(row: HeadRow) -> SignedHead:
    """A kept head, as it was given."""
    return SignedHead(row.size, row.root, row.note)


def fault_of(row: HeadRow, log: LogRecord, keys: Iterable[PublicKey]) -> TrustError | None:
    """Why a kept head is not to be continued; None: one of these keys signed what its row says.

    Without it, whoever reaches the database and no key could have us sign another history, and so
    could the thief of a former key. It is LogForked where it is another than the one that was
    signed, and another TrustError where no key of those is named by it: then nobody here can tell.
    """
    known = tuple(keys)
    try:
        head = verify_by_any(row.note, known, log.origin)
    except SignatureMismatch as error:
        named = key_ids(row.note, log.origin)
        if named and named.isdisjoint(key_id(log.origin, key) for key in known):
            return key_missing(log.origin)
        with suppress(SignatureMismatch):
            opened_by(row.note, (PublicKey(key.key) for key in known), log.origin)
            return LogForked(error.message, remedy=REMEDY)  # signed, when it was too late to
        head = None
    if head is not None and (head.size, head.root) == (row.size, row.root):
        return None
    return LogForked(
        _("The kept head of {size} entries is not one that this log's key signed.", size=row.size),
        remedy=REMEDY,
    )


def no_such_log(origin: str) -> LogForked:
    """A head is of a log that there is none of."""
    return LogForked(_("There is no log called {origin} here.", origin=origin), remedy=REMEDY)


def key_missing(origin: str) -> TrustError:
    """The key that signed a log is not here: it is not gone on with by another, unasked."""
    return TrustError(
        _("The key that signed the log {origin} is not here.", origin=origin),
        remedy=_(
            "Put the folder keys of this workspace back into it. Only where that key is lost for "
            "good: mintage audit verify --begin-anew"
        ),
    )


def kept_again(
    connection: Connection, log: LogRecord, head: SignedHead, now: str
) -> HeadRow | None:
    """The row of a head that our key signed, put back where it was forgotten.

    None: it is not this log's. Whoever calls has verified its note.
    """
    found = repository.head_of(connection, log.number, head.size)
    if found is not None:
        return found if found.root == head.root else None
    last = repository.last_head(connection, log.number)
    if last is None or head.size > last.size:
        return None
    if tiles_of(connection, log).root(head.size) != head.root:
        return None
    row = HeadRow(log.number, head.size, head.root, signed_by(head.note, log.origin), now)
    repository.add_head(connection, row)
    return row


def as_signed(connection: Connection, log: LogRecord, head: HeadRow) -> GrowingRoot:
    """The tree that a head was signed over, from the kept hashes.

    Raises:
        LogForked: they give another root, or are not all there.
    """
    growing = tiles_of(connection, log).growing(head.size)
    if growing.root() != head.root:
        raise not_as_signed(repository.last_position(connection) + 1, head.size)
    if head.size and repository.read_row(connection, log.first_position + head.size - 1) is None:
        raise missing(log.first_position + head.size - 1)
    return growing


def not_as_signed(count: int, signed: int) -> LogForked:
    """A head says something else of the first entries than the entries do."""
    return LogForked(
        _(
            "The log's {count} entries do not begin with the {signed} that were signed before.",
            count=count,
            signed=signed,
        ),
        remedy=REMEDY,
    )


def newest_good(connection: Connection, keys: Sequence[PublicKey]) -> SignedHead | None:
    """The newest head of all, where one of these keys signed it and its log leads to it."""
    with suppress(LogForked):  # or its tables hold what was never written there
        for log in reversed(repository.all_logs(connection)):
            row = repository.last_head(connection, log.number)
            if row is None or fault_of(row, log, keys) is not None:
                return None
            return head_from(row) if _leads_to(tiles_of(connection, log), row) else None
    return None


def _leads_to(tiles: Tiles, head: HeadRow | SignedHead) -> bool:
    try:
        return tiles.root(head.size) == head.root
    except LogForked:
        return False


def last_good(
    connection: Connection, log: LogRecord, most: int | None, keys: Sequence[PublicKey]
) -> int:
    """The size of the newest head that the kept hashes lead to; 0 where there is none.

    What a revoked key signed counts only where the hashes lead on to the head at which another
    took over from it.
    """
    tiles = tiles_of(connection, log)
    sizes = repository.head_sizes(connection, log.number)

    lost = [
        key
        for key in keys
        if (last := key.last_head) is not None
        and key.revocation is not None
        and last.origin == log.origin
        and not _leads_to(tiles, last)
    ]

    def holds(size: int) -> bool:
        head = repository.head_of(connection, log.number, size)
        if head is None or (most is not None and size > most):
            return False
        if isinstance(fault_of(head, log, keys), LogForked):
            return False
        with suppress(SignatureMismatch):
            verify_by_any(head.note, lost, log.origin)
            return False
        return _leads_to(tiles, head)

    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if holds(sizes[middle]):
            low = middle + 1
        else:
            high = middle
    return sizes[low - 1] if low else 0
