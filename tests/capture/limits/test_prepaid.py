"""Credit: paid in advance, taken by calls and invoices, and never more than there is."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import wait
from datetime import datetime
from typing import Any

import pytest
from tests.capture.conftest import Shop

from mintage.capture.books.invoice import Invoice
from mintage.capture.details import Details, Tax
from mintage.capture.key_limits import KeyLimits
from mintage.capture.limits.holds import Holds
from mintage.capture.limits.prepaid import Credits
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import AccountError, BooksBroken, ConfigError, PaymentDue, RequestError
from mintage.core.money import Money
from mintage.core.types import Permit

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "10"))
IMAGE = {"image": 1}
NOVEMBER = Period(2026, 11)


def euros(amount: str) -> Money:
    return Money.parse(amount, "EUR")


def credits_of(shop: Shop) -> Credits:
    return Credits(shop.database, shop.clock)


def add(shop: Shop, amount: str, reference: str | None = "bank-1", **more: Any) -> str:
    added = credits_of(shop).add(
        "Ada", euros(amount), provider="manual", reference=reference, **more
    )
    return added.id


def prepaid(shop: Shop, price: str = "0.02", **changes: Any) -> Permit:
    terms = {"prepaid": True, "late": Late(grace_days=0)} | changes
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", price),), **terms))
    return shop.permit()


def call(shop: Shop, permit: Permit, **changes: Any) -> None:
    hold = Holds(shop.database, shop.clock, 60).reserve(permit, IMAGE).result()
    shop.meter.record(shop.usage(permit=permit, hold=hold, **changes)).result()


def left(shop: Shop) -> str:
    (balance,) = credits_of(shop).balances("Ada")
    assert balance.held.nanos == 0
    return balance.left.amount


def check(shop: Shop) -> dict[str, str]:
    balances = shop.ledger.check()
    credits_of(shop).check()
    said = balances.to_json()["accounts"]
    ada = shop.customers.find("Ada").id
    return {name.replace(ada, "Ada"): amounts["EUR"] for name, amounts in said.items()}


def december(shop: Shop) -> None:
    shop.clock.moment = datetime.fromisoformat("2026-12-01T00:00:01+00:00")


@pytest.mark.parametrize(("bound", "most"), [("credit", 29), ("budget", 29), ("spend_limit", 30)])
def test_at_a_price_that_does_not_end_no_bound_is_passed(shop: Shop, bound: str, most: int) -> None:
    """Credit and budget take each call, rounded up alike; a spend limit the month's exact sum."""
    thirds = Charge("image", (Tier("0.1"),), per=3)
    spend = "1" if bound == "spend_limit" else None
    terms = Terms("EUR", (thirds,), prepaid=bound == "credit", spend_limit=spend)
    shop.plans.agree("standard", terms)
    permit = shop.permit()
    if bound == "credit":
        add(shop, "1")
    elif bound == "budget":
        ada = shop.customers.find("Ada")
        frugal = shop.customers.issue_key(ada.id, KeyLimits(budget=euros("1")))
        permit = shop.gate.admit(frugal.key.reveal(), "pets")
    for __ in range(most):
        call(shop, permit)
    with pytest.raises(AccountError):
        call(shop, permit)


def test_calls_are_answered_as_long_as_credit_lasts(shop: Shop) -> None:
    permit = prepaid(shop)
    holds = Holds(shop.database, shop.clock, 60)
    with pytest.raises(PaymentDue, match=r"0\.02 EUR") as none:
        holds.reserve(permit, IMAGE).result()
    assert none.value.http_status == 402
    add(shop, "0.10")
    asked = [holds.reserve(permit, IMAGE) for __ in range(64)]
    wait(asked)
    taken = [each.result() for each in asked if each.exception() is None]
    assert len(taken) == 5
    for hold in taken:
        shop.meter.record(shop.usage(permit=permit, hold=hold)).result()
    assert left(shop) == "0"
    check(shop)


def test_what_a_call_takes_has_its_tax(shop: Shop) -> None:
    shop.key_of("Ada")
    shop.customers.set_details("Ada", Details(taxes=(Tax("VAT", "19"),)))
    permit = prepaid(shop, price="1")
    add(shop, "2.40")
    call(shop, permit)
    call(shop, permit)
    assert left(shop) == "0.02"
    with pytest.raises(PaymentDue, match=r"1\.19 EUR"):
        call(shop, permit)


