from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mintage.capture.trial import TrialGate
from mintage.core.errors import QuotaReached, RequestError, Unauthenticated

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
        assert gate.admit(shop.key_of("Ada"), "pets").price.amount == "0.02"
    with pytest.raises(Unauthenticated):
        gate.admit("mk_nonsense", "pets")
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


def test_calls_at_once_are_counted_before_they_are_recorded(shop: Any, trial: Any) -> None:
    gate = trial()

    def admitted(_number: int) -> bool:
        try:
            gate.admit(None, "pets")
        except QuotaReached:
            return False
        return True

    with ThreadPoolExecutor(1) as one_loop:
        assert sum(one_loop.map(admitted, range(20))) == 3


def test_a_call_that_failed_counts_too(shop: Any, trial: Any) -> None:
    gate = trial(most_calls=1)
    record(shop, gate, outcome="error")
    with pytest.raises(QuotaReached):
        gate.admit(None, "pets")


def test_an_unknown_product_costs_nothing_of_the_limit(shop: Any, trial: Any) -> None:
    gate = trial(most_calls=1)
    with pytest.raises(RequestError, match="'secret'") as missing:
        gate.admit(None, "secret")
    assert missing.value.http_status == 404
    gate.admit(None, "pets")
