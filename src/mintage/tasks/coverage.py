"""Answering only when sure: how right the surest answers are, and where to draw the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.tasks.metrics import Floats, Ints, binomial_tail, share_interval

DECIMALS = 6
"""Of a probability in an answer: what is compared with a threshold is what people see."""

STEPS = 20
_DOUBT = 0.05


def answered(probabilities: Floats, threshold: float | None) -> NDArray[np.bool_]:
    """bool[N]: which of float[N, classes] are answered; all of them where there is no threshold."""
    sure = np.round(probabilities.max(axis=1), DECIMALS)
    return np.ones(len(sure), bool) if threshold is None else np.asarray(sure >= threshold)


def coverage_curve(
    confidence: Floats, correct: NDArray[np.bool_], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """How right the surest twentieth, two twentieths … of the answers are, with 95 % intervals.

    Equally sure answers cannot be told apart, so each counts as their mean.
    """
    order, right = _surest_first(confidence, correct)
    hits = np.cumsum(right)
    rows = []
    for step in range(1, STEPS + 1):
        count = _part(step, len(order))
        accuracy = float(hits[count - 1] / count)
        interval = share_interval(accuracy, [groups[position] for position in order[:count]])
        rows.append(
            {
                "coverage": step / STEPS,
                "answered": count,
                "accuracy": accuracy,
                "interval": list(interval),
                "threshold": round(float(confidence[order[count - 1]]), DECIMALS),
            }
        )
    return rows


def risk_coverage_area(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Area under the curve of risk over coverage: the mean share of wrong answers (AURC).

    Over the 1, 2, … N surest (Geifman, Uziel, El-Yaniv 2019, "Bias-reduced uncertainty
    estimation"). A confidence that says nothing has the error rate itself.
    """
    __, right = _surest_first(confidence, correct)
    counts = np.arange(1, len(right) + 1)
    return float((1 - np.cumsum(right) / counts).mean())


def threshold_for(probabilities: Floats, targets: Ints, accuracy: float) -> float | None:
    """The lowest probability at and above which answers are right at least that often.

    Args:
        probabilities: float[N, classes] of *validation* examples.
        targets: int[N], their classes.
        accuracy: the least share of right answers, from 0 to 1.

    Returns:
        What ``abstain_threshold`` of a bundle holds: the first of the thresholds that answer 100,
        95 … 5 % for which chance does not explain so many right answers (exact binomial test,
        5 %: the same as a one-sided Clopper-Pearson bound above ``accuracy``). None where there
        is none, for which too few examples suffice: see ``examples_needed``.

    Of simulated models the promise failed for 0 to 3 % where confidence says something, and for
    10 % where it says nothing, since twenty thresholds are tried.

    Raises:
        ConfigError: ``accuracy`` is not between 0 and 1; certainty cannot be measured.
    """
    _check(accuracy)
    sure = np.round(probabilities.max(axis=1), DECIMALS)
    correct = probabilities.argmax(axis=1) == targets
    falling = np.sort(sure)[::-1]
    for step in range(STEPS, 0, -1):
        threshold = float(falling[_part(step, len(sure)) - 1])
        chosen = sure >= threshold
        if binomial_tail(int(correct[chosen].sum()), int(chosen.sum()), accuracy) <= _DOUBT:
            return threshold
    return None


def examples_needed(accuracy: float) -> int:
    """How many examples, all right, are the least that show this accuracy to ``threshold_for``."""
    _check(accuracy)
    return math.ceil(math.log(_DOUBT) / math.log(accuracy))


def _check(accuracy: float) -> None:
    if not 0 < accuracy < 1:
        raise ConfigError(
            _(
                "An accuracy that is promised lies between 0 % and 100 %, not at {accuracy:.0%}.",
                accuracy=accuracy,
            ),
            remedy=_("Ask for less than certainty, such as 98%."),
        )


def _part(step: int, count: int) -> int:
    return -(-step * count // STEPS)


def _surest_first(
    confidence: Floats, correct: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    order = np.argsort(-confidence, kind="stable")
    __, tied = np.unique(-confidence, return_inverse=True)
    share = np.bincount(tied, weights=correct) / np.bincount(tied)
    return order, share[tied][order]
