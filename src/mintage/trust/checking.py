"""The check of the whole audit log: every record hashed again, every node and head worked out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from mintage.core.errors import LogForked, TrustError
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.trust import repository
from mintage.trust.erasures import Erasures
from mintage.trust.heads import BEGUN
from mintage.trust.kept_heads import fault_of, no_such_log, not_as_signed
from mintage.trust.leaves import REMEDY, missing
from mintage.trust.notes import SignedHead
from mintage.trust.public_key import PublicKey
from mintage.trust.repository import Connection, HeadRow, LogRecord, LogRow
from mintage.trust.roots import GrowingRoot
from mintage.trust.tiles import complete_nodes

_TOLD_EVERY = 4096


@dataclass(frozen=True)
class Checked:
    """A log that was looked through: how many of its entries hold, and what is wrong with it."""

    log: LogRecord
    entries: int
    size: int
    """Of its newest head; 0 where none was signed."""
    fault: TrustError | None = None
    is_last: bool = False
    erased: int = 0
    """Of its entries, those of which the hash alone is left, and that an erasure accounts for."""

    @property
    def is_frozen(self) -> bool:
        """Whether another log goes on in its place: a mark in the table alone says nothing."""
        return self.log.frozen_at is not None and not self.is_last

    def to_json(self) -> dict[str, Any]:
        """As ``mintage audit verify --json`` says it."""
        log = self.log
        return {
            "log": log.number,
            "origin": log.origin,
            "first_position": log.first_position,
            "entries": self.entries,
            "erased": self.erased,
            "signed": self.size,
            "frozen_at": log.frozen_at,
            "frozen_size": log.frozen_size,
            "reason": log.reason,
            "damage": None if self.fault is None else str(self.fault.message),
        }


def examine(
    connection: Connection,
    logs: Sequence[LogRecord],
    earlier: Sequence[SignedHead],
    progress: Progress,
    keys: Sequence[PublicKey],
) -> list[Checked]:
    """Every log, the oldest first; ``earlier`` are heads that were kept elsewhere.

    ``keys`` are those that the heads which are kept here may be signed with.

    Raises:
        LogForked: one of those is of a log that is not here.
    """
    kept: defaultdict[str, list[SignedHead]] = defaultdict(list)
    for head in earlier:
        kept[head.origin].append(head)
    unknown = kept.keys() - {log.origin for log in logs}
    if unknown:
        raise no_such_log(min(unknown))
    progress.start(_("Hashing the records"), repository.last_position(connection) + 1)
    found, erasures = [], Erasures()
    for number, log in enumerate(logs):
        end = logs[number + 1].first_position if number + 1 < len(logs) else None
        heads = _Heads(log, kept[log.origin], keys)
        looked = _Examiner(connection, log, logs[:number], end, heads, erasures, progress)
        found.append(looked.examined())
    found[-1] = _as_last(found[-1])
    progress.finish()
    return found


def _as_last(found: Checked) -> Checked:
    fault = found.fault
    if fault is None and found.log.frozen_at is not None:
        fault = LogForked(
            _(
                "The log {origin} is marked as frozen, and none goes on in its place.",
                origin=found.log.origin,
            ),
            remedy=REMEDY,
        )
    return replace(found, fault=fault, is_last=True)


class _Examiner:
    """Goes through one log from its first entry on, until something is wrong."""

    def __init__(
        self,
        connection: Connection,
        log: LogRecord,
        before: Sequence[LogRecord],
        end: int | None,
        heads: _Heads,
        erasures: Erasures,
        progress: Progress,
    ) -> None:
        """``before`` were frozen, the last for this one; ``end`` is where the next one begins."""
        self._connection = connection
        self._log, self._before, self._end = log, before, end
        self._heads = heads
        self._erasures = erasures
        self._progress = progress
        self._growing = GrowingRoot()
        self._good = self._erased = 0

    def examined(self) -> Checked:
        """What was found."""
        last = repository.last_head(self._connection, self._log.number)
        size = 0 if last is None else last.size
        fault: TrustError | None
        try:
            self._go_through(size)
            entries, fault = self._growing.size, self._heads.unknown
        except LogForked as error:
            entries, fault = self._good, error
        return Checked(self._log, entries, size, fault, erased=self._erased)

    def _go_through(self, size: int) -> None:
        log, growing = self._log, self._growing
        nodes = _Nodes(self._connection, log, size)
        # Below its first position there is nothing of the first log.
        first = log.first_position if log.number > 1 else None
        rows = repository.read_rows(self._connection, first, self._end)
        heads = repository.read_heads(self._connection, log.number)
        with closing(rows), closing(heads):
            expected = self._heads.beside(heads)
            expected.compare(growing)
            for row in rows:
                place = log.first_position + growing.size
                leaf = self._erasures.rehashed(self._connection, row, place)
                if self._before and not growing.size:
                    _check_link(row, log, self._before)
                growing.add([leaf])
                nodes.compare(growing)
                expected.compare(growing)
                self._good = growing.size
                self._erased += row.erased
                if growing.size % _TOLD_EVERY == 0:
                    self._progress.advance(row.position)
            ends_at = log.first_position + growing.size
            if expected.next_size is not None:
                raise not_as_signed(growing.size, expected.next_size)
            if self._end is not None and ends_at != self._end:
                raise missing(ends_at)
            if self._before and not growing.size:  # it begins with what binds it to them
                raise missing(log.first_position)


def _check_link(row: LogRow, log: LogRecord, before: Sequence[LogRecord]) -> None:
    """The first entry has to say which logs were frozen, as they were; raises LogForked."""
    try:
        said = json.loads(row.record)
        frozen = [
            (each["origin"], each["first_position"], each["good_size"]) for each in said["frozen"]
        ]
        linked = said["first_position"] == log.first_position and frozen == [
            (each.origin, each.first_position, each.frozen_size) for each in before
        ]
    except (KeyError, TypeError):
        linked = False
    if row.kind != BEGUN or not linked:
        raise LogForked(
            _(
                "The log {origin} does not begin by saying that {before} was frozen.",
                origin=log.origin,
                before=before[-1].origin,
            ),
            remedy=REMEDY,
        )


class _Heads:
    """Heads that are due at sizes, those kept here and those kept elsewhere."""

    def __init__(
        self, log: LogRecord, earlier: Sequence[SignedHead], keys: Sequence[PublicKey]
    ) -> None:
        self._log, self._keys = log, keys
        self._earlier = sorted(earlier, key=lambda head: head.size)
        self._here: Iterator[HeadRow] = iter(())
        self._next: HeadRow | None = None
        self.unknown: TrustError | None = None
        """That some were signed with a key that is not here."""

    def beside(self, here: Iterator[HeadRow]) -> _Heads:
        """With those that are kept here, in order of size."""
        self._here, self._next = here, next(here, None)
        return self

    @property
    def next_size(self) -> int | None:
        """When the next is due."""
        sizes = [self._earlier[0].size] if self._earlier else []
        if self._next is not None:
            sizes.append(self._next.size)
        return min(sizes, default=None)

    def compare(self, growing: GrowingRoot) -> None:
        """Hold those that are due against the tree; raises LogForked."""
        while self.next_size == growing.size:
            root = growing.root()
            if self._earlier and self._earlier[0].size == growing.size:
                said = self._earlier.pop(0).root
            else:
                said = b"" if self._next is None else self._confirmed(self._next).root
                self._next = next(self._here, None)
            if said != root:
                raise not_as_signed(growing.size, growing.size)

    def _confirmed(self, row: HeadRow) -> HeadRow:
        """A head that is kept here, once its note says the same and our key signed that."""
        fault = fault_of(row, self._log, self._keys)
        if isinstance(fault, LogForked):
            raise fault
        self.unknown = fault or self.unknown
        return row


class _Nodes:
    """The kept inner hashes, which have to be those that the leaves give."""

    def __init__(self, connection: Connection, log: LogRecord, size: int) -> None:
        """``size`` is the newest head's: up to there all of them are kept."""
        self._kept: Mapping[tuple[int, int], bytes] = {
            (level, number): each
            for level, count in complete_nodes(size)
            for number, each in enumerate(repository.hashes(connection, log, level, 0, count))
        }
        self._size = size

    def compare(self, growing: GrowingRoot) -> None:
        """Hold what was completed against what is kept; raises LogForked."""
        for node in growing.nodes:
            if (
                growing.size <= self._size
                and self._kept.get((node.level, node.number)) != node.hash
            ):
                raise LogForked(
                    _(
                        "The tree's hash {number} of level {level} is not that of its entries.",
                        number=node.number,
                        level=node.level,
                    ),
                    remedy=REMEDY,
                )
        growing.nodes.clear()
