"""Business models as a TOML file: those that are named are compared, at their own prices."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mintage.capture.books.business_models import CONFIDENCE, KINDS, Kind, Offer
from mintage.capture.pricing.charges import Charge, Tier
from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _
from mintage.core.money import parse_exact


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _TierTable(_Table):
    times: str
    up_to: int | None = None


class _OfferTable(_Table):
    """One table, named after the model; what it leaves out is worked out from the usage."""

    price: str | None = None
    size: int = Field(default=0, ge=0, le=10**15)
    tiers: list[_TierTable] = []
    confidence: str = CONFIDENCE

    def offer(self, kind: Kind) -> Offer:
        """What the table says.

        Raises:
            ConfigError: no amount, no share, or tiers that cannot be.
        """
        price, confidence = self.price, parse_exact(self.confidence)
        if (price is not None and parse_exact(price) < 0) or not 0 <= confidence <= 1:
            raise ConfigError(
                _("A price is 0 or more, and a confidence from 0 to 1."),
                remedy=_('Write price = "0.02" and confidence = "0.9".'),
            )
        tiers = tuple(Tier(each.times, each.up_to) for each in self.tiers)
        if tiers:
            Charge("unit", tiers, "volume")
        return Offer(kind, price, self.size, tiers, self.confidence)


def read(path: Path) -> list[Offer]:
    """The business models of a file, in its order.

    Raises:
        ConfigError: no such file, or models that cannot be.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error)),
            remedy=_("Name a TOML file with business models."),
        ) from error
    except ValueError as error:
        raise ConfigError(
            _("{path} is not TOML: {reason}.", path=path, reason=str(error)),
            remedy=_('Write [subscription] and price = "29", for example.'),
        ) from error
    unknown = sorted(set(said) - set(KINDS))
    if unknown or not said:
        raise ConfigError(
            _(
                "{path}: there is no business model {name!r}.",
                path=path,
                name=next(iter(unknown), ""),
            ),
            remedy=_("There are: {models}.", models=", ".join(KINDS)),
        )
    try:
        return [
            _OfferTable.model_validate(said[kind]).offer(kind) for kind in KINDS if kind in said
        ]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(
            _("{path}: {place} cannot be {given!r}.", path=path, place=place, given=first["input"]),
            remedy=_('Amounts are texts: price = "0.02"; size is a number of units.'),
        ) from error
