"""Measures of a classifier's quality, from their formulas; each is tested against an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Z95 = 1.959963984540054
_RESAMPLES = 2000


def wilson_interval(successes: int, trials: int, z: float = _Z95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927); (0, 1) where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def cluster_interval(correct: NDArray[np.bool_], groups: Sequence[str]) -> tuple[float, float]:
    """95 % percentile bootstrap over whole groups: near duplicates are not independent examples."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(member)
    hits = np.bincount(member, weights=correct)
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(sizes), (_RESAMPLES, len(sizes)))
    accuracies = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(accuracies, [0.025, 0.975])
    return float(low), float(high)


def accuracy_interval(
    correct: NDArray[np.bool_], groups: Sequence[str] | None
) -> tuple[float, float]:
    """Wilson's interval, or the cluster bootstrap where examples come in groups."""
    if groups is not None and len(set(groups)) < len(groups):
        return cluster_interval(correct, groups)
    return wilson_interval(int(correct.sum()), len(correct))


def confusion_matrix(targets: Ints, predicted: Ints, classes: int) -> Ints:
    """int64[classes, classes]: row = the true class, column = the answer."""
    return np.bincount(targets * classes + predicted, minlength=classes * classes).reshape(
        classes, classes
    )


def precision_recall_f1(confusion: Ints) -> tuple[Floats, Floats, Floats]:
    """One value a class each; 0 where a denominator is 0."""
    hits = np.diag(confusion).astype(np.float64)
    answered, present = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = hits / np.maximum(answered, 1)
    recall = hits / np.maximum(present, 1)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return precision, recall, f1


def roc_auc(scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """The chance that a positive scores above a negative (Mann-Whitney U), ties half.

    None where one of the two is missing.
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def log_loss(probabilities: Floats, targets: Ints) -> float:
    """Mean negative log-likelihood in nats; probabilities float[N, classes]."""
    chosen = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(chosen, 1e-12, None)).mean())


def expected_calibration_error(
    confidence: Floats, correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean distance of confidence and accuracy over bins of equal mass (Nguyen, O'Connor 2015)."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(confidence[part].mean() - correct[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / max(1, len(confidence)))
