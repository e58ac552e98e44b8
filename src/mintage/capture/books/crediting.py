"""Credit notes over a part of an invoice: what remains of it, and what a further one takes back.

What was earned and the tax go back in proportion, each by its running total: however many notes
there are, what they took of a line or a tax is rounded once, and all of it is exactly all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mintage.capture.books.documents import SETTLED, Document
from mintage.capture.pricing.rating import exact_of, exactly
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import NANOS, Money, parse_exact
from mintage.core.redaction import can_be_shown

_NAMES = ("kind", "plan", "first", "end", "unit", "units", "percent", "period")
_LONGEST_REFERENCE = 200


@dataclass(frozen=True)
class Asked:
    """A credit note that is asked for: over all that is left of an invoice, or of one ``line``.

    ``amount`` of the line is without tax, None is all that is left. ``anew``: its usage can be
    invoiced again. The same ``reference`` again is the note that was written under it.
    """

    reference: str | None
    line: int | None = None
    amount: Money | None = None
    anew: bool = False

    def check(self) -> None:
        """Refuse a reference that cannot be printed: the note's document says it.

        Raises:
            RequestError: it is empty, too long, or has an API key in it.
        """
        said = self.reference
        if said is None:
            return
        if said != said.strip() or not can_be_shown(said, _LONGEST_REFERENCE):
            raise RequestError(
                _("This is no reference of a credit note."),
                remedy=_(
                    "Use 1 to {most} printable characters, no API key.", most=_LONGEST_REFERENCE
                ),
            )

    def named(self, note: Document) -> Document:
        """The note with what it was asked for as; without a reference it says nothing of that."""
        return note if self.reference is None else note | {"asked": self._said()}

    def is_named(self, note: Document) -> bool:
        """Whether a note was written under this reference."""
        said = note.get("asked")
        return said is not None and said["reference"] == self.reference

    def is_same(self, note: Document) -> bool:
        """Whether a note of this reference is over what is asked for now; the reason is free."""
        net = Money.parse(note["net"], note["currency"])
        return note["asked"] == self._said() and self.amount in (None, -net)

    def _said(self) -> dict[str, Any]:
        return {"reference": self.reference, "line": self.line, "anew": self.anew}


NOT_NAMED = Asked(None)
"""What is written for another reason than that somebody asked for it."""


def remaining_of(
    invoice: Document, notes: Sequence[Document], line: int, back: Mapping[int, Fraction]
) -> Money:
    """What notes over parts left of a line, counted from 1, and of the invoice's net.

    ``back`` is what later invoices gave back of lines already.

    Raises:
        RequestError: there is no such line, or nothing can be taken back of it.
    """
    lines = invoice["lines"]
    if not 1 <= line <= len(lines):
        raise RequestError(
            _("It has no line {line}.", line=line),
            remedy=_("Its lines are numbered from 1 to {count}.", count=len(lines)),
            http_status=404,
        )
    amount, net = Fraction(lines[line - 1]["amount"]), Fraction(invoice["net"])
    back_of_all = sum(back.values(), Fraction(0))
    left = min(amount - _taken(notes, line) - back.get(line, 0), net - _taken(notes) - back_of_all)
    if left <= 0:
        raise RequestError(
            _("Nothing of line {line} is left to be credited.", line=line),
            remedy=_("Name another line, or write a note over all that is left: leave --line out."),
            http_status=409,
        )
    return Money.rounded(left, invoice["currency"])


def part(
    invoice: Document,
    notes: Sequence[Document],
    line: int,
    amount: Money,
    reason: str,
    left: Money,
) -> Document:
    """What takes back an amount of a line of which so much is left, without tax, and the tax on it.

    Raises:
        RequestError: no such amount is left of it (409).
    """
    whole = Money.rounded(amount.exact, amount.currency) == amount
    if not whole or amount.nanos <= 0 or amount.nanos > left.nanos:
        raise RequestError(
            _(
                "{amount} of line {line} is to be credited, and {left} is left of it.",
                amount=amount,
                line=line,
                left=left,
            ),
            remedy=_("Name an amount above zero, in whole minor units, without tax."),
            http_status=409,
        )
    return _note(invoice, notes, {line: amount.exact}, reason)


def rest(
    invoice: Document, notes: Sequence[Document], reason: str, back: Mapping[int, Fraction]
) -> Document:
    """What takes back all that notes over parts, and later invoices, have left."""
    left = {}
    for n, line in enumerate(invoice["lines"], start=1):
        amount = Fraction(line["amount"]) - back.get(n, 0)
        if amount != _taken(notes, n) or (not amount and not back and exact_of(line)):
            left[n] = amount - _taken(notes, n)
    return _note(invoice, notes, left, reason)


def _note(
    invoice: Document, notes: Sequence[Document], taken: Mapping[int, Fraction], reason: str
) -> Document:
    currency = invoice["currency"]
    lines = [_line(invoice, notes, n, amount) for n, amount in taken.items()]
    before, now = _taken(notes), sum(taken.values(), Fraction(0))
    taxes = [_tax(each, before, now, currency) for each in invoice["taxes"]]
    total = now + sum((-Fraction(each["amount"]) for each in taxes), Fraction(0))
    whole = {name: value for name, value in invoice.items() if name not in SETTLED}
    return whole | {
        "kind": "credit_note",
        "number": None,
        "corrects": invoice["number"],
        "reason": reason,
        "issued_at": None,
        "due_at": None,
        "lines": lines,
        "net": Money.rounded(-now, currency).amount,
        "taxes": taxes,
        "total": Money.rounded(-total, currency).amount,
        "rejected": [],
    }


def _line(
    invoice: Document, notes: Sequence[Document], number: int, amount: Fraction
) -> dict[str, Any]:
    said = invoice["lines"][number - 1]
    before = _taken(notes, number)
    earned = _share(said, before + amount) - (_share(said, before) if before else 0)
    return {
        **{name: said[name] for name in _NAMES if name in said},
        "of_line": number,
        **exactly(-earned),
        "amount": Money.rounded(-amount, invoice["currency"]).amount,
    }


def _share(line: Mapping[str, Any], amount: Fraction) -> Fraction:
    """What was earned with an amount of a line, as far as the ledger can hold it."""
    whole = Fraction(line["amount"])
    exact = exact_of(line)
    if whole == amount:
        return Fraction(round(exact * NANOS), NANOS)
    return Fraction(round(exact * amount / whole * NANOS), NANOS)


def _tax(tax: Mapping[str, Any], before: Fraction, now: Fraction, currency: str) -> dict[str, Any]:
    def until(net: Fraction) -> Fraction:
        return Money.rounded(net * parse_exact(tax["percent"]) / 100, currency).exact

    amount = until(before + now) - until(before)
    return {
        "name": tax["name"],
        "percent": tax["percent"],
        "base": Money.rounded(-now, currency).amount,
        **exactly(-now * parse_exact(tax["percent"]) / 100),
        "amount": Money.rounded(-amount, currency).amount,
    }


def _taken(notes: Sequence[Document], line: int | None = None) -> Fraction:
    """What notes over parts took back of a line, or of all lines, above zero."""
    return sum(
        (
            -Fraction(each["amount"])
            for note in notes
            for each in note["lines"]
            if line in (None, each["of_line"])
        ),
        Fraction(0),
    )
