"""A line of usage, held against the events that it was computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mintage.capture.chain.evidence import Event
from mintage.capture.events import ABSTAINED, CHARGED_OUTCOMES
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.clock import timestamp
from mintage.core.errors import BooksBroken
from mintage.core.messages import Message, _
from mintage.trust.roots import GrowingRoot

FURTHEST_ZONE = timedelta(hours=15)
"""How far a zone's month can begin from that of UTC."""
BY_SELLER = _("Ask the seller for the evidence anew, and about this line.")


@dataclass
class ChargedLine:
    """What the events of one line come to."""

    number: int
    said: Mapping[str, Any]
    tree: GrowingRoot = field(default_factory=GrowingRoot)
    waiting: list[bytes] = field(default_factory=list)
    units: Counter[str] = field(default_factory=Counter)
    last: int = -1
    between: tuple[str, str] = ("", "~")
    """The moments of its events: from the first, and before the second."""
    charges_abstained: bool = True

    def is_of(self, period: str, terms: Terms | None) -> None:
        """Say of which month it is, and by which terms; without them the zone is not known."""
        month = Period.parse(self.said.get("period", period))
        begin, end = month.bounds("UTC" if terms is None else terms.timezone)
        if terms is None:
            begin, end = begin - FURTHEST_ZONE, end + FURTHEST_ZONE
        else:
            self.charges_abstained = terms.charge_abstained
        self.between = timestamp(begin), timestamp(end)

    def take(self, event: Event, facts: Mapping[str, Any]) -> None:
        """Count an event; ``facts`` is what its record or receipt says.

        Raises:
            BooksBroken: it cannot be of this line.
        """
        if event.position <= self.last:
            raise self.broken(_("its events are not in the order of the log"))
        self.last = event.position
        self.waiting.append(event.leaf_hash)
        if len(self.waiting) >= 4096:
            self._flush()
        said, unit = self.said, self.said.get("unit")
        if f"{facts['plan']}@{facts['plan_version']}" != said["plan"]:
            raise self.broken(_("the event at {position} is of another plan", **at(event)))
        abstained = facts["outcome"] == ABSTAINED and self.charges_abstained
        if facts["outcome"] not in CHARGED_OUTCOMES and not abstained:
            raise self.broken(_("the event at {position} is not charged", **at(event)))
        begin, end = self.between
        if not begin <= facts["recorded_at"] < end:
            raise self.broken(_("the event at {position} is of another month", **at(event)))
        if facts["recorded_at"] < said.get("since", ""):
            raise self.broken(_("the event at {position} is of the trial", **at(event)))
        if unit is None:
            self.units[""] += 1
        elif facts["product"] not in said["products"] or unit not in facts["quantities"]:
            raise self.broken(_("the event at {position} is of another line", **at(event)))
        else:
            self.units[facts["product"]] += facts["quantities"][unit]

    def _flush(self) -> None:
        self.tree.add(self.waiting)
        self.waiting.clear()

    def check(self) -> None:
        """Compare with what the invoice says.

        Raises:
            BooksBroken: it says something else.
        """
        self._flush()
        said = self.said
        if self.tree.size != said.get("events", 0):
            raise self.broken(
                _(
                    "it is of {said} events, and {count} are held",
                    said=said.get("events", 0),
                    count=self.tree.size,
                )
            )
        if self.tree.size and self.tree.root().hex() != said.get("events_root"):
            raise self.broken(_("its events are not those that it was computed from"))
        total = sum(self.units.values())
        used = {product: units for product, units in self.units.items() if units}
        if total != said["units"] or ("products" in said and used != said["products"]):
            raise self.broken(
                _(
                    "it charges {units} units, and its events sum to {total}",
                    units=said["units"],
                    total=total,
                )
            )

    def described(self) -> Message:
        """What it says, in a few words."""
        said = self.said
        return _(
            "line {line}: {units} × {unit} of {plan}, {events} events",
            line=self.number,
            units=said.get("units", 0),
            unit=Message(said.get("unit") or "call"),
            plan=said["plan"],
            events=said.get("events", 0),
        )

    def may_be_of(self, statement: Mapping[str, Any]) -> bool:
        """Whether the event of a receipt may be of it, as far as the receipt says."""
        said, unit = self.said, self.said.get("unit")
        return (
            f"{statement['plan']}@{statement['plan_version']}" == said["plan"]
            and statement["outcome"] in (*CHARGED_OUTCOMES, ABSTAINED)
            and statement["recorded_at"] >= said.get("since", "")
            and (
                unit is None
                or (statement["product"] in said["products"] and unit in statement["quantities"])
            )
        )

    def broken(self, what: Message) -> BooksBroken:
        """Why it does not hold."""
        return BooksBroken(
            _("Line {line} does not hold: {what}.", line=self.number, what=what), remedy=BY_SELLER
        )


def check_lines(document: Mapping[str, Any]) -> None:
    """Look that no usage is on two lines, and that each line of it says what it was computed from.

    Raises:
        BooksBroken: it is not so.
    """
    seen: dict[tuple[object, ...], set[str]] = {}
    for number, line in enumerate(document["lines"], start=1):
        if line["kind"] not in ("usage", "late"):
            continue
        if "until" not in line:
            raise ChargedLine(number, line).broken(_("it says nothing of its events"))
        names = ("kind", "plan", "unit", "period", "since")
        products = seen.setdefault(tuple(line.get(name) for name in names), set())
        mine = set(line.get("products", ())) or {""}
        if products & mine:
            raise ChargedLine(number, line).broken(_("another line is of the same usage"))
        products |= mine


def at(event: Event) -> dict[str, int]:
    """What messages name an event by."""
    return {"position": event.position}
