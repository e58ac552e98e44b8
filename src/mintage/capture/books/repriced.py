"""A month's usage at other prices: what would be earned of it, and who would pay more or less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mintage.core.money import decimal_text


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """What each customer would pay, before tax, beside what is paid now."""

    customers: Mapping[str, tuple[Fraction, Fraction]]
    """By name: what is paid now, and what would be."""
    cost: Fraction | None
    """What is known of it; None where nothing is."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Calls whose cost is not known, by why: ``costs.Spent.known``."""

    @property
    def then(self) -> Fraction:
        """What would be earned."""
        return sum((then for __, then in self.customers.values()), Fraction(0))

    @property
    def margin(self) -> Fraction | None:
        """The share that would be left; None where nothing is earned, or no cost is known.

        Where the cost of some calls is ``unknown`` it is that at most.
        """
        return None if self.cost is None or self.then <= 0 else 1 - self.cost / self.then

    def costs_json(self) -> dict[str, Any]:
        """What ``--json`` says of cost and margin."""
        return {
            "cost": None if self.cost is None else decimal_text(self.cost),
            "unknown": dict(self.unknown),
            "unknown_cost_calls": sum(self.unknown.values()),
            "margin": None if self.margin is None else round(float(self.margin), 6),
        }

    @property
    def more(self) -> int:
        """How many would pay more."""
        return sum(then > now for now, then in self.customers.values())

    @property
    def less(self) -> int:
        """How many would pay less."""
        return sum(then < now for now, then in self.customers.values())
