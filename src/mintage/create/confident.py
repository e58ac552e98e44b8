"""Which labels are probably wrong, by confident learning on probabilities that are out of fold.

Northcutt, Jiang & Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70: a threshold for each class, the confident joint,
its calibration to the counts of the classes, and pruning by noise rate. Nothing is trained here:
``probabilities`` float[N, k] come from models that never saw the example they speak of, and
``labels`` int[N] are what people gave.

One thing is added. The confident joint takes a weak model's own mistakes for wrong labels: with
5 % of the labels of 4,000 photographs turned and a model that is 87 % right it counts 9 %. Where
a model is surest it hardly errs, and what is labelled otherwise there is labelled wrongly (anchor
points: Liu & Tao 2016, IEEE TPAMI 38): there it is 5 %, which limits what the joint says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Labels = NDArray[np.int64]
Counts = NDArray[np.int64]  # [k, k]: row = the given label, column = the class meant

SUREST = 0.3
"""Of the examples that a model takes for a class: those that it is surest of."""


@dataclass(frozen=True)
class Confidence:
    """What confident learning says of N examples of k classes."""

    thresholds: NDArray[np.float64]  # [k]; infinite for a class without examples
    confident_joint: Counts  # of those that reach a threshold
    calibrated: Counts  # the same of all; each row sums to the class's number of labels
    counts: Counts  # calibrated, limited by what the surest answers say; rows sum alike
    self_confidence: NDArray[np.float64]  # [N]: the probability of the given label
    margin: NDArray[np.float64]  # [N], 0 to 1: above 1/2 the given label is the most probable
    suggested: Labels  # [N]: the most probable class other than the given
    is_suspect: NDArray[np.bool_]  # [N]
    rank: NDArray[np.int64]  # [N]: 0 for the most suspect

    @property
    def noise_rate(self) -> float:
        """The estimated share of labels that are wrong."""
        return float(1 - np.trace(self.counts) / max(1, self.counts.sum()))


def judge(probabilities: Probabilities, labels: Labels) -> Confidence:
    """Estimate how many labels are wrong, and which.

    Examples are ranked with the suspects first, then by margin, then by position.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    thresholds = class_thresholds(chances, labels)
    joint = confident_joint(chances, labels, thresholds)
    all_of_them = calibrated(joint, np.bincount(labels, minlength=chances.shape[1]))
    counts = limited(all_of_them, chances, labels)
    margin, suggested = normalised_margin(chances, labels)
    suspect = pruned_by_noise_rate(chances, labels, counts)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[np.lexsort((margin, ~suspect))] = np.arange(len(labels))
    return Confidence(
        thresholds=thresholds,
        confident_joint=joint,
        calibrated=all_of_them,
        counts=counts,
        self_confidence=_own(chances, labels),
        margin=margin,
        suggested=suggested,
        is_suspect=suspect,
        rank=rank,
    )


def class_thresholds(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """float64[k]: the mean probability of a class among the examples labelled with it.

    A class of which the model is seldom sure gets a low threshold, so that uneven confidence is
    not taken for uneven noise.
    """
    classes = probabilities.shape[1]
    sums = np.bincount(labels, weights=_own(probabilities, labels), minlength=classes)
    sizes = np.bincount(labels, minlength=classes)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)


def confident_joint(
    probabilities: Probabilities, labels: Labels, thresholds: NDArray[np.float64]
) -> Counts:
    """int64[k, k]: examples with the label i (row) that are confidently of the class j (column).

    Confidently of j is what reaches the threshold of j; of several classes the most probable. An
    example that reaches none is not counted.
    """
    classes = probabilities.shape[1]
    reached = probabilities >= thresholds
    counted = reached.any(axis=1)
    likely = np.where(reached, probabilities, -1.0).argmax(axis=1)
    pairs = labels[counted] * classes + likely[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def calibrated(joint: Counts, sizes: NDArray[np.int64]) -> Counts:
    """int64[k, k]: the joint scaled so that each row sums to its class's number of examples.

    Whole numbers by largest remainder; a row in which nothing was counted is all on its diagonal.
    """
    counts = np.diag(sizes).astype(np.int64)
    for given in np.flatnonzero(joint.sum(axis=1)):
        exact = joint[given] * (sizes[given] / joint[given].sum())
        whole = np.floor(exact).astype(np.int64)
        left = int(sizes[given] - whole.sum())
        whole[np.argsort(whole - exact, kind="stable")[:left]] += 1
        counts[given] = whole
    return counts


def limited(counts: Counts, probabilities: Probabilities, labels: Labels) -> Counts:
    """int64[k, k]: no more wrong labels than the surest answers let one expect; rows sum alike.

    Of those that a model is surest to be of class j, the share labelled i is taken one standard
    error high (Wilson's), so that a few sure answers do not rule errors out.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    found = counts.copy()
    for meant in range(classes):
        taken = np.flatnonzero(predicted == meant)
        taken = taken[np.argsort(-probabilities[taken, meant], kind="stable")]
        surest = taken[: int(np.ceil(SUREST * len(taken)))]
        seen = np.bincount(labels[surest], minlength=classes)
        most = np.ceil(_upper(seen, len(surest)) * counts[:, meant].sum()).astype(np.int64)
        most[meant] = counts[meant, meant]
        found[:, meant] = np.minimum(counts[:, meant], most)
    found[np.diag_indices(classes)] += counts.sum(axis=1) - found.sum(axis=1)
    return found


def _upper(successes: NDArray[np.int64], trials: int) -> NDArray[np.float64]:
    """float64[k]: the upper end of Wilson's interval at one standard error; 1 of no trials."""
    if trials == 0:
        return np.ones(len(successes))
    share = successes / trials
    half = np.sqrt(share * (1 - share) / trials + 1 / (4 * trials * trials))
    return np.minimum(1.0, (share + 1 / (2 * trials) + half) / (1 + 1 / trials))


def pruned_by_noise_rate(
    probabilities: Probabilities, labels: Labels, counts: Counts
) -> NDArray[np.bool_]:
    """bool[N]: of each pair of classes as many as were estimated, by the largest margin.

    The margin of i labelled, j meant is p(j) - p(i). What the model thinks to be right is never
    among them, however many were estimated.
    """
    suspect = np.zeros(len(labels), dtype=np.bool_)
    doubted = probabilities.argmax(axis=1) != labels
    own = _own(probabilities, labels)
    for given, meant in zip(*np.nonzero(counts), strict=True):
        if given == meant:
            continue
        own_class = np.flatnonzero(doubted & (labels == given))
        margins = probabilities[own_class, meant] - own[own_class]
        above = own_class[margins > 0]
        order = np.argsort(-margins[margins > 0], kind="stable")
        suspect[above[order[: counts[given, meant]]]] = True
    return suspect


def normalised_margin(
    probabilities: Probabilities, labels: Labels
) -> tuple[NDArray[np.float64], Labels]:
    """How far the given label is ahead of the best other, from 0 to 1, and which that is."""
    others = np.array(probabilities, dtype=np.float64)
    others[np.arange(len(labels)), labels] = -np.inf
    best = others.argmax(axis=1)
    ahead = _own(probabilities, labels) - others[np.arange(len(labels)), best]
    return (ahead + 1) / 2, best


def _own(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    return np.asarray(probabilities[np.arange(len(labels)), labels], dtype=np.float64)
