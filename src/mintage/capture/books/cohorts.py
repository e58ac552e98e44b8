"""Customers over time: who grew, shrank or was lost, and how those who came together stay.

What a customer did in a month is what its plans come to: charged calls, the days that had any, and
revenue before tax. A customer *came* in the month of the first charged call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil
from typing import Any, Final, Literal

from mintage.capture.pricing.periods import Period
from mintage.core.money import decimal_text

Trend = Literal["new", "growing", "steady", "shrinking", "lost", "returned"]
TRENDS: Final[tuple[Trend, ...]] = ("new", "returned", "growing", "steady", "shrinking", "lost")
MARGIN: Final = Fraction(1, 10)
"""From which share of last month's revenue on it counts as more, or as less."""
_SCORES = 5


@dataclass(frozen=True)
class Active:
    """What a customer did in a month, in one currency."""

    charged_calls: int
    revenue: Fraction
    days: frozenset[date]
    """Those with charged calls, in UTC."""


NOTHING: Final = Active(0, Fraction(0), frozenset())
History = Mapping[str, Mapping[Period, Active]]
"""By customer and month; a month without charged calls may be there for its fee, or not at all."""


@dataclass(frozen=True)
class Standing:
    """Where a customer stands at the end of a month.

    ``recency`` is the days from the last charged call to the month's end, ``frequency`` the days of
    the month that had any, ``money`` its revenue. Each has a score from 1 to 5: the fifth of those
    compared that it is in, the best 5; alike have the same.
    """

    customer: str
    trend: Trend
    recency: int
    frequency: int
    money: Fraction
    before: Fraction
    charged_calls: int
    scores: tuple[int, int, int]

    def to_json(self, currency: str) -> dict[str, Any]:
        """As ``economics customers --json`` says it; amounts are decimal strings."""
        recency, frequency, money = self.scores
        return {
            "customer": self.customer,
            "currency": currency,
            "trend": self.trend,
            "recency_days": self.recency,
            "frequency_days": self.frequency,
            "revenue": decimal_text(self.money),
            "revenue_before": decimal_text(self.before),
            "charged_calls": self.charged_calls,
            "scores": {"recency": recency, "frequency": frequency, "money": money},
        }


def standings(history: History, period: Period) -> list[Standing]:
    """Everybody who called before the month's end, the dearest first."""
    end = period.following.first
    found: list[tuple[str, Trend, int, Active, Active]] = []
    for customer, months in history.items():
        called = {
            month: each for month, each in months.items() if each.charged_calls and month <= period
        }
        if not called:
            continue
        last = max(day for each in called.values() for day in each.days)
        now, before = (months.get(each, NOTHING) for each in (period, period.preceding))
        trend = _trend(min(called), now, before, period)
        found.append((customer, trend, (end - last).days, now, before))
    recency = _scores([-each[2] for each in found])
    frequency = _scores([len(each[3].days) for each in found])
    money = _scores([each[3].revenue for each in found])
    rows = [
        Standing(
            customer,
            trend,
            days,
            len(now.days),
            now.revenue,
            before.revenue,
            now.charged_calls,
            (recency[place], frequency[place], money[place]),
        )
        for place, (customer, trend, days, now, before) in enumerate(found)
    ]
    return sorted(rows, key=lambda each: (-each.money, -each.before, each.customer))


def _trend(came: Period, now: Active, before: Active, period: Period) -> Trend:
    """By charged calls whether there is any use, by revenue whether it is more or less of it."""
    if not now.charged_calls:
        return "lost"
    if came == period:
        return "new"
    if not before.charged_calls:
        return "returned"
    if now.revenue >= before.revenue * (1 + MARGIN) and now.revenue > before.revenue:
        return "growing"
    if now.revenue <= before.revenue * (1 - MARGIN) and now.revenue < before.revenue:
        return "shrinking"
    return "steady"


def _scores(values: Sequence[Any]) -> list[int]:
    """1 to 5 by how many are no higher: up to a fifth of all 1, more than four fifths 5."""
    no_higher = {value: place for place, value in enumerate(sorted(values), start=1)}
    return [ceil(Fraction(_SCORES * no_higher[value], len(values))) for value in values]


@dataclass(frozen=True)
class Cohort:
    """Those who came in one month: how many still call in each month since, and what they pay."""

    came: Period
    retained: Sequence[int]
    """The first is all of them."""
    revenue: Sequence[Fraction]

    def to_json(self) -> dict[str, Any]:
        """As ``economics cohorts --json`` says it; amounts are decimal strings."""
        return {
            "came": str(self.came),
            "customers": self.retained[0],
            "months": [
                {
                    "month": place,
                    "retained": retained,
                    "share": round(retained / self.retained[0], 6),
                    "revenue": decimal_text(self.revenue[place]),
                }
                for place, retained in enumerate(self.retained)
            ],
        }


def cohorts(history: History, until: Period) -> list[Cohort]:
    """Every month in which anybody came, with all months up to one."""
    members: dict[Period, list[Mapping[Period, Active]]] = defaultdict(list)
    for months in history.values():
        called = [m for m, each in months.items() if each.charged_calls and m <= until]
        if called:
            members[min(called)].append(months)
    found = []
    for came, all_of_them in sorted(members.items()):
        retained, revenue = [], []
        month = came
        while month <= until:
            active = [each.get(month, NOTHING) for each in all_of_them]
            retained.append(sum(each.charged_calls > 0 for each in active))
            revenue.append(sum((each.revenue for each in active), Fraction(0)))
            month = month.following
        found.append(Cohort(came, retained, revenue))
    return found
