"""What counts come to: as invoices have it, whatever was agreed and whenever it was recorded."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from tests.capture.conftest import Shop

from mintage.capture.books.account import Account
from mintage.capture.books.months import months_of
from mintage.capture.checking.counts import CountCheck
from mintage.capture.key_limits import KeyLimits
from mintage.capture.limits.holds import Holds
from mintage.capture.limits.standing import Standings
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import NotAllowed, QuotaReached
from mintage.core.money import Money, decimal_text
from mintage.core.types import Permit

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "10"))
NOVEMBER = Period(2026, 11)
IMAGE = {"image": 1}


def terms(price: str = "1", *, included: int = 0, limit: int | None = None, **more: Any) -> Terms:
    charge = replace(Charge.plain("image", price), included=included, hard_limit=limit)
    return Terms("EUR", (charge,), **more)


def at(shop: Shop, day: int, hour: int = 12, *, month: int = 11) -> None:
    shop.clock.moment = datetime(2026, month, day, hour, tzinfo=UTC)  # type: ignore[attr-defined]


def record(shop: Shop, permit: Permit | None = None, count: int = 1, **more: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage(permit=permit or shop.permit(), **more)).result(10)


def reserve(shop: Shop) -> str:
    return Holds(shop.database, shop.clock, 60).reserve(shop.permit(), IMAGE).result()


def standing(shop: Shop) -> dict[str, Any]:
    return Standings(shop.database, shop.clock).of("Ada")


def invoiced(shop: Shop, plan: str) -> Fraction:
    """What an invoice would have of November's usage under a plan."""
    until = shop.rollup.catch_up()
    with shop.database.read() as connection:
        account = Account(connection, shop.customers.find("Ada").id)
        months = months_of(account, NOVEMBER, until)
    lines = [line for each in months if each.plan.name == plan for line in each.lines(NOVEMBER)]
    return sum((each.amount for each in lines if each.kind in ("usage", "maximum")), Fraction(0))


def test_of_a_part_of_a_month_a_spend_limit_is_by_that_part_of_what_is_included(shop: Shop) -> None:
    shop.plans.agree("gold", terms(included=10, spend_limit="3"))
    shop.key_of("Ada")
    at(shop, 16)
    shop.subscriptions.begin("Ada", "gold")  # half the month: 5 are included
    record(shop, count=8)
    with pytest.raises(QuotaReached, match="3 EUR"):
        reserve(shop)
    said = standing(shop)
    assert (said["spending"][0]["spent"], said["limits"][0]["included"]) == ("3", 5)
    assert invoiced(shop, "gold") == 3
    told = [each["record"] for each in shop.leaves("limit.reached")]
    assert sum(b'"limit":"included"' in each and b'"most":"5"' in each for each in told) == 2


def test_what_was_spent_by_an_earlier_version_is_as_its_invoice_line(shop: Shop) -> None:
    shop.plans.agree("standard", terms("1", included=2, spend_limit="50"))
    record(shop, count=4)
    shop.plans.agree("standard", terms("10", included=2, spend_limit="22"))
    record(shop, count=4)
    assert standing(shop)["spending"][0]["spent"] == "22"
    assert invoiced(shop, "standard") == 22
    with pytest.raises(QuotaReached, match="22 EUR"):
        reserve(shop)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_is_spent_is_what_an_invoice_would_have(shop: Shop, seed: int) -> None:
    drawn = random.Random(seed)
    shop.key_of("Ada")
    shop.sell("sounds")
    day = 1
    for __ in range(8):
        day = min(29, day + drawn.randrange(5))
        at(shop, day, drawn.randrange(23))
        tiers = (Tier("0.3", drawn.randrange(1, 9), "0.07"), Tier("0.1"))
        shop.plans.agree(
            "standard",
            Terms(
                "EUR",
                (
                    Charge("image", tiers, "graduated", included=drawn.randrange(9)),
                    Charge.plain("explanation", "0.05"),
                ),
                spend_limit="1000",
                maximum=drawn.choice([None, "2"]),
                prorate=drawn.choice([True, False, "second"]),
                timezone=drawn.choice(["UTC", "Asia/Shanghai"]),
                trial_days=drawn.choice([0, 0, 3]),
            ),
        )
        if drawn.randrange(2):
            shop.subscriptions.begin("Ada", "standard")
        for ___ in range(drawn.randrange(6)):
            counted = {"image": drawn.randrange(1, 4), "explanation": drawn.randrange(2)}
            product = drawn.choice(["pets", "sounds"])
            with suppress(NotAllowed):  # it has a trial, and nothing was begun
                record(shop, shop.permit(product=product), quantities=counted)
    at(shop, 30, 10)
    for said in standing(shop)["spending"]:
        assert said["spent"] == decimal_text(invoiced(shop, "standard"))
    CountCheck(shop.database).check()


def test_a_call_under_way_when_a_limit_is_set_is_counted(shop: Shop) -> None:
    unlimited = shop.permit()
    shop.plans.agree("standard", terms(limit=3))
    record(shop)  # the count begins, and the other call is not there yet
    record(shop, unlimited)
    assert standing(shop)["limits"][0]["used"] == 2
    record(shop)
    with pytest.raises(QuotaReached):
        reserve(shop)


