"""What is owed can be paid: an invoice is open in whole minor units, whatever credit paid of it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.capture.conftest import Shop
from tests.conftest import ManualClock

from mintage.capture.books.invoice import Invoice
from mintage.capture.books.paying import Received, take
from mintage.capture.gate import KeyGate
from mintage.capture.limits import repository
from mintage.capture.limits.prepaid import Credits
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import RequestError
from mintage.core.money import Money
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)
MINOR = {"EUR": 10**7, "JPY": 10**9, "KWD": 10**6}
"""Of each currency, the least that can be paid, in 10⁻⁹."""


def at(shop: Shop, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def prepaid(shop: Shop, price: str, currency: str = "EUR", **further: Any) -> None:
    charge, late = Charge.plain("image", price), Late(grace_days=0)
    shop.plans.agree("advance", Terms(currency, (charge,), prepaid=True, late=late, **further))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "advance")


def call(shop: Shop, count: int) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage()).result(10)


def add(shop: Shop, amount: Money, reference: str) -> None:
    credits_of(shop).add("Ada", amount, provider="manual", reference=reference)


def credits_of(shop: Shop) -> Credits:
    return Credits(shop.database, shop.clock)


def issued(shop: Shop, period: Period) -> list[Invoice]:
    return shop.invoices.issue_all(shop.invoices.run(period).drafted)


def accounts(shop: Shop, currency: str = "EUR") -> dict[str, str]:
    """The ledger's, and credit is what it says."""
    credits_of(shop).check()
    ada = shop.customers.find("Ada").id
    said = shop.ledger.check().to_json()["accounts"]
    return {name.replace(ada, "Ada"): amounts[currency] for name, amounts in said.items()}


def unapplied(shop: Shop, currency: str, until: str) -> int:
    """What calls up to a month took and no invoice counts."""
    with shop.database.read() as connection:
        rows = repository.drawn(connection, shop.customers.find("Ada").id, currency, until)
    return sum(each["drawn_nanos"] - each["applied_nanos"] for each in rows)


def test_what_is_short_of_less_than_a_cent_is_rounding_and_the_invoice_is_paid(shop: Shop) -> None:
    prepaid(shop, "0.015")
    add(shop, Money.parse("0.06", "EUR"), "bank 1")
    call(shop, 3)
    at(shop, "2026-12-01T12:00")
    call(shop, 1)  # takes what the first invoice would have been paid by
    (first,) = issued(shop, NOVEMBER)
    assert (first.total.amount, first.status, first.document["to_pay"]) == ("0.05", "paid", "0")
    assert accounts(shop)["credit:Ada"] == "-0.015"
    at(shop, "2027-01-02")
    (second,) = issued(shop, DECEMBER)
    assert (second.total.amount, second.status) == ("0.02", "paid")
    found = accounts(shop)
    assert found["receivable:Ada"] == found["credit:Ada"] == "0"
    assert (found["rounding"], found["revenue:advance"]) == ("0", "-0.06")
    at(shop, "2027-03-20")
    KeyGate(shop.database, shop.clock, overdue_stop_days=14).admit(shop.key_of("Ada"), "pets")


@pytest.mark.parametrize("by_credit", [False, True])
def test_credit_pays_whole_cents_and_keeps_what_it_has_beyond_them(
    shop: Shop, by_credit: bool
) -> None:
    prepaid(shop, "0.015", fee="29", prorate=False)
    add(shop, Money.parse("1", "EUR"), "bank 1")
    call(shop, 5)
    at(shop, "2026-12-01T12:00")
    call(shop, 1)
    (invoice,) = issued(shop, NOVEMBER)
    assert invoice.settled() == {"credit": "0.98", "paid": "0", "credited": "0", "to_pay": "28.1"}
    (balance,) = credits_of(shop).balances("Ada")
    assert (balance.left.amount, accounts(shop)["credit:Ada"]) == ("0.005", "-0.02")
    if by_credit:
        with pytest.raises(RequestError, match="no credit in EUR, to the currency's last decimal"):
            shop.invoices.pay_by_credit(invoice.id)
        add(shop, Money.parse("50", "EUR"), "bank 2")
        paid = shop.invoices.pay_by_credit(invoice.id)
    else:
        paid = shop.invoices.pay(invoice.id, Money.parse("28.1", "EUR"), "manual", "bank 2")
    assert (paid.status, accounts(shop)["receivable:Ada"]) == ("paid", "0")


def test_a_credit_note_gives_back_what_the_document_says_that_credit_paid(shop: Shop) -> None:
    prepaid(shop, "0.015")
    add(shop, Money.parse("0.05", "EUR"), "bank 1")
    call(shop, 3)
    at(shop, "2026-12-01T12:00")
    call(shop, 1)  # takes the half cent that is left
    (invoice,) = issued(shop, NOVEMBER)
    assert invoice.document["credit"] == "0.05"
    shop.invoices.credit(invoice.id, "a mistake of ours")
    assert accounts(shop)["credit:Ada"] == "-0.055"  # and what December's call took of it


