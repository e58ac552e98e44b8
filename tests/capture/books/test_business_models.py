"""Business models compared on recorded usage, held against a second count over the events alone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books.business_models import (
    KINDS,
    Compared,
    Offer,
    Used,
    compared,
    usual,
)
from mintage.capture.books.business_models_file import read
from mintage.capture.books.comparing import BusinessModels
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import exact_of
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError
from mintage.core.money import Price

NOVEMBER = Period(2026, 11)
AMOUNTS = st.fractions(min_value=0, max_value=10**4, max_denominator=10**4)
USED = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.tuples(AMOUNTS, st.integers(0, 5000), st.integers(0, 5000)).map(
        lambda each: Used(each[0], each[1], min(each[1:]))
    ),
    min_size=1,
    max_size=8,
)


def by_hand(offer: Offer, units: int, sure: int) -> Fraction:
    """What a customer's units are charged as, at a price of 1."""
    if offer.kind == "subscription":
        return Fraction(1)
    if offer.kind == "freemium":
        return Fraction(max(0, units - offer.size))
    if offer.kind == "prepaid":
        return Fraction(ceil(units / offer.size))
    if offer.kind == "volume":
        reached = next(t for t in offer.tiers if t.up_to is None or units <= t.up_to)
        return units * Fraction(reached.price)
    return Fraction(sure if offer.kind == "outcome" else units)


@given(used=USED)
def test_every_model_earns_exactly_what_is_earned_now(used: dict[str, Used]) -> None:
    now = sum((each.now for each in used.values()), Fraction(0))
    for offer in usual(used):
        found = compared(offer, used, (None, {}))
        shares = {n: by_hand(offer, each.units, each.confident) for n, each in used.items()}
        total = sum(shares.values())
        if not total:
            assert (found.price, found.then, found.margin) == (None, 0, None)
            continue
        assert found.then == now
        assert found.price == now / total
        assert found.customers == {n: (used[n].now, shares[n] * now / total) for n in sorted(used)}
        assert sum(then - before for before, then in found.customers.values()) == 0
        assert found.more + found.less + (len(used) - len(found.changed())) == len(used)
        assert found.moved is None or 0 <= found.moved <= 1


@given(used=USED, price=st.sampled_from(["0", "0.02", "29"]))
def test_a_price_that_is_given_is_the_price(used: dict[str, Used], price: str) -> None:
    found = compared(Offer("freemium", price, 100), used, (Fraction(1, 3), {}))
    charged = sum(max(0, each.units - 100) for each in used.values())
    assert (found.price, found.then) == (Fraction(price), charged * Fraction(price))
    assert found.nothing == sum(not then for __, then in found.customers.values())
    if found.then:
        assert found.margin == 1 - Fraction(1, 3) / found.then


@pytest.mark.parametrize(
    ("units", "size"), [([], 1), ([0, 0], 1), ([7], 7), ([12, 1999, 50_000], 1000), ([3, 4], 3)]
)
def test_sizes_are_what_the_customer_in_the_middle_uses(units: list[int], size: int) -> None:
    used = {str(place): Used(Fraction(0), each, 0) for place, each in enumerate(units)}
    sizes = {each.kind: each.size for each in usual(used)}
    assert (sizes["freemium"], sizes["prepaid"]) == (size, size)


@pytest.fixture
def used(shop: Any) -> Any:
    """Three customers of two plans, one of them in another zone and on trial at first."""
    tiers = (Tier("0.10", 10), Tier("0.05"))
    shop.plans.agree("gold", Terms("EUR", (Charge("image", tiers, "graduated"),), fee="30"))
    tried = Terms(
        "EUR",
        (Charge.plain("image", "0.07"),),
        trial_days=3,
        timezone="Asia/Kolkata",
        charge_abstained=True,
    )
    shop.plans.agree("tried", tried)
    shop.clock.moment = datetime(2026, 10, 31, 17, 45, tzinfo=UTC)
    for customer, plan in (("Ada", "gold"), ("Bob", "tried"), ("Eve", None)):
        shop.key_of(customer)
        if plan:
            shop.subscriptions.begin(customer, plan)
    for number in range(60):
        customer = ("Ada", "Bob", "Eve", "Bob")[number % 4]
        outcome = ("ok", "ok", "abstain", "error", "ok")[number % 5]
        probability = (None, 0.3, 0.9, 0.95, 0.8999)[number % 5 + (number % 7 == 0) - 1]
        shop.meter.record(shop.usage(customer, outcome=outcome, probability=probability)).result(10)
        shop.clock.moment += timedelta(hours=13)
    shop.clock.moment = datetime(2026, 12, 20, tzinfo=UTC)
    return shop


