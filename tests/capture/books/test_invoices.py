"""Invoices: once for a month, exact, never changed; late usage where its plan says."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.capture.conftest import Shop
from tests.conftest import ManualClock

from mintage.capture.checking.documents import DocumentCheck
from mintage.capture.details import Details, Tax
from mintage.capture.limits.prepaid import Credits
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import BooksBroken, NotAllowed, RequestError
from mintage.core.money import Money
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

NOVEMBER, DECEMBER = Period(2026, 11), Period(2026, 12)


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def use(shop: Any, count: int = 1, customer: str = "Ada", **changes: Any) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage(customer, **changes)).result(10)


def gold(shop: Any, **further: Any) -> None:
    tiers = (Tier("0.10", 10), Tier("0.05"))
    charge = Charge("image", tiers, "graduated", included=2)
    shop.plans.agree("gold", Terms("EUR", (charge,), **{"fee": "30"} | further))


def lines(invoice: Any) -> list[tuple[str, str]]:
    return [(line["kind"], line["amount"]) for line in invoice.document["lines"]]


def test_a_products_own_plan_is_of_a_whole_month_for_who_begins_another_in_it(shop: Any) -> None:
    """Nobody begins it, so it has no days: what was free when it was used stays free."""
    own = Charge("image", (Tier("0.10"),), included=10)
    shop.plans.agree("standard", Terms("EUR", (own,), maximum="0.30"))
    gold(shop)  # 2 included, 10 at 0.10: of half a month 1 and 5
    at(shop, "2026-11-03")
    use(shop, 12)
    at(shop, "2026-11-16")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 7)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert lines(made) == [("fee", "15"), ("usage", "0.55"), ("usage", "0.2")]
    assert [line.get("share") for line in made.document["lines"]] == ["1/2", "1/2", None]


def test_what_was_used_without_a_plan_of_ones_own_is_invoiced_at_the_products_price(
    shop: Any,
) -> None:
    use(shop, 3)
    use(shop, 2, outcome="error")
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert (made.status, made.number, made.total) == ("draft", None, Money.parse("0.06", "EUR"))
    assert lines(made) == [("usage", "0.06")]
    assert made.document["lines"][0]["products"] == {"pets": 3}


def test_a_run_can_be_repeated_and_makes_no_second_invoice(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    (again,) = shop.invoices.run(NOVEMBER).drafted
    assert (again.id, again.attempt) == (draft.id, 1)
    issued = shop.invoices.issue(draft.id)
    assert issued.number == "INV-2026-000001"
    assert shop.invoices.issue(draft.id) == issued
    ran = shop.invoices.run(NOVEMBER)
    assert (list(ran.drafted), list(ran.standing)) == ([], [issued])
    assert shop.invoices.list() == [issued]


def test_a_month_is_invoiced_when_it_is_over_and_late_usage_had_its_time(shop: Any) -> None:
    use(shop)
    for moment in ("2026-11-30T23:59:59", "2026-12-01T23:59:59"):
        at(shop, moment)
        ran = shop.invoices.run(NOVEMBER)
        assert not ran.drafted
        assert [(who, "2026-12-02" in str(why)) for who, why in ran.waiting] == [("Ada", True)]
    at(shop, "2026-12-02")
    assert len(shop.invoices.run(NOVEMBER).drafted) == 1


@pytest.mark.parametrize("policy", ["next_invoice", "credit_note"])
def test_a_month_whose_invoice_had_late_usage_alone_is_open_to_its_own(
    shop: Any, policy: Any
) -> None:
    late = Late(policy, 0)
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", "0.02"),), late=late))
    later = Terms("EUR", (Charge.plain("image", "0.02"),), late=Late("next_invoice", 0))
    shop.sell("dogs", shop.plans.agree("other", later).name)
    permit = shop.permit("Ada", "dogs")
    for moment in ("2026-11-25", "2026-11-26"):  # the second turns up in December
        at(shop, moment)
        use(shop, 5, permit=permit)
        at(shop, "2026-12-03")
        shop.invoices.issue_all(shop.invoices.run(NOVEMBER).drafted)
    at(shop, "2027-01-03")
    (issued,) = shop.invoices.issue_all(shop.invoices.run(DECEMBER).drafted)
    assert lines(issued) == [("late", "0.1")]
    at(shop, "2026-12-20")
    use(shop, 8)
    at(shop, "2027-02-03")
    shop.invoices.issue_all(shop.invoices.run(Period(2027, 1)).drafted)
    assert sum(each.total.nanos for each in shop.invoices.list()) == 360_000_000


def test_a_plan_begun_in_mid_month_is_shared_by_the_day(shop: Any) -> None:
    gold(shop)
    shop.key_of("Ada")
    at(shop, "2026-11-16")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 10)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    # 15 of 30 days: 15.00; 1 of 2 images included; 5 of 9 at 0.10, 4 at 0.05.
    assert lines(made) == [("fee", "15"), ("usage", "0.7")]


def test_an_upgrade_splits_the_month_and_each_day_is_paid_once(shop: Any) -> None:
    gold(shop)
    shop.plans.agree("platinum", Terms("EUR", (Charge.plain("image", "0.01"),), fee="90"))
    shop.key_of("Ada")
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 4)
    at(shop, "2026-11-11T15:00")
    shop.subscriptions.begin("Ada", "platinum")
    use(shop, 10)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert [(line["plan"], line["amount"]) for line in made.document["lines"]] == [
        ("gold@1", "10"),  # 10 of 30 days
        ("gold@1", "0.3"),  # 1 of 2 included
        ("platinum@1", "60"),
        ("platinum@1", "0.1"),
    ]


def test_who_cancels_and_begins_again_on_one_day_pays_it_once(shop: Any) -> None:
    gold(shop)
    shop.key_of("Ada")
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-11-10T08:00")
    shop.subscriptions.cancel("Ada", "gold")
    at(shop, "2026-11-10T18:00")
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert [line["amount"] for line in made.document["lines"]] == ["9", "21"]


def test_a_plan_cancelled_with_the_month_ends_with_it(shop: Any) -> None:
    gold(shop)
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    ended = shop.subscriptions.cancel("Ada", "gold", at_month_end=True)
    assert ended.ended_at == "2026-12-01T00:00:00.000000Z"
    assert shop.permit().plan == "gold"
    at(shop, "2026-12-01")
    assert shop.permit().plan == "standard"
    at(shop, "2027-01-03")
    for period in (NOVEMBER, DECEMBER):  # the later one drafts what the earlier one has left
        made = shop.invoices.run(period).drafted
        assert [(each.period, lines(each)) for each in made] == [("2026-11", [("fee", "8")])]


def test_in_a_trial_calls_are_free_and_it_is_had_once(shop: Any) -> None:
    gold(shop, trial_days=3)
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 5)
    at(shop, "2026-11-24")
    shop.subscriptions.cancel("Ada", "gold")
    at(shop, "2026-11-29")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 3)
    assert [record.price for record in shop.history.list_usage()] == ["0.1"] * 3 + ["0"] * 5
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert lines(made) == [("fee", "2"), ("usage", "0.15")]


def test_a_product_sold_by_subscription_alone_refuses_others(shop: Any) -> None:
    gold(shop)
    shop.sell("scans", plan="gold")
    key = shop.key_of("Ada")
    with pytest.raises(NotAllowed, match="begun a plan"):
        shop.gate.admit(key, "scans")
    shop.subscriptions.begin("Ada", "gold")
    assert shop.gate.admit(key, "scans").plan == "gold"


def test_the_price_of_one_call_is_not_final_where_other_calls_change_it(shop: Any) -> None:
    gold(shop)
    assert shop.meter.record(shop.usage()).result(10).final
    shop.subscriptions.begin("Ada", "gold")
    receipt = shop.meter.record(shop.usage()).result(10)
    assert (receipt.final, receipt.price) == (False, "0.1")


def test_tax_is_on_the_rounded_lines_and_the_residue_is_shown(shop: Any) -> None:
    shop.plans.set("standard", "0.0333", "EUR")
    shop.key_of("Ada")
    taxes = (Tax("VAT", "19"), Tax("levy", "0.5"))
    shop.customers.set_details("Ada", Details(legal_name="Ada GmbH", taxes=taxes))
    use(shop, 50)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    document = made.document
    assert (document["net"], document["total"]) == ("1.67", "2")  # 1.665, then 0.32 and 0.01
    assert document["lines"][0]["residue"] == "-0.005"
    assert [each["amount"] for each in document["taxes"]] == ["0.32", "0.01"]
    assert document["customer"]["legal_name"] == "Ada GmbH"
    shop.invoices.issue(made.id)
    balances = shop.ledger.check().to_json()["accounts"]
    assert balances["rounding"] == {"EUR": "-0.005"}
    assert balances["revenue:standard"] == {"EUR": "-1.665"}
    assert sum(float(each["EUR"]) for each in balances.values()) == pytest.approx(0)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("next_invoice", [("late", "0.04"), ("usage", "0.02")]),
        ("reject", [("usage", "0.02")]),
        ("credit_note", [("usage", "0.02")]),
    ],
)
def test_late_usage_goes_where_its_plan_says(
    shop: Any, policy: Any, expected: list[tuple[str, str]]
) -> None:
    shop.plans.agree(
        "standard", Terms("EUR", (Charge.plain("image", "0.02"),), late=Late(policy, 0))
    )
    use(shop, 3)
    at(shop, "2026-12-03")
    (first,) = shop.invoices.run(NOVEMBER).drafted
    shop.invoices.issue(first.id)
    at(shop, "2026-11-29")  # another server's clock
    use(shop, 2)
    at(shop, "2026-12-10")
    use(shop)
    at(shop, "2027-01-03")
    ran = shop.invoices.run(DECEMBER)
    months = {made.period: made for made in ran.drafted}
    assert sorted(lines(months["2026-12"])) == expected
    rejected = months["2026-12"].document["rejected"]
    assert [each["events"] for each in rejected] == ([2] if policy == "reject" else [])
    if policy == "credit_note":
        assert [note.number for note in ran.credited] == ["CN-2027-000001"]
        assert shop.invoices.find(first.id).status == "replaced"
        assert months["2026-11"].total == Money.parse("0.10", "EUR")
    for made in ran.drafted:
        shop.invoices.issue(made.id)
    assert not shop.invoices.run(DECEMBER).drafted
    at(shop, "2027-02-03")
    assert not shop.invoices.run(Period(2027, 1)).drafted
    owed = shop.ledger.check().accounts[f"receivable:{first.customer}"]
    assert owed == [Money.parse("0.08" if policy == "reject" else "0.12", "EUR")]


def test_an_invoice_is_paid_in_parts_and_a_payment_counts_once(shop: Any) -> None:
    use(shop, 5)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    issued = shop.invoices.issue(made.id)
    part = Money.parse("0.04", "EUR")
    for __ in range(2):
        found = shop.invoices.pay(issued.number, part, "manual", "bank 1")
        assert found.status == "issued"
    with pytest.raises(RequestError, match="owed"):
        shop.invoices.pay(issued.id, Money.parse("0.07", "EUR"), "manual", "bank 2")
    assert shop.invoices.pay(issued.id, None, "manual", "bank 3").status == "paid"
    with pytest.raises(RequestError, match="to be paid"):
        shop.invoices.pay(issued.id, part, "manual", "bank 4")
    balances = shop.ledger.check().to_json()["accounts"]
    assert balances[f"receivable:{issued.customer}"] == {"EUR": "0"}
    assert balances["cash:manual"] == {"EUR": "0.1"}


def test_a_voided_invoice_keeps_its_number_and_its_usage_is_invoiced_anew(shop: Any) -> None:
    use(shop, 5)
    at(shop, "2026-12-03")
    first = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    shop.invoices.void(first.id)
    again = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    assert [each.number for each in shop.invoices.list()] == ["INV-2026-000001", "INV-2026-000002"]
    assert (again.attempt, again.total) == (2, first.total)
    owed = shop.ledger.check().accounts[f"receivable:{first.customer}"]
    assert owed == [first.total]


def test_a_credit_note_takes_back_all_and_the_usage_stays_taken(shop: Any) -> None:
    use(shop, 5)
    at(shop, "2026-12-03")
    first = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    shop.invoices.pay(first.id, None, "manual", "bank")
    note = shop.invoices.credit(first.id, "a day without service")
    assert (note.number, note.total) == ("CN-2026-000001", -first.total)
    assert note.document["corrects"] == first.number
    assert not shop.invoices.run(NOVEMBER).drafted
    with pytest.raises(RequestError, match="once"):
        shop.invoices.credit(first.id, "again")
    balances = shop.ledger.check().to_json()["accounts"]
    assert balances[f"receivable:{first.customer}"] == {"EUR": "0"}
    assert balances[f"credit:{first.customer}"] == {"EUR": "-0.1"}  # to be used, or paid out
    assert note.status == "issued"
    assert balances["revenue:standard"] == {"EUR": "0"}


def test_an_issued_invoice_does_not_change_with_its_customer(shop: Any) -> None:
    use(shop)
    at(shop, "2026-12-03")
    issued = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    shop.customers.set_details("Ada", Details(legal_name="Another"))
    assert shop.invoices.find(issued.id) == issued


def test_each_customer_gets_an_invoice_in_each_currency(shop: Any) -> None:
    shop.plans.set("cny", "0.15", "CNY")
    shop.sell("birds", plan="cny")
    for customer in ("Ada", "Bob"):
        use(shop, 2, customer)
        use(shop, 1, customer, permit=shop.permit(customer, "birds"))
    at(shop, "2026-12-03")
    made = shop.invoices.run(NOVEMBER).drafted
    totals = sorted((each.document["customer"]["name"], str(each.total)) for each in made)
    assert totals == [
        ("Ada", "0.04 EUR"),
        ("Ada", "0.15 CNY"),
        ("Bob", "0.04 EUR"),
        ("Bob", "0.15 CNY"),
    ]


def test_a_month_is_one_by_the_plans_own_clock(shop: Any) -> None:
    charge = Charge.plain("image", "1")
    shop.plans.agree("standard", Terms("EUR", (charge,), timezone="Asia/Kathmandu"))
    at(shop, "2026-10-31T18:14:59")  # 23:59:59 there
    use(shop)
    at(shop, "2026-10-31T18:15:00")
    use(shop)
    at(shop, "2026-11-30T18:14:59")
    use(shop)
    at(shop, "2026-11-30T18:15:00")
    use(shop)
    at(shop, "2027-01-05")
    totals = {made.period: made.total.amount for made in shop.invoices.run(DECEMBER).drafted}
    assert totals == {"2026-10": "1", "2026-11": "2", "2026-12": "1"}


def test_what_nobody_owes_is_not_invoiced(shop: Any) -> None:
    use(shop, 4, outcome="timeout")
    at(shop, "2026-12-03")
    assert not shop.invoices.run(NOVEMBER).drafted
    assert shop.invoices.list() == []


def test_an_invoice_is_found_by_its_owner_alone(shop: Any) -> None:
    use(shop)
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert shop.invoices.find(made.id, made.customer) == made
    for reference, owner in ((made.id, "cus_other"), ("inv_none", made.customer)):
        with pytest.raises(RequestError) as missing:
            shop.invoices.find(reference, owner)
        assert missing.value.http_status == 404


def test_the_hours_are_the_events(shop: Any) -> None:
    use(shop, 5)
    shop.clock.advance(timedelta(hours=3).total_seconds())
    use(shop, 2, outcome="error")
    shop.rollup.catch_up()
    assert shop.rollup.check() == 7
    shop.database.write(
        lambda c: (
            c.exec_driver_sql("UPDATE usage_hours SET events = 9 WHERE outcome = 'ok'") and None
        )
    )
    with pytest.raises(BooksBroken, match="summed up otherwise"):
        shop.rollup.check()


def test_a_line_is_drilled_down_to_its_events(shop: Any) -> None:
    use(shop, 3)
    use(shop, 2, outcome="error")
    at(shop, "2026-12-03")
    issued = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    at(shop, "2026-11-30")
    use(shop, 4)
    at(shop, "2027-01-03")
    (late,) = shop.invoices.run(DECEMBER).drafted
    for invoice, count in ((issued, 3), (late, 4)):
        events = shop.invoices.events(invoice.id, 1)
        assert sum(each.quantities["image"] for each in events) == count
        assert invoice.total == Money(sum(20_000_000 for __ in events), "EUR")
    with pytest.raises(RequestError, match="not of usage"):
        shop.invoices.events(issued.id, 2)


def settled(shop: Any, *periods: Period) -> list[Any]:
    """What is drafted of some months, one after another, is issued."""
    return [
        made
        for period in periods
        for made in shop.invoices.issue_all(shop.invoices.run(period).drafted)
    ]


def owed(shop: Any, customer: str = "Ada") -> str:
    """What a customer owes, less what they have as credit."""
    who, accounts = shop.customers.find(customer).id, shop.ledger.check().accounts
    found = (accounts.get(f"{kind}:{who}", ()) for kind in ("receivable", "credit"))
    return Money(sum(each.nanos for one in found for each in one), "EUR").amount


def late(shop: Any, count: int, back_to: str, **changes: Any) -> None:
    """Usage that another server's clock dates into a month that is over."""
    now, permit = shop.clock.moment, shop.permit()
    at(shop, back_to)
    use(shop, count, permit=permit, **changes)
    shop.clock.moment = now


