"""The tables of serving: figures beside their targets, from what was kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.common import Result
from benchmarks.figures import (
    Line,
    at_least,
    at_most,
    megabytes,
    milliseconds,
    number,
    rate,
    seconds,
    share,
    spread,
    table,
    times,
    values_of,
)
from benchmarks.kept import Kept
from benchmarks.serving.lab import PRODUCTS

NAMES = {
    "mintage": "Mintage, everything on",
    "mintage, unmetered": "Mintage without key check, metering and receipts",
    "starlette": "Starlette by hand",
    "litserve": "LitServe, one by one",
    "litserve, batches": "LitServe, batches of 32",
    "bentoml": "BentoML, one by one",
    "bentoml, batches": "BentoML, batches of 32",
}
_RATES = (
    "answers a second",
    "at 16 and 32 connections",
    "p50",
    "p99",
    "failed",
    "answers for each second of the processor",
)
_OF_THE_LIMIT = {"seed-cnn": 0.75, "compact": 0.90}
_MB = 1_000_000


def throughput(kept: Kept) -> list[str]:
    """Our share of the limit, how many times the peers' rate it is, and all rates."""
    found = []
    for product in PRODUCTS:
        ours, limit = f"{product}: mintage", f"{product}: in-process"
        if ratios := _ratios(kept, ours, limit):
            what = f"{product}: Mintage, everything on / in-process"
            found.append(at_least(what, ratios, share, _OF_THE_LIMIT[product]))
        found += [
            at_least(f"{product}: Mintage / {NAMES[name]}", ratios, times, 2.0)
            for name in ("litserve", "litserve, batches", "bentoml", "bentoml, batches")
            if (ratios := _ratios(kept, ours, f"{product}: {name}"))
        ]
        found += [
            Line(f"{product}: Mintage / {NAMES[name]}", ratios, times)
            for name in ("starlette", "mintage, unmetered")
            if (ratios := _ratios(kept, ours, f"{product}: {name}"))
        ]
    return [*table(found), "", *_rates(kept)]


def _rates(kept: Kept) -> list[str]:
    lines = [
        f"| | {' | '.join(_RATES)} |",
        "|---" * (len(_RATES) + 1) + "|",
    ]
    for product in PRODUCTS:
        limits = [one["ways"] for one in kept.of(f"{product}: in-process")]
        for way in limits[0] if limits else ():
            both = [
                spread(values_of([one[way] for one in limits], key), number)
                for key in ("rate", "processor_rate")
            ]
            lines.append(f"| {product}: in-process, {way} | {both[0]} | | | | | {both[1]} |")
        for name, words in NAMES.items():
            if results := kept.of(f"{product}: {name}"):
                lines.append(f"| {product}: {words} | {' | '.join(_counts(results))} |")
    return lines


def _counts(results: Sequence[Result]) -> list[str]:
    return [
        spread(values_of(results, "rate"), number),
        ", ".join(
            spread(values_of([one["rates"] for one in results], each), number)
            for each in results[0]["rates"]
        ),
        spread(values_of(results, "p50"), milliseconds),
        spread(values_of(results, "p99"), milliseconds),
        number(sum(values_of(results, "failures"))),
        spread(values_of(results, "processor_rate"), number),
    ]


def latency(kept: Kept) -> list[str]:
    """How far the slowest hundredth is from the middle, with one worker and with two."""
    found = []
    for product in PRODUCTS:
        for workers in ("1", "2"):
            results = kept.of(f"{product}: {workers}")
            if not results:
                continue
            words = f"{product}, {workers} worker{'s' if workers != '1' else ''}"
            ratios = [each["p99"] / each["p50"] for each in results]
            found += [
                at_most(f"{words}: p99 / p50", ratios, times, 2.0),
                Line(f"{words}: p50", values_of(results, "p50"), milliseconds),
                Line(f"{words}: p99", values_of(results, "p99"), milliseconds),
                Line(f"{words}: answers", values_of(results, "rate"), rate),
                _none(f"{words}: failed", values_of(results, "failures")),
            ]
    alone = not any(kept.of(f"{product}: 2") for product in PRODUCTS)
    gap = "Two workers are not there yet: `mintage serve` had no `--workers`."
    return [*table(found), *(["", gap] if alone else [])]


def overload(kept: Kept) -> list[str]:
    """What is answered in time when more comes than can be, and how soon the rest is refused."""
    found = []
    for product in PRODUCTS:
        for factor, goal in (("1", None), ("2", 0.9), ("10", 0.4)):
            pairs = kept.both(f"{product}: {factor}", f"{product}: peak")
            if not pairs:
                continue
            words = f"{product}, {factor} × the peak"
            goodput = [one["goodput"] / peak["rate"] for one, peak in pairs]
            what = f"{words}: answered in time / peak"
            found.append(Line(what, goodput, share) if goal is None else _goal(what, goodput, goal))
            results = [one for one, __ in pairs]
            refused = [one["refusals"] for one in results if one["refusals"]]
            if refused:
                p99 = values_of(refused, "p99")
                found += [
                    Line(f"{words}: refused after, p50", values_of(refused, "p50"), milliseconds),
                    at_most(f"{words}: refused after, p99", p99, milliseconds, 0.05),
                ]
            pairs = kept.both(f"{product}: {factor}", f"{product}: 1") if goal else []
            if pairs:
                grown = [one["memory"]["highest"] / at["memory"]["highest"] for one, at in pairs]
                found.append(at_most(f"{words}: memory / at the peak's rate", grown, times, 1.05))
    return [*table(found), "", *_offers(kept)]


