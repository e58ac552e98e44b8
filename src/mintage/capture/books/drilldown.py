"""Which usage events a line of an invoice was computed from.

Whoever holds them can show by their root that a line is of these and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mintage.capture.books.documents import Document
from mintage.capture.events import ABSTAINED, CHARGED_OUTCOMES
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp


@dataclass(frozen=True)
class Segment:
    """The charged events of a customer under a version of a plan that a document took.

    Those after one sequence number, up to and including another, recorded from one moment on and
    before another.
    """

    customer: str
    plan: str
    version: int
    sequences: tuple[int, int]
    moments: tuple[str, str]
    outcomes: tuple[str, ...]

    @classmethod
    def of(cls, customer: str, period: str, line: Mapping[str, Any], agreed: Plan) -> Segment:
        """That of a line of usage in a document of this customer and month."""
        month = Period.parse(line.get("period", period))
        begin, end = (timestamp(each) for each in month.bounds(agreed.terms.timezone))
        charged = CHARGED_OUTCOMES
        return cls(
            customer=customer,
            plan=agreed.name,
            version=agreed.version,
            sequences=(line["after"], line["until"]),
            moments=(max(begin, line.get("since", "")), end),
            outcomes=(*charged, ABSTAINED) if agreed.terms.charge_abstained else charged,
        )


@dataclass(frozen=True)
class Counted:
    """What of a segment a line is of: what counted a unit of these products; None is all of it."""

    unit: str | None
    products: tuple[str, ...]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Counted:
        """That of a line of usage; late usage has no unit."""
        return cls(line.get("unit"), tuple(line.get("products", ())))


@dataclass(frozen=True)
class Events:
    """How many events a line is of, and their root."""

    count: int
    root: bytes

    def to_json(self) -> dict[str, Any]:
        """As a line has it; of no events it says nothing."""
        return {"events": self.count, "events_root": self.root.hex()} if self.count else {}


class Agreed(Protocol):
    """Who knows plans: a customer's ``Account``."""

    def plan(self, name: str, version: int) -> Plan:
        """One version of a plan."""
        ...


def plan_named(reference: str, plans: Agreed) -> Plan:
    """The version of a plan that a line names: ``gold@2``."""
    name, __, version = reference.partition("@")
    return plans.plan(name, int(version))


def lines_by_segment(customer: str, document: Document, plans: Agreed) -> dict[Segment, list[int]]:
    """The places of a document's lines of usage, by the segment that they are of."""
    found: dict[Segment, list[int]] = {}
    for number, line in enumerate(document["lines"]):
        if "until" in line:
            agreed = plan_named(line["plan"], plans)
            segment = Segment.of(customer, document["period"], line, agreed)
            found.setdefault(segment, []).append(number)
    return found
