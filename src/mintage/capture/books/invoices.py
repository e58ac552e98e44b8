"""Invoices and credit notes: drafted, issued, paid, taken back; never changed once issued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from mintage.capture import plans
from mintage.capture.books import documents, ledger, repository
from mintage.capture.books.documents import Document
from mintage.capture.books.drafting import Draft, drafts_of, late_usage
from mintage.capture.books.months import latest_hour, months_of
from mintage.capture.books.rollup import Rollup
from mintage.capture.customers import Customer
from mintage.capture.details import NO_DETAILS, Details
from mintage.capture.events import UsageRecord
from mintage.capture.metering import is_charged
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import charged_days
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import RequestError
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.money import Money
from mintage.store.engine import Database
from mintage.trust import audit

Status = Literal["draft", "issued", "paid", "void", "credited", "replaced"]
"""``credited``: what it took stays taken. ``void`` and ``replaced``: it can be invoiced anew."""

_MOST_NANOS = 2**63 - 1
_LONGEST_REFERENCE = 200
_SERIES = {"invoice": "INV", "credit_note": "CN"}


@dataclass(frozen=True)
class Invoice:
    """An invoice or a credit note, with its document."""

    id: str
    kind: str
    number: str | None
    customer: str
    currency: str
    period: str
    attempt: int
    status: Status
    corrects: str | None
    document: Document
    created_at: str
    issued_at: str | None
    due_at: str | None
    closed_at: str | None

    @property
    def total(self) -> Money:
        """What is to be paid."""
        return documents.total_of(self.document)

    def to_json(self) -> dict[str, Any]:
        """As lists and ``invoice show --json`` have it."""
        return {**vars(self), "total": self.total.amount}

    def summary(self) -> dict[str, Any]:
        """The same without its document."""
        return {name: value for name, value in self.to_json().items() if name != "document"}

    def to_row(self) -> repository.Values:
        """As its row holds it."""
        document = canonical_json(self.document).decode()
        return {**vars(self), "document": document, "total_nanos": self.total.nanos}

    @classmethod
    def from_row(cls, row: repository.Values) -> Invoice:
        """Read a row."""
        said = {name: value for name, value in row.items() if name != "total_nanos"}
        return cls(**said | {"document": json.loads(row["document"])})


@dataclass(frozen=True)
class Ran:
    """What a run of invoices came to; ``waiting`` says of whom there is none yet, and why."""

    period: str
    drafted: Sequence[Invoice]
    standing: Sequence[Invoice]
    credited: Sequence[Invoice]
    waiting: Sequence[tuple[str, Message]]


class Invoices:
    """The invoices of a workspace."""

    def __init__(self, database: Database, clock: Clock, seller: Details = NO_DETAILS) -> None:
        """``seller`` is what documents say of who sells."""
        self._database = database
        self._clock = clock
        self._seller = seller
        self._rollup = Rollup(database, clock)

    def run(self, period: Period, customer: str | None = None) -> Ran:
        """Draft an invoice for every customer's month, or for one's; drafts are drawn up anew.

        Months before it that were never invoiced are drafted too. It can be repeated at any time:
        an issued invoice stays as it is, and of a month there is one in each currency. Late usage
        goes where its plan says.

        Raises:
            RequestError: no such customer (404).
        """
        until = self._rollup.catch_up()
        with self._database.read() as connection:
            everyone = repository.active_customers(connection, latest_hour(period))
        ran: dict[str, dict[str, Any]] = {
            name: {} for name in ("drafted", "standing", "credited", "waiting")
        }
        for each in everyone if customer is None else [customer]:
            found = self._database.write(
                lambda connection, who=each: self._run_one(connection, who, period, until)  # type: ignore[misc]
            )
            for name, value in found:
                ran[name][value.id if isinstance(value, Invoice) else value[0]] = value
        return Ran(str(period), **{name: list(values.values()) for name, values in ran.items()})

    def _run_one(
        self, connection: repository.Connection, customer: str, period: Period, until: int
    ) -> list[tuple[str, Any]]:
        who = Customer.from_row(repository.customer_of(connection, customer))
        found: list[tuple[str, Any]] = []
        for late in late_usage(connection, customer, period.following, until):
            if late.replaces:
                currency = late.month.plan.terms.currency
                found += self._correct(connection, who, late.period, currency, until)
        for each in [*self._missed(connection, customer, period), period]:
            too_early = self._too_early(connection, customer, each, until)
            if too_early is not None:
                found.append(("waiting", (who.name, too_early)))
            else:
                found += self._draw_all(connection, who, each, until, is_last=each == period)
        return found

    def _missed(
        self, connection: repository.Connection, customer: str, period: Period
    ) -> list[Period]:
        """Earlier months in which something may be due that was never invoiced."""
        used = {Period.parse(text) for text in repository.months_used(connection, customer)}
        months = {near for each in used for near in (each.preceding, each, each.following)}
        for row in repository.subscriptions_of(connection, customer):
            month = Period.containing(datetime.fromisoformat(row["started_at"]), "UTC").preceding
            end = row["ended_at"] or timestamp(self._clock.now())
            while str(month) <= end[:7]:
                months.add(month)
                month = month.following
        return sorted(month for month in months if month < period)

    def _draw_all(
        self,
        connection: repository.Connection,
        who: Customer,
        period: Period,
        until: int,
        *,
        is_last: bool,
    ) -> list[tuple[str, Any]]:
        """The drafts of a month; late usage is on the last one alone."""
        found: list[tuple[str, Any]] = []
        drafts = drafts_of(connection, who.id, period, until, with_late=is_last)
        for currency, draft in sorted(drafts.items()):
            drawn = self._draw_up(connection, who, period, draft, currency)
            found += [each for each in drawn if is_last or each[0] != "standing"]
        for old in repository.drafts_in(connection, who.id, str(period)):
            if old["currency"] not in drafts:
                repository.remove_draft(connection, old["id"])
        return found

    def _too_early(
        self, connection: repository.Connection, customer: str, period: Period, until: int
    ) -> Message | None:
        """Why a month cannot be invoiced yet: it is not over, or late usage is waited for."""
        ends = [
            period.bounds(month.plan.terms.timezone)[1]
            + timedelta(days=month.plan.terms.late.grace_days)
            for month in months_of(connection, customer, period, until)
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
        if standing is not None:
            repository.remove_draft(connection, standing["id"])
            made = replace(made, id=standing["id"], attempt=standing["attempt"])
        if not draft.is_owed:
            return []
        if abs(made.total.nanos) > _MOST_NANOS:
            too_much = _("{total} is more than one invoice can hold", total=made.total)
            return [("waiting", (customer.name, too_much))]
        repository.add_invoice(connection, made.to_row(), draft.claims_of(made.id, customer.id))
        return [("drafted", made)]

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
        issued = self._database.write(lambda connection: self._issue(connection, reference))
        if issued is None:
            raise RequestError(
                _("Nothing is left of {reference}: others have it.", reference=reference),
                remedy=_("See: mintage invoice list"),
                http_status=409,
            )
        return issued

    def issue_all(self, drafts: Sequence[Invoice]) -> list[Invoice]:
        """Issue drafts in their order; one of which nothing is left goes away."""
        found = (
            self._database.write(lambda connection, draft=each.id: self._issue(connection, draft))  # type: ignore[misc]
            for each in drafts
        )
        return [issued for issued in found if issued is not None]

    def _issue(self, connection: repository.Connection, reference: str) -> Invoice | None:
        draft = _found(connection, reference)
        if draft.status != "draft":
            return draft
        period, until = Period.parse(draft.period), repository.taken_until(connection, draft.id)
        who = Customer.from_row(repository.customer_of(connection, draft.customer))
        said = draft.document
        late = bool(said["rejected"]) or any(line["kind"] == "late" for line in said["lines"])
        drafts = drafts_of(connection, draft.customer, period, until, with_late=late)
        again = drafts.get(draft.currency)
        repository.remove_draft(connection, draft.id)
        if again is None or not again.is_owed:
            return None
        now = self._clock.now()
        document = again.document(self._seller, who, period)
        paid = repository.paid_nanos(connection, draft.id)
        issued = _numbered(connection, draft, document, now, paid)
        repository.add_invoice(connection, issued.to_row(), again.claims_of(issued.id, who.id))
        _post(connection, issued, timestamp(now))
        return issued

    def pay(self, reference: str, amount: Money | None, provider: str, payment: str) -> Invoice:
        """Note that an invoice was paid, in whole or in part; the same payment counts once.

        ``payment`` is what the provider calls it, such as the reference of a bank transfer.

        Raises:
            RequestError: no such invoice (404), one that is not to be paid, or an amount that is
                not above zero or more than is owed (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found = _found(connection, reference)
            _check_reference(payment)
            known = repository.find_payment(connection, provider, payment)
            if known is not None:
                return _same_payment(found, known)
            owed = found.total + Money(-repository.paid_nanos(connection, found.id), found.currency)
            paid = owed if amount is None else amount
            _check_payable(found, paid, owed)
            now, payment_id = timestamp(self._clock.now()), new_id("pay")
            repository.add_payment(
                connection,
                {
                    "id": payment_id,
                    "invoice": found.id,
                    "provider": provider,
                    "reference": payment,
                    "currency": paid.currency,
                    "nanos": paid.nanos,
                    "received_at": now,
                },
            )
            sides = [
                ledger.Entry(f"cash:{provider}", paid),
                ledger.Entry(f"receivable:{found.customer}", -paid),
            ]
            ledger.post(connection, "payment", payment_id, sides, now)
            if paid == owed:
                repository.change_invoice(
                    connection, found.id, {"status": "paid", "closed_at": now}
                )
            return _found(connection, found.id)

        return self._database.write(work)

    def void(self, reference: str) -> Invoice:
        """Take an invoice back that nobody paid: a draft goes, an issued one keeps its number.

        The usage that it took can be invoiced anew.

        Raises:
            RequestError: there is none (404), or it was paid (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found, now = _found(connection, reference), timestamp(self._clock.now())
            if found.status == "void":
                return found
            if found.status not in ("draft", "issued") or found.kind != "invoice":
                raise _not_now(found, _("only what is not paid can be voided"))
            if repository.paid_nanos(connection, found.id):
                raise _not_now(found, _("a part of it is paid; write a credit note"))
            repository.change_invoice(connection, found.id, {"status": "void", "closed_at": now})
            if found.status == "issued":
                ledger.reverse(connection, "invoice", found.id, ("void", found.id), now)
                audit.append(connection, "invoice.voided", {"id": found.id, "number": found.number})
            return _found(connection, found.id)

        return self._database.write(work)

    def credit(self, reference: str, reason: str, *, anew: bool = False) -> Invoice:
        """Write a credit note over all of an issued invoice, paid or not.

        ``anew`` says whether the usage that it took can be invoiced again.

        Raises:
            RequestError: there is none (404), or it cannot be credited (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found = _found(connection, reference)
            if found.status not in ("issued", "paid") or found.kind != "invoice":
                raise _not_now(found, _("only an issued invoice can be credited, and once"))
            return self._credited(connection, found, reason, anew=anew)

        return self._database.write(work)

    def _credited(
        self, connection: repository.Connection, found: Invoice, reason: str, *, anew: bool
    ) -> Invoice:
        now = self._clock.now()
        document = documents.credit_note(found.document, reason)
        draft = self._new(
            connection, found.customer, Period.parse(found.period), document, found.id
        )
        note = _numbered(connection, draft, document, now)
        repository.add_invoice(connection, note.to_row(), [])
        moment = timestamp(now)
        ledger.reverse(connection, "invoice", found.id, ("credit_note", note.id), moment)
        audit.append(connection, "invoice.issued", _logged(note))
        status = "replaced" if anew else "credited"
        changes = {"status": status, "closed_at": moment}
        repository.change_invoice(connection, found.id, changes)
        return note

    def _correct(
        self,
        connection: repository.Connection,
        customer: Customer,
        period: Period,
        currency: str,
        until: int,
    ) -> list[tuple[str, Any]]:
        """Late usage: the month's invoice taken back, and a new one drawn up."""
        standing = repository.standing_invoice(connection, customer.id, str(period), currency)
        if standing is None or standing["status"] == "draft":
            return []
        reason = "usage that was recorded later"
        note = self._credited(connection, Invoice.from_row(standing), reason, anew=True)
        draft = drafts_of(connection, customer.id, period, until).get(currency)
        drawn = (
            [] if draft is None else self._draw_up(connection, customer, period, draft, currency)
        )
        for __, anew in drawn:
            if isinstance(anew, Invoice):
                repository.move_payments(connection, standing["id"], anew.id)
        return [("credited", note), *drawn]

    def find(self, reference: str, customer: str | None = None) -> Invoice:
        """An invoice by its id or number; ``customer`` sees only their own.

        Raises:
            RequestError: there is none, or it is another customer's (404, both alike).
        """
        with self._database.read() as connection:
            return _found(connection, reference, customer)

    def events(self, reference: str, line: int, customer: str | None = None) -> list[UsageRecord]:
        """The usage events that a line of an invoice was computed from, the oldest first.

        Raises:
            RequestError: there is no such invoice, or no such line of usage (404).
        """
        with self._database.read() as connection:
            found = _found(connection, reference, customer)
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
    ) -> list[Invoice]:
        """Invoices and credit notes, the oldest first."""
        with self._database.read() as connection:
            rows = repository.all_invoices(
                connection, customer=customer, period=period, status=status
            )
        return [Invoice.from_row(row) for row in rows]


def no_invoice(reference: str) -> RequestError:
    """There is none of this number, or it is not for whoever asks."""
    return RequestError(
        _("There is no invoice {reference!r}.", reference=reference),
        remedy=_("Name one that is listed: GET /v1/invoices, or mintage invoice list."),
        http_status=404,
    )


def _found(
    connection: repository.Connection, reference: str, customer: str | None = None
) -> Invoice:
    row = repository.find_invoice(connection, reference)
    if row is None or customer not in (None, row["customer"]):
        raise no_invoice(reference)
    return Invoice.from_row(row)


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


def _numbered(
    connection: repository.Connection,
    draft: Invoice,
    document: Document,
    now: datetime,
    paid: int = 0,
) -> Invoice:
    """The draft with a number, dated; that of which nothing is left to be paid is paid."""
    series = f"{_SERIES[draft.kind]}-{now.year}"
    number = f"{series}-{repository.next_number(connection, series):06d}"
    due = timestamp(now + timedelta(days=document["due_days"]))
    moment = timestamp(now)
    dated = document | {"number": number, "issued_at": moment, "due_at": due}
    closed = draft.kind != "invoice" or documents.total_of(dated).nanos <= paid
    return Invoice(
        **vars(draft)
        | {
            "number": number,
            "status": "paid" if closed else "issued",
            "document": dated,
            "issued_at": moment,
            "due_at": due,
            "closed_at": moment if closed else None,
        }
    )


def _post(connection: repository.Connection, issued: Invoice, moment: str) -> None:
    sides = documents.entries(issued.document, issued.customer)
    ledger.post(connection, "invoice", issued.id, sides, moment)
    audit.append(connection, "invoice.issued", _logged(issued))


def _logged(issued: Invoice) -> dict[str, Any]:
    """What the audit log has of a document: its digest stands for all of it."""
    return {
        "id": issued.id,
        "number": issued.number,
        "customer": issued.customer,
        "total": issued.total.amount,
        "currency": issued.currency,
        "sha256": sha256_hex(canonical_json(issued.document)),
    }


def _same_payment(found: Invoice, known: repository.Values) -> Invoice:
    if known["invoice"] != found.id:
        raise _not_now(found, _("that payment was for another invoice"))
    return found


def _check_reference(payment: str) -> None:
    if not payment.strip() or len(payment) > _LONGEST_REFERENCE:
        raise RequestError(
            _("A payment has a reference of 1 to {most} characters.", most=_LONGEST_REFERENCE),
            remedy=_("Give what tells it from others, such as the bank's own reference."),
        )


def _check_payable(found: Invoice, paid: Money, owed: Money) -> None:
    if found.status != "issued":
        raise _not_now(found, _("only an issued invoice is to be paid"))
    whole = Money.rounded(paid.exact, paid.currency) == paid
    if not whole or paid.currency != found.currency or not 0 < paid.nanos <= owed.nanos:
        raise _not_now(found, _("{paid} was paid, and {owed} is owed", paid=paid, owed=owed))


def _not_now(found: Invoice, reason: Message) -> RequestError:
    return RequestError(
        _(
            "{number} is {status}: {reason}.",
            number=found.number or found.id,
            status=found.status,
            reason=reason,
        ),
        remedy=_("See: mintage invoice show {id}", id=found.id),
        http_status=409,
    )
