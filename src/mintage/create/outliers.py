"""Examples unlike all others, by what networks made of them, and faults that need no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.create.dataset import Dataset
from mintage.create.measures import Measures

NEIGHBOURS = 10
UNUSUAL = 5.0
"""Deviations of the logarithm of the distance, above the median; among 4,000 photographs of cats
and dogs 18 were further: drawings, a portrait of a physicist, dogs behind wire."""

USUAL_SHARE = 0.05
"""What more pictures than these have in common is how the data are, and no fault."""

_ALWAYS_FAULTS = 5  # so many are not usual, however few pictures there are

_BLANK = 0.02  # standard deviation of luminance, of its whole range
_DARK, _BRIGHT = 0.06, 0.95  # mean of luminance
_LONG = 4.0  # the longer side over the shorter
_TINY = 32  # pixels of the shorter side
_TINY_SHARE = 0.5  # of the median shorter side

Flags = NDArray[np.bool_]


def distances(features: NDArray[np.float32], fold: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[N]: mean distance to the nearest of the same fold, 1 for the median of the fold.

    Features of two folds come from two networks and cannot be compared. Within one each number
    is scaled to mean 0 and deviation 1; constant ones say nothing. What is in no fold (-1) is as
    near as most.
    """
    found = np.ones(len(features))
    for number in np.unique(fold[fold >= 0]):
        own = np.flatnonzero(fold == number)
        if len(own) > 2:
            found[own] = _nearest(features[own].astype(np.float64))
    return found


def _nearest(features: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = features.std(axis=0)
    varying = spread > 1e-6 * max(1.0, float(np.abs(features).max(initial=0.0)))
    scaled = (features[:, varying] - features[:, varying].mean(axis=0)) / spread[varying]
    squares = (scaled * scaled).sum(axis=1)
    number = min(NEIGHBOURS, len(scaled) - 1)
    mean = np.empty(len(scaled))
    for start in range(0, len(scaled), 512):  # bounded memory, however many there are
        part = slice(start, start + 512)
        between = squares[part, None] + squares - 2 * scaled[part] @ scaled.T
        between[np.arange(len(between)), np.arange(start, start + len(between))] = np.inf
        near = np.partition(between, number - 1, axis=1)[:, :number]
        mean[part] = np.sqrt(np.maximum(near, 0)).mean(axis=1)
    middle = float(np.median(mean))
    return mean / middle if middle > 0 else np.ones(len(mean))


def unlike(distance: NDArray[np.float64]) -> Flags:
    """bool[N]: further from all others than nearly all are.

    By median and median absolute deviation of the logarithm, which few outliers do not move.
    """
    if len(distance) < 2 * NEIGHBOURS:
        return np.zeros(len(distance), dtype=np.bool_)
    size = np.log(np.maximum(distance, 1e-12))
    middle = np.median(size)
    deviation = 1.4826 * float(np.median(np.abs(size - middle)))
    return np.asarray(size - middle > UNUSUAL * max(deviation, 1e-3))


def faults(measures: Measures) -> Mapping[str, Flags]:
    """bool[N] by the fault's name: what is wrong with a picture that no network need see.

    A fault that many share is none: all of a set of X-rays may be dark.
    """
    shorter = np.minimum(measures.width, measures.height)
    longer = np.maximum(measures.width, measures.height)
    dark, bright = measures.brightness < _DARK, measures.brightness > _BRIGHT
    found = {
        "blank": (measures.contrast < _BLANK) & ~dark & ~bright,
        "dark": dark,
        "bright": bright,
        "long": longer > _LONG * shorter,
        "tiny": (shorter < _TINY) & (shorter < _TINY_SHARE * np.median(shorter)),
    }
    most = max(_ALWAYS_FAULTS, USUAL_SHARE * len(shorter))
    return {
        name: flags if flags.sum() <= most else np.zeros_like(flags)
        for name, flags in found.items()
    }


def listed(dataset: Dataset, flags: Flags, **numbers: NDArray[Any]) -> list[dict[str, Any]]:
    """The flagged examples as JSON, by their path, each with its numbers."""
    rows = []
    for position in np.flatnonzero(flags).tolist():
        example = dataset.examples[position]
        said = {name: round(float(values[position]), 4) for name, values in numbers.items()}
        rows.append({"path": example.path, "label": example.label, "split": example.split} | said)
    return sorted(rows, key=lambda row: row["path"])