JANUARY = Period(2027, 1)


def test_what_a_later_invoice_has_of_a_voided_month_is_not_billed_again(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    (first,) = settled(shop, NOVEMBER)
    late(shop, 2, "2026-11-29")
    at(shop, "2027-01-03")
    (second,) = settled(shop, DECEMBER)
    assert lines(second) == [("late", "0.04")]
    assert second.document["lines"][0]["units"] == 2
    shop.invoices.void(first.id)
    (anew,) = settled(shop, NOVEMBER)
    assert lines(anew) == [("usage", "0.1"), ("elsewhere", "-0.04")]
    assert owed(shop) == "0.1"
    shop.invoices.void(second.id)
    at(shop, "2027-02-03")
    settled(shop, DECEMBER, JANUARY)
    assert owed(shop) == "0.1"


def test_a_credited_invoice_is_not_credited_again_for_late_usage(shop: Any) -> None:
    terms = Terms("EUR", (Charge.plain("image", "0.02"),), late=Late("credit_note", 0))
    shop.plans.agree("standard", terms)
    use(shop, 3)
    at(shop, "2026-12-03")
    (first,) = settled(shop, NOVEMBER)
    shop.invoices.credit(first.id, "goodwill")
    late(shop, 1, "2026-11-29")
    at(shop, "2027-01-03")
    assert [lines(made) for made in settled(shop, NOVEMBER, DECEMBER)] == [[("late", "0.02")]]
    assert owed(shop) == "0.02"


def test_late_usage_that_costs_nothing_takes_no_invoice_back(shop: Any) -> None:
    terms = Terms("EUR", (Charge.plain("image", "0.02"),), late=Late("credit_note", 0))
    shop.plans.agree("standard", terms)
    use(shop, 3)
    at(shop, "2026-12-03")
    (first,) = settled(shop, NOVEMBER)
    late(shop, 1, "2026-11-29", outcome="error")
    assert not shop.invoices.run(NOVEMBER).credited
    shop.invoices.pay(first.id, None, "manual", "bank")
    late(shop, 1, "2026-11-29")
    ran = shop.invoices.run(NOVEMBER)
    (anew,) = shop.invoices.issue_all(ran.drafted)
    assert (len(ran.credited), anew.status, anew.total.amount) == (1, "issued", "0.08")
    assert shop.invoices.pay(anew.id, None, "manual", "bank 2").status == "paid"
    assert owed(shop) == "0"


def test_a_month_in_progress_is_not_issued_for_what_came_late(shop: Any) -> None:
    at(shop, "2026-10-10")
    use(shop, 3)
    at(shop, "2026-11-03")
    settled(shop, Period(2026, 10))
    late(shop, 2, "2026-10-29")
    at(shop, "2026-11-10")
    for period in (NOVEMBER, Period(2030, 1)):
        ran = shop.invoices.run(period)
        assert (list(ran.drafted), len(ran.waiting)) == ([], 1)
    use(shop, 100)
    at(shop, "2026-12-03")
    settled(shop, NOVEMBER)
    assert owed(shop) == "2.1"


def test_late_usage_under_another_version_is_not_lost(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    settled(shop, NOVEMBER)
    shop.plans.set("standard", "0.05", "EUR")
    late(shop, 10, "2026-11-29")
    at(shop, "2027-01-03")
    settled(shop, DECEMBER)
    assert owed(shop) == "0.56"


def test_a_month_that_came_to_nothing_is_invoiced_when_late_usage_makes_it_something(
    shop: Any,
) -> None:
    charge = Charge("image", (Tier("1"),), included=5)
    shop.plans.agree("standard", Terms("EUR", (charge,)))
    use(shop, 5)
    at(shop, "2026-12-03")
    assert settled(shop, NOVEMBER) == []
    late(shop, 10, "2026-11-29")
    at(shop, "2027-01-03")
    assert [made.period for made in settled(shop, DECEMBER)] == ["2026-11"]
    assert owed(shop) == "10"


def test_an_old_draft_issued_after_the_next_month_loses_nothing(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    late(shop, 2, "2026-11-29")
    use(shop, 1)
    at(shop, "2027-01-03")
    shop.rollup.catch_up()
    shop.invoices.issue(draft.id)
    at(shop, "2027-02-03")
    settled(shop, DECEMBER, JANUARY)
    assert owed(shop) == "0.12"


def test_late_usage_is_on_one_draft_and_what_is_left_of_none_is_not_issued(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    (november,) = settled(shop, NOVEMBER)
    late(shop, 2, "2026-11-29")
    at(shop, "2027-02-03")
    (first,) = shop.invoices.run(DECEMBER).drafted
    (second,) = shop.invoices.run(JANUARY).drafted
    assert lines(first) == lines(second) == [("late", "0.04")]
    assert shop.invoices.list(status="draft") == [second]
    shop.invoices.void(november.id)  # its usage is invoiced anew, all of it
    settled(shop, NOVEMBER)
    with pytest.raises(RequestError, match="Nothing is left"):
        shop.invoices.issue(second.id)
    assert owed(shop) == "0.1"
    assert [each.number for each in shop.invoices.list()] == ["INV-2026-000001", "INV-2027-000001"]


def test_what_was_refused_as_late_stays_refused(shop: Any) -> None:
    terms = Terms("EUR", (Charge.plain("image", "0.02"),), late=Late("reject", 0))
    shop.plans.agree("standard", terms)
    use(shop, 3)
    at(shop, "2026-12-03")
    (first,) = settled(shop, NOVEMBER)
    late(shop, 2, "2026-11-29")
    use(shop, 1)
    at(shop, "2027-01-03")
    settled(shop, DECEMBER)
    shop.invoices.void(first.id)
    (anew,) = settled(shop, NOVEMBER)
    assert anew.total == first.total


def test_what_is_given_back_of_a_year_is_less_by_the_discount_too(shop: Any) -> None:
    shop.plans.agree("year", Terms("EUR", (), fee="365", fee_every="year", discount_percent="50"))
    shop.key_of("Ada")
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "year")
    at(shop, "2026-12-10T12:00")
    shop.subscriptions.cancel("Ada", "year")
    at(shop, "2027-01-03")
    settled(shop, NOVEMBER, DECEMBER)
    assert owed(shop) == "20"  # 40 of 365 days, at half the price


def test_without_proration_a_month_begun_twice_is_paid_once(shop: Any) -> None:
    gold(shop, prorate=False)
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    shop.subscriptions.cancel("Ada", "gold")
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-12-03")
    assert [lines(made) for made in settled(shop, NOVEMBER)] == [[("fee", "30")]]


def test_by_the_second_a_change_takes_effect_at_once_and_each_second_is_paid_once(
    shop: Any,
) -> None:
    gold(shop, prorate="second")
    silver = (Charge.plain("image", "1"),)
    shop.plans.agree("silver", Terms("EUR", silver, fee="60", prorate="second"))
    shop.key_of("Ada")
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-11-16T12:00")  # 15.5 of 30 days
    shop.subscriptions.begin("Ada", "silver")
    at(shop, "2026-11-16T18:00")  # a quarter of a day
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-12-03")
    (made,) = settled(shop, NOVEMBER)
    assert lines(made) == [("fee", "15.5"), ("fee", "14.25"), ("fee", "0.5")]
    shares = [Fraction(line["share"]) for line in made.document["lines"]]
    assert sum(shares) == 1


def test_by_the_second_a_year_is_given_back_from_the_second_on(shop: Any) -> None:
    year = Terms("EUR", (), fee="365", fee_every="year", prorate="second")
    shop.plans.agree("year", year)
    shop.key_of("Ada")
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "year")
    at(shop, "2026-12-10T12:00")
    shop.subscriptions.cancel("Ada", "year")
    at(shop, "2027-01-03")
    settled(shop, NOVEMBER, DECEMBER)
    assert owed(shop) == "39.5"


def test_a_month_with_an_hour_less_is_shared_by_its_own_seconds(shop: Any) -> None:
    berlin = Terms("EUR", (), fee="743", prorate="second", timezone="Europe/Berlin")
    shop.plans.agree("hourly", berlin)  # March 2027 has 743 hours there
    shop.key_of("Ada")
    at(shop, "2027-02-28T23:00")
    shop.subscriptions.begin("Ada", "hourly")
    at(shop, "2027-03-28T02:00")
    shop.subscriptions.cancel("Ada", "hourly")
    at(shop, "2027-04-03")
    settled(shop, Period(2027, 3))
    assert owed(shop) == "651"


def test_a_plan_with_a_fee_alone_stands_beside_others(shop: Any) -> None:
    gold(shop)
    shop.plans.agree("support", Terms("EUR", (), fee="10"))
    shop.key_of("Ada")
    for plan in ("gold", "support"):
        shop.subscriptions.begin("Ada", plan)
    assert [each.ended_at for each in shop.subscriptions.list("Ada")] == [None, None]
    assert shop.permit().plan == "gold"


def test_payments_with_long_references_are_all_in_the_ledger(shop: Any) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    (made,) = settled(shop, NOVEMBER)
    for last, amount in (("1", "0.02"), ("2", "0.04")):
        shop.invoices.pay(made.id, Money.parse(amount, "EUR"), "manual", "X" * 150 + last)
    assert owed(shop) == "0"
    for reference, amount in (("", "0.01"), ("X", "0.001")):
        with pytest.raises(RequestError):
            shop.invoices.pay(made.id, Money.parse(amount, "EUR"), "manual", reference)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoices SET document = replace(document, '0.06', '0.05')",
        "UPDATE usage_hours SET quantity = 900",
        "UPDATE usage_hours SET hour = '2026-11-01T00'",
        "DELETE FROM usage_hours",
    ],
)
def test_what_was_changed_behind_an_invoice_is_found(shop: Any, statement: str) -> None:
    use(shop, 3)
    at(shop, "2026-12-03")
    settled(shop, NOVEMBER)
    shop.ledger.check()
    shop.database.write(lambda connection: connection.exec_driver_sql(statement) and None)
    broken = []
    for check in (shop.ledger.check, shop.rollup.check, DocumentCheck(shop.database).check):
        try:
            check()
        except BooksBroken as error:
            broken.append(error)
    assert len(broken) == 1


