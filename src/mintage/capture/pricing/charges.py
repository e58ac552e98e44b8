"""A charge: what so many units of one kind cost within a period, exactly.

Four models, of which the first is the plainest and the others share one table of tiers:

- ``unit``: every unit at one price;
- ``graduated``: each unit at the price of the tier that it falls into;
- ``volume``: all units at the price of the tier that their number reaches;
- ``package``: for every package begun.

Where a period is shared between plans, tiers and included units are, too (``share``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import Any, Final, Literal, get_args

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import decimal_text, parse_exact

Model = Literal["unit", "graduated", "volume", "package"]
MODELS: Final = get_args(Model)
WHOLE: Final = Fraction(1)
_MOST_TIERS = 100
_MOST_UNITS = 10**15


@dataclass(frozen=True)
class Tier:
    """Units up to and including ``up_to``, or all further ones where it is None.

    Each costs ``price`` for the charge's ``per`` units, and the tier as such ``flat`` once a unit
    falls into it; the first one's is due where none does, too. Both are decimal strings in major
    units.
    """

    price: str
    up_to: int | None = None
    flat: str = "0"

    @property
    def exact_price(self) -> Fraction:
        """The price as a number."""
        return parse_exact(self.price)

    @property
    def exact_flat(self) -> Fraction:
        """The flat amount as a number."""
        return parse_exact(self.flat)

    def to_json(self) -> dict[str, Any]:
        """The tier as a plan holds it."""
        return {"up_to": self.up_to, "price": self.price, "flat": self.flat}


@dataclass(frozen=True)
class Step:
    """So many units at one price, and a flat amount: one of the sums that a line is made of."""

    units: int
    price: str
    per: int
    flat: str
    amount: Fraction

    def to_json(self) -> dict[str, Any]:
        """The step as an invoice's line shows it."""
        return {
            "units": self.units,
            "price": self.price,
            "per": self.per,
            "flat": self.flat,
            "amount": decimal_text(self.amount),
        }


