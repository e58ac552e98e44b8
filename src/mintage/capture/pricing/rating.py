"""From terms, days and usage to the lines of an invoice, exactly; rounding is the invoice's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any, Literal

from mintage.capture.pricing.charges import WHOLE, Charge, Step
from mintage.capture.pricing.periods import (
    Period,
    Span,
    beginning_of,
    share_of,
    span_of,
    year_from,
)
from mintage.capture.pricing.terms import Terms
from mintage.core.money import decimal_text, parse_exact

Kind = Literal[
    "fee",
    "fee_back",
    "usage",
    "minimum",
    "maximum",
    "discount",
    "late",
    "elsewhere",
    "credited",
]
"""``elsewhere`` is what other invoices have already, ``credited`` what credit notes took back."""

_DAY = timedelta(days=1)
Units = Mapping[tuple[str, str], int]
"""How many units were used, by product and unit."""


@dataclass(frozen=True)
class Line:
    """One sum of an invoice before it is rounded; ``amount`` is in major units.

    ``span`` are the days that a fee is for; ``period`` is the month of usage that came late.
    ``steps`` are the sums within a line of usage, and ``share`` says of which share of the month
    its tiers and included units are. ``sequences`` say which events it was computed from: those
    after one number, up to and including another; ``since`` is the end of a trial in the month.
    ``credited`` is what credit notes gave back of a fee before, and is left out of what is now.
    """

    kind: Kind
    plan: str
    version: int
    amount: Fraction
    span: Span | None = None
    unit: str | None = None
    units: int = 0
    included: int = 0
    used: Mapping[str, int] = field(default_factory=dict)
    share: Fraction = WHOLE
    steps: tuple[Step, ...] = ()
    percent: str | None = None
    period: Period | None = None
    sequences: tuple[int, int] | None = None
    since: str | None = None
    credited: Fraction = Fraction(0)

    def to_json(self) -> dict[str, Any]:
        """The line as an invoice holds it, but for what rounding adds."""
        found: dict[str, Any] = {"kind": self.kind, "plan": f"{self.plan}@{self.version}"}
        if self.span is not None:
            found |= {"first": self.span.first.isoformat(), "end": self.span.end.isoformat()}
        if self.unit is not None:
            found |= {
                "unit": self.unit,
                "units": self.units,
                "included": self.included,
                "products": dict(sorted(self.used.items())),
                "steps": [step.to_json() for step in self.steps],
            }
        if self.share != WHOLE:
            found["share"] = f"{self.share.numerator}/{self.share.denominator}"
        if self.percent is not None:
            found["percent"] = self.percent
        if self.period is not None:
            found["period"] = str(self.period)
        if self.sequences is not None:
            found |= {"after": self.sequences[0], "until": self.sequences[1]}
        if self.kind == "late":
            found["units"] = self.units
        if self.since is not None:
            found["since"] = self.since
        if self.credited:
            found["credited"] = exactly(self.credited)["exact"]
        return found | exactly(self.amount)


def exactly(amount: Fraction) -> dict[str, str]:
    """An amount as a document holds it: a decimal, and the ratio where that does not end."""
    text = decimal_text(amount)
    if Fraction(text) == amount:
        return {"exact": text}
    return {"exact": text, "ratio": f"{amount.numerator}/{amount.denominator}"}


def exact_of(said: Mapping[str, Any]) -> Fraction:
    """The amount that ``exactly`` wrote."""
    return Fraction(said.get("ratio", said["exact"]))


@dataclass(frozen=True)
class Held:
    """The days on which one subscription's plan was in force; ``end`` is None while it is.

    ``charged_from`` is the first day after any trial: what yearly fees are counted from. Where a
    plan is shared by the second, ``moments`` are those at which it began and ended.
    """

    first: date
    end: date | None
    charged_from: date
    moments: tuple[datetime, datetime | None] | None = None

    def span(self) -> Span:
        """The days; without an end, as many as there ever may be."""
        return Span(self.first, self.end or date.max)


@dataclass(frozen=True)
class Part:
    """One version of a plan within a month: its days, and what was used under it.

    Without ``held`` it is a plan that nobody begins: it is in force all month, without a fee.
    ``credited`` is what credit notes gave back of its yearly fees, by the day after their year.
    """

    plan: str
    version: int
    terms: Terms
    usage: Units
    held: tuple[Held, ...] = ()
    credited: Mapping[date, Fraction] = field(default_factory=dict)


def lines_of(part: Part, period: Period) -> list[Line]:
    """The lines that one plan comes to in a month: fees, usage, and what bounds or lessens them."""
    terms, share = part.terms, share_in(part, period)
    begun = _share_held(part, period) > 0
    fees = _fees(part, period)
    usage = _usage(part, share, begun=begun)
    bound = _bound(part, sum((line.amount for line in usage), Fraction(0)), share, begun=begun)
    lines = [*fees, *usage, *bound]
    total = sum((line.amount for line in lines), Fraction(0))
    if terms.discount and total:
        off = Line(
            "discount",
            part.plan,
            part.version,
            -total * terms.discount,
            percent=terms.discount_percent,
        )
        lines.append(off)
    return lines


def used_of(part: Part, period: Period) -> Fraction:
    """What a month's usage comes to by tiers, included units and maximum, and by nothing else."""
    share = share_in(part, period)
    usage = _usage(part, share, begun=_share_held(part, period) > 0)
    used = sum((line.amount for line in usage), Fraction(0))
    most = part.terms.maximum
    return used if most is None else min(used, parse_exact(most) * share)