def test_calls_of_a_trial_are_not_among_the_events_of_a_line(shop: Any) -> None:
    gold(shop, trial_days=3)
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "gold")
    use(shop, 5)
    at(shop, "2026-11-28")
    use(shop, 4)
    at(shop, "2026-12-03")
    (made,) = settled(shop, NOVEMBER)
    usage = [line["kind"] for line in made.document["lines"]].index("usage")
    assert made.document["lines"][usage]["units"] == 4
    assert len(shop.invoices.events(made.id, usage + 1)) == 4


def test_what_one_invoice_cannot_hold_is_said_and_the_others_are_drafted(shop: Any) -> None:
    shop.plans.agree("dear", Terms("IDR", (), fee="100000000000"))
    shop.key_of("Ada")
    shop.subscriptions.begin("Ada", "dear")
    use(shop, 3, "Bob")
    at(shop, "2026-12-03")
    ran = shop.invoices.run(NOVEMBER)
    assert [made.document["customer"]["name"] for made in ran.drafted] == ["Bob"]
    assert ["more than one invoice" in str(why) for __, why in ran.waiting] == [True]


def with_two_lines(shop: Any, tax: str = "19") -> Any:
    """Ada's invoice of November: a fee of 8.00, and 1.67 of usage; 11.51 with 19 % of tax."""
    gold(shop)
    shop.key_of("Ada")
    shop.customers.set_details("Ada", Details(taxes=(Tax("VAT", tax),)))
    shop.plans.set("standard", "0.0333", "EUR")
    use(shop, 50)
    shop.subscriptions.begin("Ada", "gold")
    at(shop, "2026-12-03")
    (made,) = shop.invoices.run(NOVEMBER).drafted
    assert lines(made) == [("fee", "8"), ("usage", "1.67")]
    return shop.invoices.issue(made.id)


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def test_a_part_of_a_line_is_credited_with_its_tax_and_its_usage_stays_invoiced(shop: Any) -> None:
    issued = with_two_lines(shop)
    note = shop.invoices.credit_part(issued.number, 1, euros("2.5"), "half a day without service")
    assert (note.number, note.corrects, note.total) == ("CN-2026-000001", issued.id, euros("-2.98"))
    assert (note.document["net"], note.document["taxes"][0]["amount"]) == ("-2.5", "-0.48")
    assert note.document["lines"][0]["of_line"] == 1
    found = shop.invoices.find(issued.id)
    assert (found.document, found.status) == (issued.document, "issued")
    assert found.settled() == {"credit": "0", "paid": "0", "credited": "2.98", "to_pay": "8.53"}
    assert not shop.invoices.run(NOVEMBER).drafted
    owed = shop.ledger.check().accounts[f"receivable:{issued.customer}"]
    assert owed == [euros("8.53")]
    with pytest.raises(RequestError, match=r"8\.53 EUR is owed"):
        shop.invoices.pay(issued.id, issued.total, "manual", "too much")
    assert shop.invoices.pay(issued.id, None, "manual", "the rest").status == "paid"


