"""The tables of billing: figures beside their targets, from what was kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.billing.cells import KINDS, PACE, contender
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

_MOST_SECONDS, _MOST_BYTES = 60, 500_000_000
_WORDS = {
    "sum-up": "summing all events up by the hour, once",
    "check": "`check`: the hours are the events",
    "invoices": "an invoice run, no month invoiced yet",
    "issue": "issuing the months before the last",
    "again": "an invoice run of the last month, the others issued",
    "economics": "economics of the last month",
    "replay": "a replay of the last month under two plans",
    "models": "the business models compared on the last month",
    "history": "every customer's months, for cohorts",
}
_BOUNDED = ("invoices", "again", "replay", "models")


def metering(kept: Kept) -> list[str]:
    """The share of the bare loop's rate, and how far the slowest hundredth is from the middle."""
    found: list[Line] = []
    pairs = kept.both("mintage", "bare")
    if pairs:
        ratios = [ours["rate"] / bare["rate"] for ours, bare in pairs]
        found.append(at_least("Mintage / the bare loop", ratios, share, 0.6))
    if pairs := kept.both("mintage, signed", "bare"):
        ratios = [ours["rate"] / bare["rate"] for ours, bare in pairs]
        found.append(Line("Mintage, each receipt signed / the bare loop", ratios, share))
    for side, words in (
        ("mintage", "1 process"),
        ("mintage, signed", "1 process, signed"),
        ("mintage, 2 processes", "2 processes"),
    ):
        if results := kept.of(side):
            rates = values_of(results, "rate")
            what = f"{words}: events"
            found += [
                at_least(what, rates, rate, 4000) if side == "mintage" else Line(what, rates, rate),
                at_most(f"{words}: p99 / p50", _tails(results), times, 3),
                Line(f"{words}: p50", values_of(results, "p50"), milliseconds),
                Line(f"{words}: p99", values_of(results, "p99"), milliseconds),
                Line(f"{words}: processor, each", values_of(results, "busy_each"), _micro),
            ]
    if results := kept.of("bare"):
        found += [
            Line("the bare loop: events", values_of(results, "rate"), rate),
            Line("the bare loop: p99 / p50", _tails(results), times),
            Line("the bare loop: processor, each", values_of(results, "busy_each"), _micro),
        ]
    return table(found)


def contention(kept: Kept) -> list[str]:
    """Whether limits are exact, what counting takes, and how long callers wait."""
    found: list[Line] = []
    for kind in ("limited", "prepaid"):
        for processes, words in ((1, "1 process"), (2, "2 processes")):
            side = contender(kind, processes, 0)
            if results := kept.of(side):
                beyond = [float(abs(each["answered"] - each["exactly"])) for each in results]
                what = f"{kind}, {words}: calls answered beyond the limit, or short of it"
                found.append(at_most(what, beyond, number, 0))
            if pairs := kept.both(side, contender("unlimited", processes, 0)):
                ratios = [ours["rate"] / free["rate"] for ours, free in pairs]
                found.append(Line(f"{kind} / unlimited, {words}: calls a second", ratios, share))
    for rate_ in (0, PACE):
        for processes in (1, 2):
            for kind in KINDS:
                side = contender(kind, processes, rate_)
                if results := kept.of(side):
                    found += [
                        Line(f"{side}: calls", values_of(results, "rate"), rate),
                        Line(f"{side}: p50", values_of(results, "p50"), milliseconds),
                        Line(f"{side}: p99", values_of(results, "p99"), milliseconds),
                    ]
    return table(found)


def _tails(results: Sequence[Result]) -> list[float]:
    return [each["p99"] / each["p50"] for each in results]


def _micro(value: float) -> str:
    return f"{value * 1e6:,.0f} µs"


def metering_share(kept: Kept) -> list[str]:
    """How much of a metered prediction's processor time is metering, and what a caller waits."""
    found: list[Line] = []
    for product in PRODUCTS:
        results = kept.of(product)
        if not results:
            continue
        ways = [each["ways"] for each in results]
        taken = [1 - w["without"]["busy_each"] / w["with"]["busy_each"] for w in ways]
        lost = [1 - w["with"]["rate"] / w["without"]["rate"] for w in ways]
        alone = [each["alone"] for each in results]
        found += [
            Line(f"{product}: metering's share of the processor's time", taken, share),
            Line(f"{product}: answers a second fewer with it", lost, share),
            Line(f"{product}: a prediction alone", values_of(alone, "predict"), milliseconds),
            Line(f"{product}: its recording alone", values_of(alone, "record"), milliseconds),
        ]
    return table(found)


def books(kept: Kept) -> list[str]:
    """What the most events take, whether that grows faster than they do, and each step."""
    counts = sorted(int(side) for side in kept.sides)
    fewest, most = counts[0], counts[-1]
    found: list[Line] = []
    steps = [each["steps"] for each in kept.of(str(most))]
    for step in _BOUNDED:
        if any(step not in each for each in steps):
            continue
        results = [each[step] for each in steps]
        taken, peaks = values_of(results, "seconds"), [each["peak"]["resident"] for each in results]
        what = f"{most:,} events: {_WORDS[step]}"
        found += [
            at_most(what, taken, seconds, _MOST_SECONDS),
            at_most(f"{what}, peak memory", peaks, megabytes, _MOST_BYTES),
        ]
    if fewest != most:
        pairs = kept.both(str(most), str(fewest))
        for step in ("sum-up", "check", "invoices", "again", "replay"):
            grown = [
                more["steps"][step]["seconds"] / less["steps"][step]["seconds"]
                for more, less in pairs
            ]
            what = f"{_WORDS[step]}: time of {most:,} / of {fewest:,} events"
            found.append(at_most(what, grown, times, 1.1 * most / fewest))
    return [*table(found), "", *_steps(kept, counts)]


def _steps(kept: Kept, counts: Sequence[int]) -> list[str]:
    lines = [
        "| step | events | seconds | of the processor | peak memory, resident |",
        "|---|---|---|---|---|",
    ]
    for step, words in _WORDS.items():
        for count in counts:
            results = [each["steps"][step] for each in kept.of(str(count)) if step in each["steps"]]
            if results:
                cells = (
                    spread(values_of(results, "seconds"), seconds),
                    spread(values_of(results, "busy"), seconds),
                    spread([each["peak"]["resident"] for each in results], megabytes),
                )
                lines.append(f"| {words} | {number(count)} | {' | '.join(cells)} |")
    sizes = {count: values_of(kept.of(str(count)), "size_bytes") for count in counts}
    said = ", ".join(
        f"{megabytes(statistics.median(size))} for {count:,}" for count, size in sizes.items()
    )
    return [*lines, "", f"Disk: {said}."]
