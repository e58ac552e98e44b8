"""The tables of the gateways: what they add, how many requests a core bears, and their memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.common import Result
from benchmarks.figures import (
    Line,
    Show,
    at_least,
    at_most,
    megabytes,
    number,
    rate,
    spread,
    table,
    times,
    values_of,
)
from benchmarks.kept import Kept

NAMES = {
    "direct": "the upstream itself",
    "mintage": "Mintage, everything on",
    "litellm": "LiteLLM, without its database",
}
_TIMES_LITELLM, _MOST_ADDED_SECONDS, _MOST_GROWN = 5.0, 0.003, 1.05


def throughput(kept: Kept) -> list[str]:
    """How many times LiteLLM's requests a core bears, and what a customer waits for then."""
    found: list[Line] = []
    for load in _loads(kept):
        if pairs := _pairs(kept, "mintage", "litellm", load):
            ratios = [ours["processor_rate"] / theirs["processor_rate"] for ours, theirs in pairs]
            what = f"{load}: requests a second per core, Mintage / LiteLLM"
            found.append(at_least(what, ratios, times, _TIMES_LITELLM))
    for load in _loads(kept):
        found += _added(kept, load)
    found += _failed(kept)
    return [*table(found), "", *_rows(kept, _rates)]


def latency(kept: Kept) -> list[str]:
    """What each gateway adds to the upstream's own time, until all of it, or its first part."""
    found: list[Line] = []
    for load in _loads(kept):
        found += _added(kept, load, first=load.startswith("streams"))
    found += _failed(kept)
    return [*table(found), "", *_rows(kept, _waits)]


def memory(kept: Kept) -> list[str]:
    """The last quarter of the samples beside the first, and each sample."""
    found: list[Line] = []
    samples: list[str] = []
    for side in kept.sides:
        results = kept.of(side)
        grown = [_grown(each["resident"][1:]) for each in results]
        highest = values_of(results, "highest")
        found += [
            at_most(f"{side}: memory, last quarter / first quarter", grown, times, _MOST_GROWN),
            Line(f"{side}: highest memory", highest, megabytes),
            Line(f"{side}: requests", values_of(results, "rate"), rate),
            _none(f"{side}: failed", values_of(results, "failures")),
        ]
        shown = ", ".join(f"{value / 1e6:,.1f}" for value in results[0]["resident"])
        samples.append(f"{side}, MB at the start and after each part: {shown}.")
    return [*table(found), "", *samples]


def _grown(values: Sequence[float]) -> float:
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) / statistics.median(values[:quarter])


def _added(kept: Kept, load: str, *, first: bool = False) -> list[Line]:
    """p50, with its target where it is ours, and p99, of each gateway beside the upstream."""
    found: list[Line] = []
    what = "first token, added" if first else "added"
    for who, words in (("mintage", "Mintage"), ("litellm", "LiteLLM")):
        pairs = _pairs(kept, who, "direct", load)
        if first:
            pairs = [(one["first"], other["first"]) for one, other in pairs]
        for name in ("p50", "p99"):
            values = [one[name] - other[name] for one, other in pairs]
            if not values:
                continue
            line = f"{load}: {words}, {what}, {name}"
            aimed = who == "mintage" and name == "p50"
            found.append(
                at_most(line, values, _fine, _MOST_ADDED_SECONDS)
                if aimed
                else Line(line, values, _fine)
            )
    return found


def _fine(seconds: float) -> str:
    """Of seconds: 2.14 ms."""
    return f"{1000 * seconds:.2f} ms"


def _failed(kept: Kept) -> list[Line]:
    """Every request that did not get its whole answer, of each who was asked."""
    return [
        _none(
            f"{NAMES[who]}: failed",
            [sum(one["failures"] for one in each["loads"].values()) for each in kept.of(who)],
        )
        for who in NAMES
        if kept.of(who)
    ]


def _none(what: str, values: Sequence[float]) -> Line:
    """What must not happen once, in no repetition."""
    return Line(what, values, number, "none", max(values) == 0)


def _loads(kept: Kept) -> list[str]:
    """The names of all loads, in the order in which they were put."""
    return list(
        dict.fromkeys(load for who in kept.sides for one in kept.of(who) for load in one["loads"])
    )


def _pairs(kept: Kept, first: str, second: str, load: str) -> list[tuple[Any, Any]]:
    """Results of one load of two sides, of the same seed."""
    return [
        (one["loads"][load], other["loads"][load])
        for one, other in kept.both(first, second)
        if load in one["loads"] and load in other["loads"]
    ]


_rates: dict[str, tuple[str, Show]] = {
    "rate": ("requests a second", number),
    "processor_rate": ("for each second of the processor", number),
    "p50": ("p50", _fine),
    "p99": ("p99", _fine),
}
_waits: dict[str, tuple[str, Show]] = {
    "requests": ("requests", number),
    "p50": ("p50", _fine),
    "p99": ("p99", _fine),
    "first p50": ("first token, p50", _fine),
    "first p99": ("first token, p99", _fine),
}


def _rows(kept: Kept, columns: dict[str, tuple[str, Show]]) -> Iterator[str]:
    """What each of them was seen to do, load by load."""
    yield f"| | {' | '.join(words for words, __ in columns.values())} |"
    yield "|---" * (len(columns) + 1) + "|"
    for load in _loads(kept):
        for who, words in NAMES.items():
            results = [one["loads"][load] for one in kept.of(who) if load in one["loads"]]
            if results:
                cells = [_cell(results, name, show) for name, (__, show) in columns.items()]
                yield f"| {load}: {words} | {' | '.join(cells)} |"


def _cell(results: Sequence[Result], name: str, show: Show) -> str:
    first, __, key = name.partition(" ")
    if key:
        results = [each[first] for each in results if each[first]]
        return spread(values_of(results, key), show) if results else ""
    return spread(values_of(results, name), show)