def test_parts_come_to_no_more_than_the_line_and_all_of_them_to_exactly_all(shop: Any) -> None:
    issued = with_two_lines(shop)
    for amount in ("0.03", "0.55", "1.09"):
        shop.invoices.credit_part(issued.id, 2, euros(amount), "a part")
    balances = shop.ledger.check().to_json()["accounts"]
    assert balances["revenue:standard"] == {"EUR": "0"}  # 1.665 was earned with the 1.67
    assert balances["rounding"] == {"EUR": "0"}
    with pytest.raises(RequestError, match="Nothing of line 2 is left") as nothing:
        shop.invoices.credit_part(issued.id, 2, euros("0.01"), "more")
    assert nothing.value.http_status == 409
    last = shop.invoices.credit_part(issued.id, 1, None, "all that is left")
    assert last.document["net"] == "-8"
    assert shop.invoices.find(issued.id).status == "credited"
    balances = shop.ledger.check().to_json()["accounts"]
    assert {each["EUR"] for each in balances.values()} == {"0"}
    assert not shop.invoices.run(NOVEMBER).drafted


def test_the_tax_of_many_small_parts_is_the_tax_of_all(shop: Any) -> None:
    issued = with_two_lines(shop, tax="5")
    taxes = [
        shop.invoices.credit_part(issued.id, 2, euros("0.01"), "a cent").document["taxes"][0][
            "amount"
        ]
        for __ in range(100)
    ]
    assert sum(map(float, taxes)) == pytest.approx(-0.05)  # each alone would have been 0
    assert set(taxes) == {"0", "-0.01"}


