"""Which cures against overfitting help here: without any, with each alone, and with all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import missing_extra
from mintage.core.messages import _
from mintage.create.cures import name_of
from mintage.tasks.metrics import paired_interval, wilson_interval

try:
    import torch

    from mintage.create.losses import predicted_classes
    from mintage.create.recipe import Candidate
    from mintage.create.trials import Trained, Trials
    from mintage.modalities.image.augment import Augmentation
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

OF_PICTURES: Mapping[str, Mapping[str, Any]] = {
    "flips": {"flips": "measure"},
    "rotation": {"rotation_degrees": 8.0},
    "cropping": {"crop": 0.35},
    "scaling": {"scale": 0.1, "aspect": 0.15},
    "translation": {"translation": 0.025},
    "light": {"brightness": 0.15, "contrast": 0.15, "colour": 0.15},
    "erasing": {"erasing": 0.25},
}
"""Cures that are part of a candidate's augmentation."""

CURES: Mapping[str, Mapping[str, Any]] = {
    **OF_PICTURES,
    "mixup": {"mixup": 0.25},
    "cutmix": {"cutmix": 0.25},
    "weight_decay": {"weight_decay": 0.05},
    "l1": {"l1": 3e-5},  # divided by the learning rate: what a step takes off a weight at its peak
    "dropout": {"dropout": 0.3},
    "label_smoothing": {"label_smoothing": 0.1},
    "averaging": {"averaging": 0.99},
    "early_stopping": {"early_stopping_patience": 10, "restore_best_weights": True},
}
"""By their names (``cures.name_of`` says them to people): how strong where the recipe has none."""

TRAININGS = len(CURES) + 3
"""The recipe's own, one without cures, one with each alone and one with all."""


def without(candidate: Candidate) -> Candidate:
    """The candidate with no cure at all; the weights of its last epoch are its result."""
    return replace(
        candidate,
        name="no-cure",
        augmentation=Augmentation.none(),
        mixup=0.0,
        cutmix=0.0,
        weight_decay=0.0,
        l1=0.0,
        dropout=0.0,
        label_smoothing=0.0,
        averaging=0.0,
        early_stopping_patience=None,
        restore_best_weights=False,
    )


def alone(candidate: Candidate, cure: str) -> Candidate:
    """The candidate with one cure only, as strong as its recipe has it, else as usual."""
    bare = replace(without(candidate), name=f"only-{cure.replace('_', '-')}")
    return _with(bare, cure, _strength(candidate, cure))


def together(candidate: Candidate) -> Candidate:
    """The candidate with every cure, each as strong as its recipe has it, else as usual."""
    found = replace(candidate, name="all-cures")
    for cure in CURES:
        found = _with(found, cure, _strength(candidate, cure))
    return found


def _strength(candidate: Candidate, cure: str) -> Mapping[str, Any]:
    """What the recipe has of a cure; what is usual, where it has nothing of it."""
    usual = _usual(candidate, cure)
    holder = candidate.augmentation if cure in OF_PICTURES else candidate
    own = {name: getattr(holder, name) for name in usual}
    if cure == "early_stopping" and own["early_stopping_patience"] is None:
        return usual
    return own if any(value and value != "none" for value in own.values()) else usual


def _with(candidate: Candidate, cure: str, strength: Mapping[str, Any]) -> Candidate:
    if cure in OF_PICTURES:
        return replace(candidate, augmentation=replace(candidate.augmentation, **strength))
    return replace(candidate, **strength)


def _usual(candidate: Candidate, cure: str) -> Mapping[str, Any]:
    if cure == "l1":
        return {"l1": CURES["l1"]["l1"] / candidate.learning_rate}
    return CURES[cure]


def variants(candidate: Candidate) -> dict[str, Candidate]:
    """Every training beside the candidate's own, by its cure's name."""
    each = {cure: alone(candidate, cure) for cure in CURES}
    return {"none": without(candidate)} | each | {"all": together(candidate)}


