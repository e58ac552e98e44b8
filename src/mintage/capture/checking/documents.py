"""Whether issued documents are what was issued, and whether what stands beside them says the same.

A document's digest is on the audit log. Its row repeats some of it, so that the database can
search and add up; what was paid is in the ledger, too.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

from mintage.capture.books.documents import Document, total_of
from mintage.capture.books.invoice import taken_of
from mintage.capture.checking import repository
from mintage.core.canonical import sha256_hex
from mintage.core.errors import BooksBroken
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust.audit import leaf_of

_REMEDY = _("Restore the workspace from a backup, or report this.")
_GIVEN_BACK = ("credited", "replaced")
_BESIDE = ("kind", "number", "currency", "period", "issued_at", "due_at")


class DocumentCheck:
    """Checks the issued invoices and credit notes of a workspace, and what was paid of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self) -> int:
        """How many were issued.

        Raises:
            BooksBroken: one is not what was issued, or its row or a payment says otherwise.
        """
        with self._database.read() as connection:
            _check_payments(connection)  # first, as what became of an invoice rests on them
            logged = dict(_logged(connection))
            numbers: dict[str, str] = {}
            corrects: dict[str, tuple[str, str]] = {}
            voided, given_back = repository.voided(connection), dict[str, str]()
            taken = repository.taken(connection)
            for row in repository.issued(connection):
                said = logged.pop(row["id"], {})
                document = _document(row, said)
                wrong = _differing(row, document) + _taken(row, taken.get(row["id"], []), said)
                if row["status"] in _GIVEN_BACK and row["id"] not in voided:
                    given_back[row["id"]] = row["number"]
                elif row["status"] != _status_of(row, document, voided):
                    wrong.append("status")
                if wrong:
                    raise _otherwise(row["number"], wrong)
                numbers[row["id"]] = row["number"]
                if row["corrects"] is not None:
                    corrects[row["number"]] = row["corrects"], document.get("corrects", "")
            for alone in logged.values():
                raise _not_issued(alone["number"])
            for number, (corrected, named) in corrects.items():
                if numbers.get(corrected) != named:
                    raise _otherwise(number, ["corrects"])
            for each in given_back.keys() - {corrected for corrected, __ in corrects.values()}:
                raise _otherwise(given_back[each], ["status"])
        return len(numbers)


def _logged(connection: repository.Connection) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for leaf in repository.logged_as(connection, "invoice.issued"):
        record, salt, leaf_hash = (_bytes(leaf[each]) for each in ("record", "salt", "leaf_hash"))
        if leaf_of(record, salt) != leaf_hash:
            raise BooksBroken(
                _("What the log has of an issued document was changed after it was logged."),
                remedy=_("Stop, keep a copy of the workspace, and run: mintage audit verify"),
            )
        said = json.loads(record)
        yield said["id"], said


def _document(row: repository.Values, said: Mapping[str, Any]) -> Document:
    if sha256_hex(row["document"].encode()) != said.get("sha256"):
        raise _not_issued(row["number"])
    document: Document = json.loads(row["document"])
    return document


def _differing(row: repository.Values, document: Document) -> list[str]:
    """The columns beside a document that are not what it says."""
    said = {name: document[name] for name in _BESIDE}
    said |= {"customer": document["customer"]["id"], "total_nanos": total_of(document).nanos}
    return [name for name, value in said.items() if row[name] != value]


def _taken(
    row: repository.Values, claimed: list[repository.Values], said: Mapping[str, Any]
) -> list[str]:
    """Whether what it took of which months is what was logged: the table's name where it is not."""
    whose = {each["customer"] for each in claimed} - {row["customer"]}
    return ["billed"] if whose or taken_of(claimed) != said.get("taken") else []


def _status_of(row: repository.Values, document: Document, voided: Container[str]) -> str:
    """What became of a document that no note gave back as a whole."""
    if row["id"] in voided:
        return "void"
    paid = sum(int(row[name]) for name in ("credit_nanos", "paid_nanos", "credited_nanos"))
    is_paid = row["kind"] == "invoice" and total_of(document).nanos <= paid
    return "paid" if is_paid else "issued"


def _check_payments(connection: repository.Connection) -> None:
    """What was paid is what the ledger has as paid."""
    for row in repository.paid(connection):
        if int(row["nanos"]) != int(row["booked"] or 0):
            raise _not_booked(row["id"])
    alone = repository.booked_alone(connection)
    if alone is not None:
        raise _not_booked(alone)


def _bytes(value: Any) -> bytes:
    """SQLite keeps in any column what it is given."""
    return value.encode() if isinstance(value, str) else bytes(value)


def _not_issued(number: str) -> BooksBroken:
    return BooksBroken(
        _("The document {number} is not what was issued.", number=number), remedy=_REMEDY
    )


def _otherwise(number: str, columns: list[str]) -> BooksBroken:
    return BooksBroken(
        _(
            "The document {number} is what was issued, and its row says otherwise: {columns}.",
            number=number,
            columns=", ".join(columns),
        ),
        remedy=_REMEDY,
    )


def _not_booked(payment: str) -> BooksBroken:
    return BooksBroken(
        _("The payment {payment} is not what the ledger has of it.", payment=payment),
        remedy=_REMEDY,
    )
