"""Plans: what is agreed. A change makes a new version; what was used before keeps its price."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mintage.capture import repository
from mintage.capture.limits.repository import forget_counts
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import canonical_json
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.types import EXPLANATION, Rate
from mintage.core.units import check_name, parse_rate
from mintage.store.engine import Database
from mintage.trust import audit
from mintage.trust.keys import KeyRing
from mintage.trust.renewing import KeptFile, Renewing
from mintage.trust.statements import ROLES, keep_signed

DEFAULT_PLAN = "standard"
DEFAULT_PRICE = "0.02"
DEFAULT_CURRENCY = "EUR"


@dataclass(frozen=True)
class Plan:
    """One version of a price agreement."""

    name: str
    version: int
    terms: Terms
    created_at: str

    @property
    def reference(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    @property
    def rate(self) -> Rate | None:
        """How many calls a customer may make in a while; None where they are not counted."""
        return None if self.terms.rate is None else parse_rate(self.terms.rate)

    @property
    def token_rate(self) -> Rate | None:
        """How many tokens a customer may use in a while; None where they are not counted."""
        return None if self.terms.token_rate is None else parse_rate(self.terms.token_rate)

    def prices(self, product: str) -> dict[str, Price]:
        """What one unit of each kind costs before anything is used and nothing included."""
        found = {}
        for unit, charge in self.terms.charges_of(product).items():
            amount, per = charge.list_price
            found[unit] = Price(amount, self.terms.currency, per)
        return found

    def unit(self, product: str) -> str | None:
        """What a call of this product is counted in; None where nothing is charged for it."""
        return next((unit for unit in self.prices(product) if unit != EXPLANATION), None)

    def offer(self, product: str) -> dict[str, Any]:
        """What a product costs by it, in a few words: what the first unit would."""
        prices, unit = self.prices(product), self.unit(product)
        first = prices.get(unit or "", Price("0", self.terms.currency))
        besides = prices.get(EXPLANATION)
        return {
            "name": self.name,
            "version": self.version,
            "unit": unit or "call",
            "price": first.amount,
            "per": first.per,
            "prices": {
                name: {"amount": each.amount, "per": each.per}
                for name, each in prices.items()
                if name != EXPLANATION
            },
            "explanation_price": "0" if besides is None else besides.amount,
            "currency": self.terms.currency,
            "rate": self.terms.rate,
            "created_at": self.created_at,
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as lists and the audit log hold it; amounts are decimal strings."""
        named = {"name": self.name, "version": self.version, "created_at": self.created_at}
        return named | self.terms.to_json()

    def to_row(self) -> repository.Values:
        """The plan as its row holds it."""
        return {
            "name": self.name,
            "version": self.version,
            "terms": canonical_json(self.terms.to_json()).decode(),
            "created_at": self.created_at,
        }

    @classmethod
    def from_row(cls, row: repository.Values) -> Plan:
        """Read a plan's row."""
        terms = Terms.from_json(json.loads(row["terms"]))
        return cls(row["name"], row["version"], terms, row["created_at"])


class Plans:
    """The plans of a workspace."""

    def __init__(self, database: Database, clock: Clock, keys: KeyRing) -> None:
        """``keys`` sign each version, so that a customer can show what was agreed."""
        self._database = database
        self._clock = clock
        self._keys = keys
        self._renewing = Renewing(database, keys, lambda: timestamp(clock.now()))

    def agree(self, name: str, terms: Terms) -> Plan:
        """Put terms in force; a new version only where they differ from those that stand.

        Raises:
            ConfigError: not a name.
        """
        check_name(name, "plan")
        terms, signer = terms.plainly(), self._keys.signer(ROLES["plan"])

        def work(connection: repository.Connection) -> Plan:
            row = repository.current_plan(connection, name)
            standing = Plan.from_row(row) if row else None
            if standing is not None and standing.terms == terms:
                return standing
            # Inside the transaction, so that versions and times have one order.
            plan = Plan(name, 1, terms, timestamp(self._clock.now()))
            if standing is not None:
                plan = replace(plan, version=standing.version + 1)
            repository.add_plan(connection, plan.to_row())
            forget_counts(connection, plan=name)  # what is limited may be something else now
            audit.append(connection, "plan.set", plan.to_json())
            keep_signed(connection, "plan", plan.to_json(), signer)
            return plan

        return self._database.write(work)

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
        """Put a price for each unit in force, and one for each explanation besides.

        Raises:
            ConfigError: not a name, a decimal price, an ISO 4217 code or a unit.
        """
        text = None if rate is None else str(rate)
        terms = Terms.per_unit(unit, price, currency, per=per, explanation=explanation, rate=text)
        return self.agree(name, terms)

    def current(self, name: str) -> Plan:
        """The version in force now.

        Raises:
            RequestError: no such plan (404).
        """
        return self.find(name)

    def find(self, name: str, version: int | None = None) -> Plan:
        """A version of a plan; the newest, where none is named.

        Raises:
            RequestError: no such plan, or no such version of it (404).
        """
        with self._database.read() as connection:
            return found(connection, name, version)

    def signed(self, plan: Plan) -> KeptFile:
        """The file in which a version of a plan is signed; see ``Renewing.document``.

        Raises:
            DataError: there is none.
            SignatureMismatch: its key was revoked as of a moment before the log had it.
        """
        return self._renewing.document(f"plan/{plan.reference}")

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


def found(connection: repository.Connection, name: str, version: int | None = None) -> Plan:
    """A version of a plan; the newest, where none is named.

    Raises:
        RequestError: no such plan, or no such version of it (404).
    """
    row = repository.current_plan(connection, name)
    if row is None:
        raise RequestError(
            _("There is no plan {name!r}.", name=name),
            remedy=_("Name one that exists, or set its price first."),
            http_status=404,
        )
    if version is not None and version != row["version"]:
        newest, row = row["version"], repository.plan_version(connection, name, version)
        if row is None:
            raise RequestError(
                _("There is no version {version} of the plan {name}.", version=version, name=name),
                remedy=_("Its newest is {newest}.", newest=newest),
                http_status=404,
            )
    return Plan.from_row(row)
