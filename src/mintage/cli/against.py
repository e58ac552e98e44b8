"""A model beside people, as a terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mintage.cli.output import line, table, warn
from mintage.core.messages import Message, _

_SHOWN = 10
_LEFT_OUT = {
    "unreadable": _("lines that cannot be read"),
    "unknown_picture": _("pictures that are not there"),
    "unfit": _("pictures that the model learned or chose from, or that have two labels"),
    "not_a_person": _("columns without an answer"),
    "empty": _("empty answers"),
    "unknown_class": _("answers that are no class of the model"),
    "contradictory": _("pictures that somebody answered in two ways"),
    "near_duplicates": _("near duplicates of others that were answered"),
}


def show_left_out(measured: Mapping[str, Any]) -> None:
    """What of the people's answers could not be used: how many of each kind, and the first."""
    left_out = measured["left_out"]
    if left_out["unfit"] is None:
        warn(
            _(
                "The model's dataset is not in this workspace: whether these examples trained it "
                "is not known."
            )
        )
    for kind, what in _LEFT_OUT.items():
        if left_out[kind]:
            warn(_("left out, {what}: {count:,}", what=what, count=left_out[kind]))
    listed = measured["skipped"]
    for skipped in listed[:_SHOWN]:
        reason = Message(skipped["reason"])
        warn(_("left out {path}: {reason}", path=skipped["path"], reason=reason))
    if len(listed) > _SHOWN:
        warn(_("… and {more:,} more; all with --json", more=len(listed) - _SHOWN))


def show_people(measured: Mapping[str, Any]) -> None:
    """Each person's accuracy beside the model's on the same examples, and who agrees with whom."""
    line(
        _(
            "{answered:,} of {examples:,} examples were answered by people ({name})",
            answered=measured["examples"],
            examples=measured["examples"] + measured["unanswered"],
            name=measured["against"],
        )
    )
    line()
    contests = [each for each in (*measured["people"], measured["majority"]) if each]
    head = (
        _("who"),
        _("right"),
        _("95 % interval"),
        _("{model} on the same", model=measured["model"]),
        _("95 % interval"),
        _("examples"),
    )
    table(head, [_contest_row(each) for each in contests], numbers=5)
    line()
    rows = [
        (
            _("{one} and {other}", one=each["between"][0], other=each["between"][1]),
            f"{each['agreed']:.1%}",
            "–" if each["kappa"] is None else f"{each['kappa']:.2f}",
            f"{each['examples']:,}",
        )
        for each in measured["agreement"]
        if each["examples"]
    ]
    table((_("between"), _("the same answer"), _("Cohen's kappa"), _("examples")), rows, numbers=3)
    line()
    for each in contests:
        line(_("{name}: {said}", name=each["person"], said=each["in_words"]))


def _contest_row(each: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        each["person"],
        f"{each['accuracy']:.1%}",
        _interval(each["interval"]),
        f"{each['model_accuracy']:.1%}",
        _interval(each["model_interval"]),
        f"{each['examples']:,}",
    )


def _interval(ends: tuple[float, float]) -> Message:
    return _("{low:.1%} to {high:.1%}", low=ends[0], high=ends[1])
