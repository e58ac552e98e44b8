"""Bounds: what one customer's calls under one plan are held against, as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Self

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Held, Part, share_in, used_of
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import sha256_hex
from mintage.core.money import NANOS, Money, Price, parse_exact

_MOST_NANOS = 2**63 - 1  # more than any limit
TOLD_AT = (80, 100)
"""At which percents of a limit a customer is told."""


@dataclass(frozen=True)
class Version:
    """A version of a plan and the days on which a customer has it: how an invoice prices usage.

    ``since`` is when its trial ended, where it had one.
    """

    plan: str
    number: int
    terms: Terms
    held: tuple[Held, ...] = ()
    since: str | None = None

    def spent(self, units: Iterable[int], month: Period) -> Fraction:
        """What so many units of each of its charges come to in a month, in major units."""
        used = {
            (charge.products[0] if charge.products else "", charge.unit): each
            for charge, each in zip(self.terms.charges, units, strict=True)
        }
        return used_of(Part(self.plan, self.number, self.terms, used, self.held), month)

    def included(self, charge: Charge, month: Period) -> int:
        """How many units of a charge are free in a month, of which it may have a part alone."""
        part = Part(self.plan, self.number, self.terms, {}, self.held)
        return charge.included_in(share_in(part, month))


@dataclass(frozen=True)
class Counted:
    """The units of one charge, counted over a month.

    Limits are of all versions of a plan together; what is included and what is spent is of each
    alone (``is_alone``), as invoices have it. What is used ``on_trial`` is counted apart.
    """

    customer: str
    version: Version
    charge: Charge
    on_trial: bool
    is_alone: bool

    @property
    def counter(self) -> str:
        """Its name without the month."""
        trial = "trial/" if self.on_trial else ""
        alone = f"v{self.version.number}/" if self.is_alone else ""
        return f"{self.customer}/{self.version.plan}/{trial}{alone}{_name(self.charge)}"

    def in_month(self, month: Period) -> str:
        """Its name in a month."""
        return f"{self.counter}/{month}"

    @property
    def most(self) -> int | None:
        """More are not answered."""
        return None if self.is_alone else self.charge.hard_limit


@dataclass(frozen=True)
class Bounds:
    """What limits a customer's calls under a version of a plan; amounts are without tax.

    ``free``: nothing is charged now, as on trial. ``earlier`` are other versions of the plan that
    may have been used in the month, where spending is limited. ``tax`` is what comes on top of a
    price, as a share. ``budget`` is the key's, and of all those that it was made in place of:
    ``keys``, the first one last.
    """

    customer: str
    version: Version
    keys: tuple[str, ...] = ()
    budget: Money | None = None
    tax: Fraction = Fraction(0)
    free: bool = False
    earlier: tuple[Version, ...] = ()

    @classmethod
    def of(
        cls,
        customer: str,
        version: Version,
        *,
        keys: tuple[str, ...] = (),
        budget: Money | None = None,
        taxes: Iterable[str] = (),
        free: bool = False,
        earlier: tuple[Version, ...] = (),
    ) -> Self | None:
        """None where nothing is counted: most customers' calls need no more than their event.

        ``taxes`` are percents.
        """
        tax = sum(map(parse_exact, taxes), Fraction(0)) / 100
        bounds = cls(customer, version, keys, budget, tax, free, earlier)
        binds = bounds.counted or bounds.terms.prepaid or budget is not None
        return bounds if binds else None

    @property
    def terms(self) -> Terms:
        """What is agreed."""
        return self.version.terms

    @property
    def plan(self) -> str:
        """The plan's name."""
        return self.version.plan

    def at(self, moment: str) -> Self:
        """The same for a call that is recorded at a moment: its trial may be over by then."""
        since = self.version.since
        return replace(self, free=False) if self.free and since and since <= moment else self

    @property
    def counted(self) -> tuple[Counted, ...]:
        """What its calls are counted in."""
        found = []
        for charge in self.terms.charges:
            mine = (self.customer, self.version, charge, self.free)
            if charge.soft_limit or charge.hard_limit:
                found.append(Counted(*mine, is_alone=False))
            if charge.included or (self.limits_spending and not self.free):
                found.append(Counted(*mine, is_alone=True))
        return tuple(found)

    @property
    def priced(self) -> tuple[tuple[Version, tuple[Counted, ...]], ...]:
        """What spending is worked out from: of each version its charges."""
        return tuple(
            (
                version,
                tuple(
                    Counted(self.customer, version, charge, on_trial=False, is_alone=True)
                    for charge in version.terms.charges
                ),
            )
            for version in (*self.earlier, self.version)
        )

    @property
    def limits_spending(self) -> bool:
        """Whether a month's usage is limited, or told of, by what it comes to."""
        return self.terms.spend_limit is not None or self.terms.soft_spend_limit is not None

    @property
    def hold(self) -> bool:
        """Whether a call has to reserve what it will use: it may be refused."""
        terms = self.terms
        return (
            terms.prepaid
            or terms.spend_limit is not None
            or self.budget is not None
            or any(charge.hard_limit is not None for charge in terms.charges)
        )

    def moved(self, product: str, quantities: Mapping[str, int]) -> Iterator[tuple[Counted, int]]:
        """What a call of a product adds to each count."""
        for each in self.counted:
            units = quantities.get(each.charge.unit, 0)
            if units and each.charge.is_for(product):
                yield each, units

    def spent(self, units: Callable[[Counted], int], month: Period) -> Fraction:
        """What the units of each count come to in a month, in major units."""
        each_spent = (version.spent(map(units, counts), month) for version, counts in self.priced)
        return sum(each_spent, Fraction(0))

    @property
    def balance(self) -> str:
        """What holds of the customer's credit are counted by."""
        return f"{self.customer}/credit/{self.terms.currency}"

    def month(self, moment: datetime) -> Period:
        """The month that limits are of, by the plan's calendar."""
        return Period.containing(moment, self.terms.timezone)

    def gross(self, net: Fraction) -> int:
        """What is taken of a credit for an amount: with tax, in 10⁻⁹, rounded up."""
        return in_nanos(net * (1 + self.tax))


def price_of_units(prices: Mapping[str, Price], quantities: Mapping[str, int]) -> Fraction:
    """What so many units cost at their list price."""
    priced = (prices[unit].times(n) for unit, n in quantities.items() if unit in prices)
    return sum(priced, Fraction(0))


def in_nanos(exact: Fraction) -> int:
    """An amount in 10⁻⁹ of the major unit, rounded up: never more is answered than is left."""
    scaled = exact * NANOS
    return min(_MOST_NANOS, -(-scaled.numerator // scaled.denominator))


def crossed(before: Fraction | int, after: Fraction | int, most: Fraction | int) -> int | None:
    """The highest of ``TOLD_AT`` percents of a limit that was reached between two counts."""
    reached = [p for p in TOLD_AT if before * 100 < most * p <= after * 100]
    return max(reached, default=None)


def _name(charge: Charge) -> str:
    """The unit, and which products where it is not for all."""
    if not charge.products:
        return charge.unit
    return f"{charge.unit}@{sha256_hex('/'.join(sorted(charge.products)).encode())[:16]}"
