from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.limits.holds import Holds
from mintage.capture.limits.standing import Standings
from mintage.capture.metering import DuplicateEvent, UsageMeter, price_of
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.terms import Terms
from mintage.capture.receipts import PAYLOAD_TYPE
from mintage.capture.usage import UsageHistory
from mintage.core.canonical import canonical_json
from mintage.core.errors import (
    ConfigError,
    DataError,
    DependencyDown,
    RequestError,
    SignatureMismatch,
)
from mintage.core.money import Price
from mintage.core.ports import Meter
from mintage.core.types import Permit, ProviderInfo, Usage
from mintage.trust.audit import AuditLog, leaf_of
from mintage.trust.dsse import open_envelope
from mintage.trust.keys import KeyRing
from mintage.trust.rotation import SigningKeys


def _opened(shop: Any, envelope: Any) -> Any:
    return json.loads(open_envelope(envelope, PAYLOAD_TYPE, shop.keys.public_keys("receipt")))


def test_a_receipt_says_what_was_recorded_and_its_signature_holds(shop: Any) -> None:
    meter: Meter = shop.meter
    receipt = meter.record(shop.usage()).result()
    [leaf] = shop.leaves("usage")
    assert _opened(shop, receipt.envelope) == receipt.statement
    assert receipt.statement == {
        "version": 1,
        "receipt": receipt.id,
        "event": receipt.event_id,
        "customer": shop.customers.find("Ada").id,
        "product": "pets",
        "model": "pets",
        "model_version": "3",
        "bundle_digest": "b" * 64,
        "outcome": "ok",
        "input_sha256": "1" * 64,
        "output_sha256": "2" * 64,
        "quantities": {"image": 1},
        "price": "0.02",
        "currency": "EUR",
        "final": True,
        "plan": "standard",
        "plan_version": 1,
        "recorded_at": str(shop.clock),
        "leaf": {"position": leaf["position"], "hash": leaf["leaf_hash"].hex()},
    }
    assert (receipt.price, receipt.currency, receipt.final) == ("0.02", "EUR", True)
    assert receipt.event_id.startswith("evt_")


@pytest.mark.parametrize(
    ("outcome", "recorded"), [("ok", "timeout"), ("abstain", "timeout"), ("error", "error")]
)
def test_a_call_that_nobody_waits_for_any_more_is_recorded_free(
    shop: Any, outcome: Any, recorded: str
) -> None:
    first, abandoned = shop.usage(), shop.usage(outcome=outcome)
    held, begun = threading.Event(), threading.Event()
    shop.database.submit(lambda __: (begun.set(), held.wait(5)))
    begun.wait(5)
    promised = shop.meter.record_all([first, abandoned])
    abandoned.abandoned = True  # while it waits for the disk
    held.set()
    receipts = promised.result(5)
    assert [receipt.price for receipt in receipts] == ["0.02", "0"]
    assert receipts[1].statement["outcome"] == recorded


def test_a_receipt_whose_price_was_changed_does_not_open(shop: Any) -> None:
    receipt = shop.meter.record(shop.usage()).result()
    other = shop.meter.record(shop.usage(quantities={"image": 2})).result()
    forged = dict(receipt.envelope) | {"payload": other.envelope["payload"]}
    with pytest.raises(SignatureMismatch):
        _opened(shop, forged)


def test_the_leaf_holds_the_event_as_it_is_listed(shop: Any) -> None:
    shop.meter.record(shop.usage(outcome="error", probability=None, abstained=True)).result()
    [leaf], [record] = shop.leaves("usage"), shop.history.list_usage()
    assert leaf["record"] == canonical_json(record.logged() | {"kind": "usage"})
    assert leaf["leaf_hash"] == leaf_of(leaf["record"], leaf["salt"])
    assert record.logged() == {**record.to_json(), "cost": "0", "cost_currency": ""}
    assert record.to_json()["compute_seconds"] == 0.0071
    assert record.abstained is True
    assert record.probability is None


def test_200_threads_at_once_make_200_events_in_far_fewer_commits(shop: Any) -> None:
    permit, barrier = shop.permit(), threading.Barrier(200)
    receipts: list[Any] = []

    def record() -> None:
        usage = shop.usage(permit=permit)
        barrier.wait(30)
        receipts.append(shop.meter.record(usage).result())

    threads = [threading.Thread(target=record) for _ in range(200)]
    with shop.commits() as commits:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(shop.history.list_usage(limit=1000)) == 200
    assert len({receipt.id for receipt in receipts}) == 200
    positions = sorted(receipt.statement["leaf"]["position"] for receipt in receipts)
    assert positions == list(range(positions[0], positions[0] + 200))
    assert all(_opened(shop, receipt.envelope) == receipt.statement for receipt in receipts)
    assert 1 <= commits[0] <= 50


