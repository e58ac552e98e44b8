"""How money comes in: what is owed, what may be paid of it, and the entries that it makes."""

from __future__ import annotations

from dataclasses import dataclass

from mintage.capture import notices
from mintage.capture.books import repository
from mintage.capture.books.invoice import Invoice, found_invoice, not_now, owed_of, receive
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import Money

_LONGEST_REFERENCE = 200


@dataclass(frozen=True)
class Received:
    """A payment: ``amount`` came, and ``settles`` is what of an invoice that pays.

    They differ where a provider cannot ask for every amount of a currency.
    """

    provider: str
    reference: str
    amount: Money
    settles: Money


def take(
    connection: repository.Connection, found: Invoice, received: Received, now: str
) -> Invoice:
    """Put a payment that was checked into the books; the invoice as it is then."""
    settles, came = received.settles, received.amount
    receive(connection, found, settles, received.provider, received.reference, now, came)
    if owed_of(connection, found).nanos <= 0:
        repository.change_invoice(connection, found.id, {"status": "paid", "closed_at": now})
        paid = found_invoice(connection, found.id)
        notices.tell(connection, found.customer, "invoice.paid", paid.summary(), now)
    return found_invoice(connection, found.id)


def check_reference(payment: str) -> None:
    """Refuse what tells no payment from another.

    Raises:
        RequestError: it is empty or too long.
    """
    if not payment.strip() or len(payment) > _LONGEST_REFERENCE:
        raise RequestError(
            _("A payment has a reference of 1 to {most} characters.", most=_LONGEST_REFERENCE),
            remedy=_("Give what tells it from others, such as the bank's own reference."),
        )


def check_payable(found: Invoice, paid: Money, owed: Money) -> None:
    """Refuse what an invoice cannot be paid by.

    Raises:
        RequestError: it is not to be paid, or by this amount (409).
    """
    if found.status != "issued":
        raise not_now(found, _("only an issued invoice is to be paid"))
    whole = Money.rounded(paid.exact, paid.currency) == paid
    if not whole or paid.currency != found.currency or not 0 < paid.nanos <= owed.nanos:
        raise not_now(found, _("{paid} was paid, and {owed} is owed", paid=paid, owed=owed))