@pytest.mark.parametrize("amount", ["8.01", "0", "-1", "0.001"])
def test_an_amount_that_is_not_left_is_refused_and_no_number_is_spent(
    shop: Any, amount: str
) -> None:
    issued = with_two_lines(shop)
    with pytest.raises(RequestError, match=r"8 EUR is left of it"):
        shop.invoices.credit_part(issued.id, 1, euros(amount), "too much")
    for line in (0, 3):
        with pytest.raises(RequestError, match=f"no line {line}") as missing:
            shop.invoices.credit_part(issued.id, line, euros("1"), "none")
        assert missing.value.http_status == 404
    note = shop.invoices.credit_part(issued.id, 1, euros("1"), "one")
    assert note.number == "CN-2026-000001"


def test_after_a_part_the_rest_can_be_credited_and_nothing_freed(shop: Any) -> None:
    issued = with_two_lines(shop)
    shop.invoices.credit_part(issued.id, 1, euros("3.21"), "a part")
    with pytest.raises(RequestError, match="credit the rest"):
        shop.invoices.void(issued.id)
    with pytest.raises(RequestError, match="its usage stays invoiced"):
        shop.invoices.credit(issued.id, "all", anew=True)
    note = shop.invoices.credit(issued.id, "all the rest")
    assert [line["amount"] for line in note.document["lines"]] == ["-4.79", "-1.67"]
    assert shop.invoices.find(issued.id).status == "credited"
    balances = shop.ledger.check().to_json()["accounts"]
    assert {each["EUR"] for each in balances.values()} == {"0"}
    for again in (
        lambda: shop.invoices.credit(issued.id, "again"),
        lambda: shop.invoices.credit_part(issued.id, 1, euros("1"), "again"),
        lambda: shop.invoices.credit_part(note.id, 1, euros("1"), "a note"),
    ):
        with pytest.raises(RequestError, match="only an issued invoice"):
            again()


