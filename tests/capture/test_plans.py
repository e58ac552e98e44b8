from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.pricing import terms_file
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, RequestError
from mintage.core.money import Price
from mintage.core.types import Rate


def test_the_default_plan_is_made_once_and_never_overrides_a_price(shop: Any) -> None:
    made = shop.plans.ensure_default()
    assert (made.name, made.version, made.unit("pets")) == ("standard", 1, "image")
    assert made.prices("pets") == {"image": Price("0.02", "EUR")}
    raised = shop.plans.set("standard", "0.05", "EUR")
    assert shop.plans.ensure_default() == raised


def test_a_new_version_is_made_only_where_something_changed(shop: Any) -> None:
    first = shop.plans.set("gold", "0.020", "EUR")
    assert shop.plans.set("gold", "0.02", "EUR") == first
    changes: list[dict[str, Any]] = [
        {"price": "0.03", "currency": "EUR"},
        {"price": "0.03", "currency": "USD"},
        {"price": "0.03", "currency": "USD", "per": 10},
        {"price": "0.03", "currency": "USD", "per": 10, "unit": "input_token"},
    ]
    changes.append(changes[-1] | {"explanation": "0.5"})
    changes.append(changes[-1] | {"rate": Rate(600, 60)})
    for version, change in enumerate(changes, start=2):
        assert shop.plans.set("gold", **change).version == version
    assert shop.plans.current("gold").version == 7
    gold = [plan for plan in shop.plans.list() if plan.name == "gold"]
    assert [plan.version for plan in gold] == [1, 2, 3, 4, 5, 6, 7]
    recorded = [leaf["record"] for leaf in shop.leaves("plan.set")][1:]
    assert recorded == [canonical_json(plan.to_json() | {"kind": "plan.set"}) for plan in gold]


def test_an_unknown_plan_is_named_in_the_error(shop: Any) -> None:
    with pytest.raises(RequestError, match="'gold'") as missing:
        shop.plans.current("gold")
    assert missing.value.http_status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": "free"},
        {"price": "-1"},
        {"price": "NaN"},
        {"price": "1e12"},
        {"price": "0.0000000000000000001"},
        {"currency": "euro"},
        {"currency": "€"},
        {"unit": "per image"},
        {"unit": ""},
        {"per": 0},
        {"explanation": "-0.01"},
        {"explanation": "free"},
        {"name": "../gold"},
    ],
)
def test_what_is_no_price_is_refused(shop: Any, wrong: dict[str, Any]) -> None:
    terms: dict[str, Any] = {"name": "gold", "price": "1", "currency": "EUR"}
    with pytest.raises(ConfigError):
        shop.plans.set(**terms | wrong)
    assert [plan.name for plan in shop.plans.list()] == ["standard"]


@given(amount=st.decimals(0, 10**12 - 1, places=18))
def test_a_price_is_kept_exactly_whatever_its_spelling(amount: Decimal) -> None:
    spellings = {str(amount), format(amount, "f"), format(amount, "f") + "0"}
    kept = {Terms.per_unit("image", spelling, "EUR").plainly() for spelling in spellings}
    assert len(kept) == 1
    assert Fraction(kept.pop().charges[0].tiers[0].price) == Fraction(amount)


def test_how_much_answers_tell_is_a_term_of_the_file_and_comes_back_from_it(tmp_path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('currency = "EUR"\n[answers]\ndecimals = 2\ntop = 3\n')
    terms = terms_file.read(path)
    assert (terms.answers.decimals, terms.answers.top) == (2, 3)
    path.write_text(terms_file.written(terms))
    assert "[answers]" in path.read_text()
    assert terms_file.read(path) == terms == Terms.from_json(terms.to_json())
    plain = Terms("EUR", ())
    assert "[answers]" not in terms_file.written(plain)
    before = {name: value for name, value in plain.to_json().items() if name != "answers"}
    assert Terms.from_json(before) == plain  # as plans were kept that knew no such term


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("decimals = 0", "decimals is 1 to 6, not 0"),
        ("decimals = 7", "decimals is 1 to 6, not 7"),
        ("top = 0", "top is 1 to 1000, not 0"),
        ('top = "3"', "top cannot be"),
        ("places = 2", r"\[answers\] has no 'places'"),
    ],
)
def test_answers_that_cannot_be_told_so_are_refused(tmp_path, line: str, said: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f'currency = "EUR"\n[answers]\n{line}\n')
    with pytest.raises(ConfigError, match=said):
        terms_file.read(path)
