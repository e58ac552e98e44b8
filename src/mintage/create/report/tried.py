"""What was tried: the candidates, how they learned, and what was done against overfitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.core.messages import Message, _
from mintage.core.units import format_duration
from mintage.create import plots
from mintage.create.cures import cures, help_in_words, name_of, recipe_of
from mintage.create.report.page import (
    figure,
    folded,
    listed,
    paragraph,
    said,
    side_by_side,
    table,
    title,
)
from mintage.create.words import (
    TRAINING,
    VALIDATION,
    curve_in_words,
    gap_in_words,
    promise_in_words,
)


def tried(run: Mapping[str, Any]) -> str:
    """Every candidate with its curves, then what the kept one says of overfitting."""
    candidates = run["candidates"]
    folds = max(candidate.get("folds", 1) for candidate in candidates)
    mean = _(
        "The table's validation accuracy is the mean over {folds} folds; the curve is the first's.",
        folds=folds,
    )
    note = _(
        "The table's training accuracy is of the finished network on pictures as they are. The "
        "curve's was counted while it learned, on pictures as they were changed for training; "
        "so it may be lower, even below validation. The same holds for loss, higher with what "
        "smoothing of labels and mixing of pictures add."
    )
    return (
        title(_("What was tried"))
        + _candidates(candidates, run["candidate"])
        + paragraph(Message(run["why_kept"]))
        + _search(run.get("search") or ())
        + _skipped(run.get("skipped") or ())
        + "".join(map(_curves, candidates))
        + (paragraph(mean, kind="small") if folds > 1 else "")
        + paragraph(note, kind="small")
        + _against_overfitting(run)
        + _ablation(run.get("ablation") or ())
    )


def _candidates(candidates: Sequence[Mapping[str, Any]], kept: str) -> str:
    rows, position = [], None
    for number, candidate in enumerate(candidates):
        train, validation = candidate["train_accuracy"], candidate["validation_accuracy"]
        name: str = candidate["name"]
        if name == kept:
            position, name = number, _("{name} (kept)", name=name)
        rows.append(
            (
                name,
                gap_in_words(candidate),
                f"{train:.1%}",
                f"{validation:.1%}",
                f"{100 * (train - validation):+.1f}",
                str(candidate["epochs"]),
                format_duration(candidate["seconds"]),
            )
        )
    head = (
        _("candidate"),
        _("in words"),
        TRAINING,
        VALIDATION,
        _("gap, points"),
        _("epochs"),
        _("time"),
    )
    return table(head, rows, numbers=5, kept=position)


def _search(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rounds of a search: who went on, and who was left behind."""
    if not rows:
        return ""
    went_on = {True: _("went on"), False: _("left behind")}
    lines = [
        (
            str(row["round"]),
            row["name"],
            went_on[row["kept"]],
            f"{row['score']:.1%}",
            str(row["epochs"]),
            format_duration(row["seconds"]),
        )
        for row in rows
    ]
    head = (_("round"), _("candidate"), _("in words"), VALIDATION, _("epochs"), _("time"))
    return folded(_("the rounds of the search"), table(head, lines, numbers=3))


def _skipped(skipped: Sequence[Mapping[str, Any]]) -> str:
    if not skipped:
        return ""
    reasons = [
        _("{name}: {reason}", name=each["name"], reason=Message(each["reason"])) for each in skipped
    ]
    return paragraph(_("Not tried, or not to the end:")) + listed(reasons)


def _curves(candidate: Mapping[str, Any]) -> str:
    name, history = candidate["name"], candidate["history"]
    accuracy = _("Learning curves of {name}", name=name)
    loss = _("Loss of {name}", name=name)
    return side_by_side(
        figure(plots.learning_curves(history, accuracy), accuracy),
        figure(plots.learning_curves(history, loss, "loss"), loss),
    )


def _against_overfitting(run: Mapping[str, Any]) -> str:
    """Whether the kept candidate overfits, and which cures it was given."""
    kept = next(each for each in run["candidates"] if each["name"] == run["candidate"])
    train, validation = kept["train_accuracy"], kept["validation_accuracy"]
    verdict = _(
        "{name} {gap}: {train:.1%} of its training examples are right, {validation:.1%} of the "
        "validation examples.",
        name=kept["name"],
        gap=gap_in_words(kept),
        train=train,
        validation=validation,
    )
    sentences = [
        verdict,
        promise_in_words(kept, run["evaluation"]),
        curve_in_words(kept["history"]),
    ]
    found = cures(recipe_of(run, kept["name"]))
    done = (
        _("What was done against it:")
        if found
        else _("Nothing was done against it: the recipe has no cure.")
    )
    flips = run.get("flips")
    probed = (
        paragraph(
            _(
                "Mirror images were tried on validation data: {because}.",
                because=Message(flips["because"]),
            ),
            kind="small",
        )
        if flips
        else ""
    )
    return (
        title(_("Does it overfit?"))
        + paragraph(*filter(None, sentences), kind="note")
        + f"<p>{said(done)}</p>"
        + listed(found)
        + probed
    )


def _ablation(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every cure by itself: what does not help is shown as such."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        low, high = row["validation_interval"]
        lines.append(
            (
                name_of(row["cure"]),
                help_in_words(row),
                f"{row['train_accuracy']:.1%}",
                f"{row['validation_accuracy']:.1%}",
                _("{low:.1%} to {high:.1%}", low=low, high=high),
                f"{100 * row['gap']:+.1f}",
                format_duration(row["seconds"]),
            )
        )
    head = (
        _("cure"),
        _("in words"),
        TRAINING,
        VALIDATION,
        _("95 % interval"),
        _("gap, points"),
        _("time"),
    )
    explained = _(
        "The same network without any cure, with each alone, with all, and with those of the "
        "recipe, which is the one that was kept. By the clock each had the same time."
    )
    return title(_("Each cure by itself")) + paragraph(explained) + table(head, lines, numbers=5)
