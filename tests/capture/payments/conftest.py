"""An issued invoice, and a stand-in for Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.capture.payments.stand import StripeStand

from mintage.capture.details import Details
from mintage.capture.limits.prepaid import Credits
from mintage.capture.payments.desk import Desk
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.capture.webhooks.deliveries import Deliveries

SECRET = "whsec_of_the_test_alone"


@pytest.fixture
def stripe_stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[StripeStand]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("MINTAGE_STRIPE_KEY", "sk_test_of_the_test_alone")
    monkeypatch.setenv("MINTAGE_STRIPE_WEBHOOK_SECRET", SECRET)
    with StripeStand() as stand:
        monkeypatch.setenv("MINTAGE_STRIPE_URL", stand.address)
        yield stand


class Till:
    """A shop whose customers are billed a fee by hand."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.desk = Desk(shop.database, shop.clock)
        self.credits = Credits(shop.database, shop.clock)

    def issued(self, amount: str = "12.34", currency: str = "EUR", customer: str = "Ada") -> Any:
        """An invoice over so much, issued."""
        plan = f"fee-{currency.lower()}"
        charge = Charge.plain("image", "0")
        self.shop.key_of(customer)
        self.shop.customers.set_details(customer, Details(email="ada@example.org"))
        self.shop.plans.agree(plan, Terms(currency, (charge,), fee=amount))
        self.shop.clock.moment = datetime(2026, 11, 1, tzinfo=UTC)
        self.shop.subscriptions.begin(customer, plan)
        self.shop.clock.moment = datetime(2026, 12, 3, tzinfo=UTC)
        owner = self.shop.customers.find(customer).id
        ran = self.shop.invoices.run(Period(2026, 11), owner)
        (draft,) = [each for each in ran.drafted if each.currency == currency]
        return self.shop.invoices.issue(draft.id)

    def told(self) -> list[str]:
        events = Deliveries(self.shop.database, self.shop.keys, self.shop.clock).events()
        return [each["type"] for each in reversed(events)]

    def balance(self, account: str) -> str:
        (money,) = self.shop.ledger.check().accounts[account]
        return money.amount


@pytest.fixture
def till(shop: Any) -> Till:
    return Till(shop)
