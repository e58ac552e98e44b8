"""What a customer owes, worked out a second time from the pages alone, in fractions.

It imports nothing of what it is held against. Plans are read as their files have them; what
happened is walked through in its order; then every day, second and unit is asked whose it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

Terms = Mapping[str, Any]
"""A plan as its file has it: what is left out is not in it."""

Reference = tuple[str, int]
"""A plan's name and version."""

DECIMALS = {"EUR": 2, "JPY": 0, "KWD": 3}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400
_TICK = timedelta(microseconds=1)


@dataclass
class Spell:
    """A version of a plan in the customer's hands, from one moment to another."""

    of: Reference
    began: datetime
    ended: datetime | None = None
    changed: bool = False  # ended by another plan, whose day the last one is

    def is_open(self, now: datetime) -> bool:
        return self.began <= now and (self.ended is None or now < self.ended)

    def last_day(self, zone: str) -> date | None:
        """The last day that is paid with it; None while it has not ended."""
        if self.ended is None:
            return None
        if self.changed:
            return day_of(self.ended, zone) - timedelta(days=1)
        return day_of(self.ended - _TICK, zone)

    def has(self, day: date, zone: str) -> bool:
        last = self.last_day(zone)
        return day_of(self.began, zone) <= day and (last is None or day <= last)

    def seconds(self, first: int, end: int) -> int:
        """How many of the seconds from one up to another are its own."""
        last = end if self.ended is None else min(end, second_of(self.ended))
        return max(0, last - max(first, second_of(self.began)))


@dataclass(frozen=True)
class Call:
    """A call that was recorded."""

    moment: datetime
    under: Reference
    product: str
    quantities: Mapping[str, int]
    outcome: str


@dataclass(frozen=True)
class Line:
    """A sum in major units, exactly; ``units`` are those of a line of usage."""

    plan: str
    kind: str
    amount: Fraction
    unit: str = ""
    units: int = 0


@dataclass(frozen=True)
class Invoice:
    """What a month comes to in one currency; ``due`` are the lines in its minor units."""

    currency: str
    lines: Sequence[Line]
    due: Sequence[int]
    taxes: Sequence[int]

    @property
    def net(self) -> int:
        return sum(self.due)

    @property
    def total(self) -> int:
        return self.net + sum(self.taxes)


