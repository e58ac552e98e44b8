"""What answers cost: what was computed here, and what upstreams asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from mintage.core.messages import Message, _
from mintage.core.money import Price
from mintage.core.types import PICOS, UNKNOWN_CURRENCY

COMPUTED, UNSAID = "computed", "unsaid"
"""Why a cost is not known: computed here, where no price of an hour is said in the currency that is
paid in; or answered by an upstream of which nobody said what it costs. Else it is the currency in
which an upstream asks."""
_HERE: Final = ""  # in place of a currency
Known = tuple[Fraction | None, Mapping[str, int]]
"""As much of a cost as is known, and of how many calls it is not, by why."""


@dataclass
class Spent:
    """Seconds of computing here, and what upstreams asked, by currency, in 10⁻¹².

    The seconds for which upstreams worked (``busy_seconds``) are in what they asked.
    """

    seconds: float = 0.0
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    busy_seconds: float = 0.0
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """How many, by the currency that their cost is in; "" of what was computed here."""

    @classmethod
    def of(cls, rows: Iterable[Any]) -> Spent:
        """Of rows with ``compute_seconds, cost_currency, cost_picos``, and ``events``."""
        spent = cls()
        for row in rows:
            spent.add(row)
        return spent

    def add(self, row: Any) -> None:
        """Add one more."""
        self.calls[row.cost_currency] += int(row.events)
        if row.cost_currency:
            self.busy_seconds += row.compute_seconds
            self.asked[row.cost_currency] += int(row.cost_picos)
        else:
            self.seconds += row.compute_seconds

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

    def known(self, currency: str, hour_cost: Price | None) -> Known:
        """As much of it as is known, None where nothing is; and of how many calls it is not.

        Those are by why: ``COMPUTED``, ``UNSAID``, or a currency.
        """
        unknown: dict[str, int] = {}
        for asked_in in sorted(self.asked.keys() - {currency}):
            why = UNSAID if asked_in == UNKNOWN_CURRENCY else asked_in
            unknown[why] = self.calls[asked_in]
        computed = cost_of(self.seconds, currency, hour_cost)
        if computed is None and not self.seconds and self.asked:
            computed = Fraction(0)
        if computed is None and self.seconds:
            unknown[COMPUTED] = self.calls[_HERE]
        if not unknown:
            return self.cost(currency, hour_cost), unknown
        costly = {each: n for each, n in self.calls.items() if each != _HERE or self.seconds}
        if sum(unknown.values()) == sum(costly.values()):
            return None, unknown
        return (computed or Fraction(0)) + Fraction(self.asked.get(currency, 0), PICOS), unknown


def cost_of(seconds: float, currency: str, hour_cost: Price | None) -> Fraction | None:
    """What so much computing costs; None where nobody knows it in this currency."""
    if hour_cost is None or hour_cost.currency != currency:
        return None
    return hour_cost.times(1) * Fraction(seconds) / 3600


def what_to_say(unknown: Mapping[str, int], currency: str) -> Sequence[Message]:
    """What has to be said for these costs to be known, a sentence for each kind of product."""
    said = []
    for why, calls in unknown.items():
        if why == COMPUTED:
            said.append(
                _(
                    "Of unknown cost, computed here: {calls:,}. Say what an hour of one processor "
                    "costs you, MINTAGE_COMPUTE_COST='0.05 {currency}'.",
                    calls=calls,
                    currency=currency,
                )
            )
        elif why == UNSAID:
            said.append(
                _(
                    "Of unknown cost, answered by upstreams: {calls:,}. Say what they cost from "
                    "now on, with --cost-input and --cost-output, or --cost-hour "
                    "(mintage product add, mintage publish).",
                    calls=calls,
                )
            )
        else:
            said.append(
                _(
                    "Of a cost in {asked}, paid for in {currency}: {calls:,}. A sum is of one "
                    "currency alone.",
                    calls=calls,
                    asked=why,
                    currency=currency,
                )
            )
    return said
