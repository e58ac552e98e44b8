"""What a month would cost under a plan, for several numbers of units: before anyone is charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from typing import Any

from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Held, Line, Part, lines_of
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Money, decimal_text, parse_exact

_LONG_AGO = date(2000, 1, 1)
_MOST_UNITS = 10**15


@dataclass(frozen=True)
class Simulated:
    """One month of so many units: its price, and what answering is known to cost.

    ``cost`` is exact, None where nobody knows it; both are in the plan's currency.
    """

    units: int
    price: Money
    lines: tuple[Line, ...]
    cost: Fraction | None

    @property
    def margin(self) -> Fraction | None:
        """The share of the price that is left when the cost is paid; None where nothing is paid."""
        if self.cost is None or not self.price.nanos:
            return None
        return 1 - self.cost / self.price.exact

    def to_json(self) -> dict[str, Any]:
        """As ``plan simulate --json`` says it; amounts are decimal strings."""
        # What is rounded for an invoice would hide what little a unit costs.
        exact = sum((line.amount for line in self.lines), Fraction(0))
        each = exact / self.units if self.units else None
        return {
            "units": self.units,
            "price": self.price.amount,
            "currency": self.price.currency,
            "price_each": None if each is None else decimal_text(each),
            "cost": None if self.cost is None else decimal_text(self.cost),
            "margin": None if self.margin is None else round(float(self.margin), 6),
            "lines": [line.to_json() for line in self.lines],
        }


def simulate(
    name: str,
    version: int,
    terms: Terms,
    *,
    product: str,
    unit: str,
    units: Sequence[int],
    cost_each: Fraction | None,
    period: Period,
) -> list[Simulated]:
    """A whole month, long after any trial, in which each number of units is used.

    Raises:
        ConfigError: a number of units that nobody could use.
    """
    for each in units:
        if not 0 <= each <= _MOST_UNITS:
            raise ConfigError(
                _("Units are 0 to {most:,}, not {units}.", most=_MOST_UNITS, units=each)
            )
    terms = a_months_fee(terms)
    held = (Held(_LONG_AGO.replace(month=period.month), None, _LONG_AGO),)
    found = []
    for each in units:
        part = Part(name, version, terms, {(product, unit): each}, held)
        lines = tuple(lines_of(part, period))
        price = sum((Money.rounded(line.amount, terms.currency).nanos for line in lines), 0)
        cost = None if cost_each is None else cost_each * each
        found.append(Simulated(each, Money(price, terms.currency), lines, cost))
    return found


def a_months_fee(terms: Terms) -> Terms:
    """The same terms with a twelfth of a yearly fee each month, to 18 decimals."""
    if terms.fee_every == "month":
        return terms
    return replace(terms, fee=decimal_text(parse_exact(terms.fee) / 12), fee_every="month")
