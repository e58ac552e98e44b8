"""Whether the usage events are those on the audit log: every one of them, and no other.

Events are numbered in the order in which they are logged, so both are gone through once, side by
side. Each leaf's record is hashed again, and the event has to say what that says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mintage.capture.checking import repository
from mintage.capture.logged.faults import (
    EVENTS,
    POSITION,
    RECEIPT,
    RECORD,
    SEQUENCE,
    Fault,
    Kind,
    Row,
    fault_of,
    is_as_logged,
    object_of,
)
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.store.engine import Database
from mintage.trust.erasures import Erasures

_TOGETHER = 2000
"""Events of one read: no checkpoint of the database waits for longer, and they are a few MB."""
_MOST_NAMED = 10


@dataclass
class CheckedUsage:
    """Events that were held against the log: how many, how many faults, and the first of those.

    Of the ``erased`` the log has the hash alone, which says nothing of what they say.
    """

    events: int = 0
    erased: int = 0
    faults: Counter[Kind] = field(default_factory=Counter)
    named: list[Fault] = field(default_factory=list)

    @property
    def unnamed(self) -> int:
        """How many faults there are besides those that are named."""
        return self.faults.total() - len(self.named)

    def to_json(self) -> dict[str, Any]:
        """As ``ledger check --json`` says it."""
        return {
            "events": self.events,
            "erased": self.erased,
            "missing": self.faults["missing"],
            "extra": self.faults["extra"],
            "changed": self.faults["changed"] + self.faults["log_changed"],
            "first": [asdict(each) | {"members": [*each.members]} for each in self.named],
        }

    def add(self, fault: Fault) -> None:
        """Count one, and keep it where it is among the first."""
        self.faults[fault.kind] += 1
        if len(self.named) < _MOST_NAMED:
            self.named.append(fault)


class UsageCheck:
    """Holds the events of a workspace against its audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self, since: Period | None = None, progress: Progress | None = None) -> CheckedUsage:
        """All that is recorded until now, or what is since the beginning of a month, in UTC.

        It reads a few thousand at once, however many there are; a fault stops nothing.
        """
        shown, after, logged = progress or Silent(), 0, -1
        with self._database.read() as connection:
            until, end = repository.ends(connection)
            if since is not None:
                moment = timestamp(since.bounds("UTC")[0])
                after, logged = repository.before(connection, moment, until)
        beside, first = _BesideLog(logged), after
        shown.start(_("Holding the calls against the audit log"), until - after)
        rows: Sequence[Row] = [()]
        erasures = Erasures()
        while rows:
            with self._database.read() as connection:
                rows = EVENTS.after(connection, erasures, after, until, _TOGETHER)
                beside.go_on(connection, rows, end)
            if rows:
                after = rows[-1][SEQUENCE]
                shown.advance(after - first)
        shown.finish()
        return beside.found


class _BesideLog:
    """Goes through events and leaves, the same way along both."""

    def __init__(self, logged: int) -> None:
        """``logged`` is the position up to which the log is not looked at."""
        self.found = CheckedUsage()
        self._logged = logged

    def go_on(self, connection: repository.Connection, rows: Sequence[Row], end: int) -> None:
        """The next events; without any, what is left of the log up to its end."""
        begin, known = self._logged, set[int]()
        for row in rows:
            position = row[POSITION]
            fault = None if is_as_logged(row) else fault_of(row)
            if fault is None or fault.kind != "extra":
                known.add(position)
                if position <= self._logged:
                    fault = fault or Fault("extra", position, row[RECEIPT])
                self._logged = max(self._logged, position)
            if fault is not None:
                self.found.add(fault)
            elif row[RECORD] is None:
                self.found.erased += 1
        self.found.events += len(rows)
        if not rows:
            self._logged = max(begin, end)
        there = sum(begin < each <= self._logged for each in known)
        if repository.leaves_between(connection, begin, self._logged) != there:
            gone = repository.leaves_but(connection, begin, self._logged, known)
            for position, record in gone:
                receipt = str(object_of(record).get("receipt", "?"))
                self.found.add(Fault("missing", position, receipt))
