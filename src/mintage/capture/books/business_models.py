"""A month's recorded usage under other business models: who would pay what for the same.

Each model is a way to charge for units of one kind, which all products' charged calls count in;
what they count besides is taken to be included. Where no price is given, it is the one at which the
month would have earned exactly what it earns now, so that models differ by who pays and not by how
much. Every customer who used or paid anything is taken to be on it for the whole month.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Literal, get_args

from mintage.capture.books.costs import Known
from mintage.capture.books.repriced import Repriced
from mintage.capture.pricing.charges import Charge, Tier
from mintage.core.money import decimal_text, parse_exact

Kind = Literal["pay_as_you_go", "subscription", "freemium", "prepaid", "volume", "outcome"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
CONFIDENCE: Final = "0.9"
_TENFOLD, _HUNDREDFOLD = 10, 100


@dataclass(frozen=True)
class Offer:
    """One business model; ``price`` is a decimal string, or None for the one that earns as much.

    The price is for one unit, for a month (``subscription``) or for a package of ``size`` units
    that are bought in advance and lost with the month (``prepaid``). ``size`` units are free
    (``freemium``). ``tiers`` are prices of ``volume``, each as a multiple of ``price``.
    ``outcome`` charges what was answered with a probability of ``confidence`` or more.
    """

    kind: Kind
    price: str | None = None
    size: int = 1
    tiers: tuple[Tier, ...] = (Tier("1"),)
    confidence: str = CONFIDENCE

    def charged(self, units: int, confident: int) -> Fraction:
        """What a customer's units come to at a price of 1."""
        one = (Tier("1"),)
        if self.kind == "subscription":
            return Fraction(1)
        if self.kind == "outcome":
            return Fraction(confident)
        charge = {
            "pay_as_you_go": Charge("unit", one),
            "freemium": Charge("unit", one, included=self.size),
            "prepaid": Charge("unit", one, "package", per=self.size),
            "volume": Charge("unit", self.tiers, "volume"),
        }[self.kind]
        return charge.amount(units)

    def to_json(self) -> dict[str, Any]:
        """What it is made of besides its price."""
        found: dict[str, Any] = {}
        if self.kind in ("freemium", "prepaid"):
            found["size"] = self.size
        if self.kind == "volume":
            found["tiers"] = [{"up_to": each.up_to, "times": each.price} for each in self.tiers]
        if self.kind == "outcome":
            found["confidence"] = self.confidence
        return found


@dataclass(frozen=True)
class Used:
    """One customer's month: what is paid now before tax, the charged units, those that are sure."""

    now: Fraction
    units: int
    confident: int


