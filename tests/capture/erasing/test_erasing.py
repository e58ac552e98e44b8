"""Who is erased owes nothing: an invoice has to say whom it is to, and has their tax."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.capture.conftest import Shop
from tests.conftest import ManualClock, opened_workspace
from tests.sealing import sealed_with

from mintage.capture.details import Details, Tax
from mintage.capture.erasing import erasing
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.errors import RequestError
from mintage.trust.keys import KeyRing

OCTOBER, NOVEMBER = Period(2026, 10), Period(2026, 11)


@pytest.fixture
def shop(tmp_path: Path, database_url: SecretStr | None) -> Iterator[Shop]:
    """A shop on a sealed workspace, with a customer who has a tax."""
    clock, more = ManualClock(), sealed_with(tmp_path / "seal.key")
    with opened_workspace(tmp_path / "home", clock, database_url=database_url, **more) as opened:
        shop = Shop(opened, KeyRing(opened.key_folder))
        shop.plans.ensure_default()
        shop.sell("pets")
        shop.key_of("Ada")
        details = Details(legal_name="Ada GmbH", taxes=(Tax("VAT", "19"),))
        shop.customers.set_details("Ada", details)
        at(shop, 11, 20)
        yield shop


def at(shop: Any, month: int, day: int) -> None:
    shop.clock.moment = datetime(2026, month, day, tzinfo=UTC)


def use(shop: Shop, count: int = 1, **more: Any) -> None:
    shop.meter.record(shop.usage(quantities={"image": count}, **more)).result(10)


def issued(shop: Shop, period: Period = NOVEMBER) -> Any:
    (made,) = shop.invoices.issue_ran(shop.invoices.run(period)).drafted
    return made


def erase(shop: Shop) -> erasing.Erased:
    return erasing.erase(shop.workspace, "Ada")


def refused(shop: Shop) -> RequestError:
    with pytest.raises(RequestError) as found:
        erase(shop)
    assert found.value.http_status == 409
    assert shop.customers.find("Ada").details.legal_name == "Ada GmbH"
    return found.value


def test_who_owes_nothing_is_erased(shop: Shop) -> None:
    use(shop, outcome="error")
    assert erase(shop).remains["usage_events"] == 1


def test_a_customer_whose_usage_no_invoice_has_is_not_erased(shop: Shop) -> None:
    use(shop, 100)
    error = refused(shop)
    assert "owes for 2026-11 is not invoiced" in error.message
    assert "invoice run --period 2026-11" in str(error.remedy)
    at(shop, 12, 3)
    refused(shop)
    made = issued(shop)
    assert made.number in refused(shop).message
    shop.invoices.pay(made.id, None, "manual", "bank 1")
    erase(shop)
    kept = shop.invoices.find(made.id).document
    assert (kept["customer"]["legal_name"], kept["total"]) == ("Ada GmbH", "2.38")
    assert not shop.invoices.run(NOVEMBER.following).drafted


def test_the_earliest_month_that_is_not_invoiced_is_named(shop: Shop) -> None:
    at(shop, 10, 4)
    use(shop, 100)
    at(shop, 12, 5)
    use(shop, 100)
    assert "2026-10" in refused(shop).message
    made = issued(shop, OCTOBER)
    shop.invoices.pay(made.id, None, "manual", "bank 1")
    assert "2026-12" in refused(shop).message


def test_a_customer_with_a_draft_or_a_fee_to_come_is_not_erased(shop: Shop) -> None:
    shop.plans.agree("gold", Terms("EUR", (Charge.plain("image", "1"),), fee="29"))
    shop.subscriptions.begin("Ada", "gold")
    assert "2026-11" in refused(shop).message
    at(shop, 11, 25)
    shop.subscriptions.cancel("Ada", "gold")
    assert "2026-11" in refused(shop).message
    at(shop, 12, 3)
    shop.invoices.run(NOVEMBER)
    assert "drafts" in refused(shop).message
    made = issued(shop)
    shop.invoices.credit(made.id, "a gesture")
    erase(shop)


@pytest.mark.parametrize(
    ("policy", "month"), [("next_invoice", "2026-12"), ("credit_note", "2026-11"), ("reject", None)]
)
def test_usage_that_came_late_is_invoiced_before_its_customer_is_erased(
    shop: Shop, policy: Any, month: str | None
) -> None:
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", "1"),), late=Late(policy)))
    use(shop)
    at(shop, 12, 3)
    made = issued(shop)
    shop.invoices.pay(made.id, None, "manual", "bank 1")
    at(shop, 11, 30)
    use(shop)
    at(shop, 12, 4)
    if month is None:
        erase(shop)
    else:
        assert month in refused(shop).message


def test_a_call_under_way_at_the_erasing_is_on_no_invoice(shop: Shop) -> None:
    permit = shop.permit()
    erase(shop)
    use(shop, permit=permit)
    at(shop, 12, 3)
    ran = shop.invoices.run(NOVEMBER)
    assert not ran.drafted
    ((__, why),) = ran.waiting
    assert "erased" in why
