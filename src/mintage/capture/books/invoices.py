"""The invoices of a workspace: drawn up, issued, paid, taken back; never changed once issued."""

from __future__ import annotations

from typing import Any

from mintage.capture import notices, plans
from mintage.capture.books import crediting, ledger, repository
from mintage.capture.books.drafts import Drafts
from mintage.capture.books.invoice import Invoice, found_invoice, not_now, notes_of, owed_of
from mintage.capture.books.paying import (
    Received,
    check_payable,
    check_reference,
    take,
)
from mintage.capture.events import UsageRecord, is_charged
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import Money
from mintage.trust import audit


class Invoices(Drafts):
    """Everything that can happen to an invoice."""

    def pay(self, reference: str, amount: Money | None, provider: str, payment: str) -> Invoice:
        """Note that an invoice was paid, in whole or in part; the same payment counts once.

        ``payment`` is what the provider calls it, such as the reference of a bank transfer.

        Raises:
            RequestError: no such invoice (404), one that is not to be paid, or an amount that is
                not above zero or more than is owed (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found, now = found_invoice(connection, reference), timestamp(self._clock.now())
            check_reference(payment)
            known = repository.find_payment(connection, provider, payment)
            if known is not None:
                return _same_payment(found, known)
            owed = owed_of(connection, found)
            paid = owed if amount is None else amount
            check_payable(found, paid, owed)
            return take(connection, found, Received(provider, payment, paid, paid), now)

        return self._database.write(work)

    def void(self, reference: str) -> Invoice:
        """Take an invoice back that nobody paid: a draft goes, an issued one keeps its number.

        The usage that it took can be invoiced anew.

        Raises:
            RequestError: there is none (404), or it was paid (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found, now = found_invoice(connection, reference), timestamp(self._clock.now())
            if found.status == "void":
                return found
            if found.status not in ("draft", "issued") or found.kind != "invoice":
                raise not_now(found, _("only what is not paid can be voided"))
            if repository.paid_nanos(connection, found.id):
                raise not_now(found, _("a part of it is paid; write a credit note"))
            if repository.notes_of(connection, found.id):
                raise not_now(found, _("a part of it is credited; credit the rest"))
            repository.change_invoice(connection, found.id, {"status": "void", "closed_at": now})
            if found.status == "issued":
                ledger.reverse(connection, "invoice", found.id, ("void", found.id), now)
                audit.append(connection, "invoice.voided", {"id": found.id, "number": found.number})
                voided = found_invoice(connection, found.id)
                notices.tell(connection, found.customer, "invoice.void", voided.summary(), now)
            return found_invoice(connection, found.id)

        return self._database.write(work)

    def credit(self, reference: str, reason: str, *, anew: bool = False) -> Invoice:
        """Write a credit note over all of an issued invoice, paid or not, or all that is left.

        ``anew`` says whether the usage that it took can be invoiced again.

        Raises:
            RequestError: there is none (404), or it cannot be credited (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found = found_invoice(connection, reference)
            if found.status not in ("issued", "paid") or found.kind != "invoice":
                raise not_now(found, _("only an issued invoice can be credited, and once"))
            if anew and repository.notes_of(connection, found.id):
                raise not_now(found, _("a part of it is credited, and its usage stays invoiced"))
            return self._credited(connection, found, reason, anew=anew)

        return self._database.write(work)

    def credit_part(self, reference: str, line: int, amount: Money | None, reason: str) -> Invoice:
        """Write a credit note over an amount of a line, without tax, and the tax on it.

        None is all that is left of the line. Its usage stays invoiced.

        Raises:
            RequestError: there is no such invoice or line (404), or no such amount is left (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found = found_invoice(connection, reference)
            if found.status not in ("issued", "paid") or found.kind != "invoice":
                raise not_now(found, _("only an issued invoice can be credited"))
            notes = notes_of(connection, found)
            taken = amount or crediting.remaining_of(found.document, notes, line)
            document = crediting.part(found.document, notes, line, taken, reason)
            return self._credited_in_part(connection, found, document)

        return self._database.write(work)

    def find(self, reference: str, customer: str | None = None, *, drafts: bool = True) -> Invoice:
        """An invoice by its id or number; ``customer`` sees only their own.

        Raises:
            RequestError: there is none, it is another customer's, or a draft where those are not
                to be seen (404, all alike).
        """
        with self._database.read() as connection:
            return found_invoice(connection, reference, customer, drafts=drafts)

    def events(self, reference: str, line: int, customer: str | None = None) -> list[UsageRecord]:
        """The usage events that a line of an invoice was computed from, the oldest first.

        Raises:
            RequestError: there is no such invoice, or no such line of usage (404).
        """
        with self._database.read() as connection:
            found = found_invoice(connection, reference, customer)
            said = _usage_line(found, line)
            plan, __, version = said["plan"].partition("@")
            agreed = plans.found(connection, plan, int(version))
            period = Period.parse(said.get("period", found.period))
            rows = repository.events_within(
                connection,
                (found.customer, plan, int(version)),
                (said["after"], said["until"]),
                tuple(timestamp(each) for each in period.bounds(agreed.terms.timezone)),
            )
        records = [UsageRecord.from_row(row) for row in rows]
        abstained, unit = agreed.terms.charge_abstained, said.get("unit")
        return [
            each
            for each in records
            if is_charged(each.outcome, charge_abstained=abstained)
            and each.recorded_at >= said.get("since", "")
            and (unit is None or (unit in each.quantities and each.product in said["products"]))
        ]

    def list(
        self,
        customer: str | None = None,
        period: str | None = None,
        status: str | None = None,
        *,
        drafts: bool = True,
        after: str | None = None,
        limit: int | None = None,
    ) -> list[Invoice]:
        """Invoices and credit notes, the oldest first; or ``limit`` of those that follow ``after``.

        Raises:
            RequestError: there is no such invoice to go on after (404).
        """
        with self._database.read() as connection:
            last = None
            if after is not None:
                found = found_invoice(connection, after, customer, drafts=drafts)
                last = found.created_at, found.id
            rows = repository.all_invoices(
                connection,
                customer=customer,
                period=period,
                status=status,
                drafts=drafts,
                after=last,
                limit=limit,
            )
        return [Invoice.from_row(row) for row in rows]


def _usage_line(found: Invoice, number: int) -> dict[str, Any]:
    """A line of usage by its number, counted from 1."""
    lines = found.document["lines"]
    if not 1 <= number <= len(lines) or "until" not in lines[number - 1]:
        usage = [str(n) for n, line in enumerate(lines, start=1) if "until" in line]
        raise RequestError(
            _("Line {line} of it is not of usage.", line=number),
            remedy=_("Those of usage are: {lines}.", lines=", ".join(usage) or "—"),
            http_status=404,
        )
    said: dict[str, Any] = lines[number - 1]
    return said


def _same_payment(found: Invoice, known: repository.Values) -> Invoice:
    if known["invoice"] != found.id:
        raise not_now(found, _("that payment was for another invoice"))
    return found
