"""The verbs of economics beyond one month's margin: other ways to charge for what was used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mintage.app.training_costs import TrainingCosts
from mintage.capture.books import business_models_file
from mintage.capture.books.business_models import CONFIDENCE, Comparison
from mintage.capture.books.cohorts import Cohort, Standing, cohorts, standings
from mintage.capture.books.comparing import BusinessModels
from mintage.capture.books.economics import Earned, Economics, why_unknown
from mintage.capture.books.histories import Histories
from mintage.capture.books.write_off import BreakEven, break_even, written_off
from mintage.capture.pricing.periods import Period
from mintage.core.clock import Clock
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.core.money import Price, parse_exact
from mintage.store.workspace import Workspace

MONTHS = 12
"""Over how many months training is written off, if nothing else is said."""


@dataclass(frozen=True)
class BrokenEven:
    """What each product takes to earn its fixed costs, and whose training nobody knows.

    ``reasons`` say of which calls the cost is not known, and what has to be said for that.
    """

    period: str
    months: int
    products: Sequence[BreakEven]
    unknown: Sequence[str]
    reasons: Sequence[Message]


class Economy:
    """How value is captured, and how else it could be."""

    def __init__(self, workspace: Workspace, hour_cost: Callable[[], Price | None]) -> None:
        """``hour_cost`` is what an hour of one processor costs."""
        self._workspace = workspace
        self._hour_cost = hour_cost
        self._trainings = TrainingCosts(workspace)

    def compare(
        self,
        period: str,
        path: Path | None = None,
        *,
        unit: str | None = None,
        confidence: str = CONFIDENCE,
    ) -> list[Comparison]:
        """A month's usage under other business models: all of them, or those of a file.

        Raises:
            ConfigError: no month, no such file or unit, or no confidence from 0 to 1.
        """
        if not 0 <= parse_exact(confidence) <= 1:
            raise ConfigError(
                _("A confidence is from 0 to 1, not {confidence}.", confidence=confidence),
                remedy=_("Write it as 0.9."),
            )
        offers = None if path is None else business_models_file.read(path)
        models = BusinessModels(self._workspace.database, self._workspace.clock)
        return models.month(
            begun(period, self._workspace.clock),
            self._hour_cost(),
            unit=unit,
            confidence=confidence,
            offers=offers,
        )

    def write_off(
        self, rows: Sequence[Earned], period: str, months: int, costs: Sequence[str] = ()
    ) -> tuple[list[Earned], list[str]]:
        """A month's rows with what is written off of training, and versions of unknown cost.

        ``costs`` say what versions cost in place of their runs: ``pets@3=1200 EUR``.

        Raises:
            ConfigError: no number of months, or no cost.
        """
        trainings, unknown = self._trainings.all(self._hour_cost(), months, costs)
        return written_off(rows, trainings, Period.parse(period)), unknown

    def break_even(
        self,
        period: str,
        months: int = MONTHS,
        costs: Sequence[str] = (),
        fixed: str | None = None,
    ) -> BrokenEven:
        """How many calls a month earn each product's fixed costs, by what a month's calls earned.

        ``fixed`` is an amount a month that each product has to earn besides: ``500 EUR``.

        Raises:
            ConfigError: no month, no number of months, no amount, or nothing costs what is known.
        """
        hour_cost = self._hour_cost()
        database, clock = self._workspace.database, self._workspace.clock
        month = begun(period, clock)
        trainings, unknown = self._trainings.all(hour_cost, months, costs)
        rows = Economics(database, clock).month(month, hour_cost)
        if hour_cost is None and all(row.cost is None for row in rows):
            usual = _("Set MINTAGE_COMPUTE_COST to what an hour of one processor costs you.")
            raise ConfigError(
                _("What computing costs is not known, so no call has a margin."),
                remedy=next(iter(why_unknown(rows)), usual),
            )
        besides = None if fixed is None else _amount(fixed)
        products = break_even(written_off(rows, trainings, month), trainings, besides)
        return BrokenEven(str(month), months, products, unknown, why_unknown(rows))

    def customers(self, period: str) -> dict[str, list[Standing]]:
        """Where each customer stands at the end of a month, by currency.

        Raises:
            ConfigError: no month.
        """
        month = begun(period, self._workspace.clock)
        histories = Histories(self._workspace.database, self._workspace.clock).until(month)
        found = {currency: standings(each, month) for currency, each in sorted(histories.items())}
        return {currency: each for currency, each in found.items() if each}

    def cohorts(self, until: str | None = None) -> dict[str, list[Cohort]]:
        """How those who came in one month stay, up to a month (this one, if not said).

        Raises:
            ConfigError: no month.
        """
        now = Period.containing(self._workspace.clock.now(), "UTC")
        month = now if until is None else begun(until, self._workspace.clock)
        histories = Histories(self._workspace.database, self._workspace.clock).until(month)
        found = {currency: cohorts(each, month) for currency, each in sorted(histories.items())}
        return {currency: each for currency, each in found.items() if each}


def begun(text: str, clock: Clock) -> Period:
    """A month of which there is something to be told.

    Raises:
        ConfigError: no month, or one that has not begun.
    """
    period = Period.parse(text)
    if period > Period.containing(clock.now(), "UTC"):
        raise ConfigError(
            _("{period} has not begun.", period=period),
            remedy=_("Name this month, or one that is over."),
        )
    return period


def _amount(said: str) -> tuple[Fraction, str]:
    """``500 EUR``.

    Raises:
        ConfigError: no amount of 0 or more, or no currency.
    """
    text, __, currency = said.partition(" ")
    exponent_of(currency)
    return Price(text, currency).times(1), currency
