"""That each line of an invoice is what its signed plan makes of it: usage, fees, bounds, discounts.

It follows from the plan's terms, from the units that events add up to, and from the days on which
the plan was in force. Those days, and what earlier documents have of a month, are the seller's
word; that one share of the month follows from them is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from mintage.capture.chain.steps import broken, broken_line
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period, Span, beginning_of, share_of, span_of, zone_of
from mintage.capture.pricing.rating import exact_of
from mintage.capture.pricing.terms import Terms
from mintage.core.messages import Message, _
from mintage.core.money import parse_exact

Lines = Sequence[tuple[int, Mapping[str, Any]]]
"""Lines of a document with their numbers, from 1."""

_NAMED = ("name", "version", "created_at")
"""What a plan's document says beside its terms."""
_ELSEWHERE = ("late", "elsewhere")
"""Lines that depend on other documents."""
_ONCE = {"minimum": _("minimum"), "maximum": _("maximum"), "discount": _("discount")}
_LEAST_DAYS, _MOST_DAYS = 365, 366  # of a year
_DAY = timedelta(days=1)
_SHOWN = Fraction(1, 10**17)
"""What of a credited amount a line does not show, where its decimals do not end."""


def terms_of(plan: Mapping[str, Any]) -> Terms:
    """The terms in a plan's signed document.

    Raises:
        ConfigError: this Mintage cannot read them.
    """
    return Terms.from_json({name: each for name, each in plan.items() if name not in _NAMED})


def check_by_plan(document: Mapping[str, Any], reference: str, terms: Terms) -> None:
    """Look that the lines of an invoice that name a version of a plan follow from its terms.

    Raises:
        BooksBroken: one does not, or one is missing that would lessen what is due.
    """
    if document["currency"] != terms.currency:
        raise broken(_("The plan {plan} is in another currency.", plan=reference))
    numbered = enumerate(document["lines"], start=1)
    mine = [
        (number, line)
        for number, line in numbered
        if line["plan"] == reference and line["kind"] not in _ELSEWHERE
    ]
    _PlanLines(terms, Period.parse(document["period"]), mine).check(reference)


def check_days(document: Mapping[str, Any], terms: Mapping[str, Terms]) -> None:
    """Look that no day is paid twice by monthly fees of one plan, in whatever versions of it.

    Raises:
        BooksBroken: one is.
    """
    last: dict[str, tuple[date, Terms]] = {}
    lines = [
        (number, line, terms[line["plan"]])
        for number, line in enumerate(document["lines"], start=1)
        if line["kind"] == "fee" and line["plan"] in terms
    ]
    for number, line, agreed in sorted(lines, key=lambda each: each[1]["first"]):
        if agreed.fee_every == "month":
            name, span = line["plan"].partition("@")[0], _span(line)
            end, before = last.get(name, (span.first, agreed))
            # By the second, or by two calendars, a day may be that of the one and of the other.
            may_share = "second" in (agreed.prorate, before.prorate)
            may_share |= agreed.timezone != before.timezone
            if span.first < end - (_DAY if may_share else timedelta(0)):
                raise broken_line(number, _("another fee is for the same days"))
            last[name] = span.end, agreed


