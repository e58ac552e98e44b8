"""What a customer sees of their own invoices, and nobody else does."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from tests.capture.conftest import Shop

from mintage.app.auditing import Auditing
from mintage.app.capturing import Capturing
from mintage.app.delivering import Accounts
from mintage.app.evidence import evidence_of
from mintage.capture.books.preview import Previews
from mintage.capture.key_limits import KeyLimits
from mintage.capture.limits.prepaid import Credits
from mintage.capture.limits.standing import Standings
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import NotAllowed, Overloaded, RequestError
from mintage.core.money import Money
from mintage.core.types import Caller
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@pytest.fixture
def shop(workspace: Workspace) -> Any:
    shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
    shop.plans.ensure_default()
    shop.sell("pets")
    for customer in ("Ada", "Bob"):
        for __ in range(3):
            shop.meter.record(shop.usage(customer)).result(10)
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    return shop


def accounts(shop: Any) -> tuple[Accounts, Caller, Caller]:
    standings = Standings(shop.database, shop.clock)
    capture = Capturing(shop.workspace, shop.keys)
    made = Accounts(
        capture,
        shop.invoices,
        standings,
        Auditing(shop.workspace, capture, shop.keys),
        partial(evidence_of, shop.workspace, shop.keys, capture.log, shop.invoices),
        Previews(shop.database, shop.clock),
    )
    ada, bob = (made.caller(shop.key_of(name), "usage", None) for name in ("Ada", "Bob"))
    return made, ada, bob


def test_a_customer_sees_their_own_invoices_and_no_draft(shop: Any) -> None:
    own, ada, bob = accounts(shop)
    first, second = shop.invoices.run(Period(2026, 11)).drafted
    assert own.invoices(ada) == own.invoices(bob) == []
    with pytest.raises(RequestError) as draft:
        own.invoice(ada, first.id)
    assert draft.value.http_status == 404
    mine, other = (shop.invoices.issue(each.id) for each in (first, second))
    if mine.customer != ada.customer:
        mine, other = other, mine
    assert [each["number"] for each in own.invoices(ada)] == [mine.number]
    assert own.invoice(ada, mine.number)["document"] == mine.document
    said = []
    for reference in (other.number, other.id, "INV-2026-999999"):
        with pytest.raises(RequestError) as missing:
            own.invoice(ada, reference)
        said.append((missing.value.http_status, missing.value.message.replace(reference, "")))
    assert len(set(said)) == 1


def test_a_customer_sees_their_own_limits(shop: Any) -> None:
    own, ada, bob = accounts(shop)
    charge = Charge("image", (Tier("0.02"),), included=5)
    shop.plans.agree("standard", Terms("EUR", (charge,)))
    shop.meter.record(shop.usage("Ada")).result(10)
    used = [own.limits(who)["limits"][0]["used"] for who in (ada, bob)]
    assert used == [1, 0]
    assert own.limits(ada)["customer"] == ada.customer


def test_a_customer_has_their_own_invoice_as_pdf(
    shop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ada, bob = accounts(shop)
    drafted = shop.invoices.run(Period(2026, 11)).drafted
    with pytest.raises(RequestError) as draft:
        own.invoice_pdf(ada, drafted[0].id)
    assert draft.value.http_status == 404
    for each in shop.invoices.issue_all(drafted):
        owner, other = (ada, bob) if each.customer == ada.customer else (bob, ada)
        assert own.invoice_pdf(owner, each.number).startswith(b"%PDF-")
        with pytest.raises(RequestError) as missing:
            own.invoice_pdf(other, each.number)
        assert missing.value.http_status == 404
    monkeypatch.delitem(sys.modules, "mintage.capture.books.pdf")
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(RequestError, match="cannot write it as PDF") as unable:
        own.invoice_pdf(owner, each.number)
    assert unable.value.http_status == 406


def test_a_key_for_some_products_sees_what_limits_its_own_calls(shop: Any) -> None:
    own, ada, __ = accounts(shop)
    shop.sell("birds", "other")
    pets = Charge("image", (Tier("0.02"),), hard_limit=5, products=("pets",))
    both = Charge("explanation", (Tier("0.02"),), hard_limit=3)
    birds = Charge("image", (Tier("0.02"),), hard_limit=9, products=("birds",))
    shop.plans.agree("standard", Terms("EUR", (pets, both, birds)))
    shop.plans.agree("other", Terms("EUR", (Charge("image", (Tier("1"),), hard_limit=7),)))
    budget = Money.parse("2", "EUR")
    keys = [
        shop.customers.issue_key("Ada", KeyLimits(products=("pets",), budget=budget))
        for __ in range(2)
    ]
    Credits(shop.database, shop.clock).add(
        "Ada", Money.parse("5", "EUR"), provider="manual", reference="bank"
    )
    bound = own.caller(keys[0].key.reveal(), "usage", None)
    said, whole = own.limits(bound), own.limits(ada)
    assert sorted(each["hard_limit"] for each in said["limits"]) == [3, 5]
    assert sorted(each["hard_limit"] for each in whole["limits"]) == [3, 5, 7, 9]
    assert [each["key"] for each in said["budgets"]] == [keys[0].id]
    assert len(whole["budgets"]) == 2
    assert (said["credit"], len(whole["credit"])) == ([], 1)
    shop.plans.agree("standard", Terms("EUR", (pets,), prepaid=True))
    assert [each["left"] for each in own.limits(bound)["credit"]] == ["5"]


def test_a_key_for_some_products_sees_no_invoice(shop: Any) -> None:
    own, __, __ = accounts(shop)
    issued = shop.customers.issue_key("Ada", KeyLimits(products=("pets",)))
    caller = own.caller(issued.key.reveal(), "usage", None)
    for ask in (own.invoices, own.preview, lambda who: own.invoice(who, "INV-2026-000001")):
        with pytest.raises(NotAllowed):
            ask(caller)


def test_one_evidence_is_sent_at_a_time_and_who_goes_away_lets_the_next_one_in(shop: Any) -> None:
    own, ada, bob = accounts(shop)
    for each in shop.invoices.run(Period(2026, 11)).drafted:
        shop.invoices.issue(each.id)
    number = own.invoices(ada)[0]["number"]
    with pytest.raises(RequestError):
        own.invoice_evidence(bob, number)
    first = own.invoice_evidence(ada, number)
    with pytest.raises(Overloaded, match="another invoice"):
        own.invoice_evidence(ada, number)
    del first  # before anything of it was sent
    second = own.invoice_evidence(ada, number)
    next(second)
    with pytest.raises(Overloaded):
        own.invoice_evidence(ada, number)
    assert b"".join(second).endswith(bytes(2))  # a zip's last field, of no comment
    assert next(own.invoice_evidence(ada, number))
