"""Charges against what Stripe and Lago publish, and against sums taken unit by unit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.pricing.charges import Charge, Tier
from mintage.core.errors import ConfigError
from mintage.core.money import decimal_text

REST = None
STRIPE_SEATS = [(5, "7", "0"), (10, "6.5", "0"), (REST, "6", "0")]
STRIPE_LOWER = [(5, "5", "0"), (10, "4", "0"), (15, "3", "0"), (20, "2", "0"), (REST, "1", "0")]
STRIPE_FLAT = [(5, "5", "10"), (10, "4", "20"), (15, "3", "30"), (20, "2", "40"), (REST, "1", "50")]
LAGO_VOLUME = [(100, "2", "10"), (200, "1", "0"), (REST, "0.5", "50")]
LAGO_GRADUATED = [(10, "10", "2"), (20, "5", "3"), (REST, "5", "3")]
LAGO_CALLS = [
    (10_000, "0.0010", "10"),
    (50_000, "0.0008", "10"),
    (100_000, "0.0006", "10"),
    (REST, "0.0004", "10"),
]


def charge(model: str, tiers: list[tuple[int | None, str, str]], **further: Any) -> Charge:
    made = tuple(Tier(price, up_to, flat) for up_to, price, flat in tiers)
    return Charge("image", made, model, **further)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "tiers", "published"),
    [
        # docs.stripe.com/subscriptions/pricing-models/tiered-pricing
        ("volume", STRIPE_SEATS, {1: "7", 5: "35", 6: "39", 20: "120", 25: "150"}),
        ("graduated", STRIPE_SEATS, {1: "7", 5: "35", 6: "41.5", 20: "127.5", 25: "157.5"}),
        # docs.stripe.com/products-prices/pricing-models
        ("volume", STRIPE_LOWER, {1: "5", 5: "25", 6: "24", 20: "40", 25: "25"}),
        ("graduated", STRIPE_LOWER, {1: "5", 5: "25", 6: "29", 20: "70", 25: "75"}),
        ("volume", STRIPE_FLAT, {12: "66", 0: "10"}),
        ("graduated", STRIPE_FLAT, {12: "111", 0: "10"}),
        # getlago/lago-api, spec/services/charge_models and spec/scenarios/current_usage
        (
            "graduated",
            LAGO_GRADUATED,
            {0: "2", 1: "12", 10: "102", 11: "110", 12: "115", 21: "163"},
        ),
        ("graduated", [(5, "10", "100"), (REST, "5", "50")], {3: "130", 8: "215"}),
        ("graduated", [(10, "2", "100"), (REST, "1", "50")], {0: "100", 60: "220"}),
        (
            "volume",
            LAGO_VOLUME,
            {0: "10", 1: "12", 100: "210", 101: "101", 200: "200", 210: "155", 300: "200"},
        ),
        ("volume", [(1, "0", "0"), (100, "2", "10"), (REST, "0.5", "50")], {0: "0"}),
        ("volume", [(10, "5", "100"), (REST, "2", "50")], {5: "125", 15: "80"}),
        ("volume", [(10, "10", "0"), (REST, "20", "0")], {15: "300"}),
        # getlago.com/docs/guide/plans/charges/charge-models/volume
        ("volume", LAGO_CALLS, {65_000: "49"}),
    ],
)
def test_tiers_cost_what_stripe_and_lago_publish(
    model: str, tiers: list[tuple[int | None, str, str]], published: dict[int, str]
) -> None:
    made = charge(model, tiers)
    assert {units: decimal_text(made.amount(units)) for units in published} == published


@pytest.mark.parametrize(
    ("size", "price", "included", "published"),
    [
        # stripe.com/docs/billing/subscriptions/quantity-transformation
        (5, "10", 0, {1: "10", 3: "10", 5: "10", 6: "20", 7: "20"}),
        (60, "10", 0, {150: "30"}),
        # getlago/lago-api, package_service_spec.rb and package_spec.rb
        (10, "100", 0, {121: "1300", 3: "100", 15: "200"}),
        (10, "100", 10, {121: "1200"}),
        (10, "100", 200, {121: "0"}),
        (10, "100", 5, {3: "0", 12: "100", 0: "0", 5: "0", 6: "100", 15: "100", 16: "200"}),
        # getlago.com/docs/guide/plans/charges/charge-models/package
        (100, "5", 100, {201: "10"}),
        (25, "10", 0, {60: "30"}),
    ],
)
def test_packages_cost_what_stripe_and_lago_publish(
    size: int, price: str, included: int, published: dict[int, str]
) -> None:
    made = charge("package", [(REST, price, "0")], per=size, included=included)
    assert {units: decimal_text(made.amount(units)) for units in published} == published


amounts = st.decimals(0, 1000, places=6).map(str)
bounds = st.lists(st.integers(1, 60), min_size=0, max_size=5, unique=True).map(sorted)


@st.composite
def tiered(draw: st.DrawFn) -> list[tuple[int | None, str, str]]:
    return [(bound, draw(amounts), draw(amounts)) for bound in [*draw(bounds), None]]


def tier_of(tiers: list[tuple[int | None, str, str]], number: int) -> tuple[int | None, str, str]:
    """The tier that the so-manyth unit falls into."""
    return next(tier for tier in tiers if tier[0] is None or number <= tier[0])


@given(tiers=tiered(), units=st.integers(0, 80), included=st.integers(0, 30), per=st.integers(1, 9))
def test_graduated_tiers_cost_what_their_units_cost_one_by_one(
    tiers: list[tuple[int | None, str, str]], units: int, included: int, per: int
) -> None:
    reached: dict[int | None, str] = {tiers[0][0]: tiers[0][2]}
    total = Fraction(0)
    for number in range(1, units - included + 1):
        up_to, price, flat = tier_of(tiers, number)
        total += Fraction(price) / per
        reached[up_to] = flat
    total += sum(Fraction(flat) for flat in reached.values())
    assert charge("graduated", tiers, included=included, per=per).amount(units) == total


@given(tiers=tiered(), units=st.integers(0, 80), included=st.integers(0, 30), per=st.integers(1, 9))
def test_volume_tiers_cost_what_all_units_cost_in_the_tier_of_the_last(
    tiers: list[tuple[int | None, str, str]], units: int, included: int, per: int
) -> None:
    charged = max(0, units - included)
    __, price, flat = tier_of(tiers, max(1, charged))
    expected = sum((Fraction(price) / per for __ in range(charged)), Fraction(flat))
    assert charge("volume", tiers, included=included, per=per).amount(units) == expected


@given(price=amounts, flat=amounts, units=st.integers(0, 10**9), per=st.integers(1, 10**6))
def test_one_tier_costs_the_same_by_all_models_that_have_tiers(
    price: str, flat: str, units: int, per: int
) -> None:
    made = [
        charge(model, [(REST, price, flat)], per=per) for model in ("unit", "graduated", "volume")
    ]
    assert {each.amount(units) for each in made} == {Fraction(price) * units / per + Fraction(flat)}


@given(
    tiers=tiered(), units=st.integers(0, 80), days=st.integers(1, 31), included=st.integers(0, 60)
)
def test_of_a_share_of_the_month_tiers_and_included_units_are_as_large_a_share(
    tiers: list[tuple[int | None, str, str]], units: int, days: int, included: int
) -> None:
    share = Fraction(days, 31)
    smaller = [
        (None if up_to is None else -(-up_to * days // 31), price, flat)
        for up_to, price, flat in tiers
    ]
    whole = charge("graduated", tiers, included=included)
    expected = charge("volume", [(REST, "0", "0")]).amount(0)
    left = max(0, units - -(-included * days // 31))
    below = 0
    for position, (up_to, price, flat) in enumerate(smaller):
        bound = left if up_to is None else min(left, up_to)
        if bound > below or (position == 0 and not left):
            expected += Fraction(price) * (bound - below) + Fraction(flat)
            below = bound
    assert whole.amount(units, share) == expected


def test_a_line_can_be_added_up_from_its_steps() -> None:
    steps = charge("graduated", STRIPE_FLAT, included=3).steps(15)
    assert [(step.units, step.price, step.flat) for step in steps] == [
        (5, "5", "10"),
        (5, "4", "20"),
        (2, "3", "30"),
    ]
    assert sum(step.amount for step in steps) == 111


@pytest.mark.parametrize(
    "wrong",
    [
        {"tiers": []},
        {"tiers": [(10, "1", "0")]},
        {"tiers": [(10, "1", "0"), (10, "1", "0"), (REST, "1", "0")]},
        {"tiers": [(20, "1", "0"), (10, "1", "0"), (REST, "1", "0")]},
        {"tiers": [(REST, "1", "0"), (10, "1", "0")]},
        {"tiers": [(0, "1", "0"), (REST, "1", "0")]},
        {"tiers": [(REST, "-1", "0")]},
        {"tiers": [(REST, "1", "-1")]},
        {"tiers": [(REST, "dear", "0")]},
        {"model": "unit", "tiers": [(10, "1", "0"), (REST, "1", "0")]},
        {"model": "package", "tiers": [(REST, "1", "2")]},
        {"model": "percentage"},
        {"per": 0},
        {"included": -1},
    ],
)
def test_what_could_not_be_priced_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        charge(**{"model": "graduated", "tiers": [(REST, "1", "0")]} | wrong)
