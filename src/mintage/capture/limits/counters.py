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

from mintage.capture import plans
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
        if not isinstance(permit.bounds, Bounds):
            raise TypeError("nothing limits this call")
        bounds = permit.bounds.at(record.recorded_at)
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


def used(connection: repository.Connection, counted: Counted, month: Period) -> int:
    """What a charge's count has come to; a new one begins at what the events say."""
    counter = counted.in_month(month)
    found = repository.used(connection, counter)
    if found is None:
        found = recounted(connection, counted, month)
        whose = {"customer": counted.customer, "plan": counted.version.plan}
        repository.begin(connection, counter, found, **whose)
    return found


def spent_with_key(
    connection: repository.Connection, bounds: Bounds, counter: str, moment: datetime
) -> int:
    """What a key's calls came to in the month, in 10⁻⁹; a new count begins at its events."""
    found = repository.used(connection, counter)
    if found is None:
        month, currency = Period.containing(moment, "UTC"), bounds.terms.currency
        found = spent_in(connection, bounds.customer, bounds.keys[-1], currency, month)
        repository.begin(connection, counter, found, customer=bounds.customer)
    return found


def count(
    connection: repository.Connection, charged: Sequence[Charged], moment: datetime
) -> Iterator[Reached]:
    """Add events that were just recorded, and say which limits they came near."""
    units = _units_of(charged, moment)
    for counter, each in units.items():
        begin = partial(used, connection, each.counted, each.month)
        yield from _units_reached(each, _grown(connection, counter, each.more, begin))
    whole = {
        (each.bounds.customer, each.bounds.plan, each.bounds.version.number): each.bounds
        for each in units.values()
    }
    for bounds in whole.values():
        if bounds.limits_spending and not bounds.free:
            yield from _spending_reached(connection, bounds, units, moment)
    for counter, spent in _budgets_of(charged, moment).items():
        begin = partial(spent_with_key, connection, spent.bounds, counter, moment)
        after = _grown(connection, counter, spent.more, begin)
        yield from _budget_reached(spent, after, counter.rpartition("/")[2])


@dataclass
class _Units:
    """What events of one write add to a count: calls by several keys may share it."""

    bounds: Bounds
    counted: Counted
    month: Period
    more: int = 0


@dataclass
class _Spent:
    """What they add to what was spent with a key, in 10⁻⁹."""

    bounds: Bounds
    budget: Money
    more: int = 0


def _units_of(charged: Sequence[Charged], moment: datetime) -> dict[str, _Units]:
    found: dict[str, _Units] = {}
    for each in charged:
        month = each.bounds.month(moment)
        for counted, units in each.bounds.moved(each.product, dict(each.quantities)):
            counter = counted.in_month(month)
            found.setdefault(counter, _Units(each.bounds, counted, month)).more += units
    return found


def _budgets_of(charged: Sequence[Charged], moment: datetime) -> dict[str, _Spent]:
    found: dict[str, _Spent] = {}
    for each in charged:
        budget = each.bounds.budget
        if budget is not None and each.quantities:
            counter = budget_counter(each.bounds.keys, each.bounds.terms.currency, moment)
            price = in_nanos(parse_exact(each.price))
            found.setdefault(counter, _Spent(each.bounds, budget)).more += price
    return found


def _grown(
    connection: repository.Connection, counter: str, more: int, begin: Callable[[], int]
) -> int:
    """What a count has come to with what was just recorded."""
    if repository.count(connection, counter, more):
        return repository.used(connection, counter) or 0
    return begin()  # the events that it begins at are these, too


def _units_reached(each: _Units, after: int) -> Iterator[Reached]:
    charge, version = each.counted.charge, each.counted.version
    limits = (
        (("included", version.included(charge, each.month) or None),)
        if each.counted.is_alone
        else (("soft_limit", charge.soft_limit), ("hard_limit", charge.hard_limit))
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
                month=str(each.month),
            )


