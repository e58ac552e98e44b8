"""``run.json``: what a finished run leaves behind, for its report and for whoever asks later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from mintage.core.messages import Message, _
from mintage.create.search import Search
from mintage.create.trials import Trained

_LIBRARIES = (
    *("mintage", "numpy", "onnx", "onnxruntime", "pillow", "simplejpeg", "torch", "transformers"),
)


def best_of(trained: Sequence[Trained]) -> Trained:
    """The candidate that is kept: the recipe's measure decides, then the lower loss."""
    return max(trained, key=lambda each: (each.score, -each.fitted.validation_loss))


def headline(measured: Mapping[str, Any], best: Trained, parity: float) -> dict[str, Any]:
    """The few figures that a bundle's manifest carries."""
    return {
        "accuracy": measured["accuracy"],
        "interval": measured["interval"],
        "majority_accuracy": measured["majority_accuracy"],
        "balanced_accuracy": measured["balanced_accuracy"],
        "roc_auc": measured["roc_auc"],
        "train_accuracy": best.train_accuracy,
        "validation_accuracy": best.validation_accuracy,
        "parity": parity,
    }


def candidate_record(each: Trained) -> dict[str, Any]:
    """One candidate: what it reached and how it got there.

    Both accuracies are shares of examples, whatever chose; ``score`` is the measure that did.
    """
    labels = each.fitted.validation_labels
    return {
        "name": each.candidate.name,
        "train_accuracy": each.train_accuracy,
        "validation_accuracy": each.validation_accuracy,
        "score": each.score,
        "majority_accuracy": float(np.bincount(labels).max() / len(labels)),
        "validation_examples": each.folds * len(each.fitted.validation_labels),
        "validation_loss": each.fitted.validation_loss,
        "folds": each.folds,
        "epochs": each.fitted.epochs,
        "best_epoch": each.fitted.best_epoch,
        "seconds": round(each.fitted.seconds, 3),
        "stopped_because": each.fitted.stopped_because,
        "history": each.fitted.history,
    }


def flips_record(best: Trained) -> dict[str, Any] | None:
    """Which mirror images were found to be harmless; None where the recipe said."""
    found = best.fitted.flips
    return None if found is None else {**found.to_json(), "because": found.because}


def why_kept(
    trained: Sequence[Trained], best: Trained, chosen_by: str, search: Search | None
) -> Message:
    """In words, with the figures of the others."""
    name = best.candidate.name
    if search is not None and search.too_slow:
        return _(
            "{name} was likeliest to be good, and trained for the rest of the time: the machine "
            "was too slow just then for a search to tell candidates apart.",
            name=name,
        )
    if search is not None and search.table:
        return _("{name} was left of the search, and trained for the rest of the time.", name=name)
    if search is not None:
        return _("{name} was trained alone: the time was too short for a search.", name=name)
    if len(trained) == 1:
        return _("{name} was the only candidate trained.", name=name)
    others = ", ".join(
        f"{each.candidate.name} {each.score:.1%}" for each in trained if each is not best
    )
    values = {"name": name, "score": f"{best.score:.1%}", "others": others}
    return _because(chosen_by, best.folds > 1, values)


def _because(chosen_by: str, by_folds: bool, values: Mapping[str, str]) -> Message:
    if chosen_by == "balanced_accuracy":
        return (
            _(
                "{name} was kept: balanced accuracy {score} over five folds, against {others}.",
                **values,
            )
            if by_folds
            else _(
                "{name} was kept: balanced accuracy {score} on validation data, against {others}.",
                **values,
            )
        )
    if by_folds:
        return _("{name} was kept: {score} right over five folds, against {others}.", **values)
    return _("{name} was kept: {score} right on validation data, against {others}.", **values)


def libraries() -> dict[str, str]:
    """What made the model, with versions."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
