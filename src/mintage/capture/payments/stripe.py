"""Stripe, by its official library.

Nothing is created twice: before a customer or an invoice is made, those that are there are looked
through for ours, by ``metadata``. Lists are asked, since Stripe's search may be a minute behind.
Idempotency keys of Stripe's, which it forgets after a day, only keep two that push at the same
moment apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mintage.core.currencies import EXPONENTS, exponent_of
from mintage.core.errors import (
    ConfigError,
    DependencyDown,
    NotReady,
    RequestError,
    missing_extra,
)
from mintage.core.messages import _
from mintage.core.money import NANOS, Money
from mintage.core.redaction import without_keys
from mintage.core.settings import load_settings
from mintage.core.types import Bill, Payment, Requested

if TYPE_CHECKING:
    from types import ModuleType

OURS, CUSTOMER, LINE = "mintage_invoice", "mintage_customer", "mintage_line"
"""Under these names metadata hold an invoice's number, a customer's id and a line's place."""

_BALANCE = "balance"  # of the lines and what is asked for
_MOST_LINES = 200  # Stripe takes 250
_LONGEST_WORDS = 350
_PAID = ("invoice.paid", "invoice.payment_succeeded")
_PAGE = 100

# docs.stripe.com/currencies: what has no minor unit there; ISK and UGX are sent with two decimals
# that are always 00; of three decimals the last is always 0.
_NONE = re.findall(r"\w+", "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
_HUNDREDS = ("ISK", "UGX")
_THREE = ("BHD", "JOD", "KWD", "OMR", "TND")
_UNKNOWN = ("ERN", "IQD", "IRR", "KPW", "LYD", "SDG", "SSP", "SYP", "VED")


def _unit(currency: str) -> tuple[int, int]:
    """Decimals of the integers that Stripe takes, and what they have to be divisible by."""
    exponent_of(currency)
    if currency in _UNKNOWN:
        raise ConfigError(
            _("Stripe takes no payments in {currency}.", currency=currency),
            remedy=_("Have it paid in another way, and note it with mintage invoice pay."),
        )
    if currency in _NONE:
        return 0, 1
    return (3, 10) if currency in _THREE else (2, 100 if currency in _HUNDREDS else 1)


def to_minor(amount: Money) -> int:
    """The integer that Stripe takes for an amount: the nearest, halves away from zero."""
    exponent, step = _unit(amount.currency)
    exact = abs(amount.exact) * 10**exponent / step * 2 + 1
    whole: int = exact.numerator // (2 * exact.denominator) * step
    return whole if amount.nanos >= 0 else -whole


def from_minor(minor: int, currency: str) -> Money:
    """The amount that Stripe says with an integer and a currency in lower case."""
    code = currency.upper()
    exponent = _unit(code)[0] if code in EXPONENTS else 2
    nanos = Fraction(minor, 10**exponent) * NANOS
    return Money(int(nanos), code)


class Stripe:
    """Implements ``core.ports.PaymentProvider``; keys come from the settings when it is used."""

    name = "stripe"
    acknowledgement = ""

    def asks(self, owed: Money) -> Money:
        """What is owed, to the nearest that Stripe can ask for."""
        return from_minor(to_minor(owed), owed.currency)

    def push(self, bill: Bill) -> Requested:
        """Have it collect a bill: a draft with its lines, then finalised if its total is ours."""
        with _refusals(bill.number) as client:
            payer = bill.payer or _payer(client, bill)
            found, before = _ours(client, payer, bill.number)
            if found is None:
                found = _created(client, payer, bill, before)
            if found.status == "draft":
                _fill(client, payer, found.id, self._amounts(bill))
                found = client.v1.invoices.retrieve(found.id)
                self._check(found, bill)
                found = client.v1.invoices.finalize_invoice(found.id, {"auto_advance": False})
            self._check(found, bill)
            return Requested(found.id, payer, getattr(found, "hosted_invoice_url", None))

    def look(self, reference: str) -> Payment | None:
        """What was paid for one of its invoices."""
        with _refusals(reference) as client:
            found = client.v1.invoices.retrieve(reference)
            return _payment(found.to_dict())

    def notified(self, body: bytes, headers: Mapping[str, str]) -> Payment | None:
        """The payment that a message tells of; its signature is verified first."""
        secret = load_settings().stripe_webhook_secret
        if secret is None:
            raise NotReady(
                _("Stripe's messages cannot be verified here."),
                remedy=_("Set MINTAGE_STRIPE_WEBHOOK_SECRET to your endpoint's signing secret."),
            )
        stripe = _library()
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(),
                headers.get("stripe-signature"),
                secret.get_secret_value(),
                stripe.Webhook.DEFAULT_TOLERANCE,
            )
            said = json.loads(body)
            kind, found = said["type"], said["data"]["object"]
        except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError) as error:
            raise RequestError(
                _("This is no message of Stripe's to this server."),
                remedy=_("Check the endpoint's signing secret, and this machine's clock."),
            ) from error
        return _payment(found) if kind in _PAID else None

    def _amounts(self, bill: Bill) -> dict[str, tuple[str, int]]:
        """Words and integers for each line by its place; what lacks to what is asked is one."""
        asked = to_minor(bill.owed)
        lines = bill.lines if len(bill.lines) <= _MOST_LINES else ()
        found = {
            str(place): (words[:_LONGEST_WORDS], to_minor(amount))
            for place, (words, amount) in enumerate(lines, start=1)
            if amount.nanos
        }
        left = asked - sum(minor for __, minor in found.values())
        if left:
            found[_BALANCE] = bill.rest if found else bill.number, left
        return found

    def _check(self, found: Any, bill: Bill) -> None:
        said = from_minor(found.total, found.currency)
        if said != self.asks(bill.owed):
            raise RequestError(
                _(
                    "At Stripe {number} comes to {said}, and {asked} is owed.",
                    number=bill.number,
                    said=said,
                    asked=self.asks(bill.owed),
                ),
                remedy=_("See {id} there: delete or void it, then push again.", id=found.id),
                http_status=409,
            )