@given(
    currency=st.sampled_from(sorted(MINOR)),
    price=st.integers(1, 4000),
    fee=st.integers(0, 3000),
    topped=st.integers(1, 12),
    before=st.integers(1, 4),
    after=st.integers(0, 3),
    by_credit=st.booleans(),
)
@example(currency="JPY", price=1500, fee=0, topped=6, before=3, after=1, by_credit=False)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_calls_took_what_is_left_of_an_invoice_can_be_paid(
    tmp_path_factory: pytest.TempPathFactory,
    currency: str,
    price: int,
    fee: int,
    topped: int,
    before: int,
    after: int,
    by_credit: bool,
) -> None:
    """``price`` and ``fee`` are in thousandths of a minor unit, ``topped`` in whole ones."""
    minor, clock = MINOR[currency], ManualClock()
    with closing(Workspace(tmp_path_factory.mktemp("shop"), clock)) as workspace:
        shop = Shop(workspace, KeyRing(workspace.key_folder))
        shop.plans.ensure_default()
        shop.sell("pets")
        price_of_one = Money(price * minor // 1000, currency).amount
        prepaid(shop, price_of_one, currency, fee=Money(fee * minor // 1000, currency).amount)
        add(shop, Money(topped * minor, currency), "bank 1")
        call(shop, before)
        at(shop, "2026-12-01T12:00")
        call(shop, after)
        later = unapplied(shop, currency, "2026-12") - unapplied(shop, currency, "2026-11")
        for period in (NOVEMBER, DECEMBER):
            clock.moment = period.following.bounds("UTC")[0].replace(day=2)
            for invoice in issued(shop, period):
                assert invoice.to_pay.nanos % minor == 0
                assert Money.parse(invoice.document["total"], currency).nanos % minor == 0
                assert unapplied(shop, currency, str(period)) == 0
                if period == NOVEMBER:
                    assert unapplied(shop, currency, "2026-12") == later
                accounts(shop, currency)
                if invoice.status == "issued" and by_credit:
                    add(shop, Money(10**4 * minor, currency), f"bank of {period}")
                    assert shop.invoices.pay_by_credit(invoice.id).status == "paid"
                elif invoice.status == "issued":
                    paid = shop.invoices.pay(invoice.id, None, "manual", f"bank of {period}")
                    assert paid.status == "paid"
        assert accounts(shop, currency).get("receivable:Ada", "0") == "0"


def test_an_invoice_is_paid_by_credit_twice_in_the_same_moment(shop: Shop) -> None:
    charge = Charge.plain("image", "1")
    shop.plans.agree("standard", Terms("EUR", (charge,), late=Late(grace_days=0)))
    shop.key_of("Ada")
    call(shop, 5)
    at(shop, "2026-12-03")
    (invoice,) = issued(shop, NOVEMBER)
    for reference, left in (("one", "3"), ("two", "1"), ("three", "0")):
        add(shop, Money.parse("2", "EUR"), reference)
        paid = shop.invoices.pay_by_credit(invoice.id)
        assert paid.to_pay == Money.parse(left, "EUR")
    accounts(shop)


@pytest.mark.parametrize("way", ["credited", "by credit", "all of it", "3.00", "4.00"])
def test_an_old_invoice_of_which_credit_paid_half_a_cent_can_be_credited_and_paid(
    shop: Shop, way: str
) -> None:
    charge = Charge.plain("image", "1")
    shop.plans.agree("standard", Terms("EUR", (charge,), late=Late(grace_days=0)))
    shop.key_of("Ada")
    call(shop, 5)
    at(shop, "2026-12-03")
    (invoice,) = issued(shop, NOVEMBER)
    add(shop, Money.parse("2", "EUR"), "one")
    half, now, ada = Money(5_000_000, "EUR"), str(shop.clock), shop.customers.find("Ada").id

    def as_it_was_once(connection: Any) -> Invoice:
        ((credit, *__),) = repository.credits_left(connection, ada, "EUR", now)
        repository.spend(connection, credit, half.nanos)
        return take(connection, invoice, Received("credit", "once", half, half), now)

    assert shop.database.write(as_it_was_once).to_pay == Money.parse("4.995", "EUR")
    if way == "credited":
        shop.invoices.credit(invoice.id, "asked for")
        assert accounts(shop)["credit:Ada"] == "-2"
    else:
        shop.invoices.credit_part(invoice.id, 1, Money.parse("2", "EUR"), "asked for")
        if way == "by credit":
            add(shop, Money.parse("1", "EUR"), "two")
            paid = shop.invoices.pay_by_credit(invoice.id)
        else:
            amount = None if way == "all of it" else Money.parse(way, "EUR")
            said = (amount, "manual", "transfer")
            for __ in range(2):  # the bank says it twice
                (paid,) = shop.invoices.pay_each([invoice.id], *said, rest_to_credit=way == "4.00")
            assert accounts(shop)["cash:manual"] == ("6" if way == "4.00" else "5")
        assert (paid.status, paid.to_pay.nanos) == ("paid", 0)
    assert accounts(shop)["receivable:Ada"] == "0"
