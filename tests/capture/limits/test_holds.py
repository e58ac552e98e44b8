"""Limits: never one call more than agreed, and nothing stays reserved that nobody uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import select
from tests.capture.conftest import Shop

from mintage.capture.key_limits import KeyLimits
from mintage.capture.limits.holds import Holds
from mintage.capture.limits.standing import Standings
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import MintageError, NotAllowed, QuotaReached
from mintage.core.money import Money
from mintage.core.types import Permit
from mintage.store import schema

IMAGE = {"image": 1}


def limited(shop: Shop, **changes: Any) -> Permit:
    """A permit by a plan whose images are limited so; or its terms."""
    bounds = {n: changes.pop(n) for n in ("soft_limit", "hard_limit", "included") if n in changes}
    charge = replace(Charge.plain("image", changes.pop("price", "0.02")), **bounds)
    shop.plans.agree("standard", Terms("EUR", (charge,), **changes))
    return shop.permit()


def holds(shop: Shop, lease: float = 60) -> Holds:
    return Holds(shop.database, shop.clock, lease)


def call(shop: Shop, permit: Permit, **changes: Any) -> None:
    """A whole call: reserved, answered, recorded."""
    hold = holds(shop).reserve(permit, IMAGE).result() if permit.held else None
    shop.meter.record(shop.usage(permit=permit, hold=hold, **changes)).result()


def standing(shop: Shop) -> dict[str, Any]:
    return Standings(shop.database, shop.clock).of("Ada")


def reached(shop: Shop) -> list[tuple[str, int]]:
    said = [json.loads(leaf["record"]) for leaf in shop.leaves("limit.reached")]
    return [(each["limit"], each["percent"]) for each in said]


def test_who_is_not_limited_holds_nothing(shop: Shop) -> None:
    permit = shop.permit()
    assert permit.bounds is None
    assert not permit.held


def test_sixty_four_calls_at_once_against_a_limit_of_five_are_five(
    shop: Shop, reopened: Callable[[], Shop]
) -> None:
    permit = limited(shop, hard_limit=5)
    other = reopened()
    asked: list[Future[str]] = []
    for __ in range(32):
        asked.append(holds(shop).reserve(permit, IMAGE))
        asked.append(holds(other).reserve(permit, IMAGE))
    wait(asked)
    refused = [each for each in asked if each.exception() is not None]
    assert len(refused) == 59
    assert all(isinstance(each.exception(), QuotaReached) for each in refused)
    for each in asked:
        if each.exception() is None:
            shop.meter.record(shop.usage(permit=permit, hold=each.result())).result()
    assert standing(shop)["limits"][0] | {"month": ""} == {
        "plan": "standard",
        "unit": "image",
        "products": [],
        "month": "",
        "used": 5,
        "held": 0,
        "included": 0,
        "soft_limit": None,
        "hard_limit": 5,
    }
    with pytest.raises(QuotaReached, match="5"):
        holds(other).reserve(permit, IMAGE).result()


def test_a_hold_whose_process_died_returns_with_its_lease(shop: Shop, clock: Any) -> None:
    permit = limited(shop, hard_limit=1)
    holds(shop, lease=30).reserve(permit, IMAGE).result()
    with pytest.raises(QuotaReached):
        holds(shop).reserve(permit, IMAGE).result()
    clock.advance(31)
    holds(shop).reserve(permit, IMAGE).result()


def test_what_was_not_used_is_released(shop: Shop) -> None:
    permit = limited(shop, hard_limit=1)
    mine = holds(shop)
    mine.release(mine.reserve(permit, IMAGE).result())
    call(shop, permit)
    with pytest.raises(QuotaReached):
        mine.reserve(permit, IMAGE).result()


@pytest.mark.parametrize("outcome", ["error", "timeout", "cancelled", "abstain"])
def test_what_is_free_uses_nothing_up(shop: Shop, outcome: str) -> None:
    permit = limited(shop, hard_limit=1)
    call(shop, permit, outcome=outcome)
    assert standing(shop)["limits"][0]["used"] == 0
    call(shop, permit)
    assert standing(shop)["limits"][0]["used"] == 1


def test_a_limit_is_of_a_month_by_the_plans_calendar(shop: Shop, clock: Any) -> None:
    permit = limited(shop, hard_limit=1, timezone="Asia/Shanghai")
    clock.moment = datetime.fromisoformat("2026-11-30T15:59:00+00:00")
    call(shop, permit)
    with pytest.raises(QuotaReached, match="2026-11"):
        holds(shop).reserve(permit, IMAGE).result()
    clock.moment = datetime.fromisoformat("2026-11-30T16:00:00+00:00")
    call(shop, permit)
    assert standing(shop)["limits"][0]["month"] == "2026-12"


def test_a_new_limit_counts_what_was_used_before_it(shop: Shop) -> None:
    for __ in range(3):
        call(shop, shop.permit())
    permit = limited(shop, hard_limit=4)
    call(shop, permit)
    with pytest.raises(QuotaReached):
        holds(shop).reserve(permit, IMAGE).result()


def test_events_of_one_write_begin_a_count_once(shop: Shop) -> None:
    permit = limited(shop, soft_limit=10)
    shop.meter.record_all([shop.usage(permit=permit) for __ in range(3)]).result()
    shop.meter.record_all([shop.usage(permit=permit) for __ in range(4)]).result()
    assert standing(shop)["limits"][0]["used"] == 7


def test_customers_are_told_at_80_and_100_percent_once(shop: Shop) -> None:
    permit = limited(shop, soft_limit=5, included=10)
    for __ in range(12):
        call(shop, permit)
    expected = [("soft_limit", 80), ("soft_limit", 100), ("included", 80), ("included", 100)]
    assert reached(shop) == expected
    with shop.database.read() as connection:
        rows = connection.execute(select(schema.notices).order_by(schema.notices.c.id)).mappings()
        told = [(row["type"], json.loads(row["data"])) for row in rows]
    assert [(said["limit"], said["percent"]) for __, said in told] == expected
    assert {kind for kind, __ in told} == {"quota.threshold"}


def test_a_spend_limit_is_of_what_usage_comes_to(shop: Shop) -> None:
    tiers = (Tier("0.10", 2), Tier("0.01"))
    charge = Charge("image", tiers, "graduated", included=1)
    shop.plans.agree("standard", Terms("EUR", (charge,), spend_limit="0.22"))
    permit = shop.permit()
    for __ in range(5):  # nothing, 0.10, 0.20, 0.21, 0.22
        call(shop, permit)
    with pytest.raises(QuotaReached, match=r"0\.22 EUR"):
        holds(shop).reserve(permit, IMAGE).result()
    assert standing(shop)["spending"][0]["spent"] == "0.22"
    assert reached(shop) == [("included", 100), ("spend_limit", 80), ("spend_limit", 100)]


def test_a_spend_limit_holds_for_calls_under_way_together(shop: Shop) -> None:
    permit = limited(shop, spend_limit="0.10")
    asked = [holds(shop).reserve(permit, IMAGE) for __ in range(64)]
    wait(asked)
    assert sum(each.exception() is None for each in asked) == 5


def test_a_key_has_its_own_budget(shop: Shop) -> None:
    limited(shop)
    ada = shop.customers.find("Ada")
    frugal = shop.customers.issue_key(ada.id, KeyLimits(budget=Money.parse("0.05", "EUR")))
    permit = shop.gate.admit(frugal.key.reveal(), "pets")
    call(shop, permit)
    call(shop, permit)
    with pytest.raises(QuotaReached, match=r"budget of 0\.05 EUR"):
        holds(shop).reserve(permit, IMAGE).result()
    call(shop, shop.permit())  # another key of theirs
    said = standing(shop)["budgets"]
    assert [(each["key"], each["spent"], each["budget"]) for each in said] == [
        (frugal.id, "0.04", "0.05")
    ]


def test_a_budget_in_another_currency_lets_nothing_pass(shop: Shop) -> None:
    limited(shop)
    ada = shop.customers.find("Ada")
    foreign = shop.customers.issue_key(ada.id, KeyLimits(budget=Money.parse("5", "CNY")))
    permit = shop.gate.admit(foreign.key.reveal(), "pets")
    with pytest.raises(NotAllowed, match="CNY"):
        holds(shop).reserve(permit, IMAGE).result()


def test_a_counter_that_cannot_be_reached_lets_nothing_pass(shop: Shop) -> None:
    permit = limited(shop, hard_limit=5)
    mine = holds(shop)
    shop.workspace.close()
    with pytest.raises(MintageError) as refused:
        mine.reserve(permit, IMAGE).result()
    assert refused.value.http_status == 503
    mine.release("hld_1")  # says so in the log, and no more


def test_a_lease_is_as_long_as_it_says(shop: Shop, clock: Any) -> None:
    permit = limited(shop, hard_limit=1)
    holds(shop, lease=30).reserve(permit, IMAGE).result()
    clock.advance(29)
    with pytest.raises(QuotaReached):
        holds(shop).reserve(permit, IMAGE).result()


def test_a_refusal_keeps_the_count_that_was_begun(shop: Shop) -> None:
    for __ in range(3):
        call(shop, shop.permit())
    permit = limited(shop, hard_limit=2)
    with pytest.raises(QuotaReached):
        holds(shop).reserve(permit, IMAGE).result()
    with shop.database.read() as connection:
        counted = connection.execute(select(schema.usage_counters.c.used)).scalars().all()
    assert counted == [3]


def test_a_limit_that_was_lifted_and_set_again_counts_what_was_used_meanwhile(shop: Shop) -> None:
    call(shop, limited(shop, hard_limit=5))
    permit = limited(shop)
    for __ in range(3):
        call(shop, permit)
    permit = limited(shop, hard_limit=5)
    call(shop, permit)
    with pytest.raises(QuotaReached):
        call(shop, permit)


def test_who_comes_back_to_a_limited_plan_has_used_what_they_used(shop: Shop) -> None:
    shop.key_of("Ada")
    charge = replace(Charge.plain("image", "1"), hard_limit=3)
    shop.plans.agree("bounded", Terms("EUR", (charge,)))
    shop.plans.agree("free", Terms("EUR", (Charge.plain("image", "2"),)))
    for plan in ("bounded", "free", "bounded"):
        shop.subscriptions.begin("Ada", plan)
        call(shop, shop.permit())
    call(shop, shop.permit())
    with pytest.raises(QuotaReached):
        call(shop, shop.permit())


def test_calls_by_two_keys_in_one_write_begin_a_count_once(shop: Shop) -> None:
    mine = limited(shop, soft_limit=10)
    other = shop.customers.issue_key(mine.customer)
    theirs = shop.gate.admit(other.key.reveal(), "pets")
    both = [shop.usage(permit=permit) for permit in (mine, theirs)]
    shop.meter.record_all(both).result()
    shop.meter.record_all(both).result()
    assert standing(shop)["limits"][0]["used"] == 4


def test_calls_under_way_at_a_months_end_are_held_in_both(shop: Shop, clock: Any) -> None:
    permit = limited(shop, hard_limit=1)
    clock.moment = datetime.fromisoformat("2026-11-30T23:59:30+00:00")
    hold = holds(shop).reserve(permit, IMAGE).result()
    clock.advance(40)
    with pytest.raises(QuotaReached, match="2026-12"):
        holds(shop).reserve(permit, IMAGE).result()
    shop.meter.record(shop.usage(permit=permit, hold=hold)).result()
    with pytest.raises(QuotaReached, match="2026-12"):
        holds(shop).reserve(permit, IMAGE).result()
    (limit,) = standing(shop)["limits"]
    assert (limit["month"], limit["used"], limit["held"]) == ("2026-12", 1, 0)


def test_a_trial_is_limited_by_itself_and_spends_nothing(shop: Shop, clock: Any) -> None:
    shop.key_of("Ada")
    charge = replace(Charge.plain("image", "1"), hard_limit=4)
    shop.plans.agree("trial", Terms("EUR", (charge,), trial_days=5, spend_limit="3"))
    shop.subscriptions.begin("Ada", "trial")
    for __ in range(4):
        call(shop, shop.permit())
    with pytest.raises(QuotaReached, match="limit of 4"):
        call(shop, shop.permit())
    clock.advance(5 * 86_400)
    for __ in range(3):
        call(shop, shop.permit())
    with pytest.raises(QuotaReached, match="3 EUR"):
        call(shop, shop.permit())
    assert standing(shop)["spending"][0]["spent"] == "3"


def test_a_key_made_in_anothers_place_has_what_is_left_of_its_budget(shop: Shop) -> None:
    limited(shop, price="1")
    ada = shop.customers.find("Ada")
    key = shop.customers.issue_key(ada.id, KeyLimits(budget=Money.parse("2", "EUR")))
    call(shop, shop.gate.admit(key.key.reveal(), "pets"))
    rotated = shop.customers.rotate_key(key.id, 3600)
    new = shop.gate.admit(rotated.issued.key.reveal(), "pets")
    shop.database.write(lambda c: c.execute(schema.usage_counters.delete()) and None)
    call(shop, new)
    for permit in (new, shop.gate.admit(key.key.reveal(), "pets")):
        with pytest.raises(QuotaReached, match="budget"):
            call(shop, permit)
    assert {each["spent"] for each in standing(shop)["budgets"]} == {"2"}
