from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.errors import ConfigError
from mintage.core.money import Money, Price

amounts = st.decimals(
    min_value=-(10**12), max_value=10**12, places=9, allow_nan=False, allow_infinity=False
)


@given(amounts)
def test_an_amount_survives_being_written_and_read(amount: Decimal) -> None:
    money = Money.parse(str(amount), "EUR")
    assert Fraction(money.nanos, 10**9) == Fraction(amount)
    assert Money.parse(money.amount, "EUR") == money


@given(
    st.decimals(min_value=0, max_value=10**6, places=6),
    st.integers(0, 10**12),
    st.sampled_from([1, 1000, 10**6]),
)
def test_a_price_times_a_quantity_is_exact(amount: Decimal, quantity: int, per: int) -> None:
    price = Price(str(amount), "USD", per)
    assert price.times(quantity) == Fraction(amount) * quantity / per
    assert Fraction(Decimal(price.text_for(quantity))) == price.times(quantity)


def test_three_times_a_tenth_is_three_tenths() -> None:
    assert Price("0.1", "EUR").text_for(3) == "0.3"
    assert Price("0.27", "USD", 1_000_000).text_for(812) == "0.00021924"


@pytest.mark.parametrize("text", ["", "x", "NaN", "Infinity", "1,5"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Money.parse(text, "EUR")


def test_an_amount_finer_than_the_unit_of_account_is_refused() -> None:
    with pytest.raises(ConfigError, match="finer"):
        Money.parse("0.0000000001", "EUR")


def test_currencies_do_not_mix_and_prices_are_not_negative() -> None:
    with pytest.raises(ConfigError):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(ConfigError):
        Price("-1", "EUR")
    with pytest.raises(ConfigError):
        Price("1", "EUR", 0)
    assert str(Money(1_500_000_000, "EUR") + Money(1, "EUR")) == "1.500000001 EUR"