def test_free_outcomes_take_nothing(shop: Shop) -> None:
    permit = prepaid(shop)
    add(shop, "1")
    call(shop, permit, outcome="error")
    call(shop, permit, outcome="abstain")
    assert left(shop) == "1"


def test_the_invoice_of_a_prepaid_month_is_paid_by_what_calls_took(shop: Shop) -> None:
    permit = prepaid(shop, price="0.015")
    add(shop, "1")
    for __ in range(3):
        call(shop, permit)
    assert left(shop) == "0.955"
    december(shop)
    call(shop, permit)  # of December: not of the invoice
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(draft.id)
    assert issued.status == "paid"
    assert (issued.document["total"], issued.document["credit"]) == ("0.05", "0.05")
    assert issued.document["to_pay"] == "0"
    assert left(shop) == "0.935"  # a half cent more than calls took: the invoice's line is rounded
    accounts = check(shop)
    assert accounts["credit:Ada"] == "-0.95"
    assert accounts["receivable:Ada"] == "0"


def test_what_calls_took_beyond_the_invoice_is_credit_again(shop: Shop) -> None:
    permit = prepaid(shop, price="0.159")
    add(shop, "10")
    for __ in range(27):
        call(shop, permit)
    assert left(shop) == "5.707"  # less 4.293
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(draft.id)
    assert issued.document["credit"] == issued.document["total"] == "4.29"
    assert left(shop) == "5.71"
    assert check(shop)["credit:Ada"] == "-5.71"


def test_other_invoices_take_what_is_left_of_credit(shop: Shop) -> None:
    prepaid(shop, price="1", prepaid=False)
    shop.meter.record(shop.usage()).result()
    shop.meter.record(shop.usage()).result()
    add(shop, "0.50", reference=None)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(draft.id)
    assert issued.status == "issued"
    assert issued.document["to_pay"] == "1.5"
    paid = shop.invoices.pay(issued.id, None, "manual", "bank-7")
    assert paid.status == "paid"
    accounts = check(shop)
    assert (accounts["given"], accounts["cash:manual"]) == ("0.5", "1.5")
    assert accounts["receivable:Ada"] == accounts["credit:Ada"] == "0"


