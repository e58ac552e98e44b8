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
from mintage.capture.books.months import months_of
from mintage.capture.books.rollup import Rollup
from mintage.capture.customers import Customer
from mintage.capture.details import NO_DETAILS, Details
from mintage.capture.events import UsageRecord
from mintage.capture.metering import is_charged
from mintage.capture.pricing.periods import Period
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

        It can be repeated at any time: an issued invoice stays as it is, and of a month there is
        one. Late usage goes where its plan says.

        Raises:
            RequestError: no such customer (404).
        """
        until = self._rollup.catch_up()
        begin, end = (timestamp(each - timedelta(hours=15))[:13] for each in period.bounds("UTC"))
        with self._database.read() as connection:
            everyone = repository.active_customers(connection, begin, _later(end))
        wanted = everyone if customer is None else [customer]
        ran: dict[str, list[Any]] = {
            name: [] for name in ("drafted", "standing", "credited", "waiting")
        }
        for each in wanted:
            found = self._database.write(
                lambda connection, who=each: self._run_one(connection, who, period, until)  # type: ignore[misc]
            )
            for name, value in found:
                ran[name].append(value)
        return Ran(str(period), **ran)

    def _run_one(
        self, connection: repository.Connection, customer: str, period: Period, until: int
    ) -> list[tuple[str, Any]]:
        who = Customer.from_row(repository.customer_of(connection, customer))
        too_early = self._too_early(connection, customer, period, until)
        if too_early is not None:
            return [("waiting", (who.name, too_early))]
        found: list[tuple[str, Any]] = []
        for late in late_usage(connection, customer, period.following, until):
            if late.policy == "credit_note":
                currency = late.month.plan.terms.currency
                found += self._correct(connection, who, late.period, currency, until)
        drafts = drafts_of(connection, customer, period, until)
        for currency, draft in sorted(drafts.items()):
            found += self._draw_up(connection, who, period, draft, currency)
        return found

    def _too_early(
        self, connection: repository.Connection, customer: str, period: Period, until: int
    ) -> Message | None:
        """Why a month cannot be invoiced yet: it is not over, or late usage is waited for."""
        now = self._clock.now()
        for month in months_of(connection, customer, period, until):
            terms = month.plan.terms
            end = period.bounds(terms.timezone)[1] + timedelta(days=terms.late.grace_days)
            if now < end:
                return _(
                    "invoices of {period} are drawn up from {day} on",
                    period=period,
                    day=timestamp(end)[:16],
                )
        return None

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
        if not any(line.amount for line in draft.lines):
            return []  # nothing is owed
        claimed = [each | {"invoice": made.id, "customer": customer.id} for each in draft.claims]
        repository.add_invoice(connection, made.to_row(), claimed)
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
            RequestError: there is none (404).
        """

        def work(connection: repository.Connection) -> Invoice:
            draft = _found(connection, reference)
            if draft.status != "draft":
                return draft
            period, until = Period.parse(draft.period), repository.taken_until(connection, draft.id)
            who = Customer.from_row(repository.customer_of(connection, draft.customer))
            again = drafts_of(connection, draft.customer, period, until).get(draft.currency)
            if again is None:
                again = Draft(draft.currency)
            repository.remove_draft(connection, draft.id)
            now = self._clock.now()
            issued = _numbered(connection, draft, again.document(self._seller, who, period), now)
            claimed = [
                each | {"invoice": issued.id, "customer": draft.customer} for each in again.claims
            ]
            repository.add_invoice(connection, issued.to_row(), claimed)
            _post(connection, issued, timestamp(now))
            return issued

        return self._database.write(work)

    def pay(self, reference: str, amount: Money | None, provider: str, payment: str) -> Invoice:
        """Note that an invoice was paid, in whole or in part; the same payment counts once.

        ``payment`` is what the provider calls it, such as the reference of a bank transfer.

        Raises:
            RequestError: no such invoice (404), one that is not to be paid, or an amount that is
                not above zero or more than is owed (409).
        """

        def work(connection: repository.Connection) -> Invoice:
            found = _found(connection, reference)
            known = repository.find_payment(connection, provider, payment)
            if known is not None:
                return _same_payment(found, known)
            owed = found.total + Money(-repository.paid_nanos(connection, found.id), found.currency)
            paid = owed if amount is None else amount
            _check_payable(found, paid, owed)
            now = timestamp(self._clock.now())
            repository.add_payment(
                connection,
                {
                    "id": new_id("pay"),
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
            ledger.post(connection, "payment", f"{provider}:{payment}"[:80], sides, now)
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


def _later(hour: str) -> str:
    moment = datetime.fromisoformat(f"{hour}:00:00+00:00") + timedelta(hours=30)
    return timestamp(moment)[:13]


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
    connection: repository.Connection, draft: Invoice, document: Document, now: datetime
) -> Invoice:
    """The draft with a number, dated; what is to be paid nothing for is paid."""
    series = f"{_SERIES[draft.kind]}-{now.year}"
    number = f"{series}-{repository.next_number(connection, series):06d}"
    due = timestamp(now + timedelta(days=document["due_days"]))
    moment = timestamp(now)
    dated = document | {"number": number, "issued_at": moment, "due_at": due}
    closed = draft.kind != "invoice" or documents.total_of(dated).nanos <= 0
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


def _check_payable(found: Invoice, paid: Money, owed: Money) -> None:
    if found.status != "issued":
        raise _not_now(found, _("only an issued invoice is to be paid"))
    if paid.currency != found.currency or not 0 < paid.nanos <= owed.nanos:
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
