"""Usage events are held against the audit log: what is gone, added or changed is named."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.checking import usage
from mintage.capture.checking.usage import CheckedUsage, UsageCheck
from mintage.capture.pricing.periods import Period
from mintage.core.types import UNKNOWN_CURRENCY

THIRD = "WHERE sequence = (SELECT min(sequence) + 2 FROM usage_events)"
_COLUMNS = "customer, origin, api_key, product, alias, provider_model, provider_version"
_COLUMNS += ", bundle_digest, outcome, quantities, input_sha256, output_sha256, probability"
_COLUMNS += ", abstained, latency_seconds, compute_seconds, plan, plan_version, price, currency"
_COLUMNS += ", final, counted_by, cost_picos, cost_currency, recorded_at, log_position"


@pytest.fixture
def used(shop: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ten calls of all kinds, with other entries of the log between them; read three at a time."""
    monkeypatch.setattr(usage, "_TOGETHER", 3)
    changes: list[dict[str, Any]] = [
        {},
        {"outcome": "error", "probability": None, "quantities": {}},
        {"quantities": {"image": 2, "output_token": 95}, "compute_seconds": 1e-7},
        {"cost": "0.000750000001", "cost_currency": "EUR", "counted_by": "upstream"},
        {"abstained": True, "outcome": "abstain", "probability": 1.0},
        {"cost_currency": UNKNOWN_CURRENCY},
    ]
    permits = {
        each: shop.permit(each) if each == "Ada" else shop.permit("“Ö” 王")
        for each in ("Ada", "王")
    }
    for number in range(10):
        who = "Ada" if number % 2 else "王"
        more = changes[number % len(changes)]
        shop.meter.record(shop.usage(permit=permits[who], **more)).result(10)
        if number % 3 == 0:
            shop.customers.add(f"customer {number}")
    return shop


def checked(shop: Any, since: Period | None = None) -> CheckedUsage:
    return UsageCheck(shop.database).check(since)


def spoil(shop: Any, statement: str) -> None:
    shop.database.write(lambda connection: connection.exec_driver_sql(statement) and None)


def receipts(shop: Any) -> list[str]:
    return [each.receipt for each in reversed(shop.history.list_usage())]


def named(found: CheckedUsage) -> list[tuple[str, str]]:
    return [(each.kind, each.receipt) for each in found.named]


def test_events_as_they_were_logged_are_found_so(used: Any) -> None:
    found = checked(used)
    assert (found.events, found.faults.total(), found.named) == (10, 0, [])
    said = {"events": 10, "erased": 0, "missing": 0, "extra": 0, "changed": 0, "first": []}
    assert found.to_json() == said


def test_without_any_event_nothing_is_wrong(shop: Any) -> None:
    assert checked(shop).to_json()["events"] == 0


@pytest.mark.parametrize("which", [*range(10)])
def test_an_event_that_is_gone_is_named(used: Any, which: int) -> None:
    known = receipts(used)
    spoil(used, f"DELETE FROM usage_events WHERE receipt = '{known[which]}'")
    found = checked(used)
    assert (found.events, named(found)) == (9, [("missing", known[which])])
    assert "is gone" in found.named[0].said()


def test_all_events_gone_are_counted_and_the_first_named(used: Any) -> None:
    known = receipts(used)
    spoil(used, "DELETE FROM usage_events")
    found = checked(used)
    assert (found.events, found.to_json()["missing"], found.unnamed) == (0, 10, 0)
    assert [each.receipt for each in found.named] == known


@pytest.mark.parametrize("position", ["log_position", "0", "1000000", "log_position + 1"])
def test_an_event_that_was_never_logged_is_named(used: Any, position: str) -> None:
    columns = _COLUMNS.replace("log_position", position)
    spoil(
        used,
        f"INSERT INTO usage_events (id, receipt, {_COLUMNS})"
        f" SELECT 'evt_new', 'rcp_new', {columns} FROM usage_events {THIRD}",
    )
    found = checked(used)
    assert (found.events, named(found)) == (11, [("extra", "rcp_new")])


