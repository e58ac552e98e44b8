"""Whether an event is what was logged, and what is wrong with one that is not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mintage.capture.events import picos_of
from mintage.capture.logged.records import COLUMNS, MEMBERS, record_of
from mintage.capture.logged.repository import USAGE, Events
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.messages import Message, _
from mintage.trust.audit import leaf_of

Kind = Literal["missing", "extra", "changed", "log_changed"]

EVENTS = Events([*COLUMNS, "log_position", "sequence"])
RECEIPT, POSITION, SEQUENCE = MEMBERS.index("receipt"), len(COLUMNS), len(COLUMNS) + 1
RECORD = SEQUENCE + 2  # behind the kind of its leaf
Row = Sequence[Any]


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


def is_as_logged(row: Row) -> bool:
    """Whether the leaf at an event's position is the event's, and nothing of either was changed."""
    kind, record, salt, leaf_hash = row[-4:]
    if kind != USAGE:
        return False
    if record is None:
        return True  # its customer was erased: nothing is left to compare
    try:
        return record_of(row) == record and bool(leaf_of(record, salt) == leaf_hash)
    except (TypeError, DataError):
        return False  # somebody has written something else there


def fault_of(row: Row) -> Fault:
    """What is wrong with one that is not."""
    position, receipt = row[POSITION], row[RECEIPT]
    kind, *logged = row[-4:]
    if kind != USAGE:
        return Fault("extra", position, receipt)
    record, salt, leaf_hash = (each.encode() if isinstance(each, str) else each for each in logged)
    if leaf_of(record, salt) != leaf_hash:
        return Fault("log_changed", position, receipt)
    said = object_of(record)
    if said.get("receipt") != receipt:
        return Fault("extra", position, receipt)
    return Fault("changed", position, receipt, _differing(row, said))


def _differing(row: Row, said: Mapping[str, Any]) -> list[str]:
    there = dict(zip(MEMBERS, row, strict=False))
    if said.get("quantities") is not None:
        said = {**said, "quantities": canonical_json(said["quantities"]).decode()}
    if "cost" in said:
        said = {**said, "cost": picos_of(said["cost"])}
    return [name for name, value in there.items() if name not in said or said[name] != value]


def object_of(record: bytes | str) -> dict[str, Any]:
    """What a record says; nothing where it is none of ours."""
    try:
        found = json.loads(record)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
