from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest

from mintage.capture.rates import CallRates
from mintage.capture.trial import TrialGate
from mintage.core.errors import DependencyDown, QuotaReached, RequestError, Unauthenticated

DAY = 24 * 3600


@pytest.fixture
def trial(shop: Any) -> Any:
    """Gates for three calls a day, as each process would have its own."""

    def gate(shop: Any = shop, most_calls: int = 3) -> TrialGate:
        return TrialGate(
            shop.gate,
            shop.database,
            shop.clock,
            customer=shop.customers.find("trial"),
            plan=shop.plans.set("trial", "0", "EUR"),
            most_calls=most_calls,
        )

    shop.customers.add("trial")
    return gate


def record(shop: Any, gate: TrialGate, **changes: Any) -> Any:
    permit = gate.admit(None, "pets")
    return shop.meter.record(shop.usage(permit=permit, **changes)).result(10)


def test_a_call_without_a_key_is_the_trials_and_free(shop: Any, trial: Any) -> None:
    receipt = record(shop, trial())
    assert (receipt.price, receipt.statement["plan"]) == ("0", "trial")
    (event,) = shop.history.list_usage()
    assert event.customer == shop.customers.find("trial").id
    assert (event.api_key, event.outcome) == ("trial", "ok")
    summary = shop.history.summary(event.customer).to_json()
    assert (summary["events"], summary["totals"]) == (1, {"EUR": "0"})


def test_a_key_is_admitted_as_ever_and_a_wrong_one_is_no_trial(shop: Any, trial: Any) -> None:
    gate = trial(most_calls=1)
    for __ in range(3):
        assert gate.admit(shop.key_of("Ada"), "pets").prices["image"].amount == "0.02"
    with pytest.raises(Unauthenticated):
        gate.admit("mtg_live_nonsense", "pets")
    gate.admit(None, "pets")


def test_beyond_the_limit_it_is_said_when_the_next_call_is_possible(shop: Any, trial: Any) -> None:
    gate = trial()
    for __ in range(3):
        record(shop, gate)
        shop.clock.advance(3600)
    with pytest.raises(QuotaReached, match="3 free calls") as reached:
        gate.admit(None, "pets")
    assert (reached.value.http_status, reached.value.retry_after_seconds) == (429, DAY - 3 * 3600)
    shop.clock.advance(DAY - 3 * 3600)
    record(shop, gate)
    with pytest.raises(QuotaReached) as reached:
        gate.admit(None, "pets")
    assert reached.value.retry_after_seconds == 3600


def test_the_limit_holds_in_every_process_and_after_a_restart(
    shop: Any, trial: Any, reopened: Any
) -> None:
    first, second = trial(), trial(reopened())
    record(shop, first)
    record(shop, second)
    record(shop, first)
    for gate in (first, second, trial(reopened())):
        with pytest.raises(QuotaReached):
            gate.admit(None, "pets")


def test_of_many_calls_at_once_exactly_those_that_are_left_are_taken(
    shop: Any, trial: Any, reopened: Any
) -> None:
    permit = trial(most_calls=5).admit(None, "pets")
    processes = [shop, *(reopened() for __ in range(3))]
    limits = [CallRates(each.database, each.clock) for each in processes]

    def taken(number: int) -> bool:
        while True:
            try:
                return limits[number % 4].take(permit, permit.rate).refusal is None
            except DependencyDown:  # another holds the file for longer than a call may wait
                continue

    with ThreadPoolExecutor(16) as customers:
        assert sum(customers.map(taken, range(64))) == 5


def test_what_was_recorded_long_before_leaves_no_room_for_a_call_more(
    shop: Any, trial: Any
) -> None:
    gate, limits = trial(most_calls=5), CallRates(shop.database, shop.clock)
    for __ in range(4):
        record(shop, gate)
    shop.clock.advance(DAY / 2)
    permit = gate.admit(None, "pets")
    assert limits.take(permit, permit.rate).remaining == 0
    refused = limits.take(permit, permit.rate)
    assert refused.refusal is not None
    assert refused.refusal.retry_after_seconds == 1  # the one in hand may yet come to nothing
    assert limits.look(permit, permit.rate).refusal is not None
    assert limits.give_back(permit, permit.rate).remaining == 1


def test_a_call_of_which_nothing_is_recorded_uses_nothing_up(shop: Any, trial: Any) -> None:
    gate, limits = trial(most_calls=1), CallRates(shop.database, shop.clock)
    for __ in range(3):
        permit = gate.admit(None, "pets")
        assert limits.take(permit, permit.rate).refusal is None
        assert limits.give_back(permit, permit.rate).remaining == 1
    record(shop, gate)
    left = limits.look(permit, permit.rate)
    assert (left.remaining, left.reset_seconds) == (0, DAY)
    assert left.refusal is not None
    assert str(left.refusal.message) == "The 1 free calls of this day are used up."
    assert left.refusal.retry_after_seconds == DAY


def test_what_a_killed_process_had_in_hand_comes_back(shop: Any, trial: Any) -> None:
    permit = trial(most_calls=1).admit(None, "pets")
    limits = CallRates(shop.database, shop.clock)
    limits.take(permit, permit.rate)
    assert limits.take(permit, permit.rate).refusal is not None
    shop.clock.advance(3600)
    assert limits.take(permit, permit.rate).refusal is None


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [("ok", True), ("abstain", True), ("cancelled", True), ("error", False), ("timeout", False)],
)
def test_only_what_was_answered_counts_though_its_visitor_had_left(
    shop: Any, trial: Any, outcome: str, counts: bool
) -> None:
    gate = trial(most_calls=1)
    record(shop, gate, outcome=outcome)
    for each in (gate, trial(most_calls=1)):  # which has still to read it, as after a restart
        with pytest.raises(QuotaReached) if counts else nullcontext():
            each.admit(None, "pets")
    shop.clock.advance(DAY)
    trial(most_calls=1).admit(None, "pets")
    gate.admit(None, "pets")


def test_an_unknown_product_costs_nothing_of_the_limit(shop: Any, trial: Any) -> None:
    gate = trial(most_calls=1)
    with pytest.raises(RequestError, match="'secret'") as missing:
        gate.admit(None, "secret")
    assert missing.value.http_status == 404
    gate.admit(None, "pets")
