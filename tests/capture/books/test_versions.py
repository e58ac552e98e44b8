"""A product's own plan gets a new version in mid-month: each version has its share of the month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms

NOVEMBER = Period(2026, 11)


def on(shop: Any, day: int, month: int = 11) -> None:
    shop.clock.moment = datetime(2026, month, day, 12, tzinfo=UTC)


def agree(shop: Any, price: str, **more: Any) -> None:
    charge = Charge("image", (Tier(price),), "graduated", included=more.pop("included", 30))
    shop.plans.agree("own", Terms("EUR", (charge,), **more))


def use(shop: Any, units: int, customer: str = "Ada") -> None:
    usage = shop.usage(permit=shop.permit(customer, "birds"), quantities={"image": units})
    shop.meter.record(usage).result(10)


def invoiced(shop: Any) -> Any:
    on(shop, 3, 12)
    (draft,) = shop.invoices.run(NOVEMBER).drafted
    return shop.invoices.issue(draft.id)


def lines(found: Any) -> list[tuple[str, str, str | None, str]]:
    return [
        (each["plan"], each["kind"], each.get("share"), each["amount"])
        for each in found.document["lines"]
    ]


@pytest.fixture
def sold(shop: Any) -> Any:
    """A product under a plan with 30 images included, then 1 EUR each, since October."""
    on(shop, 1, 10)
    agree(shop, "1")
    shop.sell("birds", "own")
    return shop


def test_each_version_has_the_included_units_of_its_days(sold: Any) -> None:
    on(sold, 10)
    use(sold, 20)
    on(sold, 16)
    agree(sold, "2")
    on(sold, 20)
    use(sold, 20)
    found = invoiced(sold)
    assert lines(found) == [("own@1", "usage", "1/2", "5"), ("own@2", "usage", "1/2", "10")]
    assert [each["included"] for each in found.document["lines"]] == [15, 15]


def test_a_maximum_is_shared_too_and_by_the_second_where_the_plan_says_so(sold: Any) -> None:
    agree(sold, "1", included=0, maximum="30", prorate="second")
    on(sold, 10)
    use(sold, 100)
    on(sold, 16)  # at noon: 15.5 of 30 days
    agree(sold, "2", included=0, maximum="30", prorate="second")
    use(sold, 100)
    assert [each for each in lines(invoiced(sold)) if each[1] == "maximum"] == [
        ("own@2", "maximum", "31/60", "-84.5"),
        ("own@3", "maximum", "29/60", "-185.5"),
    ]


def test_the_first_version_that_is_used_counts_from_the_months_beginning(sold: Any) -> None:
    on(sold, 16)
    agree(sold, "2")
    use(sold, 40)
    assert lines(invoiced(sold)) == [("own@2", "usage", None, "20")]


def test_a_version_that_shares_nothing_has_all_of_the_month(sold: Any) -> None:
    agree(sold, "1", prorate=False)
    on(sold, 10)
    use(sold, 40)
    on(sold, 16)
    agree(sold, "2", prorate=False)
    use(sold, 40)
    assert lines(invoiced(sold)) == [("own@2", "usage", None, "10"), ("own@3", "usage", None, "20")]


def test_a_plain_price_has_no_share(sold: Any) -> None:
    for price in ("1", "2"):
        on(sold, 5 * int(price))
        sold.plans.agree("own", Terms("EUR", (Charge.plain("image", price),)))
        use(sold, 3)
    assert lines(invoiced(sold)) == [("own@2", "usage", None, "3"), ("own@3", "usage", None, "6")]


def test_whoever_begins_the_plan_has_the_days_of_the_subscription(sold: Any) -> None:
    sold.key_of("Bob")
    on(sold, 1)
    sold.subscriptions.begin("Bob", "own", 1)
    on(sold, 16)
    agree(sold, "2")
    use(sold, 40, "Bob")
    assert lines(invoiced(sold)) == [("own@1", "usage", None, "10")]


def test_usage_of_the_version_before_that_comes_late_shares_the_month_anew(sold: Any) -> None:
    on(sold, 10)
    before = sold.usage(permit=sold.permit("Ada", "birds"), quantities={"image": 20})
    on(sold, 16)
    agree(sold, "2")
    use(sold, 40)
    assert lines(invoiced(sold)) == [("own@2", "usage", None, "20")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sold.clock, "moment", datetime(2026, 11, 16, 13, tzinfo=UTC))
        sold.meter.record(before).result(10)
    sold.clock.moment = datetime(2027, 1, 3, tzinfo=UTC)
    (draft,) = sold.invoices.run(NOVEMBER.following).drafted
    assert lines(draft) == [("own@1", "late", None, "5"), ("own@2", "late", None, "30")]
