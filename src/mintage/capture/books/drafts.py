"""From months to drafts, and from drafts to issued invoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from mintage.capture import notices
from mintage.capture.books import crediting, documents, ledger, repository
from mintage.capture.books.account import Account, Reference
from mintage.capture.books.documents import Document
from mintage.capture.books.drafting import Draft, drafts_of, late_usage
from mintage.capture.books.invoice import (
    Invoice,
    found_invoice,
    keep_issued,
    not_now,
    notes_of,
    numbered,
    receive,
)
from mintage.capture.books.months import latest_hour, months_of
from mintage.capture.books.owing import months_before
from mintage.capture.books.paying import give_back, give_back_all, too_much
from mintage.capture.books.recount import Recount
from mintage.capture.books.running import Ran, reason_of, written
from mintage.capture.customers import Customer
from mintage.capture.details import NO_DETAILS, Details
from mintage.capture.hours.rollup import Rollup
from mintage.capture.limits import prepaid
from mintage.capture.limits.prepaid import CREDIT
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import charged_days
from mintage.capture.tax_numbers import vat_prefix
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import BooksBroken, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.money import Money
from mintage.store.engine import Database
from mintage.trust.keys import KeyRing
from mintage.trust.renewing import Renewing


class Drafts:
    """Draws up what months come to, and issues it."""

    def __init__(
        self, database: Database, clock: Clock, keys: KeyRing, seller: Details = NO_DETAILS
    ) -> None:
        """``keys`` sign what is issued; ``seller`` is what documents say of who sells."""
        self._database = database
        self._clock = clock
        self._keys = keys
        self._seller = seller
        self._rollup = Rollup(database, clock)
        self._renewing = Renewing(database, keys, lambda: timestamp(clock.now()))

    def run(self, period: Period, customer: str | None = None) -> Ran:
        """Draft an invoice for every customer's month, or for one's; drafts are drawn up anew.

        Months before it that were never invoiced are drafted too. It can be repeated at any time:
        an issued invoice stays as it is, and of a month there is one in each currency. Late usage
        goes where its plan says. What fails for one of all customers is among who waits, and why.

        Raises:
            RequestError: no such customer (404).
        """
        until = self._rollup.catch_up()
        with self._database.read() as connection:
            everyone = repository.active_customers(connection, latest_hour(period))
        ran: dict[str, dict[str, Any]] = {
            name: {} for name in ("drafted", "standing", "credited", "waiting")
        }
        agreed: dict[Reference, Plan] = {}
        owners = everyone if customer is None else [customer]
        works = [
            partial(self._run_one, who=each, agreed=agreed, period=period, until=until)
            for each in owners
        ]
        for owner, found in zip(owners, written(self._database, works), strict=True):
            if isinstance(found, Exception):
                if customer is not None:
                    raise found
                name = self._name_of(owner)
                ran["waiting"][name] = (name, reason_of(found))
                continue
            for name, value in found:
                ran[name][value.id if isinstance(value, Invoice) else value[0]] = value
        is_over = self._clock.now() >= period.bounds("UTC")[1]
        made = {name: list(values.values()) for name, values in ran.items()}
        return Ran(str(period), is_over, is_broken=False, **made)

    def _name_of(self, customer: str) -> str:
        with self._database.read() as connection:
            return str(repository.customer_of(connection, customer)["name"])

    def _run_one(
        self,
        connection: repository.Connection,
        who: str,
        agreed: dict[Reference, Plan],
        period: Period,
        until: int,
    ) -> list[tuple[str, Any]]:
        return self._drawn(Account(connection, who, agreed), period, until)

    def _drawn(self, account: Account, period: Period, until: int) -> list[tuple[str, Any]]:
        who = Customer.from_row(repository.customer_of(account.connection, account.customer))
        found: list[tuple[str, Any]] = []
        for late in late_usage(account, period.following, until):
            if late.replaces:
                found += self._correct(
                    account, who, late.period, late.month.plan.terms.currency, until
                )
        before = months_before(account, period, self._clock.now())
        missed = [each for each in before if not account.is_settled(each, until)]
        for each in [*missed, period]:
            too_early = self._too_early(account, each, until)
            if too_early is not None:
                found.append(("waiting", (who.name, too_early)))
            else:
                found += self._draw_all(account, who, each, until, is_last=each == period)
        return found

    def _draw_all(
        self, account: Account, who: Customer, period: Period, until: int, *, is_last: bool
    ) -> list[tuple[str, Any]]:
        """The drafts of a month; late usage is on the last one alone."""
        connection, found = account.connection, list[tuple[str, Any]]()
        drafts = drafts_of(account, period, until, with_late=is_last)
        for currency, draft in sorted(drafts.items()):
            drawn = self._draw_up(connection, who, period, draft, currency)
            found += [each for each in drawn if is_last or each[0] != "standing"]
        for old in repository.drafts_in(connection, who.id, str(period)):
            if old["currency"] not in drafts:
                self._let_go(connection, found_invoice(connection, old["id"]))
        return found

    def _too_early(self, account: Account, period: Period, until: int) -> Message | None:
        """Why a month cannot be invoiced yet: it is not over, or late usage is waited for."""
        ends = [
            period.bounds(month.plan.terms.timezone)[1]
            + timedelta(days=month.plan.terms.late.grace_days)
            for month in months_of(account, period, until)
            if month.events or charged_days(month.part, period)
        ]
        end = max(ends, default=period.bounds("UTC")[1])
        if self._clock.now() >= end:
            return None
        return _(
            "invoices of {period} are drawn up from {day} on",
            period=period,
            day=timestamp(end)[:16],
        )

    def _draw_up(
        self,
        connection: repository.Connection,
        customer: Customer,
        period: Period,
        draft: Draft,
        currency: str,
    ) -> list[tuple[str, Any]]:
        """A new draft, or the one that stands drawn up anew; what is issued stays."""
        standing = repository.standing_invoice(connection, customer.id, str(period), currency)
        if standing is not None and standing["status"] != "draft":
            return [("standing", Invoice.from_row(standing))]
        made = self._new(
            connection, customer.id, period, draft.document(self._seller, customer, period)
        )
        refusal = _too_large(made.document, customer.id) or _erased(customer)
        if standing is not None and (not draft.is_owed or refusal is not None):
            self._let_go(connection, Invoice.from_row(standing))
        elif standing is not None:
            repository.remove_draft(connection, standing["id"])
            made = replace(made, id=standing["id"], attempt=standing["attempt"])
        if not draft.is_owed:
            return []
        if refusal is not None:
            return [("waiting", (customer.name, refusal))]
        repository.add_invoice(connection, made.to_row(), draft.claims_of(made.id, customer.id))
        return [("drafted", made)]

    def _let_go(self, connection: repository.Connection, draft: Invoice) -> None:
        give_back_all(connection, draft, timestamp(self._clock.now()))
        repository.remove_draft(connection, draft.id)

    def _new(
        self,
        connection: repository.Connection,
        customer: str,
        period: Period,
        document: Document,
        corrects: str | None = None,
    ) -> Invoice:
        key = (customer, str(period), document["currency"], document["kind"])
        return Invoice(
            id=new_id("inv"),
            kind=document["kind"],
            number=None,
            customer=customer,
            currency=document["currency"],
            period=str(period),
            attempt=repository.attempts(connection, *key) + 1,
            status="draft",
            corrects=corrects,
            document=document,
            created_at=timestamp(self._clock.now()),
            issued_at=None,
            due_at=None,
            closed_at=None,
        )

    def issue(self, reference: str) -> Invoice:
        """Give a draft its number and put it in the books; from then on it never changes.

        What another invoice took meanwhile is left out. One that is issued already is returned.

        Raises:
            RequestError: there is none (404), or nothing is left of it (409).
        """
        with self._database.read() as connection:
            draft = found_invoice(connection, reference)
        recount = self._recounted(draft, {})
        issued = self._database.write(partial(self._issue, reference=reference, recount=recount))
        if issued is None:
            raise RequestError(
                _("Nothing is left of {reference}: others have it.", reference=reference),
                remedy=_("See: mintage invoice list"),
                http_status=409,
            )
        return issued

    def issue_all(self, drafts: Sequence[Invoice]) -> list[Invoice]:
        """Issue drafts in their order; one of which nothing is left goes away.

        Raises:
            RequestError: one cannot be issued, and stays a draft; the others are issued.
        """
        issued, failed = self._issue_each(drafts)
        for __, error in failed:
            raise error
        return issued

    def issue_ran(self, ran: Ran) -> Ran:
        """What a run drafted, issued; who has a draft that cannot be is among who waits."""
        issued, failed = self._issue_each(ran.drafted)
        waiting = [(each.document["customer"]["name"], reason_of(error)) for each, error in failed]
        is_broken = any(isinstance(error, BooksBroken) for __, error in failed)
        return replace(ran, drafted=issued, waiting=[*ran.waiting, *waiting], is_broken=is_broken)

    def _issue_each(
        self, drafts: Sequence[Invoice]
    ) -> tuple[list[Invoice], list[tuple[Invoice, Exception]]]:
        """What was issued, and which drafts were not, and why."""
        agreed: dict[Reference, Plan] = {}
        # Each draft is counted again when it is about to be issued, and before the write.
        works = (
            partial(
                self._issue,
                reference=each.id,
                recount=self._recounted(each, agreed),
                agreed=agreed,
            )
            for each in drafts
        )
        issued, failed = list[Invoice](), list[tuple[Invoice, Exception]]()
        for draft, made in zip(drafts, written(self._database, works), strict=True):
            if isinstance(made, Exception):
                failed.append((draft, made))
            elif made is not None:
                issued.append(made)
        return issued, failed

    def _recounted(self, draft: Invoice, agreed: dict[Reference, Plan]) -> Recount:
        """What its lines are of, counted again: no call has to wait until it is."""
        recount = Recount()
        if draft.status == "draft":
            with self._database.read() as connection:
                account = Account(connection, draft.customer, agreed)
                until = repository.taken_until(connection, draft.id)
                recount.prepare(account, draft.document, until)
        return recount

    def _issue(
        self,
        connection: repository.Connection,
        reference: str,
        recount: Recount,
        agreed: dict[Reference, Plan] | None = None,
    ) -> Invoice | None:
        draft = found_invoice(connection, reference)
        if draft.status == "void":
            raise not_now(draft, _("only a draft is to be issued"))
        if draft.status != "draft":
            return draft
        period, until = Period.parse(draft.period), repository.taken_until(connection, draft.id)
        who = Customer.from_row(repository.customer_of(connection, draft.customer))
        said = draft.document
        late = bool(said["rejected"]) or any(line["kind"] == "late" for line in said["lines"])
        account = Account(connection, draft.customer, agreed)
        drafts = drafts_of(account, period, until, with_late=late)
        again = drafts.get(draft.currency)
        if again is None or not again.is_owed:
            self._let_go(connection, draft)
            return None
        repository.remove_draft(connection, draft.id)
        now = self._clock.now()
        document = again.document(self._seller, who, period)
        refusal = _too_large(document, who.id) or _anonymous(document)
        if refusal is not None:
            raise not_now(draft, refusal)
        document = recount.stated(account, document, until)
        drawn = replace(draft, document=document)
        share = prepaid.applied(
            connection, draft.customer, drawn.balance, (draft.id, draft.period), timestamp(now)
        )
        document = documents.settled(document, *_payments_of(connection, drawn, share.pays))
        issued = numbered(connection, drawn, document, now)
        keep_issued(connection, issued, again.claims_of(issued.id, who.id), self._keys)
        sides = documents.entries(issued.document, issued.customer)
        ledger.post(connection, "invoice", issued.id, sides, timestamp(now))
        if share.pays.nanos:
            paid = (share.pays, CREDIT, issued.id, timestamp(now), share.taken)
            receive(connection, issued, *paid)
        if drawn.balance.nanos < 0:
            give_back(connection, drawn, issued.id, timestamp(now))
        issued = found_invoice(connection, issued.id)
        _tell(connection, issued, timestamp(now))
        return issued

    def _credited(
        self,
        connection: repository.Connection,
        found: Invoice,
        reason: str,
        *,
        anew: bool,
        keeps_payments: bool = False,
        asked: crediting.Asked = crediting.NOT_NAMED,
    ) -> Invoice:
        """``keeps_payments``: another invoice takes its place, and what was paid."""
        parts = notes_of(connection, found)
        document = (
            crediting.rest(found.document, parts, reason, {})
            if parts
            else documents.credit_note(found.document, reason)
        )
        note = self._noted(connection, found, asked.named(document))
        moment = str(note.issued_at)
        if parts:
            _post_note(connection, note)
        else:
            ledger.reverse(connection, "invoice", found.id, ("credit_note", note.id), moment)
        if not keeps_payments:
            _give_back(connection, found, note)
        status = "replaced" if anew else "credited"
        changes = {"status": status, "closed_at": moment}
        repository.change_invoice(connection, found.id, changes)
        return note

    def _credited_in_part(
        self, connection: repository.Connection, found: Invoice, document: Document
    ) -> Invoice:
        note = self._noted(connection, found, document)
        _post_note(connection, note)
        _give_back(connection, found, note)
        now = found_invoice(connection, found.id)
        whole = now.credited_nanos == now.total.nanos
        status = "credited" if whole else "paid" if now.balance.nanos <= 0 else found.status
        if status != found.status:
            changes = {"status": status, "closed_at": note.issued_at}
            repository.change_invoice(connection, found.id, changes)
        if status == "paid" and found.status != "paid":
            closed, moment = found_invoice(connection, found.id), str(note.issued_at)
            notices.tell(connection, found.customer, "invoice.paid", closed.summary(), moment)
        return note

    def _noted(
        self, connection: repository.Connection, found: Invoice, document: Document
    ) -> Invoice:
        """A credit note with its number; its entries are the caller's."""
        draft = self._new(
            connection, found.customer, Period.parse(found.period), document, found.id
        )
        note = numbered(connection, draft, document, self._clock.now())
        keep_issued(connection, note, [], self._keys)
        moment = str(note.issued_at)
        notices.tell(connection, note.customer, "credit_note.issued", note.summary(), moment)
        return note

    def _correct(
        self,
        account: Account,
        customer: Customer,
        period: Period,
        currency: str,
        until: int,
    ) -> list[tuple[str, Any]]:
        """Late usage: the month's invoice taken back, and a new one drawn up."""
        connection = account.connection
        standing = repository.standing_invoice(connection, customer.id, str(period), currency)
        if standing is None or standing["status"] == "draft":
            return []
        reason = "usage that was recorded later"
        found = Invoice.from_row(standing)
        note = self._credited(connection, found, reason, anew=True, keeps_payments=True)
        account.papers_changed()
        draft = drafts_of(account, period, until).get(currency)
        drawn = (
            [] if draft is None else self._draw_up(connection, customer, period, draft, currency)
        )
        anew = next((each for __, each in drawn if isinstance(each, Invoice)), None)
        if anew is None:
            _give_back(connection, found, note)
        else:
            repository.move_payments(connection, found.id, anew.id)
        account.papers_changed()
        return [("credited", note), *drawn]


