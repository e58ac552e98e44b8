"""Stripe: nothing is made twice, every amount is exact, and messages are its own."""

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from tests.capture.payments.conftest import SECRET

from mintage.capture.payments.stripe import _UNKNOWN, Stripe, from_minor, to_minor
from mintage.core.currencies import EXPONENTS
from mintage.core.errors import ConfigError, DependencyDown, NotReady, RequestError
from mintage.core.money import Money
from mintage.core.types import Bill


def bill(owed: str = "12.34", currency: str = "EUR", **changes: Any) -> Bill:
    money = Money.parse(owed, currency)
    said: dict[str, Any] = {
        "id": "inv_1",
        "number": "INV-2026-000001",
        "customer": "cus_ada",
        "name": "Ada Analytics",
        "email": "ada@example.org",
        "owed": money,
        "lines": (("Fee", money),),
        "rest": "Paid already, and rounding",
        "due_at": "2099-12-31T00:00:00.000000Z",
    }
    return Bill(**said | changes)


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """As docs.stripe.com/webhooks says: ``t=TIME,v1=HMAC-SHA256(secret, TIME.body)``."""
    seconds = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={seconds},v1={digest}"}


def message(kind: str = "invoice.paid", **changes: Any) -> bytes:
    invoice = {
        "id": "in_0001",
        "object": "invoice",
        "status": "paid",
        "currency": "eur",
        "amount_paid": 1234,
        "metadata": {"mintage_invoice": "INV-2026-000001"},
    }
    event = {"id": "evt_1", "object": "event", "type": kind}
    return json.dumps(event | {"data": {"object": invoice | changes}}).encode()


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("12.34", "CNY", 1234),
        ("500", "JPY", 500),
        ("5.124", "KWD", 5120),  # the published example
        ("5.125", "KWD", 5130),
        ("5", "ISK", 500),  # the published example
        ("5", "UGX", 500),
        ("10.5", "MGA", 11),  # no minor unit there, and two decimals in ISO 4217
        ("-12.34", "EUR", -1234),
        ("-5.125", "KWD", -5130),
    ],
)
def test_amounts_are_stripes_integers(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Money.parse(amount, currency)) == minor


def test_what_is_asked_for_comes_back_as_it_was_in_every_currency() -> None:
    provider = Stripe()
    for currency in EXPONENTS:
        if currency in _UNKNOWN:
            with pytest.raises(ConfigError, match=currency):
                provider.asks(Money.parse("1", currency))
            continue
        asked = provider.asks(Money.parse("1234567.89", currency))
        assert from_minor(to_minor(asked), currency.lower()) == asked
        assert provider.asks(asked) == asked


def test_a_bill_becomes_a_finalised_invoice_with_exact_lines(stripe_stand: Any) -> None:
    lines = (("Fee", Money.parse("10", "EUR")), ("VAT 19 %", Money.parse("1.9", "EUR")))
    done = Stripe().push(bill("10.9", lines=lines))  # one was paid already
    made = stripe_stand.objects["invoices"][done.reference]
    assert (made["status"], made["total"], made["currency"]) == ("open", 1090, "eur")
    assert made["metadata"]["mintage_invoice"] == "INV-2026-000001"
    assert (made["collection_method"], made["auto_advance"]) == ("send_invoice", "false")
    assert done.url == made["hosted_invoice_url"]
    items = stripe_stand.objects["invoiceitems"].values()
    assert [(each["description"], each["amount"]) for each in items] == [
        ("Fee", 1000),
        ("VAT 19 %", 190),
        ("Paid already, and rounding", -100),
    ]
    (customer,) = stripe_stand.objects["customers"].values()
    assert (customer["email"], customer["metadata"]) == (
        "ada@example.org",
        {"mintage_customer": "cus_ada"},
    )


def test_the_same_bill_again_is_the_same_invoice(stripe_stand: Any) -> None:
    first = Stripe().push(bill())
    stripe_stand.forget_idempotency_keys()
    assert Stripe().push(bill()) == first
    assert Stripe().push(bill(payer=first.payer)) == first
    assert [len(each) for each in stripe_stand.objects.values()] == [1, 1, 1]


@pytest.mark.parametrize("changes", range(1, 7))
def test_who_breaks_off_anywhere_goes_on_there_and_makes_nothing_twice(
    stripe_stand: Any, changes: int
) -> None:
    money = Money.parse("3", "EUR")
    wanted = bill("9", lines=tuple((f"Line {n}", money) for n in range(3)))
    # The customer, the invoice, three lines, the finalising.
    with stripe_stand.breaking_after(changes), pytest.raises(RequestError):
        Stripe().push(wanted)
    stripe_stand.forget_idempotency_keys()
    done = Stripe().push(wanted)
    assert [len(each) for each in stripe_stand.objects.values()] == [1, 1, 3]
    made = stripe_stand.objects["invoices"][done.reference]
    assert (made["status"], made["total"]) == ("open", 900)


