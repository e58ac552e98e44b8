"""Invoices pushed to a payment provider, on the command line and through a server."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.capture.payments.conftest import stripe_stand
from tests.capture.payments.test_stripe import message, signed
from tests.cli.test_billing import books
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.cli.serving import run_server
from mintage.core.clock import SystemClock
from mintage.core.errors import PaymentDue
from mintage.core.settings import load_settings

__all__ = ["books", "stripe_stand"]

FIRST, SECOND = "INV-2026-000001", "INV-2026-000002"


def test_an_invoice_is_pushed_and_its_payment_found(
    mintage: Terminal, books: Path, stripe_stand: Any
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    pushed = mintage.json("invoice", "push", FIRST, "--provider", "stripe", *at)
    assert (pushed["asked"], pushed["currency"]) == ("3.88", "EUR")
    again = mintage("invoice", "push", FIRST, "--provider", "stripe", *at)
    assert pushed["reference"] in again
    assert pushed["url"] in again
    mintage("invoice", "sync", *at)
    assert "Nothing new was paid." in mintage.err
    stripe_stand.pay(pushed["reference"])
    assert f"{FIRST}  paid  3.88 EUR" in mintage("invoice", "sync", *at)
    (paid,) = mintage.json("invoice", "list", "--status", "paid", *at)
    assert paid["number"] == FIRST
    assert "cash:stripe" in mintage("ledger", "check", *at)


def test_wrong_money_and_a_provider_that_is_down_are_said(
    mintage: Terminal, books: Path, stripe_stand: Any
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    for number in (FIRST, SECOND):
        reference = mintage.json("invoice", "push", number, "--provider", "stripe", *at)
        stripe_stand.pay(reference["reference"], 1, "usd")
    mintage("invoice", "sync", "--provider", "stripe", *at)
    assert mintage.err.count("0.01 USD was paid") == 2
    one, other = mintage.json("invoice", "sync", *at)["mismatches"]
    said = ("--reason", "sent back", *at)
    assert "0.01 USD" in mintage("invoice", "dismiss", one["reference"], *said)
    assert mintage.json("invoice", "sync", *at)["mismatches"] == [other]
    mintage("invoice", "dismiss", "in_none", *said, status=2)
    assert "mintage invoice sync" in mintage.err
    stripe_stand.refuses = (400, "invalid_request_error", "not today")
    said = mintage.json("invoice", "sync", *at, status=2)
    assert [each["number"] for each in said["failed"]] == [FIRST, SECOND]
    mintage("invoice", "push", FIRST, "--provider", "barter", *at, status=2)
    assert "There are: manual, stripe, alipay" in mintage.err


def test_more_than_is_owed_is_credit_and_less_pays_a_part(
    mintage: Terminal, books: Path, stripe_stand: Any
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    pushed = [
        mintage.json("invoice", "push", number, "--provider", "stripe", *at)["reference"]
        for number in (FIRST, SECOND)
    ]
    mintage("invoice", "credit", FIRST, "--line", "1", "--amount", "1", "--reason", "slow", *at)
    stripe_stand.pay(pushed[0])
    assert f"{FIRST}  paid  3.88 EUR" in mintage("invoice", "sync", *at)
    assert "1 EUR of it was not owed: it is the customer's credit." in mintage.err
    stripe_stand.pay(pushed[1], 1)
    assert f"{SECOND}  paid in part  0.01 EUR" in mintage("invoice", "sync", *at)
    (credit,) = mintage.json("credit", "list", *at)
    assert (credit["left"], credit["reference"]) == ("1", pushed[0])
    (said,) = mintage.json("invoice", "sync", *at)["payments"]
    assert (said["status"], said["number"], said["credit"]) == ("known", SECOND, None)


def test_what_is_paid_of_an_invoice_that_is_void_is_kept_as_credit(
    mintage: Terminal, books: Path, stripe_stand: Any
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    pushed = mintage.json("invoice", "push", FIRST, "--provider", "stripe", *at)
    mintage("invoice", "void", FIRST, *at)
    stripe_stand.pay(pushed["reference"])
    assert f"{FIRST}  kept as credit  3.88 EUR" in mintage("invoice", "sync", *at)
    accounts = mintage.json("ledger", "check", *at)["accounts"]
    assert accounts["cash:stripe"] == {"EUR": "3.88"}


def test_a_server_takes_a_payments_message_once(
    mintage: Terminal, books: Path, stripe_stand: Any
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    started, stop, addresses = threading.Event(), threading.Event(), []

    def on_started(customers: str, _operator: str) -> None:
        addresses.append(customers)
        started.set()

    body = message(metadata={"mintage_invoice": FIRST}, amount_paid=388)
    with App(load_settings(home=books, port=0, operator_port=0)) as app:
        options: dict[str, Any] = {"samples": (), "on_started": on_started, "stop": stop}
        server = threading.Thread(target=run_server, args=(app,), kwargs=options)
        server.start()
        try:
            assert started.wait(20)
            address = f"{addresses[0]}/v1/payments/stripe/webhook"
            with httpx.Client(trust_env=False) as client:
                headers = signed(body)
                came = [client.post(address, content=body, headers=headers) for __ in range(3)]
                forged = client.post(address, content=body + b" ", headers=headers)
        finally:
            stop.set()
            server.join(20)
    assert [each.status_code for each in came] == [204] * 3
    assert (forged.status_code, forged.json()["code"]) == (400, "request_error")
    (paid,) = mintage.json("invoice", "list", "--status", "paid", *at)
    assert paid["number"] == FIRST
    assert mintage.json("ledger", "check", *at)["transactions"] == 3


def test_what_is_overdue_is_listed_told_and_refused_from_the_declared_day_on(
    mintage: Terminal, books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    key = mintage.json("customer", "add", "Cy", *at)["key"]
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    assert mintage.json("invoice", "overdue", *at) == []
    monkeypatch.setattr(SystemClock, "now", lambda _self: datetime.now(UTC) + timedelta(days=38))
    monkeypatch.setenv("MINTAGE_OVERDUE_STOP_DAYS", "5")
    listed = mintage.json("invoice", "overdue", *at)
    assert [(each["number"], each["days_overdue"]) for each in listed] == [(FIRST, 8), (SECOND, 8)]
    assert "3.88 EUR" in mintage("invoice", "overdue", *at)
    mintage("webhook", "deliver", *at)
    mintage("webhook", "deliver", *at)
    events = mintage.json("webhook", "events", *at)
    assert [each["type"] for each in events].count("invoice.overdue") == 2
    with App(load_settings(home=books)) as app:
        owing = app.capture.issue_key("Ada").key.reveal()
        with pytest.raises(PaymentDue):
            app.capture.gate.admit(owing, "pets")
        app.capture.gate.admit(key, "pets")
        app.billing.pay([FIRST], None, "bank 1")
        app.capture.gate.admit(owing, "pets")
    monkeypatch.setenv("MINTAGE_OVERDUE_DAYS", "soon")
    mintage("invoice", "overdue", *at, status=2)
    assert "MINTAGE_OVERDUE_DAYS" in mintage.err
