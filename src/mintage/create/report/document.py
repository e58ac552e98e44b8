"""The whole report, and what frames its figures: the head, the data, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from mintage.core.messages import Language, Message, _, speaking
from mintage.core.units import format_duration
from mintage.create.report.answers import explained
from mintage.create.report.page import (
    facts,
    folded,
    head_of,
    listed,
    page,
    paragraph,
    said,
    table,
    title,
)
from mintage.create.report.quality import quality
from mintage.create.report.tried import tried
from mintage.create.report.weaknesses import weaknesses
from mintage.create.words import balanced_in_words, no_better_in_words, parts_of

_LISTED = 50
_SEEN = 10


def render(run: Mapping[str, Any], language: Language = "en") -> str:
    """The report of a finished run from its record (``run.json``), in a language."""
    with speaking(language):
        body = "".join(
            (
                head_of(run),
                _cards(run["evaluation"]),
                paragraph(*_beyond_accuracy(run["evaluation"]), kind="note"),
                tried(run),
                quality(run),
                weaknesses(run.get("diagnosis") or {}),
                explained(run["explanations"]) if "explanations" in run else "",
                _data(run["data"], _left_out(run)),
                _suspects(run["suspects"]),
                _made(run),
            )
        )
        return page(run["model"], body, language)


def _beyond_accuracy(evaluation: Mapping[str, Any]) -> list[Message]:
    """What the share that is right does not say where classes are uneven."""
    said = no_better_in_words(evaluation), balanced_in_words(evaluation)
    return [each for each in said if each is not None]


def _cards(evaluation: Mapping[str, Any]) -> str:
    low, high = evaluation["interval"]
    auc = evaluation["roc_auc"]
    cards = [
        (
            f"{evaluation['accuracy']:.1%}",
            _(
                "right on {examples:,} test examples (95 %: {low:.1%} to {high:.1%})",
                examples=evaluation["examples"],
                low=low,
                high=high,
            ),
        ),
        (
            f"{evaluation['majority_accuracy']:.1%}",
            _("by always answering the most frequent class"),
        ),
        ("–" if auc is None else f"{auc:.3f}", _("area under the ROC curve")),
        (
            f"{evaluation['calibration_error']:.3f}",
            _("calibration error (ECE, 15 equal-mass bins)"),
        ),
    ]
    if evaluation.get("answered_accuracy") is not None:
        share = evaluation["answered"] / evaluation["examples"]
        text = _("right of the {share:.1%} that it is sure enough to answer", share=share)
        cards.insert(1, (f"{evaluation['answered_accuracy']:.1%}", text))
    return (
        "<div class=cards>"
        + "".join(
            f"<div class=card><div class=big>{escape(value)}</div>{said(text)}</div>"
            for value, text in cards
        )
        + "</div>"
    )


def _left_out(run: Mapping[str, Any]) -> list[Message]:
    """How many doubtful labels were left out, or why none where they were to be."""
    if run.get("none_left_out"):
        return [Message(run["none_left_out"])]
    dropped = len(run.get("dropped") or ())
    if not dropped:
        return []
    return [
        _(
            "Left out of training, for labels that other networks contradict: {count} examples",
            count=dropped,
        )
    ]


def _data(data: Mapping[str, Any], left_out: Sequence[Message]) -> str:
    parts = parts_of(data["folds"])
    rows = [
        (label, *(f"{counts[split]:,}" for split in parts))
        for label, counts in data["classes"].items()
    ]
    found = _(
        "{unreadable} unreadable, {copied} with exact copies, {near} pairs of near duplicates "
        "(kept on one side of the split), {conflicts} with two labels (left out), {hidden} hidden "
        "and {stray} stray files passed over.",
        unreadable=len(data["skipped"]),
        copied=len(data["duplicates"]),
        near=len(data["near_duplicates"]),
        conflicts=len(data["conflicts"]),
        hidden=data["hidden"],
        stray=data["stray"],
    )
    unread = [
        _("{path}: {reason}", path=each["path"], reason=Message(each["reason"]))
        for each in data["skipped"][:_LISTED]
    ]
    more = len(data["skipped"]) - len(unread)
    if more > 0:
        unread.append(_("and {more:,} more", more=more))
    return (
        title(_("The data"))
        + table((_("class"), *parts.values()), rows, numbers=len(parts))
        + paragraph(found, *left_out)
        + listed(unread)
    )


def _suspects(suspects: Sequence[Mapping[str, Any]]) -> str:
    if not suspects:
        return ""
    rows = [(s["path"], s["label"], s["answer"], f"{s['probability']:.1%}") for s in suspects]
    head = (_("example"), _("labelled"), _("answered"), _("probability of the label"))
    more = rows[_SEEN:]
    return (
        title(_("Labels that the model doubts most"))
        + paragraph(_("Look at these first: a wrong label teaches the wrong thing."))
        + table(head, rows[:_SEEN], numbers=1)
        + (
            folded(_("and {more:,} more", more=len(more)), table(head, more, numbers=1))
            if more
            else ""
        )
    )


def _made(run: Mapping[str, Any]) -> str:
    return title(_("How it was made")) + facts(
        (
            (_("run"), run["run"]),
            (_("seed"), run["seed"]),
            (_("time"), format_duration(run["seconds"])),
            (_("machine"), Message(run["machine"])),
            (_("bundle digest"), run["bundle_digest"]),
            *run["libraries"].items(),
        )
    )
