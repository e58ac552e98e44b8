"""Money that a provider took is in the books, whatever its invoice owes: once, to the last unit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.capture.payments.test_stripe import message, signed

from mintage.capture.gate import KeyGate
from mintage.capture.payments.booking import Found, _share
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.capture.webhooks.deliveries import Deliveries
from mintage.core.money import Money
from mintage.core.types import Payment


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def pay(till: Any, number: str, amount: str, currency: str = "EUR", reference: str = "p1") -> Found:
    payment = Payment(reference, number, Money.parse(amount, currency))
    till.shop.clock.advance(60)
    found: Found = till.desk.received("stripe", payment)
    return found


def credit_of(till: Any, customer: str = "Ada") -> list[tuple[str, str, str, str]]:
    """Origin, provider, reference and what is left of each."""
    now = "2026-12-04T00:00:00.000000Z"
    till.credits.check()
    return [
        (each.origin, each.provider, each.reference, each.left(now).amount)
        for each in till.credits.list(customer)
    ]


def told_of(till: Any, type_: str) -> dict[str, Any]:
    """What the one notice of a type says."""
    events = Deliveries(till.shop.database, till.shop.keys, till.shop.clock).events()
    (data,) = (each["data"] for each in events if each["type"] == type_)
    return dict(data)


def test_an_old_page_that_is_paid_after_a_part_was_credited_pays_and_the_rest_is_credit(
    till: Any,
) -> None:
    invoice = till.issued("100")
    till.shop.invoices.credit_part(invoice.id, 1, euros("20"), "slow")
    for status in ("paid", "known", "known"):
        assert pay(till, invoice.number, "100").status == status
    after = till.shop.invoices.find(invoice.id)
    assert (after.status, after.settled()["paid"]) == ("paid", "80")
    assert credit_of(till) == [("paid", "stripe", "p1", "20")]
    assert till.balance("cash:stripe") == "100"
    assert till.balance(f"receivable:{invoice.customer}") == "0"
    assert till.desk.mismatches() == []
    till.shop.clock.moment = datetime(2027, 1, 20, tzinfo=UTC)
    gate = KeyGate(till.shop.database, till.shop.clock, overdue_stop_days=14)
    gate.admit(till.shop.key_of("Ada"), "pets")


def test_what_more_was_paid_is_told_of_with_what_became_credit(till: Any) -> None:
    invoice = till.issued()
    found = pay(till, invoice.number, "12.35")
    assert found.to_json() == {
        "status": "paid",
        "provider": "stripe",
        "reason": None,
        "reference": "p1",
        "number": invoice.number,
        "amount": "12.35",
        "currency": "EUR",
        "credit": "0.01",
    }
    assert sorted(till.told()) == ["invoice.issued", "invoice.paid", "payment.credited"]
    assert told_of(till, "payment.credited") == {
        "provider": "stripe",
        "reference": "p1",
        "number": invoice.number,
        "amount": "12.35",
        "currency": "EUR",
        "credit": "0.01",
    }


def test_less_than_is_owed_pays_a_part_and_is_told_of(till: Any) -> None:
    invoice = till.issued()
    for status in ("part", "known"):
        found = pay(till, invoice.number, "12.33")
        assert (found.status, found.credit) == (status, None)
    after = till.shop.invoices.find(invoice.id)
    assert (after.status, after.settled()["paid"], after.to_pay) == (
        "issued",
        "12.33",
        euros("0.01"),
    )
    data = told_of(till, "payment.partial")
    assert (data["amount"], data["to_pay"]) == ("12.33", "0.01")
    assert pay(till, invoice.number, "5", reference="p2").credit == euros("4.99")
    assert till.shop.invoices.find(invoice.id).status == "paid"
    assert till.balance("cash:stripe") == "17.33"


def test_a_second_payment_is_credit_and_can_be_paid_out(till: Any) -> None:
    invoice = till.issued()
    till.shop.invoices.pay(invoice.id, None, "manual", "bank 1")
    for status in ("credited", "known"):
        found = pay(till, invoice.number, "12.34")
        assert found.status == status
    assert till.told()[-1] == "payment.credited"
    assert (till.balance("cash:stripe"), till.balance("cash:manual")) == ("12.34", "12.34")
    (credit,) = till.credits.list("Ada")
    till.credits.refund(credit.id)
    till.credits.check()
    assert till.balance("cash:stripe") == "0"
    assert pay(till, invoice.number, "12.34").status == "known"  # told once more


@pytest.mark.parametrize("end", ["void", "credited", "replaced"])
def test_what_is_paid_of_an_invoice_that_is_owed_no_longer_is_credit(till: Any, end: str) -> None:
    invoice = till.issued()
    if end == "void":
        till.shop.invoices.void(invoice.id)
    else:
        till.shop.invoices.credit(invoice.id, "wrong", anew=end == "replaced")
    found = pay(till, invoice.number, "12.34")
    assert (found.status, str(found.reason)) == ("credited", f"it is {end}")
    assert credit_of(till) == [("paid", "stripe", "p1", "12.34")]
    assert till.shop.invoices.find(invoice.id).status == end
    assert till.balance(f"receivable:{invoice.customer}") == "0"


def test_the_page_of_an_invoice_that_late_usage_replaced_pays_the_one_in_its_place(
    till: Any,
) -> None:
    shop, november = till.shop, Period(2026, 11)
    charge = Charge.plain("image", "0.02")
    shop.plans.agree("standard", Terms("EUR", (charge,), late=Late("credit_note", 0)))
    shop.meter.record(shop.usage("Ada")).result(10)
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
    old = shop.invoices.issue(shop.invoices.run(november).drafted[0].id)
    shop.clock.moment = datetime(2026, 11, 29, tzinfo=UTC)
    shop.meter.record(shop.usage("Ada")).result(10)
    shop.clock.moment = datetime(2026, 12, 4, tzinfo=UTC)
    (anew,) = shop.invoices.run(november).drafted
    assert shop.invoices.find(old.id).status == "replaced"
    issued = shop.invoices.issue(anew.id)
    assert pay(till, old.number, "0.02").status == "credited"
    assert shop.invoices.pay_by_credit(issued.id).to_pay == euros("0.02")
    assert credit_of(till) == [("paid", "stripe", "p1", "0")]
    assert till.balance(f"receivable:{issued.customer}") == "0.02"


def test_of_two_payments_at_once_one_pays_and_the_other_is_credit(till: Any) -> None:
    invoice = till.issued()

    def take(number: int) -> str:
        return pay(till, invoice.number, "12.34", reference=f"p{number % 2}").status

    with ThreadPoolExecutor(8) as threads:
        came = sorted(threads.map(take, range(16)))
    assert came == ["credited", *["known"] * 14, "paid"]
    assert till.balance("cash:stripe") == "24.68"
    assert [left for *__, left in credit_of(till)] == ["12.34"]


def test_what_is_finer_than_the_currency_counts_is_no_money_for_the_books(
    till: Any, stripe_stand: Any
) -> None:
    invoice = till.issued("12", "ISK")
    body = message(metadata={"mintage_invoice": invoice.number}, currency="isk", amount_paid=1250)
    found = till.desk.notified("stripe", body, signed(body))
    assert (found.status, str(found.reason)) == (
        "mismatch",
        "12.5 ISK is no amount in whole minor units",
    )
    assert till.shop.invoices.find(invoice.id).to_pay == invoice.total


def test_money_of_a_provider_that_takes_none_in_that_currency_is_kept_apart(till: Any) -> None:
    invoice = till.issued()
    payment = Payment("t1", invoice.number, euros("12.34"))
    found = till.desk.received("alipay", payment)
    assert (found.status, str(found.reason)) == ("mismatch", "alipay takes nothing in EUR")
    yuan = Payment("t2", invoice.number, Money.parse("12.34", "CNY"))
    assert till.desk.received("alipay", yuan).status == "mismatch"
    assert [each["reference"] for each in till.desk.mismatches()] == ["t1", "t2"]


def test_more_than_credit_can_hold_is_kept_apart(till: Any) -> None:
    invoice = till.issued()
    assert pay(till, invoice.number, "100000013").status == "mismatch"
    assert pay(till, invoice.number, "100000012.34", reference="p2").credit == euros("100000000")


def test_money_that_the_provider_set_right_is_booked_and_listed_no_more(till: Any) -> None:
    invoice = till.issued()
    for __ in range(2):
        assert pay(till, "INV-1999-000001", "12.34").status == "mismatch"
    assert pay(till, invoice.number, "12.34").status == "paid"
    assert till.desk.mismatches() == []
    assert len(till.shop.leaves("payment.dismissed")) == 1
    assert pay(till, "INV-1999-000001", "12.34").status == "known"


@pytest.mark.parametrize(
    ("owed", "asked", "came", "pays", "settles"),
    [
        ("5.124", "5.12", "5.12", "5.12", "5.124"),  # rounding took what could not be asked for
        ("5.126", "5.13", "5.13", "5.13", "5.126"),
        ("5.126", "5.13", "5.127", "5.126", "5.126"),
        ("5.126", "5.13", "6", "5.126", "5.126"),
        ("5.126", "5.13", "5.12", "5.12", "5.12"),
        ("5.124", "5.12", "5.122", "5.122", "5.124"),
        ("0.004", "0", "0.01", "0.004", "0.004"),
        ("5.1235", "5.12", "6", "5.124", "5.1235"),  # what no payment can say is rounding's
        ("5.1235", "5.1235", "5.123", "5.123", "5.123"),
    ],
)
def test_a_payment_pays_what_is_owed_as_far_as_the_currency_can_say_it(
    owed: str, asked: str, came: str, pays: str, settles: str
) -> None:
    amounts = [Money.parse(each, "KWD") for each in (owed, asked, came, pays, settles)]
    assert _share(*amounts[:3]) == tuple(amounts[3:])
