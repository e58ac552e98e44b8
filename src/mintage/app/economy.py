"""The verbs of economics beyond one month's margin: other ways to charge for what was used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mintage.capture.books import business_models_file
from mintage.capture.books.business_models import CONFIDENCE, Comparison
from mintage.capture.books.comparing import BusinessModels
from mintage.capture.pricing.periods import Period
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Price, parse_exact
from mintage.store.workspace import Workspace


class Economy:
    """How value is captured, and how else it could be."""

    def __init__(self, workspace: Workspace, hour_cost: Callable[[], Price | None]) -> None:
        """``hour_cost`` is what an hour of one processor costs."""
        self._workspace = workspace
        self._hour_cost = hour_cost

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
            Period.parse(period), self._hour_cost(), unit=unit, confidence=confidence, offers=offers
        )
