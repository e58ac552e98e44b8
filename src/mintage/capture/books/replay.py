"""A month's recorded usage under other plans: what would have been earned, and who would pay what.

Every customer who used or had begun anything is taken to be on the other plan for the whole month.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.account import Account, Reference
from mintage.capture.books.costs import Known, Spent
from mintage.capture.books.months import Month, hours_of, latest_hour, months_of, total_of
from mintage.capture.books.repriced import Repriced
from mintage.capture.books.yearly import earned_lines
from mintage.capture.hours import repository as by_hour
from mintage.capture.hours.rollup import Rollup
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Held, Part
from mintage.capture.pricing.terms import Terms
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Price, decimal_text
from mintage.store.engine import Database

_LONG_AGO = date(2000, 1, 1)
Months = Mapping[tuple[str, str], Sequence[Month]]
"""By the id and the name of a customer."""


@dataclass(frozen=True)
class Replayed(Repriced):
    """One plan over a month's usage: what each customer would pay, before tax, and pays now."""

    plan: str
    currency: str
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Customers who pay in other currencies, and in which: that is left out."""

    @property
    def now(self) -> Fraction:
        """What is earned as it is."""
        return sum((now for now, __ in self.customers.values()), Fraction(0))

    def to_json(self) -> dict[str, Any]:
        """As ``replay --json`` says it; amounts are decimal strings."""
        return {
            "plan": self.plan,
            "currency": self.currency,
            "revenue_now": decimal_text(self.now),
            "revenue": decimal_text(self.then),
            **self.costs_json(),
            "in_other_currencies": dict(self.others),
            "customers": [
                {
                    "customer": name,
                    "now": decimal_text(now),
                    "then": decimal_text(then),
                    "difference": decimal_text(then - now),
                }
                for name, (now, then) in sorted(
                    self.customers.items(), key=lambda each: each[1][0] - each[1][1]
                )
            ],
        }


class Replay:
    """Prices what was recorded under plans that were not in force."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rollup = Rollup(database, clock)

    def month(
        self, period: Period, plans: Sequence[tuple[str, Terms]], hour_cost: Price | None
    ) -> list[Replayed]:
        """What a month would come to under each of these plans, by the customers' months as used.

        Each is replayed for those who pay in its currency; the others are named.

        Raises:
            ConfigError: nobody pays in a plan's currency, and somebody in another.
        """
        until = self._rollup.catch_up()
        with self._database.read() as connection:
            found = months_by_customer(connection, period, until)
            spent = spent_in(connection, found, period, until)
        replayed = []
        for name, terms in plans:
            cost = spent_on(found, terms.currency, spent).known(terms.currency, hour_cost)
            replayed.append(_replayed(name, terms, period, found, cost))
        return replayed


def spent_in(
    connection: repository.Connection, months: Months, period: Period, until: int
) -> list[Any]:
    """What answering took in a month, by customer and plan: each by its plan's own calendar."""
    zones = {
        (customer, month.plan.name, month.plan.version): month.plan.terms.timezone
        for (customer, __), some in months.items()
        for month in some
    }
    return [
        row
        for zone in sorted({*zones.values()})
        for row in by_hour.spent_between(connection, *hours_of(period, zone), until)
        if zones.get((row.customer, row.plan, row.plan_version)) == zone
    ]


def spent_on(months: Months, currency: str, rows: Iterable[Any]) -> Spent:
    """What answering took under the plans of a currency; ``rows`` are by customer and plan."""
    owners = {
        (customer, month.plan.name, month.plan.version)
        for (customer, __), some in months.items()
        for month in some
        if month.plan.terms.currency == currency
    }
    return Spent.of(row for row in rows if (row.customer, row.plan, row.plan_version) in owners)


def months_by_customer(connection: repository.Connection, period: Period, until: int) -> Months:
    """Every customer's month, of those who have one."""
    agreed: dict[Reference, Plan] = {}
    found = {}
    for customer in repository.active_customers(connection, latest_hour(period)):
        months = months_of(Account(connection, customer, agreed), period, until)
        if months:
            name = repository.customer_of(connection, customer)["name"]
            found[customer, name] = months
    return found


def _replayed(name: str, terms: Terms, period: Period, found: Months, cost: Known) -> Replayed:
    customers, others = {}, {}
    held = (Held(_LONG_AGO, None, _LONG_AGO),)
    for (__, customer), months in found.items():
        own = [month for month in months if month.plan.terms.currency == terms.currency]
        elsewhere = {
            month.plan.terms.currency
            for month in months
            if month not in own and (month.events or month.revenue(period))
        }
        if elsewhere:
            others[customer] = sorted(elsewhere)
        if not own:
            continue
        usage = Counter[tuple[str, str]]()
        for month in own:
            usage.update(month.part.usage)
        now = sum((month.revenue(period) for month in own), Fraction(0))
        then = total_of(earned_lines(Part(name, 1, terms, usage, held), period))
        customers[customer] = (now, then)
    if others and not customers:
        currencies = sorted({each for some in others.values() for each in some})
        raise ConfigError(
            _(
                "Nobody pays in {currency}, in which the plan {plan} is, but in {currencies}.",
                currency=terms.currency,
                plan=name,
                currencies=", ".join(currencies),
            ),
            remedy=_("Replay a plan in the currency that is paid in."),
        )
    known, unknown = cost
    return Replayed(name, terms.currency, others, customers=customers, cost=known, unknown=unknown)
