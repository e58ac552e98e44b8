"""What providers collect and are asked about; and what they take, once and exactly."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.capture.payments.test_stripe import message, signed

from mintage.core.errors import ConfigError, RequestError
from mintage.core.money import Money
from mintage.core.types import Payment


def test_a_pushed_invoice_that_is_paid_there_is_paid_here(till: Any, stripe_stand: Any) -> None:
    invoice = till.issued()
    pushed = till.desk.push(invoice.number, "stripe")
    assert (pushed.asked, pushed.url is None) == (Money.parse("12.34", "EUR"), False)
    assert till.desk.push(invoice.id, "stripe") == pushed
    assert till.desk.sync() == ([], [])
    stripe_stand.pay(pushed.reference)
    ((found,), failed) = till.desk.sync()
    assert (found.status, failed) == ("paid", [])
    assert till.shop.invoices.find(invoice.id).status == "paid"
    assert till.balance("cash:stripe") == "12.34"
    assert till.desk.sync() == ([], [])
    assert till.told() == ["invoice.issued", "invoice.paid"]
    assert len(till.shop.leaves("payment.requested")) == 1


def test_the_customer_is_one_there_for_all_their_invoices(till: Any, stripe_stand: Any) -> None:
    till.desk.push(till.issued().id, "stripe")
    other = till.issued("30", "CNY")
    asked = len(stripe_stand.asked)
    till.desk.push(other.id, "stripe")
    assert len(stripe_stand.objects["customers"]) == 1
    assert ("GET", "/v1/customers") not in stripe_stand.asked[asked:]  # it is known by now


def test_a_message_pays_once_however_often_and_by_however_many_it_comes(
    till: Any, stripe_stand: Any
) -> None:
    invoice = till.issued()
    body = message(metadata={"mintage_invoice": invoice.number})

    def take(_number: int) -> str:
        return till.desk.notified("stripe", body, signed(body)).status

    with ThreadPoolExecutor(8) as threads:
        came = sorted(threads.map(take, range(16)))
    assert came == ["known"] * 15 + ["paid"]
    assert till.balance("cash:stripe") == "12.34"
    assert till.told() == ["invoice.issued", "invoice.paid"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_paid": 0}, "0 EUR was paid, and 12.34 EUR is owed"),
        ({"currency": "usd"}, "12.34 USD was paid, and 12.34 EUR is owed"),
        ({"currency": "jpy"}, "1234 JPY was paid, and 12.34 EUR is owed"),
        ({"metadata": {"mintage_invoice": "INV-1999-000001"}}, "there is no such invoice"),
    ],
)
def test_money_that_the_books_cannot_say_is_kept_and_told_and_pays_nothing(
    till: Any, stripe_stand: Any, changes: dict[str, Any], reason: str
) -> None:
    invoice = till.issued()
    body = message(**{"metadata": {"mintage_invoice": invoice.number}} | changes)
    for __ in range(2):
        found = till.desk.notified("stripe", body, signed(body))
        assert (found.status, str(found.reason)) == ("mismatch", reason)
    assert till.shop.invoices.find(invoice.id).to_pay == Money.parse("12.34", "EUR")
    assert "cash:stripe" not in till.shop.ledger.check().accounts
    assert not till.credits.list()
    (kept,) = till.desk.mismatches()
    assert (kept["reference"], kept["reason"]) == ("in_0001", reason)
    known = "no such" not in reason
    assert till.told() == ["invoice.issued", *(["payment.mismatch"] if known else [])]
    assert len(till.shop.leaves("payment.mismatch")) == 1


def test_money_that_was_set_right_otherwise_is_listed_no_more(till: Any, stripe_stand: Any) -> None:
    number = till.issued().number
    body = message(metadata={"mintage_invoice": number}, amount_paid=1, currency="usd")
    till.desk.notified("stripe", body, signed(body))
    with pytest.raises(RequestError) as none:
        till.desk.dismiss("in_0001", "sent back", "alipay")
    assert none.value.http_status == 404
    with pytest.raises(ConfigError, match="no reason that can be noted"):
        till.desk.dismiss("in_0001", "\n")
    done = till.desk.dismiss("in_0001", "sent back")
    assert (done["dismissed_reason"], done["amount"]) == ("sent back", "0.01")
    assert till.desk.mismatches() == []
    assert till.desk.dismiss("in_0001", "again") == done
    assert len(till.shop.leaves("payment.dismissed")) == 1
    till.desk.notified("stripe", body, signed(body))  # told again, it is known
    right = message(metadata={"mintage_invoice": number})
    assert till.desk.notified("stripe", right, signed(right)).status == "mismatch"
    assert till.desk.mismatches() == []
    assert "cash:stripe" not in till.shop.ledger.check().accounts


def test_a_page_is_asked_about_until_long_after_its_invoice_was_paid_otherwise(
    till: Any, stripe_stand: Any
) -> None:
    invoice = till.issued()
    pushed = till.desk.push(invoice.id, "stripe")
    till.shop.invoices.pay(invoice.id, None, "manual", "bank 1")
    with pytest.raises(RequestError):
        till.desk.push(invoice.id, "stripe")
    till.shop.clock.advance(89 * 86_400)
    assert till.desk.sync() == ([], [])
    stripe_stand.pay(pushed.reference)
    ((found,), __) = till.desk.sync()
    assert (found.status, found.credit) == ("credited", invoice.total)
    till.shop.clock.advance(2 * 86_400)
    asked = len(stripe_stand.asked)
    assert till.desk.sync() == ([], [])
    assert len(stripe_stand.asked) == asked


def test_a_page_is_asked_about_no_more_where_it_was_paid(till: Any, stripe_stand: Any) -> None:
    pushed = till.desk.push(till.issued().id, "stripe")
    stripe_stand.pay(pushed.reference)
    till.desk.sync()
    asked = len(stripe_stand.asked)
    assert till.desk.sync() == ([], [])
    assert len(stripe_stand.asked) == asked


def test_only_what_is_left_of_an_invoice_is_asked_for(till: Any, stripe_stand: Any) -> None:
    invoice = till.issued()
    till.shop.invoices.pay(invoice.id, Money.parse("2.34", "EUR"), "manual", "bank 1")
    pushed = till.desk.push(invoice.id, "stripe")
    assert pushed.asked == Money.parse("10", "EUR")
    stripe_stand.pay(pushed.reference)
    till.desk.sync("stripe")
    assert till.shop.invoices.find(invoice.id).status == "paid"
    assert (till.balance("cash:stripe"), till.balance("cash:manual")) == ("10", "2.34")


@pytest.mark.parametrize(
    ("amount", "currency", "asked", "left"),
    [
        ("500", "JPY", "500", None),
        ("5.12", "KWD", "5.12", None),
        ("5.124", "KWD", "5.12", "0.004"),
        ("5.126", "KWD", "5.13", "-0.004"),
    ],
)
def test_what_stripe_cannot_ask_for_is_roundings_and_the_ledger_sums_to_zero(
    till: Any, stripe_stand: Any, amount: str, currency: str, asked: str, left: str | None
) -> None:
    invoice = till.issued(amount, currency)
    pushed = till.desk.push(invoice.id, "stripe")
    assert pushed.asked == Money.parse(asked, currency)
    stripe_stand.pay(pushed.reference)
    ((found,), __) = till.desk.sync()
    assert found.status == "paid"
    assert till.shop.invoices.find(invoice.id).status == "paid"
    assert till.balance("cash:stripe") == asked
    accounts = till.shop.ledger.check().accounts
    rounding = [money.amount for money in accounts.get("rounding", ())]
    assert rounding == ([] if left is None else [left])
    (receivable,) = (name for name in accounts if name.startswith("receivable:"))
    assert till.balance(receivable) == "0"


def test_a_bank_transfer_is_asked_for_by_nobody_and_noted_by_hand(till: Any) -> None:
    invoice = till.issued()
    pushed = till.desk.push(invoice.id, "manual")
    assert (pushed.reference, pushed.url) == (invoice.number, None)
    assert till.desk.sync() == ([], [])
    with pytest.raises(RequestError) as refused:
        till.desk.notified("manual", b"", {})
    assert refused.value.http_status == 404


def test_what_cannot_be_pushed_is_said(till: Any, stripe_stand: Any) -> None:
    invoice = till.issued("5", "LYD")
    for reference, provider, error in (
        ("INV-none", "stripe", RequestError),
        (invoice.id, "barter", RequestError),
        (invoice.id, "stripe", ConfigError),
    ):
        with pytest.raises(error) as refused:
            till.desk.push(reference, provider)
        assert refused.value.remedy
    with pytest.raises(RequestError):
        till.desk.sync("barter")


def test_a_provider_that_does_not_answer_keeps_nothing_from_the_others(
    till: Any, stripe_stand: Any
) -> None:
    first, second = till.issued(), till.issued("30", "CNY")
    one, two = (till.desk.push(each.id, "stripe") for each in (first, second))
    stripe_stand.pay(two.reference)
    del stripe_stand.objects["invoices"][one.reference]["status"]  # the stand fails over it
    found, failed = till.desk.sync()
    assert [each.payment.number for each in found] == [second.number]
    assert [number for number, __ in failed] == [first.number]


def test_a_number_too_long_for_a_row_is_no_fault(till: Any) -> None:
    payment = Payment("in_9", "x" * 500, Money.parse("1", "EUR"))
    assert till.desk.received("stripe", payment).status == "mismatch"
