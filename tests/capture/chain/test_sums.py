"""What invoices say adds up again for whoever has the plan, and no other sum does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.chain.sums import check_sums, is_priced_by, terms_of
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
    usage = [line for line in document["lines"] if line["kind"] == "usage"]
    assert usage
    assert all(is_priced_by(line, terms) for line in usage)
    note = shop.invoices.credit_part(invoice.id, 1, None, "a mistake")
    check_sums(note.document)


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


def test_a_line_is_not_priced_by_another_plan_or_other_units(shop: Any) -> None:
    (invoice,) = invoiced(shop, "graduated")
    line = next(each for each in invoice.document["lines"] if each["kind"] == "usage")
    assert not is_priced_by(line, PLANS["unit"])
    assert not is_priced_by(line | {"units": line["units"] + 1}, PLANS["graduated"])
