from fractions import Fraction

import pytest

from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.simulate import simulate
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError

TERMS = Terms(
    "EUR",
    (Charge("image", (Tier("0.02", 1000), Tier("0.01")), "graduated", included=100),),
    fee="29",
    trial_days=14,
)


def found(*units: int, cost: Fraction | None = None):
    return simulate(
        "gold",
        3,
        TERMS,
        product="pets",
        unit="image",
        units=units,
        cost_each=cost,
        period=Period(2026, 11),
    )


def test_a_month_is_priced_as_it_will_be_invoiced() -> None:
    assert [(each.units, each.price.amount) for each in found(0, 100, 1100, 1_000_100)] == [
        (0, "29"),
        (100, "29"),
        (1100, "49"),
        (1_000_100, "10039"),
    ]


def test_margin_is_what_is_left_of_the_price() -> None:
    (one,) = found(1100, cost=Fraction(1, 1000))
    said = one.to_json()
    assert (said["cost"], said["margin"]) == ("1.1", round(1 - 1.1 / 49, 6))
    assert said["price_each"] == "0.044545454545454545"


def test_without_a_known_cost_there_is_no_margin() -> None:
    (one,) = found(10)
    assert (one.to_json()["cost"], one.to_json()["margin"]) == (None, None)


def test_nobody_uses_less_than_nothing() -> None:
    with pytest.raises(ConfigError):
        found(-1)


def test_what_a_unit_costs_is_told_however_little_it_is() -> None:
    tokens = Terms("EUR", (Charge.plain("input_token", "1", per=1_000_000),))
    (one,) = simulate(
        "tokens",
        1,
        tokens,
        product="assistant",
        unit="input_token",
        units=(10,),
        cost_each=Fraction(27, 10**8),
        period=Period(2026, 11),
    )
    said = one.to_json()
    assert (said["price"], said["price_each"], said["cost"]) == ("0", "0.000001", "0.0000027")
