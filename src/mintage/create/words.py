"""What figures mean, in words: the same in the terminal and in the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mintage.core.messages import Message, _, current, told
from mintage.tasks.metrics import wilson_interval

_LITTLE, _MUCH, _BY_HEART = 0.04, 0.1, 0.95
_LEARNED = 0.5  # of what the most frequent class alone leaves wrong
_CERTAIN = 1.96  # standard errors
_UNEVEN = 0.01  # between the mean over the classes and the share of all
TRAINING, VALIDATION, TEST = _("training"), _("validation"), _("test")
"""The parts of a dataset."""
BALANCED = _("balanced accuracy")
"""Balanced accuracy, which chooses where classes are uneven."""


def joined(sentences: Iterable[Message]) -> str:
    """One after another, in the reader's language; Chinese puts no space between them."""
    return ("" if current() == "zh" else " ").join(map(told, sentences))


def gap_in_words(candidate: Mapping[str, Any]) -> Message:
    """What the distance of training and validation accuracy says, from a candidate's record."""
    train, validation = candidate["train_accuracy"], candidate["validation_accuracy"]
    gap = train - validation
    examples = candidate.get("validation_examples")  # records of former versions have none
    if gap > _LITTLE and examples:
        __, highest = wilson_interval(validation * examples, examples)
        if train <= highest:
            return _("may overfit: {examples:,} validation examples cannot tell", examples=examples)
    if gap > _MUCH and train > _BY_HEART:
        return _("learned its training data by heart: it overfits")
    if gap > _MUCH:
        return _("overfits: what it learned of its own examples does not hold for others")
    if gap > _LITTLE:
        return _("overfits a little")
    majority = candidate.get("majority_accuracy", 0.5)  # formerly most had two even classes
    if train - majority < _LEARNED * (1 - majority):
        return _(
            "may underfit, since it gets right less than half of what the most frequent class "
            "alone leaves wrong"
        )
    return _("does as well on validation data as on its own examples")