@dataclass
class Story:
    """What happened with one customer, told in its order."""

    taxes: Sequence[str] = ()  # percents
    plans: dict[str, list[Terms]] = field(default_factory=dict)
    spells: list[Spell] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def terms(self, of: Reference) -> Terms:
        return self.plans[of[0]][of[1] - 1]

    def agree(self, plan: str, terms: Terms) -> None:
        """Terms that differ from those that stood are a new version."""
        self.plans.setdefault(plan, []).append(terms)

    def begin(self, now: datetime, plan: str) -> None:
        begun = plan, len(self.plans[plan])
        if any(each.of == begun and each.ended is None for each in self.spells):
            return
        for each in self.spells:
            last = each.last_day(zone_of(self.terms(each.of)))
            over = last is not None and last < day_of(now, zone_of(self.terms(each.of)))
            rival = each.of[0] == plan or same_things(self.terms(each.of), self.terms(begun))
            if rival and not over and not each.changed:
                each.ended, each.changed = min(now, each.ended or now), True
        self.spells.append(Spell(begun, now))

    def cancel(self, now: datetime, plan: str, *, at_month_end: bool) -> bool:
        """Whether there was something to end."""
        for each in self.spells:
            if each.of[0] == plan and each.is_open(now):
                zone = zone_of(self.terms(each.of))
                day = day_of(now, zone)
                following = days_of(day.year, day.month)[-1] + timedelta(days=1)
                ends = _BEGINNING + timedelta(seconds=dawn(following, zone))
                each.ended = ends if at_month_end else now
                return True
        return False

    def call(
        self, now: datetime, product: str, own: str, quantities: Mapping[str, int], outcome: str
    ) -> None:
        """By the plan begun last that has a price for the product, or else by its ``own``."""
        under = own, len(self.plans[own])
        for each in self.spells:
            if each.is_open(now) and any(charges_for(self.terms(each.of), product)):
                under = each.of
        self.calls.append(Call(now, under, product, quantities, outcome))

    def invoices(self, year: int, month: int) -> dict[str, Invoice]:
        """By currency, what the month comes to, where anything does."""
        by_currency: dict[str, list[Line]] = {}
        for of in sorted({each.of for each in self.spells} | {each.under for each in self.calls}):
            lines = by_currency.setdefault(self.terms(of)["currency"], [])
            lines += self._lines(of, year, month)
        return {
            currency: self._invoice(currency, lines)
            for currency, lines in by_currency.items()
            if any(line.amount for line in lines)
        }

    def _invoice(self, currency: str, lines: Sequence[Line]) -> Invoice:
        due = [minor(line.amount, currency) for line in lines]
        net = Fraction(sum(due), 10 ** DECIMALS[currency])
        taxes = [minor(net * Fraction(percent) / 100, currency) for percent in self.taxes]
        return Invoice(currency, lines, due, taxes)

    def _lines(self, of: Reference, year: int, month: int) -> list[Line]:
        terms, name = self.terms(of), f"{of[0]}@{of[1]}"
        spells = [each for each in self.spells if each.of == of]
        paid_from = self._after_trial(of) if spells else date.min
        parts = [part_of(each, terms, paid_from, year, month) for each in spells]
        share = Fraction(1)
        if spells and terms.get("prorate", True):
            share = min(share, max(sum(parts), smallest(terms, year, month)))
        if terms.get("fee_every", "month") == "month":
            fees = monthly(terms, parts)
        else:
            fees = list(yearly(terms, spells, paid_from, year, month))
        lines = [Line(name, kind, amount) for kind, amount in fees]
        days = [day for day in days_of(year, month) if day >= paid_from]
        used = [
            each
            for each in self.calls
            if each.under == of
            and is_charged(each, terms)
            and day_of(each.moment, zone_of(terms)) in days
        ]
        usage = list(usage_of(name, terms, used, share, has_days=any(parts)))
        lines += usage
        spent = sum((line.amount for line in usage), Fraction(0))
        least, most = (terms.get(bound) for bound in ("minimum", "maximum"))
        if least is not None and any(parts) and spent < Fraction(least) * share:
            lines.append(Line(name, "minimum", Fraction(least) * share - spent))
        elif most is not None and spent > Fraction(most) * share:
            lines.append(Line(name, "maximum", Fraction(most) * share - spent))
        off = sum((line.amount for line in lines), Fraction(0))
        off *= Fraction(terms.get("discount_percent", "0")) / 100
        return [*lines, Line(name, "discount", -off)] if off else lines

    def _after_trial(self, of: Reference) -> date:
        """The first day that is charged: a plan is tried once, whichever version of it."""
        first = min(each.began for each in self.spells if each.of[0] == of[0])
        free = timedelta(days=self.terms(of).get("trial_days", 0))
        return day_of(first, zone_of(self.terms(of))) + free


def minor(amount: Fraction, currency: str) -> int:
    """In minor units, the nearest; of two as near the one that is further from nothing."""
    whole, rest = divmod(abs(amount.numerator) * 10 ** DECIMALS[currency], amount.denominator)
    nearest = whole + (2 * rest >= amount.denominator)
    return nearest if amount > 0 else -nearest


