"""Tree heads: signed over entries that were read and hashed again, and kept with the tree's nodes.

A head continues the one before it. Where it cannot, because an entry is not what was logged, the
log is frozen and another one begun behind it, whose first entry says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import partial

from mintage.core.background import beside
from mintage.core.canonical import Spelled
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import LogForked, MintageError, SignatureMismatch
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.leaves import REMEDY, append_all, missing, rehashed
from mintage.trust.notes import SignedHead, sign_head, verify_by_any
from mintage.trust.repository import Connection, HeadRow, LogRecord
from mintage.trust.tiles import Growing, Tiles

BEGUN = "log.begun"
"""The kind of a log's first entry, where there were logs before it: it names all of them."""
MOST_AT_ONCE = 65_536
"""Entries between two heads: what is read for one takes below a second."""
EVERY_SECONDS = 1.0
"""No more than one head is signed in so long, however many ask."""
_PATIENCE_SECONDS = 10.0
_log = logging.getLogger(__name__)


def logs_of(connection: Connection, origin: str) -> list[LogRecord]:
    """The logs, the oldest first; ``origin`` is the first one's until it has a row."""
    return repository.all_logs(connection) or [LogRecord(1, origin, 0, "")]


def tiles_of(connection: Connection, log: LogRecord) -> Tiles:
    """The kept hashes of a log's tree, as they are in this snapshot."""
    return Tiles(partial(repository.hashes, connection, log))


def head_from(row: HeadRow) -> SignedHead:
    """A kept head, as it was given."""
    return SignedHead(row.size, row.root, row.note)


def confirmed(row: HeadRow, log: LogRecord, keys: Iterable[PublicKey]) -> SignedHead:
    """A kept head, once its note says what its columns do, and one of these keys signed that.

    Without it, whoever reaches the database and no key could have us sign another history.

    Raises:
        LogForked: it is another than the one that was signed.
    """
    try:
        head = verify_by_any(row.note, keys, log.origin)
    except SignatureMismatch as error:
        raise _not_signed(row) from error
    if (head.size, head.root) != (row.size, row.root):
        raise _not_signed(row)
    return head


def _not_signed(row: HeadRow) -> LogForked:
    return LogForked(
        _("The kept head of {size} entries is not one that this log's key signed.", size=row.size),
        remedy=REMEDY,
    )