def promise_in_words(candidate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> Message | None:
    """That the test shows less than validation promised, where chance does not explain it (95 %).

    Of both as shares of their examples (a two-proportion test, one-sided at 2.5 %); records of
    former versions do not say how many validated.
    """
    promised, shown = candidate["validation_accuracy"], evaluation["accuracy"]
    asked, tested = candidate.get("validation_examples"), evaluation["examples"]
    if not asked:
        return None
    pooled = (promised * asked + shown * tested) / (asked + tested)
    error = math.sqrt(pooled * (1 - pooled) * (1 / asked + 1 / tested))
    if promised - shown <= _CERTAIN * error:
        return None
    return _(
        "The test shows {shown:.1%}, where validation had promised {promised:.1%}: more than "
        "chance explains. Believe the test; validation data chose the candidate and the epoch, and "
        "flatters both.",
        shown=shown,
        promised=promised,
    )


def parts_of(folds: int | None) -> dict[str, Message]:
    """The columns of a table of examples by class, by their split's name.

    Where folds choose there is no validation split, and a column of zeros would look like a fault.
    """
    if folds:
        return {"train": _("training, in {folds} folds", folds=folds), "test": TEST}
    return {"train": TRAINING, "validation": VALIDATION, "test": TEST}


BALANCED_CHOSE = _(
    "The classes are uneven: balanced accuracy, the mean over the classes of what was right of "
    "each, chose the epoch, and the candidate where there are several."
)


def balanced_in_words(evaluation: Mapping[str, Any]) -> Message | None:
    """The mean over the classes, where it is not nearly the share of all."""
    balanced = evaluation.get("balanced_accuracy")
    if balanced is None or abs(balanced - evaluation["accuracy"]) < _UNEVEN:
        return None
    return _(
        "Balanced accuracy, the mean over the classes of what was right of each, is {share:.1%}.",
        share=balanced,
    )


def points_between(train: float, validation: float) -> float:
    """The gap in points, as whoever subtracts the two shown shares has it."""
    return round(round(100 * train, 1) - round(100 * validation, 1), 1) + 0.0


def skipped_in_words(skipped: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Who was not trained, or not to the end, and why: those of one reason together."""
    names: dict[str, list[str]] = {}
    for each in skipped:
        names.setdefault(each["reason"], []).append(each["name"])
    return [
        _("{name}: {reason}", name=", ".join(own), reason=Message(reason))
        for reason, own in names.items()
    ]


def no_better_in_words(evaluation: Mapping[str, Any]) -> Message | None:
    """That it may be no better than whoever always says the same, where that is so (95 %)."""
    if evaluation["interval"][0] > evaluation["majority_accuracy"]:
        return None
    return _(
        "It is not shown to be right more often than always answering the most frequent class, "
        "which would be right {share:.1%} of the time.",
        share=evaluation["majority_accuracy"],
    )


def curve_in_words(candidate: Mapping[str, Any]) -> Message | None:
    """Where validation loss was lowest, and whether it rose from there: overfitting in time."""
    losses = [
        (row["epoch"], row["validation_loss"])
        for row in candidate["history"]
        if row.get("validation_loss") is not None
    ]
    if len(losses) < 2:
        return None
    best, lowest = min(losses, key=lambda each: each[1])
    last, final = losses[-1]
    if final > 1.05 * lowest:
        values = {"best": best, "lowest": lowest, "final": final, "last": last}
        kept = candidate.get("best_epoch", last)
        if kept < last:
            return _(
                "Its validation loss was lowest after epoch {best} ({lowest:.3f}) and had risen to "
                "{final:.3f} by epoch {last}; the weights of epoch {kept} are the ones kept.",
                kept=kept,
                **values,
            )
        return _(
            "Its validation loss was lowest after epoch {best} ({lowest:.3f}) and had risen to "
            "{final:.3f} by epoch {last}: from there on it grew surer than it was right.",
            **values,
        )
    kept = candidate.get("best_epoch", best)
    if kept != best:
        return _(
            "Its validation loss was lowest after epoch {best} of {last} and hardly rose again; "
            "the weights of epoch {kept} are the ones kept.",
            best=best,
            last=last,
            kept=kept,
        )
    if best == last:
        return _("Its validation loss was at its lowest when training ended.")
    return _(
        "Its validation loss was lowest after epoch {best} of {last} and hardly rose again.",
        best=best,
        last=last,
    )


def slice_name(part: Mapping[str, Any]) -> Message:
    """What the examples of a slice share."""
    name, low, high = part["property"], part.get("low"), part.get("high")
    if name == "column":
        column = part["column"]
        value = part.get("value") or _("not stated")
        if low is not None:
            value = f"{low:g}–{high:g}"
        return _("{column}: {value}", column=column, value=value)
    if name == "shorter_side":
        return _("shorter side {low:.0f} to {high:.0f} px", low=low, high=high)
    if name == "brightness":
        return _("brightness {low:.0%} to {high:.0%}", low=low, high=high)
    if name == "contrast":
        return _("contrast {low:.0%} to {high:.0%}", low=low, high=high)
    return _SHAPES.get(part["value"]) or _("files of format {format}", format=part["value"])


_SHAPES = {
    "wide": _("wider than high"),
    "square": _("about square"),
    "upright": _("higher than wide"),
}


def damage_name(kind: str) -> Message:
    """A kind of damage that pictures come to."""
    return _DAMAGES[kind]


_DAMAGES = {
    "blur": _("blur"),
    "noise": _("noise"),
    "jpeg": _("compression"),
    "darker": _("too little light"),
    "brighter": _("too much light"),
}


LEVELS = (_("as it is"), _("mild"), _("middling"), _("strong"))
"""How strong damage is; each kind has three strengths."""


def strength_in_words(kind: str, strength: float) -> Message:
    """How strong it was."""
    if kind == "blur":
        return _("blur with a radius of {radius:.1%} of the side", radius=strength)
    if kind == "noise":
        return _("noise of {deviation:.0%} of the range", deviation=strength)
    if kind == "jpeg":
        return _("saved as JPEG of quality {quality:.0f}", quality=strength)
    return _("{factor:.1f} times the light", factor=strength)


def calibration_in_words(found: Mapping[str, Any]) -> Message:
    """Whether the error is more than chance makes of so few examples."""
    error, chance = found["after"]["calibration_error"], found["after"]["by_chance"]
    if error <= chance:
        return _(
            "Nothing speaks against its probabilities: they seem {error:.1%} off on average, and "
            "on so few examples chance alone would make a perfectly calibrated model seem up to "
            "{chance:.1%} off (in 95 of 100 cases).",
            error=error,
            chance=chance,
        )
    return _(
        "Its probabilities are not quite what they say: they are {error:.1%} off on average, more "
        "than the {chance:.1%} that chance explains on so many examples.",
        error=error,
        chance=chance,
    )


def slices_in_words(found: Mapping[str, Any]) -> Message:
    """The worst slice, if one is worse than chance explains."""
    count = len(found["slices"])
    if found["worst"] is None:
        return _(
            "None of {count} slices is worse than the whole by more than chance explains (95 %, "
            "with Bonferroni's correction for {count} comparisons).",
            count=count,
        )
    worst = found["slices"][found["worst"]]
    return _(
        "It is worst on {slice}: {accuracy:.1%} of {examples:,} right, against {overall:.1%} of "
        "all. That is more than chance explains (95 %, with Bonferroni's correction for {count} "
        "comparisons). More such pictures would help.",
        slice=slice_name(worst),
        accuracy=worst["accuracy"],
        examples=worst["examples"],
        overall=found["accuracy"],
        count=count,
    )


def robustness_in_words(found: Mapping[str, Any]) -> Message:
    """Which kind of damage hurts most, at its strongest."""
    if found["worst"] is None:
        return _(
            "No damage that was tried costs it more accuracy than chance explains on {examples:,} "
            "examples (95 %, with Bonferroni's correction for {count} comparisons).",
            examples=found["examples"],
            count=len(found["settings"]),
        )
    worst = [row for row in found["settings"] if row["kind"] == found["worst"]][-1]
    return _(
        "What hurts most is {damage} ({strength}): {accuracy:.1%} are right then, against "
        "{whole:.1%} of the same pictures as they are; {unusual:.1%} are called unusual and get no "
        "label.",
        damage=damage_name(worst["kind"]),
        strength=strength_in_words(worst["kind"], worst["strength"]),
        accuracy=worst["accuracy"],
        whole=found["accuracy"],
        unusual=worst["unusual"],
    )


def promises_in_words(found: Mapping[str, Any]) -> Message:
    """What the highest promise that can be made costs."""
    made = [row for row in found["promises"] if row["threshold"] is not None]
    if not made:
        return _(
            "No threshold promises {accuracy:.0%} or more on {examples:,} validation examples.",
            accuracy=found["promises"][0]["accuracy"],
            examples=found["validation_examples"],
        )
    best, total = made[-1], found["curve"][-1]["answered"]
    return _(
        "Answering only from a probability of {threshold:.1%} on promises {accuracy:.0%} right; of "
        "the test examples {share:.1%} are answered then.",
        threshold=best["threshold"],
        accuracy=best["accuracy"],
        share=best["answered"] / total,
    )


RESTS_ON = _("what the answer rests on")


def answer_in_words(each: Mapping[str, Any]) -> Message:
    """An example's label, its answer, and how sure the model was."""
    return _(
        "labelled {label}, answered {answer} with {probability:.1%}",
        label=each["label"],
        answer=each["answer"],
        probability=each["probability"],
    )
