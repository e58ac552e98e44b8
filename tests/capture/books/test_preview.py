"""What a month comes to until now is what it would be invoiced as, and nobody owes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintage.capture.books.preview import Previews
from mintage.capture.details import Details, Tax
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import RequestError

NOVEMBER = Period(2026, 11)


@pytest.fixture
def previews(shop: Any) -> Previews:
    shop.plans.agree(
        "gold", Terms("EUR", (Charge.plain("image", "0.10"),), fee="30", late=Late(grace_days=0))
    )
    shop.key_of("Ada")
    shop.customers.set_details("Ada", Details(taxes=(Tax("VAT", "19"),)))
    shop.clock.moment = datetime(2026, 11, 1, tzinfo=UTC)
    shop.subscriptions.begin("Ada", "gold")
    return Previews(shop.database, shop.clock)


def use(shop: Any, count: int) -> None:
    for __ in range(count):
        shop.meter.record(shop.usage("Ada")).result(10)


def test_a_running_month_is_previewed_with_its_tax_and_marked_as_not_final(
    shop: Any, previews: Previews
) -> None:
    shop.clock.moment = datetime(2026, 11, 15, 12, tzinfo=UTC)
    use(shop, 7)
    (found,) = previews.of("Ada")
    said = [(line["kind"], line["amount"]) for line in found["lines"]]
    assert said == [("fee", "30"), ("usage", "0.7")]
    assert (found["number"], found["net"], found["total"]) == (None, "30.7", "36.53")
    assert found["preview"] == {"final": False, "until": str(shop.clock)}
    assert shop.invoices.list() == []
    assert shop.ledger.check().transactions == 0


def test_it_is_what_the_month_is_invoiced_as_when_it_is_over(shop: Any, previews: Previews) -> None:
    use(shop, 12)
    shop.clock.moment = datetime(2026, 12, 2, tzinfo=UTC)
    (found,) = previews.of("Ada", NOVEMBER)
    (made,) = shop.invoices.run(NOVEMBER).drafted
    del found["preview"]
    assert found == made.document
    assert len(previews.of("Ada", NOVEMBER)) == 1  # a draft is not owed yet
    shop.invoices.issue(made.id)
    assert previews.of("Ada", NOVEMBER) == []


def test_who_asks_often_adds_no_sums(shop: Any, previews: Previews) -> None:
    shop.clock.moment = datetime(2026, 11, 15, 12, tzinfo=UTC)
    use(shop, 1)
    before = previews.of("Ada")
    use(shop, 1)
    shop.clock.moment += timedelta(seconds=30)
    assert previews.of("Ada") == before
    shop.clock.moment += timedelta(seconds=31)
    (found,) = previews.of("Ada")
    assert found["lines"][1]["units"] == 2
    assert found["preview"]["until"] == str(shop.clock)


def test_of_nobody_and_of_nothing_there_is_no_preview(shop: Any, previews: Previews) -> None:
    shop.key_of("Bob")
    assert previews.of("Bob") == []
    with pytest.raises(RequestError):
        previews.of("Eve")
