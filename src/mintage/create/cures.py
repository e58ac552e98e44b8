"""What a recipe does against overfitting, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp
from typing import Any

from mintage.core.messages import Message, _

_FLIPS = {
    "horizontal": _("mirror images, left to right"),
    "vertical": _("mirror images, upside down"),
    "both": _("mirror images, left to right and upside down"),
}

# Changes that each picture undergoes anew each time it is shown. Crop, scale and aspect are
# logarithms, brightness is in fractions of a quarter of the range (modalities/image/augment.py).
_OF_PICTURES: Mapping[str, Callable[[Any], Message]] = {
    "rotation_degrees": lambda most: _("rotation by up to {degrees:g}°", degrees=most),
    "crop": lambda most: _("cropping down to {share:.0%} of the side", share=exp(-most)),
    "scale": lambda most: _("scaling down to {share:.0%}", share=exp(-most)),
    "aspect": lambda most: _("stretching by up to {share:.0%}", share=exp(most) - 1),
    "translation": lambda most: _("shifting by up to {share:.1%} of the side", share=most),
    "brightness": lambda most: _(
        "brightness changed by up to {share:.1%} of the range", share=most / 4
    ),
    "contrast": lambda most: _("contrast changed by up to {share:.0%}", share=most),
    "colour": lambda most: _("colours changed by up to {share:.0%}", share=most),
    "erasing": lambda share: _(
        "erasing: a rectangle hidden in {share:.0%} of the pictures", share=share
    ),
}
_OF_TRAINING: Mapping[str, Callable[[Any], Message]] = {
    "mixup": lambda share: _("mixup in {share:.0%} of the batches", share=share),
    "cutmix": lambda share: _("cutmix in {share:.0%} of the batches", share=share),
    "weight_decay": lambda decay: _("weight decay (L2) of {decay:g}", decay=decay),
    "l1": lambda decay: _("L1 of {decay:g}", decay=decay),
    "dropout": lambda share: _("dropout of {share:.0%}", share=share),
    "label_smoothing": lambda share: _("label smoothing of {share:g}", share=share),
    "averaging": lambda __: _("averaging of the weights over the last steps"),
    "early_stopping_patience": lambda patience: _(
        "early stopping after {patience} epochs that were no better; the best weights kept",
        patience=patience,
    ),
}


_NAMES: Mapping[str, Message] = {
    "none": _("none"),
    "flips": _("mirror images"),
    "rotation": _("rotation"),
    "cropping": _("cropping"),
    "scaling": _("scaling and stretching"),
    "translation": _("shifting"),
    "light": _("brightness, contrast, colour"),
    "erasing": _("erasing"),
    "mixup": _("mixup"),
    "cutmix": _("cutmix"),
    "weight_decay": _("weight decay (L2)"),
    "l1": _("L1"),
    "dropout": _("dropout"),
    "label_smoothing": _("label smoothing"),
    "averaging": _("weight averaging"),
    "early_stopping": _("early stopping"),
    "all": _("all cures"),
    "recipe": _("as in the recipe"),
}


def cures(candidate: Mapping[str, Any]) -> list[Message]:
    """Every cure of a candidate as its recipe's JSON has it; what a recipe lacks is no cure."""
    augmentation = candidate.get("augmentation") or {}
    found = [_FLIPS[augmentation["flips"]]] if augmentation.get("flips") in _FLIPS else []
    for known, values in ((_OF_PICTURES, augmentation), (_OF_TRAINING, candidate)):
        found += [say(values[key]) for key, say in known.items() if values.get(key)]
    if candidate.get("restore_best_weights") and not candidate.get("early_stopping_patience"):
        found.append(_("the weights that were best on validation data are kept"))
    if candidate.get("class_weights") == "balanced":
        found.append(_("rare classes count more"))
    return found


def recipe_of(run: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """How a candidate was trained, as its recipe's JSON has it; empty where that is not known.

    Where the recipe left mirror images to be measured, those that the kept one was trained with.
    """
    own = [each.get("recipe") for each in run["candidates"] if each["name"] == name]
    asked = (run.get("recipe") or {}).get("candidates", ())
    planned = [each for each in asked if each["name"] == name]
    found: Mapping[str, Any] = next((each for each in (*own, *planned) if each), {})
    augmentation = found.get("augmentation") or {}
    if augmentation.get("flips") != "measure" or not run.get("flips"):
        return found
    return {**found, "augmentation": {**augmentation, "flips": run["flips"]["chosen"]}}


def name_of(cure: str) -> str:
    """A cure of an ablation as people read it."""
    return _NAMES.get(cure, cure)


def help_in_words(row: Mapping[str, Any]) -> Message:
    """What a line of an ablation says of its cure."""
    if row["cure"] == "none":
        return _("nothing to compare with")
    if not row.get("applied", True):
        return _("not applied: none were found to show the same")
    if row["helps"] is None:
        return _("no difference that chance would not make")
    return _("helps") if row["helps"] else _("does harm")