def up(amount: Fraction) -> int:
    """The next whole number."""
    return -(-amount.numerator // amount.denominator)


def zone_of(terms: Terms) -> str:
    return str(terms.get("timezone", "UTC"))


def day_of(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def second_of(moment: datetime) -> int:
    """Its second, counted from 1970."""
    return (moment - _BEGINNING) // timedelta(seconds=1)


@cache
def dawn(day: date, zone: str) -> int:
    """The first second that is on a day or, where the zone has left it out, after it: by search."""
    early = (day.toordinal() - _BEGINNING.toordinal() - 2) * _DAY_SECONDS
    late = early + 4 * _DAY_SECONDS
    while late - early > 1:
        middle = (early + late) // 2
        if day_of(_BEGINNING + timedelta(seconds=middle), zone) < day:
            early = middle
        else:
            late = middle
    return late


def days_of(year: int, month: int) -> list[date]:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    february = 29 if leap else 28
    length = february if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    return [date(year, month, number) for number in range(1, length + 1)]


def seconds_of(zone: str, year: int, month: int) -> tuple[int, int]:
    """The first second of a month, and the first after it."""
    days = days_of(year, month)
    return dawn(days[0], zone), dawn(days[-1] + timedelta(days=1), zone)


def part_of(spell: Spell, terms: Terms, paid_from: date, year: int, month: int) -> Fraction:
    """Which part of the month is paid with a spell."""
    zone, days = zone_of(terms), days_of(year, month)
    if terms.get("prorate", True) == "second":
        first, end = seconds_of(zone, year, month)
        return Fraction(spell.seconds(max(first, dawn(paid_from, zone)), end), end - first)
    return Fraction(sum(day >= paid_from and spell.has(day, zone) for day in days), len(days))


def smallest(terms: Terms, year: int, month: int) -> Fraction:
    """The smallest part that there is: what a plan that had no day of its own is counted by."""
    if terms.get("prorate", True) == "second":
        first, end = seconds_of(zone_of(terms), year, month)
        return Fraction(1, end - first)
    return Fraction(1, len(days_of(year, month)))


def monthly(terms: Terms, parts: Sequence[Fraction]) -> list[tuple[str, Fraction]]:
    fee = Fraction(terms.get("fee", "0"))
    if not terms.get("prorate", True):
        return [("fee", fee)] if fee and any(parts) else []
    return [("fee", fee * part) for part in parts if fee * part]


def yearly(
    terms: Terms, spells: Sequence[Spell], paid_from: date, year: int, month: int
) -> Iterator[tuple[str, Fraction]]:
    """For each year as it begins; of the one in which it ends, what is left comes back."""
    fee, zone, days = Fraction(terms.get("fee", "0")), zone_of(terms), days_of(year, month)
    for spell in spells if fee else ():
        start, last = max(day_of(spell.began, zone), paid_from), spell.last_day(zone)
        for number in range(max(0, year - start.year + 1)):
            first, after = years_later(start, number), years_later(start, number + 1)
            by_second = terms.get("prorate", True) == "second"
            part_of_it = spell.seconds(dawn(first, zone), dawn(after, zone)) if by_second else 0
            if not (spell.has(first, zone) or (start <= first and part_of_it)):
                continue
            if first in days:
                yield "fee", fee
            ended = last if last is None else max(last, first)
            if terms.get("prorate", True) and ended in days:
                left = left_of(spell, terms, first, after)
                if 0 < left < 1:
                    yield "fee_back", -fee * left


def left_of(spell: Spell, terms: Terms, first: date, after: date) -> Fraction:
    """Which part of a year is left when the plan has ended."""
    zone = zone_of(terms)
    last = spell.last_day(zone)
    assert spell.ended is not None
    assert last is not None
    if terms.get("prorate", True) == "second":
        begin, end = dawn(first, zone), dawn(after, zone)
        return Fraction(end - second_of(spell.ended), end - begin)
    return Fraction((after - last).days - 1, (after - first).days)


def years_later(day: date, years: int) -> date:
    """The same day so many years later; where there is no 29 February, the 28."""
    shorter = day.month == 2 and day.day == 29 and len(days_of(day.year + years, 2)) == 28
    return date(day.year + years, day.month, 28 if shorter else day.day)


def is_charged(call: Call, terms: Terms) -> bool:
    """Whether a call that went so is charged."""
    abstained = call.outcome == "abstain" and terms.get("charge_abstained", False)
    return call.outcome in ("ok", "partial") or bool(abstained)


def charges_for(terms: Terms, product: str) -> Iterator[Terms]:
    for charge in terms.get("charges", ()):
        if product in charge.get("products", (product,)):
            yield charge


def same_things(one: Terms, other: Terms) -> bool:
    """Whether both have a price for the same unit of the same product."""
    for mine in one.get("charges", ()):
        for its in other.get("charges", ()):
            if mine["unit"] == its["unit"] and (
                "products" not in mine
                or "products" not in its
                or set(mine["products"]) & set(its["products"])
            ):
                return True
    return False


def usage_of(
    plan: str, terms: Terms, used: Sequence[Call], share: Fraction, *, has_days: bool
) -> Iterator[Line]:
    """A line for each charge of which anything was used, or that has a flat amount."""
    for charge in terms.get("charges", ()):
        units = sum(
            call.quantities.get(charge["unit"], 0)
            for call in used
            if call.product in charge.get("products", (call.product,))
        )
        amount = priced(charge, units, share)
        if units or (amount and has_days):
            yield Line(plan, "usage", amount, charge["unit"], units)


def priced(charge: Terms, units: int, share: Fraction) -> Fraction:
    """What units cost; of a share of the month with as large a share of what is given in units."""
    per, model = charge.get("per", 1), charge.get("model", "unit")
    tiers = charge.get("tiers") or [{"price": charge["price"]}]
    left = max(0, units - up(charge.get("included", 0) * share))
    if model == "package":
        return Fraction(tiers[0]["price"]) * up(Fraction(left, per))
    above, total = 0, Fraction(0)
    for position, tier in enumerate(tiers):
        bound = max(left, 1) if "up_to" not in tier else up(tier["up_to"] * share)
        reached = left > above or (position == 0 and left == 0)
        last = left <= bound
        if model == "volume" and last:
            return Fraction(tier["price"]) * left / per + Fraction(tier.get("flat", "0"))
        if model != "volume" and reached and bound > above:
            within = min(left, bound) - above
            total += Fraction(tier["price"]) * within / per + Fraction(tier.get("flat", "0"))
        above = max(above, bound)
    return total
