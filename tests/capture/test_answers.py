from __future__ import annotations

import json
from typing import Any

import pytest

from mintage.capture.answers import Answers
from mintage.capture.metering import DuplicateEvent
from mintage.capture.receipts import PAYLOAD_TYPE
from mintage.store import schema
from mintage.trust.dsse import open_envelope


@pytest.fixture
def answers(shop: Any) -> Answers:
    return Answers(shop.database, shop.keys, shop.clock)


def keyed(shop: Any, event: str, answer: bytes = b"{}", **changes: Any) -> Any:
    return shop.usage(origin="client", event_id=event, stored_answer=answer, **changes)


def kept(shop: Any) -> list[str]:
    with shop.database.read() as connection:
        return list(connection.execute(schema.answers.select()).scalars())


def test_an_answer_is_found_with_its_receipt_and_what_was_asked(shop: Any, answers: Any) -> None:
    usage = keyed(shop, "a", b'{"task": "class"}')
    receipt = shop.meter.record(usage).result()
    found = answers.find(usage.permit.customer, "a")
    assert (found.product, found.input_sha256) == ("pets", "1" * 64)
    assert found.answer == b'{"task": "class"}'
    assert (found.receipt.id, found.receipt.statement) == (receipt.id, receipt.statement)
    keys = shop.keys.public_keys("receipt")
    opened = open_envelope(found.receipt.envelope, PAYLOAD_TYPE, keys)
    assert json.loads(opened) == receipt.statement


def test_only_who_asked_finds_it_and_only_under_its_key(shop: Any, answers: Any) -> None:
    usage = keyed(shop, "a")
    shop.meter.record(usage).result()
    shop.meter.record(shop.usage(event_id="b")).result()  # the server's own id
    assert answers.find(shop.permit("Bob").customer, "a") is None
    assert answers.find(usage.permit.customer, "b") is None


def test_after_24_hours_the_key_is_known_and_the_answer_is_not(shop: Any, answers: Any) -> None:
    usage = keyed(shop, "a")
    shop.meter.record(usage).result()
    shop.clock.advance(24 * 3600 - 1)
    assert answers.find(usage.permit.customer, "a").answer == b"{}"
    shop.clock.advance(1)
    assert answers.find(usage.permit.customer, "a").answer is None
    shop.meter.record(keyed(shop, "b")).result()
    assert len(kept(shop)) == 1  # the new one; the old is forgotten
    assert answers.find(usage.permit.customer, "a").answer is None
    with pytest.raises(DuplicateEvent):
        shop.meter.record(usage).result()


def test_answer_and_event_are_one_transaction(shop: Any, answers: Any) -> None:
    first, second = keyed(shop, "a", b"1"), keyed(shop, "a", b"2")
    with shop.commits() as commits, shop.one_batch():
        futures = [shop.meter.record(usage) for usage in (first, second)]
    futures[0].result()
    with pytest.raises(DuplicateEvent):
        futures[1].result()
    assert commits[0] <= 2
    assert answers.find(first.permit.customer, "a").answer == b"1"
    assert len(kept(shop)) == 1


def test_without_an_idempotency_key_nothing_is_kept(shop: Any) -> None:
    shop.meter.record(shop.usage()).result()
    assert kept(shop) == []
