"""What is in a dataset: counts, sizes, what collecting found, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.create import leakage, outliers, suspects
from mintage.create.dataset import Dataset
from mintage.create.measures import Measures, measured
from mintage.store.workspace import Workspace
from mintage.tasks.metrics import wilson_interval

WIDE = 0.2
"""A class whose accuracy would be known no better than to within this is too small to measure."""

_EXPECTED = 0.9  # accuracy for which widths are stated


@dataclass(frozen=True)
class Concern:
    """Something that is probably wrong with a dataset, and what to do about it."""

    check: str
    found: Message
    suggestion: Message
    examples: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As ``inspect --json`` lists it."""
        return {
            "check": self.check,
            "found": self.found,
            "suggestion": self.suggestion,
            "examples": list(self.examples),
        }


def findings(dataset: Dataset) -> dict[str, Any]:
    """What is in it and what collecting found, as JSON, by its manifest and card alone."""
    sizes = np.array([example.size for example in dataset.examples])
    quality = dataset.card["quality"]
    return {
        "dataset": dataset.name,
        "version": dataset.version,
        "modality": dataset.card["modality"],
        "task": dataset.card["task"],
        "examples": len(dataset.examples),
        "classes": dataset.counts(),
        "folds": 5 if dataset.has_folds else None,
        "sizes": {
            "width": _spread(sizes[:, 0]),
            "height": _spread(sizes[:, 1]),
        },
        "skipped": quality["skipped"],
        "duplicates": quality["duplicates"],
        "conflicts": quality["conflicts"],
        "near_duplicates": quality["near_duplicates"],
        "hidden": quality["hidden"],
        "stray": quality["stray"],
        "about": dataset.card["about"],
        "source": dataset.card["source"],
        "sources": dataset.sources,
        "grown_from": dataset.card.get("grown_from"),
    }


def _spread(values: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, int]:
    low, middle, high = np.quantile(values, [0, 0.5, 1], method="lower")
    return {"smallest": int(low), "median": int(middle), "largest": int(high)}


