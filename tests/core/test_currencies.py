from fractions import Fraction

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st
from iso4217 import Currency

from mintage.core.currencies import EXPONENTS, exponent_of
from mintage.core.errors import ConfigError
from mintage.core.money import Money


def test_exponents_are_those_of_iso_4217() -> None:
    assert [exponent_of(code) for code in ("CNY", "EUR", "JPY", "KWD")] == [2, 2, 0, 3]
    standard = {currency.code: currency.exponent for currency in Currency}
    known = EXPONENTS.keys() & standard.keys()  # a newer list may have given up a code
    assert len(known) > 140
    assert {code: EXPONENTS[code] for code in known} == {code: standard[code] for code in known}


def test_all_that_is_paid_with_somewhere_today_can_be_priced_in() -> None:
    today = {
        code
        for used in get_global("territory_currencies").values()
        for code, __, until, is_tender in used
        if until is None and is_tender
    }
    assert today - set(EXPONENTS) <= {"BGN"}  # until 2026


@pytest.mark.parametrize("code", ["eur", "EURO", "XAU", "€", ""])
def test_other_codes_are_refused(code: str) -> None:
    with pytest.raises(ConfigError, match="currency"):
        exponent_of(code)


@given(exact=st.fractions(), code=st.sampled_from(["JPY", "EUR", "KWD"]))
def test_rounding_goes_to_the_nearest_minor_unit_and_halves_away_from_nothing(
    exact: Fraction, code: str
) -> None:
    minor = Fraction(1, 10 ** exponent_of(code))
    rounded = Money.rounded(exact, code)
    assert rounded.exact % minor == 0
    assert abs(rounded.exact - exact) <= minor / 2
    if abs(rounded.exact - exact) == minor / 2:
        assert abs(rounded.exact) > abs(exact)
    assert Money.rounded(-exact, code) == -rounded


@pytest.mark.parametrize("text", ["1e99999999", "1e-99999999", "Infinity", "NaN", "1,5", ""])
def test_what_is_no_amount_is_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError, match="Not an amount"):
        Money.parse(text, "EUR")
