"""Whether a document is what its calls come to: counted again, each held against its leaf.

The same pass works out the root that stands for the events of a line: RFC 6962's over the leaves of
those events, in the order of their positions on the audit log.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from mintage.capture.books.account import Account, Reference
from mintage.capture.books.documents import Document
from mintage.capture.books.drilldown import Counted, Events, Segment, lines_by_segment
from mintage.capture.books.months import Month, months_of
from mintage.capture.events import is_charged
from mintage.capture.limits.repository import last_before, long_before, summed_after
from mintage.capture.logged.faults import EVENTS, SEQUENCE, Row, fault_of, is_as_logged
from mintage.capture.logged.records import COLUMNS
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.subscriptions import held_of
from mintage.core.clock import timestamp
from mintage.core.errors import BooksBroken
from mintage.core.messages import _
from mintage.trust.erasures import Erasures
from mintage.trust.roots import GrowingRoot

_TOGETHER = 5000
"""Events that are read at once."""
_FURTHEST_ZONE = timedelta(hours=15)
_PLAN, _VERSION, _OUTCOME, _PRODUCT, _QUANTITIES, _RECORDED = (
    COLUMNS.index(name)
    for name in ("plan", "plan_version", "outcome", "product", "quantities", "recorded_at")
)
_LEAF_HASH = -1

Part = tuple[Segment, tuple[Counted, ...]]
"""Events, and what of them each line is of."""


class Recount:
    """A document's lines, counted again once: what was recorded never changes.

    So that is done before an invoice is issued, while calls are being recorded.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Period, int, tuple[Part, ...]], list[list[Events]]] = {}
        self._refusal: Exception | None = None

    def prepare(self, account: Account, document: Document, until: int) -> None:
        """Work out what ``stated`` will say; what cannot be fails there, and stops no other's."""
        try:
            self.stated(account, document, until)
        except Exception as error:  # noqa: BLE001 - raised when it is to be issued
            self._refusal = error

    def stated(self, account: Account, document: Document, until: int) -> Document:
        """The document with the events of each line of usage, and their root.

        ``until`` is the step of the rollup up to which it has usage.

        Raises:
            BooksBroken: an event is not what was logged, or a month is not what its events are.
        """
        if self._refusal is not None:
            raise self._refusal
        lines = list(document["lines"])
        for period, parts in _by_period(account, document).items():
            wanted = tuple((segment, counted) for segment, counted, __ in parts)
            found = self._known.get((period, until, wanted))
            if found is None:
                found = _recounted(account, period, until, wanted)
                self._known[period, until, wanted] = found
            for (__, ___, numbers), each in zip(parts, found, strict=True):
                for number, events in zip(numbers, each, strict=True):
                    lines[number] = lines[number] | events.to_json()
        return document | {"lines": lines}


def _by_period(
    account: Account, document: Document
) -> dict[Period, list[tuple[Segment, tuple[Counted, ...], list[int]]]]:
    """The events of lines, by the month that they are of; the document's own is always there."""
    lines = document["lines"]
    found: dict[Period, list[Any]] = {Period.parse(document["period"]): []}
    for segment, numbers in lines_by_segment(account.customer, document, account).items():
        period = Period.parse(lines[numbers[0]].get("period", document["period"]))
        counted = tuple(Counted.of(lines[each]) for each in numbers)
        found.setdefault(period, []).append((segment, counted, numbers))
    return found


def _recounted(
    account: Account, period: Period, until: int, parts: Sequence[Part]
) -> list[list[Events]]:
    """The events of each line. All of a month are gone through, and held against what is known."""
    lines = [_Lines(*part) for part in parts]
    tallies: dict[Reference, _Tally] = {}
    after = 0
    for step in sorted({until, *(segment.sequences[1] for segment, __ in parts)}):
        for rows in _pages(account, period, (after, step)):
            for row in rows:
                if not is_as_logged(row):
                    raise _not_as_logged(row)
                plan = row[_PLAN], row[_VERSION]
                if plan not in tallies:
                    tallies[plan] = _Tally.of(account, period, plan, lines)
                tallies[plan].add(row)
            for each in lines:
                each.grow()
        _compare(account, period, step, tallies)
        after = step
    return [each.events() for each in lines]


def _pages(account: Account, period: Period, sequences: tuple[int, int]) -> Iterable[Sequence[Row]]:
    """A customer's events of a month in any zone, so many at a time."""
    begin, end = period.bounds("UTC")
    moments = timestamp(begin - _FURTHEST_ZONE), timestamp(end + _FURTHEST_ZONE)
    after, until = sequences
    # By the rollup, whatever clocks did; and by the events' own order, whatever the rollup says.
    summed, __ = summed_after(account.connection, account.customer, *moments)
    in_order = last_before(account.connection, long_before(moments[0]))
    after, erasures = max(after, min(summed, in_order)), Erasures()
    while True:
        rows = EVENTS.of_customer(
            account.connection, erasures, account.customer, moments, (after, until), _TOGETHER
        )
        if rows:
            yield rows
        if len(rows) < _TOGETHER:
            return
        after = rows[-1][SEQUENCE]


