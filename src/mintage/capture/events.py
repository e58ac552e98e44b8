"""A usage event as it is recorded: the same fields in its row, on the log and in listings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mintage.capture import repository
from mintage.core.canonical import Spelled, canonical_json
from mintage.core.money import decimal_text, parse_exact
from mintage.core.types import PICOS

# The row names the provider; everything that people read calls it the model.
_COLUMN_NAMES = {
    "model": "provider_model",
    "model_version": "provider_version",
    "cost": "cost_picos",
}


CHARGED_OUTCOMES, ABSTAINED = ("ok", "partial"), "abstain"
_OURS_ALONE = ("cost", "cost_currency")  # what an upstream asks is no customer's business


@dataclass  # not frozen: that made one in four times the time, for every call
class UsageRecord:
    """One usage event. ``price`` is a decimal string in major units, times are in seconds.

    Unless it is ``final``, what is due for the call depends on what else is used in the month.
    """

    id: str
    origin: str
    receipt: str
    customer: str
    api_key: str
    product: str
    alias: str
    model: str
    model_version: str
    bundle_digest: str
    outcome: str
    quantities: Mapping[str, int]
    input_sha256: str
    output_sha256: str
    probability: float | None
    abstained: bool
    latency_seconds: float
    compute_seconds: float
    plan: str
    plan_version: int
    price: str
    currency: str
    final: bool
    recorded_at: str
    counted_by: str = ""
    cost: str = "0"
    cost_currency: str = ""

    def to_json(self) -> dict[str, Any]:
        """The event as customers see it."""
        shown = {**vars(self), "quantities": dict(self.quantities)}
        for name in _OURS_ALONE:
            del shown[name]
        return shown

    def logged(self) -> dict[str, Any]:
        """The event as operators see it; with ``kind`` it is the record of its leaf."""
        return {**vars(self), "quantities": dict(self.quantities)}

    def spelled(self) -> Spelled:
        """The same for its leaf and its receipt, which say most of it alike."""
        return Spelled.of(self.logged())

    def to_row(self, log_position: int) -> list[Any]:
        """The event as its row holds it: ``repository.EVENT_COLUMNS``."""
        said = vars(self)
        row = [said[name] for name in _IN_ROW]
        row[_QUANTITIES] = canonical_json(dict(self.quantities)).decode()
        row[_COST] = picos_of(self.cost)
        row.append(log_position)
        return row

    @classmethod
    def from_row(cls, row: repository.Values) -> UsageRecord:
        """Read an event's row."""
        values = {name: row[_COLUMN_NAMES.get(name, name)] for name in _NAMES}
        cost = decimal_text(Fraction(row["cost_picos"], PICOS))
        return cls(**values | {"quantities": json.loads(row["quantities"]), "cost": cost})


@lru_cache(maxsize=4096)
def picos_of(cost: str) -> int:
    """A cost as its row holds it, in 10⁻¹²."""
    return int(parse_exact(cost) * PICOS)


def is_charged(outcome: str, *, charge_abstained: bool) -> bool:
    """Whether a call that ended so is charged; of answers without a label the plan decides."""
    return outcome in CHARGED_OUTCOMES or (outcome == ABSTAINED and charge_abstained)


_NAMES = [field.name for field in fields(UsageRecord)]
NAME_OF_COLUMN = {column: name for name, column in _COLUMN_NAMES.items()}
_IN_ROW = [
    NAME_OF_COLUMN.get(column, column)
    for column in repository.EVENT_COLUMNS
    if column != "log_position"
]
_QUANTITIES, _COST = _IN_ROW.index("quantities"), _IN_ROW.index("cost")
