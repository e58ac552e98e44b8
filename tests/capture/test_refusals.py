"""Refusals on the audit log: who, what, why, how often; a flood makes no more than a record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mintage.capture import refusals
from mintage.capture.keys import ApiKey
from mintage.capture.refusals import Refusals
from mintage.core.errors import DependencyDown


@pytest.fixture
def counted(shop: Any) -> Any:
    made = Refusals(shop.database, shop.clock)
    yield made
    made.close()


def logged(shop: Any, kind: str = "calls.refused") -> list[dict[str, Any]]:
    with shop.database.read() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT record FROM log_leaves WHERE kind = '{kind}' ORDER BY position"
        )
        return [json.loads(bytes(row[0])) for row in rows]


def test_a_minute_of_refusals_is_a_record_for_each_key_product_and_reason(
    shop: Any, counted: Refusals
) -> None:
    key = shop.key_of("Ada")
    owner = shop.customers.find("Ada").id
    for __ in range(3):
        counted.note(key, "pets", "quota_reached")
    counted.note(key, "pets", "not_allowed")
    for number in range(500):  # keys that were never ours
        counted.note(ApiKey.generate().reveal(), f"x{number}", "unauthenticated")
    counted.note("nonsense", None, "unauthenticated")
    counted.note(key, key, "not_found")  # in the place of a product
    counted.note(None, None, "unauthenticated")
    counted.write()
    found = logged(shop)
    assert [(each["product"], each["code"], each["count"]) for each in found] == [
        (None, "unauthenticated", 502),
        (None, "not_found", 1),
        ("pets", "not_allowed", 1),
        ("pets", "quota_reached", 3),
    ]
    assert [each["customer"] for each in found] == [None, owner, owner, owner]
    assert found[0]["key"] is None
    assert found[1]["key"] == found[2]["key"] == found[3]["key"] is not None
    assert all(each["since"] <= each["until"] for each in found)
    assert key not in json.dumps(found)
    counted.write()
    assert len(logged(shop)) == 4


def test_what_is_neither_refused_nor_an_event_is_counted_beside_the_refusals(
    shop: Any, counted: Refusals
) -> None:
    key, owner = shop.key_of("Ada"), shop.customers.find("Ada").id
    for __ in range(2):
        counted.count(key, "pets", "replayed")
    counted.count(None, "pets", "shadow")
    counted.count(None, "nothing of ours", "shed")
    counted.note(key, "pets", "quota_reached")
    counted.write()
    assert len(logged(shop)) == 1
    found = logged(shop, "calls.counted")
    said = [(each["customer"], each["product"], each["outcome"], each["count"]) for each in found]
    assert said == [
        (None, None, "shed", 1),
        (None, "pets", "shadow", 1),
        (owner, "pets", "replayed", 2),
    ]


def test_more_kinds_than_are_kept_apart_are_counted_all_the_same(
    shop: Any, counted: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_MOST", 5)
    for __ in range(20):
        counted.note(ApiKey.generate().reveal(), "pets", "unauthenticated")
    counted.write()
    (found,) = logged(shop)
    assert found["count"] == 20


def test_what_cannot_be_written_is_kept_for_the_next_time(
    shop: Any, counted: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_work: Any) -> None:
        raise DependencyDown("The disk is full.")

    counted.note(shop.key_of("Ada"), "pets", "quota_reached")
    with monkeypatch.context() as patched:
        patched.setattr(shop.database, "write", down)
        with pytest.raises(DependencyDown):
            counted.write()
    counted.note(shop.key_of("Ada"), "pets", "quota_reached")
    counted.write()
    (found,) = logged(shop)
    assert found["count"] == 2


def test_they_are_written_by_and_by_and_at_the_end(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "_EVERY_SECONDS", 0.01)
    counted = Refusals(shop.database, shop.clock)
    counted.note(shop.key_of("Ada"), "pets", "payment_due")
    for __ in range(1000):
        if logged(shop):
            break
        counted._end.wait(0.01)
    assert logged(shop)[0]["code"] == "payment_due"
    monkeypatch.setattr(refusals, "_EVERY_SECONDS", 600.0)
    counted.close()
    later = Refusals(shop.database, shop.clock)
    later.note(None, None, "unauthenticated")
    later.close()
    assert len(logged(shop)) == 2
