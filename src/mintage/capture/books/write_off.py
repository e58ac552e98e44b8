"""What a model version cost to train, written off month by month, and what it takes to earn it.

The cost is written off in a straight line over so many months, of which the first is the one in
which the version was first published. A month's share is borne by whoever called the version in
it, by calls; where nobody did, it stands by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import Any

from mintage.capture.books.economics import Earned, together
from mintage.capture.pricing.periods import Period
from mintage.core.money import decimal_text


@dataclass(frozen=True)
class Training:
    """What one model version cost, in a currency, and from which month on it is written off.

    ``product`` is the one that it was first published for.
    """

    product: str
    model: str
    version: str
    currency: str
    cost: Fraction
    since: Period
    months: int

    @property
    def key(self) -> tuple[str, str]:
        """The model and its version."""
        return self.model, self.version

    def share(self, period: Period) -> Fraction:
        """What is written off in a month."""
        passed = (period.year - self.since.year) * 12 + period.month - self.since.month
        return self.cost / self.months if 0 <= passed < self.months else Fraction(0)


def written_off(
    rows: Iterable[Earned], trainings: Sequence[Training], period: Period
) -> list[Earned]:
    """The same rows, each with its share of what is written off in the month."""
    found = list(rows)
    due = {(*each.key, each.currency): each for each in trainings if each.share(period)}
    calls: dict[tuple[str, str, str], int] = defaultdict(int)
    for row in found:
        calls[_key(row)] += row.calls
    for place, row in enumerate(found):
        training = due.get(_key(row))
        if training is not None and row.calls:
            share = training.share(period) * row.calls / calls[_key(row)]
            found[place] = replace(row, written_off=share)
    return found + [_alone(each, period) for key, each in due.items() if not calls[key]]


def _key(row: Earned) -> tuple[str, str, str]:
    return row.model, row.model_version, row.currency


def _alone(training: Training, period: Period) -> Earned:
    """What is written off of a version that nobody called."""
    return Earned(
        customer="",
        product=training.product,
        model=training.model,
        model_version=training.version,
        currency=training.currency,
        calls=0,
        charged_calls=0,
        revenue=Fraction(0),
        compute_seconds=0.0,
        cost=Fraction(0),
        written_off=training.share(period),
    )


@dataclass(frozen=True)
class BreakEven:
    """What a product takes to earn its fixed costs in a month, by what a charged call brings.

    ``fixed`` is what is due whatever is used: what is written off, and what the operator adds.
    ``cost`` is what is known of it; None where nothing is, and so is all that needs it. Where it
    is ``unknown`` of some calls, a call leaves that at most, and the break-even is that at least.
    """

    product: str
    currency: str
    charged_calls: int
    revenue: Fraction
    cost: Fraction | None
    fixed: Fraction
    training: Fraction
    """What training cost in all, however much of it is written off."""
    unknown: Mapping[str, int] = field(default_factory=dict)
    """Calls whose cost is not known, by why: ``costs.Spent.known``."""

    @property
    def left(self) -> Fraction | None:
        """What the month's calls leave when their answering is paid."""
        return None if self.cost is None else self.revenue - self.cost

    @property
    def each(self) -> Fraction | None:
        """What a charged call leaves of it; None where there was none."""
        if self.left is None or not self.charged_calls:
            return None
        return self.left / self.charged_calls

    @property
    def calls(self) -> int | None:
        """How many charged calls a month earn what is fixed; None where no number does."""
        if self.left is None:
            return None
        if not self.fixed:
            return 0
        if self.each is None or self.each <= 0:
            return None
        return ceil(self.fixed / self.each)

    @property
    def months(self) -> Fraction | None:
        """How many such months earn all of the training; None where they never do."""
        if self.left is None:
            return None
        if not self.training:
            return Fraction(0)
        return self.training / self.left if self.left > 0 else None

    @property
    def is_earned(self) -> bool | None:
        """Whether this month earned what is fixed; None where nobody knows."""
        if self.left is None or (self.unknown and self.left >= self.fixed):
            return None
        return self.left >= self.fixed

    def to_json(self) -> dict[str, Any]:
        """As ``economics break-even --json`` says it; amounts are decimal strings."""
        return {
            "product": self.product,
            "currency": self.currency,
            "charged_calls": self.charged_calls,
            "revenue": decimal_text(self.revenue),
            "cost": None if self.cost is None else decimal_text(self.cost),
            "unknown": dict(self.unknown),
            "unknown_cost_calls": sum(self.unknown.values()),
            "fixed": decimal_text(self.fixed),
            "training_cost": decimal_text(self.training),
            "each": None if self.each is None else decimal_text(self.each),
            "break_even_calls": self.calls,
            "months_to_earn_training": None
            if self.months is None
            else round(float(self.months), 6),
            "is_earned": self.is_earned,
        }


def break_even(
    rows: Iterable[Earned], trainings: Sequence[Training], fixed: tuple[Fraction, str] | None
) -> list[BreakEven]:
    """Each product by currency, from the month's rows with what is written off.

    ``fixed`` is an amount a month, in a currency, that each product has to earn besides.
    """
    groups: dict[tuple[str, str], list[Earned]] = defaultdict(list)
    for row in rows:
        if row.product:
            groups[row.product, row.currency].append(row)
    trained: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for each in trainings:
        trained[each.product, each.currency] += each.cost
    found = []
    for (product, currency), members in sorted(groups.items()):
        besides = fixed[0] if fixed is not None and fixed[1] == currency else Fraction(0)
        summed = together(members, ["product"])[0]
        found.append(
            BreakEven(
                product=product,
                currency=currency,
                charged_calls=summed.charged_calls,
                revenue=summed.revenue,
                cost=summed.cost,
                fixed=summed.written_off + besides,
                training=trained[product, currency],
                unknown=summed.unknown,
            )
        )
    return found
