"""Customers over time: trends, scores and cohorts, held against a second count over the events."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books.cohorts import Active, cohorts, standings
from mintage.capture.books.customers_page import cohorts_page, customers_page
from mintage.capture.books.histories import Histories
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms

MONTHS = [Period(2026, month) for month in (9, 10, 11)]
NOVEMBER = MONTHS[-1]


def month_of(period: Period, calls: int, revenue: int | str, *days: int) -> Active:
    on = frozenset(date(period.year, period.month, day) for day in days)
    return Active(calls, Fraction(revenue), on)


def of(*months: tuple[int, int | str, int] | None) -> dict[Period, Active]:
    """Calls, revenue and the last day of September, October and November."""
    given = zip(MONTHS, months, strict=True)
    return {
        period: month_of(period, calls, revenue, *([day] if calls else []))
        for period, each in given
        if each is not None
        for calls, revenue, day in [each]
    }


@pytest.mark.parametrize(
    ("months", "trend"),
    [
        ((None, None, (1, 1, 5)), "new"),
        ((None, (0, 30, 0), (1, 30, 5)), "new"),  # a fee alone is no call
        (((1, 1, 5), None, (1, 1, 5)), "returned"),
        ((None, (1, 10, 5), (1, 11, 5)), "growing"),
        ((None, (1, 10, 5), (1, "10.99", 5)), "steady"),
        ((None, (1, 10, 5), (1, "9.01", 5)), "steady"),
        ((None, (1, 10, 5), (1, 9, 5)), "shrinking"),
        ((None, (1, 10, 5), None), "lost"),
        ((None, (1, 10, 5), (0, 30, 0)), "lost"),
        ((None, (1, 0, 5), (1, 0, 5)), "steady"),
        ((None, (1, 0, 5), (1, 1, 5)), "growing"),
    ],
)
def test_a_trend_is_by_calls_and_by_a_tenth_of_the_revenue(months: Any, trend: str) -> None:
    (found,) = standings({"Ada": of(*months)}, NOVEMBER)
    assert found.trend == trend


def test_who_never_called_or_came_later_is_nowhere() -> None:
    history = {"fee": of(None, (0, 30, 0), (0, 30, 0)), "later": of(None, None, (1, 1, 3))}
    assert standings(history, MONTHS[1]) == []
    assert [each.came for each in cohorts(history, NOVEMBER)] == [NOVEMBER]


def test_scores_are_fifths_and_alike_have_the_same() -> None:
    history = {f"{n:02}": of(None, None, (1, n, n)) for n in range(1, 11)}
    found = {each.customer: each.scores for each in standings(history, NOVEMBER)}
    assert found["01"] == (1, 5, 1)
    assert found["10"] == (5, 5, 5)
    assert [found[f"{n:02}"][2] for n in range(1, 11)] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_recency_is_the_days_to_the_months_end() -> None:
    (found,) = standings({"Ada": of((3, 5, 29), None, None)}, NOVEMBER)
    assert (found.recency, found.frequency, found.money, found.trend) == (63, 0, 0, "lost")


_MONTH = st.one_of(st.none(), st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(1, 28)))


@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(_MONTH, _MONTH, _MONTH), max_size=8))
def test_every_customer_is_in_one_cohort_and_no_revenue_is_lost(given: dict[str, Any]) -> None:
    history = {name: of(*months) for name, months in given.items()}
    found = cohorts(history, NOVEMBER)
    callers = [m for m in history.values() if any(each.charged_calls for each in m.values())]
    assert sum(each.retained[0] for each in found) == len(callers)
    came = [min(p for p, each in m.items() if each.charged_calls) for m in callers]
    expected = sum(
        each.revenue
        for first, months in zip(came, callers, strict=True)
        for period, each in months.items()
        if period >= first
    )
    assert sum(amount for each in found for amount in each.revenue) == expected
    for each in found:
        assert max(each.retained) == each.retained[0] > 0
        assert len(each.retained) == len(MONTHS) - MONTHS.index(each.came)


@pytest.fixture
def three_months(shop: Any) -> Any:
    """Ada stays and grows, Bob is lost in November, Eve comes in October, on a fee and a trial."""
    tried = Terms("EUR", (Charge.plain("image", "0.05"),), fee="10", trial_days=10)
    shop.plans.agree("tried", tried)
    shop.key_of("Eve")
    use = {"Ada": (3, 4, 9), "Bob": (2, 1, 0), "Eve": (0, 6, 2)}
    for place, period in enumerate(MONTHS):
        for customer, counts in use.items():
            for number in range(counts[place]):
                shop.clock.moment = datetime(period.year, period.month, 3, tzinfo=UTC)
                if customer == "Eve" and number == 0 and period == MONTHS[1]:
                    shop.subscriptions.begin("Eve", "tried")
                shop.clock.moment += timedelta(days=3 * number, hours=number)
                outcome = "error" if number == 2 else "ok"
                shop.meter.record(shop.usage(customer, outcome=outcome)).result(10)
    shop.clock.moment = datetime(2026, 12, 20, tzinfo=UTC)
    return shop


def test_histories_are_what_the_events_say(three_months: Any) -> None:
    shop = three_months
    histories = Histories(shop.database, shop.clock).until(NOVEMBER)["EUR"]
    names = {each.id: each.name for each in shop.customers.list()}
    calls: dict[tuple[str, str], list[date]] = defaultdict(list)
    for event in shop.history.list_usage(limit=1000):
        moment = datetime.fromisoformat(event.recorded_at)
        on_trial = event.plan == "tried" and moment < datetime(2026, 10, 13, tzinfo=UTC)
        if event.outcome == "ok" and not on_trial:
            calls[names[event.customer], event.recorded_at[:7]].append(moment.date())
    found = {
        (name, str(period)): each
        for name, months in histories.items()
        for period, each in months.items()
        if each.charged_calls
    }
    assert {key: each.charged_calls for key, each in found.items()} == {
        key: len(days) for key, days in calls.items()
    }
    assert found["Ada", "2026-11"].days == frozenset(calls["Ada", "2026-11"])
    assert found["Ada", "2026-11"].revenue == Fraction("0.16")
    fee = Fraction(10) * 19 / 31
    assert found["Eve", "2026-10"].revenue == fee + Fraction("0.05") * len(calls["Eve", "2026-10"])
    trends = {each.customer: each.trend for each in standings(histories, NOVEMBER)}
    assert trends == {"Ada": "growing", "Bob": "lost", "Eve": "growing"}
    came = {str(each.came): list(each.retained) for each in cohorts(histories, NOVEMBER)}
    assert came == {"2026-09": [2, 2, 1], "2026-10": [1, 1]}


def test_the_pages_show_everybody_and_ask_for_nothing(three_months: Any) -> None:
    histories = Histories(three_months.database, three_months.clock).until(NOVEMBER)
    standing = {c: standings(each, NOVEMBER) for c, each in histories.items()}
    for page in (
        customers_page(standing, "2026-11", "en"),
        cohorts_page({c: cohorts(each, NOVEMBER) for c, each in histories.items()}, "zh"),
    ):
        assert page.count("<svg") == 2
        assert not re.search(r"<script|src=|href=|url\(", page)
    assert all(name in customers_page(standing, "2026-11", "en") for name in ("Ada", "Bob", "Eve"))