def examined(
    workspace: Workspace,
    dataset: Dataset,
    *,
    train: bool,
    seconds: float | None = None,
    spent: float = 0.0,
    threads: int = 1,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """``findings`` and what is wrong, as JSON; ``train`` asks for what needs short trainings.

    What could not be looked for is in ``left_out``, each with its reason. Of ``seconds`` so many
    are ``spent`` already.

    Raises:
        DependencyDown: the disk is full.
    """
    began = workspace.clock.monotonic()
    measures = measured(workspace, dataset, progress)
    judged, left_out = None, [_("Wrong labels and outliers were not looked for (--quick).")]
    if train:
        spent = 0.0 if seconds is None else spent + workspace.clock.monotonic() - began
        judged, left_out = _judged(
            workspace, dataset, (seconds, spent), threads, progress, should_stop
        )
    concerns: list[Concern] = []
    if judged is not None:
        concerns += [*_of_labels(dataset, judged), *_of_outliers(dataset, judged)]
    if measures is not None:
        concerns += [*_of_faults(dataset, measures), *_of_shortcuts(dataset, measures)]
    concerns += [*_of_leaks(dataset, measures), *_of_small_classes(dataset)]
    return findings(dataset) | {
        "concerns": [concern.to_json() for concern in concerns],
        "label_errors": None if judged is None else judged.to_json(),
        "left_out": left_out,
    }


def _judged(
    workspace: Workspace,
    dataset: Dataset,
    time: tuple[float | None, float],
    threads: int,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> tuple[suspects.Suspects | None, list[Message]]:
    """Every label judged, and why some or all were not."""
    if not suspects.has_torch():
        return None, [
            _(
                "Wrong labels and outliers are not looked for without PyTorch. Install it with: "
                "pip install 'mintage[train]'"
            )
        ]
    found = suspects.find(
        workspace,
        dataset,
        seconds=time[0],
        spent=time[1],
        threads=threads,
        progress=progress,
        should_stop=should_stop,
    )
    if found.why_not is not None:
        reason = found.why_not
        return None, [_("Wrong labels and outliers cannot be told: {reason}.", reason=reason)]
    if not found.too_few:
        return found, []
    return found, [
        _(
            "Wrong labels and outliers are not looked for in {labels}: they have fewer than "
            "{fewest} examples to learn from.",
            labels=", ".join(found.too_few),
            fewest=suspects.FEWEST_GROUPS,
        )
    ]


def _of_labels(dataset: Dataset, judged: suspects.Suspects) -> Iterator[Concern]:
    listed = judged.listed
    if listed:
        yield Concern(
            "label_errors",
            _(
                "Labels that are probably wrong: {count:,} of {examples:,}.",
                count=len(listed),
                examples=len(dataset.examples),
            ),
            _(
                "Look at them and mend the labels that are wrong, or train without them: "
                "mintage train {name} --drop-suspect",
                name=dataset.name,
            ),
            tuple(each.to_json() for each in listed),
        )


def _of_outliers(dataset: Dataset, judged: suspects.Suspects) -> Iterator[Concern]:
    flags = outliers.unlike(judged.distance)
    if flags.any():
        rows = outliers.listed(dataset, flags, distance=judged.distance)
        yield Concern(
            "outliers",
            _("Pictures unlike all others: {count:,}.", count=len(rows)),
            _("Look whether they show what they should, and take out what belongs to no class."),
            tuple(sorted(rows, key=lambda row: -row["distance"])),
        )


_FAULTS = {
    "blank": _("Blank pictures, or nearly: {count:,}."),
    "dark": _("Nearly black pictures: {count:,}."),
    "bright": _("Nearly white pictures: {count:,}."),
    "long": _("Pictures more than four times as long as wide: {count:,}."),
    "tiny": _("Tiny pictures, below 32 pixels and half of what is usual here: {count:,}."),
}


def _of_faults(dataset: Dataset, measures: Measures) -> Iterator[Concern]:
    light = {"brightness": measures.brightness, "contrast": measures.contrast}
    sides = {"width": measures.width, "height": measures.height}
    for name, flags in outliers.faults(measures).items():
        if flags.any():
            numbers: dict[str, Any] = sides if name in ("long", "tiny") else light
            rows = outliers.listed(dataset, flags, **numbers)
            yield Concern(
                name,
                Message(_FAULTS[name].template, count=len(rows)),
                _("Take them out, unless the model will be asked about such pictures."),
                tuple(rows),
            )


def _of_leaks(dataset: Dataset, measures: Measures | None) -> Iterator[Concern]:
    found = leakage.pairs(dataset, measures)
    crossing, contradicting = (
        tuple(pair.to_json(dataset.examples) for pair in chosen(dataset, found))
        for chosen in (leakage.across_splits, leakage.contradictory)
    )
    if crossing:
        yield Concern(
            "leakage",
            _(
                "Pairs of the same picture, or nearly, on two sides of the split: {count:,}. "
                "The test asks for what was learned by heart.",
                count=len(crossing),
            ),
            _("Take one of each pair out of the source and collect it again."),
            crossing,
        )
    if contradicting:
        yield Concern(
            "contradictions",
            _(
                "Pairs of the same picture, or nearly, with two labels: {count:,}.",
                count=len(contradicting),
            ),
            _("Decide which label is right, mend the other, and collect again."),
            contradicting,
        )


MEASURES = {
    "width": _("the picture's width"),
    "height": _("the picture's height"),
    "shape": _("the picture's shape"),
    "file_size": _("the file's size"),
    "compression": _("how much the file is compressed"),
    "format": _("the file's format"),
    "brightness": _("the picture's brightness"),
    "contrast": _("the picture's contrast"),
}


def _of_shortcuts(dataset: Dataset, measures: Measures) -> Iterator[Concern]:
    for each in leakage.shortcuts(dataset, measures):
        light = each.measure in ("brightness", "contrast")
        yield Concern(
            "shortcut",
            _(
                "The label can be read off {measure}: that alone tells {label} from the rest "
                "(AUC {auc:.2f}).",
                measure=MEASURES[each.measure],
                label=each.label,
                auc=each.auc,
            ),
            _(
                "If that is so in life too, all is well. If not, collect all classes in the same "
                "light, or the model learns the light."
            )
            if light
            else _(
                "Make the files of all classes in the same way, or the model may learn how they "
                "were made."
            ),
            (each.to_json(),),
        )


def _of_small_classes(dataset: Dataset) -> Iterator[Concern]:
    """Near duplicates count once: they are asked together and right together."""
    tested = Counter(label for label, __ in _groups(dataset, ("test",)))
    every = Counter(label for label, __ in _groups(dataset, ("train", "validation", "test")))
    enough = _enough()
    for label in dataset.labels:
        count = tested[label]
        low, high = wilson_interval(_EXPECTED * count, count)
        if high - low <= WIDE:
            continue
        more = ceil((enough - count) * every[label] / max(1, count))
        yield Concern(
            "small_class",
            _(
                "{label} has {count} test examples: {expected:.0%} right of them may mean "
                "anything from {low:.0%} to {high:.0%}.",
                label=label,
                count=count,
                expected=_EXPECTED,
                low=low,
                high=high,
            ),
            _(
                "For an interval of {width} points it needs about {more:,} more pictures.",
                width=round(100 * WIDE),
                more=more,
            ),
            ({"label": label, "test_examples": count, "more": more},),
        )


def _groups(dataset: Dataset, splits: Sequence[str]) -> set[tuple[str, str]]:
    return {(each.label, each.group) for each in dataset.examples if each.split in splits}


def _enough() -> int:
    """The fewest test examples whose interval is no wider than ``WIDE``."""
    count = 1
    while True:
        low, high = wilson_interval(_EXPECTED * count, count)
        if high - low <= WIDE:
            return count
        count += 1