@dataclass(frozen=True)
class _PlanLines:
    """The lines of one version of a plan in a month."""

    terms: Terms
    month: Period
    lines: Lines

    def check(self, reference: str) -> None:
        share, due = self._share(), self._due
        used = due("usage")
        bound = {"minimum": self.terms.minimum, "maximum": self.terms.maximum}
        wanted = {
            kind: parse_exact(amount) * share - used
            for kind, amount in bound.items()
            if amount is not None
        }
        before = due("fee", "fee_back", "usage", "minimum", "maximum")
        if self.terms.discount:
            wanted["discount"] = -before * self.terms.discount
        charges = [*self.terms.charges]
        # Lines of usage before those of no usage, which may be of one charge as well as another.
        for number, line in sorted(self.lines, key=lambda each: not each[1].get("products")):
            kind, exact = line["kind"], exact_of(line)
            if kind in _ONCE:
                is_right = wanted.get(kind) == exact and (
                    kind == "discount" or _bounds(kind, exact)
                )
            elif kind == "usage":
                charge = priced_by(line, charges)
                is_right = charge is not None
                if charge is not None:
                    charges.remove(charge)
            else:
                is_right = self._is_fee(line, exact)
            if not is_right:
                raise broken_line(number, _("it is not what the plan {plan} says", plan=reference))
        kinds = [line["kind"] for __, line in self.lines]
        for kind, named in _ONCE.items():
            lessens = kind != "minimum" and wanted.get(kind, Fraction(0)) < 0
            if kinds.count(kind) > 1 or (lessens and kind not in kinds):
                raise broken(
                    _(
                        "The {kind} of the plan {plan} is not there once.",
                        kind=named,
                        plan=reference,
                    )
                )

    def _due(self, *kinds: str) -> Fraction:
        """What lines of these kinds come to."""
        found = (exact_of(line) for __, line in self.lines if line["kind"] in kinds)
        return sum(found, Fraction(0))

    def _share(self) -> Fraction:
        """Which share of the month the plan's usage and bounds count as: one for all of them."""
        fees = Fraction(0)
        shares = set[Fraction]()
        for number, line in self.lines:
            share = _share_of(line)
            if line["kind"] in ("usage", "minimum", "maximum"):
                shares.add(share)
                if not self._can_be(share, line.get("since")):
                    raise broken_line(
                        number, _("no such share of the month is counted by its plan")
                    )
            elif line["kind"] == "fee" and self.terms.fee_every == "month":
                fees += share
        if len(shares) > 1 or (fees and self.terms.prorate and shares - {self._counted(fees)}):
            raise broken(_("The lines of one plan are of several shares of the month."))
        return next(iter(shares), Fraction(1))

    def _counted(self, fees: Fraction) -> Fraction:
        return min(Fraction(1), max(self._least, fees))

    @property
    def _least(self) -> Fraction:
        """The smallest part of the month that is counted."""
        if self.terms.prorate == "second":
            return Fraction(1, self._seconds(span_of(self.month)))
        return share_of(1, self.month)

    def _can_be(self, share: Fraction, since: str | None = None) -> bool:
        """Whether it is whole days or seconds of the month, and not of its trial."""
        if not self.terms.prorate:
            return share == 1
        left = Fraction(1)
        if since is not None:
            day = datetime.fromisoformat(since).astimezone(zone_of(self.terms.timezone)).date()
            left = max(
                self._least, share_of(Span(day, self.month.following.first).days, self.month)
            )
            if self.terms.prorate == "second":
                whole = self._seconds(span_of(self.month))
                rest = self._seconds(Span(day, self.month.following.first))
                left = max(self._least, Fraction(rest, whole))
        return 0 < share <= left and (share / self._least).denominator == 1

    def _seconds(self, span: Span) -> int:
        begin, end = (beginning_of(each, self.terms.timezone) for each in (span.first, span.end))
        return round((end - begin).total_seconds())

    def _is_fee(self, line: Mapping[str, Any], exact: Fraction) -> bool:
        """Whether a fee, or what is given back of one, follows from the plan and the days."""
        fee, span, share = parse_exact(self.terms.fee), _span(line), _share_of(line)
        is_yearly = self.terms.fee_every == "year"
        if line["kind"] == "fee_back":
            left = exact - parse_exact(line.get("credited", "0")) + fee * share
            is_right = is_yearly and exact < 0 < share < 1 and abs(left) < _SHOWN
            return is_right and bool(self.terms.prorate) and self._is_part_of_year(share, span)
        month = span_of(self.month)
        if line["kind"] != "fee" or not month.first <= span.first < month.end:
            return False
        if is_yearly:
            return exact == fee and share == 1 and _LEAST_DAYS <= span.days <= _MOST_DAYS
        if exact != fee * share or not self._can_be(share) or not 0 < span.days <= month.days:
            return False
        if self.terms.prorate == "second":
            # Each of the two moments may be anywhere in its day.
            return abs(share * self._seconds(month) - self._seconds(span)) <= 2 * 86400
        return not self.terms.prorate or share == share_of(span.days, self.month)

    def _is_part_of_year(self, share: Fraction, span: Span) -> bool:
        """Whether the days that are given back are that share of a year."""
        if self.terms.prorate == "second":
            return abs(share * _LEAST_DAYS - span.days) <= 2
        return any(share == Fraction(span.days, days) for days in (_LEAST_DAYS, _MOST_DAYS))


def _bounds(kind: str, exact: Fraction) -> bool:
    return exact > 0 if kind == "minimum" else exact < 0


def _span(line: Mapping[str, Any]) -> Span:
    return Span(date.fromisoformat(line["first"]), date.fromisoformat(line["end"]))


def _share_of(line: Mapping[str, Any]) -> Fraction:
    return Fraction(line.get("share", "1"))


def priced_by(line: Mapping[str, Any], charges: Iterable[Charge]) -> Charge | None:
    """Which charge makes of a line's units what it comes to, step by step."""
    share = _share_of(line)
    for charge in charges:
        if charge.unit != line["unit"] or not all(map(charge.is_for, line["products"])):
            continue
        steps = tuple(charge.steps(line["units"], share))
        exact = sum((step.amount for step in steps), Fraction(0))
        if [step.to_json() for step in steps] == line["steps"] and exact == exact_of(line):
            return charge
    return None


def price_of(terms: Terms, product: str, quantities: tuple[tuple[str, int], ...]) -> Fraction:
    """What one call comes to where each unit has its price, whatever else is used."""
    charges = terms.charges_of(product)
    priced = (charges[unit].amount(count) for unit, count in quantities if unit in charges)
    return sum(priced, Fraction(0))


def prices_each_call(terms: Terms) -> bool:
    """Whether a month comes to what its calls do, one by one, and to nothing else."""
    bounded = terms.minimum is not None or terms.maximum is not None
    timed = parse_exact(terms.fee) or terms.trial_days
    plain = all(charge.is_plain for charge in terms.charges)
    return plain and not bounded and not timed and not terms.discount


def unchecked(document: Mapping[str, Any], terms: Mapping[str, Terms]) -> Iterator[Message]:
    """What of an invoice's amounts nothing that is signed shows: it is the seller's word."""
    if document["kind"] != "invoice":
        yield _("what it takes back, and of what, is the seller's word")
        return
    timed = [line["plan"] for line in document["lines"] if "first" in line or "share" in line]
    for plan in dict.fromkeys(timed):
        yield _("the days on which {plan} was in force are the seller's word", plan=plan)
    for number, line in enumerate(document["lines"], start=1):
        agreed = terms.get(line["plan"])
        if line["kind"] == "elsewhere":
            said = _(
                "line {line}: what other invoices have already is the seller's word", line=number
            )
            yield said
        elif line["kind"] == "late" and agreed is not None and not prices_each_call(agreed):
            yield _("line {line}: late usage is priced with the rest of its month", line=number)
        elif "credited" in line:
            yield _("line {line}: what credit notes gave back is the seller's word", line=number)
