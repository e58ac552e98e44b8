"""The verbs of money over one workspace: plans from files, and what they would come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mintage.app.capturing import Capturing
from mintage.capture import repository
from mintage.capture.plans import Plan
from mintage.capture.pricing import terms_file
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.simulate import Simulated, simulate
from mintage.capture.pricing.terms import Terms
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.settings import Settings
from mintage.core.types import EXPLANATION
from mintage.core.units import Reference
from mintage.store.workspace import Workspace

_ANY = "any"  # a product that no price names


@dataclass(frozen=True)
class Simulation:
    """What some numbers of units would come to; ``seconds_each`` is what one takes to answer."""

    plan: str
    product: str | None
    unit: str
    rows: Sequence[Simulated]
    seconds_each: float | None


class Billing:
    """What is agreed, and what it comes to."""

    def __init__(self, workspace: Workspace, settings: Settings, capture: Capturing) -> None:
        self._workspace = workspace
        self._settings = settings
        self._capture = capture

    def set_plan(self, path: Path, name: str | None = None) -> Plan:
        """Put the terms of a TOML file in force, under the file's own name unless one is given.

        Raises:
            ConfigError: no plan is in the file.
        """
        return self._capture.plans.agree(name or path.stem, terms_file.read(path))

    def plan(self, reference: str) -> Plan:
        """A plan by ``name`` or ``name@version``.

        Raises:
            RequestError: there is none (404).
        """
        wanted = Reference.parse(reference, mark="@", kind="plan")
        version = wanted.version
        if version is not None and not version.isdecimal():
            raise ConfigError(
                _("Not a version of a plan: {version!r}.", version=version),
                remedy=_("Write it as {name}@1.", name=wanted.name),
            )
        return self._capture.plans.find(wanted.name, None if version is None else int(version))

    def simulate(
        self, reference: str, units: Sequence[int], product: str | None = None
    ) -> Simulation:
        """What a month of each number of units comes to under a plan, or under a file of terms.

        Raises:
            ConfigError: no plan, or one that charges for nothing of that product.
            RequestError: there is no such plan (404).
        """
        name, version, terms = self._terms(reference)
        unit = next((u for u in terms.charges_of(product or _ANY) if u != EXPLANATION), None)
        if unit is None:
            raise ConfigError(
                _("The plan {plan} charges for no unit of it.", plan=reference)
                if product
                else _("The plan {plan} charges for no unit of every product.", plan=reference),
                remedy=_("Name a product that it has a price for: --product NAME"),
            )
        seconds = self._seconds_each(product)
        rows = simulate(
            name,
            version,
            terms,
            product=product or _ANY,
            unit=unit,
            units=units,
            cost_each=self._cost(seconds, terms.currency),
            period=Period.containing(self._workspace.clock.now(), terms.timezone),
        )
        return Simulation(f"{name}@{version}", product, unit, rows, seconds)

    def _terms(self, reference: str) -> tuple[str, int, Terms]:
        path = Path(reference)
        if path.suffix == ".toml":
            return path.stem, 1, terms_file.read(path)
        plan = self.plan(reference)
        return plan.name, plan.version, plan.terms

    def _seconds_each(self, product: str | None) -> float | None:
        """How long one answered call computed, on average; None where none was."""
        with self._workspace.database.read() as connection:
            calls, seconds = repository.computed(connection, product)
        return seconds / calls if calls else None

    def _cost(self, seconds: float | None, currency: str) -> Fraction | None:
        """What so much computing costs, where that is known in this currency."""
        said = self._settings.compute_cost
        if said is None or seconds is None:
            return None
        hour = hourly(said)
        return hour.times(1) * Fraction(seconds) / 3600 if hour.currency == currency else None


def hourly(said: str) -> Price:
    """What an hour of computing costs, from ``0.05 EUR``.

    Raises:
        ConfigError: no amount and currency.
    """
    amount, __, currency = said.partition(" ")
    try:
        exponent_of(currency)
        return Price(amount, currency)
    except ConfigError as error:
        raise ConfigError(
            _("MINTAGE_COMPUTE_COST: {reason}", reason=error.message),
            remedy=_("Write what an hour of one processor costs you, such as '0.05 EUR'."),
        ) from error