def test_what_was_paid_is_given_back_where_a_part_is_credited(shop: Any) -> None:
    issued = with_two_lines(shop)
    shop.invoices.pay(issued.id, euros("9"), "manual", "bank 1")
    shop.invoices.credit_part(issued.id, 1, euros("2.11"), "a part")  # 2.51 with tax: 0 is owed
    assert shop.invoices.find(issued.id).status == "paid"
    note = shop.invoices.credit_part(issued.id, 1, euros("1"), "more")
    assert shop.invoices.find(issued.id).settled()["paid"] == "7.81"
    accounts = shop.ledger.check().accounts
    assert accounts[f"receivable:{issued.customer}"] == [euros("0")]
    assert accounts[f"credit:{issued.customer}"] == [euros("-1.19")]
    (credit,) = (with_credit := Credits(shop.database, shop.clock)).list("Ada")
    assert (credit.origin, credit.provider, credit.reference) == ("surplus", "manual", note.id)
    with_credit.refund(credit.id)
    with_credit.check()
    accounts = shop.ledger.check().accounts
    assert accounts["cash:manual"] == [euros("7.81")]
    assert accounts[f"credit:{issued.customer}"] == [euros("0")]


def test_late_usage_of_an_invoice_that_was_credited_in_part_goes_on_the_next(shop: Any) -> None:
    charge = Charge.plain("image", "0.02")
    shop.plans.agree("standard", Terms("EUR", (charge,), late=Late("credit_note", 0)))
    use(shop, 5)
    at(shop, "2026-12-03")
    issued = shop.invoices.issue(shop.invoices.run(NOVEMBER).drafted[0].id)
    shop.invoices.credit_part(issued.id, 1, euros("0.04"), "as a favour")
    at(shop, "2026-11-29")
    use(shop, 2)
    at(shop, "2027-01-03")
    ran = shop.invoices.run(DECEMBER)
    assert not ran.credited
    assert [lines(made) for made in ran.drafted] == [[("late", "0.04")]]


