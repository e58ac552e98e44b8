"""Invoices and credit notes as documents: every sum rounded once, and what rounding took or gave.

A document is plain JSON, frozen when it is issued. A line is rounded to the currency's minor
units, halves away from zero; tax is a share of the rounded lines, rounded once itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from mintage.capture.books.ledger import Entry
from mintage.capture.pricing.rating import Line, exact_of, exactly
from mintage.core.money import NANOS, Money, parse_exact

FORMAT = 1
ROUNDING = "half away from zero, each line and each tax once"

Document = dict[str, Any]


def invoice(
    *,
    seller: Mapping[str, Any],
    customer: Mapping[str, Any],
    currency: str,
    period: str,
    lines: Sequence[Line],
    taxes: Sequence[Mapping[str, str]],
    due_days: int,
    rejected: Sequence[Mapping[str, Any]],
) -> Document:
    """A draft; ``taxes`` have a name and a percent, ``rejected`` is late usage left uncharged."""
    made = [_line(line, currency) for line in lines]
    net = sum((Fraction(line["amount"]) for line in made), Fraction(0))
    taxed = [_tax(each, net, currency) for each in taxes]
    total = net + sum((Fraction(each["amount"]) for each in taxed), Fraction(0))
    return {
        "format": FORMAT,
        "kind": "invoice",
        "number": None,
        "seller": dict(seller),
        "customer": dict(customer),
        "currency": currency,
        "period": period,
        "issued_at": None,
        "due_at": None,
        "due_days": due_days,
        "lines": made,
        "net": Money.rounded(net, currency).amount,
        "taxes": taxed,
        "total": Money.rounded(total, currency).amount,
        "rounding": ROUNDING,
        "rejected": list(rejected),
    }


def lacking(document: Document) -> list[str]:
    """What a document has to say of who sells, and does not: a tax is owed under a number."""
    wanted = ["legal_name", "address", *(["tax_number"] if document["taxes"] else [])]
    return [name for name in wanted if not document["seller"].get(name)]


SETTLED = ("credit", "paid", "to_pay")
"""What a document says of payments, where there were any when it was issued."""


def settled(document: Document, credit: int, paid: int) -> Document:
    """The same with what the customer's credit and earlier payments pay of it, and what is left.

    Both are in 10⁻⁹; a document of which nothing is paid yet stays as it is.
    """
    if not credit and not paid:
        return document
    currency, total = document["currency"], total_of(document).nanos
    amounts = zip(SETTLED, (credit, paid, total - credit - paid), strict=True)
    return document | {name: Money(nanos, currency).amount for name, nanos in amounts}


def credit_note(corrected: Document, reason: str) -> Document:
    """What takes an invoice back: the same lines with the other sign."""
    whole = {name: value for name, value in corrected.items() if name not in SETTLED}
    return whole | {
        "kind": "credit_note",
        "number": None,
        "corrects": corrected["number"],
        "reason": reason,
        "issued_at": None,
        "due_at": None,
        "lines": [_negated(line) for line in corrected["lines"]],
        "net": _minus(corrected["net"]),
        "taxes": [_negated(each) for each in corrected["taxes"]],
        "total": _minus(corrected["total"]),
    }


def total_of(document: Document) -> Money:
    """What is to be paid; below zero what is given back."""
    return Money.parse(document["total"], document["currency"])


def left_of(document: Document) -> Money:
    """What was to be paid of it when it was issued."""
    name = "to_pay" if "to_pay" in document else "total"
    return Money.parse(document[name], document["currency"])


def billed_for(documents: Sequence[Document], plan: str, period: str) -> Fraction:
    """What documents already have of a plan's month, late usage of it among it, exactly."""
    return sum(
        (
            exact_of(line)
            for document in documents
            for line in document["lines"]
            if line["plan"] == plan and line.get("period", document["period"]) == period
        ),
        Fraction(0),
    )


def entries(document: Document, customer: str) -> list[Entry]:
    """The two sides of an invoice: what is owed, and what was earned, passed on and rounded.

    What was earned is exact to 10⁻⁹; what that differs from the line by is rounding's.
    """
    currency, made = document["currency"], []
    for line in document["lines"]:
        earned = _nanos(exact_of(line), currency)
        difference = Money.parse(line["amount"], currency) + -earned
        made.append(Entry(f"revenue:{line['plan'].partition('@')[0]}", -earned))
        made.append(Entry("rounding", -difference))
    passed_on = [
        Entry(f"tax:{each['name']}", -Money.parse(each["amount"], currency))
        for each in document["taxes"]
    ]
    return [Entry(f"receivable:{customer}", total_of(document)), *made, *passed_on]


def _line(line: Line, currency: str) -> dict[str, Any]:
    rounded = Money.rounded(line.amount, currency)
    said = line.to_json() | {"amount": rounded.amount}
    return said | _residue(line.amount, rounded)


def _residue(exact: Fraction, rounded: Money) -> dict[str, str]:
    """What rounding took, or gave where it is below zero."""
    residue = exact - rounded.exact
    return {"residue": exactly(residue)["exact"]} if residue else {}


def _tax(each: Mapping[str, str], net: Fraction, currency: str) -> dict[str, Any]:
    exact = net * parse_exact(each["percent"]) / 100
    rounded = Money.rounded(exact, currency)
    return {
        "name": each["name"],
        "percent": each["percent"],
        "base": Money.rounded(net, currency).amount,
        **exactly(exact),
        "amount": rounded.amount,
        **_residue(exact, rounded),
    }


def _negated(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _minus(value) if name in ("amount", "exact", "ratio", "residue", "base") else value
        for name, value in said.items()
    }


def _minus(text: str) -> str:
    if text.startswith("-"):
        return text[1:]
    return text if text == "0" else f"-{text}"


def _nanos(exact: Fraction, currency: str) -> Money:
    """The nearest amount that the ledger can hold."""
    return Money(round(exact * NANOS), currency)
