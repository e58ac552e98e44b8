"""Where it is weak: slices of the data, damaged pictures, and the mistakes it was surest of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap, zip_longest
from typing import Any

from mintage.core.messages import Message, _, told
from mintage.create import plots
from mintage.create.report.page import (
    captioned,
    figure,
    folded,
    listed,
    paragraph,
    picture,
    table,
    title,
)
from mintage.create.words import (
    LEVELS,
    RESTS_ON,
    answer_in_words,
    damage_name,
    robustness_in_words,
    slice_name,
    slices_in_words,
    strength_in_words,
)

_PARTS = {
    "calibration": _("calibration"),
    "coverage": _("accuracy at each coverage"),
    "slices": _("slices"),
    "gallery": _("most confident mistakes"),
    "robustness": _("damaged pictures"),
    "explanations": _("what the answers rest on"),
}


def weaknesses(diagnosis: Mapping[str, Any]) -> str:
    """Of a run's diagnosis what there is, and what is not there with its reason."""
    return (
        _slices(diagnosis.get("slices"))
        + _robustness(diagnosis.get("robustness"))
        + _gallery(diagnosis.get("gallery"), diagnosis.get("explanations") or ())
        + _left_out(diagnosis.get("left_out") or ())
    )


def _slices(found: Mapping[str, Any] | None) -> str:
    if not found or not found["slices"]:
        return ""
    rows, overall, worst = found["slices"], found["accuracy"], found["worst"]
    drawing = plots.slices(rows, overall, worst, _("Accuracy by slice"))
    caption = _(
        "Test examples that share something, with 95 % intervals, in which near duplicates count "
        "as one; the dotted line is the accuracy of all, {overall:.1%}.",
        overall=overall,
    )
    head = (_("slice"), _("examples"), _("right"), _("95 % interval"))
    lines = [
        (
            slice_name(row),
            f"{row['examples']:,}",
            f"{row['accuracy']:.1%}",
            _("{low:.1%} to {high:.1%}", low=row["interval"][0], high=row["interval"][1]),
        )
        for row in rows
    ]
    return (
        title(_("Is it worse on some kinds of picture?"))
        + paragraph(slices_in_words(found), kind="note" if worst is None else "note alarm")
        + figure(drawing, caption)
        + folded(_("the same as a table"), table(head, lines, numbers=3, kept=worst))
    )


def _robustness(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    drawing = plots.robustness(
        found["settings"], found["accuracy"], _("Accuracy on damaged pictures")
    )
    caption = _(
        "The same {examples:,} test examples as they are, and damaged at the size that the network "
        "sees.",
        examples=found["examples"],
    )
    head = (_("damage"), *LEVELS[1:], _("unusual when strong"))
    lines, strengths = [], []
    for kind in dict.fromkeys(row["kind"] for row in found["settings"]):
        rows = [row for row in found["settings"] if row["kind"] == kind]
        accuracies = (f"{row['accuracy']:.1%}" for row in rows)
        lines.append((damage_name(kind), *accuracies, f"{rows[-1]['unusual']:.1%}"))
        strengths += [strength_in_words(kind, row["strength"]) for row in rows]
    return (
        title(_("What does damage do?"))
        + paragraph(robustness_in_words(found), kind="note")
        + figure(drawing, caption)
        + table(head, lines, numbers=4)
        + folded(_("how strong each is"), listed(strengths))
    )


def _gallery(found: Mapping[str, Any] | None, explained: Sequence[Mapping[str, str]]) -> str:
    if not found or not found["shown"]:
        return ""
    summary = _(
        "{mistakes:,} of {examples:,} test examples were answered wrongly. These are the answers "
        "that the model was surest of. Look at the label first: where it is wrong, the model is "
        "right, and the figures above are too low.",
        mistakes=found["mistakes"],
        examples=found["examples"],
    )
    heat = _(
        "Beside each picture is what its answer rests on: hiding what is orange makes it less "
        "probable, hiding what is blue more."
    )
    pictures = "".join(starmap(_mistake, zip_longest(found["shown"], explained)))
    return (
        title(_("Most confident mistakes"))
        + paragraph(summary)
        + (paragraph(heat, kind="small") if explained else "")
        + f"<div class=gallery>{pictures}</div>"
    )


def _mistake(each: Mapping[str, Any], explained: Mapping[str, str] | None) -> str:
    """A wrong answer, beside it what it rests on, where that was found out."""
    if explained is None:
        return captioned(
            picture(each["picture"], each["path"]), answer_in_words(each), each["path"]
        )
    both = picture(each["picture"], each["path"]) + picture(explained["picture"], told(RESTS_ON))
    place = _("rests on: {where}", where=Message(explained["where"]))
    return captioned(both, answer_in_words(each), place, each["path"])


def _left_out(left_out: Sequence[Mapping[str, str]]) -> str:
    if not left_out:
        return ""
    reasons = [
        _("{part}: {reason}", part=_PARTS[each["part"]], reason=Message(each["reason"]))
        for each in left_out
    ]
    return title(_("What was not measured")) + listed(reasons)
