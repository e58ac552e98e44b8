"""An invoice or a credit note: its row, its document, and how it gets its number."""

from __future__ import annotations

import json
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


def owed_of(connection: repository.Connection, invoice: Invoice) -> Money:
    """What of an invoice is neither paid nor credited; below zero what is to be given back."""
    paid = repository.paid_nanos(connection, invoice.id)
    credited = repository.credited_nanos(connection, invoice.id)
    return Money(invoice.total.nanos - paid - credited, invoice.currency)


def numbered(
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

    Below zero it is given back. ``came`` is what did, where a provider cannot ask for just as much:
    rounding has the rest.
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
    source = f"credit:{found.customer}" if provider == CREDIT else f"cash:{provider}"
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
            status=found.status,
            reason=reason,
        ),
        remedy=_("See: mintage invoice show {id}", id=found.id),
        http_status=409,
    )
