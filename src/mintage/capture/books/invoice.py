"""An invoice or a credit note: its row, its document, and how it gets its number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from mintage.capture.books import documents, ledger, repository
from mintage.capture.books.documents import Document
from mintage.capture.limits.prepaid import CREDIT
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.clock import timestamp
from mintage.core.errors import RequestError
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.money import Money
from mintage.trust import audit
from mintage.trust.keys import KeyRing
from mintage.trust.statements import ROLES, Kind, keep_signed

Status = Literal["draft", "issued", "paid", "void", "credited", "replaced"]
"""``credited``: what it took stays taken. ``void`` and ``replaced``: it can be invoiced anew."""

_SERIES = {"invoice": "INV", "credit_note": "CN"}
_SUMS = ("credit_nanos", "paid_nanos", "credited_nanos")


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
    credit_nanos: int = 0
    paid_nanos: int = 0
    credited_nanos: int = 0

    @property
    def total(self) -> Money:
        """What it comes to."""
        return documents.total_of(self.document)

    @property
    def balance(self) -> Money:
        """What of its total is neither paid nor credited; below zero what there is too much."""
        settled = self.credit_nanos + self.paid_nanos + self.credited_nanos
        return Money(self.total.nanos - settled, self.currency)

    @property
    def to_pay(self) -> Money:
        """What is still to be paid of it."""
        is_open = self.kind == "invoice" and self.status in ("draft", "issued")
        return self.balance if is_open else Money(0, self.currency)

    def settled(self) -> dict[str, str]:
        """What credit and other ways paid of it, what was credited, and what is to be paid."""
        return {name: Money(nanos, self.currency).amount for name, nanos in self._sums().items()}

    def _sums(self) -> dict[str, int]:
        return {
            "credit": self.credit_nanos,
            "paid": self.paid_nanos,
            "credited": self.credited_nanos,
            "to_pay": self.to_pay.nanos,
        }

    def to_json(self) -> dict[str, Any]:
        """As lists and ``invoice show --json`` have it."""
        return {**self._kept(), "total": self.total.amount, **self.settled()}

    def _kept(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in _SUMS}

    def summary(self) -> dict[str, Any]:
        """The same without its document."""
        return {name: value for name, value in self.to_json().items() if name != "document"}

    def to_row(self) -> repository.Values:
        """As its row holds it."""
        document = canonical_json(self.document).decode()
        return {**self._kept(), "document": document, "total_nanos": self.total.nanos}

    @classmethod
    def from_row(cls, row: repository.Values) -> Invoice:
        """Read a row."""
        said = {name: value for name, value in row.items() if name != "total_nanos"}
        sums = {name: int(row[name]) for name in _SUMS}
        return cls(**said | sums | {"document": json.loads(row["document"])})


def no_invoice(reference: str) -> RequestError:
    """There is none of this number, or it is not for whoever asks."""
    return RequestError(
        _("There is no invoice {reference!r}.", reference=reference),
        remedy=_("Name one that is listed: GET /v1/invoices, or mintage invoice list."),
        http_status=404,
    )


def found_invoice(
    connection: repository.Connection,
    reference: str,
    customer: str | None = None,
    *,
    drafts: bool = True,
) -> Invoice:
    """An invoice by its id or number; ``customer`` sees only their own.

    Raises:
        RequestError: there is none, it is another customer's, or a draft where those are not to
            be seen (404, all alike).
    """
    row = repository.find_invoice(connection, reference)
    hidden = row is not None and not drafts and row["number"] is None
    if row is None or hidden or customer not in (None, row["customer"]):
        raise no_invoice(reference)
    return Invoice.from_row(row)


def notes_of(connection: repository.Connection, invoice: Invoice) -> list[Document]:
    """The credit notes over an invoice, the oldest first."""
    return [json.loads(each) for each in repository.notes_of(connection, invoice.id)]


def numbered(
    connection: repository.Connection,
    draft: Invoice,
    document: Document,
    now: datetime,
) -> Invoice:
    """The draft with a number, dated; an invoice of which nothing is left to be paid is paid."""
    series = f"{_SERIES[draft.kind]}-{now.year}"
    number = f"{series}-{repository.next_number(connection, series):06d}"
    due = timestamp(now + timedelta(days=document["due_days"]))
    moment = timestamp(now)
    dated = document | {"number": number, "issued_at": moment, "due_at": due}
    is_paid = draft.kind == "invoice" and documents.left_of(dated).nanos <= 0
    return Invoice(
        **vars(draft)
        | {
            "number": number,
            "status": "paid" if is_paid else "issued",
            "document": dated,
            "issued_at": moment,
            "due_at": due,
            "closed_at": moment if is_paid or draft.kind != "invoice" else None,
        }
    )


def keep_issued(
    connection: repository.Connection,
    issued: Invoice,
    claimed: Sequence[repository.Values],
    keys: KeyRing,
) -> None:
    """Keep a document that has its number, signed; the log has its digest."""
    repository.add_invoice(connection, issued.to_row(), claimed)
    kind = kind_of(issued)
    keep_signed(connection, kind, issued.document, keys.signer(ROLES[kind]))
    audit.append(connection, "invoice.issued", logged(issued) | {"taken": taken_of(claimed)})


def taken_of(claimed: Iterable[repository.Values]) -> list[dict[str, Any]]:
    """What a document takes of which months, as the audit log has it."""
    said = ("period", "plan", "plan_version", "until_step", "disposition")
    rows = [{name: each[name] for name in said} for each in claimed]
    return sorted(rows, key=lambda row: [str(each) for each in row.values()])


def kind_of(found: Invoice) -> Kind:
    """What its signed statement calls it."""
    return "credit_note" if found.kind == "credit_note" else "invoice"


def receive(
    connection: repository.Connection,
    found: Invoice,
    paid: Money,
    provider: str,
    payment: str,
    now: str,
    came: Money | None = None,
) -> None:
    """Note a payment of an invoice, from cash or from the customer's credit.

    Below zero it is taken off the invoice, and is credit. ``came`` is what did, where a provider
    cannot ask for just as much: rounding has the rest.
    """
    payment_id = new_id("pay")
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
    is_credit = provider == CREDIT or paid.nanos < 0
    source = f"credit:{found.customer}" if is_credit else f"cash:{provider}"
    sides = [
        ledger.Entry(source, came or paid),
        ledger.Entry("rounding", paid + -(came or paid)),
        ledger.Entry(f"receivable:{found.customer}", -paid),
    ]
    ledger.post(connection, "payment", payment_id, sides, now)


def logged(issued: Invoice) -> dict[str, Any]:
    """What the audit log has of a document: its digest stands for all of it."""
    return {
        "id": issued.id,
        "number": issued.number,
        "customer": issued.customer,
        "total": issued.total.amount,
        "currency": issued.currency,
        "sha256": sha256_hex(canonical_json(issued.document)),
    }


def not_now(found: Invoice, reason: Message) -> RequestError:
    """What cannot be done to an invoice that stands so."""
    return RequestError(
        _(
            "{number} is {status}: {reason}.",
            number=found.number or found.id,
            status=Message(found.status),
            reason=reason,
        ),
        remedy=_("See: mintage invoice show {id}", id=found.id),
        http_status=409,
    )