def test_what_waits_together_is_committed_once(shop: Any) -> None:
    usages = [shop.usage() for _ in range(100)]
    with shop.commits() as commits:
        with shop.one_batch():
            futures = [shop.meter.record(usage) for usage in usages]
            assert not any(future.done() for future in futures)
        for future in futures:
            future.result()
    assert commits[0] <= 2  # the one that held the committer back, and ours


def test_calls_answered_together_are_one_write_and_each_has_its_receipt(shop: Any) -> None:
    usages = [shop.usage(quantities={"image": count}) for count in (1, 2, 3)]
    with shop.commits() as commits:
        receipts = shop.meter.record_all(usages).result()
    assert commits[0] == 1
    assert [receipt.price for receipt in receipts] == ["0.02", "0.04", "0.06"]
    positions = [receipt.statement["leaf"]["position"] for receipt in receipts]
    assert positions == list(range(positions[0], positions[0] + 3))
    for receipt in receipts:
        assert _opened(shop, receipt.envelope) == receipt.statement
        assert shop.history.find_receipt(receipt.id, None).statement == receipt.statement


def test_of_calls_answered_together_all_are_recorded_or_none(shop: Any) -> None:
    good = shop.usage()
    with pytest.raises(ConfigError):
        shop.meter.record_all([good, shop.usage(quantities={"image": -1})])
    with pytest.raises(DataError):
        shop.meter.record_all([good, shop.usage(probability=float("nan"))]).result()
    with pytest.raises(ValueError, match="write of its own"):
        shop.meter.record_all([good, shop.usage(origin="client", event_id="a")])
    assert shop.history.list_usage() == []
    assert shop.leaves("usage") == []


def test_those_who_wait_together_are_written_together_each_with_a_receipt(shop: Any) -> None:
    usages = [shop.usage(f"Customer {n % 3}", input_sha256=f"{n:064x}") for n in range(600)]
    with shop.commits() as commits, shop.one_batch():
        futures = [shop.meter.record(usage) for usage in usages]
    receipts = [future.result(10) for future in futures]
    assert commits[0] <= 3  # the one that they waited for, and one or two of 256 at a time
    assert [each.statement["input_sha256"] for each in receipts] == [
        usage.input_sha256 for usage in usages
    ]
    positions = [each.statement["leaf"]["position"] for each in receipts]
    assert positions == list(range(positions[0], positions[0] + 600))
    by_receipt = {record.receipt: record for record in shop.history.list_usage(limit=1000)}
    assert {by_receipt[each.id].input_sha256 for each in receipts} == {
        usage.input_sha256 for usage in usages
    }


def test_what_cannot_be_written_fails_alone_among_those_who_wait_together(shop: Any) -> None:
    said = ["1" * 64, "\ud800", "2" * 64, "3" * 64]
    with shop.one_batch():
        futures = [shop.meter.record(shop.usage(input_sha256=each)) for each in said]
    with pytest.raises(DataError):
        futures[1].result(10)
    receipts = [futures[place].result(10) for place in (0, 2, 3)]
    recorded = {record.receipt: record.input_sha256 for record in shop.history.list_usage()}
    assert recorded == {
        each.id: said[place] for each, place in zip(receipts, (0, 2, 3), strict=True)
    }
    assert len(shop.leaves("usage")) == 3


def test_calls_that_are_counted_are_written_together_and_fail_alone_too(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.plans.agree("few", Terms("EUR", (Charge("image", (Tier("1"),), hard_limit=100),)))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "few")
    holds = Holds(shop.database, shop.clock, 60)
    said = [f"{n:064x}" for n in range(8)]
    said[3] = "\ud800"
    usages = [
        shop.usage(input_sha256=each, quantities={"image": n + 1}) for n, each in enumerate(said)
    ]
    assert usages[0].permit.held
    held = [
        replace(each, hold=holds.reserve(each.permit, each.quantities).result(10))
        for each in usages
    ]
    with shop.one_batch():
        futures = [shop.meter.record(each) for each in held]
    with pytest.raises(DataError):
        futures.pop(3).result(10)
    assert len({future.result(10).id for future in futures}) == 7
    (limit,) = Standings(shop.database, shop.clock).of("Ada")["limits"]
    assert (limit["used"], limit["held"]) == (sum(range(1, 9)) - 4, 4)
    more = [replace(each, hold=None, input_sha256="5" * 64) for each in usages]
    writes, submit = [], shop.database.submit
    with monkeypatch.context() as patched, shop.one_batch():
        patched.setattr(
            shop.database, "submit", lambda *a, **k: writes.append(a) or submit(*a, **k)
        )
        futures = [shop.meter.record(each) for each in more]
    assert all(future.result(10).id for future in futures)
    assert len(writes) == 1
    (limit,) = Standings(shop.database, shop.clock).of("Ada")["limits"]
    assert limit["used"] == 2 * sum(range(1, 9)) - 4


