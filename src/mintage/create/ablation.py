"""Which cures against overfitting help here: without any, with each alone, and with all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mintage.core.messages import _
from mintage.create.cures import name_of
from mintage.create.recipe import Candidate
from mintage.create.trials import Trained, Trials
from mintage.modalities.image.augment import Augmentation
from mintage.tasks.metrics import wilson_interval

CURES: Mapping[str, Mapping[str, Any]] = {
    "augmentation": {},
    "mixing": {"mixup": 0.25, "cutmix": 0.25},
    "weight_decay": {"weight_decay": 0.05},
    "l1": {"l1": 1e-3},
    "dropout": {"dropout": 0.3},
    "label_smoothing": {"label_smoothing": 0.1},
    "averaging": {"averaging": 0.99},
    "early_stopping": {"early_stopping_patience": 10, "restore_best_weights": True},
}
"""By their names (``cures.name_of`` says them to people): how strong where the recipe has none."""


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
    if cure == "augmentation":
        given = candidate.augmentation
        return replace(bare, augmentation=Augmentation() if given == Augmentation.none() else given)
    usual = CURES[cure]
    own = {name: getattr(candidate, name) for name in usual}
    chosen = {**usual, **own} if any(own.values()) else usual
    if cure == "early_stopping" and chosen["early_stopping_patience"] is None:
        chosen = usual
    return replace(bare, **chosen)


def variants(candidate: Candidate) -> dict[str, Candidate]:
    """Every training beside the candidate's own, by its cure's name."""
    return {"none": without(candidate)} | {cure: alone(candidate, cure) for cure in CURES}


class Ablation:
    """The trainings of one run: the recipe's candidate, which is kept, and its variants.

    By the clock each gets the same time. Cures are judged on the data that chooses.
    """

    def __init__(self, trials: Trials) -> None:
        self.trials = trials
        self._trained: dict[str, Trained] = {}

    def train(self) -> list[Trained]:
        """Train the recipe's first candidate with all its cures, then its variants.

        Raises:
            ConfigError: it could not be trained.
        """
        trials = self.trials
        (candidate,) = trials.recipe.candidates
        all_of_them = {"all": candidate} | variants(candidate)
        for position, (cure, variant) in enumerate(all_of_them.items()):
            if self._trained and trials.should_stop():
                break
            if self._trained and trials.is_too_late_for(variant):
                continue
            trials.progress.say(
                _(
                    "Cure {number} of {count}: {cure}",
                    number=position + 1,
                    count=len(all_of_them),
                    cure=name_of(cure),
                )
            )
            waiting = list(all_of_them.values())[position:]
            found = trials.attempt(variant, lambda w=waiting: trials.share(w), stage=cure)  # type: ignore[misc]
            if found is not None:
                self._trained[cure] = found
        return trials.some([each for cure, each in self._trained.items() if cure == "all"])

    def table(self) -> list[dict[str, Any]]:
        """One line a training, as JSON; nothing is judged where ``none`` was not reached."""
        examples = int(self.trials.validation().sum())
        rows = [_row(cure, found, examples) for cure, found in self._trained.items()]
        order = ["none", *CURES, "all"]
        rows.sort(key=lambda row: order.index(row["cure"]))
        return judged(rows) if "none" in self._trained else rows


def _row(cure: str, found: Trained, examples: int) -> dict[str, Any]:
    fitted = found.fitted
    right = round(fitted.validation_accuracy * examples)
    return {
        "cure": cure,
        "train_accuracy": fitted.train_accuracy,
        "validation_accuracy": fitted.validation_accuracy,
        "validation_interval": list(wilson_interval(right, examples)),
        "gap": fitted.train_accuracy - fitted.validation_accuracy,
        "epochs": fitted.epochs,
        "seconds": round(fitted.seconds, 3),
        "helps": None,
    }


def judged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say of each cure whether it helped: better on validation data than none by more than chance.

    Chance is one standard error of the difference of two proportions; ``helps`` is None where the
    difference is within it, and for ``none`` itself.
    """
    bare = next(each for each in rows if each["cure"] == "none")
    for each in rows:
        if each is bare:
            continue
        spread = _variance(each) + _variance(bare)
        difference = each["validation_accuracy"] - bare["validation_accuracy"]
        each["helps"] = None if difference**2 <= spread else difference > 0
    return rows


def _variance(each: Mapping[str, Any]) -> float:
    low, high = each["validation_interval"]
    return float((high - low) / (2 * 1.96)) ** 2
