"""Training is written off to the last fraction by whoever called; break-even is the least."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books.economics import Earned, together
from mintage.capture.books.write_off import BreakEven, Training, break_even, written_off
from mintage.capture.pricing.periods import Period

OCTOBER = Period(2026, 10)


def earned(customer: str, calls: int, version: str = "1", **changes: object) -> Earned:
    values = {
        "customer": customer,
        "product": "pets",
        "model": "pets",
        "model_version": version,
        "currency": "EUR",
        "calls": calls,
        "charged_calls": calls,
        "revenue": Fraction(calls, 50),
        "compute_seconds": 0.0,
        "cost": Fraction(calls, 1000),
    }
    return Earned(**values | changes)  # type: ignore[arg-type]


def training(cost: object, months: int = 12, version: str = "1", currency: str = "EUR") -> Training:
    return Training("pets", "pets", version, currency, Fraction(cost), OCTOBER, months)  # type: ignore[arg-type]


@given(
    cost=st.fractions(min_value=0, max_value=10**6),
    months=st.integers(1, 120),
    began=st.dates().map(lambda day: Period(max(2000, min(day.year, 9000)), day.month)),
)
def test_all_of_it_is_written_off_in_so_many_months_and_no_more(
    cost: Fraction, months: int, began: Period
) -> None:
    each = Training("pets", "pets", "1", "EUR", cost, began, months)
    month, total = began.preceding, Fraction(0)
    for __ in range(months + 2):
        total += each.share(month)
        month = month.following
    assert total == cost
    assert each.share(began.preceding) == each.share(month) == 0


@given(calls=st.lists(st.integers(0, 1000), max_size=6), cost=st.integers(0, 10**6))
def test_a_months_share_is_borne_by_calls_to_the_last_fraction(calls: list[int], cost: int) -> None:
    rows = [earned(str(place), each) for place, each in enumerate(calls)]
    found = written_off(rows, [training(cost)], OCTOBER)
    assert sum(each.written_off for each in found) == Fraction(cost, 12)
    if sum(calls):
        for row in found:
            assert row.written_off == Fraction(cost, 12) * row.calls / sum(calls)
    elif cost:
        (alone,) = (each for each in found if not each.customer)
        assert (alone.product, alone.calls, alone.margin) == ("pets", 0, None)
    assert together(found, ["product"])[0].written_off == Fraction(cost, 12) if found else True


def test_versions_and_currencies_bear_their_own() -> None:
    rows = [
        earned("Ada", 10),
        earned("Bob", 30, version="2"),
        earned("Wang", 10, currency="CNY"),
        earned("Ada", 30, product="other"),
    ]
    due = [training(120), training(1200, version="2"), training(9, version="3", currency="CNY")]
    found = written_off(rows, due, Period(2027, 3))
    shares = [(each.customer, each.product, each.written_off) for each in found]
    assert shares == [
        ("Ada", "pets", Fraction(10) / 4),
        ("Bob", "pets", 100),
        ("Wang", "pets", 0),
        ("Ada", "other", Fraction(30) / 4),
        ("", "pets", Fraction(9, 12)),
    ]
    assert found[1].margin == 1 - (Fraction(30, 1000) + 100) / Fraction(30, 50)
    assert found[1].to_json()["written_off"] == "100"


def even(**changes: object) -> BreakEven:
    values = {
        "product": "pets",
        "currency": "EUR",
        "charged_calls": 100,
        "revenue": Fraction(2),
        "cost": Fraction(1, 2),
        "fixed": Fraction(10),
        "training": Fraction(120),
    }
    return BreakEven(**values | changes)  # type: ignore[arg-type]


@given(
    calls=st.integers(1, 10**6),
    revenue=st.fractions(0, 10**6),
    cost=st.fractions(0, 10**6),
    fixed=st.fractions(0, 10**6),
)
def test_break_even_is_the_least_number_of_calls_that_earns_it(
    calls: int, revenue: Fraction, cost: Fraction, fixed: Fraction
) -> None:
    found = even(charged_calls=calls, revenue=revenue, cost=cost, fixed=fixed)
    least = found.calls
    if least is None:
        assert revenue <= cost
        assert fixed
        return
    each = (revenue - cost) / calls
    assert each * least >= fixed or not fixed
    assert not least or each * (least - 1) < fixed
    assert found.is_earned == (least <= calls) or not fixed


@pytest.mark.parametrize(
    ("changes", "calls", "months"),
    [
        ({}, 667, 80),
        ({"fixed": Fraction(0)}, 0, 80),
        ({"revenue": Fraction(1, 2)}, None, None),
        ({"charged_calls": 0, "revenue": Fraction(0)}, None, None),
        ({"training": Fraction(0)}, 667, 0),
    ],
)
def test_what_never_pays_has_no_number(
    changes: dict[str, object], calls: int | None, months: int | None
) -> None:
    found = even(**changes)
    assert (found.calls, found.months) == (calls, months)


@pytest.mark.parametrize("fixed", [Fraction(0), Fraction(10)])
def test_where_nothing_is_known_of_a_cost_neither_is_what_it_leaves(fixed: Fraction) -> None:
    rows = [
        earned("Li", 100, currency="CNY", revenue=Fraction(20), cost=None, unknown={"EUR": 100}),
        earned("Ada", 100),
    ]
    yuan, euro = break_even(rows, [training(9, currency="CNY")], (fixed, "CNY"))
    assert (yuan.currency, yuan.revenue, yuan.fixed) == ("CNY", 20, fixed)
    assert (yuan.cost, yuan.each, yuan.calls, yuan.months, yuan.is_earned) == (None,) * 5
    said = yuan.to_json()
    assert [key for key, value in said.items() if value is None] == [
        *("cost", "each", "break_even_calls", "months_to_earn_training", "is_earned")
    ]
    assert (said["unknown"], said["unknown_cost_calls"]) == ({"EUR": 100}, 100)
    assert (euro.cost, euro.is_earned) == (Fraction(1, 10), True)


@pytest.mark.parametrize(
    ("fixed", "calls", "is_earned"),
    [(0, 0, None), (10, 52, None), (39, 200, None), (40, 206, False)],
)
def test_what_is_known_of_a_cost_says_how_many_calls_it_takes_at_the_least(
    fixed: int, calls: int, is_earned: bool | None
) -> None:
    rows = [
        earned("Li", 100, currency="CNY", revenue=Fraction(20), cost=None, unknown={"EUR": 100}),
        earned("Wu", 100, currency="CNY", revenue=Fraction(20), cost=Fraction(1)),
    ]
    (found,) = break_even(rows, [], (Fraction(fixed), "CNY"))
    assert (found.cost, found.each, found.unknown) == (1, Fraction(39, 200), {"EUR": 100})
    assert (found.calls, found.is_earned) == (calls, is_earned)


def test_a_product_earns_what_is_written_off_and_what_is_added() -> None:
    due = [training(120)]
    rows = written_off([earned("Ada", 100), earned("Bob", 100)], due, OCTOBER)
    (found,) = break_even(rows, due, (Fraction(5), "EUR"))
    assert (found.charged_calls, found.fixed, found.training) == (200, 15, 120)
    assert found.calls == -(-15 // (Fraction(1, 50) - Fraction(1, 1000)))
    (other,) = break_even(rows, due, (Fraction(5), "USD"))
    assert other.fixed == 10