def share_in(part: Part, period: Period) -> Fraction:
    """Which share of the month the plan was in force, as far as it is shared.

    Usage of a plan that was in force on none of its days, because a call was under way when it
    ended, is counted by one day; where it is shared by the second, by one second.
    """
    if not part.held or not part.terms.prorate:
        return WHOLE
    least = share_of(1, period)
    if part.terms.prorate == "second":
        least = Fraction(1, _seconds(*period.bounds(part.terms.timezone)))
    return min(WHOLE, max(least, _share_held(part, period)))


def _share_held(part: Part, period: Period) -> Fraction:
    """Which share of the month is charged for having the plan, by the day or by the second."""
    return sum((_share_of_one(part.terms, held, period) for held in part.held), Fraction(0))


def _share_of_one(terms: Terms, held: Held, period: Period) -> Fraction:
    if terms.prorate != "second" or held.moments is None:
        return share_of(_charged_days(held, period).days, period)
    begin, end = period.bounds(terms.timezone)
    began, ended = held.moments
    first = max(begin, began, beginning_of(held.charged_from, terms.timezone))
    last = end if ended is None else min(end, ended)
    return Fraction(max(0, _seconds(first, last)), _seconds(begin, end))


def _seconds(begin: datetime, end: datetime) -> int:
    return round((end - begin).total_seconds())


def charged_days(part: Part, period: Period) -> int:
    """On how many days of the month the plan was in force, those of a trial not among them."""
    return sum(_charged_days(held, period).days for held in part.held)


def _charged_days(held: Held, period: Period) -> Span:
    after_trial = Span(held.charged_from, date.max)
    return held.span().within(after_trial).within(span_of(period))


def _fees(part: Part, period: Period) -> list[Line]:
    fee = parse_exact(part.terms.fee)
    if not fee:
        return []
    each = _monthly if part.terms.fee_every == "month" else _yearly
    lines = [line for held in part.held for line in each(part, held, period, fee)]
    whole = part.terms.fee_every == "month" and not part.terms.prorate
    return lines[:1] if whole else lines


def _monthly(part: Part, held: Held, period: Period, fee: Fraction) -> Sequence[Line]:
    """At the month's end, for its days."""
    span, share = _charged_days(held, period), _share_of_one(part.terms, held, period)
    if not share:
        return []
    if part.terms.prorate == "second":
        span = Span(span.first, max(span.end, span.first + _DAY))
    share = share if part.terms.prorate else WHOLE
    return [Line("fee", part.plan, part.version, fee * share, span=span, share=share)]


