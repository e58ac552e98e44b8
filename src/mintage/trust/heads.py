"""Tree heads: signed over entries that were read and hashed again, and kept with the tree's nodes.

A head continues the one before it. Where it cannot, because an entry is not what was logged, the
log is frozen and another one begun behind it, whose first entry says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from mintage.core.background import Rounds, beside
from mintage.core.canonical import Spelled
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import LogForked, SignatureMismatch, TrustError
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.erasures import Erasures
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.leaves import REMEDY, append_all, missing
from mintage.trust.notes import (
    SignedHead,
    check_name,
    key_id,
    key_ids,
    sign_head,
    signed_by,
    verify_by_any,
)
from mintage.trust.repository import Connection, HeadRow, LogRecord
from mintage.trust.roots import GrowingRoot
from mintage.trust.tiles import Tiles

BEGUN = "log.begun"
"""The kind of a log's first entry, where there were logs before it: it names all of them."""
MOST_AT_ONCE = 65_536
"""Entries between two heads: what is read for one takes below a second."""
EVERY_SECONDS = 1.0
"""No more than one head is signed in so long, however many ask."""
MOST_DROPPED = 10_000
"""Heads that are forgotten in one transaction."""
_NAME = "mintage.local/log"
_NAMED_BY = 16
_ALL_KEPT = timedelta(hours=1)
_PATIENCE_SECONDS = 10.0
_FAILURE = "The audit log's head cannot be signed"
_log = logging.getLogger(__name__)


def tiles_of(connection: Connection, log: LogRecord) -> Tiles:
    """The kept hashes of a log's tree, as they are in this snapshot."""
    return Tiles(partial(repository.hashes, connection, log))


def head_from(row: HeadRow) -> SignedHead:
    """A kept head, as it was given."""
    return SignedHead(row.size, row.root, row.note)


def fault_of(row: HeadRow, log: LogRecord, keys: Iterable[PublicKey]) -> TrustError | None:
    """Why a kept head is not to be continued; None: one of these keys signed what its row says.

    Without it, whoever reaches the database and no key could have us sign another history. It is
    LogForked where it is another than the one that was signed, and another TrustError where no key
    of those is named by it: then nobody here can tell.
    """
    known = tuple(keys)
    try:
        head = verify_by_any(row.note, known, log.origin)
    except SignatureMismatch:
        named = key_ids(row.note, log.origin)
        if named and named.isdisjoint(key_id(log.origin, key) for key in known):
            return key_missing(log.origin)
        head = None
    if head is not None and (head.size, head.root) == (row.size, row.root):
        return None
    return LogForked(
        _("The kept head of {size} entries is not one that this log's key signed.", size=row.size),
        remedy=REMEDY,
    )


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