class Ablation:
    """The trainings of one run: the recipe's candidate, which is kept, and its variants.

    By the clock each gets the same time, at most. Cures are judged on the data that chooses, by the
    recipe's measure.
    """

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        self._trained: dict[str, Trained] = {}
        self._share = float("inf")

    def train(self) -> list[Trained]:
        """Train the recipe's candidate as it is, then its variants.

        Raises:
            ConfigError: it could not be trained.
        """
        trials = self.trials
        (candidate,) = trials.recipe.candidates
        all_of_them = {"recipe": candidate} | variants(candidate)
        for position, (cure, variant) in enumerate(all_of_them.items()):
            if self._trained and trials.should_stop():
                break
            if self._trained and trials.is_too_late_for(variant):
                continue
            trials.progress.say(
                _(
                    "Training {number} of {count}: {cure}",
                    number=position + 1,
                    count=len(all_of_them),
                    cure=name_of(cure),
                )
            )
            waiting = list(all_of_them.values())[position:]
            trials.later = waiting[1:]
            found = trials.attempt(variant, self._share_of(waiting), stage=cure)
            if found is not None:
                self._trained[cure] = found
        return trials.some([each for cure, each in self._trained.items() if cure == "recipe"])

    def _share_of(self, waiting: Sequence[Candidate]) -> Callable[[], float | None]:
        """What the first got: what it left over would make those after it look better."""

        def share() -> float | None:
            found = self.trials.share(waiting)
            if found is not None:
                self._share = found = min(found, self._share)
            return found

        return share

    def table(self) -> list[dict[str, Any]]:
        """One line a training, as JSON; nothing is judged where ``none`` was not reached."""
        examples = int(self.trials.validation().sum())
        rows = [_row(cure, found, examples) for cure, found in self._trained.items()]
        order = ["none", *CURES, "all", "recipe"]
        rows.sort(key=lambda row: order.index(row["cure"]))
        if "none" not in self._trained:
            return rows
        right = {cure: _right(found) for cure, found in self._trained.items()}
        weights = None
        if self.trials.recipe.choose_by == "balanced_accuracy":
            weights = _balanced(self._trained["none"].fitted.validation_labels)
        return judged(rows, right, weights)


def _balanced(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[V] that sum to 1: each class as much as another."""
    counts = np.bincount(labels)
    return np.asarray(1 / (counts[labels] * (counts > 0).sum()), dtype=np.float64)


def _right(found: Trained) -> NDArray[np.bool_]:
    """bool[V]: which validation examples are answered right."""
    fitted = found.fitted
    chosen = predicted_classes(torch.from_numpy(fitted.validation_logits)).numpy()
    return np.asarray(chosen == fitted.validation_labels)


def _row(cure: str, found: Trained, examples: int) -> dict[str, Any]:
    fitted = found.fitted
    right = round(fitted.validation_accuracy * examples)
    return {
        "cure": cure,
        "train_accuracy": fitted.train_accuracy,
        "validation_accuracy": fitted.validation_accuracy,
        "validation_interval": list(wilson_interval(right, examples)),
        "score": found.score,
        "gap": fitted.train_accuracy - fitted.validation_accuracy,
        "epochs": fitted.epochs,
        "seconds": round(fitted.seconds, 3),
        "helps": None,
        # Mirror images that were found to show something else were not shown.
        "applied": cure != "flips" or fitted.flips is None or fitted.flips.chosen != "none",
    }


def judged(
    rows: list[dict[str, Any]],
    right: Mapping[str, NDArray[np.bool_]],
    weights: NDArray[np.float64] | None = None,
) -> list[dict[str, Any]]:
    """Say of each cure whether it helped: better on validation data than none by more than chance.

    All answer the same examples (bool[V] each, by cure), so that pairs are compared; intervals are
    as wide as so many comparisons ask for (95 %, Bonferroni). With ``weights`` float64[V] examples
    count differently. ``helps`` is None where nothing can be told, and for ``none`` itself.
    """
    compared = [each for each in rows if each["cure"] != "none"]
    strict = NormalDist().inv_cdf(1 - 0.025 / max(len(compared), 1))
    for each in compared:
        least, most = _difference(right[each["cure"]], right["none"], weights, strict)
        each["helps"] = True if least > 0 else False if most < 0 else None
    return rows


def _difference(
    own: NDArray[np.bool_],
    bare: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    deviations: float,
) -> tuple[float, float]:
    """Between which bounds the share of right answers differs: Tango's for pairs.

    Where examples count differently, McNemar's deviation with their weights in it.
    """
    won, lost = own & ~bare, bare & ~own
    if weights is None:
        return paired_interval(int(won.sum()), int(lost.sum()), len(bare), deviations)
    difference = float(weights[won].sum() - weights[lost].sum())
    error = deviations * sqrt(float((weights[won | lost] ** 2).sum()))
    return difference - error, difference + error