def _payer(client: Any, bill: Bill) -> str:
    """The customer at Stripe, by our id in its metadata, or a new one."""
    for each in client.v1.customers.list({"limit": _PAGE}).auto_paging_iter():
        if _said(each).get(CUSTOMER) == bill.customer:
            return str(each.id)
    params: dict[str, Any] = {"name": bill.name, "metadata": {CUSTOMER: bill.customer}}
    if bill.email:
        params["email"] = bill.email
    once = {"idempotency_key": f"mintage-{bill.customer}"}
    return str(client.v1.customers.create(params, once).id)


def _ours(client: Any, payer: str, number: str) -> tuple[Any, int]:
    """The payer's invoice with our number, if it stands; and how many were void."""
    void = 0
    for each in client.v1.invoices.list({"customer": payer, "limit": _PAGE}).auto_paging_iter():
        if _said(each).get(OURS) == number:
            if each.status not in ("void", "uncollectible"):
                return each, void
            void += 1
    return None, void


def _created(client: Any, payer: str, bill: Bill, before: int) -> Any:
    due = int(datetime.fromisoformat(bill.due_at).timestamp())
    # Stripe takes no day that has passed, by its own clock.
    late = due <= datetime.now(UTC).timestamp()
    params = {
        "customer": payer,
        "currency": bill.owed.currency.lower(),
        "collection_method": "send_invoice",
        **({"days_until_due": 0} if late else {"due_date": due}),
        "auto_advance": False,
        "pending_invoice_items_behavior": "exclude",
        "description": bill.number,
        "metadata": {OURS: bill.number, CUSTOMER: bill.customer},
    }
    once = {"idempotency_key": f"mintage-{bill.id}-{before}"}
    return client.v1.invoices.create(params, once)


def _fill(client: Any, payer: str, invoice: str, wanted: Mapping[str, tuple[str, int]]) -> None:
    """Have the draft's lines be these, whatever of them is there already."""
    listed = client.v1.invoice_items.list({"invoice": invoice, "limit": _PAGE})
    there = {_said(each).get(LINE): each for each in listed.auto_paging_iter()}
    currency = client.v1.invoices.retrieve(invoice).currency
    for place, (words, minor) in wanted.items():
        known = there.get(place)
        if known is None:
            params = {
                "customer": payer,
                "invoice": invoice,
                "currency": currency,
                "amount": minor,
                "description": words,
                "metadata": {LINE: place},
            }
            client.v1.invoice_items.create(params)
        elif known.amount != minor:
            client.v1.invoice_items.update(known.id, {"amount": minor})


def _payment(found: Mapping[str, Any]) -> Payment | None:
    """What an invoice of theirs says was paid, where it is one of ours and paid."""
    number = (found.get("metadata") or {}).get(OURS)
    if found.get("object") != "invoice" or not number or found.get("status") != "paid":
        return None
    amount = from_minor(int(found["amount_paid"]), str(found["currency"]))
    return Payment(str(found["id"]), str(number), amount)


def _said(each: Any) -> dict[str, str]:
    metadata = each.metadata
    return {} if metadata is None else dict(metadata.to_dict())


def _library() -> ModuleType:
    try:
        import stripe  # noqa: PLC0415 - a second to load, and an extra
    except ImportError as error:
        raise missing_extra("stripe", "stripe") from error
    return stripe


@contextmanager
def _refusals(about: str) -> Iterator[Any]:
    """A client, whose errors are ours."""
    settings, stripe = load_settings(), _library()
    if settings.stripe_key is None:
        raise ConfigError(
            _("There is no key for Stripe."),
            remedy=_("Set MINTAGE_STRIPE_KEY to your account's secret key, which begins with sk_."),
        )
    addresses = {} if settings.stripe_url is None else {"api": settings.stripe_url}
    client = stripe.StripeClient(
        settings.stripe_key.get_secret_value(), base_addresses=addresses, max_network_retries=2
    )
    try:
        yield client
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise ConfigError(
            _("Stripe does not take the key: {reason}", reason=_reason(error)),
            remedy=_("Check MINTAGE_STRIPE_KEY."),
        ) from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise DependencyDown(
            _("Stripe does not answer: {reason}", reason=_reason(error)),
            remedy=_("Run the same command again: nothing is made twice."),
        ) from error
    except stripe.StripeError as error:
        raise RequestError(
            _("Stripe refuses {about}: {reason}", about=about, reason=_reason(error)),
            remedy=_("Mend that there, then run the same command again: nothing is made twice."),
            http_status=409,
        ) from error


def _reason(error: Exception) -> str:
    return without_keys(str(getattr(error, "user_message", None) or error))[:300]