def test_a_credit_note_gives_back_what_credit_had_paid(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    add(shop, "5")
    call(shop, permit)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(draft.id)
    assert left(shop) == "4"
    shop.invoices.credit(issued.id, "a mistake of ours")
    assert left(shop) == "5"
    assert check(shop)["credit:Ada"] == "-5"


def test_what_ends_first_is_taken_first_and_what_ends_is_lost(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    add(shop, "3", "bank-1")
    add(shop, "2", "bank-2", expires="10d")
    call(shop, permit)
    assert left(shop) == "4"
    shop.clock.advance(10 * 86_400)
    assert left(shop) == "3"
    assert credits_of(shop).lapse() == 1
    assert credits_of(shop).lapse() == 0
    accounts = check(shop)
    assert accounts["revenue:expired credit"] == "-1"
    assert accounts["credit:Ada"] == "-4"  # one is taken by a call, and not invoiced yet


def test_a_payment_is_noted_once(shop: Shop) -> None:
    shop.key_of("Ada")
    shop.key_of("Bo")
    first = add(shop, "5", "bank-1")
    assert add(shop, "5", "bank-1") == first
    with pytest.raises(RequestError, match="noted already") as other:
        add(shop, "6", "bank-1")
    assert other.value.http_status == 409
    assert left(shop) == "5"


@pytest.mark.parametrize("amount", ["0", "-1", "0.001"])
def test_credit_is_a_whole_amount_above_zero(shop: Shop, amount: str) -> None:
    shop.key_of("Ada")
    with pytest.raises(RequestError, match="above zero"):
        add(shop, amount)


def test_what_is_left_can_be_paid_back_but_for_what_calls_hold(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    credit = add(shop, "3")
    call(shop, permit)
    holds = Holds(shop.database, shop.clock, 60)
    hold = holds.reserve(permit, IMAGE).result()
    with pytest.raises(RequestError, match="paid back now"):
        credits_of(shop).refund(credit)
    holds.release(hold)
    shop.database.passing.write(lambda _connection: None)  # released by now
    assert credits_of(shop).refund(credit).left(str(shop.clock)).nanos == 0
    assert check(shop)["cash:manual"] == "1"
    with pytest.raises(PaymentDue):
        holds.reserve(permit, IMAGE).result()


def test_customers_are_told_when_credit_runs_out(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    add(shop, "5")
    for __ in range(5):
        call(shop, permit)
    said = [json.loads(leaf["record"]) for leaf in shop.leaves("limit.reached")]
    assert [(each["limit"], each["percent"], each["most"]) for each in said] == [
        ("credit", 80, "5 EUR"),
        ("credit", 100, "5 EUR"),
    ]


def test_a_prepaid_plan_has_prices_that_nothing_changes(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="prepaid"):
        Terms("EUR", (Charge.plain("image", "1"),), prepaid=True, minimum="5")


def test_credit_that_was_changed_in_the_database_is_found(shop: Shop) -> None:
    shop.key_of("Ada")
    add(shop, "5")
    shop.database.write(lambda c: c.exec_driver_sql("UPDATE credits SET spent_nanos = 1") and None)
    with pytest.raises(BooksBroken, match="is in the ledger"):
        check(shop)


def test_an_invoice_taken_back_to_be_drawn_up_anew_leaves_its_credit(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    add(shop, "5")
    for __ in range(5):
        call(shop, permit)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(draft.id)
    shop.invoices.credit(issued.id, "another address", anew=True)
    assert left(shop) == "5"
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    anew = shop.invoices.issue(draft.id)
    assert (anew.status, anew.document["to_pay"], left(shop)) == ("paid", "0", "0")
    assert check(shop)["receivable:Ada"] == "0"


def late_call(shop: Shop, tiers: tuple[Tier, ...]) -> Invoice:
    """Five calls invoiced and paid by credit; then one of that month turns up, and replaces it."""
    charge = Charge("image", tiers, "volume")
    late = Late("credit_note", grace_days=0)
    shop.plans.agree("standard", Terms("EUR", (charge,), late=late))
    shop.clock.moment = datetime.fromisoformat("2026-11-30T23:00:00+00:00")
    for __ in range(5):
        shop.meter.record(shop.usage()).result()
    add(shop, "6")
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    assert shop.invoices.issue(draft.id).status == "paid"
    shop.clock.moment = datetime.fromisoformat("2026-11-30T23:30:00+00:00")
    shop.meter.record(shop.usage()).result()
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    return shop.invoices.issue(draft.id)


def test_what_takes_an_invoices_place_says_what_was_paid_of_it(shop: Shop) -> None:
    anew = late_call(shop, (Tier("1"),))
    assert (anew.total.amount, anew.status) == ("6", "paid")
    assert (anew.document["credit"], anew.document["to_pay"]) == ("6", "0")
    assert left(shop) == "0"
    assert check(shop)["receivable:Ada"] == "0"


def test_credit_that_paid_more_than_is_owed_in_the_end_is_given_back(shop: Shop) -> None:
    anew = late_call(shop, (Tier("1", 5), Tier("0.10")))
    assert (anew.total.amount, anew.document["credit"]) == ("0.6", "0.6")
    assert left(shop) == "5.4"
    assert check(shop)["receivable:Ada"] == "0"


def test_a_gift_that_comes_back_is_a_gift_and_ends_when_it_would_have(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    gift = add(shop, "5", reference=None, expires="60d")
    call(shop, permit)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    shop.invoices.credit(shop.invoices.issue(draft.id).id, "a mistake of ours")
    (credit,) = credits_of(shop).list("Ada")
    assert (credit.id, credit.left(str(shop.clock)).amount) == (gift, "5")
    credits_of(shop).refund(gift)
    accounts = check(shop)
    assert accounts["given"] == "0"
    assert not [name for name in accounts if name.startswith("cash:")]


def test_what_comes_back_of_credit_that_has_ended_is_used_and_not_paid_out(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    add(shop, "1", expires="5d")
    call(shop, permit)
    december(shop)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    shop.invoices.credit(shop.invoices.issue(draft.id).id, "a mistake of ours")
    assert left(shop) == "1"
    (returned,) = [each for each in credits_of(shop).list("Ada") if each.origin == "returned"]
    with pytest.raises(RequestError, match="to be used"):
        credits_of(shop).refund(returned.id)
    check(shop)


def test_an_invoice_takes_no_credit_that_a_call_holds(shop: Shop) -> None:
    shop.plans.agree("after", Terms("EUR", (Charge.plain("image", "1"),), late=Late(grace_days=0)))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "after")
    shop.meter.record(shop.usage(permit=shop.permit())).result()
    december(shop)
    advance = Terms("EUR", (Charge.plain("image", "1"),), prepaid=True)
    shop.plans.agree("advance", advance)
    shop.subscriptions.begin("Ada", "advance")
    add(shop, "1.50")
    permit = shop.permit()
    hold = Holds(shop.database, shop.clock, 60).reserve(permit, IMAGE).result()
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    assert shop.invoices.issue(draft.id).document["credit"] == "0.5"
    shop.meter.record(shop.usage(permit=permit, hold=hold)).result()
    assert left(shop) == "0"
    check(shop)


def test_customers_are_told_after_each_top_up(shop: Shop) -> None:
    permit = prepaid(shop, price="1")
    for number in range(6):
        add(shop, "5", f"bank-{number}")
        for __ in range(5):
            call(shop, permit)
    told = [json.loads(leaf["record"])["percent"] for leaf in shop.leaves("limit.reached")]
    assert told == [80, 100] * 6


@pytest.mark.parametrize("amount", ["200000000", "10000000000"])
def test_credit_that_no_row_could_hold_is_refused(shop: Shop, amount: str) -> None:
    shop.key_of("Ada")
    with pytest.raises(RequestError, match="more than one credit"):
        add(shop, amount)


def test_a_prepaid_plan_has_no_flat_amounts(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="prepaid"):
        Terms("EUR", (Charge("image", (Tier("1", flat="5"),)),), prepaid=True)


class Days:
    """What can happen to a customer with credit, one thing at a time."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.chance, self.month = shop, random.Random(seed), NOVEMBER
        self.permit, self.credits = prepaid(shop, price="0.37"), credits_of(shop)
        self.paid, self.answered = 0, 0

    def add(self) -> None:
        cents = self.chance.randrange(1, 300)
        self.paid += cents
        expires = self.chance.choice([None, "5d", "40d"])
        add(self.shop, f"{cents / 100:.2f}", f"bank-{self.paid}", expires=expires)

    def call(self) -> None:
        left = sum(each.left.nanos for each in self.credits.balances("Ada"))
        if left >= 370_000_000:
            call(self.shop, self.permit)
            self.answered += 1
        else:
            with pytest.raises(PaymentDue):
                call(self.shop, self.permit)

    def end_the_month(self) -> None:
        self.shop.clock.moment = self.month.following.bounds("UTC")[0]
        for draft in self.shop.invoices.run(self.month).drafted:
            self.shop.invoices.issue(draft.id)
        self.month = self.month.following

    def credit(self) -> None:
        paid = [each for each in self.shop.invoices.list(status="paid") if each.kind == "invoice"]
        if paid:
            anew = self.chance.random() < 0.5
            self.shop.invoices.credit(self.chance.choice(paid).id, "asked for", anew=anew)

    def refund(self) -> None:
        now = str(self.shop.clock)
        found = [
            each
            for each in self.credits.list("Ada")
            if each.left(now).nanos and each.origin != "returned"
        ]
        if found:
            self.credits.refund(self.chance.choice(found).id)

    def lapse(self) -> None:
        self.credits.lapse()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_whatever_happens_credit_adds_up(shop: Shop, seed: int) -> None:
    days = Days(shop, seed)
    things = [days.add, days.credit, days.refund, days.lapse, days.end_the_month]
    for __ in range(40):
        days.chance.choice([*things, days.call, days.call, days.call])()
        check(shop)
    paid = sum(each.nanos for each in days.credits.list("Ada") if each.origin == "paid")
    assert paid == days.paid * 10_000_000
    events = shop.history.list_usage(customer=days.permit.customer, limit=1000)
    assert sum(event.outcome == "ok" for event in events) == days.answered