class Heads:
    """Signs what was added; several processes may do so at once, and disturb one another not."""

    def __init__(self, database: Database, keys: KeyRing, origin: str, clock: Clock) -> None:
        """``origin`` is the first log's name; those after it add their number."""
        self._database = database
        self._keys = keys
        self._origin = origin
        self._clock = clock
        self._signing = threading.Lock()

    def bring_up(self, every_seconds: float = 0.0) -> SignedHead:
        """The newest head; over all entries of now, unless one was signed so shortly before.

        With ``every_seconds`` it is one step of ``MOST_AT_ONCE`` entries at most, so that nobody
        waits long. Where nothing was added the last one is given. Where entries are not what was
        logged, the log is frozen, and the head is that of the one begun after it.
        """
        with self._signing:
            while True:
                head, is_newest = self._step(every_seconds)
                if head is not None and (is_newest or every_seconds):
                    return head

    def _step(self, every_seconds: float) -> tuple[SignedHead | None, bool]:
        """A head, and whether it is over all there is; None where another came first."""
        with self._database.read() as connection:
            log = logs_of(connection, self._origin)[-1]
            last = repository.last_head(connection, log.number)
            size = 0 if last is None else last.size
            try:
                if last is not None:
                    confirmed(last, log, self._keys.public_keys("log"))
                if last is not None and self._is_recent(last, every_seconds):
                    return head_from(last), True
                grown = _grown(connection, log, last)
                fault = None
            except LogForked as error:
                grown, fault = Growing(), error
        if fault is not None:
            self.begin_anew(log, fault)
            return None, False
        if last is not None and grown.size == size:
            return head_from(last), True
        head = sign_head(grown.size, grown.root(), log.origin, self._keys.signer("log"))
        if not self._database.submit(
            partial(self._keep, log, last, grown, head), only_adds=True
        ).result():
            return None, False
        return head, grown.size - size < MOST_AT_ONCE

    def _is_recent(self, last: HeadRow, seconds: float) -> bool:
        try:
            since = self._clock.now() - datetime.fromisoformat(last.signed_at)
        except (ValueError, TypeError):
            return False  # somebody wrote something else there; it decides nothing more
        return timedelta(0) <= since < timedelta(seconds=seconds)

    def _keep(
        self,
        log: LogRecord,
        last: HeadRow | None,
        grown: Growing,
        head: SignedHead,
        connection: Connection,
    ) -> bool:
        """Nodes and head in one transaction; not where somebody else signed or froze meanwhile."""
        if logs_of(connection, self._origin)[-1].number != log.number:
            return False
        if repository.last_head(connection, log.number) != last:
            return False
        now = timestamp(self._clock.now())
        self._give_row(connection, log, now)
        repository.add_nodes(
            connection,
            [(log.number, node.level, node.number, node.hash) for node in grown.nodes],
        )
        repository.add_head(connection, HeadRow(log.number, head.size, head.root, head.note, now))
        return True

    def _give_row(self, connection: Connection, log: LogRecord, now: str) -> None:
        if not repository.all_logs(connection):
            repository.add_log(connection, LogRecord(log.number, log.origin, 0, now))

    def begin_anew(self, log: LogRecord, fault: LogForked, most: int | None = None) -> None:
        """Freeze a log, and begin another that links to it; not where that was done already.

        ``most`` is how many of its entries are known to hold, where more than the tree's hashes
        was looked at.
        """
        with self._database.read() as connection:
            good = _last_good(connection, log, most)
        reason = str(fault.message)
        _log.error("The audit log %s is frozen: %s", log.origin, reason)

        def work(connection: Connection) -> None:
            known = logs_of(connection, self._origin)
            if known[-1].number != log.number:
                return
            now = timestamp(self._clock.now())
            self._give_row(connection, log, now)
            last = repository.last_head(connection, log.number)
            signed = 0 if last is None else last.size
            # Behind all that was ever given a position and signed, whatever is left of it.
            first = max(repository.last_position(connection) + 1, log.first_position + signed)
            repository.freeze(connection, log.number, now, good, reason)
            number = log.number + 1
            origin = f"{known[0].origin}/{number}"
            repository.add_log(connection, LogRecord(number, origin, first, now))
            record = {
                "log": number,
                "origin": origin,
                "first_position": first,
                "frozen": [_frozen(connection, each, good) for each in known],
                "reason": reason,
                "begun_at": now,
            }
            append_all(connection, BEGUN, [Spelled.of(record)], at=first)

        self._database.write(work)

    def watch(self, stop: threading.Event) -> None:
        """Sign what was added, at most once a second, until ``stop``."""
        while not stop.wait(EVERY_SECONDS):
            self._try(EVERY_SECONDS)

    def _try(self, every_seconds: float) -> None:
        try:
            self.bring_up(every_seconds)
        except MintageError as error:  # calls go on being answered, and are signed later
            _log.error("The audit log's head cannot be signed: %s", error.message)

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """``watch`` beside what is done inside; what was added by its end is signed too."""
        try:
            with beside(self.watch, "heads", patience_seconds=_PATIENCE_SECONDS):
                yield
        finally:
            self._try(0.0)  # however short a time ago the last one was signed


def _frozen(connection: Connection, log: LogRecord, good: int) -> dict[str, object]:
    """What is said of a log behind which another is begun; ``good``: of the one frozen now."""
    last = repository.last_head(connection, log.number)
    return {
        "log": log.number,
        "origin": log.origin,
        "first_position": log.first_position,
        "head": None if last is None else last.note,
        "good_size": good if log.frozen_size is None else log.frozen_size,
    }


def _grown(connection: Connection, log: LogRecord, last: HeadRow | None) -> Growing:
    """The tree of the last head with the entries after it, each read and hashed again."""
    if last is None:
        growing = Growing()
        # Below its first position there is nothing of the first log.
        first = log.first_position if log.number > 1 else None
    else:
        growing, first = _as_signed(connection, log, last), log.first_position + last.size
    rows = repository.read_rows(connection, first, most=MOST_AT_ONCE)
    with closing(rows):
        for row in rows:
            growing.add(rehashed(row, log.first_position + growing.size))
    return growing


def _as_signed(connection: Connection, log: LogRecord, head: HeadRow) -> Growing:
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


def _last_good(connection: Connection, log: LogRecord, most: int | None) -> int:
    """The size of the newest head that the kept hashes lead to; 0 where there is none."""
    tiles = tiles_of(connection, log)
    sizes = repository.head_sizes(connection, log.number)
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if _holds(connection, log, tiles, sizes[middle], most):
            low = middle + 1
        else:
            high = middle
    return sizes[low - 1] if low else 0


def _holds(
    connection: Connection, log: LogRecord, tiles: Tiles, size: int, most: int | None
) -> bool:
    head = repository.head_of(connection, log.number, size)
    if head is None or (most is not None and size > most):
        return False
    try:
        return tiles.root(size) == head.root
    except LogForked:
        return False
