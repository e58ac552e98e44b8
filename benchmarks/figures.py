"""A figure beside its target, as a row of a table: median and range, reached or not."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Show = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """One figure; ``reached`` is None where there is no target."""

    what: str
    values: Sequence[float]
    show: Show
    target: str = ""
    reached: bool | None = None

    def row(self) -> str:
        """As it stands in a table."""
        verdict = {True: "reached", False: "**not reached**", None: ""}[self.reached]
        shown = spread(self.values, self.show)
        return f"| {self.what} | {len(self.values)} | {shown} | {self.target} | {verdict} |"


def values_of(results: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """One number of each result."""
    return [float(result[key]) for result in results]


def spread(values: Sequence[float], show: Show) -> str:
    """Median and range."""
    if len(values) == 1:
        return show(values[0])
    return f"{show(statistics.median(values))} ({show(min(values))} to {show(max(values))})"


def share(value: float) -> str:
    """71.4%."""
    return f"{value:.1%}"


def times(value: float) -> str:
    """0.58 ×."""
    return f"{value:.2f} ×"


def seconds(value: float) -> str:
    """12.3 s."""
    return f"{value:.1f} s"


def points(value: float) -> str:
    """Differences of accuracy, given as shares: +9.4 points."""
    return f"{100 * value:+.1f} points"


def rate(value: float) -> str:
    """2,979 a second."""
    return f"{value:,.0f}/s"


def milliseconds(value: float) -> str:
    """Of seconds: 12.3 ms."""
    return f"{1000 * value:.1f} ms"


def megabytes(value: float) -> str:
    """Of bytes: 212 MB."""
    return f"{value / 1e6:,.0f} MB"


def number(value: float) -> str:
    """2,979."""
    return f"{value:,.0f}"


def at_most(what: str, values: Sequence[float], show: Show, limit: float) -> Line:
    """A figure whose median must not be above a limit."""
    reached = statistics.median(values) <= limit
    return Line(what, values, show, f"at most {show(limit)}", reached)


def at_least(what: str, values: Sequence[float], show: Show, limit: float, aim: str = "") -> Line:
    """A figure whose median must not be below a limit."""
    reached = statistics.median(values) >= limit
    return Line(what, values, show, f"at least {show(limit)}{aim}", reached)


def table(found: Sequence[Line]) -> list[str]:
    """Rows under their heads."""
    head = ["| what | n | median (range) | target | |", "|---|---|---|---|---|"]
    return [*head, *(line.row() for line in found)]
