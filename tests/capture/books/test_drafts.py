"""A run of invoices: what cannot be done for one customer is said, and done for all others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.books import drafts, ledger
from mintage.capture.limits.prepaid import Credits
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import RequestError
from mintage.core.messages import told
from mintage.core.money import Money

NOVEMBER = Period(2026, 11)


def december(shop: Any) -> None:
    shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)


def use(shop: Any, customer: str, count: int = 1) -> None:
    shop.meter.record(shop.usage(customer, quantities={"image": count})).result(10)


def others(shop: Any, count: int = 20) -> list[str]:
    """Customers of whom nothing is to be said."""
    names = [f"customer {n:02}" for n in range(count)]
    for name in names:
        use(shop, name)
    return names


def named(found: Any) -> list[str]:
    return sorted(each.document["customer"]["name"] for each in found)


def test_a_line_that_the_ledger_cannot_hold_is_said_and_all_others_are_issued(shop: Any) -> None:
    terms = Terms("IDR", (Charge.plain("image", "1000000"),), maximum="500")
    shop.plans.agree("large", terms)
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "large")
    use(shop, "Ada", 20_000)
    names = others(shop)
    december(shop)
    for __ in range(2):
        ran = shop.invoices.issue_ran(shop.invoices.run(NOVEMBER))
        ((who, why),) = ran.waiting
        assert (who, "20000000000 IDR" in why, "ledger can hold" in why) == ("Ada", True, True)
        assert "账本" in told(why, "zh")
    assert named(shop.invoices.list(status="issued")) == names
    assert not shop.invoices.list(status="draft")
    shop.ledger.check()


def test_what_fails_for_one_customer_as_it_is_drafted_is_said_and_drafts_the_others(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop.plans.agree("spoilt", Terms("EUR", (Charge.plain("image", "1"),)))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "spoilt")
    use(shop, "Ada")
    names = others(shop)
    december(shop)
    spoil = "UPDATE plans SET terms = '{' WHERE name = 'spoilt'"
    shop.database.write(lambda connection: connection.exec_driver_sql(spoil) and None)
    ran = shop.invoices.run(NOVEMBER)
    assert named(ran.drafted) == names
    ((who, why),) = ran.waiting
    assert (who, "is to be reported" in why) == ("Ada", True)
    logged = [each for each in caplog.records if each.name == "mintage.capture.books.running"]
    assert [each.exc_info is not None for each in logged] == [True]
    with pytest.raises(ValueError, match="Expecting"):
        shop.invoices.run(NOVEMBER, shop.customers.find("Ada").id)


def test_what_cannot_be_issued_for_one_customer_is_said_and_the_others_are_issued(
    shop: Any,
) -> None:
    use(shop, "Ada")
    names = others(shop)
    december(shop)
    ran = shop.invoices.run(NOVEMBER)
    (hers,) = [each for each in ran.drafted if each.document["customer"]["name"] == "Ada"]
    shop.invoices.void(hers.id)  # by somebody else, meanwhile
    done = shop.invoices.issue_ran(ran)
    assert named(done.drafted) == names
    assert [(who, "only a draft" in why) for who, why in done.waiting] == [("Ada", True)]
    with pytest.raises(RequestError, match="only a draft"):
        shop.invoices.issue_all(ran.drafted)


def test_a_payment_whose_rest_no_credit_can_hold_is_refused_and_leaves_nothing(shop: Any) -> None:
    use(shop, "Ada", 5000)
    december(shop)
    (issued,) = shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    amount = Money.parse("99999999999999", "EUR")
    with pytest.raises(RequestError, match="more than one credit can hold"):
        shop.invoices.pay_each([issued.id], amount, "manual", "bank 1", rest_to_credit=True)
    assert shop.invoices.find(issued.id).to_pay == issued.total
    assert not Credits(shop.database, shop.clock).list("Ada")


@pytest.fixture
def replaced(shop: Any) -> Any:
    """A paid invoice that a draft with late usage took the place of, and its payment."""
    late = Late("credit_note")
    shop.plans.agree("standard", Terms("IDR", (Charge.plain("image", "1000"),), late=late))
    use(shop, "Ada", 2)
    december(shop)
    (issued,) = shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    shop.invoices.pay(issued.id, None, "manual", "bank 1")
    shop.clock.moment = datetime(2026, 11, 30, tzinfo=UTC)
    use(shop, "Ada", 1)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    assert (draft.id, shop.invoices.find(draft.id).paid_nanos) != (issued.id, 0)
    return draft


def credit_of(shop: Any) -> list[str]:
    return [str(each.left) for each in Credits(shop.database, shop.clock).balances("Ada")]


def test_a_paid_draft_that_is_voided_leaves_its_payment_as_credit(shop: Any, replaced: Any) -> None:
    shop.invoices.void(replaced.id)
    assert credit_of(shop) == ["2000 IDR"]
    (again,) = shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    assert (str(again.total), again.settled()["credit"], str(again.to_pay)) == (
        "3000 IDR",
        "2000",
        "1000 IDR",
    )
    assert credit_of(shop) == ["0 IDR"]
    shop.ledger.check()


def test_a_paid_draft_that_cannot_be_drawn_up_again_leaves_its_payment_as_credit(
    shop: Any, replaced: Any
) -> None:
    shop.clock.moment = datetime(2026, 11, 30, tzinfo=UTC)
    use(shop, "Ada", 10**9)
    december(shop)
    ran = shop.invoices.run(NOVEMBER)
    assert (not ran.drafted, "more than one invoice" in ran.waiting[0][1]) == (True, True)
    assert credit_of(shop) == ["2000 IDR"]
    with pytest.raises(RequestError, match="no invoice"):
        shop.invoices.find(replaced.id)
    shop.ledger.check()


def test_a_paid_draft_of_which_nothing_is_left_leaves_its_payment_as_credit(
    shop: Any, replaced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "drafts_of", lambda *_args, **_named: {})
    assert shop.invoices.issue_all([replaced]) == []
    assert credit_of(shop) == ["2000 IDR"]
    Credits(shop.database, shop.clock).check()
    shop.ledger.check()


def test_an_entry_that_no_row_could_hold_is_refused(shop: Any) -> None:
    amount = Money(2**63, "IDR")
    entries = [ledger.Entry("receivable:1", amount), ledger.Entry("revenue", -amount)]
    with pytest.raises(RequestError, match="more than the ledger can hold"):
        shop.database.write(lambda c: ledger.post(c, "invoice", "inv_1", entries, "now"))
    assert shop.ledger.check().transactions == 0