def test_credit_that_paid_what_is_credited_later_is_credit_again(shop: Any) -> None:
    with_credit = Credits(shop.database, shop.clock)
    shop.key_of("Ada")
    with_credit.add("Ada", euros("9"), provider="manual", reference="in advance")
    issued = with_two_lines(shop)
    assert (issued.document["credit"], issued.document["to_pay"]) == ("9", "2.51")
    shop.invoices.credit_part(issued.id, 1, euros("1"), "a part")  # 1.19: 1.32 is owed still
    assert [each.left.amount for each in with_credit.balances("Ada")] == ["0"]
    note = shop.invoices.credit_part(issued.id, 1, euros("5"), "more")  # 5.95: 4.63 too much
    assert "credit" not in note.document
    assert [each.left.amount for each in with_credit.balances("Ada")] == ["4.63"]
    assert shop.invoices.find(issued.id).status == "paid"
    shop.invoices.credit(issued.id, "all that is left")
    assert [each.left.amount for each in with_credit.balances("Ada")] == ["9"]
    accounts = shop.ledger.check().accounts
    with_credit.check()
    assert accounts[f"receivable:{issued.customer}"] == [euros("0")]


def two_months(shop: Any) -> list[Any]:
    """Ada's invoices of November, of 0.04, and of December, of 0.06."""
    use(shop, 2)
    at(shop, "2026-12-03")
    use(shop, 3)
    (november,) = settled(shop, NOVEMBER)
    at(shop, "2027-01-03")
    return [november, *settled(shop, DECEMBER)]


def test_one_transfer_pays_several_invoices_in_their_order(shop: Any) -> None:
    first, second = two_months(shop)
    both = [first.number, second.id]
    for __ in range(2):
        paid = shop.invoices.pay_each(both, euros("0.09"), "manual", "bank 1")
        assert [each.status for each in paid] == ["paid", "issued"]
        assert [each.to_pay.amount for each in paid] == ["0", "0.01"]
    assert shop.ledger.check().accounts["cash:manual"] == [euros("0.09")]
    for references, amount in ((both, "0.08"), ([first.id], None), ([second.id], "0.01")):
        with pytest.raises(RequestError, match="noted already, and otherwise"):
            shop.invoices.pay_each(
                references, None if amount is None else euros(amount), "manual", "bank 1"
            )
    assert shop.invoices.pay(second.id, None, "manual", "bank 2").status == "paid"


def test_what_does_not_reach_an_invoice_does_not_pay_it(shop: Any) -> None:
    first, second = two_months(shop)
    for amount in ("0.04", "0"):
        with pytest.raises(RequestError, match="was paid, and"):
            shop.invoices.pay_each([first.id, second.id], euros(amount), "manual", "bank 1")
    use(shop, 1, "Bob")
    at(shop, "2027-02-03")
    (bobs,) = settled(shop, Period(2027, 1))
    with pytest.raises(RequestError, match="one customer's"):
        shop.invoices.pay_each([first.id, bobs.id], None, "manual", "bank 1")
    assert "cash:manual" not in shop.ledger.check().accounts


def test_what_is_more_than_is_owed_is_credit_if_that_is_said(shop: Any) -> None:
    first, second = two_months(shop)
    with pytest.raises(RequestError, match=r"0\.05 EUR was paid, and 0\.04 EUR is owed"):
        shop.invoices.pay(first.id, euros("0.05"), "manual", "bank 1")
    for __ in range(2):
        (paid,) = shop.invoices.pay_each(
            [first.id], euros("0.05"), "manual", "bank 1", rest_to_credit=True
        )
        assert paid.settled() == {"credit": "0", "paid": "0.04", "credited": "0", "to_pay": "0"}
    (credit,) = (with_credit := Credits(shop.database, shop.clock)).list("Ada")
    assert (credit.origin, credit.amount, credit.reference) == ("paid", euros("0.01"), "bank 1")
    part = shop.invoices.pay_by_credit(second.id)
    assert (part.status, part.settled()["credit"], part.to_pay.amount) == ("issued", "0.01", "0.05")
    with pytest.raises(RequestError, match="no credit in EUR"):
        shop.invoices.pay_by_credit(second.id)
    with_credit.check()