class Heads:
    """Signs what was added; several processes may do so at once, and disturb one another not."""

    def __init__(self, database: Database, keys: KeyRing, origin: str | None, clock: Clock) -> None:
        """``origin`` is the first log's name, where it has none; those after it add their number.

        None: it is named by its first key, so that no two have one name.
        """
        if origin is not None:
            check_name(origin)
        self._database = database
        self._keys = keys
        self._origin = origin
        self._clock = clock
        self._signing = threading.Lock()
        self._thinned = ""

    def logs(self, connection: Connection) -> list[LogRecord]:
        """The logs, the oldest first; the first has no row before its first head."""
        return repository.all_logs(connection) or [LogRecord(1, self._name(), 0, "")]

    def _name(self) -> str:
        if self._origin is not None:
            return self._origin
        key = self._keys.own("log")
        return _NAME if key is None else f"{_NAME}/{key.key_id[:_NAMED_BY]}"

    def check(self) -> None:
        """Check that the key is here that signed the last head.

        Raises:
            TrustError: it is not.
        """
        with self._database.read() as connection:
            log = self.logs(connection)[-1]
            last = repository.last_head(connection, log.number)
        if last is not None:
            with suppress(LogForked):  # then another is begun behind it
                self._check(last, log)
        if self._origin is not None and not f"{log.origin}/".startswith(f"{self._origin}/"):
            _log.warning(
                "The audit log goes on as %s: its name is in the heads that were given.", log.origin
            )

    def _check(self, row: HeadRow, log: LogRecord) -> None:
        fault = fault_of(row, log, self._keys.public_keys("log"))
        if fault is not None:
            raise fault

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
        if self._keys.own("log") is None:
            self._keys.signer("log")  # now, so that a first log is named by it
        with self._database.read() as connection:
            log = self.logs(connection)[-1]
            last = repository.last_head(connection, log.number)
            size = 0 if last is None else last.size
            grown, fault = GrowingRoot(), None
            try:
                if last is not None:
                    self._check(last, log)
                if last is not None and self._is_recent(last, every_seconds):
                    return head_from(last), True
                grown = _grown(connection, log, last)
            except LogForked as error:
                fault = error
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
        grown: GrowingRoot,
        head: SignedHead,
        connection: Connection,
    ) -> bool:
        """Nodes and head in one transaction; not where somebody else signed or froze meanwhile."""
        if self.logs(connection)[-1].number != log.number:
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

    def begin_anew(self, log: LogRecord, fault: TrustError, most: int | None = None) -> None:
        """Freeze a log, and begin another that links to it; not where that was done already.

        ``most`` is how many of its entries are known to hold, where more than the tree's hashes
        was looked at.
        """
        with self._database.read() as connection:
            good = _last_good(connection, log, most, self._keys.public_keys("log"))
        reason = str(fault.message)
        _log.error("The audit log %s is frozen: %s", log.origin, reason)

        def work(connection: Connection) -> None:
            known = self.logs(connection)
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

    def thin(self) -> int:
        """Forget heads older than an hour, but each hour's last and what witnesses signed.

        A forgotten one that is shown again holds as before: its root follows from the tree. At most
        ``MOST_DROPPED`` go at once; how many it were.
        """
        before = timestamp(self._clock.now() - _ALL_KEPT)

        def work(connection: Connection) -> int:
            log = self.logs(connection)[-1]
            return repository.drop_heads(connection, log.number, before, MOST_DROPPED)

        # Nobody keeps heads in memory, so ``epoch`` may stay.
        return self._database.submit(work, only_adds=True).result()

    def _round(self) -> None:
        """Sign what was added; once an hour forget what is not needed."""
        self.bring_up(EVERY_SECONDS)
        hour = timestamp(self._clock.now())[:13]
        if hour != self._thinned and self.thin() < MOST_DROPPED:
            self._thinned = hour

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Sign beside what is done inside; what was added by its end is signed too."""
        rounds = Rounds("heads", self._round, _FAILURE)
        watch = partial(rounds.until, every_seconds=EVERY_SECONDS)
        try:
            with beside(watch, rounds.name, patience_seconds=_PATIENCE_SECONDS):
                yield
        finally:
            # However short a time ago the last one was signed.
            Rounds(rounds.name, self.bring_up, _FAILURE).once()


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


def _grown(connection: Connection, log: LogRecord, last: HeadRow | None) -> GrowingRoot:
    """The tree of the last head with the entries after it, each read and hashed again."""
    if last is None:
        growing = GrowingRoot()
        # Below its first position there is nothing of the first log.
        first = log.first_position if log.number > 1 else None
    else:
        growing, first = _as_signed(connection, log, last), log.first_position + last.size
    rehashed = partial(Erasures().rehashed, connection)
    rows = repository.read_rows(connection, first, most=MOST_AT_ONCE)
    with closing(rows):
        expected = count(log.first_position + growing.size)
        growing.add(map(rehashed, rows, expected))
    return growing


def _as_signed(connection: Connection, log: LogRecord, head: HeadRow) -> GrowingRoot:
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


def _last_good(
    connection: Connection, log: LogRecord, most: int | None, keys: Sequence[PublicKey]
) -> int:
    """The size of the newest head that the kept hashes lead to; 0 where there is none."""
    tiles = tiles_of(connection, log)
    sizes = repository.head_sizes(connection, log.number)

    def holds(size: int) -> bool:
        head = repository.head_of(connection, log.number, size)
        if head is None or (most is not None and size > most):
            return False
        if isinstance(fault_of(head, log, keys), LogForked):
            return False
        try:
            return tiles.root(size) == head.root
        except LogForked:
            return False

    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if holds(sizes[middle]):
            low = middle + 1
        else:
            high = middle
    return sizes[low - 1] if low else 0
