"""Counters: how much of each limit was used in a month, counted where the event is recorded.

A count that is not there yet, since its limit is new or its month is, begins at what the events
say; from then on each event is counted in the transaction that records it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Self

from mintage.capture.events import UsageRecord, is_charged
from mintage.capture.limits import repository
from mintage.capture.limits.bounds import Bounds, Counted, crossed, in_nanos
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp
from mintage.core.money import Money, parse_exact
from mintage.core.types import Permit


@dataclass(frozen=True)
class Charged:
    """An event that was recorded: what it used, and its price; nothing of it where it is free."""

    bounds: Bounds
    hold: str | None
    product: str
    quantities: tuple[tuple[str, int], ...]
    price: str

    @classmethod
    def of(cls, permit: Permit, hold: str | None, record: UsageRecord) -> Self:
        """The event of a call that something limits."""
        bounds = permit.bounds
        if not isinstance(bounds, Bounds):
            raise TypeError("nothing limits this call")
        charged = is_charged(record.outcome, charge_abstained=bounds.terms.charge_abstained)
        counted = tuple(record.quantities.items()) if charged else ()
        return cls(bounds, hold, record.product, counted, record.price if charged else "0")


@dataclass(frozen=True)
class Reached:
    """A customer came to a share of a limit: something to tell them."""

    customer: str
    limit: str
    percent: int
    plan: str | None
    key: str | None
    unit: str | None
    most: str
    month: str


def used(connection: repository.Connection, bounds: Bounds, counter: str, moment: datetime) -> int:
    """What a charge's count has come to; a new one begins at what the events say."""
    found = repository.used(connection, counter)
    if found is None:
        found = units_since(connection, bounds, counter, moment)
        repository.begin(connection, counter, found)
    return found


def spent_with_key(
    connection: repository.Connection, bounds: Bounds, counter: str, moment: datetime
) -> int:
    """What a key's calls came to in the month, in 10⁻⁹; a new count begins at its events."""
    found = repository.used(connection, counter)
    if found is None:
        whose = (bounds.customer, bounds.key_id, bounds.terms.currency)
        found = spent_since(connection, *whose, moment)
        repository.begin(connection, counter, found)
    return found


def count(
    connection: repository.Connection, charged: Sequence[Charged], moment: datetime
) -> Iterator[Reached]:
    """Add events that were just recorded, and say which limits they came near."""
    units: Counter[tuple[Bounds, Counted]] = Counter()
    budgets: Counter[Bounds] = Counter()
    for each in charged:
        for counted, more in each.bounds.moved(each.product, dict(each.quantities)):
            units[each.bounds, counted] += more
        if each.bounds.budget is not None and each.quantities:
            budgets[each.bounds] += in_nanos(parse_exact(each.price))
    for bounds in dict.fromkeys(bounds for bounds, __ in units):
        mine = {counted: more for (who, counted), more in units.items() if who == bounds}
        yield from _count_units(connection, bounds, mine, moment)
    for bounds, more in budgets.items():
        yield from _count_budget(connection, bounds, more, moment)


def _count_units(
    connection: repository.Connection,
    bounds: Bounds,
    more: dict[Counted, int],
    moment: datetime,
) -> Iterator[Reached]:
    month = bounds.month(moment)
    after: dict[str, int] = {}
    for each in bounds.counted:
        counter = f"{each.counter}/{month}"
        added = more.get(each, 0)
        if added and not repository.count(connection, counter, added):
            used(connection, bounds, counter, moment)  # these events are among those it begins at
        if added or bounds.limits_spending:
            after[each.counter] = used(connection, bounds, counter, moment)
    before = {c.counter: after.get(c.counter, 0) - more.get(c, 0) for c in bounds.counted}
    for each in more:
        yield from _units_reached(bounds, each, before, after, month)
    if bounds.limits_spending and not bounds.free:
        yield from _spending_reached(bounds, bounds.spent(before), bounds.spent(after), month)


def _units_reached(
    bounds: Bounds, each: Counted, before: dict[str, int], after: dict[str, int], month: Period
) -> Iterator[Reached]:
    charge, name = each.charge, each.counter
    limits = (
        ("included", charge.included or None),
        ("soft_limit", charge.soft_limit),
        ("hard_limit", charge.hard_limit),
    )
    for limit, most in limits:
        percent = most and crossed(before[name], after[name], most)
        if percent:
            yield Reached(
                customer=bounds.customer,
                limit=limit,
                percent=percent,
                plan=bounds.plan,
                key=None,
                unit=charge.unit,
                most=str(most),
                month=str(month),
            )


def _spending_reached(
    bounds: Bounds, before: Fraction, after: Fraction, month: Period
) -> Iterator[Reached]:
    terms = bounds.terms
    for limit, most in (
        ("soft_spend_limit", terms.soft_spend_limit),
        ("spend_limit", terms.spend_limit),
    ):
        percent = None if most is None else crossed(before, after, parse_exact(most))
        if percent:
            yield Reached(
                customer=bounds.customer,
                limit=limit,
                percent=percent,
                plan=bounds.plan,
                key=None,
                unit=None,
                most=f"{most} {terms.currency}",
                month=str(month),
            )


def _count_budget(
    connection: repository.Connection, bounds: Bounds, more: int, moment: datetime
) -> Iterator[Reached]:
    counter = budget_counter(bounds.key_id, bounds.terms.currency, moment)
    if not repository.count(connection, counter, more):
        spent_with_key(connection, bounds, counter, moment)
    after = spent_with_key(connection, bounds, counter, moment)
    budget = bounds.budget or Money(0, bounds.terms.currency)
    percent = crossed(after - more, after, budget.nanos)
    if percent:
        yield Reached(
            customer=bounds.customer,
            limit="budget",
            percent=percent,
            plan=None,
            key=bounds.key_id,
            unit=None,
            most=str(budget),
            month=counter.rpartition("/")[2],
        )


def units_since(
    connection: repository.Connection, bounds: Bounds, counter: str, moment: datetime
) -> int:
    """What the month's events say of a charge's count."""
    since = timestamp(bounds.month(moment).bounds(bounds.terms.timezone)[0])
    rows = repository.events_under(connection, bounds.customer, bounds.plan, since)
    name = counter.rpartition("/")[0]
    charge = next(each.charge for each in bounds.counted if each.counter == name)
    return sum(
        int(row.events) * int(json.loads(row.quantities).get(charge.unit, 0))
        for row in rows
        if charge.is_for(row.product)
        and is_charged(row.outcome, charge_abstained=bounds.terms.charge_abstained)
    )


def budget_counter(key: str, currency: str, moment: datetime) -> str:
    """What a key's budget is counted by, in the month of a moment."""
    return f"{key}/{currency}/{Period.containing(moment, 'UTC')}"


def spent_since(
    connection: repository.Connection, customer: str, key: str, currency: str, moment: datetime
) -> int:
    """What the month's events say of a key's budget, in 10⁻⁹."""
    since = timestamp(Period.containing(moment, "UTC").bounds("UTC")[0])
    rows = repository.priced_events(connection, customer, key, currency, since)
    return sum(in_nanos(parse_exact(row.price)) * int(row.events) for row in rows)


def holds_of(charged: Iterable[Charged]) -> list[str]:
    """What was reserved for these."""
    return [each.hold for each in charged if each.hold is not None]
