"""A customer's month: which plans were in force, what was used under each, what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from mintage.capture.books.account import Account
from mintage.capture.books.yearly import credited_fees, earned_lines
from mintage.capture.events import is_charged
from mintage.capture.hours import repository as by_hour
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Line, Part, Units, lines_of
from mintage.capture.subscriptions import held_of
from mintage.core.clock import timestamp

_FURTHEST_ZONE = timedelta(hours=15)
_AROUND = (-_FURTHEST_ZONE, _FURTHEST_ZONE)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Month:
    """One plan's part of a customer's month.

    ``events`` are those that it takes, of which ``charged`` are paid for; where a trial ended in
    the month, those ``since`` then. ``newest`` is the step of the rollup that has the newest.
    ``credited`` is what credit notes took of it.
    """

    plan: Plan
    part: Part
    events: int
    charged: int
    newest: int
    since: str | None = None
    credited: Fraction = Fraction(0)

    def lines(self, period: Period) -> list[Line]:
        """What an invoice of it comes to."""
        return lines_of(self.part, period)

    def earned(self, period: Period) -> list[Line]:
        """What it earned: of a yearly fee a twelfth, and less what credit notes took back."""
        lines = earned_lines(self.part, period)
        back = self.credited - credited_fees(self.part, period)
        if back:
            lines.append(Line("credited", self.plan.name, self.plan.version, -back))
        return lines

    def revenue(self, period: Period) -> Fraction:
        """What it earned, before tax."""
        return total_of(self.earned(period))


def months_of(account: Account, period: Period, until: int) -> list[Month]:
    """What a customer's month consists of, with usage up to a step of the rollup."""
    known = account.months.get((period, until))
    if known is None:
        known = account.months[period, until] = _months_of(account, period, until)
    return known


def _months_of(account: Account, period: Period, until: int) -> list[Month]:
    begin, end = (moment + each for moment, each in zip(period.bounds("UTC"), _AROUND, strict=True))
    used = by_hour.plans_used(account.connection, account.customer, _hour(begin), _hour(end), until)
    wanted = {*used, *((each.plan, each.plan_version) for each in account.begun)}
    found = (_month(account, account.plan(*each), period, until) for each in sorted(wanted))
    return [month for month in found if month.events or month.part.held]


def _month(account: Account, agreed: Plan, period: Period, until: int) -> Month:
    zone = agreed.terms.timezone
    held, free_until = held_of(agreed, account.begun)
    begin, end = period.bounds(zone)
    used = charged = _used(account, agreed, (begin, end), until)
    since = None
    if free_until is not None and free_until > begin:
        since = timestamp(min(free_until, end))
        charged = _used(account, agreed, (min(free_until, end), end), until)
    back: dict[date, Fraction] = {}
    if agreed.terms.fee_every == "year" and held:
        paid_back = account.credited_fees
        back = {end: each for (plan, end), each in paid_back.items() if plan == agreed.reference}
    part = Part(agreed.name, agreed.version, agreed.terms, charged.units, held, back)
    credited = account.credited_months.get((agreed.reference, str(period)), Fraction(0))
    return Month(agreed, part, used.events, charged.charged, used.newest, since, credited)


@dataclass(frozen=True)
class _Used:
    """How many events there are in a time, how many of them are charged, and their units."""

    events: int
    charged: int
    units: Units
    newest: int


def _used(account: Account, agreed: Plan, between: tuple[datetime, datetime], until: int) -> _Used:
    """What was used under a plan.

    Whole hours come from the rollup; where a zone's day begins off the hour, the rest comes from
    the events.
    """
    begin, end = between
    asked = (account.connection, (account.customer, agreed.name, agreed.version))
    first, last = _next_hour(begin), _next_hour(end - _HOUR + timedelta(microseconds=1))
    rows = []
    if first < last:
        rows += by_hour.used_by_hour(*asked, (_hour(first), _hour(last)), until)
    for low, high in ((begin, min(first, end)), (max(last, first), end)):
        if low < high:
            rows += by_hour.used_between(*asked, (timestamp(low), timestamp(high)), until)
    events, charged, units = 0, 0, Counter[tuple[str, str]]()
    for row in rows:
        events += row.events
        if is_charged(row.outcome, charge_abstained=agreed.terms.charge_abstained):
            charged += row.events
            if row.quantity:
                units[row.product, row.unit] += row.quantity
    return _Used(events, charged, units, max((row.newest for row in rows), default=0))


def _next_hour(moment: datetime) -> datetime:
    """The first whole hour at or after a moment."""
    whole = moment.replace(minute=0, second=0, microsecond=0)
    return whole if whole == moment else whole + _HOUR


def _hour(moment: datetime) -> str:
    return timestamp(moment)[:13]


def hours_of(period: Period, zone: str = "UTC") -> tuple[str, str]:
    """A month from its first whole hour to the first one after it, by a zone's calendar."""
    begin, end = period.bounds(zone)
    return _hour(_next_hour(begin)), _hour(_next_hour(end))


def hour_from(moment: str) -> str:
    """The first whole hour at or after a moment."""
    return _hour(_next_hour(datetime.fromisoformat(moment)))


def latest_hour(period: Period) -> str:
    """The first hour that is in a later month wherever on Earth one is."""
    return _hour(period.bounds("UTC")[1] + _FURTHEST_ZONE)


def total_of(lines: Iterable[Line]) -> Fraction:
    """What lines come to together."""
    return sum((line.amount for line in lines), Fraction(0))
