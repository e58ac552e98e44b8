"""Booking: what is written of a payment that a provider took, once, in one transaction.

Money that came is never left out of the books: it pays what its invoice owes, and what it does not
owe is the customer's credit. Only what the books cannot say is kept apart, for a person to set
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mintage.capture import notices
from mintage.capture.books import paying
from mintage.capture.books import repository as books
from mintage.capture.books.invoice import Invoice
from mintage.capture.limits import prepaid
from mintage.capture.payments import repository
from mintage.core import registry
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import Message, _
from mintage.core.money import Money
from mintage.core.ports import PaymentProvider
from mintage.core.types import Payment
from mintage.trust import audit

_LONGEST_NUMBER = 200


@dataclass(frozen=True)
class Found:
    """What came of a payment, and how much of it is the customer's ``credit``.

    It ``paid`` all that was owed, or a ``part``; or nothing was owed, and all of it is
    ``credited``. It was ``known`` before; or it is a ``mismatch``, and in nobody's books.
    """

    status: Literal["paid", "part", "credited", "known", "mismatch"]
    provider: str
    payment: Payment
    reason: Message | None = None
    credit: Money | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``invoice sync --json`` says it."""
        amount = self.payment.amount
        said = vars(self.payment) | {"amount": amount.amount, "currency": amount.currency}
        reason = None if self.reason is None else str(self.reason)
        credit = None if self.credit is None else self.credit.amount
        result = {"status": self.status, "provider": self.provider, "reason": reason}
        return result | said | {"credit": credit}


def book(connection: repository.Connection, provider: str, payment: Payment, now: str) -> Found:
    """Put a payment into the books, or keep it apart; the same one counts once.

    One that was kept apart stays so, unless the provider tells it otherwise than it did and
    nobody has dismissed it.
    """
    named = provider, payment.reference
    if books.payments_named(connection, *named) or prepaid.paid_in(connection, *named) is not None:
        return Found("known", provider, payment)
    kept = repository.find_mismatch(connection, *named)
    if kept is not None and (kept["dismissed_at"] is not None or _is_same(kept, payment)):
        return Found("mismatch", provider, payment, Message(kept["reason"]))
    row = books.find_invoice(connection, payment.number)
    invoice = None if row is None else Invoice.from_row(row)
    reason = _unbookable(provider, invoice, payment.amount)
    if invoice is None or reason is not None:
        said = reason or _("there is no such invoice")
        if kept is None:
            _keep_apart(connection, provider, payment, invoice, said, now)
        return Found("mismatch", provider, payment, said)
    if kept is not None:
        why = str(_("the provider has set it right"))
        set_right(connection, *named, why, now)
    if invoice.kind != "invoice" or invoice.status != "issued":
        return _credited(connection, provider, payment, invoice, now)
    return _paid(connection, provider, payment, invoice, now)


def set_right(
    connection: repository.Connection, provider: str, reference: str, reason: str, now: str
) -> None:
    """Note that a payment which was kept apart needs nobody any more, and why."""
    repository.dismiss_mismatch(connection, provider, reference, reason, now)
    logged = {"provider": provider, "reference": reference, "reason": reason}
    audit.append(connection, "payment.dismissed", logged)


def provider_named(name: str) -> PaymentProvider:
    """A registered provider.

    Raises:
        RequestError: there is none (404).
    """
    try:
        return registry.payment_providers().get(name)
    except ConfigError as error:
        raise RequestError(error.message, remedy=error.remedy, http_status=404) from error


def _paid(
    connection: repository.Connection, provider: str, payment: Payment, invoice: Invoice, now: str
) -> Found:
    asked = provider_named(provider).asks(invoice.to_pay)
    pays, settles = _share(invoice.to_pay, asked, payment.amount)
    received = paying.Received(provider, payment.reference, pays, settles)
    after = paying.take(connection, invoice, received, now)
    rest = payment.amount + -pays
    if rest.nanos:
        _to_credit(connection, provider, payment, invoice, rest, now)
        return Found("paid", provider, payment, credit=rest)
    if after.status == "paid":
        return Found("paid", provider, payment)
    said = _told(provider, payment, invoice) | {"to_pay": after.to_pay.amount}
    notices.tell(connection, invoice.customer, "payment.partial", said, now)
    return Found("part", provider, payment)


def _credited(
    connection: repository.Connection, provider: str, payment: Payment, invoice: Invoice, now: str
) -> Found:
    _to_credit(connection, provider, payment, invoice, payment.amount, now)
    why = _("it is {status}", status=Message(invoice.status))
    return Found("credited", provider, payment, why, payment.amount)


def _share(owed: Money, asked: Money, came: Money) -> tuple[Money, Money]:
    """What of a payment pays an invoice, and how much of what is owed that settles.

    They differ where the provider could not ask for just as much: rounding has the rest.
    """
    due = Money.rounded(owed.exact, owed.currency)
    enough = min(asked.nanos, due.nanos)
    pays = came if came == asked or came.nanos < due.nanos else due
    return pays, owed if came.nanos >= enough else pays


def _to_credit(
    connection: repository.Connection,
    provider: str,
    payment: Payment,
    invoice: Invoice,
    rest: Money,
    now: str,
) -> None:
    prepaid.pay_in(connection, invoice.customer, rest, (provider, payment.reference), now)
    said = _told(provider, payment, invoice) | {"credit": rest.amount}
    notices.tell(connection, invoice.customer, "payment.credited", said, now)


def _told(provider: str, payment: Payment, invoice: Invoice) -> dict[str, Any]:
    return {
        "provider": provider,
        "reference": payment.reference,
        "number": invoice.number,
        "amount": payment.amount.amount,
        "currency": payment.amount.currency,
    }


def _keep_apart(
    connection: repository.Connection,
    provider: str,
    payment: Payment,
    invoice: Invoice | None,
    reason: Message,
    now: str,
) -> None:
    row = {
        "provider": provider,
        "reference": payment.reference,
        "number": payment.number[:_LONGEST_NUMBER],
        "currency": payment.amount.currency,
        "reason": str(reason),
    }
    amount = {"invoice": None if invoice is None else invoice.id, "received_at": now}
    repository.add_mismatch(connection, row | amount | {"nanos": payment.amount.nanos})
    logged = row | {"amount": payment.amount.amount}
    audit.append(connection, "payment.mismatch", logged)
    if invoice is not None:
        notices.tell(connection, invoice.customer, "payment.mismatch", logged, now)


def _is_same(kept: Mapping[str, Any], payment: Payment) -> bool:
    """Whether a payment is told as it was when it was kept apart."""
    was = kept["number"], Money(int(kept["nanos"]), kept["currency"])
    return was == (payment.number[:_LONGEST_NUMBER], payment.amount)


def _unbookable(provider: str, invoice: Invoice | None, came: Money) -> Message | None:
    """Why the books cannot say a payment; None where they can."""
    if invoice is None:
        return _("there is no such invoice")
    owed = invoice.to_pay
    if came.currency != invoice.currency or came.nanos <= 0:
        return _("{paid} was paid, and {owed} is owed", paid=came, owed=owed)
    if Money.rounded(came.exact, came.currency) != came:
        return _("{paid} is no amount in whole minor units", paid=came)
    if came.nanos - owed.nanos > prepaid.MOST_NANOS:
        return _("{paid} was paid, and {owed} is owed", paid=came, owed=owed)
    try:
        provider_named(provider).asks(owed)
    except ConfigError:
        return _(
            "{provider} takes nothing in {currency}", provider=provider, currency=came.currency
        )
    return None
