"""A line of usage, held against the events that it was computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any

from mintage.capture.chain.evidence import Event
from mintage.capture.chain.priced import price_of, prices_each_call
from mintage.capture.chain.steps import broken_line
from mintage.capture.events import ABSTAINED, CHARGED_OUTCOMES
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import exact_of
from mintage.capture.pricing.terms import Terms
from mintage.core.clock import timestamp
from mintage.core.errors import BooksBroken
from mintage.core.messages import Message, _, plural
from mintage.core.money import decimal_text
from mintage.trust.roots import GrowingRoot

FURTHEST_ZONE = timedelta(hours=15)
"""How far a zone's month can begin from that of UTC."""
Quantities = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Agreed:
    """The terms of a version of a plan, and what calls come to by them."""

    terms: Terms
    priced: Callable[[str, Quantities], Priced]

    @classmethod
    def of(cls, terms: Terms) -> Agreed:
        """Calls of the same few are priced once."""
        return cls(terms, lru_cache(maxsize=4096)(partial(_priced, terms)))


@dataclass(frozen=True)
class Priced:
    """What a call comes to by itself, as it is written, and whether that is final."""

    exact: Fraction
    text: str
    is_final: bool


def _priced(terms: Terms, product: str, quantities: Quantities) -> Priced:
    exact = price_of(terms, product, quantities)
    return Priced(exact, decimal_text(exact), terms.is_final(product))


@dataclass
class ChargedLine:
    """What the events of one line come to; without ``agreed`` its plan is not held.

    ``set_at`` is where on the log its plan was set, None where that is not held.
    """

    number: int
    said: Mapping[str, Any]
    agreed: Agreed | None = None
    set_at: int | None = None
    tree: GrowingRoot = field(default_factory=GrowingRoot)
    waiting: list[bytes] = field(default_factory=list)
    units: Counter[str] = field(default_factory=Counter)
    is_summed: bool = False
    """Whether it is what its events come to one by one, though it is late: ``due``."""
    due: Fraction = Fraction(0)
    last: int = -1
    erased: int = 0
    """Of its events, those of which the leaf alone is left."""
    between: tuple[str, str] = ("", "~")
    """The moments of its events: from the first, and before the second."""

    def is_of(self, document: Mapping[str, Any]) -> None:
        """Say of which month it is; without its plan the zone is not known."""
        month, agreed = Period.parse(self.said.get("period", document["period"])), self.agreed
        begin, end = month.bounds("UTC" if agreed is None else agreed.terms.timezone)
        if agreed is None:
            begin, end = begin - FURTHEST_ZONE, end + FURTHEST_ZONE
        self.between = max(timestamp(begin), self.said.get("since", "")), timestamp(end)
        is_late = (document["kind"], self.said["kind"]) == ("invoice", "late")
        self.is_summed = agreed is not None and is_late and prices_each_call(agreed.terms)

    def take(self, event: Event, facts: Mapping[str, Any]) -> None:
        """Count an event; ``facts`` is what its record or receipt says.

        Raises:
            BooksBroken: it cannot be of this line.
        """
        self._add(event)
        said, unit = self.said, self.said.get("unit")
        if f"{facts['plan']}@{facts['plan_version']}" != said["plan"]:
            raise self.broken(_("the event at {position} is of another plan", **at(event)))
        if self.set_at is not None and event.position < self.set_at:
            raise self.broken(_("the event at {position} is older than its plan", **at(event)))
        terms = None if self.agreed is None else self.agreed.terms
        charges_abstained = terms is None or terms.charge_abstained
        abstained = facts["outcome"] == ABSTAINED and charges_abstained
        if facts["outcome"] not in CHARGED_OUTCOMES and not abstained:
            raise self.broken(_("the event at {position} is not charged", **at(event)))
        begin, end = self.between
        if not begin <= facts["recorded_at"] < end:
            raise self.broken(
                _("the event at {position} is of another month, or of the trial", **at(event))
            )
        if unit is None:
            self.units[""] += 1
        elif facts["product"] not in said["products"] or unit not in facts["quantities"]:
            raise self.broken(_("the event at {position} is of another line", **at(event)))
        else:
            self.units[facts["product"]] += facts["quantities"][unit]
        if self.agreed is not None:
            self._check_price(self.agreed, event, facts)

    def take_erased(self, event: Event) -> None:
        """Count an event whose record was erased: it is in the root, and says nothing more.

        Raises:
            BooksBroken: it is not in the order of the log.
        """
        self._add(event)
        self.erased += 1

    def _add(self, event: Event) -> None:
        if event.position <= self.last:
            raise self.broken(_("its events are not in the order of the log"))
        self.last = event.position
        self.waiting.append(event.leaf_hash)
        if len(self.waiting) >= 4096:
            self._flush()

    def _check_price(self, agreed: Agreed, event: Event, facts: Mapping[str, Any]) -> None:
        """A price that was promised as final is the plan's."""
        if not facts["final"] and not self.is_summed:
            return
        by_plan = agreed.priced(facts["product"], tuple(sorted(facts["quantities"].items())))
        promised = (by_plan.text, agreed.terms.currency, by_plan.is_final)
        if facts["final"] and promised != (facts["price"], facts["currency"], True):
            raise self.broken(
                _("the event at {position} was promised at another price", **at(event))
            )
        if self.is_summed:
            self.due += by_plan.exact

    def _flush(self) -> None:
        self.tree.add(self.waiting)
        self.waiting.clear()

    def check(self) -> None:
        """Compare with what the invoice says; what erased events counted, nobody can add up.

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
        if self.erased:
            return
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
        if self.is_summed and self.due != exact_of(said):
            raise self.broken(_("it is not what its events come to by the plan"))

    def described(self) -> Message:
        """What it says, in a few words."""
        said = self.said
        return plural(
            said.get("events", 0),
            _("line {line}: {units} × {unit} of {plan}, one event"),
            _("line {line}: {units} × {unit} of {plan}, {events} events"),
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
        return broken_line(self.number, what)


def check_lines(document: Mapping[str, Any]) -> None:
    """Look that no usage is on two lines, and that each line of it says what it was computed from.

    Raises:
        BooksBroken: it is not so.
    """
    seen: dict[tuple[object, ...], set[str]] = {}
    for number, line in enumerate(document["lines"], start=1):
        is_part = document["kind"] == "credit_note" and "of_line" in line
        if line["kind"] not in ("usage", "late") or is_part:
            continue
        if "until" not in line:
            raise broken_line(number, _("it says nothing of its events"))
        own = document["period"]
        period = line.get("period", own)
        if period >= own if line["kind"] == "late" else period != own:
            raise broken_line(number, _("it is of another month"))
        products = seen.setdefault((line["plan"], line.get("unit"), period), set())
        # A flat amount may be due without any usage: then it is of no product's.
        mine = {""} if line["kind"] == "late" else set(line["products"])
        if products & mine:
            raise broken_line(number, _("another line is of the same usage"))
        products |= mine


def at(event: Event) -> dict[str, int]:
    """What messages name an event by."""
    return {"position": event.position}