def test_a_commit_that_cannot_begin_fails_all_who_wait_and_none_who_come_later(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = shop.database._backend

    def refuse(*__: Any, **___: Any) -> Any:
        raise DependencyDown("the disk is full")

    usage = shop.usage()
    with monkeypatch.context() as patched:
        patched.setattr(backend, "committing", refuse)
        futures = [shop.meter.record(usage) for __ in range(3)]
        for future in futures:
            with pytest.raises(DependencyDown):
                future.result(10)
    assert shop.meter.record(usage).result(10).price == "0.02"
    assert len(shop.history.list_usage()) == 1


def test_a_repeated_id_in_one_batch_does_not_fail_its_neighbours(shop: Any) -> None:
    ids = ["a", "b", "a", "c", "a", "d"]
    usages = [shop.usage(origin="client", event_id=event) for event in ids]
    with shop.one_batch():
        futures = [shop.meter.record(usage) for usage in usages]
    first = futures[0].result()
    for position in (2, 4):
        with pytest.raises(DuplicateEvent) as refused:
            futures[position].result()
        assert refused.value.http_status == 409
        assert refused.value.receipt == first.id
        assert isinstance(refused.value, RequestError)
    positions = [futures[i].result().statement["leaf"]["position"] for i in (0, 1, 3, 5)]
    assert positions == list(range(positions[0], positions[0] + 4))
    assert [record.id for record in shop.history.list_usage()] == ["d", "c", "b", "a"]
    assert len(shop.leaves("usage")) == 4


def test_a_repeated_id_never_charges_twice_however_often_it_comes(shop: Any) -> None:
    usage = shop.usage(origin="client", event_id="once")
    shop.meter.record(usage).result()
    for again in (usage, shop.usage(origin="client", event_id="once", quantities={"image": 9})):
        with pytest.raises(DuplicateEvent):
            shop.meter.record(again).result()
    assert shop.history.summary(usage.permit.customer).totals == {"EUR": Fraction("0.02")}


def test_the_same_id_of_another_customer_or_origin_is_another_event(shop: Any) -> None:
    for customer, origin in (("Ada", "client"), ("Bob", "client"), ("Ada", "import")):
        shop.meter.record(shop.usage(customer, origin=origin, event_id="1")).result()
    assert len(shop.history.list_usage()) == 3


def test_a_caller_that_leaves_does_not_take_its_event_along(shop: Any) -> None:
    usage = shop.usage()

    async def leave() -> None:
        with shop.one_batch():
            promised = shop.meter.record(usage)
            waiting = asyncio.wrap_future(promised)
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)  # here the cancellation reaches the meter's future
        with pytest.raises(asyncio.CancelledError):
            await waiting
        promised.result(10)

    asyncio.run(leave())
    assert len(shop.history.list_usage()) == 1


@pytest.mark.parametrize("outcome", ["error", "timeout", "cancelled", "abstain"])
def test_only_what_went_well_is_charged(shop: Any, outcome: str) -> None:
    receipt = shop.meter.record(shop.usage(outcome=outcome)).result()
    assert receipt.price == "0"
    [record] = shop.history.list_usage()
    assert (record.outcome, record.price) == (outcome, "0")


def test_time_is_ours_and_never_runs_backwards_along_the_log(shop: Any) -> None:
    usage = shop.usage()
    for seconds in (0, 1.5, 0.000001):
        shop.clock.advance(seconds)
        shop.meter.record(usage).result()
    times = [record.recorded_at for record in reversed(shop.history.list_usage())]
    assert times == [
        "2026-11-23T12:00:00.000000Z",
        "2026-11-23T12:00:01.500000Z",
        "2026-11-23T12:00:01.500001Z",
    ]