def test_a_call_under_way_when_another_unit_is_limited_is_counted(shop: Shop) -> None:
    explained = Charge.plain("explanation", "1")
    images = replace(Charge.plain("image", "1"), hard_limit=9)
    shop.plans.agree("standard", Terms("EUR", (images, explained)))
    before = shop.permit()
    both = {"image": 1, "explanation": 1}
    shop.plans.agree("standard", Terms("EUR", (images, replace(explained, hard_limit=2))))
    record(shop, quantities=both)
    record(shop, before, quantities=both)
    assert [each["used"] for each in standing(shop)["limits"]] == [2, 2]
    with pytest.raises(QuotaReached, match="explanation"):
        Holds(shop.database, shop.clock, 60).reserve(shop.permit(), both).result()


def test_who_keeps_an_earlier_version_is_counted_once(shop: Shop) -> None:
    shop.plans.agree("gold", terms(limit=3, spend_limit="50"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    shop.plans.agree("gold", terms(limit=9))
    record(shop, count=2)
    assert standing(shop)["limits"][0]["used"] == 2
    assert standing(shop)["spending"][0]["spent"] == "2"
    record(shop)
    with pytest.raises(QuotaReached):
        reserve(shop)


def test_a_call_under_way_when_a_trial_ends_is_paid_and_counted_so(shop: Shop) -> None:
    at(shop, 10)
    shop.plans.agree("gold", terms(limit=9, trial_days=5, spend_limit="50"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    on_trial = shop.permit()
    record(shop, on_trial)
    at(shop, 15)
    record(shop)  # the count begins
    record(shop, on_trial)
    said = standing(shop)
    assert (said["limits"][0]["used"], said["spending"][0]["spent"]) == (2, "2")
    assert invoiced(shop, "gold") == 2


@pytest.mark.parametrize("back", [1, 3600, 86_400])
def test_a_clock_set_back_over_a_months_end_leaves_each_call_in_its_own_month(
    shop: Shop, back: int
) -> None:
    shop.plans.agree("standard", terms(limit=50, spend_limit="50"))
    at(shop, 30, 23)
    record(shop, count=2)
    at(shop, 1, 0, month=12)
    record(shop, count=3)
    shop.clock.moment -= timedelta(seconds=back)  # type: ignore[attr-defined]
    record(shop, count=4)
    used = {}
    for month in (11, 12):
        at(shop, 30, month=month)
        used[month] = [standing(shop)["limits"][0]["used"]]
        shop.database.write(lambda c: c.exec_driver_sql("DELETE FROM usage_counters") and None)
        used[month].append(standing(shop)["limits"][0]["used"])
    assert used == {11: [6, 6], 12: [3, 3]}
    assert invoiced(shop, "standard") == 6


def test_a_key_and_the_one_in_its_place_share_a_budget_whichever_calls_first(shop: Shop) -> None:
    shop.plans.agree("standard", terms())
    shop.key_of("Ada")
    key = shop.customers.issue_key("Ada", KeyLimits(budget=Money.parse("2", "EUR")))
    rotated = shop.customers.rotate_key(key.id, 3600)
    old, new = (shop.gate.admit(each.reveal(), "pets") for each in (key.key, rotated.issued.key))
    record(shop, new)
    shop.database.write(lambda c: c.exec_driver_sql("DELETE FROM usage_counters") and None)
    record(shop, old)
    with pytest.raises(QuotaReached, match="budget"):
        Holds(shop.database, shop.clock, 60).reserve(old, IMAGE).result()


def same(shop: Shop, plan: str = "gold") -> Fraction:
    """What was spent, which an invoice and the check of counts have to say too."""
    spent = Fraction(standing(shop)["spending"][0]["spent"])
    assert spent == invoiced(shop, plan)
    CountCheck(shop.database).check()
    return spent


def test_a_call_under_way_when_a_trial_ends_is_spent_though_nothing_limited_it(shop: Shop) -> None:
    at(shop, 10)
    shop.plans.agree("gold", terms(trial_days=5, spend_limit="3"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    on_trial = shop.permit()
    record(shop, on_trial)
    at(shop, 15)
    record(shop)
    record(shop, on_trial, count=4)
    assert same(shop) == 5
    with pytest.raises(QuotaReached):
        reserve(shop)


def test_calls_by_a_version_without_limits_are_spent_where_another_version_is_limited(
    shop: Shop,
) -> None:
    at(shop, 10)
    pets = (replace(Charge.plain("image", "1"), products=("pets",)),)
    shop.plans.agree("gold", Terms("EUR", pets, spend_limit="50"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    shop.sell("sounds", "gold")
    shop.plans.agree("gold", terms())
    record(shop)
    record(shop, shop.permit(product="sounds"), count=2)
    record(shop)
    assert same(shop) == 4


def test_calls_under_way_when_a_trial_ends_hold_what_they_may_use_after_it(shop: Shop) -> None:
    at(shop, 10)
    shop.plans.agree("gold", terms(trial_days=5, limit=3))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    at(shop, 14, 23)
    shop.clock.moment += timedelta(minutes=59, seconds=50)  # type: ignore[attr-defined]
    on_trial = shop.permit()
    holds = Holds(shop.database, shop.clock, 60)
    held = [holds.reserve(on_trial, IMAGE).result() for __ in range(3)]
    shop.clock.moment += timedelta(seconds=15)  # type: ignore[attr-defined]
    with pytest.raises(QuotaReached):
        reserve(shop)
    for each in held:
        shop.meter.record(shop.usage(permit=on_trial, hold=each)).result(10)
    assert invoiced(shop, "gold") == 3
