"""What makes a test easier than life: one picture on two sides, and labels that need no looking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.types import Example
from mintage.create.dataset import Dataset
from mintage.create.measures import Measures
from mintage.create.splits import Side
from mintage.tasks.metrics import roc_auc

Alike = Literal["same_bytes", "same_group", "near_duplicate", "mirrored"]

TELLING = 0.8
"""An AUC from which one number tells a class; 0.5 is chance."""

_BINS = 16
_PARTS = 5
_BY_CHANCE = 0.001  # that anything at all is found where there is nothing
_PRIOR = 1.0


@dataclass(frozen=True)
class Pair:
    """Two examples that are the same, or nearly, by their positions."""

    first: int
    second: int
    alike: Alike

    def to_json(self, examples: Sequence[Example]) -> dict[str, Any]:
        """As ``inspect --json`` lists it."""
        both = (examples[self.first], examples[self.second])
        return {
            "alike": self.alike,
            "paths": [each.path for each in both],
            "labels": [each.label for each in both],
            "splits": [each.split for each in both],
        }


def pairs(dataset: Dataset, measures: Measures | None) -> list[Pair]:
    """Examples with the same bytes, in one group, nearly the same, or mirror images; each once.

    Without measures of the pictures the last two are not looked for.
    """
    found: dict[tuple[int, int], Alike] = {}
    for first, second, alike in _candidates(dataset, measures):
        found.setdefault((first, second), alike)
    return [Pair(first, second, alike) for (first, second), alike in sorted(found.items())]


def across_splits(dataset: Dataset, found: Iterable[Pair]) -> list[Pair]:
    """Those whose examples stand on two sides of the split, or in two folds."""
    sides = [Side(example.split, example.fold) for example in dataset.examples]
    return [pair for pair in found if sides[pair.first] != sides[pair.second]]


def contradictory(dataset: Dataset, found: Iterable[Pair]) -> list[Pair]:
    """Those whose examples have two labels."""
    labels = [example.label for example in dataset.examples]
    return [pair for pair in found if labels[pair.first] != labels[pair.second]]


def _candidates(dataset: Dataset, measures: Measures | None) -> Iterator[tuple[int, int, Alike]]:
    """Pairs (first < second); what is alike in several ways comes first with the strictest."""
    examples = dataset.examples
    yield from _in_common([example.sha256 for example in examples], "same_bytes")
    if measures is not None:
        kind = registry.modalities().get(dataset.card["modality"])
        count = len(examples)
        marks = [mark.tobytes() for mark in (*measures.marks, *measures.mirrored)]
        close = kind.near_duplicates(marks)
        for left, right in close:
            if right < count:
                yield left, right, "near_duplicate"
        for left, right in close:
            other = right - count
            if left < count <= right and left != other:
                yield min(left, other), max(left, other), "mirrored"
    yield from _in_common([example.group for example in examples], "same_group")


def _in_common(names: Sequence[str], alike: Alike) -> Iterator[tuple[int, int, Alike]]:
    """The first with each other of the same name."""
    members: dict[str, list[int]] = defaultdict(list)
    for position, name in enumerate(names):
        members[name].append(position)
    for first, *others in members.values():
        for other in others:
            yield first, other, alike


@dataclass(frozen=True)
class Shortcut:
    """A number by which a class is told from the rest without looking at what is shown."""

    measure: str
    label: str
    auc: float

    def to_json(self) -> dict[str, Any]:
        """As ``inspect --json`` lists it."""
        return {"measure": self.measure, "label": self.label, "auc": round(self.auc, 4)}


def shortcuts(dataset: Dataset, measures: Measures) -> list[Shortcut]:
    """For each measure the class that it tells best, where that is telling.

    One rule (Holte 1993, Machine Learning 11): examples in the same bin of the measure are of the
    class as often as the others in that bin. How often is counted on four fifths of the groups
    and judged on the fifth, so that no rule is learned by heart.
    """
    part = np.array([int(example.group[:8], 16) % _PARTS for example in dataset.examples])
    labels = np.array([dataset.labels.index(example.label) for example in dataset.examples])
    found = []
    rules = binned(measures)
    # Bonferroni: of a hundred rules some would tell something by chance.
    least = NormalDist().inv_cdf(1 - _BY_CHANCE / (len(rules) * len(dataset.labels)))
    for name, bins in rules.items():
        if bins.max(initial=0) == 0:
            continue
        best = max(
            (_telling(bins, labels == number, part, least), -number)
            for number in range(len(dataset.labels))
        )
        if best[0] >= TELLING:
            found.append(Shortcut(name, dataset.labels[-best[1]], best[0]))
    return found


def binned(measures: Measures) -> dict[str, NDArray[np.int64]]:
    """int64[N] by the measure's name: in which of at most 16 bins of about one size each is."""
    pixels = (measures.width * measures.height).astype(np.float64)
    numbers = {
        "width": measures.width,
        "height": measures.height,
        "shape": measures.width / measures.height,
        "file_size": measures.size_bytes,
        "compression": measures.size_bytes / pixels,
        "brightness": measures.brightness,
        "contrast": measures.contrast,
    }
    found = {name: _bins(np.asarray(values, np.float64)) for name, values in numbers.items()}
    found["format"] = np.unique(measures.formats, return_inverse=True)[1].astype(np.int64)
    return found


def _bins(values: NDArray[np.float64]) -> NDArray[np.int64]:
    known, positions = np.unique(values, return_inverse=True)
    if len(known) <= _BINS:
        return positions.astype(np.int64)
    edges = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _telling(
    bins: NDArray[np.int64], own: NDArray[np.bool_], part: NDArray[np.int64], least: float
) -> float:
    """The AUC of the rule for a class; 0.5 where it is fewer than ``least`` deviations above."""
    inside, outside = int(own.sum()), int((~own).sum())
    if not inside or not outside:
        return 0.5
    count = int(bins.max()) + 1
    scores = np.zeros(len(bins))
    for number in range(_PARTS):
        others = part != number
        if not others.any():
            continue
        hits = np.bincount(bins[others], weights=own[others], minlength=count)
        shown = np.bincount(bins[others], minlength=count)
        rate = (hits + _PRIOR * own[others].mean()) / (shown + _PRIOR)
        scores[~others] = rate[bins[~others]]
    auc = roc_auc(scores, own) or 0.5
    # The deviation of Mann and Whitney's statistic where both come from one distribution.
    deviation = sqrt((inside + outside + 1) / (12 * inside * outside))
    return auc if auc - 0.5 > least * deviation else 0.5
