"""The tables of each comparison: figures beside their targets, from what was kept."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from benchmarks.common import Result
from benchmarks.figures import (
    Line,
    at_least,
    at_most,
    megabytes,
    points,
    rate,
    seconds,
    share,
    spread,
    table,
    times,
    values_of,
)
from benchmarks.kept import Kept

Pairs = Sequence[tuple[Result, Result]]


def _ratios(pairs: Pairs, key: Callable[[Result], float]) -> list[float]:
    return [key(ours) / key(theirs) for ours, theirs in pairs]


def _wall(result: Result) -> float:
    return float(result["wall"])


def _without_imports(result: Result) -> float:
    return float(result["done"]) - float(result["phases"]["import"])


def same_network(kept: Kept) -> list[str]:
    """How much of the Keras script's time the same training takes, and where it goes."""
    pairs = kept.both("mintage", "keras")
    differences = [ours["accuracy"] - theirs["accuracy"] for ours, theirs in pairs]
    close = abs(statistics.median(differences)) <= 0.02
    found = [
        at_most("wall-clock of the process, Mintage / Keras", _ratios(pairs, _wall), times, 0.6),
        at_most(
            "the same without imports on either side", _ratios(pairs, _without_imports), times, 0.5
        ),
        Line("accuracy, Mintage less Keras", differences, points, "within 2 points", close),
    ]
    for name in ("mintage", "keras"):
        results = kept.of(name)
        found.append(Line(f"{name}: wall-clock", values_of(results, "wall"), seconds))
        found.append(Line(f"{name}: accuracy", values_of(results, "accuracy"), share))
    return [*table(found), "", *_phases(kept)]


def _phases(kept: Kept) -> list[str]:
    lines = ["| phase | seconds, median |", "|---|---|"]
    for side in ("mintage", "keras"):
        results = kept.of(side)
        for part in ("phases", "stages"):
            for name in results[0].get(part, {}):
                taken = statistics.median(each[part].get(name, 0.0) for each in results)
                label = name if part == "phases" else f"– of it {name}"
                lines.append(f"| {side}: {label} | {taken:.2f} |")
    return lines


def time_to_accuracy(kept: Kept) -> list[str]:
    """The shortest training from which on all are as accurate as the Keras script, and all others.

    A median above it by chance, with one below it after it, has not reached it.
    """
    keras = kept.of("keras")
    wanted = statistics.median(values_of(keras, "accuracy"))
    found, first = [], ""
    for side in (name for name in kept.sides if name != "keras"):
        results = kept.of(side)
        accuracy = values_of(results, "accuracy")
        words = f"trained for {side.removeprefix('mintage ')}"
        found.append(
            Line(f"{words}: wall-clock of the process", values_of(results, "wall"), seconds)
        )
        found.append(Line(f"{words}: accuracy", accuracy, share))
        if statistics.median(accuracy) < wanted:
            first = ""
        elif not first:
            first = side
    found.append(Line("Keras: wall-clock of the process", values_of(keras, "wall"), seconds))
    found.append(Line("Keras: accuracy", values_of(keras, "accuracy"), share))
    if not first:
        return [*table(found), "", f"None of these reached {wanted:.1%}: **not reached**."]
    ratios = _ratios(kept.both(first, "keras"), _wall)
    name = first.removeprefix("mintage ")
    what = f"the first to reach {wanted:.1%} and stay there ({name}), Mintage / Keras"
    return table([at_most(what, ratios, times, 1 / 3), *found])


def equal_time(kept: Kept) -> list[str]:
    """How much more accurate the same time makes."""
    found: list[Line] = []
    for side in ("mintage", "mintage train --time"):
        pairs = [pair for pair in kept.both(side, "keras") if "accuracy" in pair[0]]
        if not pairs:
            continue
        gained = [ours["accuracy"] - theirs["accuracy"] for ours, theirs in pairs]
        results = [ours for ours, __ in pairs]
        if side == "mintage":
            found.append(at_least("accuracy, Mintage less Keras", gained, points, 0.09, "; aim 12"))
        else:
            found.append(Line("accuracy, `mintage train --time` less Keras", gained, points))
        found.append(Line(f"{side}: time used / Keras' time", _ratios(pairs, _wall), times))
        found.append(Line(f"{side}: accuracy", values_of(results, "accuracy"), share))
    keras = kept.of("keras")
    found.append(Line("Keras: wall-clock", values_of(keras, "wall"), seconds))
    found.append(Line("Keras: accuracy", values_of(keras, "accuracy"), share))
    skipped = {each["skipped"] for each in kept.of("mintage train --time") if each.get("skipped")}
    return [*table(found), *(f"\n`mintage train --time` was left out: {why}." for why in skipped)]


