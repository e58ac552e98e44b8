from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from mintage.capture.pricing.periods import Period
from mintage.capture.receipts import PAYLOAD_TYPE
from mintage.core.errors import RequestError
from mintage.trust.dsse import open_envelope


def _record(shop: Any, *customers: str, **changes: Any) -> list[Any]:
    return [shop.meter.record(shop.usage(customer, **changes)).result() for customer in customers]


def test_usage_is_listed_newest_first_with_what_others_read(shop: Any) -> None:
    receipts = _record(shop, "Ada", "Bob", "Ada")
    listed = [record.to_json() for record in shop.history.list_usage()]
    assert [event["receipt"] for event in listed] == [r.id for r in reversed(receipts)]
    event = json.loads(json.dumps(listed[0]))
    assert event["id"] == receipts[2].event_id
    assert event["outcome"] == "ok"
    assert event["quantities"] == {"image": 1}
    assert event["customer"] == shop.customers.find("Ada").id
    assert (event["product"], event["model"], event["model_version"]) == ("pets", "pets", "3")
    assert (event["price"], event["currency"]) == ("0.02", "EUR")
    assert event["recorded_at"] == str(shop.clock)


def test_usage_is_filtered_by_customer_and_product(shop: Any) -> None:
    shop.sell("birds")
    _record(shop, "Ada", "Bob", "Ada")
    birds = _record(shop, "Bob", permit=shop.permit("Bob", "birds"))
    ada, bob = shop.customers.find("Ada").id, shop.customers.find("Bob").id
    assert [len(shop.history.list_usage(customer)) for customer in (None, ada, bob)] == [4, 2, 2]
    [record] = shop.history.list_usage(bob, product="birds")
    assert record.receipt == birds[0].id
    assert shop.history.list_usage(ada, product="birds") == []
    assert shop.history.list_usage("cus_unknown") == []


def test_pages_join_without_gap_or_overlap_while_events_come_in(shop: Any) -> None:
    receipts = [receipt.id for receipt in _record(shop, *["Ada"] * 7)]
    pages: list[str] = []
    after: str | None = None
    while page := shop.history.list_usage(after=after, limit=3):
        pages += [record.receipt for record in page]
        after = page[-1].receipt
        _record(shop, "Ada")
    assert pages == receipts[::-1]


def test_a_page_of_nothing_or_after_another_customers_receipt_is_refused(shop: Any) -> None:
    [receipt, _] = _record(shop, "Ada", "Bob")
    with pytest.raises(RequestError, match="At least 1"):
        shop.history.list_usage(limit=0)
    with pytest.raises(RequestError) as missing:
        shop.history.list_usage(shop.customers.find("Bob").id, after=receipt.id)
    assert missing.value.http_status == 404


def test_a_receipt_fetched_again_says_the_same_and_its_signature_holds(shop: Any) -> None:
    [receipt] = _record(shop, "Ada")
    again = shop.history.find_receipt(receipt.id, shop.customers.find("Ada").id)
    payload = open_envelope(again.envelope, PAYLOAD_TYPE, shop.keys.public_keys("receipt"))
    assert again.envelope["payload"] == receipt.envelope["payload"]
    assert json.loads(payload) == again.statement == receipt.statement
    assert (again.id, again.price, again.final) == (receipt.id, receipt.price, receipt.final)


def test_a_customer_cannot_tell_anothers_receipt_from_none_at_all(shop: Any) -> None:
    [receipt, _] = _record(shop, "Ada", "Bob")
    bob = shop.customers.find("Bob").id
    answers = []
    for asked in (receipt.id, "rcp_none"):
        with pytest.raises(RequestError) as missing:
            shop.history.find_receipt(asked, bob)
        assert missing.value.http_status == 404
        answers.append(str(missing.value).replace(asked, "ID"))
    assert answers[0] == answers[1]
    assert shop.history.find_receipt(receipt.id, None).id == receipt.id


