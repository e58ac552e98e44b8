"""Whether the usage events are those on the audit log: every one of them, and no other.

Events are numbered in the order in which they are logged, so both are gone through once, side by
side. Each leaf's record is hashed again, and the event has to say what that says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mintage.capture.checking import repository
from mintage.capture.checking.records import COLUMNS, MEMBERS, record_of
from mintage.capture.events import picos_of
from mintage.capture.pricing.periods import Period
from mintage.core.canonical import canonical_json
from mintage.core.clock import timestamp
from mintage.core.errors import DataError
from mintage.core.messages import Message, _
from mintage.core.progress import Progress, Silent
from mintage.store.engine import Database
from mintage.trust.audit import leaf_of

Kind = Literal["missing", "extra", "changed", "log_changed"]

_TOGETHER = 2000
"""Events of one read: no checkpoint of the database waits for longer, and they are a few MB."""
_MOST_NAMED = 10

_EVENTS = repository.Events([*COLUMNS, "log_position", "sequence"])
_RECEIPT, _POSITION, _SEQUENCE = MEMBERS.index("receipt"), len(COLUMNS), len(COLUMNS) + 1
_Row = Sequence[Any]


@dataclass(frozen=True)
class Fault:
    """One event that is not as it was logged; ``members`` are those that differ.

    ``missing``: it was logged, and is not there. ``extra``: it is there, and was not logged, or
    elsewhere. ``log_changed``: it is the log's entry that is not what was logged.
    """

    kind: Kind
    position: int
    receipt: str
    members: Sequence[str] = ()

    def said(self) -> Message:
        """In a sentence."""
        said: dict[str, Any] = {"receipt": self.receipt, "position": self.position}
        if self.kind == "missing":
            return _("The call {receipt} was logged at position {position}, and is gone.", **said)
        if self.kind == "extra":
            return _("The call {receipt} was not logged at its position {position}.", **said)
        if self.kind == "log_changed":
            return _(
                "The log's entry at position {position}, of the call {receipt}, was changed after "
                "it was logged.",
                **said,
            )
        return _(
            "The call {receipt}, logged at position {position}, was changed: {members}.",
            members=", ".join(self.members),
            **said,
        )


@dataclass
class CheckedUsage:
    """Events that were held against the log: how many, how many faults, and the first of those."""

    events: int = 0
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
        rows: Sequence[_Row] = [()]
        while rows:
            with self._database.read() as connection:
                rows = _EVENTS.after(connection, after, until, _TOGETHER)
                beside.go_on(connection, rows, end)
            if rows:
                after = rows[-1][_SEQUENCE]
                shown.advance(after - first)
        shown.finish()
        return beside.found


class _BesideLog:
    """Goes through events and leaves, the same way along both."""

    def __init__(self, logged: int) -> None:
        """``logged`` is the position up to which the log is not looked at."""
        self.found = CheckedUsage()
        self._logged = logged

    def go_on(self, connection: repository.Connection, rows: Sequence[_Row], end: int) -> None:
        """The next events; without any, what is left of the log up to its end."""
        begin, known = self._logged, set[int]()
        for row in rows:
            position = row[_POSITION]
            fault = None if _is_as_logged(row) else _fault_of(row)
            if fault is None or fault.kind != "extra":
                known.add(position)
                if position <= self._logged:
                    fault = fault or Fault("extra", position, row[_RECEIPT])
                self._logged = max(self._logged, position)
            if fault is not None:
                self.found.add(fault)
        self.found.events += len(rows)
        if not rows:
            self._logged = max(begin, end)
        there = sum(begin < each <= self._logged for each in known)
        if repository.leaves_between(connection, begin, self._logged) != there:
            gone = repository.leaves_but(connection, begin, self._logged, known)
            for position, record in gone:
                receipt = str(_object(record).get("receipt", "?"))
                self.found.add(Fault("missing", position, receipt))


def _is_as_logged(row: _Row) -> bool:
    """Whether the leaf at an event's position is the event's, and nothing of either was changed."""
    kind, record, salt, leaf_hash = row[-4:]
    if kind != repository.USAGE:
        return False
    if record is None:
        return True  # its customer was erased: nothing is left to compare
    try:
        return record_of(row) == record and bool(leaf_of(record, salt) == leaf_hash)
    except (TypeError, DataError):
        return False  # somebody has written something else there


def _fault_of(row: _Row) -> Fault:
    position, receipt = row[_POSITION], row[_RECEIPT]
    kind, *logged = row[-4:]
    if kind != repository.USAGE:
        return Fault("extra", position, receipt)
    record, salt, leaf_hash = (each.encode() if isinstance(each, str) else each for each in logged)
    if leaf_of(record, salt) != leaf_hash:
        return Fault("log_changed", position, receipt)
    said = _object(record)
    if said.get("receipt") != receipt:
        return Fault("extra", position, receipt)
    return Fault("changed", position, receipt, _differing(row, said))


def _differing(row: _Row, said: Mapping[str, Any]) -> list[str]:
    there = dict(zip(MEMBERS, row, strict=False))
    if said.get("quantities") is not None:
        said = {**said, "quantities": canonical_json(said["quantities"]).decode()}
    if "cost" in said:
        said = {**said, "cost": picos_of(said["cost"])}
    return [name for name, value in there.items() if name not in said or said[name] != value]


def _object(record: bytes | str) -> dict[str, Any]:
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