def _yearly(part: Part, held: Held, period: Period, fee: Fraction) -> Sequence[Line]:
    """In the month in which a year begins, for all of it; what is not used of it, at the end."""
    lines, month = [], span_of(period)
    begins = held.charged_from
    for number in range(max(0, period.year - begins.year - 1), period.year - begins.year + 1):
        year = year_from(begins, number)
        end = end_in(part.terms, held, year)
        in_force = held.first <= year.first and (end is None or year.first < end)
        if in_force and month.first <= year.first < month.end:
            lines.append(Line("fee", part.plan, part.version, fee, span=year))
        if in_force and part.terms.prorate and end is not None and month.first < end <= month.end:
            lines += _given_back(part, held, year, fee)
    return lines


def end_in(terms: Terms, held: Held, year: Span) -> date | None:
    """The day after the last one of a year on which a plan was in force; None while it is.

    The day on which it is changed is none of its own, unless it is shared by the second and was in
    force on no other one of the year.
    """
    if held.end is None or terms.prorate != "second" or held.moments is None:
        return held.end
    began, ended = held.moments
    begin = max(began, beginning_of(year.first, terms.timezone))
    if held.end <= year.first and ended is not None and ended > begin:
        return year.first + _DAY
    return held.end


def _given_back(part: Part, held: Held, year: Span, fee: Fraction) -> list[Line]:
    """What is left of a year's fee when the plan ends, less what credit notes gave back of it."""
    share = _unused(part.terms, held, year)
    before = part.credited.get(year.end, Fraction(0))
    if not 0 < share < 1 or fee * share <= before:
        return []
    unused = Span(end_in(part.terms, held, year) or year.end, year.end)
    return [
        Line(
            "fee_back",
            part.plan,
            part.version,
            before - fee * share,
            span=unused,
            share=share,
            credited=before,
        )
    ]


def _unused(terms: Terms, held: Held, year: Span) -> Fraction:
    """Which share of a year that was paid is left when the plan ends."""
    end = None if held.moments is None else held.moments[1]
    if terms.prorate == "second" and end is not None:
        begin, after = (beginning_of(each, terms.timezone) for each in (year.first, year.end))
        return Fraction(_seconds(end, after), _seconds(begin, after))
    return Fraction(Span(held.end or year.end, year.end).days, year.days)


def _usage(part: Part, share: Fraction, *, begun: bool) -> list[Line]:
    lines = (_usage_line(part, charge, share, begun=begun) for charge in part.terms.charges)
    return [line for line in lines if line is not None]


def _usage_line(part: Part, charge: Charge, share: Fraction, *, begun: bool) -> Line | None:
    """What all products that the charge is for used together; without usage, a flat amount."""
    used = {
        product: units
        for (product, unit), units in part.usage.items()
        if unit == charge.unit and charge.is_for(product) and units
    }
    units = sum(used.values())
    steps = tuple(charge.steps(units, share))
    if not units and not (steps and begun):
        return None
    return Line(
        "usage",
        part.plan,
        part.version,
        sum((step.amount for step in steps), Fraction(0)),
        unit=charge.unit,
        units=units,
        included=min(units, charge.included_in(share)),
        used=used,
        share=share,
        steps=steps,
    )


def _bound(part: Part, used: Fraction, share: Fraction, *, begun: bool) -> list[Line]:
    """What is missing to the minimum, or taken off above the maximum."""
    terms = part.terms
    if terms.minimum is not None and begun:
        missing = parse_exact(terms.minimum) * share - used
        if missing > 0:
            return [Line("minimum", part.plan, part.version, missing, share=share)]
    if terms.maximum is not None:
        above = used - parse_exact(terms.maximum) * share
        if above > 0:
            return [Line("maximum", part.plan, part.version, -above, share=share)]
    return []
