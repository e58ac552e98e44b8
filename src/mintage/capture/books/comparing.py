"""Business models compared on what was recorded: from months and events to who would pay what."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.business_models import (
    CONFIDENCE,
    Comparison,
    Offer,
    Used,
    added,
    compared,
    most_used,
    sized,
    usual,
)
from mintage.capture.books.costs import Known
from mintage.capture.books.replay import Months, months_by_customer, spent_in, spent_on
from mintage.capture.events import is_charged
from mintage.capture.hours.rollup import Rollup
from mintage.capture.pricing.periods import Period
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.store.engine import Database

Sure = dict[tuple[str, str, int, str], int]
"""By customer, plan, its version and unit."""


class BusinessModels:
    """Prices what was recorded by other ways to charge."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rollup = Rollup(database, clock)

    def month(
        self,
        period: Period,
        hour_cost: Price | None,
        *,
        unit: str | None = None,
        confidence: str = CONFIDENCE,
        offers: Sequence[Offer] | None = None,
    ) -> list[Comparison]:
        """A month's usage under other business models, by the currency that is paid in.

        ``unit`` is what they count (what there is most of, if not said). ``offers`` are compared in
        place of the usual ones.

        Raises:
            ConfigError: nothing was counted in that unit.
        """
        until = self._rollup.catch_up()
        thresholds = {each.confidence for each in offers or () if each.kind == "outcome"}
        threshold = next(iter(thresholds), confidence)
        with self._database.read() as connection:
            found = months_by_customer(connection, period, until)
            spent = spent_in(connection, found, period, until)
            sure = confident_units(connection, found, period, until, threshold)
        counted = added([month.part.usage for months in found.values() for month in months])
        kind = unit or most_used(counted)
        if kind is None or (counted and kind not in counted):
            raise ConfigError(
                _("Nothing was counted in {unit!r} in {period}.", unit=unit or "", period=period),
                remedy=_("Counted were: {units}.", units=", ".join(sorted(counted)) or "—"),
            )
        return [
            _comparison(
                period,
                currency,
                kind,
                used,
                spent_on(found, currency, spent).known(currency, hour_cost),
                offers,
            )
            for currency, used in sorted(_used(found, period, kind, sure).items())
        ]


def confident_units(
    connection: repository.Connection,
    months: Months,
    period: Period,
    until: int,
    confidence: str,
) -> Sure:
    """Units of charged calls that were answered at least so surely, by customer, plan and unit."""
    found: Sure = defaultdict(int)
    for zone in sorted({each.plan.terms.timezone for some in months.values() for each in some}):
        begin, end = (timestamp(moment) for moment in period.bounds(zone))
        rows = repository.confident(connection, begin, end, until, float(confidence))
        by_owner = defaultdict(list)
        for row in rows:
            by_owner[row.customer, row.plan, row.plan_version].append(row)
        for (customer, __), some in months.items():
            for month in some:
                if month.plan.terms.timezone != zone:
                    continue
                owner = (customer, month.plan.name, month.plan.version)
                own = by_owner[owner]
                if month.since is not None:
                    own = repository.confident(
                        connection, month.since, end, until, float(confidence), owner
                    )
                for row in own:
                    _count(found, owner, row, charge_abstained=month.plan.terms.charge_abstained)
    return found


def _count(found: Sure, owner: tuple[str, str, int], row: Any, *, charge_abstained: bool) -> None:
    if is_charged(row.outcome, charge_abstained=charge_abstained):
        for unit, quantity in json.loads(row.quantities).items():
            found[*owner, unit] += quantity * row.events


def _used(found: Months, period: Period, unit: str, sure: Sure) -> dict[str, dict[str, Used]]:
    """By currency and customer, what is paid now and what was used."""
    by_currency: dict[str, dict[str, Used]] = defaultdict(dict)
    for (customer, name), months in found.items():
        for month in months:
            used = by_currency[month.plan.terms.currency]
            known = used.get(name, Used(Fraction(0), 0, 0))
            used[name] = Used(
                known.now + month.revenue(period),
                known.units + added([month.part.usage])[unit],
                known.confident
                + sure.get((customer, month.plan.name, month.plan.version, unit), 0),
            )
    return {
        currency: {name: each for name, each in used.items() if each.now or each.units}
        for currency, used in by_currency.items()
    }


def _comparison(
    period: Period,
    currency: str,
    unit: str,
    used: dict[str, Used],
    cost: Known,
    offers: Sequence[Offer] | None,
) -> Comparison:
    chosen = usual(used) if offers is None else sized(offers, used)
    models = [compared(each, used, cost) for each in chosen]
    return Comparison(str(period), currency, unit, used, models)
