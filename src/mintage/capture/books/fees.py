"""What is given back of yearly fees: by a later invoice, when a plan ends, or by a credit note.

Each counts what the other gave already, so that nothing of a fee goes back twice. A yearly fee is
told by its plan and by the day on which its year ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from mintage.capture.books.documents import Document
from mintage.core.money import Money, parse_exact

Year = tuple[str, date]
"""A plan as documents name it, and the day after the year that a fee was for."""

_LONGEST_MONTH = 31


def credited(papers: Iterable[Document], notes: Sequence[Document]) -> dict[Year, Fraction]:
    """What credit notes gave back of each yearly fee, before the plan's discount.

    Of a fee of which an invoice has given back the rest, it is what that invoice counted.
    """
    found = defaultdict[Year, Fraction](Fraction)
    counted: dict[Year, Fraction] = {}
    for paper in papers:
        own = _over(paper, notes)
        for number, line in enumerate(paper["lines"], start=1):
            if line["kind"] == "fee_back":
                counted[_year_of(line)] = parse_exact(line.get("credited", "0"))
            elif _is_yearly(line) and own:
                found[_year_of(line)] += _credited_of(paper, own, number)
    return {**found, **counted}


def given_back(
    found: Document, papers: Iterable[Document], notes: Sequence[Document]
) -> dict[int, Fraction]:
    """By line of an invoice, counted from 1, what later invoices gave back of its yearly fees.

    A discount on a fee went with it, so of the line of the discount it is below zero.
    """
    back: dict[int, Fraction] = {}
    for number, line in enumerate(found["lines"], start=1):
        if not _is_yearly(line):
            continue
        given = sum(
            (
                -Fraction(each["amount"])
                for paper in papers
                if paper["number"] != found["number"]
                for n, each in enumerate(paper["lines"], start=1)
                if each["kind"] == "fee_back"
                and _year_of(each) == _year_of(line)
                and not _taken(_over(paper, notes), n)
            ),
            Fraction(0),
        )
        if given:
            back[number] = given
            off = _discount_of(found, line["plan"])
            if off is not None:
                part = given * parse_exact(found["lines"][off - 1]["percent"]) / 100
                rounded = Money.rounded(-part, found["currency"]).exact
                back[off] = back.get(off, Fraction(0)) + rounded
    return back


def _is_yearly(line: Mapping[str, Any]) -> bool:
    if line["kind"] != "fee":
        return False
    first, end = (date.fromisoformat(line[name]) for name in ("first", "end"))
    return (end - first).days > _LONGEST_MONTH


def _year_of(line: Mapping[str, Any]) -> Year:
    return line["plan"], date.fromisoformat(line["end"])


def _credited_of(paper: Document, notes: Sequence[Document], number: int) -> Fraction:
    """What notes took of a fee, and of the discount on it, as an amount before the discount."""
    fee = paper["lines"][number - 1]
    off = _discount_of(paper, fee["plan"])
    if off is None:
        return _taken(notes, number)
    percent = parse_exact(paper["lines"][off - 1]["percent"])
    if percent == 100:
        return Fraction(0)
    taken = _taken(notes, number) + _taken(notes, off) * _share_of_fee(paper, fee)
    return taken / (1 - percent / 100)


def _share_of_fee(paper: Document, fee: Mapping[str, Any]) -> Fraction:
    """Which share of what a discount is on a fee is."""
    whole = sum(
        (
            Fraction(each["amount"])
            for each in paper["lines"]
            if each["plan"] == fee["plan"] and each["kind"] not in ("discount", "late", "elsewhere")
        ),
        Fraction(0),
    )
    return Fraction(fee["amount"]) / whole if whole else Fraction(0)


def _discount_of(paper: Document, plan: str) -> int | None:
    """The line of a plan's discount, counted from 1."""
    found = (
        number
        for number, line in enumerate(paper["lines"], start=1)
        if (line["kind"], line["plan"]) == ("discount", plan)
    )
    return next(found, None)


def _over(paper: Document, notes: Sequence[Document]) -> list[Document]:
    return [note for note in notes if note["corrects"] == paper["number"]]


def _taken(notes: Iterable[Document], line: int) -> Fraction:
    """What notes took of a line; one over all of an invoice has its lines in their order."""
    return sum(
        (
            -Fraction(each["amount"])
            for note in notes
            for n, each in enumerate(note["lines"], start=1)
            if each.get("of_line", n) == line
        ),
        Fraction(0),
    )
