"""What was earned is what is invoiced; what it cost is what was measured."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books.comparing import BusinessModels
from mintage.capture.books.economics import NOTHING, Economics, shared, together
from mintage.capture.books.replay import Replay
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Line, exact_of
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError
from mintage.core.money import Money, Price
from mintage.core.types import ProviderInfo

NOVEMBER = Period(2026, 11)
KEYS = [("pets", "pets", "1"), ("pets", "pets", "2"), ("birds", "birds", "1")]


def use(shop: Any, count: int, customer: str = "Ada", version: str = "3", **changes: Any) -> None:
    provider = ProviderInfo("pets", version, "b" * 64, "class", "image")
    for __ in range(count):
        shop.meter.record(shop.usage(customer, provider=provider, **changes)).result(10)


def test_each_customer_product_and_model_version_has_revenue_cost_and_margin(shop: Any) -> None:
    tiers = (Tier("0.10", 10), Tier("0.05"))
    terms = Terms("EUR", (Charge("image", tiers, "graduated"),), fee="30")
    shop.plans.agree("gold", terms)
    shop.key_of("Ada")
    shop.clock.moment = datetime(2026, 11, 1, 9, tzinfo=UTC)
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 15, version="3")
    use(shop, 5, version="4")
    use(shop, 5, outcome="error", version="4")
    use(shop, 2, "Bob")
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    rows = Economics(shop.database, shop.clock).month(NOVEMBER, Price("36000", "EUR"))
    said = [(row.customer, row.model_version, row.calls, row.charged_calls) for row in rows]
    assert said == [("Ada", "3", 15, 15), ("Ada", "4", 10, 5), ("Bob", "3", 2, 2)]
    assert [row.revenue for row in rows] == [Fraction(189, 8), Fraction(63, 8), Fraction("0.04")]
    assert [round(float(row.cost), 4) for row in rows] == [1.065, 0.71, 0.142]
    assert rows[0].margin == 1 - rows[0].cost / rows[0].revenue
    invoices = shop.invoices.run(NOVEMBER).drafted
    lines = [line for made in invoices for line in made.document["lines"]]
    assert sum(map(exact_of, lines)) == sum(row.revenue for row in rows)
    (ada, bob) = together(rows, ["customer"])
    assert (ada.customer, ada.calls, ada.revenue) == ("Ada", 25, Fraction("31.5"))
    assert (bob.customer, bob.margin < 0) == ("Bob", True)


def test_a_cost_in_another_currency_is_not_told(shop: Any) -> None:
    use(shop, 1)
    (row,) = Economics(shop.database, shop.clock).month(NOVEMBER, Price("36", "USD"))
    assert (row.cost, row.margin) == (None, None)
    assert row.compute_seconds == pytest.approx(0.0071)


def test_a_fee_of_who_uses_nothing_stands_by_itself(shop: Any) -> None:
    shop.plans.agree("gold", Terms("EUR", (Charge.plain("image", "1"),), fee="30"))
    shop.key_of("Ada")
    shop.clock.moment = datetime(2026, 11, 1, 9, tzinfo=UTC)
    shop.subscriptions.begin("Ada", "gold")
    (row,) = Economics(shop.database, shop.clock).month(NOVEMBER, None)
    assert (row.product, row.calls, row.revenue) == ("", 0, 30)


@given(
    amounts=st.lists(st.fractions(min_value=0, max_value=10**4), max_size=4),
    fee=st.fractions(min_value=-100, max_value=100),
    units=st.dictionaries(st.sampled_from(KEYS), st.integers(1, 100)),
)
def test_what_is_shared_comes_to_what_there_was(
    amounts: list[Fraction], fee: Fraction, units: dict[tuple[str, str, str], int]
) -> None:
    used = {product: 1 for product, __, __ in units}
    lines = [Line("usage", "gold", 1, amount, unit="image", used=used) for amount in amounts]
    lines.append(Line("fee", "gold", 1, fee))
    found = shared(lines, {(key, "image"): count for key, count in units.items()})
    assert sum(found.values()) == sum(amounts) + fee
    if NOTHING in found:
        assert not units or not sum(amounts)


def test_a_month_is_replayed_under_other_plans(shop: Any) -> None:
    use(shop, 10)
    use(shop, 100, "Bob")
    use(shop, 5, "Bob", outcome="error")
    flat = Terms("EUR", (Charge.plain("image", "0.01"),), fee="12", fee_every="year")
    replay = Replay(shop.database, shop.clock)
    cheap, same = replay.month(
        NOVEMBER, [("flat", flat), ("same", shop.plans.current("standard").terms)], None
    )
    assert cheap.customers == {
        "Ada": (Fraction("0.2"), Fraction("1.1")),
        "Bob": (Fraction(2), Fraction(2)),
    }
    assert (cheap.now, cheap.then, cheap.more, cheap.less) == (
        Fraction("2.2"),
        Fraction("3.1"),
        1,
        0,
    )
    assert (same.now, same.more, same.less) == (same.then, 0, 0)


def test_what_is_paid_in_another_currency_is_not_replayed(shop: Any) -> None:
    use(shop, 1)
    with pytest.raises(ConfigError, match="Nobody pays in CNY"):
        Replay(shop.database, shop.clock).month(NOVEMBER, [("yuan", Terms("CNY", ()))], None)


def test_plans_are_replayed_for_those_who_pay_in_their_currency(shop: Any) -> None:
    shop.plans.set("yuan", "0.10", "CNY")
    shop.sell("birds", plan="yuan")
    use(shop, 10)
    use(shop, 30, "Bob", permit=shop.permit("Bob", "birds"))
    use(shop, 2, "Bob")
    flat = [("flat", Terms(each, (Charge.plain("image", "1"),))) for each in ("EUR", "CNY")]
    euro, yuan = Replay(shop.database, shop.clock).month(NOVEMBER, flat, Price("3600", "EUR"))
    assert dict(euro.customers) == {"Ada": (Fraction("0.2"), 10), "Bob": (Fraction("0.04"), 2)}
    assert dict(yuan.customers) == {"Bob": (3, 30)}
    assert (euro.others, yuan.others) == ({"Bob": ["CNY"]}, {"Ada": ["EUR"], "Bob": ["EUR"]})
    assert float(euro.cost) == pytest.approx(12 * 0.0071)  # of the answers that it is paid for
    assert yuan.cost is None


def test_calls_of_a_trial_are_not_charged_and_cost_all_the_same(shop: Any) -> None:
    terms = Terms("EUR", (Charge.plain("image", "1"),), trial_days=10)
    shop.plans.agree("tried", terms)
    shop.key_of("Ada")
    shop.clock.moment = datetime(2026, 11, 5, 9, tzinfo=UTC)
    shop.subscriptions.begin("Ada", "tried")
    use(shop, 7, version="3")
    shop.clock.moment = datetime(2026, 11, 20, 9, tzinfo=UTC)
    use(shop, 2, version="4")
    old, new = sorted(
        Economics(shop.database, shop.clock).month(NOVEMBER, Price("3600", "EUR")),
        key=lambda row: row.model_version,
    )
    assert (old.calls, old.charged_calls, old.revenue) == (7, 0, 0)
    assert (new.calls, new.charged_calls, new.revenue) == (2, 2, 2)
    assert float(old.cost) == pytest.approx(7 * 0.0071)


def test_costs_are_of_the_same_month_as_revenue_is(shop: Any) -> None:
    terms = Terms("EUR", (Charge.plain("image", "1"),), timezone="Asia/Shanghai")
    shop.plans.agree("standard", terms)
    for month, day, count in ((10, 31, 4), (11, 30, 2)):  # the day after in Shanghai
        shop.clock.moment = datetime(2026, month, day, 17, tzinfo=UTC)
        use(shop, count)
    shop.clock.moment = datetime(2027, 1, 5, tzinfo=UTC)
    hour_cost = Price("3600", "EUR")
    for period, calls in ((NOVEMBER, 4), (NOVEMBER.following, 2), (NOVEMBER.preceding, 0)):
        rows = Economics(shop.database, shop.clock).month(period, hour_cost)
        (replayed,) = Replay(shop.database, shop.clock).month(period, [("s", terms)], hour_cost)
        assert replayed.now == sum(row.revenue for row in rows) == calls
        assert replayed.cost == sum(row.cost for row in rows)
        assert float(replayed.cost) == pytest.approx(calls * 0.0071)
    (compared,) = BusinessModels(shop.database, shop.clock).month(NOVEMBER, hour_cost)
    assert float(compared.models[0].cost) == pytest.approx(4 * 0.0071)


def test_what_credit_notes_took_back_is_not_earned(shop: Any) -> None:
    use(shop, 100)
    use(shop, 50, "Bob")
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    ada, bob = shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    shop.invoices.credit_part(ada.id, 1, Money.parse("0.50", "EUR"), "slow")
    shop.invoices.credit(bob.id, "never wanted")
    shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)

    def earned() -> list[Fraction]:
        rows = Economics(shop.database, shop.clock).month(NOVEMBER, None)
        return [row.revenue for row in sorted(rows, key=lambda row: row.customer)]

    assert earned() == [Fraction("1.5"), 0]
    (same,) = Replay(shop.database, shop.clock).month(
        NOVEMBER, [("same", shop.plans.current("standard").terms)], None
    )
    assert [now for now, __ in same.customers.values()] == [Fraction("1.5"), 0]


def test_an_invoice_that_another_took_the_place_of_is_earned_once(shop: Any) -> None:
    use(shop, 100)
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    (first,) = shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    shop.invoices.credit(first.id, "a wrong address", anew=True)
    shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    (row,) = Economics(shop.database, shop.clock).month(NOVEMBER, None)
    assert row.revenue == 2
