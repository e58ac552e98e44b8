"""What one accuracy hides: calibration, coverage, slices, robustness and the worst mistakes.

Everything is measured on test data with the graph that serves; validation data choose thresholds.
How to read each part is in ``docs/explanation/evaluation.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.graph import Graph
from mintage.core.errors import MintageError, Overloaded
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Split
from mintage.create.answers import Answers
from mintage.create.dataset import Dataset
from mintage.create.evaluate import answered_of
from mintage.create.gallery import SHOWN, explanations, gallery
from mintage.create.robustness import FEWEST, MOST, SETTINGS, robustness
from mintage.create.slices import slices
from mintage.store.workspace import Workspace
from mintage.tasks import coverage, metrics

PARTS = ("calibration", "coverage", "slices", "gallery", "robustness", "explanations")
"""In the order in which they are made: the quick ones first."""

AT_ONCE = ("calibration", "coverage", "slices")
"""Of those, what answers that are at hand tell; no clock decides whether they are made."""

Validation = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Of validation data: probabilities float[V, classes] and true classes int[V]."""

PROMISES = (0.9, 0.95, 0.98, 0.99)
"""Accuracies for which a threshold is looked for."""

NO_TIME = _("no time was left; mintage report measures it")
NOT_ASKED = _("no report was asked for; mintage report measures it")
_TRIED = 64
_HIDDEN = 201  # pictures that occlusion asks about, by default


@dataclass(frozen=True)
class _Part:
    make: Callable[[], Any]
    seconds: float
    """About how long it takes."""


def at_once(test: Answers, workspace: Workspace, validation: Validation) -> dict[str, Any]:
    """Those parts of a diagnosis that need no further answer: soon made, and of a signed card.

    One that cannot be made is left out; ``diagnose`` says why when it tries again.
    """
    found = {}
    for name, part in _parts(test, workspace, validation, 0.0, lambda: math.inf).items():
        if name in AT_ONCE:
            with suppress(MintageError):
                found[name] = part.make()
    return found


def diagnose(
    test: Answers,
    *,
    workspace: Workspace,
    validation: Validation | None = None,
    seconds: float | None = None,
    progress: Progress,
    known: Mapping[str, Any] | None = None,
    why_not: str = NO_TIME,
) -> dict[str, Any]:
    """What stands as ``diagnosis`` in a run's record, as JSON.

    Args:
        test: what the graph of the bundle says of the test split.
        workspace: where the examples' bytes lie.
        validation: what it says of validation data; the graph is asked where that is not given.
        seconds: how long it may take; None: as long as it needs.
        progress: shows how far it is.
        known: an earlier diagnosis, of which only what is missing is made.
        why_not: the reason that stands beside what there are no seconds for.

    Returns:
        Every part by its name; what was not made stands in ``left_out`` with its reason.
    """
    clock = workspace.clock
    started = clock.monotonic()

    def left() -> float:
        return math.inf if seconds is None else seconds - (clock.monotonic() - started)

    again = set(lacks(known or {})) if seconds is None else set()
    found = {n: part for n, part in (known or {}).items() if n in PARTS and n not in again}
    missing = [name for name in PARTS if name not in found]
    left_out = []
    progress.start(_("Examining the model"), len(missing))
    parts: Mapping[str, _Part] = {}
    if missing and left() > 0:
        each = _seconds_each(test.graph, test.images[test.positions[:_TRIED]], clock.monotonic)
        parts = _parts(test, workspace, validation, each, left)
    for number, name in enumerate(missing):
        progress.advance(number)
        reason = why_not
        if name in parts and left() >= parts[name].seconds:
            try:
                found[name] = parts[name].make()
                continue
            except MintageError as error:
                # The model is signed already: a figure that cannot be made does not undo that.
                reason = error.message
        left_out.append({"part": name, "reason": str(reason)})
    progress.finish()
    return {"format": 1, "split": "test", **found, "left_out": left_out}


def lacks(known: Mapping[str, Any]) -> list[str]:
    """The parts that an earlier diagnosis has not, or has only of fewer examples than are meant."""
    whole = known.get("robustness", {}).get("in_full", True)
    return [name for name in PARTS if name not in known or (name == "robustness" and not whole)]


def in_split(dataset: Dataset, split: Split) -> NDArray[np.intp]:
    """Positions of a split's examples; the first fold validates where folds choose."""
    if split == "validation" and dataset.has_folds:
        return np.flatnonzero([example.fold == 0 for example in dataset.examples])
    return np.flatnonzero([example.split == split for example in dataset.examples])


