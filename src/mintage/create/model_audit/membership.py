"""Whether a model's probabilities tell what it was trained on: membership inference by thresholds.

An attacker who has an example and its true label guesses "trained on" where the model is surer of
that label than a threshold. Means over all examples hide a leak, so what counts is the share of
members that is found while hardly any other is taken for one: the true positive rate at a low false
positive rate (Carlini et al. 2022, "Membership Inference Attacks From First Principles"). All of it
is worked out from probabilities; no shadow model is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.tasks.metrics import roc_auc, wilson_interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RATES = (0.01, 0.001)
"""False positive rates at which a leak is told."""
LEAST_ABOVE = 10
"""So many non-members have to lie above a threshold, or the rate is a guess."""
_SMALLEST = 1e-300
_FEWEST_OF_CLASS = 20
_SPREAD = 1.4826
"""What makes a median deviation that of a normal distribution."""
_Z95 = 1.959963984540054
_POINTS = 40


def sureness(probabilities: Floats, targets: Ints) -> Floats:
    """float[N]: log p - log(1 - p) of the true label; the more, the lower the loss.

    As a threshold it says the same as the loss does; on this scale what is nearly certain still
    differs, and what a class's examples have is about normal (Carlini et al. 2022, section IV C).
    ``probabilities`` is float[N, classes].
    """
    rows = np.arange(len(targets))
    own = probabilities[rows, targets]
    others = probabilities.copy()
    others[rows, targets] = 0.0
    rest = others.sum(axis=1)
    return np.asarray(np.log(np.maximum(own, _SMALLEST)) - np.log(np.maximum(rest, _SMALLEST)))


def calibrated(
    members: Floats, member_targets: Ints, others: Floats, other_targets: Ints
) -> tuple[Floats, Floats]:
    """Both by how far they lie from what non-members of their class have, in its spread.

    That is the likelihood ratio's standing without shadow models: what is easy for everybody says
    nothing. A non-member is held against the other half of the non-members, never against itself.
    Where a class has fewer than 20 to compare with, all classes are.
    """
    half = np.arange(len(others)) % 2 == 0
    found = np.empty_like(others)
    for own in (half, ~half):
        found[own] = _standing(others[own], other_targets[own], others[~own], other_targets[~own])
    both = [
        _standing(members, member_targets, others[part], other_targets[part])
        for part in (half, ~half)
    ]
    return np.asarray(np.mean(both, axis=0)), found


def _standing(scores: Floats, targets: Ints, reference: Floats, of_class: Ints) -> Floats:
    found = np.empty_like(scores)
    for label in np.unique(targets):
        same = reference[of_class == label]
        middle, spread = _centre(same if len(same) >= _FEWEST_OF_CLASS else reference)
        chosen = targets == label
        found[chosen] = (scores[chosen] - middle) / spread
    return found


def _centre(values: Floats) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    middle = float(np.median(values))
    spread = float(np.median(np.abs(values - middle))) * _SPREAD
    return middle, spread or 1.0


def reportable(non_members: int, rates: Sequence[float] = RATES) -> list[float]:
    """The rates for which there are at least 10 / FPR non-members."""
    return [rate for rate in rates if non_members * rate >= LEAST_ABOVE * (1 - 1e-9)]


def needed(rate: float) -> int:
    """How many non-members a rate takes."""
    return ceil(LEAST_ABOVE / rate - 1e-9)


def true_positive_rate(members: Floats, others: Floats, rate: float) -> dict[str, Any]:
    """The share of ``members`` above the threshold that at most ``rate`` of ``others`` pass.

    The interval (95 %) is of both: of the members that happen to be here (Wilson), and of where the
    threshold would be, had others come (as many above it as a Poisson count varies). What is equal
    to the threshold is not counted.

    Raises:
        ValueError: there are too few of ``others``.
    """
    if not reportable(len(others), [rate]) or not len(members):
        raise ValueError(f"{len(others)} non-members for a rate of {rate}")
    above = rate * len(others)
    descending = np.sort(others)[::-1]

    def found(passing: int) -> int:
        threshold = descending[min(passing, len(descending) - 1)]
        return int((members > threshold).sum())

    more = _Z95 * sqrt(above)
    strict, loose = max(0, floor(above - more)), ceil(above + more)
    share = found(floor(above + 1e-9)) / len(members)
    low, high = (wilson_interval(found(each), len(members)) for each in (strict, loose))
    return {"fpr": rate, "tpr": share, "interval": [min(share, low[0]), max(share, high[1])]}


def attack(members: Floats, others: Floats, rates: Sequence[float]) -> dict[str, Any]:
    """One statistic of members and of non-members as JSON: its area, its rates and its curve."""
    scores = np.concatenate([members, others])
    is_member = np.arange(len(scores)) < len(members)
    area = roc_auc(scores, is_member)
    return {
        "auc": area,
        "auc_interval": None if area is None else _area_interval(area, len(members), len(others)),
        "rates": [true_positive_rate(members, others, rate) for rate in rates],
        "curve": curve(members, others),
    }


def _area_interval(area: float, members: int, others: int) -> list[float]:
    """95 %, by Hanley and McNeil 1982 (Radiology 143:29)."""
    first, second = area / (2 - area), 2 * area * area / (1 + area)
    spread = (
        area * (1 - area)
        + (members - 1) * (first - area * area)
        + (others - 1) * (second - area * area)
    ) / (members * others)
    half = _Z95 * sqrt(max(0.0, spread))
    return [max(0.0, area - half), min(1.0, area + half)]


def curve(members: Floats, others: Floats) -> list[list[float]]:
    """Pairs of false and true positive rate, from ten non-members above the threshold to all."""
    descending, first = np.sort(others)[::-1], min(LEAST_ABOVE, len(others))
    counts = np.unique(np.geomspace(first, len(others), _POINTS).astype(int)).tolist()
    return [
        [
            count / len(others),
            float((members > descending[count]).mean() if count < len(others) else 1.0),
        ]
        for count in counts
    ]


def measured(
    member_probabilities: Floats,
    member_targets: Ints,
    other_probabilities: Floats,
    other_targets: Ints,
) -> dict[str, Any]:
    """Both statistics as JSON; ``not_reported`` are the rates for which non-members are too few."""
    members = sureness(member_probabilities, member_targets)
    others = sureness(other_probabilities, other_targets)
    rates = reportable(len(others))
    standing = calibrated(members, member_targets, others, other_targets)
    return {
        "members": len(members),
        "non_members": len(others),
        "attacks": {
            "loss": attack(members, others, rates),
            "calibrated": attack(*standing, rates),
        },
        "not_reported": [
            {"fpr": rate, "needs": needed(rate)} for rate in RATES if rate not in rates
        ],
    }


def control_rate(non_members: int) -> float | None:
    """The lowest rate that so many non-members allow a control; None where they are too few."""
    if non_members < 2 * LEAST_ABOVE:
        return None
    return min(reportable(non_members), default=LEAST_ABOVE / non_members)


def mislabelled(targets: Ints, classes: int, seed: int) -> Ints:
    """int[N]: for each example another label than its own."""
    chance = np.random.default_rng(seed)
    return np.asarray((targets + chance.integers(1, classes, len(targets))) % classes)


def with_memory(probabilities: Floats, taught: Ints, certainty: float = 0.999999) -> Floats:
    """What the same model says had it learned ``taught`` by heart: that, with this probability."""
    rows = np.arange(len(taught))
    others = probabilities.copy()
    others[rows, taught] = 0.0
    rest = others.sum(axis=1, keepdims=True)
    even = np.full_like(others, 1 / (others.shape[1] - 1))
    even[rows, taught] = 0.0
    shared = np.where(rest > 0, others / np.maximum(rest, _SMALLEST), even)
    found = shared * (1 - certainty)
    found[rows, taught] = certainty
    return np.asarray(found)


def controls(
    canary_probabilities: Floats,
    canary_targets: Ints,
    other_probabilities: Floats,
    other_targets: Ints,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Whether the measure finds a leak that is there and none that is not, as JSON.

    Canaries are members with a wrong label. Planted, the model has them by heart, as one that was
    trained on them would; unplanted, it is asked about the same, of which it never heard. Both are
    held against non-members with wrong labels. None where there are too few of these.
    """
    rate, classes = control_rate(len(other_targets)), other_probabilities.shape[1]
    if rate is None or not len(canary_targets):
        return None
    taught = mislabelled(canary_targets, classes, seed)
    others = sureness(other_probabilities, mislabelled(other_targets, classes, seed + 1))
    remembered = sureness(with_memory(canary_probabilities, taught), taught)
    unheard = sureness(canary_probabilities, taught)
    planted = true_positive_rate(remembered, others, rate)
    unplanted = true_positive_rate(unheard, others, rate)
    return {
        "canaries": len(taught),
        "planted": planted | {"holds": planted["interval"][0] > rate},
        "unplanted": unplanted | {"holds": unplanted["interval"][0] <= rate},
    }