def by_clock(kept: Kept, goal: float | None) -> list[str]:
    """Trainings by the clock; ``goal`` is for the mean accuracy."""
    ours = kept.of("mintage")
    accuracy = values_of(ours, "accuracy")
    what = f"accuracy of `mintage train --time {ours[0]['promised'] / 60:g}m`"
    if len(accuracy) > 1:
        what += f", mean {statistics.mean(accuracy):.1%}"
    if goal is None:
        found = [Line(what, accuracy, share)]
    else:
        reached = statistics.mean(accuracy) >= goal
        found = [Line(what, accuracy, share, f"mean at least {goal:.0%}; aim 95", reached)]
    used = [each["wall"] / each["promised"] for each in ours]
    longest = max(used) <= 1.05
    found.append(Line("wall-clock / promise", used, times, "never above 1.05 ×", longest))
    found.append(Line("collecting, once and before", values_of(ours[:1], "collecting"), seconds))
    for side, words in (
        ("resnet18", "ResNet-18, plain PyTorch"),
        ("keras xception", "Keras' small Xception"),
    ):
        if results := kept.of(side):
            passes = statistics.median(values_of(results, "epochs"))
            found.append(
                Line(
                    f"{words} ({passes:.1f} epochs): accuracy",
                    values_of(results, "accuracy"),
                    share,
                )
            )
            found.append(Line(f"{words}: wall-clock", values_of(results, "wall"), seconds))
    return table(found)


def loading(kept: Kept) -> list[str]:
    """Pictures a second, and how many times the others'."""
    found = []
    for side, pillow_target, keras_target in (("28", 3.0, 1.5), ("96", 2.0, 1.0)):
        pairs = kept.both("mintage and pillow", "keras")
        ours = [each["rates"][side]["mintage"] for each, __ in pairs]
        pillow = [each["rates"][side]["pillow"] for each, __ in pairs]
        keras = [each["rates"][side]["keras"] for __, each in pairs]
        against = [left / right for left, right in zip(ours, pillow, strict=True)]
        found.append(at_least(f"{side} px, Mintage / Pillow", against, times, pillow_target))
        against = [left / right for left, right in zip(ours, keras, strict=True)]
        found.append(at_least(f"{side} px, Mintage / Keras", against, times, keras_target))
        found.append(Line(f"{side} px: Mintage", ours, rate))
        found.append(Line(f"{side} px: Pillow at full size", pillow, rate))
        found.append(Line(f"{side} px: Keras' directory loader", keras, rate))
    return table(found)


_STEPS = {
    "collect": "collecting",
    "prepare": "decoding at 64 px",
    "train": "an epoch of compact at 64 px",
}


def growth(kept: Kept) -> list[str]:
    """What each further picture costs, in time and in memory."""
    counts = sorted(int(side) for side in kept.sides)
    fewest, most = counts[0], counts[-1]
    found = []
    for step, words in _STEPS.items():

        def each(result: Result, step: str = step) -> float:
            return float(result[step]["seconds"] / result[step]["examples"])

        for count in counts[1:]:
            ratios = _ratios(kept.both(str(count), str(fewest)), each)
            what = f"{words}: time per picture, {count:,} / {fewest:,}"
            found.append(at_most(what, ratios, times, 1.10))

    def grown(step: str) -> list[float]:
        return [
            (more[step]["peak"]["anonymous"] - less[step]["peak"]["anonymous"]) / (most - fewest)
            for more, less in kept.both(str(most), str(fewest))
        ]

    index = statistics.median(grown("index"))
    for step, words in _STEPS.items():
        what = f"{words}: peak memory, bytes for each picture more"
        found.append(at_most(what, grown(step), lambda value: f"{value:,.0f} B", index))
    return [*table(found), "", *_sizes(kept, counts)]


def _sizes(kept: Kept, counts: Sequence[int]) -> list[str]:
    lines = [
        "| step | pictures | ms a picture | peak memory, anonymous | peak memory, resident |",
        "|---|---|---|---|---|",
    ]
    for step, words in _STEPS.items():
        for count in counts:
            results = [each[step] for each in kept.of(str(count))]
            taken = spread([1000 * each["seconds"] / each["examples"] for each in results], _milli)
            peaks = [
                spread([each["peak"][name] for each in results], megabytes)
                for name in ("anonymous", "resident")
            ]
            lines.append(f"| {words} | {count:,} | {taken} | {peaks[0]} | {peaks[1]} |")
    return lines


def _milli(value: float) -> str:
    return f"{value:.2f}"


def suspects(kept: Kept) -> list[str]:
    """How many of the flipped labels stand at the top of the list."""
    results = kept.of("mintage")
    flipped = statistics.median(values_of(results, "n_flipped"))
    listed = statistics.median(values_of(results, "list_share"))
    what = f"of {flipped:,.0f} flipped labels, found among the first {listed:.0%} of the list"
    found = [
        at_least(what, values_of(results, "found_share"), share, 0.75),
        Line("the time that took", values_of(results, "seconds"), seconds),
    ]
    return table(found)
