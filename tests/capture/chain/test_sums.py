"""What invoices say adds up again for whoever has the plan, and no other sum does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.capture.walking import tool

from mintage.capture.chain.priced import check_by_plan, check_days, priced_by, terms_of
from mintage.capture.chain.sums import check_sums
from mintage.capture.details import Details, Tax
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken

TIERS = (Tier("0.10", 3), Tier("0.033", 6, "0.5"), Tier("0.01"))
PLANS: dict[str, Terms] = {
    "unit": Terms("EUR", (Charge.plain("image", "0.333"),)),
    "graduated": Terms("EUR", (Charge("image", TIERS, "graduated", included=2),), fee="9.99"),
    "volume": Terms("JPY", (Charge("image", (Tier("10", 5), Tier("7.3")), "volume"),)),
    "package": Terms("EUR", (Charge("image", (Tier("1.25"),), "package", per=4),), minimum="20"),
    "two": Terms(
        "EUR",
        (Charge.plain("image", "0.02"), Charge.plain("explanation", "0.005")),
        discount_percent="7.5",
        maximum="0.1",
        fee="3",
    ),
    "second": Terms("EUR", (Charge("image", TIERS, "graduated", included=9),), prorate="second"),
    "trial": Terms("EUR", (Charge.plain("image", "0.07"),), trial_days=3, fee="30"),
    "flat": Terms("EUR", (Charge("image", (Tier("0.01", None, "5"),), "graduated"),)),
    "seconds": Terms("EUR", (Charge.plain("image", "0.07"),), fee="10", prorate="second"),
    "yearly": Terms("EUR", (Charge.plain("image", "0.07"),), fee="100", fee_every="year"),
}


def at(shop: Any, text: str) -> None:
    shop.clock.moment = datetime.fromisoformat(text).replace(tzinfo=UTC)


def invoiced(shop: Any, plan: str) -> list[Any]:
    shop.plans.agree("sold", PLANS[plan])
    shop.key_of("Ada")
    details = Details(taxes=(Tax("VAT", "19"), Tax("levy", "0.7")))
    shop.customers.set_details("Ada", details)
    at(shop, "2026-11-11T13:17:05")
    shop.subscriptions.begin("Ada", "sold")
    for day, count in ((11, 2), (20, 7)):
        at(shop, f"2026-11-{day}T15:00:00")
        for __ in range(count):
            said = {"image": 1, "explanation": 1} if plan == "two" else {"image": 1}
            shop.meter.record(shop.usage("Ada", quantities=said)).result(10)
    at(shop, "2026-12-03")
    made: list[Any] = shop.invoices.issue_all(shop.invoices.run(Period(2026, 11)).drafted)
    return made


@pytest.mark.parametrize("plan", PLANS)
def test_what_was_issued_adds_up_by_its_plan(shop: Any, plan: str) -> None:
    (invoice,) = invoiced(shop, plan)
    document = invoice.document
    check_sums(document)
    terms = terms_of(shop.plans.find("sold").to_json())
    assert terms == shop.plans.find("sold").terms
    assert any(line["kind"] == "usage" for line in document["lines"])
    check_by_plan(document, "sold@1", terms)
    check_days(document, {"sold@1": terms})
    tool("verify_prices").check_sums(document)
    tool("verify_prices").check_bills(document, {"sold@1": shop.plans.find("sold").to_json()})
    note = shop.invoices.credit_part(invoice.id, 1, None, "a mistake")
    check_sums(note.document)


def of_kind(document: Any, kind: str) -> Any:
    return next(line for line in document["lines"] if line["kind"] == kind)


def amounting(line: Any, exact: str) -> None:
    line.pop("ratio", None)
    line["exact"] = exact


def more_days(document: Any) -> None:
    of_kind(document, "fee")["share"] = "21/30"


def a_later_end(document: Any) -> None:
    of_kind(document, "fee")["end"] = "2026-12-02"


def without(kind: str) -> Callable[[Any], None]:
    return lambda document: document["lines"].remove(of_kind(document, kind))


def twice(kind: str) -> Callable[[Any], None]:
    return lambda document: document["lines"].append(dict(of_kind(document, kind)))


def a_flat_amount_twice(document: Any) -> None:
    step = {"units": 0, "price": "0.01", "per": 1, "flat": "5", "amount": "5"}
    unused = {"products": {}, "units": 0, "steps": [step]}
    document["lines"].append(of_kind(document, "usage") | unused)
    amounting(document["lines"][-1], "5")


OTHERWISE: dict[str, tuple[str, Callable[[Any], None]]] = {
    "a flat amount twice": ("flat", a_flat_amount_twice),
    "a dearer fee": ("graduated", lambda said: amounting(of_kind(said, "fee"), "9.99")),
    "a fee for more days": ("graduated", more_days),
    "a fee for another end": ("graduated", a_later_end),
    "a fee twice": ("graduated", twice("fee")),
    "usage of a smaller share": (
        "graduated",
        lambda said: of_kind(said, "usage").update(share="1/30"),
    ),
    "a fee of the trial": ("trial", lambda said: of_kind(said, "fee").update(share="1")),
    "usage of the trial": ("trial", lambda said: of_kind(said, "usage").update(share="18/30")),
    "a higher minimum": ("package", lambda said: amounting(of_kind(said, "minimum"), "20")),
    "a minimum twice": ("package", twice("minimum")),
    "no maximum": ("two", without("maximum")),
    "a higher maximum": ("two", lambda said: amounting(of_kind(said, "maximum"), "-0.01")),
    "no discount": ("two", without("discount")),
    "a smaller discount": ("two", lambda said: amounting(of_kind(said, "discount"), "-0.01")),
    "a yearly fee that is dearer": (
        "yearly",
        lambda said: amounting(of_kind(said, "fee"), "101"),
    ),
    "a yearly fee for half a year": (
        "yearly",
        lambda said: of_kind(said, "fee").update(end="2027-05-11"),
    ),
    "a fee for more seconds": ("seconds", lambda said: of_kind(said, "fee").update(share="29/30")),
    "another plan's steps": ("unit", lambda said: of_kind(said, "usage").update(steps=[])),
}


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_a_line_that_its_plan_does_not_say_is_found_by_either_checker(
    shop: Any, otherwise: str
) -> None:
    plan, change = OTHERWISE[otherwise]
    (invoice,) = invoiced(shop, plan)
    document = copy.deepcopy(invoice.document)
    change(document)
    agreed = shop.plans.find("sold")

    def check() -> None:
        check_by_plan(document, "sold@1", agreed.terms)
        check_days(document, {"sold@1": agreed.terms})

    with pytest.raises(BooksBroken, match=r"sold@1 says|share|not there once|same days"):
        check()
    with pytest.raises(tool("verify").Refused, match=r"sold@1 says|share|not there once|same days"):
        tool("verify_prices").check_bills(document, {"sold@1": agreed.to_json()})


def changed_line(document: Any) -> None:
    document["lines"][0]["amount"] = "1"


def changed_net(document: Any) -> None:
    document["net"] = document["total"] = "1"


def changed_total(document: Any) -> None:
    document["total"] = "1"


@pytest.mark.parametrize("change", [changed_line, changed_net, changed_total])
def test_another_sum_is_found(shop: Any, change: Callable[[Any], None]) -> None:
    (invoice,) = invoiced(shop, "unit")
    document = copy.deepcopy(invoice.document)
    change(document)
    with pytest.raises(BooksBroken, match="does not add up"):
        check_sums(document)
    with pytest.raises(tool("verify").Refused, match="does not add up"):
        tool("verify_prices").check_sums(document)


def test_a_line_is_not_priced_by_another_plan_or_other_units(shop: Any) -> None:
    (invoice,) = invoiced(shop, "graduated")
    line = next(each for each in invoice.document["lines"] if each["kind"] == "usage")
    charges = shop.plans.find("sold").terms.charges
    assert priced_by(line, charges) == charges[0]
    assert priced_by(line, PLANS["unit"].charges) is None
    assert priced_by(line | {"units": line["units"] + 1}, charges) is None
