"""Rate limits of plans: per customer, exact, and told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.databases import sqlite_alone

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.terms import Terms
from mintage.capture.rates import CallRates
from mintage.core.errors import ConfigError, DependencyDown
from mintage.core.types import Rate
from mintage.core.units import parse_rate

MINUTE = Rate(5, 60)


@pytest.fixture
def rates(shop: Any) -> CallRates:
    shop.plans.set("standard", "0.02", "EUR", rate=MINUTE)
    return CallRates(shop.database, shop.clock)


def test_a_rate_is_a_plans_and_its_change_a_new_version(shop: Any) -> None:
    assert shop.permit().rate is None
    limited = shop.plans.set("standard", "0.02", "EUR", rate=MINUTE)
    assert (limited.version, limited.to_json()["rate"]) == (2, "5/minute")
    assert shop.plans.set("standard", "0.02", "EUR", rate=MINUTE) == limited
    assert shop.permit().rate == MINUTE  # a kept permit knows of the change
    assert shop.plans.set("standard", "0.02", "EUR").version == 3
    assert shop.permit().rate is None


def test_its_calls_may_come_at_once_and_come_back_one_by_one(shop: Any, rates: CallRates) -> None:
    permit = shop.permit()
    assert [rates.take(permit, MINUTE).remaining for __ in range(5)] == [4, 3, 2, 1, 0]
    refused = rates.take(permit, MINUTE)
    assert refused.refusal is not None
    assert refused.refusal.http_status == 429
    assert refused.refusal.retry_after_seconds == 12
    assert (refused.remaining, refused.reset_seconds) == (0, 60)
    shop.clock.advance(12)
    assert rates.take(permit, MINUTE).refusal is None
    assert rates.take(permit, MINUTE).refusal is not None
    shop.clock.advance(60)
    assert rates.take(permit, MINUTE).remaining == 4


def test_every_customer_has_their_own_and_who_only_looks_takes_none(
    shop: Any, rates: CallRates
) -> None:
    ada, bob = shop.permit("Ada"), shop.permit("Bob")
    for __ in range(5):
        assert rates.look(ada, MINUTE).refusal is None
        assert rates.take(ada, MINUTE).refusal is None
    assert rates.take(ada, MINUTE).refusal is not None
    looked = rates.look(ada, MINUTE).refusal
    assert looked is not None
    assert looked.retry_after_seconds == 12
    assert rates.look(bob, MINUTE).remaining == 5
    assert rates.take(bob, MINUTE).remaining == 4


def test_another_rate_is_counted_anew(shop: Any, rates: CallRates) -> None:
    permit, daily = shop.permit(), Rate(1, 86_400)
    assert rates.take(permit, daily).refusal is None
    assert rates.take(permit, daily).refusal is not None
    assert rates.take(permit, Rate(600, 60)).refusal is None
    assert rates.take(permit, Rate(1000, 86_400)).refusal is None


def test_it_holds_in_every_process_and_after_a_restart(
    shop: Any, rates: CallRates, reopened: Any
) -> None:
    permit = shop.permit()
    other = reopened()
    elsewhere = CallRates(other.database, other.clock)
    granted = [each.take(permit, MINUTE).refusal is None for each in (rates, elsewhere) * 4]
    assert granted == [True] * 5 + [False] * 3
    again = reopened()
    assert CallRates(again.database, again.clock).take(permit, MINUTE).refusal is not None


def test_a_call_of_a_plan_is_not_given_back(shop: Any, rates: CallRates) -> None:
    permit = shop.permit()
    assert rates.take(permit, MINUTE).remaining == 4
    assert rates.give_back(permit, MINUTE) is None
    assert rates.look(permit, MINUTE).remaining == 4


@sqlite_alone
def test_what_cannot_be_counted_is_not_let_through(
    shop: Any, rates: CallRates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mintage.store.sqlite.FileBuckets", broken)
    with pytest.raises(DependencyDown):
        rates.take(shop.permit(), MINUTE)


@pytest.mark.parametrize("text", ["10/second", "600/minute", "5000/hour", "50000/day"])
def test_rates_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_rate(text)) == text


@pytest.mark.parametrize("text", ["", "10", "0/minute", "-1/day", "1.5/hour", "10/week", "٣/day"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="Not a rate"):
        parse_rate(text)


TOKENS = Rate(100, 60)


def test_a_call_is_let_through_while_a_token_is_left_and_what_it_used_counts(
    shop: Any, rates: CallRates
) -> None:
    permit = shop.permit()
    assert rates.take_tokens(permit, TOKENS, 30).remaining == 70
    assert rates.take_tokens(permit, TOKENS, -20).remaining == 90  # it used ten
    beyond = rates.take_tokens(permit, TOKENS, 500)
    assert (beyond.refusal, beyond.remaining, beyond.reset_seconds) == (None, 0, 60)
    refused = rates.take_tokens(permit, TOKENS, 1).refusal
    assert refused is not None
    assert refused.retry_after_seconds == 1  # a token comes back every 0.6 s
    assert "tokens" in str(refused.message)
    shop.clock.advance(6)
    assert rates.take_tokens(permit, TOKENS, 1).remaining == 9
    assert rates.take_tokens(permit, TOKENS, -500).remaining == 100
    assert rates.take(permit, MINUTE).remaining == 4  # calls are counted by themselves
    assert rates.take_tokens(shop.permit("Bob"), TOKENS, 0).remaining == 100


def test_a_rate_of_tokens_is_for_plans_that_price_them() -> None:
    image = Charge.plain("image", "0.02")
    with pytest.raises(ConfigError, match="price for tokens"):
        Terms("EUR", (image,), token_rate="100/minute")
    priced = Terms("EUR", (image, Charge.plain("output_token", "4")), token_rate="100/minute")
    assert Terms.from_json(priced.to_json()) == priced
    with pytest.raises(ConfigError, match="Not a rate"):
        Terms("EUR", priced.charges, token_rate="many")
