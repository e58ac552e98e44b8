"""How money comes in and goes back: what is owed, what may be paid of it, and what is too much."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mintage.capture import notices
from mintage.capture.books import repository
from mintage.capture.books.invoice import Invoice, found_invoice, not_now, receive
from mintage.capture.limits import prepaid
from mintage.capture.limits.prepaid import CREDIT
from mintage.core.currencies import exponent_of
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import NANOS, Money

_LONGEST_REFERENCE = 200

MANUAL = "manual"
"""The provider of payments that the operator notes."""


@dataclass(frozen=True)
class Received:
    """A payment: ``amount`` came, and ``settles`` is what of an invoice that pays.

    They differ where a provider cannot ask for every amount of a currency, and where credit was
    short of less than a minor unit.
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
    taken = found_invoice(connection, found.id)
    if taken.balance.nanos > 0:
        return taken
    repository.change_invoice(connection, found.id, {"status": "paid", "closed_at": now})
    paid = found_invoice(connection, found.id)
    notices.tell(connection, found.customer, "invoice.paid", paid.summary(), now)
    return paid


def portions(found: Sequence[Invoice], came: Money | None) -> tuple[list[Money], Money]:
    """What a payment pays of each invoice, in their order, and what is left of it.

    None is all that they owe. Of old ones that may end in a part of a minor unit, which nobody can
    pay: then it is the next whole one.

    Raises:
        RequestError: they are not one customer's in one currency, one of them is not to be paid, or
            the amount is none, or does not reach the last one (409).
    """
    first = found[0]
    for each in found:
        if (each.customer, each.currency) != (first.customer, first.currency):
            raise not_now(each, _("one payment is one customer's, in one currency"))
        check_payable(each)
    owed = Money(sum(each.to_pay.nanos for each in found), first.currency)
    came = owed + beyond_whole(-owed) if came is None else came
    whole = Money.rounded(came.exact, came.currency) == came
    before = owed.nanos - found[-1].to_pay.nanos
    if not whole or came.currency != first.currency or came.nanos <= before:
        raise not_now(found[-1], _("{paid} was paid, and {owed} is owed", paid=came, owed=owed))
    rest, parts = came.nanos, []
    for each in found:
        part = min(rest, each.to_pay.nanos)
        parts.append(Money(part, first.currency))
        rest -= part
    return parts, Money(rest, first.currency)


def beyond_whole(amount: Money) -> Money:
    """What of an amount is beyond whole minor units, as they are in cash; never below zero."""
    return Money(amount.nanos % (NANOS // 10 ** exponent_of(amount.currency)), amount.currency)


def check_payable(found: Invoice) -> None:
    """Refuse a payment of what is not to be paid.

    Raises:
        RequestError: it is no invoice that is issued (409).
    """
    if found.status != "issued" or found.kind != "invoice":
        raise not_now(found, _("only an issued invoice is to be paid"))


def too_much(connection: repository.Connection, found: Invoice) -> dict[str, int]:
    """By provider, what is to be taken off the payments of an invoice that has more than it owes.

    What credit paid goes back first, then who paid last. What a document below zero gives is
    credit too.
    """
    over, parts = -found.balance.nanos, dict[str, int]()
    paid = repository.paid_by(connection, found.id)
    for provider in sorted(paid, key=lambda name: name != CREDIT):
        part = min(over, max(0, paid[provider]))
        if part > 0:
            parts[provider] = part
            over -= part
    if over > 0:
        parts[CREDIT] = parts.get(CREDIT, 0) + over
    return parts


def give_back(connection: repository.Connection, found: Invoice, reference: str, now: str) -> None:
    """What was paid of an invoice, and is owed no longer, is the customer's credit.

    What credit had paid goes back to where it came from; the rest can also be paid out.
    """
    by_credit = max(0, repository.paid_by(connection, found.id).get(CREDIT, 0))
    owed = defaultdict[str, int](int)
    for provider, nanos in too_much(connection, found).items():
        restored = min(nanos, by_credit) if provider == CREDIT else 0
        if restored:
            amount = Money(restored, found.currency)
            prepaid.restore(connection, found.customer, amount, reference, now)
        owed[MANUAL if provider == CREDIT else provider] += nanos - restored
        back = Money(-nanos, found.currency)
        receive(connection, found, back, provider, reference, now)
    for provider, nanos in owed.items():
        if nanos:
            amount, by = Money(nanos, found.currency), (provider, reference)
            prepaid.keep(connection, found.customer, amount, by, now)


def give_back_all(connection: repository.Connection, draft: Invoice, now: str) -> None:
    """What was paid of a draft that goes away, as one in place of a paid invoice may, is credit."""
    if draft.credit_nanos or draft.paid_nanos:
        nothing = replace(draft, document=draft.document | {"total": "0"})
        give_back(connection, nothing, draft.id, now)


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
