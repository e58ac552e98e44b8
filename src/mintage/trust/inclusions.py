"""Proofs of many entries at once, whichever of the logs they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.notes import SignedHead
from mintage.trust.repository import LogRecord
from mintage.trust.tiles import Tiles


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry is: its log, its index in it, and the path to the root of that log's head.

    The path's siblings are the lowest first. It is None where no head that its log still leads to
    is over the entry: the log was frozen before one was signed.
    """

    log: int
    index: int
    path: tuple[bytes, ...] | None


class Inclusions:
    """Proofs by one head of each log; ``heads`` are by the log's number.

    Entries that are near one another share most of the work. The database is free for others
    between two of them.
    """

    def __init__(
        self, database: Database, logs: Sequence[LogRecord], heads: Mapping[int, SignedHead]
    ) -> None:
        """``logs`` are all there are, the oldest first; a frozen one may have no head."""
        self.heads = heads
        self._database = database
        self._logs = logs
        self._tiles = {log.number: Tiles(partial(self._read, log)) for log in logs}

    @property
    def begun(self) -> int | None:
        """Where the newest log begins, by an entry that names those before it, if there are any."""
        newest = self._logs[-1]
        return newest.first_position if newest.number > 1 else None

    def reaches(self, position: int) -> bool:
        """Whether the newest head is over the entry there, and over all before it in its log."""
        newest = self._logs[-1]
        head = self.heads.get(newest.number)
        size = 0 if head is None else head.size
        return size > max(position - newest.first_position, 0)

    def of(self, position: int) -> Place:
        """The place of the entry there.

        Raises:
            ConfigError: there is no such position under the newest head.
            LogForked: a hash that it takes is not there.
        """
        logs = self._logs
        log = next((each for each in logs[::-1] if each.first_position <= position), logs[0])
        index, head = position - log.first_position, self.heads.get(log.number)
        size = 0 if head is None else head.size
        if log.frozen_at is not None and index >= size:
            return Place(log.number, index, None)
        path = self._tiles[log.number].inclusion(index, size)
        return Place(log.number, index, tuple(path))

    def _read(self, log: LogRecord, level: int, first: int, count: int) -> Sequence[bytes]:
        with self._database.read() as connection:
            return repository.hashes(connection, log, level, first, count)
