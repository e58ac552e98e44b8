"""What is overdue is told on its days, once; then calls are refused until it is paid."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.capture.books.test_invoices import at
from tests.capture.books.test_notices import issued

from mintage.capture.books.overdue import Overdue, days_of
from mintage.capture.gate import KeyGate
from mintage.capture.webhooks.deliveries import Deliveries
from mintage.core.errors import ConfigError, PaymentDue, RequestError

DAYS = (1, 7, 14)


def overdue(shop: Any, stop_days: int | None = None) -> Overdue:
    return Overdue(shop.database, shop.clock, DAYS, stop_days)


def told(shop: Any) -> list[tuple[str, int]]:
    events = Deliveries(shop.database, shop.keys, shop.clock).events()
    return [
        (each["data"]["number"], each["data"]["days_overdue"])
        for each in reversed(events)
        if each["type"] == "invoice.overdue"
    ]


def after_due(shop: Any, invoice: Any, **passed: float) -> None:
    shop.clock.moment = datetime.fromisoformat(invoice.due_at) + timedelta(**passed)


def test_an_overdue_invoice_is_told_of_on_each_day_once(shop: Any) -> None:
    invoice, look = issued(shop), overdue(shop)
    for passed, expected in (
        ({"seconds": -1}, []),
        ({"days": 1, "seconds": -1}, []),
        ({"days": 1}, [1]),
        ({"days": 6, "hours": 23}, [1]),
        ({"days": 7}, [1, 7]),
        ({"days": 14}, [1, 7, 14]),
        ({"days": 400}, [1, 7, 14]),
    ):
        after_due(shop, invoice, **passed)
        look.tell()
        look.tell()
        assert told(shop) == [(invoice.number, days) for days in expected]


def test_after_a_halt_the_latest_day_is_told_alone(shop: Any) -> None:
    invoice = issued(shop)
    after_due(shop, invoice, days=9)
    (found,) = overdue(shop).tell()
    assert (found.days, found.owed.amount) == (9, "0.06")
    assert told(shop) == [(invoice.number, 9)]
    assert overdue(shop).tell() == []


@pytest.mark.parametrize("ending", ["pay", "void", "credit"])
def test_what_is_no_longer_owed_is_not_told_of(shop: Any, ending: str) -> None:
    invoice = issued(shop)
    end(shop, invoice, ending)
    after_due(shop, invoice, days=30)
    assert overdue(shop).tell() == []
    assert overdue(shop).list() == []


def end(shop: Any, invoice: Any, ending: str) -> None:
    if ending == "pay":
        shop.invoices.pay(invoice.id, None, "manual", "bank 1")
    elif ending == "void":
        shop.invoices.void(invoice.id)
    else:
        shop.invoices.credit(invoice.id, "a bad day")


@pytest.mark.parametrize("ending", ["pay", "void", "credit"])
def test_calls_are_refused_from_the_declared_moment_on_and_answered_when_it_is_settled(
    shop: Any, ending: str
) -> None:
    invoice = issued(shop)
    gate = KeyGate(shop.database, shop.clock, overdue_stop_days=10)
    other = KeyGate(shop.database, shop.clock, overdue_stop_days=10)  # another worker's
    key = shop.key_of("Ada")
    after_due(shop, invoice, days=10, seconds=-1)
    for each in (gate, other):
        assert each.admit(key, "pets") is each.admit(key, "pets")  # it is kept
    shop.clock.advance(1)
    for each in (gate, other):
        with pytest.raises(PaymentDue, match=invoice.number) as refused:
            each.admit(key, "pets")
        assert (refused.value.http_status, bool(refused.value.remedy)) == (402, True)
    assert gate.caller(key, "usage").customer == invoice.customer  # invoices can be read
    assert gate.admit(shop.key_of("Bea"), "pets").customer != invoice.customer
    end(shop, invoice, ending)
    for each in (gate, other):
        assert each.admit(key, "pets").customer == invoice.customer


def test_a_part_that_is_paid_lifts_nothing(shop: Any) -> None:
    from mintage.core.money import Money

    invoice = issued(shop)
    gate = KeyGate(shop.database, shop.clock, overdue_stop_days=0)
    after_due(shop, invoice)
    shop.invoices.pay(invoice.id, Money.parse("0.05", "EUR"), "manual", "bank 1")
    with pytest.raises(PaymentDue):
        gate.admit(shop.key_of("Ada"), "pets")


def test_of_several_the_one_that_was_due_first_decides(shop: Any) -> None:
    from mintage.capture.pricing.periods import Period

    first = issued(shop)
    shop.meter.record(shop.usage("Ada")).result(10)
    at(shop, "2027-01-03")
    (draft,) = shop.invoices.run(Period(2026, 12)).drafted
    second = shop.invoices.issue(draft.id)
    gate = KeyGate(shop.database, shop.clock, overdue_stop_days=1)
    key = shop.key_of("Ada")
    after_due(shop, first, days=1)
    with pytest.raises(PaymentDue, match=first.number):
        gate.admit(key, "pets")
    end(shop, first, "pay")
    gate.admit(key, "pets")
    after_due(shop, second, days=1)
    with pytest.raises(PaymentDue, match=second.number):
        gate.admit(key, "pets")


def test_nobody_is_refused_unless_it_is_declared(shop: Any) -> None:
    invoice = issued(shop)
    after_due(shop, invoice, days=3000)
    assert shop.gate.admit(shop.key_of("Ada"), "pets").customer == invoice.customer
    (found,) = overdue(shop).list()
    assert found.refused_from is None
    (found,) = overdue(shop, 30).list()
    assert found.refused_from is not None


def test_refusals_leave_keys_and_products_as_they_are(shop: Any) -> None:
    invoice = issued(shop)
    gate = KeyGate(shop.database, shop.clock, overdue_stop_days=0)
    after_due(shop, invoice)
    with pytest.raises(PaymentDue):
        gate.admit(shop.key_of("Ada"), "pets")
    with pytest.raises(RequestError):
        gate.admit(shop.key_of("Bea"), "none")


@pytest.mark.parametrize("text", ["soon", "1,,2", "-1", "1.5", "99999", ""])
def test_days_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="MINTAGE_OVERDUE_DAYS"):
        days_of(text)
    assert days_of(" 7, 1,7") == [1, 7]
