"""How good it is: by class, by its own confidence, and where it may abstain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.core.messages import Message, _
from mintage.create import plots
from mintage.create.report.page import figure, paragraph, side_by_side, table, title
from mintage.create.words import calibration_in_words


def quality(run: Mapping[str, Any]) -> str:
    """Of the signed evaluation, then of the diagnosis what there is."""
    diagnosis = run.get("diagnosis") or {}
    return (
        _by_class(run["evaluation"])
        + _calibration(diagnosis.get("calibration"))
        + _coverage(diagnosis.get("coverage"))
        + _int8(run.get("int8"))
    )


def _by_class(evaluation: Mapping[str, Any]) -> str:
    rows = [
        (
            label,
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            f"{row['examples']:,}",
        )
        for label, row in evaluation["per_class"].items()
    ]
    matrix = plots.confusion(
        evaluation["confusion_matrix"], evaluation["labels"], _("Confusion matrix")
    )
    head = (_("class"), _("precision"), _("recall"), _("F1"), _("examples"))
    return (
        title(_("Quality by class"))
        + table(head, rows, numbers=4)
        + figure(matrix, _("Test examples by true class and answer."))
    )


def _calibration(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    before, after = found["before"], found["after"]
    rows = [
        (name, f"{each['calibration_error']:.3f}", f"{each['log_loss']:.3f}")
        for name, each in ((_("before scaling"), before), (_("after scaling"), after))
    ]
    drawing = plots.reliability(before["bins"], after["bins"], _("Reliability diagram"))
    caption = _(
        "On the dotted line, of the answers given with 80 % eight of ten are right. Each point is "
        "a fifteenth of the test examples; the lines are 95 % intervals."
    )
    head = (
        _("logits divided by {temperature:.3f}", temperature=found["temperature"]),
        _("calibration error"),
        _("log loss"),
    )
    return (
        title(_("Does a probability mean what it says?"))
        + paragraph(*filter(None, (calibration_in_words(found), _worse(found))), kind="note")
        + side_by_side(figure(drawing, caption), table(head, rows, numbers=2))
    )


def _worse(found: Mapping[str, Any]) -> Message | None:
    """That scaling did not help, where it did not."""
    before, after = found["before"]["log_loss"], found["after"]["log_loss"]
    if after <= before:
        return None
    return _(
        "Scaling, fitted on validation data, did not help on the test examples: their log loss is "
        "{after:.3f} with it and {before:.3f} without.",
        before=before,
        after=after,
    )


def _coverage(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    drawing = plots.coverage(found["curve"], found["threshold"], _("Accuracy at each coverage"))
    caption = _(
        "How many of the surest answers are right. Leaving the doubtful ones to people costs "
        "coverage and buys accuracy, the more the steeper the curve; shaded are 95 % intervals."
    )
    own = _("The dotted line is where the model's own threshold lies.")
    area = _(
        "Mean share of wrong answers over all coverages: {area:.1%} (area under the risk-coverage "
        "curve); a confidence that says nothing would have {chance:.1%}.",
        area=found["area"],
        chance=found["area_by_chance"],
    )
    curve = figure(drawing, caption)
    promised = [row for row in found["promises"] if row["threshold"] is not None]
    return (
        title(_("When it may abstain"))
        + (side_by_side(curve, _promised(found, promised)) if promised else curve)
        + _not_promised(found)
        + paragraph(*((own,) if found["threshold"] is not None else ()), area, kind="small")
    )


def _promised(found: Mapping[str, Any], promised: Sequence[Mapping[str, Any]]) -> str:
    head = (
        _("right at least"),
        _("answers from"),
        _("of the test examples answered"),
        _("of those right"),
    )
    chosen = _(
        "Thresholds are chosen on {examples:,} validation examples, so that chance does not "
        "explain the accuracy (5 %); the last two columns say what came of it on test data.",
        examples=found["validation_examples"],
    )
    total = found["curve"][-1]["answered"]
    rows = []
    for row in promised:
        right: str = "–"
        if row["answered_accuracy"] is not None:
            low, high = row["answered_interval"]
            right = _(
                "{accuracy:.1%} ({interval})",
                accuracy=row["answered_accuracy"],
                interval=_("{low:.1%} to {high:.1%}", low=low, high=high),
            )
        asked, threshold = f"{row['accuracy']:.0%}", f"{row['threshold']:.1%}"
        rows.append((asked, threshold, f"{row['answered'] / total:.1%}", right))
    return f"<div>{table(head, rows, numbers=2)}{paragraph(chosen, kind='small')}</div>"


def _not_promised(found: Mapping[str, Any]) -> str:
    missing = [row for row in found["promises"] if row["threshold"] is None]
    if not missing:
        return ""
    highest = missing[-1]
    return paragraph(
        _(
            "No threshold promises {accuracies}: the surest answers have too many mistakes for it, "
            "or the validation examples are too few ({examples:,}; {accuracy:.0%} takes at least "
            "{needed:,}).",
            accuracies=", ".join(f"{row['accuracy']:.0%}" for row in missing),
            examples=found["validation_examples"],
            accuracy=highest["accuracy"],
            needed=highest["examples_needed"],
        ),
        kind="small",
    )


def _int8(found: Mapping[str, Any] | None) -> str:
    """What quantisation cost and gained, where it was asked for."""
    if not found:
        return ""
    before, after = found["float_accuracy"], found["validation_accuracy"]
    rows = [
        (_("right on validation data"), f"{before:.1%}", _share(after)),
        (_("bytes"), f"{found['float_size_bytes']:,}", _count(found["size_bytes"])),
    ]
    if found["speed_ratio"] is not None:
        rows.append((_("speed"), "1.0 ×", f"{found['speed_ratio']:.1f} ×"))
    verdict = (
        _("It was refused, the float graph is kept: {because}", because=Message(found["because"]))
        if found["refused"]
        else _("The model computes with integers; all other figures here are of that graph.")
    )
    return (
        title(_("In 8-bit integers (int8)"))
        + paragraph(verdict, kind="note")
        + table((_("measure"), _("float"), _("int8")), rows, numbers=2)
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