def _spending_reached(
    connection: repository.Connection,
    bounds: Bounds,
    added: Mapping[str, _Units],
    moment: datetime,
) -> Iterator[Reached]:
    terms, month = bounds.terms, bounds.month(moment)

    def more(counted: Counted) -> int:
        counter = counted.in_month(month)
        return added[counter].more if counter in added else 0

    counts = [each for __, some in bounds.priced for each in some]
    units = {each.counter: used(connection, each, month) for each in counts}
    spent = bounds.spent(lambda each: units[each.counter], month)
    before = bounds.spent(lambda each: units[each.counter] - more(each), month)
    for limit, most in (
        ("soft_spend_limit", terms.soft_spend_limit),
        ("spend_limit", terms.spend_limit),
    ):
        if most is None:
            continue
        percent = crossed(before, spent, parse_exact(most))
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


def _budget_reached(spent: _Spent, after: int, month: str) -> Iterator[Reached]:
    bounds, budget = spent.bounds, spent.budget
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


def recounted(connection: repository.Connection, counted: Counted, month: Period) -> int:
    """What the month's events say of a charge's count."""
    version, charge = counted.version, counted.charge
    since, until = map(timestamp, month.bounds(version.terms.timezone))
    if version.since is not None and counted.on_trial:
        until = min(until, version.since)
    elif version.since is not None:
        since = max(since, version.since)
    rows = repository.events_under(connection, counted.customer, version.plan, since, until)
    charges_abstained: dict[int, bool] = {}
    total = 0
    for row in rows:
        number = int(row.plan_version)
        if (counted.is_alone and number != version.number) or not charge.is_for(row.product):
            continue
        if number not in charges_abstained:
            terms = plans.found(connection, version.plan, number).terms
            charges_abstained[number] = terms.charge_abstained
        if is_charged(row.outcome, charge_abstained=charges_abstained[number]):
            total += int(row.events) * int(json.loads(row.quantities).get(charge.unit, 0))
    return total


def budget_counter(keys: Sequence[str], currency: str, moment: datetime) -> str:
    """What a key's budget is counted by, in the month of a moment: by the first of its line."""
    return f"{keys[-1]}/{currency}/{Period.containing(moment, 'UTC')}"


def spent_in(
    connection: repository.Connection, customer: str, key: str, currency: str, month: Period
) -> int:
    """What a month's events say of the budget of a key and those after it, in 10⁻⁹."""
    since, until = map(timestamp, month.bounds("UTC"))
    keys = repository.line_from(connection, key)
    rows = repository.priced_events(connection, customer, keys, currency, since, until)
    return sum(in_nanos(parse_exact(row.price)) * int(row.events) for row in rows)


def forget_outdated(
    connection: repository.Connection, permits: Iterable[Permit], moment: datetime
) -> None:
    """Have counts begin anew that calls of their plan are not added to.

    Those are calls by an earlier version, and calls that nothing limits: a limit may have been set
    since they began, their trial may have ended, or another version of their plan be limited.
    """
    newest: dict[str, int] = {}
    own: dict[tuple[str, str], set[str]] = {}
    for permit in permits:
        plan = permit.plan
        if plan not in newest:
            newest[plan] = repository.newest_version(connection, plan)
        if permit.bounds is not None and permit.plan_version == newest[plan]:
            continue
        known = own.setdefault((permit.customer, plan), set())
        if isinstance(permit.bounds, Bounds):
            month, bounds = permit.bounds.month(moment), permit.bounds
            counts = (*bounds.counted, *(each for __, some in bounds.priced for each in some))
            known |= {each.in_month(month) for each in counts}
    for (customer, plan), known in own.items():
        repository.forget_counts_but(connection, customer, plan, known)


def holds_of(charged: Iterable[Charged]) -> list[str]:
    """What was reserved for these."""
    return [each.hold for each in charged if each.hold is not None]
