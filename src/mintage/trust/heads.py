"""Tree heads: signed over entries that were read and hashed again, and kept with the tree's nodes.

A head continues the one before it, and the one at which the log changed its key last, which is kept
beside the keys. Where it cannot, because an entry is not what was logged, the log is frozen and
another one begun behind it, whose first entry says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from mintage.core.background import Rounds, beside
from mintage.core.canonical import Spelled
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import LogForked, TrustError
from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.erasures import Erasures
from mintage.trust.kept_heads import as_signed, fault_of, head_from, last_good, no_such_log
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.leaves import append_all
from mintage.trust.notes import SignedHead, check_name, sign_head
from mintage.trust.repository import Connection, HeadRow, LogRecord
from mintage.trust.roots import GrowingRoot

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
        keys = self._keys.ours("log", revoked=True)
        return f"{_NAME}/{keys[-1].key_id[:_NAMED_BY]}" if keys else _NAME

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
        fault = fault_of(row, log, self._binding())
        if fault is not None:
            raise fault

    def _binding(self) -> list[PublicKey]:
        """The log's keys whose heads bind it: of a revoked one it has to be known up to where."""
        keys = self._keys.ours("log", revoked=True)
        return [key for key in keys if key.revocation is None or key.last_head is not None]

    def changed_at(self) -> list[SignedHead]:
        """The heads at which the log changed its key, the newest first."""
        found = (key.last_head for key in self._keys.ours("log", revoked=True))
        return list({head.note: head for head in found if head is not None}.values())

    def _newest(self, kept: HeadRow | None, log: LogRecord) -> HeadRow | None:
        """The head that is continued, once our key is found to have signed it.

        Where what is ``kept`` does not reach as far, it is the one at which the key was changed.
        """
        if kept is not None:
            self._check(kept, log)
        changed = next(iter(self.changed_at()), None)
        if changed is None or changed.is_before(log.origin) is not False:
            return kept
        if changed.origin != log.origin:
            raise no_such_log(changed.origin)
        if kept is not None and (kept.size > changed.size or kept.root == changed.root):
            return kept
        return HeadRow(log.number, changed.size, changed.root, changed.note, "")

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
            kept = repository.last_head(connection, log.number)
            last, grown, fault = kept, GrowingRoot(), None
            try:
                last = self._newest(kept, log)
                if last is not None and self._is_recent(last, every_seconds):
                    return head_from(last), True
                grown = _grown(connection, log, last)
            except LogForked as error:
                fault = error
        if fault is not None:
            self.begin_anew(log, fault)
            return None, False
        size = 0 if last is None else last.size
        if last is not None and grown.size == size:
            return head_from(last), True
        signer = self._keys.signer("log")
        head = sign_head(grown.size, grown.root(), log.origin, signer)
        keep = partial(self._keep, log, kept, grown, head, signer.key_id)
        if not self._database.submit(keep, only_adds=True).result():
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
        signed_with: str,
        connection: Connection,
    ) -> bool:
        """Nodes and head in one transaction; not where somebody else signed or froze meanwhile.

        Nor where another key took over: so none that was followed signs a head behind that.
        """
        if not self._keys.still_signs("log", signed_with):
            return False
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
            good = last_good(connection, log, most, self._binding())
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
        growing, first = as_signed(connection, log, last), log.first_position + last.size
    rehashed = partial(Erasures().rehashed, connection)
    rows = repository.read_rows(connection, first, most=MOST_AT_ONCE)
    with closing(rows):
        expected = count(log.first_position + growing.size)
        growing.add(map(rehashed, rows, expected))
    return growing
