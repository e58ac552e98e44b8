"""A month's usage at other prices: what would be earned of it, and who would pay more or less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """What each customer would pay, before tax, beside what is paid now."""

    customers: Mapping[str, tuple[Fraction, Fraction]]
    """By name: what is paid now, and what would be."""
    cost: Fraction | None

    @property
    def then(self) -> Fraction:
        """What would be earned."""
        return sum((then for __, then in self.customers.values()), Fraction(0))

    @property
    def margin(self) -> Fraction | None:
        """The share that would be left; None where nothing is earned, or no cost is known."""
        return None if self.cost is None or self.then <= 0 else 1 - self.cost / self.then

    @property
    def more(self) -> int:
        """How many would pay more."""
        return sum(then > now for now, then in self.customers.values())

    @property
    def less(self) -> int:
        """How many would pay less."""
        return sum(then < now for now, then in self.customers.values())