def _too_large(document: Document, customer: str) -> Message | None:
    """Why the books cannot hold a document: a line may be far more than what the total is."""
    amount = ledger.beyond(documents.entries(document, customer))
    if amount is None:
        return None
    if amount.nanos == abs(documents.total_of(document).nanos):
        return _("{total} is more than one invoice can hold", total=amount)
    return _("{amount}, which is a part of it, is more than the ledger can hold", amount=amount)


def _erased(customer: Customer) -> Message | None:
    """Why nothing is invoiced for a call that was under way when its customer was erased."""
    return None if customer.erased_at is None else _("they were erased")


def _anonymous(document: Document) -> Message | None:
    """Why a seller of the EU cannot issue it: by Directive 2006/112/EC, article 226, it says who.

    Of another country, or of one that is not said, nothing is refused.
    """
    country, lacks = document["seller"]["country"], documents.lacking(document)
    if not lacks or vat_prefix(country) is None:
        return None
    said = {"country": country.upper(), "names": ", ".join(lacks)}
    return _("an invoice of {country} says who sells: MINTAGE_SELLER lacks {names}", **said)


def _payments_of(
    connection: repository.Connection, drawn: Invoice, credit: Money
) -> tuple[int, int]:
    """What credit and other ways pay of an invoice when it is issued, in 10⁻⁹."""
    back = too_much(connection, drawn) if drawn.balance.nanos < 0 else {}
    by_credit = back.pop(CREDIT, 0)
    return drawn.credit_nanos + credit.nanos - by_credit, drawn.paid_nanos - sum(back.values())


def _give_back(connection: repository.Connection, found: Invoice, note: Invoice) -> None:
    """What was paid of it, and is owed no longer for a credit note, is the customer's credit."""
    now = found_invoice(connection, found.id)
    if now.balance.nanos < 0:
        give_back(connection, now, note.id, str(note.issued_at))


def _post_note(connection: repository.Connection, note: Invoice) -> None:
    sides = documents.entries(note.document, note.customer)
    ledger.post(connection, "credit_note", note.id, sides, str(note.issued_at))


def _tell(connection: repository.Connection, issued: Invoice, moment: str) -> None:
    notices.tell(connection, issued.customer, "invoice.issued", issued.summary(), moment)
    if issued.status == "paid":
        notices.tell(connection, issued.customer, "invoice.paid", issued.summary(), moment)
