"""What each customer's use of each model version earned and cost in a month.

Revenue is what the month comes to by its plans, before tax, and of a yearly fee a twelfth. A line
of usage is shared by the units that each model version answered; fees, minimums, maximums and
discounts by what these earned, or stand by themselves where nothing was used; so is what credit
notes took of the month. Cost is what answering was measured to compute, at what an hour costs, and
what upstreams ask; what was computed for calls that failed, or whose client left, is among it. Of
calls whose cost nobody knows it is said how many they are, and why: the rest is what is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.account import Account, Reference
from mintage.capture.books.costs import Spent, what_to_say
from mintage.capture.books.months import Month, hour_from, hours_of, latest_hour, months_of
from mintage.capture.events import is_charged
from mintage.capture.hours import repository as by_hour
from mintage.capture.hours.rollup import Rollup
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Line
from mintage.core.clock import Clock
from mintage.core.messages import Message
from mintage.core.money import Price, decimal_text
from mintage.store.engine import Database

NOTHING = ("", "", "")
"""In place of product, model and version: what is due whatever is used."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Earned:
    """One customer's use of one model version under a plan, in a month.

    ``cost`` is what is known of it, None where nothing is.
    """

    customer: str
    product: str
    model: str
    model_version: str
    currency: str
    calls: int
    charged_calls: int
    revenue: Fraction
    compute_seconds: float
    cost: Fraction | None
    written_off: Fraction = Fraction(0)
    """Its share of what training the version cost, as far as that is written off in the month."""
    plan: str = ""
    """``name@version``; empty where several are added up, or none is."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Calls whose cost is not known, by why: ``costs.Spent.known``."""

    @property
    def unknown_calls(self) -> int:
        """How many calls have no known cost."""
        return sum(self.unknown.values())

    @property
    def margin(self) -> Fraction | None:
        """The share of the revenue that is left of what is known; None where there is none.

        Where there are ``unknown_calls`` it is that at most.
        """
        if self.cost is None or self.revenue <= 0:
            return None
        return 1 - (self.cost + self.written_off) / self.revenue

    def to_json(self) -> dict[str, Any]:
        """As ``economics --json`` says it; amounts are decimal strings."""
        return vars(self) | {
            "revenue": decimal_text(self.revenue),
            "cost": None if self.cost is None else decimal_text(self.cost),
            "written_off": decimal_text(self.written_off),
            "margin": None if self.margin is None else round(float(self.margin), 6),
            "unknown": dict(self.unknown),
            "unknown_cost_calls": self.unknown_calls,
        }


