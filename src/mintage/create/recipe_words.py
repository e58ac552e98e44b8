"""What each key of a recipe means, as the comment beside it says, and the words for nothing."""

from __future__ import annotations

from collections.abc import Mapping

from mintage.core.messages import Message, _, told
from mintage.create.recipe import CHANGES, CHOICES, METRICS, RANGES, TINY, TRAINING_SIDES
from mintage.modalities.image.augment import FLIPS

ABSENT: Mapping[str, str] = {
    "recipe.epochs": "by time",
    "recipe.seconds": "by epochs",
    "candidate.weights": "from scratch",
    "candidate.weights_sha256": "any",
    "candidate.early_stopping_patience": "off",
}
"""TOML has no null: what is written where a key has no value. The same in every language."""

_MEANINGS: Mapping[str, Message] = {
    "recipe.name": _("what the recipe is called"),
    "recipe.seed": _("decides every random choice; a whole number from 0"),
    "recipe.epochs": _("passes over the data, for each candidate; above 0"),
    "recipe.seconds": _(
        "time from the start to the signed model, all candidates together; above 0"
    ),
    "recipe.threads": _("processor threads; another number gives other weights"),
    "recipe.choose_by": _("the measure on validation data that chooses"),
    "recipe.search": _("true: the candidate is found by successive halving"),
    "candidate.name": _("in small letters, digits, dots and hyphens"),
    "candidate.network": _("seed-cnn, compact, or hub for pretrained weights"),
    "candidate.input_size": _("side of the pictures judged and served, in pixels"),
    "candidate.initialisation": _("first weights: glorot_uniform or he_normal"),
    "candidate.weights": _("pretrained weights of hub: a folder, or an id of the hub"),
    "candidate.weights_sha256": _("SHA-256 that the file of the weights has to have"),
    "candidate.backbone_rate": _("share of the learning rate that hub's first layers get"),
    "candidate.width": _("channels of compact, times the usual"),
    "candidate.depth": _("residual blocks a stage of compact"),
    "candidate.optimiser": _(
        "AdamW, SGD with Nesterov momentum, or Muon for filters with AdamW for the rest"
    ),
    "candidate.learning_rate": _("the highest rate of the schedule"),
    "candidate.schedule": _("how the rate changes"),
    "candidate.batch_size": _("examples a step"),
    "candidate.loss": _("what training makes small"),
    "candidate.class_weights": _("balanced lets rare classes count more"),
    "candidate.precision": _("numbers of training; the model's are float32"),
    "candidate.training_sides": _(
        "sides of the pictures trained on, in pixels, one after another; none: input_size"
    ),
    "candidate.answer_mirrored": _(
        "true answers with the mean over a picture and its mirror image, where those are shown"
    ),
    "candidate.mean": _("taken off red, green and blue, each from 0 to 1"),
    "candidate.deviation": _("red, green and blue are divided by it"),
    "candidate.weight_decay": _("L2, pulled off at each step and not by the gradient"),
    "candidate.l1": _("pulls small weights to zero at each step"),
    "candidate.dropout": _("share of the last features hidden in training"),
    "candidate.label_smoothing": _("how much of each label is spread over all classes"),
    "candidate.mixup": _("share of the batches in which pictures are blended"),
    "candidate.cutmix": _("share of the batches in which rectangles are exchanged"),
    "candidate.averaging": _(
        "what the running mean of the weights keeps of itself at each step; 0: none"
    ),
    "candidate.early_stopping_patience": _("epochs without a better one before it stops"),
    "candidate.restore_best_weights": _("true keeps the weights that were best on validation data"),
    "candidate.augmentation": _("random changes of each picture, new each time it is shown"),
    "augmentation.flips": _("mirror images; measure tries on validation data which do no harm"),
    "augmentation.rotation_degrees": _("turned by up to so many degrees, both ways"),
    "augmentation.crop": _(
        "the part seen is smaller by up to this logarithm; 0.35: 70 % of a side"
    ),
    "augmentation.scale": _("the picture is smaller by up to this logarithm; 0.1: 90 %"),
    "augmentation.aspect": _("stretched by up to this logarithm; 0.15: 16 %"),
    "augmentation.translation": _("shifted by up to this share of the side"),
    "augmentation.brightness": _("lighter or darker by up to this share of 64 grey levels"),
    "augmentation.contrast": _("contrast more or less by up to this share"),
    "augmentation.colour": _("saturation by up to twice this share, white balance by up to it"),
    "augmentation.erasing": _("share of the pictures of which a rectangle is hidden"),
}
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "recipe.choose_by": METRICS,
    "augmentation.flips": FLIPS,
    **{f"candidate.{name}": known for name, known in CHOICES.items()},
}
_BOUNDS: Mapping[str, tuple[float, float]] = {
    **{f"candidate.{name}": bounds for name, bounds in RANGES.items()},
    **{f"augmentation.{name}": bounds for name, bounds in CHANGES.items()},
    "candidate.training_sides": TRAINING_SIDES,
}


def comment(key: str) -> str:
    """What a key such as ``candidate.dropout`` does, in the reader's language, and its range.

    Ranges and choices are written in signs, which need no language.
    """
    said, may_be = told(_MEANINGS[key]), _may_be(key)
    return f"{said} ({may_be})" if may_be else said


def _may_be(key: str) -> str:
    if key in _KNOWN:
        return " | ".join(_KNOWN[key])
    if key not in _BOUNDS:
        return ""
    low, high = _BOUNDS[key]
    between = f"> 0, ≤ {high:g}" if low == TINY else f"{low:g} – {high:g}"
    return f'"{ABSENT[key]}" | {between}' if key in ABSENT else between
