"""Issued documents are what was issued, and what their rows repeat of them is the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.checking.documents import DocumentCheck
from mintage.capture.pricing.periods import Period
from mintage.core.errors import BooksBroken
from mintage.core.money import Money

NUMBER = "INV-2026-000001"


@pytest.fixture
def issued(shop: Any) -> Any:
    """An invoice that is paid, one that is credited in part, and a draft."""
    for customer in ("Ada", "Bob", "Cyd"):
        shop.meter.record(shop.usage(customer, quantities={"image": 100})).result(10)
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    ada, bob, __ = shop.invoices.run(Period(2026, 11)).drafted
    first, second = shop.invoices.issue(ada.id), shop.invoices.issue(bob.id)
    assert first.number == NUMBER
    shop.invoices.pay(NUMBER, Money.parse("2", "EUR"), "manual", "bank 1")
    shop.invoices.credit_part(second.id, 1, Money.parse("0.5", "EUR"), "a bad day")
    return shop


def spoil(shop: Any, statement: str) -> None:
    shop.database.write(lambda connection: connection.exec_driver_sql(statement) and None)


def test_what_was_issued_is_found_so(issued: Any) -> None:
    assert DocumentCheck(issued.database).check() == 3


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("total_nanos", "1"),
        ("total_nanos", "total_nanos + 1"),
        ("currency", "'USD'"),
        ("period", "'2026-10'"),
        ("issued_at", "'2026-12-01T00:00:00.000000Z'"),
        ("due_at", "NULL"),
        ("kind", "'credit_note'"),
        ("number", "'INV-2026-000009'"),
        ("status", "'issued'"),
        ("status", "'void'"),
        ("status", "'replaced'"),
        ("status", "'credited'"),
    ],
)
def test_a_column_beside_a_document_that_says_otherwise_is_named(
    issued: Any, column: str, value: str
) -> None:
    spoil(issued, f"UPDATE invoices SET {column} = {value} WHERE number = '{NUMBER}'")
    with pytest.raises(BooksBroken, match=f"INV-2026-00000[19] is what was issued.*{column}"):
        DocumentCheck(issued.database).check()


def test_a_note_over_another_invoice_than_it_says_is_named(issued: Any) -> None:
    other = issued.invoices.find(NUMBER).id
    spoil(issued, f"UPDATE invoices SET corrects = '{other}' WHERE kind = 'credit_note'")
    with pytest.raises(BooksBroken, match=r"CN-2026-000001 is what was issued.*corrects"):
        DocumentCheck(issued.database).check()


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE invoices SET document = replace(document, '2', '3') WHERE number = '{NUMBER}'",
        f"UPDATE invoices SET number = NULL, status = 'draft' WHERE number = '{NUMBER}'",
        "UPDATE log_leaves SET record = salt WHERE kind = 'invoice.issued'",
    ],
)
def test_a_document_that_is_not_what_was_issued_is_named(issued: Any, statement: str) -> None:
    spoil(issued, statement)
    with pytest.raises(BooksBroken, match=f"{NUMBER} is not what was issued|changed after it was"):
        DocumentCheck(issued.database).check()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE billed SET until_step = until_step + 1",
        "UPDATE billed SET until_step = 0",
        "UPDATE billed SET disposition = 'late'",
        "UPDATE billed SET period = '2026-10'",
        "UPDATE billed SET plan_version = 2",
        "UPDATE billed SET customer = 'cus_other'",
        "DELETE FROM billed",
    ],
)
def test_usage_that_an_invoice_took_otherwise_than_was_logged_is_named(
    issued: Any, change: str
) -> None:
    spoil(issued, f"{change} WHERE invoice = '{issued.invoices.find(NUMBER).id}'")
    with pytest.raises(BooksBroken, match=rf"{NUMBER} is what was issued.*billed"):
        DocumentCheck(issued.database).check()


def test_a_document_that_was_never_issued_is_named(issued: Any) -> None:
    spoil(issued, "UPDATE invoices SET number = 'INV-2026-000777' WHERE status = 'draft'")
    with pytest.raises(BooksBroken, match="INV-2026-000777 is not what was issued"):
        DocumentCheck(issued.database).check()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments SET nanos = nanos - 10000000",
        "UPDATE payments SET currency = 'USD'",
        "UPDATE payments SET id = 'pay_other'",
        "DELETE FROM payments",
    ],
)
def test_a_payment_that_is_not_what_the_ledger_has_is_named(issued: Any, statement: str) -> None:
    spoil(issued, statement)
    with pytest.raises(BooksBroken, match="is not what the ledger has of it"):
        DocumentCheck(issued.database).check()
