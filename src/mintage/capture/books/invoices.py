"""The invoices of a workspace: drawn up, issued, paid, taken back; never changed once issued."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from mintage.capture import notices
from mintage.capture.books import crediting, fees, ledger, repository
from mintage.capture.books.account import Account
from mintage.capture.books.drafts import Drafts
from mintage.capture.books.drilldown import Segment, plan_named
from mintage.capture.books.invoice import Invoice, found_invoice, kind_of, not_now, notes_of
from mintage.capture.books.paying import (
    Received,
    beyond_whole,
    check_payable,
    check_reference,
    give_back_all,
    portions,
    take,
)
from mintage.capture.events import UsageRecord
from mintage.capture.limits import prepaid
from mintage.capture.limits.prepaid import CREDIT
from mintage.core.canonical import canonical_json
from mintage.core.clock import timestamp
from mintage.core.errors import RequestError, SignatureMismatch
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.money import Money
from mintage.trust import audit
from mintage.trust.renewing import KeptFile
from mintage.trust.repository import find_statement
from mintage.trust.statements import kept, name_of, open_statement, unconfirmed


class Invoices(Drafts):
    """Everything that can happen to an invoice."""

    def pay(self, reference: str, amount: Money | None, provider: str, payment: str) -> Invoice:
        """As ``pay_each``, of one invoice."""
        (paid,) = self.pay_each([reference], amount, provider, payment)
        return paid

    def pay_each(
        self,
        references: Sequence[str],
        amount: Money | None,
        provider: str,
        payment: str,
        *,
        rest_to_credit: bool = False,
    ) -> list[Invoice]:
        """Note a payment of one invoice, in whole or in part, or of several, in their order.

        ``payment`` is what the provider calls it, such as the reference of a bank transfer; the
        same one counts once. What is more than is owed is refused, or the customer's credit.

        Raises:
            RequestError: no such invoice (404), one that is not to be paid, an amount that does not
                reach it or is more than is owed, or a payment that was noted otherwise (409).
        """

        def work(connection: repository.Connection) -> list[Invoice]:
            now = timestamp(self._clock.now())
            found = _each_once(found_invoice(connection, each) for each in references)
            check_reference(payment)
            if self._is_noted(connection, found, amount, provider, payment):
                return found
            parts, rest = portions(found, amount)
            received = [Received(provider, payment, part, part) for part in parts]
            # An old invoice may owe a part of a minor unit: rounding has it.
            beyond = beyond_whole(rest)
            received[-1] = replace(received[-1], amount=parts[-1] + beyond)
            rest += -beyond
            if rest.nanos and not rest_to_credit:
                raise _too_much(found[-1], parts, rest)
            paid = [
                take(connection, each, part, now)
                for each, part in zip(found, received, strict=True)
            ]
            if rest.nanos:
                prepaid.pay_in(connection, found[0].customer, rest, (provider, payment), now)
            return paid

        return self._database.write(work)

    @staticmethod
    def _is_noted(
        connection: repository.Connection,
        found: Sequence[Invoice],
        amount: Money | None,
        provider: str,
        payment: str,
    ) -> bool:
        """Whether the very payment is in the books; one that is there otherwise is refused."""
        known = repository.payments_named(connection, provider, payment)
        rest = prepaid.paid_in(connection, provider, payment)
        if not known and rest is None:
            return False
        came = sum(int(row["nanos"]) for row in known) + (0 if rest is None else rest.nanos)
        same = {row["invoice"] for row in known} == {each.id for each in found}
        noted = Money(came, found[0].currency)
        if not same or amount not in (None, noted, noted + beyond_whole(-noted)):
            raise not_now(found[0], _("that payment is noted already, and otherwise"))
        return True

    def pay_by_credit(self, reference: str) -> Invoice:
        """Pay what is owed of an issued invoice from the customer's credit, as far as it goes.

        Raises:
            RequestError: no such invoice (404), one that is not to be paid, or no credit (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found, now = found_invoice(connection, reference), timestamp(self._clock.now())
            check_payable(found)
            owed = found.to_pay
            share = prepaid.applied(connection, found.customer, owed, (found.id, found.period), now)
            if not share.pays.nanos:
                raise not_now(
                    found,
                    _(
                        "its customer has no credit in {currency}, to the currency's last decimal",
                        currency=owed.currency,
                    ),
                )
            named = new_id("crp")  # not its moment: two may be of the same
            return take(connection, found, Received(CREDIT, named, share.taken, share.pays), now)

        return self._database.write(work)

    def void(self, reference: str) -> Invoice:
        """Take an invoice back that nobody paid: a draft goes, an issued one keeps its number.

        The usage that it took can be invoiced anew. What was paid of a draft is credit.

        Raises:
            RequestError: there is none (404), or it was paid (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found, now = found_invoice(connection, reference), timestamp(self._clock.now())
            if found.status == "void":
                return found
            if found.kind != "invoice":
                raise not_now(found, _("a credit note stays as it is"))
            if found.status not in ("draft", "issued"):
                raise not_now(found, _("only what is not paid can be voided"))
            if found.status == "draft":
                give_back_all(connection, found, now)
            elif found.credit_nanos or found.paid_nanos:
                raise not_now(found, _("a part of it is paid; write a credit note"))
            if found.credited_nanos or _given_back(connection, found):
                raise not_now(found, _("a part of it is given back; credit the rest"))
            repository.change_invoice(connection, found.id, {"status": "void", "closed_at": now})
            if found.status == "issued":
                ledger.reverse(connection, "invoice", found.id, ("void", found.id), now)
                audit.append(connection, "invoice.voided", {"id": found.id, "number": found.number})
                voided = found_invoice(connection, found.id)
                notices.tell(connection, found.customer, "invoice.void", voided.summary(), now)
            return found_invoice(connection, found.id)

        return self._database.write(work)

    def credit(
        self, reference: str, reason: str, *, anew: bool = False, named: str | None = None
    ) -> Invoice:
        """Write a credit note over all of an issued invoice, paid or not, or all that is left.

        ``anew`` says whether the usage that it took can be invoiced again. What is asked for again
        as it was ``named`` is the note that was written then.

        Raises:
            RequestError: there is none (404), it cannot be credited, or a note over something else
                is named so (409).
        """
        asked = crediting.Asked(named, anew=anew)
        asked.check()

        def work(connection: repository.Connection) -> Invoice:
            found = found_invoice(connection, reference)
            known = _written_as(connection, found, asked)
            if known is not None:
                return known
            if found.status not in ("issued", "paid") or found.kind != "invoice":
                raise not_now(found, _("only an issued invoice can be credited, and once"))
            if found.total.nanos < 0:
                raise not_now(found, _("it gives back, and what it gave is the customer's credit"))
            back = _given_back(connection, found)
            if anew and (back or found.credited_nanos):
                raise not_now(found, _("a part of it is credited, and its usage stays invoiced"))
            if back:
                rest = crediting.rest(found.document, notes_of(connection, found), reason, back)
                return self._credited_in_part(connection, found, asked.named(rest))
            return self._credited(connection, found, reason, anew=anew, asked=asked)

        return self._database.write(work)

    def credit_part(
        self,
        reference: str,
        line: int,
        amount: Money | None,
        reason: str,
        *,
        named: str | None = None,
    ) -> Invoice:
        """Write a credit note over an amount of a line, without tax, and the tax on it.

        None is all that is left of the line. Its usage stays invoiced. What is asked for again as
        it was ``named`` is the note that was written then.

        Raises:
            RequestError: there is no such invoice or line (404), no such amount is left, or a note
                over something else is named so (409).
        """
        asked = crediting.Asked(named, line, amount)
        asked.check()

        def work(connection: repository.Connection) -> Invoice:
            found = found_invoice(connection, reference)
            known = _written_as(connection, found, asked)
            if known is not None:
                return known
            if found.status not in ("issued", "paid") or found.kind != "invoice":
                raise not_now(found, _("only an issued invoice can be credited"))
            notes, back = notes_of(connection, found), _given_back(connection, found)
            left = crediting.remaining_of(found.document, notes, line, back)
            document = crediting.part(found.document, notes, line, amount or left, reason, left)
            return self._credited_in_part(connection, found, asked.named(document))

        return self._database.write(work)

    def find(self, reference: str, customer: str | None = None, *, drafts: bool = True) -> Invoice:
        """An invoice by its id or number; ``customer`` sees only their own.

        Raises:
            RequestError: there is none, it is another customer's, or a draft where those are not
                to be seen (404, all alike).
        """
        with self._database.read() as connection:
            return found_invoice(connection, reference, customer, drafts=drafts)

    def confirmed(self, found: Invoice) -> Invoice:
        """The same, once what is issued is found to be what was signed; a draft as it is.

        Raises:
            SignatureMismatch: it is another document, or its signature is gone.
        """
        if found.number is None:
            return found
        with self._database.read() as connection:
            signed = find_statement(connection, _signed_as(found))
        said = None if signed is None else unconfirmed(signed[1])
        if canonical_json(said) != canonical_json(found.document):
            raise SignatureMismatch(
                _("The document {number} is not what was signed.", number=found.number),
                remedy=_(
                    "What was signed is shown by --format signed; whatever else was changed, "
                    "mintage ledger check names."
                ),
            )
        return found

    def doubt(self, found: Invoice) -> Message | None:
        """Why the signature of what is issued cannot be confirmed here; None where it can."""
        if found.number is None:
            return None
        with self._database.read() as connection:
            __, data = kept(connection, _signed_as(found))
        try:
            open_statement(data, self._keys)
        except SignatureMismatch as error:
            return _("its signature cannot be confirmed: {reason}", reason=error.message)
        return None

    def signed(self, found: Invoice, *, asked: bool = False) -> KeptFile:
        """The file in which an invoice or a credit note is signed.

        It is that of its issue, unless that key was revoked since; see ``Renewing.document``.

        Raises:
            RequestError: it is a draft (409).
            DataError: its signature is not kept here.
            SignatureMismatch: the key was revoked as of a moment before the log had it.
        """
        if found.number is None:
            raise not_now(found, _("only what is issued is signed"))
        return self._renewing.document(_signed_as(found), asked=asked)

    def events(self, reference: str, line: int, customer: str | None = None) -> list[UsageRecord]:
        """The usage events that a line of an invoice was computed from, the oldest first.

        Raises:
            RequestError: there is no such invoice, or no such line of usage (404).
        """
        with self._database.read() as connection:
            found = found_invoice(connection, reference, customer)
            said = _usage_line(found, line)
            agreed = plan_named(said["plan"], Account(connection, found.customer))
            segment = Segment.of(found.customer, found.period, said, agreed)
            rows = repository.events_within(
                connection, vars(segment), [(said.get("unit"), [*said.get("products", ())])]
            )
        return [UsageRecord.from_row(row) for row in rows]

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


def _signed_as(found: Invoice) -> str:
    return name_of(kind_of(found), {"number": found.number})


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


def _given_back(connection: repository.Connection, found: Invoice) -> dict[int, Fraction]:
    """What later invoices gave back of its yearly fees, by line."""
    account = Account(connection, found.customer)
    return fees.given_back(found.document, account.papers, account.notes)


def _written_as(
    connection: repository.Connection, found: Invoice, asked: crediting.Asked
) -> Invoice | None:
    """The credit note over an invoice that was written under this reference already, if one was."""
    for note in notes_of(connection, found) if asked.reference is not None else ():
        if asked.is_named(note):
            if not asked.is_same(note):
                said = _("{number} has that reference, over something else", number=note["number"])
                raise not_now(found, said)
            return found_invoice(connection, note["number"])
    return None


def _each_once(found: Iterable[Invoice]) -> list[Invoice]:
    return list({each.id: each for each in found}.values())


def _too_much(found: Invoice, parts: Sequence[Money], rest: Money) -> RequestError:
    owed = Money(sum(each.nanos for each in parts), rest.currency)
    paid = Money(owed.nanos + rest.nanos, rest.currency)
    return RequestError(
        not_now(found, _("{paid} was paid, and {owed} is owed", paid=paid, owed=owed)).message,
        remedy=_("Name further invoices that it pays, or keep the rest as credit."),
        http_status=409,
    )
