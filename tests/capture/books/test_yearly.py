"""A yearly fee is earned by twelfths, and all months together earn what is invoiced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books.cohorts import standings
from mintage.capture.books.comparing import BusinessModels
from mintage.capture.books.economics import Economics
from mintage.capture.books.histories import Histories
from mintage.capture.books.replay import Replay
from mintage.capture.books.yearly import credited_fees, earned_lines
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period, year_from
from mintage.capture.pricing.rating import Held, Part, lines_of
from mintage.capture.pricing.terms import Terms
from mintage.core.money import Money

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)
IMAGES = (Charge.plain("image", "0.02"),)
DAYS = st.dates(date(2019, 1, 1), date(2032, 12, 31))


def months_from(first: date, count: int) -> Iterator[Period]:
    period = Period(first.year, first.month)
    for __ in range(count):
        yield period
        period = period.following


def fees(percent: str = "0", *, prorate: bool = True) -> Terms:
    return Terms(
        "EUR", IMAGES, fee="100", fee_every="year", prorate=prorate, discount_percent=percent
    )


def total(lines: list[Any]) -> Fraction:
    return sum((line.amount for line in lines), Fraction(0))


@given(
    first=DAYS,
    days=st.integers(0, 1200),
    prorate=st.booleans(),
    percent=st.sampled_from(["0", "15", "100"]),
    credited=st.fractions(0, 100),
)
def test_all_months_together_earn_what_is_invoiced_less_what_is_credited(
    first: date, days: int, prorate: bool, percent: str, credited: Fraction
) -> None:
    held = Held(first, first + timedelta(days=days), first)
    back = {year_from(first, 1).end: credited}
    part = Part("year", 1, fees(percent, prorate=prorate), {}, (held,), back)
    months = list(months_from(first, 60))
    earned = sum(total(earned_lines(part, period)) for period in months)
    invoiced = sum(total(lines_of(part, period)) for period in months)
    assert earned == invoiced - sum(credited_fees(part, period) for period in months)


@given(first=DAYS, count=st.integers(1, 30))
def test_every_month_of_a_plan_in_force_earns_a_twelfth(first: date, count: int) -> None:
    part = Part("year", 1, fees("10"), {}, (Held(first, None, first),))
    for period in months_from(first, count):
        assert total(earned_lines(part, period)) == Fraction(100, 12) * Fraction(9, 10)
    assert earned_lines(part, Period(first.year, first.month).preceding) == []


def test_what_is_kept_of_a_plan_that_ends_is_earned_in_the_month_of_its_end() -> None:
    for prorate, last in ((True, Fraction(100 * 41, 365) - Fraction(100, 12)), (False, None)):
        held = Held(date(2026, 10, 5), date(2026, 11, 15), date(2026, 10, 5))
        part = Part("year", 1, fees(prorate=prorate), {}, (held,))
        amounts = [total(earned_lines(part, each)) for each in months_from(held.first, 14)]
        expected = Fraction(1100, 12) if last is None else last
        assert amounts == [Fraction(100, 12), expected, *[0] * 12]


@pytest.fixture
def yearly(shop: Any) -> Any:
    """Ada has begun a plan with a yearly fee on 5 October 2026, and calls once a month."""
    shop.plans.agree("year", fees("10"))
    shop.key_of("Ada")
    shop.clock.moment = datetime(2026, 10, 5, 9, tzinfo=UTC)
    shop.subscriptions.begin("Ada", "year")
    for period in months_from(date(2026, 10, 1), 15):
        shop.clock.moment = datetime(period.year, period.month, 6, tzinfo=UTC)
        shop.meter.record(shop.usage("Ada")).result(10)
    shop.clock.moment = datetime(2028, 1, 5, tzinfo=UTC)
    return shop


EACH = (Fraction(100, 12) + Fraction("0.02")) * Fraction(9, 10)


def test_a_replay_of_the_plan_in_force_changes_nobody_in_any_month(yearly: Any) -> None:
    replay = Replay(yearly.database, yearly.clock)
    terms = yearly.plans.current("year").terms
    for period in months_from(date(2026, 10, 1), 15):
        (found,) = replay.month(period, [("year", terms)], None)
        assert dict(found.customers) == {"Ada": (EACH, EACH)}
        assert (found.more, found.less) == (0, 0)


def test_who_pays_by_the_year_is_steady_and_compared_by_the_month(yearly: Any) -> None:
    history = Histories(yearly.database, yearly.clock).until(NOVEMBER)["EUR"]
    (ada,) = standings(history, NOVEMBER)
    assert (ada.trend, ada.before, ada.money) == ("steady", EACH, EACH)
    for period in (OCTOBER, NOVEMBER):
        (found,) = BusinessModels(yearly.database, yearly.clock).month(period, None)
        assert found.now == EACH
        (row,) = Economics(yearly.database, yearly.clock).month(period, None)
        assert row.revenue == EACH


def test_a_note_over_a_yearly_fee_takes_as_much_of_every_month(yearly: Any) -> None:
    (drafted,) = yearly.invoices.run(OCTOBER).drafted
    issued = yearly.invoices.issue(drafted.id)
    number = next(
        place
        for place, line in enumerate(issued.document["lines"], start=1)
        if line["kind"] == "fee"
    )
    yearly.invoices.credit_part(issued.id, number, Money.parse("45", "EUR"), "a friend")
    economics = Economics(yearly.database, yearly.clock)
    for period in months_from(date(2026, 10, 1), 12):
        (row,) = economics.month(period, None)
        assert row.revenue == EACH - Fraction(45, 12)
    (row,) = economics.month(Period(2027, 10), None)
    assert row.revenue == EACH


def by_second(began: datetime, ended: datetime | None, percent: str = "0") -> Part:
    """A yearly plan that is shared by the second, begun and changed at these moments."""
    terms = Terms(
        "EUR", IMAGES, fee="100", fee_every="year", prorate="second", discount_percent=percent
    )
    end = None if ended is None else max(began.date(), ended.date())
    return Part("year", 1, terms, {}, (Held(began.date(), end, began.date(), (began, ended)),))


def test_a_plan_by_the_second_that_is_changed_on_its_first_day_costs_what_it_lasted() -> None:
    began, ended = (datetime(2026, 11, 1, hour, tzinfo=UTC) for hour in (9, 18))
    part = by_second(began, ended)
    found = lines_of(part, NOVEMBER)
    assert [line.kind for line in found] == ["fee", "fee_back"]
    assert total(found) == Fraction(100 * 18, 365 * 24)  # from the beginning of the day
    assert total(earned_lines(part, NOVEMBER)) == total(found)
    assert lines_of(part, OCTOBER) == []
    assert lines_of(by_second(began, began), NOVEMBER) == []


@given(
    first=DAYS,
    hours=st.integers(0, 30_000),
    at=st.integers(0, 23),
    percent=st.sampled_from(["0", "15", "100"]),
)
def test_all_months_by_the_second_earn_what_is_invoiced(
    first: date, hours: int, at: int, percent: str
) -> None:
    began = datetime(first.year, first.month, first.day, at, tzinfo=UTC)
    part = by_second(began, began + timedelta(hours=hours), percent)
    months = list(months_from(first, 48))
    invoiced = sum((total(lines_of(part, month)) for month in months), Fraction(0))
    assert invoiced == sum((total(earned_lines(part, month)) for month in months), Fraction(0))