class Economics:
    """How value is captured, in numbers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rollup = Rollup(database, clock)

    def month(self, period: Period, hour_cost: Price | None) -> list[Earned]:
        """Every customer's use in a month, what earned most first.

        ``hour_cost`` is what an hour of one processor costs; a cost is told in its currency alone.
        """
        until = self._rollup.catch_up()
        found: list[Earned] = []
        agreed: dict[Reference, Plan] = {}
        with self._database.read() as connection:
            for customer in repository.active_customers(connection, latest_hour(period)):
                name = repository.customer_of(connection, customer)["name"]
                for month in months_of(Account(connection, customer, agreed), period, until):
                    asked = (connection, (customer, month.plan.name, month.plan.version))
                    begin, end = hours_of(period, month.plan.terms.timezone)
                    rows = by_hour.computed_by_model(*asked, (begin, end), until)
                    paid = rows
                    if month.since is not None:  # what a trial had is free
                        begin = hour_from(month.since)
                        paid = by_hour.computed_by_model(*asked, (begin, end), until)
                    found += _earned(name, month, period, rows, paid, hour_cost)
        return sorted(found, key=lambda each: (-each.revenue, each.customer, each.product))


def why_unknown(rows: Iterable[Earned]) -> list[Message]:
    """What has to be said for all costs of the rows to be known; nothing where they are."""
    unknown: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        for why, calls in row.unknown.items():
            unknown[row.currency][why] += calls
    return [
        each for currency, some in sorted(unknown.items()) for each in what_to_say(some, currency)
    ]


def together(rows: Iterable[Earned], by: Sequence[str]) -> list[Earned]:
    """The rows added up by some of what they are of, and by currency."""
    groups: dict[tuple[str, ...], list[Earned]] = defaultdict(list)
    for row in rows:
        groups[tuple(getattr(row, name) for name in (*by, "currency"))].append(row)
    found = []
    for key, members in groups.items():
        named = dict(zip((*by, "currency"), key, strict=True))
        costs = [each.cost for each in members if each.cost is not None]
        unknown: dict[str, int] = defaultdict(int)
        for each in members:
            for why, calls in each.unknown.items():
                unknown[why] += calls
        found.append(
            Earned(
                customer=named.get("customer", ""),
                product=named.get("product", ""),
                model=named.get("model", ""),
                model_version=named.get("model_version", ""),
                currency=named["currency"],
                calls=sum(each.calls for each in members),
                charged_calls=sum(each.charged_calls for each in members),
                revenue=sum((each.revenue for each in members), Fraction(0)),
                compute_seconds=sum(each.compute_seconds for each in members),
                cost=sum(costs, Fraction(0)) if costs else None,
                written_off=sum((each.written_off for each in members), Fraction(0)),
                plan=named.get("plan", ""),
                unknown=dict(unknown),
            )
        )
    return sorted(found, key=lambda each: -each.revenue)


def _earned(
    customer: str,
    month: Month,
    period: Period,
    rows: Sequence[Any],
    paid: Sequence[Any],
    hour_cost: Price | None,
) -> list[Earned]:
    """``paid`` are those of the rows that are not of a trial."""
    terms = month.plan.terms
    calls: dict[Key, int] = defaultdict(int)
    charged: dict[Key, int] = defaultdict(int)
    units: dict[tuple[Key, str], int] = defaultdict(int)
    spent: dict[Key, Spent] = defaultdict(Spent)
    for row in rows:
        key = (row.product, row.provider_model, row.provider_version)
        calls[key] += row.events
        spent[key].add(row)
    for row in paid:
        key = (row.product, row.provider_model, row.provider_version)
        if is_charged(row.outcome, charge_abstained=terms.charge_abstained):
            charged[key] += row.events
            if row.quantity:
                units[key, row.unit] += row.quantity
    revenue = shared(month.earned(period), units)
    found = []
    for key in sorted({*calls, *revenue}):
        product, model, version = key
        cost, unknown = spent[key].known(terms.currency, hour_cost)
        found.append(
            Earned(
                customer=customer,
                product=product,
                model=model,
                model_version=version,
                currency=terms.currency,
                calls=calls[key],
                charged_calls=charged[key],
                revenue=revenue.get(key, Fraction(0)),
                compute_seconds=round(spent[key].seconds + spent[key].busy_seconds, 6),
                cost=cost,
                plan=month.plan.reference,
                unknown=unknown,
            )
        )
    return found


def shared(lines: Iterable[Line], units: Mapping[tuple[Key, str], int]) -> dict[Key, Fraction]:
    """What each model version earned of the lines; all of them together come to the lines."""
    earned: dict[Key, Fraction] = defaultdict(Fraction)
    rest = Fraction(0)
    for line in lines:
        own = {
            key: count
            for (key, unit), count in units.items()
            if line.kind == "usage" and unit == line.unit and key[0] in line.used and count
        }
        if own:
            for key, count in own.items():
                earned[key] += line.amount * count / sum(own.values())
        else:
            rest += line.amount
    total = sum(earned.values(), Fraction(0))
    if not rest:
        return dict(earned)
    if not total:
        return dict(earned) | {NOTHING: rest}
    return {key: amount + rest * amount / total for key, amount in earned.items()}
