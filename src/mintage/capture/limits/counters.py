"""Counters: how much of each limit was used in a month, counted where the event is recorded.

A count that is not there yet, since its limit is new or its month is, begins at what the events
say; from then on each event is counted in the transaction that records it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
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
        found = spent_since(connection, bounds.customer, bounds.keys, bounds.terms.currency, moment)
        repository.begin(connection, counter, found)
    return found


def count(
    connection: repository.Connection, charged: Sequence[Charged], moment: datetime
) -> Iterator[Reached]:
    """Add events that were just recorded, and say which limits they came near."""
    units = _units_of(charged, moment)
    for counter, each in units.items():
        begin = partial(used, connection, each.bounds, counter, moment)
        after = _grown(connection, counter, each.more, begin)
        yield from _units_reached(each, after, str(each.bounds.month(moment)))
    whole = {(each.bounds.customer, each.bounds.plan): each.bounds for each in units.values()}
    for bounds in whole.values():
        if bounds.limits_spending and not bounds.free:
            yield from _spending_reached(connection, bounds, units, moment)
    for counter, spent in _budgets_of(charged, moment).items():
        begin = partial(spent_with_key, connection, spent.bounds, counter, moment)
        after = _grown(connection, counter, spent.more, begin)
        yield from _budget_reached(spent, after, counter.rpartition("/")[2])


@dataclass
class _More:
    """What events of one write add to a count: calls by several keys may share it."""

    bounds: Bounds
    counted: Counted | None
    more: int = 0


def _units_of(charged: Sequence[Charged], moment: datetime) -> dict[str, _More]:
    found: dict[str, _More] = {}
    for each in charged:
        for counted, units in each.bounds.moved(each.product, dict(each.quantities)):
            counter = f"{counted.counter}/{each.bounds.month(moment)}"
            found.setdefault(counter, _More(each.bounds, counted)).more += units
    return found


def _budgets_of(charged: Sequence[Charged], moment: datetime) -> dict[str, _More]:
    found: dict[str, _More] = {}
    for each in charged:
        if each.bounds.budget is not None and each.quantities:
            counter = budget_counter(each.bounds.keys, each.bounds.terms.currency, moment)
            price = in_nanos(parse_exact(each.price))
            found.setdefault(counter, _More(each.bounds, None)).more += price
    return found


def _grown(
    connection: repository.Connection, counter: str, more: int, begin: Callable[[], int]
) -> int:
    """What a count has come to with what was just recorded."""
    if repository.count(connection, counter, more):
        return repository.used(connection, counter) or 0
    return begin()  # the events that it begins at are these, too


def _units_reached(each: _More, after: int, month: str) -> Iterator[Reached]:
    if each.counted is None:
        return
    charge = each.counted.charge
    limits = (
        ("included", charge.included or None),
        ("soft_limit", charge.soft_limit),
        ("hard_limit", charge.hard_limit),
    )
    for limit, most in limits:
        percent = most and crossed(after - each.more, after, most)
        if percent:
            yield Reached(
                customer=each.bounds.customer,
                limit=limit,
                percent=percent,
                plan=each.bounds.plan,
                key=None,
                unit=charge.unit,
                most=str(most),
                month=month,
            )


def _spending_reached(
    connection: repository.Connection,
    bounds: Bounds,
    added: Mapping[str, _More],
    moment: datetime,
) -> Iterator[Reached]:
    terms, month = bounds.terms, str(bounds.month(moment))
    after = {
        each.counter: used(connection, bounds, f"{each.counter}/{month}", moment)
        for each in bounds.counted
    }
    before = dict(after)
    for name in before:
        if f"{name}/{month}" in added:
            before[name] -= added[f"{name}/{month}"].more
    for limit, most in (
        ("soft_spend_limit", terms.soft_spend_limit),
        ("spend_limit", terms.spend_limit),
    ):
        if most is None:
            continue
        percent = crossed(bounds.spent(before), bounds.spent(after), parse_exact(most))
        if percent:
            yield Reached(
                customer=bounds.customer,
                limit=limit,
                percent=percent,
                plan=bounds.plan,
                key=None,
                unit=None,
                most=f"{most} {terms.currency}",
                month=month,
            )


def _budget_reached(spent: _More, after: int, month: str) -> Iterator[Reached]:
    bounds = spent.bounds
    budget = bounds.budget or Money(0, bounds.terms.currency)
    percent = crossed(after - spent.more, after, budget.nanos)
    if percent:
        yield Reached(
            customer=bounds.customer,
            limit="budget",
            percent=percent,
            plan=None,
            key=bounds.keys[0],
            unit=None,
            most=str(budget),
            month=month,
        )


def units_since(
    connection: repository.Connection, bounds: Bounds, counter: str, moment: datetime
) -> int:
    """What the month's events say of a charge's count; those of a trial are counted apart."""
    name, __, month = counter.rpartition("/")
    begin, end = Period.parse(month).bounds(bounds.terms.timezone)
    since = timestamp(begin)
    if not bounds.free and bounds.charged_since is not None:
        since = max(since, bounds.charged_since)
    if moment < begin:
        return 0  # a month to come
    rows = repository.events_under(connection, bounds.customer, bounds.plan, since, timestamp(end))
    charge = next(each.charge for each in bounds.counted if each.counter == name)
    return sum(
        int(row.events) * int(json.loads(row.quantities).get(charge.unit, 0))
        for row in rows
        if charge.is_for(row.product)
        and is_charged(row.outcome, charge_abstained=bounds.terms.charge_abstained)
    )


def budget_counter(keys: Sequence[str], currency: str, moment: datetime) -> str:
    """What a key's budget is counted by, in the month of a moment: by the first of its line."""
    return f"{keys[-1]}/{currency}/{Period.containing(moment, 'UTC')}"


def spent_since(
    connection: repository.Connection,
    customer: str,
    keys: Sequence[str],
    currency: str,
    moment: datetime,
) -> int:
    """What the month's events say of the budget of a key and those before it, in 10⁻⁹."""
    since = timestamp(Period.containing(moment, "UTC").bounds("UTC")[0])
    rows = repository.priced_events(connection, customer, keys, currency, since)
    return sum(in_nanos(parse_exact(row.price)) * int(row.events) for row in rows)


def holds_of(charged: Iterable[Charged]) -> list[str]:
    """What was reserved for these."""
    return [each.hold for each in charged if each.hold is not None]
