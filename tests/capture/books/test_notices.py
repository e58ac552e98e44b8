"""What happens to an invoice is told, once, with the fact."""

from __future__ import annotations

from typing import Any

from tests.capture.books.test_invoices import NOVEMBER, at, use

from mintage.capture.webhooks.deliveries import Deliveries
from mintage.core.errors import RequestError
from mintage.core.money import Money


def told(shop: Any) -> list[tuple[str, str]]:
    """Types and numbers, the oldest first."""
    events = Deliveries(shop.database, shop.keys, shop.clock).events()
    return [(each["type"], each["data"]["number"]) for each in reversed(events)]


def issued(shop: Any, customer: str = "Ada") -> Any:
    use(shop, 3, customer)
    at(shop, "2026-12-03")
    (draft,) = shop.invoices.run(NOVEMBER, shop.customers.find(customer).id).drafted
    return shop.invoices.issue(draft.id)


def test_an_invoice_is_told_of_when_it_is_issued_and_when_all_of_it_is_paid(shop: Any) -> None:
    invoice = issued(shop)
    shop.invoices.issue(invoice.id)
    assert told(shop) == [("invoice.issued", "INV-2026-000001")]
    shop.clock.advance(60)
    shop.invoices.pay(invoice.id, Money.parse("0.02", "EUR"), "manual", "first")
    assert len(told(shop)) == 1
    shop.invoices.pay(invoice.id, None, "manual", "second")
    shop.invoices.pay(invoice.id, None, "manual", "second")
    assert told(shop)[1:] == [("invoice.paid", "INV-2026-000001")]
    events = Deliveries(shop.database, shop.keys, shop.clock).events()
    data = events[0]["data"]
    assert (data["status"], data["total"], data["currency"]) == ("paid", "0.06", "EUR")
    assert "document" not in data


def test_a_void_and_a_credit_note_are_told_of(shop: Any) -> None:
    first = issued(shop)
    shop.invoices.void(first.id)
    shop.invoices.void(first.id)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    second = shop.invoices.issue(draft.id)
    shop.clock.advance(60)
    shop.invoices.credit(second.id, "a bad day")
    assert sorted(told(shop)) == [
        ("credit_note.issued", "CN-2026-000001"),
        ("invoice.issued", "INV-2026-000001"),
        ("invoice.issued", "INV-2026-000002"),
        ("invoice.void", "INV-2026-000001"),
    ]


def test_what_did_not_happen_is_not_told(shop: Any) -> None:
    invoice = issued(shop)
    shop.invoices.pay(invoice.id, None, "manual", "all")
    before = told(shop)
    for attempt in (
        lambda: shop.invoices.pay(invoice.id, None, "manual", "again"),
        lambda: shop.invoices.void(invoice.id),
    ):
        try:
            attempt()
        except RequestError:
            continue
        raise AssertionError("it was taken")
    assert told(shop) == before