def _seconds_each(graph: Graph, few: NDArray[np.uint8], clock: Callable[[], float]) -> float:
    graph.run(few[:1])  # the first time, memory is laid out as well
    began = clock()
    graph.run(few)
    return (clock() - began) / max(1, len(few))


def _parts(
    test: Answers,
    workspace: Workspace,
    validation: Validation | None,
    each: float,
    left: Callable[[], float],
) -> dict[str, _Part]:
    """How to make each part, with what it takes where one answer takes ``each`` seconds.

    ``left`` says how many seconds there are still.
    """
    chosen = in_split(test.dataset, "validation")

    def covered() -> dict[str, Any]:
        if validation is not None:
            return coverage_of(test, *validation)
        asked = Answers.of(test.graph, test.manifest, test.dataset, test.images, chosen)
        return coverage_of(test, asked.probabilities, asked.targets)

    def go_on() -> None:
        if left() < 0:  # the machine has slowed down since its speed was measured
            raise Overloaded(NO_TIME)

    asking = 0.0 if validation is not None else each * len(chosen)
    explaining = 0.5 + SHOWN * _HIDDEN * (1.2 * each + 0.0001)
    damaging = len(SETTINGS) * (1.2 * each + 0.0008)  # one example, in every way

    def at_most() -> int:
        """Examples to damage: as many as leave the explanations their time, if any do."""
        there = 0.9 * left()
        spare = there - explaining
        affordable = (spare if spare >= FEWEST * damaging else there) / damaging
        return max(FEWEST, int(min(MOST, affordable)))

    return {
        "calibration": _Part(lambda: calibration(test), 0.1),
        "coverage": _Part(covered, 0.1 + 1.2 * asking),
        "slices": _Part(lambda: slices(test, workspace), 0.1 + 0.0005 * len(test.positions)),
        "gallery": _Part(lambda: gallery(test, workspace), 0.1),
        "explanations": _Part(
            lambda: explanations(test, workspace, go_on),
            explaining,
        ),
        "robustness": _Part(lambda: robustness(test, at_most(), go_on), FEWEST * damaging),
    }


def calibration(test: Answers) -> dict[str, Any]:
    """Whether probabilities are what they say, before and after the temperature."""
    temperature = test.manifest.temperature
    return {
        "temperature": temperature,
        "before": _reliability(test, test.probabilities_at(1.0)),
        "after": _reliability(test, test.probabilities_at(temperature)),
    }


def _reliability(test: Answers, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == test.targets
    bins = []
    for part in metrics.equal_mass(confidence, metrics.BINS):
        accuracy = float(correct[part].mean())
        own = [test.groups[position] for position in part.tolist()]
        bins.append(
            {
                "examples": len(part),
                "confidence": float(confidence[part].mean()),
                "accuracy": accuracy,
                "interval": list(metrics.share_interval(accuracy, own)),
            }
        )
    return {
        "calibration_error": metrics.expected_calibration_error(confidence, correct),
        "by_chance": metrics.calibration_error_by_chance(confidence),
        "log_loss": metrics.log_loss(probabilities, test.targets),
        "bins": bins,
    }


def coverage_of(
    test: Answers, probabilities: NDArray[np.float64], targets: NDArray[np.int64]
) -> dict[str, Any]:
    """What abstaining buys, by the confidence; thresholds are chosen on validation data.

    ``probabilities`` are float[V, classes] and ``targets`` int[V] of the validation data.
    """
    return {
        "curve": coverage.coverage_curve(test.confidence, test.correct, test.groups),
        "area": coverage.risk_coverage_area(test.confidence, test.correct),
        "area_by_chance": float(1 - test.correct.mean()),
        "threshold": test.manifest.abstain_threshold,
        "validation_examples": len(targets),
        "promises": [
            _promise(test, coverage.threshold_for(probabilities, targets, accuracy), accuracy)
            for accuracy in PROMISES
        ],
    }


def _promise(test: Answers, threshold: float | None, accuracy: float) -> dict[str, Any]:
    """A threshold that promises an accuracy, and what came of it on test data."""
    row = {"accuracy": accuracy, "threshold": threshold}
    if threshold is None:
        return row | {"examples_needed": coverage.examples_needed(accuracy)}
    sure = coverage.answered(test.probabilities, threshold) & ~test.unusual
    return row | answered_of(test.correct, sure, test.groups)