class _Lines:
    """The lines of one segment, which share a root as long as they are of the same events."""

    def __init__(self, segment: Segment, counted: Sequence[Counted]) -> None:
        self.segment = segment
        self._counted = counted
        self._trees = [GrowingRoot()] * len(counted)
        self._leaves: list[bytes] = []
        self._masks: list[int] = []
        self._known: dict[tuple[str, str], int] = {}

    def add(self, row: Row) -> None:
        """One of the segment's plan, charged, and recorded within the month."""
        (after, until), (begin, __) = self.segment.sequences, self.segment.moments
        if not after < row[SEQUENCE] <= until or row[_RECORDED] < begin:
            return
        alike = row[_PRODUCT], row[_QUANTITIES]
        mask = self._known.get(alike)
        if mask is None:
            mask = self._known[alike] = self._mask(*alike)
        if mask:
            self._leaves.append(row[_LEAF_HASH])
            self._masks.append(mask)

    def _mask(self, product: str, quantities: str) -> int:
        """Of which lines an event is, as bits."""
        units = json.loads(quantities)
        return sum(
            1 << place
            for place, each in enumerate(self._counted)
            if each.unit is None or (each.unit in units and product in each.products)
        )

    def grow(self) -> None:
        """Take the leaves that came since into the trees."""
        taken: dict[tuple[GrowingRoot, frozenset[int]], GrowingRoot] = {}
        different = set(self._masks)
        for place, tree in enumerate(self._trees):
            mine = frozenset(each for each in different if each & 1 << place)
            if (tree, mine) not in taken:
                grown = taken[tree, mine] = tree.copy()
                grown.add(self._chosen(mine, different))
            self._trees[place] = taken[tree, mine]
        self._leaves, self._masks = [], []

    def _chosen(self, mine: frozenset[int], different: set[int]) -> Sequence[bytes]:
        if len(mine) == len(different):
            return self._leaves
        both = zip(self._leaves, self._masks, strict=True)
        return [leaf for leaf, mask in both if mask in mine]

    def events(self) -> list[Events]:
        """How many each line is of, and their root."""
        return [Events(tree.size, tree.root()) for tree in self._trees]


@dataclass
class _Tally:
    """What was recorded under a version of a plan in a month; ``since`` is when it was charged."""

    agreed: Plan
    moments: tuple[str, str]
    since: str
    lines: Sequence[_Lines]
    events: int = 0
    charged: int = 0
    alike: Counter[tuple[str, str]] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, account: Account, period: Period, plan: Reference, lines: Iterable[_Lines]
    ) -> _Tally:
        """None yet."""
        agreed = account.plan(*plan)
        begin, end = map(timestamp, period.bounds(agreed.terms.timezone))
        __, free_until = held_of(agreed, account.begun)
        since = begin if free_until is None else max(begin, timestamp(free_until))
        mine = [each for each in lines if (each.segment.plan, each.segment.version) == plan]
        return cls(agreed, (begin, end), since, mine)

    def add(self, row: Row) -> None:
        """One of this plan."""
        begin, end = self.moments
        moment = row[_RECORDED]
        if not begin <= moment < end:
            return
        self.events += 1
        abstained = self.agreed.terms.charge_abstained
        if moment >= self.since and is_charged(row[_OUTCOME], charge_abstained=abstained):
            self.charged += 1
            self.alike[row[_PRODUCT], row[_QUANTITIES]] += 1
            for each in self.lines:
                each.add(row)

    def usage(self) -> dict[tuple[str, str], int]:
        """Units by product and unit."""
        found = Counter[tuple[str, str]]()
        for (product, quantities), events in self.alike.items():
            for unit, quantity in json.loads(quantities).items():
                found[product, unit] += quantity * events
        return {each: units for each, units in found.items() if units}


def _compare(
    account: Account, period: Period, step: int, tallies: Mapping[Reference, _Tally]
) -> None:
    """Whether months are what their events are, up to a step."""
    known = {(each.plan.name, each.plan.version): each for each in months_of(account, period, step)}
    for plan in sorted({*known, *tallies}):
        if _said(known.get(plan)) != _found(tallies.get(plan)):
            name, version = plan
            raise BooksBroken(
                _(
                    "What {customer} used under {plan} in {period} is summed up otherwise than it "
                    "is recorded.",
                    customer=account.customer,
                    plan=f"{name}@{version}",
                    period=period,
                ),
                remedy=_REMEDY,
            )


def _said(month: Month | None) -> tuple[int, int, dict[tuple[str, str], int]]:
    if month is None:
        return 0, 0, {}
    return month.events, month.charged, {each: n for each, n in month.part.usage.items() if n}


def _found(tally: _Tally | None) -> tuple[int, int, dict[tuple[str, str], int]]:
    return (0, 0, {}) if tally is None else (tally.events, tally.charged, tally.usage())


_REMEDY = _("See all that is wrong with: mintage ledger check. Nothing was issued of it.")


def _not_as_logged(row: Row) -> BooksBroken:
    return BooksBroken(fault_of(row).said(), remedy=_REMEDY)