def yearly(shop: Any, *, percent: str = "0", tax: str = "0") -> Any:
    """Ada's invoice of a fee of 365.00 for the year from 1 November on."""
    year = Terms("EUR", (), fee="365", fee_every="year", discount_percent=percent)
    shop.plans.agree("year", year)
    shop.key_of("Ada")
    shop.customers.set_details("Ada", Details(taxes=(Tax("VAT", tax),)))
    at(shop, "2026-11-01")
    shop.subscriptions.begin("Ada", "year")
    at(shop, "2026-12-03")
    (made,) = settled(shop, NOVEMBER)
    return made


def leave(shop: Any) -> None:
    """After 40 days of the year: 325 of 365 are left."""
    at(shop, "2026-12-10T12:00")
    shop.subscriptions.cancel("Ada", "year")
    at(shop, "2027-01-03")


def test_what_a_credit_note_gave_back_of_a_year_is_not_given_back_when_it_ends(shop: Any) -> None:
    fee = yearly(shop)
    shop.invoices.pay(fee.id, None, "manual", "bank 1")
    shop.invoices.credit_part(fee.id, 1, euros("100"), "as agreed")
    leave(shop)
    (back,) = settled(shop, DECEMBER)
    assert lines(back) == [("fee_back", "-225")]
    assert back.document["lines"][0]["credited"] == "100"
    assert (back.status, back.document["to_pay"]) == ("paid", "0")
    assert owed(shop) == "-325"
    with pytest.raises(RequestError, match="40 EUR is left of it"):
        shop.invoices.credit_part(fee.id, 1, euros("40.01"), "more than is left")
    shop.invoices.credit_part(fee.id, 1, euros("15"), "as a favour")
    for month in (DECEMBER, Period(2027, 1)):  # it is no reason to charge anything again
        at(shop, "2027-02-03")
        assert not shop.invoices.run(month).drafted
    with pytest.raises(RequestError, match="its usage stays invoiced"):
        shop.invoices.credit(fee.id, "all", anew=True)
    rest = shop.invoices.credit(fee.id, "all that is left")
    assert rest.total == euros("-25")
    assert owed(shop) == "-365"
    Credits(shop.database, shop.clock).check()


def test_a_year_that_was_credited_whole_is_not_given_back_again(shop: Any) -> None:
    fee = yearly(shop, percent="10", tax="19")
    shop.invoices.credit(fee.id, "never wanted")
    leave(shop)
    assert not shop.invoices.run(DECEMBER).drafted
    assert owed(shop) == "0"


def test_what_was_given_back_of_a_year_that_nobody_paid_is_not_credited_again(shop: Any) -> None:
    fee = yearly(shop, percent="10", tax="19")
    leave(shop)
    (back,) = settled(shop, DECEMBER)
    assert back.total == euros("-348.08")  # 325, less 10 %, with 19 %
    assert back.settled() == {"credit": "-348.08", "paid": "0", "credited": "0", "to_pay": "0"}
    with pytest.raises(RequestError, match="it gives back"):
        shop.invoices.credit(back.id, "a mistake")
    with pytest.raises(RequestError, match="given back"):
        shop.invoices.void(fee.id)
    rest = shop.invoices.credit(fee.id, "all that is left")
    assert rest.document["net"] == "-36"  # 40, less 10 %
    assert shop.invoices.find(fee.id).to_pay == euros("348.08")
    assert owed(shop) == "0"
    assert shop.invoices.pay_by_credit(fee.id).status == "paid"


@given(
    before=st.lists(st.integers(1, 40_000), max_size=3),
    after=st.lists(st.integers(1, 40_000), max_size=2),
    percent=st.sampled_from(["0", "10", "33.3"]),
    tax=st.sampled_from(["0", "19"]),
    paid=st.booleans(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_however_it_is_given_back_a_yearly_fee_comes_back_once(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[int],
    after: list[int],
    percent: str,
    tax: str,
    paid: bool,
) -> None:
    clock = ManualClock()
    with closing(Workspace(tmp_path_factory.mktemp("shop"), clock)) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        fee = yearly(shop, percent=percent, tax=tax)
        if paid:
            shop.invoices.pay(fee.id, None, "manual", "bank 1")

        def credit(cents: list[int]) -> Fraction:
            taken = Fraction(0)
            for each in cents:
                with suppress(RequestError):
                    shop.invoices.credit_part(fee.id, 1, Money(each * 10**7, "EUR"), "a part")
                    taken += Fraction(each, 100)
            return taken

        kept = 1 - Fraction(percent) / 100
        first = credit(before)
        leave(shop)
        settled(shop, DECEMBER)
        second = credit(after)
        given = max(first, 325 * kept) + second
        whole = 365 * kept
        assert first <= whole
        assert given <= whole + Fraction(2, 100)
        net = sum(Fraction(each.document["net"]) for each in shop.invoices.list())
        assert abs(net - (whole - given)) <= Fraction(2, 100)
        with suppress(RequestError):
            shop.invoices.credit(fee.id, "all that is left")
        net = sum(Fraction(each.document["net"]) for each in shop.invoices.list())
        assert abs(net) <= Fraction(2, 100)
        Credits(shop.database, shop.clock).check()
        shop.ledger.check()
