"""Plans: what a unit costs. A change makes a new version; what was used before keeps its price."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from mintage.capture import repository
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, RequestError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.types import Rate
from mintage.core.units import check_name, parse_rate
from mintage.store.engine import Database
from mintage.trust import audit

DEFAULT_PLAN = "standard"
DEFAULT_PRICE = "0.02"
DEFAULT_CURRENCY = "EUR"
_HIGHEST_PRICE = 10**12  # so that every product with a quantity has an exact decimal string


@dataclass(frozen=True)
class Plan:
    """One version of a price agreement: ``price.amount`` for every ``price.per`` of ``unit``.

    ``explanation`` is what an explanation costs besides; 0 where it is included. ``rate`` is how
    many calls a customer may make in a while; None where they are not counted.
    """

    name: str
    version: int
    unit: str
    price: Price
    explanation: Price
    created_at: str
    rate: Rate | None = None

    def to_json(self) -> dict[str, Any]:
        """The plan as lists, rows and the audit log hold it; the price is a decimal string."""
        return {
            "name": self.name,
            "version": self.version,
            "unit": self.unit,
            "price": self.price.amount,
            "per": self.price.per,
            "explanation_price": self.explanation.amount,
            "currency": self.price.currency,
            "rate": None if self.rate is None else str(self.rate),
            "created_at": self.created_at,
        }

    @classmethod
    def from_row(cls, row: repository.Values) -> Plan:
        """Read a plan's row."""
        price = Price(row["price"], row["currency"], row["per"])
        explanation = Price(row["explanation_price"], row["currency"])
        rate = parse_rate(row["rate"]) if row["rate"] else None
        return cls(
            row["name"], row["version"], row["unit"], price, explanation, row["created_at"], rate
        )


class Plans:
    """The plans of a workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def set(
        self,
        name: str,
        price: str,
        currency: str,
        *,
        unit: str = "image",
        per: int = 1,
        explanation: str = "0",
        rate: Rate | None = None,
    ) -> Plan:
        """Put a price in force; a new version only where it differs from the one that stands.

        Raises:
            ConfigError: not a name, a decimal price, an ISO 4217 code or a unit.
        """
        check_name(name, "plan")
        agreed = _checked_price(price, currency, per)
        besides = _checked_price(explanation, currency, 1)
        if not re.fullmatch(r"[a-z][a-z_]{0,19}", unit):
            raise ConfigError(
                _("Not a unit: {unit!r}.", unit=unit), remedy=_("Write it as image or input_token.")
            )

        def work(connection: repository.Connection) -> Plan:
            row = repository.current_plan(connection, name)
            standing = Plan.from_row(row) if row else None
            # Inside the transaction, so that versions and times have one order.
            now = timestamp(self._clock.now())
            plan = Plan(name, 1, unit, agreed, besides, now, rate)
            if standing:
                if replace(standing, version=1, created_at=now) == plan:
                    return standing
                plan = replace(plan, version=standing.version + 1)
            repository.add_plan(connection, plan.to_json())
            audit.append(connection, "plan.set", plan.to_json())
            return plan

        return self._database.write(work)

    def current(self, name: str) -> Plan:
        """The version in force now.

        Raises:
            RequestError: no such plan (404).
        """
        with self._database.read() as connection:
            row = repository.current_plan(connection, name)
        if row is None:
            raise RequestError(
                _("There is no plan {name!r}.", name=name),
                remedy=_("Name one that exists, or set its price first."),
                http_status=404,
            )
        return Plan.from_row(row)

    def list(self) -> Sequence[Plan]:
        """Every version of every plan, by name and version."""
        with self._database.read() as connection:
            return [Plan.from_row(row) for row in repository.all_plans(connection)]

    def ensure_default(self) -> Plan:
        """The plan ``standard`` as it stands, made at 0.02 EUR an image where there is none."""
        with self._database.read() as connection:
            row = repository.current_plan(connection, DEFAULT_PLAN)
        if row:
            return Plan.from_row(row)
        return self.set(DEFAULT_PLAN, DEFAULT_PRICE, DEFAULT_CURRENCY)


def _checked_price(amount: str, currency: str, per: int) -> Price:
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ConfigError(
            _("Not a currency: {currency!r}.", currency=currency),
            remedy=_("Write its ISO 4217 code, such as EUR."),
        )
    exact = Price(amount, currency).times(1)
    if exact >= _HIGHEST_PRICE:
        raise ConfigError(
            _(
                "A price is below {highest_price:,}, not {amount}.",
                highest_price=_HIGHEST_PRICE,
                amount=amount,
            ),
            remedy=_("Write it in major units, such as 0.02."),
        )
    # One spelling of each price (0.020 is 0.02), or the same price would be a new version.
    plain = Price(amount, currency).text_for(1)
    if Fraction(plain) != exact:
        raise ConfigError(
            _("A price has at most 18 decimals: {amount}.", amount=amount),
            remedy=_("State it for a larger quantity: 0.27 for 1,000,000."),
        )
    return Price(plain, currency, per)
