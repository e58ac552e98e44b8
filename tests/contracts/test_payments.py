"""What every registered payment provider keeps; registering one is enrolling it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.capture.payments.conftest import stripe_stand
from tests.capture.payments.test_alipay import alipay_stand
from tests.capture.payments.test_stripe import bill, message, signed

from mintage.core import registry
from mintage.core.errors import ConfigError, RequestError
from mintage.core.money import Money
from mintage.core.ports import PaymentProvider

__all__ = ["alipay_stand", "stripe_stand"]


@dataclass(frozen=True)
class Stand:
    """What a provider stands on in a test, and how money comes in there."""

    provider: PaymentProvider
    pay: Callable[[str], None] | None = None
    message: Callable[[], tuple[bytes, dict[str, str]]] | None = None
    forget: Callable[[], None] = lambda: None
    currencies: tuple[str, ...] = ("EUR", "CNY", "JPY", "KWD", "USD")

    def bill(self, **changes: Any) -> Any:
        return bill("12.34", self.currencies[0], **changes)


def _stripe(request: pytest.FixtureRequest) -> Stand:
    stand = request.getfixturevalue("stripe_stand")
    body = message()
    return Stand(
        registry.payment_providers().get("stripe"),
        stand.pay,
        lambda: (body, signed(body)),
        stand.forget_idempotency_keys,
    )


def _manual(_request: pytest.FixtureRequest) -> Stand:
    return Stand(registry.payment_providers().get("manual"))


def _alipay(request: pytest.FixtureRequest) -> Stand:
    stand = request.getfixturevalue("alipay_stand")
    return Stand(
        registry.payment_providers().get("alipay"),
        stand.pay,
        lambda: (stand.notice(), {}),
        currencies=("CNY",),
    )


STANDS = {"stripe": _stripe, "manual": _manual, "alipay": _alipay}


@pytest.fixture(params=list(registry.payment_providers()))
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    assert request.param in STANDS, f"{request.param} needs a stand in this contract"
    found = STANDS[request.param](request)
    assert isinstance(found.provider, PaymentProvider)
    assert found.provider.name == request.param
    return found


def test_a_bill_is_pushed_once_however_often_it_is_asked_for(stand: Any) -> None:
    first = stand.provider.push(stand.bill())
    assert first.reference
    assert len(first.reference) <= 200
    stand.forget()
    again = stand.provider.push(stand.bill())
    assert (again.reference, again.payer) == (first.reference, first.payer)
    other = stand.bill(id="inv_2", number="INV-2026-000002")
    assert stand.provider.push(other).reference != first.reference


def test_what_it_asks_for_is_what_is_owed_or_the_nearest_that_can_be_paid(stand: Any) -> None:
    for owed in ("0.01 EUR", "12.34 CNY", "500 JPY", "5.12 KWD", "99999999.99 USD"):
        amount, currency = owed.split()
        money = Money.parse(amount, currency)
        if currency not in stand.currencies:
            with pytest.raises(ConfigError, match=currency):
                stand.provider.asks(money)
            continue
        assert stand.provider.asks(money) == money
    if "KWD" not in stand.currencies:
        return
    odd = Money.parse("5.124", "KWD")
    asked = stand.provider.asks(odd)
    assert abs(asked.nanos - odd.nanos) <= 5 * 10**6
    assert stand.provider.asks(asked) == asked


def test_a_payment_is_seen_when_all_of_it_came_and_has_the_exact_amount(stand: Any) -> None:
    reference = stand.provider.push(stand.bill()).reference
    assert stand.provider.look(reference) is None
    if stand.pay is None:
        return
    stand.pay(reference)
    payment = stand.provider.look(reference)
    assert (payment.number, payment.amount) == ("INV-2026-000001", stand.bill().owed)
    assert stand.provider.look(reference) == payment


def test_a_message_is_taken_with_its_signature_alone(stand: Any) -> None:
    for body, headers in ((b"", {}), (b"{}", {"stripe-signature": "t=1,v1=00"})):
        with pytest.raises(RequestError) as refused:
            stand.provider.notified(body, headers)
        assert refused.value.http_status in (400, 404)
        assert refused.value.remedy
    if stand.message is None:
        return
    body, headers = stand.message()
    payment = stand.provider.notified(body, headers)
    assert payment.number == "INV-2026-000001"
    with pytest.raises(RequestError):
        stand.provider.notified(body + b"&a=b", headers)
    assert isinstance(stand.provider.acknowledgement, str)