@dataclass(frozen=True)
class Compared(Repriced):
    """One business model over a month; ``price`` is None where it could earn nothing."""

    offer: Offer
    price: Fraction | None

    @property
    def nothing(self) -> int:
        """How many would pay nothing."""
        return sum(then == 0 for __, then in self.customers.values())

    @property
    def largest(self) -> Fraction | None:
        """The share of what is earned that the largest payer would pay."""
        most = max((then for __, then in self.customers.values()), default=Fraction(0))
        return most / self.then if self.then > 0 else None

    @property
    def moved(self) -> Fraction | None:
        """The share of what is earned now that others would pay: half of all differences."""
        now = sum((now for now, __ in self.customers.values()), Fraction(0))
        differences = sum((abs(then - now) for now, then in self.customers.values()), Fraction(0))
        return differences / 2 / now if now > 0 and self.then > 0 else None

    def changed(self) -> list[tuple[str, Fraction, Fraction]]:
        """Whoever would pay otherwise, the largest difference first."""
        found = [(name, *both) for name, both in self.customers.items() if both[0] != both[1]]
        return sorted(found, key=lambda each: (-abs(each[2] - each[1]), each[0]))

    def to_json(self) -> dict[str, Any]:
        """As ``replay --compare-models --json`` says it; amounts are decimal strings."""
        return {
            "model": self.offer.kind,
            "price": None if self.price is None else decimal_text(self.price),
            "is_calibrated": self.offer.price is None,
            **self.offer.to_json(),
            "revenue": decimal_text(self.then),
            **self.costs_json(),
            "pay_more": self.more,
            "pay_less": self.less,
            "pay_nothing": self.nothing,
            "largest_share": None if self.largest is None else round(float(self.largest), 6),
            "customers": [
                {
                    "customer": name,
                    "now": decimal_text(now),
                    "then": decimal_text(then),
                    "difference": decimal_text(then - now),
                }
                for name, (now, then) in sorted(
                    self.customers.items(), key=lambda each: each[1][0] - each[1][1]
                )
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """All business models over one month and currency."""

    period: str
    currency: str
    unit: str
    used: Mapping[str, Used]
    models: Sequence[Compared]

    @property
    def now(self) -> Fraction:
        """What is earned as it is."""
        return sum((each.now for each in self.used.values()), Fraction(0))

    def to_json(self) -> dict[str, Any]:
        """As ``replay --compare-models --json`` says it; amounts are decimal strings."""
        return {
            "period": self.period,
            "currency": self.currency,
            "unit": self.unit,
            "customers": len(self.used),
            "units": sum(each.units for each in self.used.values()),
            "confident_units": sum(each.confident for each in self.used.values()),
            "revenue_now": decimal_text(self.now),
            "models": [each.to_json() for each in self.models],
        }


def usual(used: Mapping[str, Used], confidence: str = CONFIDENCE) -> list[Offer]:
    """Every business model, sized by what the customer in the middle uses.

    That many units are free (``freemium``) or a package (``prepaid``); units are cheaper by a fifth
    from ten times as many on, and by two fifths from a hundred times on (``volume``).
    """
    size = _middle([each.units for each in used.values() if each.units])
    tiers = (Tier("1", _TENFOLD * size), Tier("0.8", _HUNDREDFOLD * size), Tier("0.6"))
    offers = {
        "freemium": Offer("freemium", size=size),
        "prepaid": Offer("prepaid", size=size),
        "volume": Offer("volume", tiers=tiers),
        "outcome": Offer("outcome", confidence=confidence),
    }
    return [offers.get(kind, Offer(kind)) for kind in KINDS]


def _middle(units: Sequence[int]) -> int:
    """The lower median, rounded down to its first digit: 1,234 is 1,000."""
    if not units:
        return 1
    middle = sorted(units)[(len(units) - 1) // 2]
    digit = int(10 ** (len(str(middle)) - 1))
    return middle // digit * digit


def compared(offer: Offer, used: Mapping[str, Used], cost: Known) -> Compared:
    """A business model over what was used, at its price or at the one that earns as much."""
    shares = {name: offer.charged(each.units, each.confident) for name, each in used.items()}
    total = sum(shares.values(), Fraction(0))
    price: Fraction | None
    if offer.price is not None:
        price = parse_exact(offer.price)
    elif total:
        price = sum((each.now for each in used.values()), Fraction(0)) / total
    else:
        price = None
    customers = {
        name: (each.now, shares[name] * (price or 0)) for name, each in sorted(used.items())
    }
    known, unknown = cost
    return Compared(offer, price, customers=customers, cost=known, unknown=unknown)


def most_used(units: Mapping[str, int]) -> str | None:
    """The kind of unit that there is most of; the first by name of those alike."""
    return min(units, key=lambda unit: (-units[unit], unit)) if units else None


def sized(offers: Sequence[Offer], used: Mapping[str, Used]) -> list[Offer]:
    """Offers of a file, in which what is left out (0, or no tier) is as it is in the usual ones."""
    others = {each.kind: each for each in usual(used)}
    return [
        replace(
            each,
            size=each.size or others[each.kind].size,
            tiers=each.tiers or others[each.kind].tiers,
        )
        for each in offers
    ]


def added(units: Sequence[Mapping[tuple[str, str], int]]) -> Counter[str]:
    """Units by kind, of all products together."""
    found: Counter[str] = Counter()
    for each in units:
        for (__, unit), count in each.items():
            found[unit] += count
    return found