def test_a_summary_counts_outcomes_and_adds_up_each_currency_exactly(shop: Any) -> None:
    _record(shop, "Ada", "Ada", "Bob")
    _record(shop, "Ada", outcome="error")
    shop.plans.set("standard", "0.123456789012345678", "USD")
    _record(shop, "Ada", quantities={"image": 7})
    summary = shop.history.summary(shop.customers.find("Ada").id)
    assert summary.outcomes == {"ok": 3, "error": 1}
    assert summary.events == 4
    expected = {"EUR": 2 * Fraction("0.02"), "USD": 7 * Fraction("0.123456789012345678")}
    assert summary.totals == expected
    assert summary.to_json()["totals"] == {"EUR": "0.04", "USD": "0.864197523086419746"}


def test_a_total_stays_exact_where_the_price_of_one_does_not_end(shop: Any) -> None:
    shop.plans.set("standard", "0.10", "EUR", per=3)
    receipts = _record(shop, "Ada", "Ada", "Ada")
    assert {receipt.price for receipt in receipts} == {"0.033333333333333333"}
    summary = shop.history.summary(shop.customers.find("Ada").id)
    assert summary.totals == {"EUR": Fraction(1, 10)}
    assert summary.to_json()["totals"] == {"EUR": "0.1"}


def test_a_customer_without_usage_owes_nothing(shop: Any) -> None:
    shop.key_of("Ada")
    summary = shop.history.summary(shop.customers.find("Ada").id)
    assert (summary.events, summary.totals) == (0, {})


def test_a_month_is_added_up_the_same_before_between_and_after_it_is_summed_up(shop: Any) -> None:
    def totals(month: int, **asked: Any) -> list[tuple[str, str, int, dict[str, int]]]:
        found = shop.history.totals(Period(2026, month), **asked)
        return [(each.product, each.outcome, each.events, dict(each.quantities)) for each in found]

    shop.sell("birds")
    for moment in ("2026-10-31T23:59:59", "2026-11-01T00:00:00", "2026-11-30T23:59:59"):
        shop.clock.moment = datetime.fromisoformat(f"{moment}+00:00")
        shop.meter.record(shop.usage(quantities={"image": 2})).result(10)
        if moment.startswith("2026-11-01"):
            shop.rollup.catch_up()
    shop.meter.record(shop.usage("Bob", outcome="error")).result(10)
    shop.meter.record(shop.usage(permit=shop.permit("Ada", "birds"))).result(10)
    ada, bob = (shop.customers.find(name).id for name in ("Ada", "Bob"))
    wanted = [("birds", "ok", 1, {"image": 1}), ("pets", "ok", 2, {"image": 4})]
    for __ in range(2):
        assert totals(11, customer=ada) == wanted
        assert totals(10, customer=ada) == [("pets", "ok", 1, {"image": 2})]
        assert totals(11, customer=ada, among={"pets"}) == wanted[1:]
        assert totals(11, customer=bob) == [("pets", "error", 1, {"image": 1})]
        assert len(totals(11)) == 3
        assert totals(12) == []
        shop.rollup.catch_up()
    listed = shop.history.list_usage(customer=ada, period=Period(2026, 10))
    assert [each.recorded_at[:10] for each in listed] == ["2026-10-31"]


def test_customers_and_invoices_are_listed_by_the_page(shop: Any) -> None:
    for name in ("Cora", "Ada", "Bob"):
        shop.meter.record(shop.usage(name)).result(10)
    first, second = shop.customers.list(limit=2)
    assert [first.name, second.name] == ["Ada", "Bob"]
    assert [each.name for each in shop.customers.list(after=second.id, limit=2)] == ["Cora"]
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    shop.invoices.issue_all(shop.invoices.run(Period(2026, 11)).drafted)
    whole = shop.invoices.list()
    found: list[Any] = []
    while page := shop.invoices.list(after=found[-1].number if found else None, limit=1):
        found += page
    assert found == whole
    assert len(whole) == 3
    with pytest.raises(RequestError):
        shop.invoices.list(whole[0].customer, after=whole[1].id)