@dataclass(frozen=True)
class Charge:
    """What units of one kind cost; ``products`` are those that it is for, none named: all.

    ``included`` units of each period are free. ``per`` is how many units a tier's price is for; a
    package is that large. Of more than ``soft_limit`` units in a month the customer is told, and
    more than ``hard_limit`` are not answered; both are of whole months, whoever shares them.
    """

    unit: str
    tiers: tuple[Tier, ...]
    model: Model = "unit"
    per: int = 1
    included: int = 0
    products: tuple[str, ...] = field(default=())
    soft_limit: int | None = None
    hard_limit: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be priced.

        Raises:
            ConfigError: tiers that do not rise or do not end, or a number out of its range.
        """
        if self.model not in MODELS:
            raise ConfigError(
                _("There is no price model {model!r}.", model=self.model),
                remedy=_("There are: {models}.", models=", ".join(MODELS)),
            )
        if not 1 <= self.per <= _MOST_UNITS or not 0 <= self.included <= _MOST_UNITS:
            raise ConfigError(
                _(
                    "A price is for 1 unit or more and includes none or more; of {unit} it is for "
                    "{per}, and includes {included}.",
                    unit=self.unit,
                    per=self.per,
                    included=self.included,
                )
            )
        self._check_limits()
        self._check_tiers()
        if self.model == "package" and self.tiers[0].exact_flat:
            raise ConfigError(_("A package of {unit} has a price, no flat amount.", unit=self.unit))
        for tier in self.tiers:
            for amount in (tier.exact_price, tier.exact_flat):
                if amount < 0:
                    raise ConfigError(
                        _("A price cannot be negative: {amount}.", amount=decimal_text(amount)),
                        remedy=_("Give what is owed back by a credit."),
                    )

    def _check_limits(self) -> None:
        soft, hard = self.soft_limit, self.hard_limit
        given = [each for each in (soft, hard) if each is not None]
        if any(not 1 <= each <= _MOST_UNITS for each in given):
            raise ConfigError(_("A limit of {unit} is 1 or more.", unit=self.unit))
        if soft is not None and hard is not None and soft > hard:
            raise ConfigError(
                _(
                    "The soft limit {soft} of {unit} is above the hard limit {hard}.",
                    soft=soft,
                    unit=self.unit,
                    hard=hard,
                )
            )

    def _check_tiers(self) -> None:
        bounds = [tier.up_to for tier in self.tiers]
        several = self.model in ("graduated", "volume")
        if not 1 <= len(bounds) <= (_MOST_TIERS if several else 1):
            raise ConfigError(
                _(
                    "The price of {unit} by the model {model!r} has {count} tiers.",
                    unit=self.unit,
                    model=self.model,
                    count=len(bounds),
                ),
                remedy=_("graduated and volume take 1 to {most}; others one.", most=_MOST_TIERS),
            )
        below = [bound for bound in bounds[:-1] if bound is not None]
        rises = all(low < high for low, high in zip([0, *below], below, strict=False))
        if bounds[-1] is not None or len(below) != len(bounds) - 1 or not rises:
            raise ConfigError(
                _("The tiers of {unit} do not lead from 0 to all there may be.", unit=self.unit),
                remedy=_("Let up_to rise from tier to tier, and leave it out of the last."),
            )

    @classmethod
    def plain(cls, unit: str, price: str, *, per: int = 1) -> Charge:
        """Every unit at one price."""
        return cls(unit, (Tier(price),), per=per)

    def is_for(self, product: str) -> bool:
        """Whether units of this product are priced by it."""
        return not self.products or product in self.products

    @property
    def is_plain(self) -> bool:
        """Whether what one call costs depends on no other call."""
        return self.model == "unit" and not self.included and not self.tiers[0].exact_flat

    @property
    def list_price(self) -> tuple[str, int]:
        """What a unit costs before anything was used and nothing is included: amount, units."""
        return self.tiers[0].price, self.per

    def steps(self, units: int, share: Fraction = WHOLE) -> list[Step]:
        """The sums that make up the amount for so many units.

        Of no unit that is the first tier's flat amount, as it is at Stripe and Lago. Of a ``share``
        of the period, included units and the bounds of tiers are as large a share, in whole units,
        rounded up.
        """
        charged = units - self.included_in(share)
        if charged <= 0:
            first = self.tiers[0]
            return [self._step(first, 0, 0)] if first.exact_flat else []
        if self.model == "package":
            begun = ceil(Fraction(charged, self.per))
            return [self._step(self.tiers[0], begun * self.per, charged)]
        if self.model == "volume":
            reached = next(
                tier
                for tier in self.tiers
                if tier.up_to is None or charged <= ceil(tier.up_to * share)
            )
            return [self._step(reached, charged, charged)]
        return list(self._graduated(charged, share))

    def _graduated(self, charged: int, share: Fraction) -> Iterator[Step]:
        below = 0
        for tier in self.tiers:
            bound = charged if tier.up_to is None else min(charged, ceil(tier.up_to * share))
            if bound > below:
                yield self._step(tier, bound - below, bound - below)
                below = bound

    def _step(self, tier: Tier, priced: int, units: int) -> Step:
        amount = tier.exact_price * priced / self.per + tier.exact_flat
        return Step(units, tier.price, self.per, tier.flat, amount)

    def included_in(self, share: Fraction) -> int:
        """How many units of such a share of a period are free."""
        return ceil(self.included * share)

    def amount(self, units: int, share: Fraction = WHOLE) -> Fraction:
        """What so many units cost, in major units, exactly."""
        return sum((step.amount for step in self.steps(units, share)), Fraction(0))

    def to_json(self) -> dict[str, Any]:
        """The charge as a plan holds it."""
        return {
            "unit": self.unit,
            "model": self.model,
            "per": self.per,
            "included": self.included,
            "products": list(self.products),
            "soft_limit": self.soft_limit,
            "hard_limit": self.hard_limit,
            "tiers": [tier.to_json() for tier in self.tiers],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Charge:
        """Read what ``to_json`` wrote."""
        tiers = tuple(Tier(**tier) for tier in value["tiers"])
        return cls(**value | {"tiers": tiers, "products": tuple(value["products"])})
