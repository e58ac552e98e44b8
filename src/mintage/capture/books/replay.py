"""A month's recorded usage under other plans: what would have been earned, and who would pay what.

Every customer who used or had begun anything is taken to be on the other plan for the whole month.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.account import Account, Reference
from mintage.capture.books.costs import Spent
from mintage.capture.books.months import Month, hours_of, latest_hour, months_of, total_of
from mintage.capture.books.repriced import Repriced
from mintage.capture.books.rollup import Rollup
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Held, Part, lines_of
from mintage.capture.pricing.simulate import a_months_fee
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
            "cost": None if self.cost is None else decimal_text(self.cost),
            "margin": None if self.margin is None else round(float(self.margin), 6),
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

        Raises:
            ConfigError: what is paid now is in another currency.
        """
        until = self._rollup.catch_up()
        with self._database.read() as connection:
            found = months_by_customer(connection, period, until)
            spent = Spent.of(repository.spent_between(connection, *hours_of(period), until))
        named = {name: months for (__, name), months in found.items()}
        return [
            _replayed(name, terms, period, named, spent.cost(terms.currency, hour_cost))
            for name, terms in plans
        ]


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


def _replayed(
    name: str,
    terms: Terms,
    period: Period,
    months_by_customer: Mapping[str, Sequence[Month]],
    cost: Fraction | None,
) -> Replayed:
    customers = {}
    monthly = a_months_fee(terms)
    for customer, months in months_by_customer.items():
        now, usage = Fraction(0), Counter[tuple[str, str]]()
        for month in months:
            lines = month.lines(period)
            if month.plan.terms.currency != terms.currency and total_of(lines):
                raise ConfigError(
                    _(
                        "{customer} pays in {now} now, and the plan {plan} is in {currency}.",
                        customer=customer,
                        now=month.plan.terms.currency,
                        plan=name,
                        currency=terms.currency,
                    ),
                    remedy=_("Replay a plan in the currency that is paid in."),
                )
            now += total_of(lines)
            usage.update(month.part.usage)
        held = (Held(_LONG_AGO, None, _LONG_AGO),)
        then = total_of(lines_of(Part(name, 1, monthly, usage, held), period))
        customers[customer] = (now, then)
    return Replayed(name, terms.currency, customers=customers, cost=cost)
