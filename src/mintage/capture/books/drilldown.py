"""Which usage events a line of an invoice was computed from, and the root that stands for them.

The root is RFC 6962's over the audit log's leaves of those events, in the order of their positions:
whoever holds the events can show that a line is of these and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mintage.capture.books import repository
from mintage.capture.books.documents import Document
from mintage.capture.events import ABSTAINED, CHARGED_OUTCOMES
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp
from mintage.core.errors import LogForked
from mintage.core.messages import _
from mintage.trust.roots import GrowingRoot

_TOGETHER = 20_000
"""Events that are read at once."""


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


class EventRoots:
    """The roots of lines, each worked out once: what was recorded never changes.

    So they can be worked out before an invoice is issued, while calls are being recorded.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Segment, tuple[Counted, ...]], list[Events]] = {}

    def stated(
        self, connection: repository.Connection, customer: str, document: Document, plans: Agreed
    ) -> Document:
        """The document with the events of each line of usage, and their root.

        Raises:
            LogForked: an event's leaf is not on the log.
        """
        lines = list(document["lines"])
        for segment, numbers in lines_by_segment(customer, document, plans).items():
            wanted = tuple(Counted.of(lines[each]) for each in numbers)
            found = self._known.get((segment, wanted))
            if found is None:
                found = self._known[segment, wanted] = _events(connection, segment, wanted)
            for number, events in zip(numbers, found, strict=True):
                lines[number] = lines[number] | events.to_json()
        return document | {"lines": lines}


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


def _events(
    connection: repository.Connection, segment: Segment, wanted: Sequence[Counted]
) -> list[Events]:
    """The events of each of them. Those of the same events share their root until they differ."""
    trees = [GrowingRoot()] * len(wanted)
    for leaves, masks in _leaves(connection, segment, wanted):
        taken: dict[tuple[GrowingRoot, frozenset[int]], GrowingRoot] = {}
        different = set(masks)
        for place, tree in enumerate(trees):
            bit = 1 << place
            mine = frozenset(each for each in different if each & bit)
            if (tree, mine) not in taken:
                grown = taken[tree, mine] = tree.copy()
                grown.add(_chosen(leaves, masks, mine, different))
            trees[place] = taken[tree, mine]
    return [Events(tree.size, tree.root()) for tree in trees]


def _chosen(
    leaves: Sequence[bytes], masks: Sequence[int], mine: frozenset[int], different: set[int]
) -> Sequence[bytes]:
    if len(mine) == len(different):
        return leaves
    return [leaf for leaf, mask in zip(leaves, masks, strict=True) if mask in mine]


def _leaves(
    connection: repository.Connection, segment: Segment, wanted: Sequence[Counted]
) -> Iterator[tuple[Sequence[bytes], Sequence[int]]]:
    """Leaves in their order, and of each which of the lines it is of, as bits."""
    counted = [(each.unit, each.products) for each in wanted]
    for rows in repository.leaves_within(connection, vars(segment), counted, _TOGETHER):
        leaves, masks = zip(*rows, strict=True)
        if None in leaves:
            raise LogForked(
                _("An event of {customer} has no entry in the log.", customer=segment.customer),
                remedy=_("Restore the workspace from a backup, or report this."),
            )
        yield leaves, masks
