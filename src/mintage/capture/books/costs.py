"""What answers cost: what was computed here, and what upstreams asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from mintage.core.money import Price
from mintage.core.types import PICOS


@dataclass
class Spent:
    """Seconds of computing, and what upstreams asked, by currency, in 10⁻¹²."""

    seconds: float = 0.0
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    def of(cls, rows: Iterable[Any]) -> Spent:
        """Of rows with ``compute_seconds, cost_currency, cost_picos``."""
        spent = cls()
        for row in rows:
            spent.add(row)
        return spent

    def add(self, row: Any) -> None:
        """Add one more."""
        self.seconds += row.compute_seconds
        if row.cost_currency:
            self.asked[row.cost_currency] += int(row.cost_picos)

    def cost(self, currency: str, hour_cost: Price | None) -> Fraction | None:
        """All of it, at what an hour of one processor costs; None where a part is not known.

        A cost in another currency is as good as none.
        """
        if self.asked.keys() - {currency}:
            return None
        upstreams = Fraction(self.asked.get(currency, 0), PICOS)
        if self.asked and not self.seconds:
            return upstreams
        computed = cost_of(self.seconds, currency, hour_cost)
        return None if computed is None else computed + upstreams


def cost_of(seconds: float, currency: str, hour_cost: Price | None) -> Fraction | None:
    """What so much computing costs; None where nobody knows it in this currency."""
    if hour_cost is None or hour_cost.currency != currency:
        return None
    return hour_cost.times(1) * Fraction(seconds) / 3600
