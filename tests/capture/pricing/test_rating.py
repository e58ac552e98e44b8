"""What a month comes to: fees by the day, minimums, maximums, trials, years, discounts."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Held, Line, Part, lines_of, share_in
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError
from mintage.core.money import Money

AUGUST = Period(2026, 8)


def terms(*charges: Charge, **further: Any) -> Terms:
    return Terms("EUR", charges, **further)


def held(first: str, end: str | None = None, trial_days: int = 0) -> Held:
    begun = date.fromisoformat(first)
    ended = None if end is None else date.fromisoformat(end)
    return Held(begun, ended, begun + timedelta(days=trial_days))


def month(
    agreed: Terms, *days: Held, period: Period = AUGUST, used: dict[str, int] | None = None
) -> list[Line]:
    usage = {("pets", unit): units for unit, units in (used or {}).items()}
    return lines_of(Part("gold", 1, agreed, usage, days), period)


def cents(lines: list[Line]) -> dict[str, str]:
    return {line.kind: Money.rounded(line.amount, "EUR").amount for line in lines}


@pytest.mark.parametrize(
    ("fee", "period", "days", "expected"),
    [
        # Published by Lago, but for the last three: what a month's days are of it.
        ("50", "2026-08", held("2026-08-10"), "35.48"),
        ("1000", "2026-03", held("2026-03-16"), "516.13"),
        ("100", "2024-01", held("2024-01-01", "2024-01-15"), "45.16"),
        ("1000", "2024-02", held("2024-01-31", "2024-02-17"), "551.72"),
        ("29", "2026-02", held("2026-01-05"), "29"),
        ("29", "2028-02", held("2028-02-29"), "1"),
        ("31", "2026-12", held("2026-12-31"), "1"),
    ],
)
def test_a_monthly_fee_is_shared_by_the_days_of_its_month(
    fee: str, period: str, days: Held, expected: str
) -> None:
    assert cents(month(terms(fee=fee), days, period=Period.parse(period))) == {"fee": expected}


def test_of_a_trial_nothing_is_charged() -> None:
    agreed = terms(fee="50")
    april = Period(2026, 4)
    assert cents(month(agreed, held("2026-04-01", trial_days=5), period=april)) == {"fee": "41.67"}
    assert month(agreed, held("2026-04-01", trial_days=30), period=april) == []


@given(
    days=st.lists(st.integers(1, 30), max_size=4, unique=True).map(sorted),
    fees=st.lists(st.integers(1, 500), min_size=5, max_size=5),
)
def test_however_often_a_plan_is_changed_each_day_is_paid_once(
    days: list[int], fees: list[int]
) -> None:
    edges = [AUGUST.first, *(AUGUST.first + timedelta(days=day) for day in days), None]
    total = Fraction(0)
    for position, fee in enumerate(fees[: len(edges) - 1]):
        first, end = edges[position], edges[position + 1]
        assert first is not None
        part = Part("p", position, terms(fee=str(fee)), {}, (Held(first, end, AUGUST.first),))
        total += sum(line.amount for line in lines_of(part, AUGUST))
    by_day = [
        fees[max(position for position, edge in enumerate(edges[:-1]) if edge and edge <= day)]
        for day in (AUGUST.first + timedelta(days=number) for number in range(31))
    ]
    assert total == sum(Fraction(fee, 31) for fee in by_day)


def test_minimum_and_maximum_bound_what_usage_comes_to() -> None:
    image = Charge.plain("image", "1")
    minimum = terms(image, minimum="1000")
    for used, expected in ((800, {"usage": "800", "minimum": "200"}), (1300, {"usage": "1300"})):
        assert cents(month(minimum, held("2026-01-01"), used={"image": used})) == expected
    maximum = terms(image, maximum="500")
    for used, expected in ((800, {"usage": "800", "maximum": "-300"}), (300, {"usage": "300"})):
        assert cents(month(maximum, held("2026-01-01"), used={"image": used})) == expected


def test_a_minimum_is_shared_by_the_day_and_not_asked_of_who_never_began_the_plan() -> None:
    # Published by Lago: 10.00 for 15 of 31 days, 2.00 used: 2.84 more.
    agreed = terms(Charge.plain("image", "0.01"), minimum="10")
    days = held("2022-08-01", "2022-08-16")
    found = month(agreed, days, period=Period(2022, 8), used={"image": 200})
    assert cents(found) == {"usage": "2", "minimum": "2.84"}
    assert cents(month(agreed, used={"image": 200})) == {"usage": "2"}


def test_without_proration_any_day_costs_the_whole_month() -> None:
    agreed = terms(Charge.plain("image", "1"), fee="50", minimum="10", prorate=False)
    assert cents(month(agreed, held("2026-08-31"), used={"image": 3})) == {
        "fee": "50",
        "usage": "3",
        "minimum": "7",
    }


def test_a_year_is_paid_when_it_begins_and_what_is_left_of_it_given_back_when_it_ends() -> None:
    agreed = terms(fee="365", fee_every="year")
    begun = held("2026-08-10", "2027-02-01")
    by_month = {}
    period = Period(2026, 7)
    while period < Period(2027, 4):
        by_month[str(period)] = cents(month(agreed, begun, period=period))
        period = period.following
    # From 1 February to 9 August are 190 of 365 days.
    assert {text: found for text, found in by_month.items() if found} == {
        "2026-08": {"fee": "365"},
        "2027-01": {"fee_back": "-190"},
    }


def test_a_year_begins_after_the_trial_and_again_each_year() -> None:
    agreed = terms(fee="120", fee_every="year")
    begun = held("2026-12-15", trial_days=30)
    paid = [
        str(period)
        for period in (Period(2026 + month // 12, month % 12 + 1) for month in range(11, 40))
        if month_fee(agreed, begun, period)
    ]
    assert paid == ["2027-01", "2028-01", "2029-01"]


def month_fee(agreed: Terms, begun: Held, period: Period) -> dict[str, str]:
    return cents(month(agreed, begun, period=period))


def test_a_discount_is_taken_off_fee_and_usage_together() -> None:
    agreed = terms(Charge.plain("image", "0.02"), fee="10", discount_percent="12.5")
    found = month(agreed, held("2026-01-01"), used={"image": 500})
    assert cents(found) == {"fee": "10", "usage": "10", "discount": "-2.5"}


def test_prices_are_for_the_products_that_they_name() -> None:
    agreed = terms(
        Charge("image", Charge.plain("image", "1").tiers, products=("pets", "birds")),
        Charge("image", Charge.plain("image", "5").tiers, products=("scans",)),
    )
    usage = {("pets", "image"): 2, ("birds", "image"): 3, ("scans", "image"): 4}
    lines = lines_of(Part("gold", 1, agreed, usage), AUGUST)
    assert [(line.units, line.amount, dict(line.used)) for line in lines] == [
        (5, 5, {"pets": 2, "birds": 3}),
        (4, 20, {"scans": 4}),
    ]


def test_usage_of_a_plan_that_held_no_day_of_the_month_is_counted_by_one_day() -> None:
    part = Part(
        "gold", 1, terms(Charge.plain("image", "1")), {}, (held("2026-07-01", "2026-08-01"),)
    )
    assert share_in(part, AUGUST) == Fraction(1, 31)


def test_two_prices_for_one_thing_are_refused() -> None:
    with pytest.raises(ConfigError, match="Two prices"):
        terms(Charge.plain("image", "1"), Charge.plain("image", "2"))
