"""Yearly fees as they are earned: by twelfths, though an invoice has them in one month.

A year's fee is earned in the month in which the year begins and in the eleven after it, alike.
Where the plan ends before, what is kept of the fee and is not earned yet is earned in the month in
which it ends. All months together earn what invoices and credit notes come to.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from mintage.capture.pricing.periods import Period, Span, year_from
from mintage.capture.pricing.rating import Held, Line, Part, end_in, lines_of
from mintage.core.money import parse_exact

_MONTHS: Final = 12
_DAY = timedelta(days=1)


def earned_lines(part: Part, period: Period) -> list[Line]:
    """What one plan earns in a month: its lines, but of a yearly fee what the month earns of it."""
    terms = part.terms
    if terms.fee_every == "month":
        return lines_of(part, period)
    lines = lines_of(replace(part, terms=replace(terms, fee="0")), period)
    fee = sum((_earned(part, held, period) for held in part.held), Fraction(0))
    if fee:
        lines.insert(0, Line("fee", part.plan, part.version, fee))
    if fee and terms.discount:
        off, percent = -fee * terms.discount, terms.discount_percent
        lines.append(Line("discount", part.plan, part.version, off, percent=percent))
    return lines


def credited_fees(part: Part, period: Period) -> Fraction:
    """What credit notes took of the yearly fees that an invoice has in a month, after the discount.

    No month earns it, so it is not to be taken off what this one earned.
    """
    if not part.credited:
        return Fraction(0)
    years = (line.span for line in lines_of(part, period) if line.kind == "fee" and line.span)
    back = sum((part.credited.get(year.end, Fraction(0)) for year in years), Fraction(0))
    return back * (1 - part.terms.discount)


def _earned(part: Part, held: Held, period: Period) -> Fraction:
    """Of the fees of one subscription, before the discount."""
    fee, begins, earned = parse_exact(part.terms.fee), held.charged_from, Fraction(0)
    for number in range(max(0, period.year - begins.year - 1), period.year - begins.year + 1):
        year = year_from(begins, number)
        end = end_in(part.terms, held, year)
        if held.first > year.first or (end is not None and end <= year.first):
            continue
        passed = (period.year - year.first.year) * _MONTHS + period.month - year.first.month
        kept = fee - part.credited.get(year.end, Fraction(0))
        last = _ended_in(end, year)
        if last == period:
            before = kept * min(passed, _MONTHS) / _MONTHS
            earned += kept - _given_back(part, held, year, period) - before
        elif 0 <= passed < _MONTHS and (last is None or period < last):
            earned += kept / _MONTHS
    return earned


def _ended_in(end: date | None, year: Span) -> Period | None:
    """The month in which the plan ended; None where it was in force to the end of the year."""
    if end is None or end >= year.end:
        return None
    last_day = end - _DAY
    return Period(last_day.year, last_day.month)


def _given_back(part: Part, held: Held, year: Span, period: Period) -> Fraction:
    """What the invoice of the month in which the plan ended gives back of a year's fee."""
    back = (
        line.amount
        for line in lines_of(replace(part, held=(held,)), period)
        if line.kind == "fee_back" and line.span is not None and line.span.end == year.end
    )
    return -sum(back, Fraction(0))
