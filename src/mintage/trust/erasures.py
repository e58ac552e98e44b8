"""Entries that went dark with an erased customer, and the entry of the log that accounts for them.

A record goes with the data key that it was sealed under; its position and its leaf's hash stay. The
entry ``customer.erased`` names the keys that were destroyed, how many entries were under them, and
the root over those: so nobody makes another entry look erased. docs/formats/audit-log.md has it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from mintage.core.errors import LogForked
from mintage.core.messages import _
from mintage.store import data_keys
from mintage.trust import merkle, repository
from mintage.trust.leaves import REMEDY, rehashed
from mintage.trust.repository import Connection, LogRow
from mintage.trust.roots import GrowingRoot

ERASED: Final = "customer.erased"
_POSITION_BYTES = 8
_TOGETHER = 500
"""Erasures whose entries are looked for by one reading of the log."""
_PAGE = 2000
"""Entries that are read at once before they go: in between, the database is free for others."""


@dataclass(frozen=True)
class Gone:
    """What an erasure says of the entries that are gone with it: how many, and their root."""

    entries: int
    root: str

    @classmethod
    def of(cls, said: Any) -> Gone:
        """Out of a record; raises KeyError or TypeError where it says nothing of the kind."""
        return cls(said["entries"], said["entries_root"])

    def to_json(self) -> dict[str, Any]:
        """As a record says it."""
        return {"entries": self.entries, "entries_root": self.root}


@dataclass
class GoneEntries:
    """Adds up such entries in the order of their positions, in memory that stays small."""

    _growing: GrowingRoot = field(default_factory=GrowingRoot)

    def add(self, position: int, leaf_hash: bytes) -> None:
        """One more: its leaf in this tree is of position and leaf hash."""
        placed = position.to_bytes(_POSITION_BYTES, "big") + leaf_hash
        self._growing.add([merkle.leaf_hash(placed)])
        self._growing.nodes.clear()

    def gone(self) -> Gone:
        """What there is to say of those until now."""
        return Gone(self._growing.size, self._growing.root().hex())


class ExportedErasures:
    """Entries of an export that have no record: each says which entry accounts for that.

    They are held against what that entry says, once it comes.
    """

    def __init__(self) -> None:
        self._gone: defaultdict[int, GoneEntries] = defaultdict(GoneEntries)

    def take(self, position: int, leaf_hash: bytes, erased_by: object) -> None:
        """An entry without a record.

        Raises:
            LogForked: nothing behind it accounts for it.
        """
        if type(erased_by) is not int or erased_by <= position:
            raise unaccounted(position)
        self._gone[erased_by].add(position, leaf_hash)

    def check(self, position: int, record: str) -> None:
        """An entry with its record, which may be an erasure.

        Raises:
            LogForked: it is one, and not of those that say so.
        """
        # Canonical JSON: no erasure says it in another way.
        if f'"kind":"{ERASED}"' not in record:
            return
        said = json.loads(record)
        if said["kind"] != ERASED:
            return
        if Gone.of(said) != self._gone.pop(position, GoneEntries()).gone():
            raise not_as_erased(position)

    def finish(self) -> None:
        """Raises LogForked where an entry that was to account for others never came."""
        if self._gone:
            raise not_as_erased(min(self._gone))


class Leaving:
    """The entries of a customer who is about to be erased, each read and hashed before it is gone.

    Most are read before the transaction that destroys the keys, and the last ones within it.
    """

    def __init__(self, owner: str) -> None:
        """``owner`` is whose data keys will be destroyed."""
        self._owner = owner
        self._entries = GoneEntries()
        self._next = 0
        self.damaged = 0
        """How many of them are not what was logged; those can only be in logs that were frozen."""

    def read(self, connection: Connection) -> bool:
        """Go on by a page; whether there may be more.

        Raises:
            LogForked: one in the log that goes on is not what was logged: nobody could tell that
                afterwards.
        """
        keys = data_keys.standing(connection, self._owner)
        logs = repository.all_logs(connection)
        goes_on = logs[-1].first_position if logs else 0
        count = 0
        with closing(repository.read_rows(connection, self._next, keys=keys, most=_PAGE)) as rows:
            for row in rows:
                try:
                    rehashed(row, row.position)
                except LogForked:
                    if row.position >= goes_on:
                        raise
                    self.damaged += 1
                self._entries.add(row.position, row.leaf_hash)
                self._next = row.position + 1
                count += 1
        return count == _PAGE

    def gone(self) -> Gone:
        """What the erasure is to say of them, once there are no more."""
        return self._entries.gone()


@dataclass(frozen=True)
class _Erasure:
    position: int
    keys: Sequence[int]
    gone: Gone


class Erasures:
    """The erasures that a log names, and whether just what they name is gone.

    All of it is worked out when it is first asked for, and again where more was logged since.
    """

    def __init__(self) -> None:
        self._by_key: dict[int | None, int] = {}
        self._holding: set[int] = set()
        self._until = -1

    def rehashed(self, connection: Connection, row: LogRow, expected: int) -> bytes:
        """As ``leaves.rehashed``; an erased entry has to be accounted for.

        Raises:
            LogForked: as there; or nothing accounts for it; or an erasure is not of what is gone.
        """
        if row.erased and row.position == expected:
            self.account(connection, row)
            return row.leaf_hash
        found = rehashed(row, expected)
        if row.kind == ERASED and row.key is not None:
            self._look(connection)
            if row.position not in self._holding:
                raise not_as_erased(row.position)
        return found

    def account(self, connection: Connection, row: LogRow) -> int:
        """The position of the entry that accounts for an erased one.

        Raises:
            LogForked: there is none, or it is not of what is gone.
        """
        found = self.of(connection, row)
        if found is None:
            raise unaccounted(row.position)
        return found

    def of(self, connection: Connection, row: LogRow) -> int | None:
        """As ``account``; None where nothing accounts for it."""
        if row.key not in self._by_key:
            self._look(connection)
        found = self._by_key.get(row.key, -1)
        return found if row.position < found else None

    def _look(self, connection: Connection) -> None:
        until = repository.last_position(connection)
        if until == self._until:
            return
        self._until, self._by_key, self._holding = until, {}, set()
        found = list(_named(connection))
        for begin in range(0, len(found), _TOGETHER):
            some = found[begin : begin + _TOGETHER]
            there = _under(connection, some)
            for each in some:
                if there[each.position].gone() == each.gone:
                    self._holding.add(each.position)
                    self._by_key |= dict.fromkeys(each.keys, each.position)


def _named(connection: Connection) -> Iterator[_Erasure]:
    """What each erasure says, but of those that were changed, or that say nothing."""
    with closing(repository.read_rows(connection, kinds=(ERASED,))) as rows:
        for row in rows:
            try:
                rehashed(row, row.position)
                said = json.loads(row.record)
                yield _Erasure(row.position, [*said["data_keys"]], Gone.of(said))
            except (LogForked, KeyError, TypeError):
                continue  # nothing is accounted for by it


def _under(connection: Connection, erasures: Sequence[_Erasure]) -> defaultdict[int, GoneEntries]:
    """The entries that are under the keys of erasures, each before it, by its position."""
    found: defaultdict[int, GoneEntries] = defaultdict(GoneEntries)
    at: dict[int, int] = {}
    for each in erasures:
        for key in each.keys:
            at.setdefault(key, each.position)
    with closing(repository.hashes_under(connection, at)) as rows:
        for position, key, leaf_hash in rows:
            if position < at[key]:
                found[at[key]].add(position, leaf_hash)
    return found


def unaccounted(position: int) -> LogForked:
    """An entry has no record, and nothing says why."""
    return LogForked(
        _(
            "The entry at position {position} has no record any more, and no erasure accounts "
            "for it.",
            position=position,
        ),
        remedy=REMEDY,
    )


def not_as_erased(position: int) -> LogForked:
    """An erasure is not of the entries that are gone with it."""
    return LogForked(
        _(
            "What the entry at position {position} says was erased is not what is gone from the "
            "log.",
            position=position,
        ),
        remedy=REMEDY,
    )