def test_customers_and_invoices_of_others_are_not_taken_for_ours(stripe_stand: Any) -> None:
    for number in range(7):
        Stripe().push(bill(id=f"inv_{number}", number=f"INV-{number}", customer=f"cus_{number}"))
    Stripe().push(bill(id="inv_x", number="INV-X", customer="cus_3"))
    assert [len(each) for each in stripe_stand.objects.values()] == [7, 8, 8]


def test_after_a_void_there_it_can_be_pushed_anew(stripe_stand: Any) -> None:
    first = Stripe().push(bill())
    stripe_stand.objects["invoices"][first.reference]["status"] = "void"
    second = Stripe().push(bill())
    assert second.reference != first.reference


def test_an_invoice_that_comes_to_something_else_there_is_not_finalised(
    stripe_stand: Any,
) -> None:
    stripe_stand.tax = 19  # an automatic tax of the account
    with pytest.raises(RequestError, match=r"12\.53 EUR.*12\.34 EUR") as refused:
        Stripe().push(bill())
    assert "in_0002" in refused.value.remedy
    (made,) = stripe_stand.objects["invoices"].values()
    assert made["status"] == "draft"


def test_an_invoice_of_more_lines_than_stripe_takes_is_one_line(stripe_stand: Any) -> None:
    each = Money.parse("0.01", "EUR")
    done = Stripe().push(bill("2.51", lines=tuple((f"{n}", each) for n in range(251))))
    assert stripe_stand.objects["invoices"][done.reference]["total"] == 251
    assert len(stripe_stand.objects["invoiceitems"]) == 1


def test_what_is_paid_is_seen(stripe_stand: Any) -> None:
    provider = Stripe()
    done = provider.push(bill())
    assert provider.look(done.reference) is None
    stripe_stand.pay(done.reference)
    found = provider.look(done.reference)
    assert found is not None
    assert (found.reference, found.number, found.amount) == (
        done.reference,
        "INV-2026-000001",
        Money.parse("12.34", "EUR"),
    )


def test_a_message_with_its_signature_is_taken_and_no_other(stripe_stand: Any) -> None:
    provider, body = Stripe(), message()
    found = provider.notified(body, signed(body))
    assert found is not None
    assert (found.reference, found.amount) == ("in_0001", Money.parse("12.34", "EUR"))
    forged: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, {"stripe-signature": "nonsense"}),
        (body, signed(body, secret="whsec_of_another")),
        (body, signed(body, at=time.time() - 3600)),
        (body.replace(b"1234", b"9999"), signed(body)),
        (b"\xff\xfe", signed(b"\xff\xfe")),
        (b"[]", signed(b"[]")),
        (b"{}", signed(b"{}")),
        (b"{", signed(b"{")),
    ]
    for wrong, headers in forged:
        with pytest.raises(RequestError) as refused:
            provider.notified(wrong, headers)
        assert refused.value.http_status == 400


def test_messages_about_something_else_are_passed_over(stripe_stand: Any) -> None:
    for body in (
        message("invoice.created"),
        message("customer.created"),
        message(metadata={}),
        message(metadata=None),
        message(status="open"),
    ):
        assert Stripe().notified(body, signed(body)) is None


def test_without_its_library_a_key_or_a_secret_it_says_what_to_do(
    stripe_stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINTAGE_STRIPE_WEBHOOK_SECRET")
    with pytest.raises(NotReady, match="verified"):
        Stripe().notified(b"", {})
    monkeypatch.setenv("MINTAGE_STRIPE_KEY", "pk_wrong")
    with pytest.raises(ConfigError, match="key") as refused:
        Stripe().push(bill())
    assert "MINTAGE_STRIPE_KEY" in refused.value.remedy
    monkeypatch.delenv("MINTAGE_STRIPE_KEY")
    with pytest.raises(ConfigError, match="no key"):
        Stripe().push(bill())
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "stripe":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DependencyDown) as missing:
        Stripe().push(bill())
    assert "pip install 'mintage[stripe]'" in missing.value.remedy


def test_what_it_refuses_and_that_it_is_down_are_said(
    stripe_stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripe_stand.refuses = (400, "invalid_request_error", "No such currency: sk_live_abcdefgh123")
    with pytest.raises(RequestError, match="No such currency") as refused:
        Stripe().push(bill())
    assert "abcdefgh123" not in str(refused.value)
    monkeypatch.setenv("MINTAGE_STRIPE_URL", "http://127.0.0.1:1")
    with pytest.raises(DependencyDown, match="does not answer"):
        Stripe().push(bill())
