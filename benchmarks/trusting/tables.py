"""The tables of trust: figures beside their targets, from what was kept."""

from __future__ import annotations

import statistics

from benchmarks.figures import (
    Line,
    at_least,
    at_most,
    megabytes,
    milliseconds,
    rate,
    seconds,
    table,
    times,
    values_of,
)
from benchmarks.kept import Kept

_LEAST_RATE, _MOST_RATIO, _MOST_SECONDS, _MOST_TIMES = 50_000, 1.2, 0.020, 1.5
_MOST_CHAIN = 20.0
_MOST_TRAINING = 1.1


def appending(kept: Kept) -> list[str]:
    """Entries a second at both sizes, and how the middle batch of one is to that of the other."""
    results = kept.of("mintage")
    if not results:
        return []
    ratios = [
        statistics.median(each["many"]["seconds"]) / statistics.median(each["few"]["seconds"])
        for each in results
    ]
    found = [
        at_least(
            f"at {each['entries']:,} entries: appended",
            [result[size]["rate"] for result in results],
            rate,
            _LEAST_RATE,
        )
        for size in ("many", "few")
        for each in (results[0][size],)
    ]
    return table(
        [*found, at_most("a batch at the larger / at the smaller", ratios, times, _MOST_RATIO)]
    )


def datasets(kept: Kept) -> list[str]:
    """Verifying beside hashing, for each size of files."""
    found = []
    for name in kept.sides:
        results = kept.of(name)
        found += [
            at_most(f"{name}: verified / hashed", values_of(results, "ratio"), times, _MOST_TIMES),
            Line(
                f"{name}: verified, a gigabyte",
                [min(each["verified_seconds"]) * 1e9 / each["size_bytes"] for each in results],
                seconds,
            ),
        ]
    return table(found) if found else []


def sealing(kept: Kept) -> list[str]:
    """Sealing and opening beside Tink, for each size of files, and training beside an open one."""
    found = []
    for name in kept.sides:
        results = kept.of(name)
        if name == "training":
            ratios = values_of(results, "ratio")
            found.append(at_most("training: sealed / open", ratios, times, _MOST_TRAINING))
            continue
        for what, said in (("seal", "sealed"), ("open", "opened")):
            ratios = values_of(results, f"{what}_ratio")
            found.append(at_most(f"{name}: {said} / by Tink alone", ratios, times, _MOST_TIMES))
    return table(found) if found else []


def chains(kept: Kept) -> list[str]:
    """Each way of following an invoice, and what its evidence takes."""
    results = kept.of("mintage")
    if not results:
        return []

    def took(phase: str) -> list[float]:
        return [each["phases"][phase] for each in results]

    ways = {
        "ours": "`mintage verify --chain NUMBER`, in the workspace",
        "theirs": "`mintage verify --chain evidence.zip`, by a customer",
        "tool": "`tools/verify.py evidence.zip`",
    }
    return table(
        [
            *(at_most(said, took(way), seconds, _MOST_CHAIN) for way, said in ways.items()),
            Line("writing the evidence", took("evidence"), seconds),
            Line("the evidence", values_of(results, "evidence_bytes"), megabytes),
        ]
    )


def proofs(kept: Kept) -> list[str]:
    """The middle and the worst proof, and what signing and checking all of it takes."""
    results = kept.of("mintage")
    if not results:
        return []
    found = []
    for kind, words in (("inclusion", "an entry"), ("consistency", "a size")):
        found += [
            Line(
                f"proof of {words}: the middle one",
                [statistics.median(each[kind]) for each in results],
                milliseconds,
            ),
            at_most(
                f"proof of {words}: the slowest",
                [max(each[kind]) for each in results],
                milliseconds,
                _MOST_SECONDS,
            ),
        ]
    fillings = [each["filling"] for each in results][:1]
    return table(
        [
            *found,
            Line("a head after one more entry", values_of(results, "head"), milliseconds),
            Line("the first head over all entries", values_of(fillings, "signing"), seconds),
            Line("verifying all entries", values_of(results, "verifying"), seconds),
        ]
    )
