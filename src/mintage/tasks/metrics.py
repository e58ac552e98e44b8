"""Measures of a classifier's quality, from their formulas; each is tested against an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, fsum, lgamma, log, log1p, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Z95 = 1.959963984540054
BINS = 15
"""Of equal mass, where confidence is compared with accuracy."""

_RESAMPLES = 2000
_REDRAWN = 500


def wilson_interval(successes: float, trials: int, z: float = _Z95) -> tuple[float, float]:
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


def share_interval(share: float, groups: Sequence[str], z: float = _Z95) -> tuple[float, float]:
    """Wilson's interval of a share of examples, of which those of one group count as one.

    Wider than the cluster bootstrap where near duplicates differ, and of some width even where
    all are right, which makes it fit for the few examples of a slice.
    """
    trials = len(set(groups))
    return wilson_interval(share * trials, trials, z)


def binomial_tail(hits: int, trials: int, share: float) -> float:
    """P(X >= hits) for X binomial: in logarithms, as factorials are beyond any float."""
    if hits <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    logs = (
        lgamma(trials + 1)
        - lgamma(k + 1)
        - lgamma(trials - k + 1)
        + k * log(share)
        + (trials - k) * log1p(-share)
        for k in range(hits, trials + 1)
    )
    return min(1.0, fsum(map(exp, logs)))


def chance_of_so_few(share: float, groups: Sequence[str], expected: float) -> float:
    """How probable it is that no more are right, were each right with a probability (binomial).

    Those of one group count as one. Exact, and so fit for few examples of which few are wrong.
    """
    trials = len(set(groups))
    return binomial_tail(trials - round(share * trials), trials, 1 - expected)


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
    confidence: Floats, correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """Mean distance of confidence and accuracy over bins of equal mass (Nguyen, O'Connor 2015)."""
    parts = equal_mass(confidence, bins)
    gaps = [abs(confidence[part].mean() - correct[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / max(1, len(confidence)))


def equal_mass(confidence: Floats, bins: int) -> list[NDArray[np.intp]]:
    """Positions by rising confidence, in ``bins`` parts of nearly one size; none is empty."""
    order = np.argsort(confidence, kind="stable")
    return [part for part in np.array_split(order, bins) if len(part)]


def calibration_error_by_chance(confidence: Floats, bins: int = BINS) -> float:
    """What 95 % of perfectly calibrated models with these confidences would stay below.

    Few examples make any model look uncalibrated. Their answers are drawn anew, right with just
    the chance that the confidence says (consistency resampling, Bröcker and Smith 2007).
    """
    parts = equal_mass(confidence, bins)
    ordered = confidence[np.concatenate(parts)]
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    chance = np.random.default_rng(0)
    errors = [
        np.abs(np.add.reduceat((chance.random(len(ordered)) < ordered) - ordered, starts)).sum()
        for __ in range(_REDRAWN)
    ]
    return float(np.quantile(errors, 0.95) / len(ordered))


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test: the discordant pairs as throws of a fair coin.

    Twice the binomial's smaller tail, at most 1 (McNemar 1947; Fagerland, Lydersen, Laake 2013).
    """
    thrown, more = only_first + only_second, max(only_first, only_second)
    return min(1.0, 2 * binomial_tail(more, thrown, 0.5))


def paired_interval(
    only_first: int, only_second: int, pairs: int, z: float = _Z95
) -> tuple[float, float]:
    """The score interval of (only_first - only_second) / pairs (Tango 1998, Stat. Med. 17:891).

    Its ends are the differences d whose score statistic is z: with q the probability of
    ``only_second`` that is most likely if the true difference is d,
    (only_first - only_second - pairs d)² = z² pairs (2 q + d (1 - d)).
    """
    observed = (only_first - only_second) / pairs

    def beyond(difference: float) -> bool:
        linear = (2 * pairs - only_first + only_second) * difference - only_first - only_second
        constant = -only_second * difference * (1 - difference)
        root = sqrt(max(0.0, linear * linear - 8 * pairs * constant))
        likeliest = (root - linear) / (4 * pairs)
        variance = pairs * max(0.0, 2 * likeliest + difference * (1 - difference))
        return (only_first - only_second - pairs * difference) ** 2 > z * z * variance

    ends = []
    for outside in (-1.0, 1.0):
        inside, out = observed, outside
        for __ in range(60):  # halving: what is left is below a float's precision
            middle = (inside + out) / 2
            inside, out = (inside, middle) if beyond(middle) else (middle, out)
        ends.append(inside)
    return ends[0], ends[1]