def counted(shop: Any, sure: float | None) -> dict[str, int]:
    """Charged units of November by customer, one event after the other."""
    found: Counter[str] = Counter()
    names = {each.id: each.name for each in shop.customers.list()}
    for event in shop.history.list_usage(limit=1000):
        terms = shop.plans.find(event.plan, event.plan_version).terms
        begin, end = NOVEMBER.bounds(terms.timezone)
        if terms.trial_days:
            begin = datetime(2026, 11, 2, 18, 30, tzinfo=UTC)  # three days of Kolkata later
        charged = event.outcome == "ok" or (event.outcome == "abstain" and terms.charge_abstained)
        surely = sure is None or (event.probability is not None and event.probability >= sure)
        if charged and surely and begin <= datetime.fromisoformat(event.recorded_at) < end:
            found[names[event.customer]] += event.quantities["image"]
    return dict(found)


def test_what_is_compared_is_what_the_events_say(used: Any) -> None:
    (found,) = BusinessModels(used.database, used.clock).month(NOVEMBER, Price("36", "EUR"))
    units, sure = counted(used, None), counted(used, 0.9)
    assert {name: each.units for name, each in found.used.items()} == units
    assert {name: each.confident for name, each in found.used.items() if each.confident} == sure
    assert 0 < sum(sure.values()) < sum(units.values())
    drafted = [each for each in used.invoices.run(NOVEMBER).drafted if each.period == "2026-11"]
    lines = [line for each in drafted for line in each.document["lines"]]
    assert sum(map(exact_of, lines)) == found.now
    assert [each.offer.kind for each in found.models] == list(KINDS)
    assert {each.then for each in found.models} == {found.now}
    outcome: Compared = found.models[-1]
    assert outcome.price == found.now / sum(sure.values())
    said = found.to_json()
    assert said["confident_units"] == sum(sure.values())
    assert [each["is_calibrated"] for each in said["models"]] == [True] * len(KINDS)


def test_a_currency_is_compared_by_itself(shop: Any) -> None:
    shop.plans.agree("yuan", Terms("CNY", (Charge.plain("image", "0.5"),), fee="10"))
    shop.key_of("Wang")
    shop.subscriptions.begin("Wang", "yuan")
    for customer in ("Ada", "Wang", "Wang"):
        shop.meter.record(shop.usage(customer)).result(10)
    models = BusinessModels(shop.database, shop.clock)
    yuan, euro = models.month(NOVEMBER, Price("36", "EUR"))
    assert (yuan.currency, list(yuan.used), euro.currency, list(euro.used)) == (
        "CNY",
        ["Wang"],
        "EUR",
        ["Ada"],
    )
    assert yuan.models[0].cost is None
    assert euro.models[0].margin is not None
    with pytest.raises(ConfigError, match="Nothing was counted in 'token'"):
        models.month(NOVEMBER, None, unit="token")


def test_models_of_a_file_have_its_prices_and_what_it_leaves_out_is_worked_out(
    tmp_path: Path, used: Any
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(
        '[subscription]\nprice = "29"\n[outcome]\nconfidence = "0.95"\n[freemium]\nsize = 2\n'
        '[volume]\ntiers = [{times = "1", up_to = 10}, {times = "0.5"}]\n'
    )
    (found,) = BusinessModels(used.database, used.clock).month(NOVEMBER, None, offers=read(path))
    by_kind = {each.offer.kind: each for each in found.models}
    assert list(by_kind) == ["subscription", "freemium", "volume", "outcome"]
    assert by_kind["subscription"].then == 29 * len(found.used)
    assert by_kind["freemium"].then == found.now
    sure = counted(used, 0.95)
    assert by_kind["outcome"].price == found.now / sum(sure.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rent]\nprice = '1'", "no business model 'rent'"),
        ("", "no business model"),
        ("[subscription]\nprice = 29", "subscription|price"),
        ("[subscription]\nprice = '-1'", "0 or more"),
        ("[outcome]\nconfidence = '1.5'", "from 0 to 1"),
        ("[volume]\ntiers = [{times = '1', up_to = 5}]", "do not lead"),
        ("[subscription", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_is_named_with_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / "none.toml")