@pytest.mark.parametrize(
    ("column", "value", "member"),
    [
        ("quantities", "'{\"image\":2}'", "quantities"),
        ("quantities", "'{\"image\" :1}'", "quantities"),
        ("outcome", "'partial'", "outcome"),
        ("price", "'0.01'", "price"),
        ("customer", "'cus_other'", "customer"),
        ("plan_version", "2", "plan_version"),
        ("compute_seconds", "0.5", "compute_seconds"),
        ("probability", "NULL", "probability"),
        ("final", "NOT final", "final"),
        ("cost_picos", "1", "cost"),
        ("provider_version", "'4'", "model_version"),
        ("recorded_at", "'2026-11-01T00:00:00.000000Z'", "recorded_at"),
        ("id", "'evt_other'", "id"),
    ],
)
def test_an_event_that_was_changed_is_named_with_what_differs(
    shop: Any, column: str, value: str, member: str
) -> None:
    for __ in range(4):
        shop.meter.record(shop.usage()).result(10)
    third = receipts(shop)[2]
    spoil(shop, f"UPDATE usage_events SET {column} = {value} {THIRD}")
    (fault,) = checked(shop).named
    assert (fault.kind, fault.receipt, [*fault.members]) == ("changed", third, [member])
    assert member in fault.said()


def test_an_event_under_another_receipt_is_one_gone_and_one_added(used: Any) -> None:
    third = receipts(used)[2]
    spoil(used, f"UPDATE usage_events SET receipt = 'rcp_other' {THIRD}")
    found = checked(used)
    assert sorted(named(found)) == [("extra", "rcp_other"), ("missing", third)]


@pytest.mark.parametrize("position", ["0", "log_position + 1", "1000000"])
def test_an_event_at_another_position_is_one_gone_and_one_added(used: Any, position: str) -> None:
    third = receipts(used)[2]
    spoil(used, f"UPDATE usage_events SET log_position = {position} {THIRD}")
    assert sorted(named(checked(used))) == [("extra", third), ("missing", third)]


def test_an_event_that_took_another_ones_turn_is_named(used: Any) -> None:
    third = receipts(used)[2]
    spoil(used, f"UPDATE usage_events SET sequence = 1000 {THIRD}")
    assert sorted(named(checked(used))) == [("extra", third), ("missing", third)]


@pytest.mark.parametrize(
    "change",
    [
        "salt = leaf_hash",
        "leaf_hash = salt",
        "record = salt",
    ],
)
def test_an_entry_of_the_log_that_was_changed_is_named(used: Any, change: str) -> None:
    third = receipts(used)[2]
    at = f"position = (SELECT log_position FROM usage_events {THIRD})"
    spoil(used, f"UPDATE log_leaves SET {change} WHERE {at}")
    found = checked(used)
    assert named(found) == [("log_changed", third)]
    assert found.to_json()["changed"] == 1


@pytest.mark.parametrize(
    "change", ["UPDATE log_leaves SET kind = 'key.added'", "DELETE FROM log_leaves"]
)
def test_an_entry_that_the_log_has_no_more_leaves_its_event_alone(used: Any, change: str) -> None:
    third = receipts(used)[2]
    spoil(used, f"{change} WHERE position = (SELECT log_position FROM usage_events {THIRD})")
    assert named(checked(used)) == [("extra", third)]


def test_many_faults_are_counted_and_the_first_of_them_named(shop: Any) -> None:
    for __ in range(25):
        shop.meter.record(shop.usage()).result(10)
    spoil(shop, "UPDATE usage_events SET price = '0'")
    found = checked(shop)
    assert (found.to_json()["changed"], len(found.named), found.unnamed) == (25, 10, 15)


def test_from_a_month_on_earlier_events_are_not_looked_at(shop: Any) -> None:
    for month, count in ((9, 3), (10, 4), (11, 5)):
        shop.clock.moment = datetime(2026, month, 2, tzinfo=UTC)
        for __ in range(count):
            shop.meter.record(shop.usage()).result(10)
    known = receipts(shop)
    months = [Period(2026, month) for month in (8, 9, 10, 11, 12)]
    assert [checked(shop, each).events for each in months] == [12, 12, 9, 5, 0]
    spoil(shop, f"DELETE FROM usage_events WHERE receipt IN ('{known[1]}', '{known[3]}')")
    assert [checked(shop, each).to_json()["missing"] for each in months] == [2, 2, 1, 0, 0]
    spoil(shop, f"DELETE FROM usage_events WHERE receipt IN ('{known[7]}', '{known[11]}')")
    assert named(checked(shop, months[3])) == [("missing", known[7]), ("missing", known[11])]


def test_from_a_month_on_a_clock_that_was_set_back_hides_no_event(shop: Any) -> None:
    for day, hour in ((1, 0), (30, 23), (1, 1)):
        shop.clock.moment = datetime(2026, 12 if day == 1 else 11, day, hour, tzinfo=UTC)
        for __ in range(3):
            shop.meter.record(shop.usage()).result(10)
    assert checked(shop, Period(2026, 12)).events == 9
    assert checked(shop, Period(2026, 11)).events == 9
    spoil(shop, f"UPDATE usage_events SET price = '0' {THIRD}")
    assert checked(shop, Period(2026, 12)).faults.total() == 1