def test_a_new_price_holds_only_for_what_comes_after_it(shop: Any) -> None:
    early = shop.usage()
    first = shop.meter.record(early).result()
    shop.plans.set("standard", "0.05", "EUR")
    admitted_before = shop.meter.record(early).result()
    later = shop.meter.record(shop.usage()).result()
    said = [(r.price, r.statement["plan_version"]) for r in (first, admitted_before, later)]
    assert said == [("0.02", 1), ("0.02", 1), ("0.05", 2)]
    assert shop.history.find_receipt(first.id, None).statement == first.statement
    assert shop.history.summary(early.permit.customer).totals == {"EUR": Fraction("0.09")}


@pytest.mark.parametrize("quantities", [{"input_token": 5}, {}, {"image": -1}])
def test_usage_that_cannot_be_priced_is_not_recorded(shop: Any, quantities: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        shop.meter.record(shop.usage(quantities=quantities))
    assert shop.history.list_usage() == []


@given(
    units=st.integers(0, 10**12),
    decimals=st.integers(0, 12),
    per=st.sampled_from([1, 10, 1000, 10**6]),
    quantity=st.integers(0, 2**53),
)
def test_a_price_is_exact_to_the_last_digit(
    units: int, decimals: int, per: int, quantity: int
) -> None:
    amount = f"{units}e-{decimals}"
    permit = Permit(
        "cus_1", "key_1", "pets", "gold", 1, {"image": Price(amount, "EUR", per)}, "EUR"
    )
    provider = ProviderInfo("pets", "3", "b" * 64, "class", "image")
    usage = Usage(permit, provider, "stable", "ok", {"image": quantity}, "1", "2", 0.0, 0.0)
    assert Fraction(price_of(usage)) == Fraction(units, 10**decimals) * quantity / per


def test_an_explanation_costs_what_the_plan_says_besides(shop: Any) -> None:
    shop.plans.set("standard", "0.02", "EUR", explanation="0.005")
    plain = shop.meter.record(shop.usage()).result()
    both = {"image": 1, "explanation": 1}
    explained = shop.meter.record(shop.usage(quantities=both)).result()
    failed = shop.meter.record(shop.usage(quantities=both, outcome="error")).result()
    assert [each.price for each in (plain, explained, failed)] == ["0.02", "0.025", "0"]
    assert explained.statement["quantities"] == both
    summary = shop.history.summary(shop.customers.find("Ada").id)
    assert summary.to_json()["totals"] == {"EUR": "0.045"}


def test_an_explanation_is_included_until_it_has_a_price(shop: Any) -> None:
    before = shop.permit()
    raised = shop.plans.set("standard", "0.02", "EUR", explanation="0.005")
    assert raised.version == before.plan_version + 1
    both = {"image": 1, "explanation": 1}
    earlier = shop.meter.record(shop.usage(permit=before, quantities=both)).result()
    now = shop.meter.record(shop.usage(quantities=both)).result()
    assert (earlier.price, now.price) == ("0.02", "0.025")
    summary = shop.history.summary(shop.customers.find("Ada").id)
    assert summary.totals["EUR"] == Fraction(45, 1000)


def test_receipts_follow_a_rotation_within_a_second_and_earlier_ones_hold(
    shop: Any,
) -> None:
    clock = shop.clock
    shop.keys = KeyRing(shop.keys.folder, clock)
    meter = UsageMeter(shop.database, shop.keys, clock)
    history = UsageHistory(shop.database, shop.keys)
    log = AuditLog(shop.database, shop.keys, "mintage.example/log")
    elsewhere = KeyRing(shop.keys.folder, clock)  # another process, such as the command line
    former = shop.keys.signer("receipt").key_id
    before = meter.record(shop.usage()).result()
    assert _signed_by(before.envelope) == former
    new = SigningKeys(shop.database, elsewhere, clock, log.tree_head).rotate("receipt").key
    overlapping = meter.record(shop.usage()).result()
    assert _signed_by(overlapping.envelope) == former
    clock.advance(1)
    after = meter.record(shop.usage()).result()
    assert _signed_by(after.envelope) == new.key.key_id
    for receipt in (before, overlapping, after):
        assert _opened(shop, receipt.envelope) == receipt.statement
        again = history.find_receipt(receipt.id, None)
        assert _signed_by(again.envelope) == new.key.key_id
        assert _opened(shop, again.envelope) == receipt.statement


def _signed_by(envelope: Any) -> str:
    key_id: str = envelope["signatures"][0]["keyid"]
    return key_id
