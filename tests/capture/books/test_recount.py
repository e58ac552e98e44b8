"""Before an invoice is issued its calls are counted again, and each is held against its leaf."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken
from mintage.core.messages import told

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)
HERS = "customer = (SELECT id FROM customers WHERE name = 'Ada')"
SECOND = f"sequence = (SELECT min(sequence) + 1 FROM usage_events WHERE {HERS})"


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(f"{text}T12:00+00:00")


def use(shop: Any, count: int, customer: str = "Ada", **changes: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage(customer, **changes)).result(10)


def spoil(shop: Any, statement: str) -> None:
    shop.database.write(lambda connection: connection.exec_driver_sql(statement) and None)


@pytest.fixture
def used(shop: Any) -> Any:
    """A month of Ada's calls, some of which cost nothing, and then of Bob's."""
    shop.plans.agree("gold", Terms("EUR", (Charge.plain("image", "0.1"),), fee="5"))
    at(shop, "2026-11-20")
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 4)
    use(shop, 2, outcome="error")
    use(shop, 3, quantities={"image": 2})
    use(shop, 3, customer="Bob")
    return shop


def refused(shop: Any, period: Period = NOVEMBER) -> str:
    """Why Ada has no invoice; Bob has his."""
    ran = shop.invoices.issue_ran(shop.invoices.run(period))
    ((who, why),) = ran.waiting
    assert who == "Ada"
    assert [each.document["customer"]["name"] for each in ran.drafted] == ["Bob"]
    (draft,) = shop.invoices.list(status="draft")
    with pytest.raises(BooksBroken) as error:
        shop.invoices.issue(draft.id)
    assert told(error.value.message, "en") == told(why, "en")
    assert shop.invoices.find(draft.id).number is None
    return told(why, "en")


def test_what_is_as_it_was_recorded_is_issued(used: Any) -> None:
    at(used, "2026-12-03")
    ran = used.invoices.issue_ran(used.invoices.run(NOVEMBER))
    assert (len(ran.drafted), ran.waiting) == (2, [])


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        "quantities = '{\"image\":9}'",
        "outcome = 'error'",
        "product = 'other'",
        "price = '0'",
        "recorded_at = '2026-11-20T11:00:00.000000Z'",
        "plan_version = 2",
        "log_position = log_position + 1",
    ],
)
def test_a_call_that_is_not_what_was_logged_is_named_and_not_invoiced(
    used: Any, change: str, summed: bool
) -> None:
    """Whether it was changed before its hour was summed up, or later."""
    with used.database.read() as connection:
        asked = f"SELECT receipt FROM usage_events WHERE {SECOND}"
        receipt = connection.exec_driver_sql(asked).scalar()
    if summed:
        used.rollup.catch_up()
    used.plans.agree("gold", Terms("EUR", (Charge.plain("image", "0.2"),), fee="5"))
    spoil(used, f"UPDATE usage_events SET {change} WHERE {SECOND}")
    at(used, "2026-12-03")
    assert receipt in refused(used)


@pytest.mark.parametrize("change", ["salt = leaf_hash", "leaf_hash = salt", "record = salt"])
def test_an_entry_of_the_log_that_was_changed_is_named(used: Any, change: str) -> None:
    position = f"position = (SELECT log_position FROM usage_events WHERE {SECOND})"
    spoil(used, f"UPDATE log_leaves SET {change} WHERE {position}")
    at(used, "2026-12-03")
    assert "changed after it was logged" in refused(used)


@pytest.mark.parametrize(
    "change",
    [
        f"DELETE FROM usage_events WHERE {SECOND}",
        f"UPDATE usage_events SET customer = 'cus_other' WHERE {SECOND}",
        f"UPDATE usage_hours SET quantity = quantity + 1 WHERE {HERS} AND outcome = 'ok'",
        f"UPDATE usage_hours SET events = events + 1 WHERE {HERS} AND outcome = 'error'",
        f"UPDATE usage_hours SET product = 'other' WHERE {HERS} AND outcome = 'ok'",
        f"DELETE FROM usage_hours WHERE {HERS}",
    ],
)
def test_a_month_that_is_not_what_its_calls_are_is_not_invoiced(used: Any, change: str) -> None:
    used.rollup.catch_up()
    spoil(used, change)
    at(used, "2026-12-03")
    assert "gold@1 in 2026-11 is summed up otherwise" in refused(used)


def test_late_usage_is_not_invoiced_where_the_month_that_it_is_of_was_changed(used: Any) -> None:
    at(used, "2026-12-03")
    used.invoices.issue_all(used.invoices.run(NOVEMBER).drafted)
    at(used, "2026-11-28")
    use(used, 2)
    at(used, "2026-12-20")
    use(used, 1, customer="Bob")
    spoil(used, f"UPDATE usage_events SET latency_seconds = 9 WHERE {SECOND}")
    at(used, "2027-01-03")
    assert "was changed: latency_seconds" in refused(used, DECEMBER)
