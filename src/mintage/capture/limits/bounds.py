"""Bounds: what one customer's calls under one plan are held against, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Self

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import sha256_hex
from mintage.core.money import NANOS, Money, Price, parse_exact

_MOST_NANOS = 2**63 - 1  # more than any limit
TOLD_AT = (80, 100)
"""At which percents of a limit a customer is told."""


@dataclass(frozen=True)
class Counted:
    """The units of one charge, counted over a month."""

    charge: Charge
    counter: str
    """Its name without the month."""

    @property
    def most(self) -> int | None:
        """More are not answered."""
        return self.charge.hard_limit


@dataclass(frozen=True)
class Bounds:
    """What limits a customer's calls under a plan; amounts are without tax.

    ``free``: nothing is charged now, as on trial; ``charged_since`` is when a trial ended. ``tax``
    is what comes on top of a price, as a share. ``budget`` is the key's, and of all those that it
    was made in place of: ``keys``, the first one last.
    """

    customer: str
    plan: str
    terms: Terms
    keys: tuple[str, ...] = ()
    budget: Money | None = None
    tax: Fraction = Fraction(0)
    free: bool = False
    charged_since: str | None = None

    @classmethod
    def of(
        cls,
        customer: str,
        plan: str,
        terms: Terms,
        *,
        keys: tuple[str, ...] = (),
        budget: Money | None = None,
        taxes: Iterable[str] = (),
        free: bool = False,
        charged_since: str | None = None,
    ) -> Self | None:
        """None where nothing is counted: most customers' calls need no more than their event.

        ``taxes`` are percents.
        """
        tax = sum(map(parse_exact, taxes), Fraction(0)) / 100
        bounds = cls(customer, plan, terms, keys, budget, tax, free, charged_since)
        binds = bounds.counted or terms.prepaid or budget is not None
        return bounds if binds else None

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The charges whose units are counted."""
        all_of_them, trial = self.limits_spending, "trial/" if self.free else ""
        return tuple(
            Counted(charge, f"{self.customer}/{self.plan}/{trial}{_name(charge)}")
            for charge in self.terms.charges
            if all_of_them or charge.included or charge.soft_limit or charge.hard_limit
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

    def spent(self, units: Mapping[str, int]) -> Fraction:
        """What so many units of each count come to, in major units."""
        return sum(
            (each.charge.amount(units.get(each.counter, 0)) for each in self.counted), Fraction(0)
        )

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
