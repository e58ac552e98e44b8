from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

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