def _goal(what: str, values: Sequence[float], goal: float) -> Line:
    return at_least(what, values, share, goal)


def _offers(kept: Kept) -> list[str]:
    heads = ["asked for", "really offered", "200", "refused", "broken off", "unanswered"]
    heads += ["not sent", "wait of the 200, p50 and p99", "highest memory"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for product in PRODUCTS:
        for factor in ("1", "2", "10"):
            results = kept.of(f"{product}: {factor}")
            if not results:
                continue
            waits = [one["waits"] for one in results if one["waits"]]
            both = [
                spread(values_of(waits, name), milliseconds) for name in ("p50", "p99") if waits
            ]
            cells = [
                spread(values_of(results, "asked"), rate),
                spread(values_of(results, "offered"), rate),
                *_statuses(results),
                spread(values_of(results, "unanswered"), number),
                spread(values_of(results, "unsent"), number),
                ", ".join(both),
                spread([one["memory"]["highest"] for one in results], megabytes),
            ]
            lines.append(f"| {product}, {factor} × | {' | '.join(cells)} |")
    return lines


def _statuses(results: Sequence[Result]) -> list[str]:
    """How many got a 200, a 429 or 503, and no whole answer."""
    groups = (("200",), ("429", "503"), ("0",))
    return [
        spread([sum(one["statuses"].get(each, 0) for each in group) for one in results], number)
        for group in groups
    ]


def connections(kept: Kept) -> list[str]:
    """Who was answered and who refused, and the memory that took."""
    found = []
    for product in PRODUCTS:
        results = kept.of(product)
        if not results:
            continue
        words = f"{product}, {results[0]['connections']:,} connections"
        highest = [one["memory"]["highest"] for one in results]
        counted = [_counted(one) for one in results]
        found += [
            at_most(f"{words}: highest memory", highest, megabytes, 1000 * _MB),
            Line(f"{words}: 200", [one["200"] for one in counted], number),
            Line(f"{words}: 503", [one["503"] for one in counted], number),
            _none(f"{words}: anything else", [one["else"] for one in counted]),
        ]
        refused = [one["refusals"] for one in results if one["refusals"]]
        if refused:
            found.append(Line(f"{words}: 503 after, p99", values_of(refused, "p99"), seconds))
    return table(found)


def _counted(result: Result) -> dict[str, int]:
    statuses: Mapping[str, int] = result["statuses"]
    known = {name: statuses.get(name, 0) for name in ("200", "503")}
    return known | {"else": sum(statuses.values()) - sum(known.values()) + result["unanswered"]}


def versions(kept: Kept) -> list[str]:
    """Whether a change of versions is noticed by anybody, and what it leaves behind."""
    found = []
    for side in kept.sides:
        results = kept.of(side)
        failed = [float(one["failures"] + one["probes_failed"]) for one in results]
        tenth = [one["memory"][min(9, len(one["memory"]) - 1)] for one in results]
        last = [one["memory"][-1] for one in results]
        grown = [after / before for after, before in zip(last, tenth, strict=True)]
        found += [
            _none(f"{side}: failed", failed),
            Line(f"{side}: requests meanwhile", values_of(results, "requests"), number),
            at_most(f"{side}: memory after the last / after the tenth", grown, times, 1.05),
            Line(f"{side}: memory after the tenth", tenth, megabytes),
            Line(f"{side}: memory after the last", last, megabytes),
            Line(
                f"{side}: the longest from a verb's end to the first answer",
                values_of(results, "longest_switch"),
                seconds,
            ),
        ]
    return table(found)


def steady(kept: Kept) -> list[str]:
    """Whether anything grows: the last third of the slices beside the first."""
    found, lines = [], []
    for side in kept.sides:
        results = kept.of(side)
        for name, words, limit in (
            ("memory", "memory", 1.05),
            ("descriptors", "open files", 1.05),
            ("p99", "p99", 1.10),
        ):
            grown = [_grown([each[name] for each in one["slices"]]) for one in results]
            what = f"{side}: {words}, last third / first third"
            found.append(at_most(what, grown, times, limit))
        failed = [float(sum(each["failures"] for each in one["slices"])) for one in results]
        found.append(_none(f"{side}: failed", failed))
        lines += _slices(side, results[0])
    head = [
        "| | slice | answers | p50 | p99 | memory | open files |",
        "|---|---|---|---|---|---|---|",
    ]
    return [*table(found), "", *head, *lines]


def _grown(values: Sequence[float]) -> float:
    third = max(1, len(values) // 3)
    return statistics.median(values[-third:]) / statistics.median(values[:third])


def _slices(side: str, result: Result) -> list[str]:
    shows: dict[str, Callable[[float], str]] = {
        "rate": rate,
        "p50": milliseconds,
        "p99": milliseconds,
        "memory": megabytes,
        "descriptors": number,
    }
    return [
        f"| {side} | {place} | "
        + " | ".join(show(one[name]) for name, show in shows.items())
        + " |"
        for place, one in enumerate(result["slices"], 1)
    ]


def _none(what: str, values: Sequence[float]) -> Line:
    """What must not happen once, in no repetition."""
    return Line(what, values, number, "none", max(values) == 0)


def _ratios(kept: Kept, ours: str, theirs: str) -> list[float]:
    return [left["rate"] / right["rate"] for left, right in kept.both(ours, theirs)]
