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
    BALANCED,
    BALANCED_CHOSE,
    TRAINING,
    VALIDATION,
    curve_in_words,
    gap_in_words,
    points_between,
    promise_in_words,
    skipped_in_words,
)

_BALANCED_JUDGED = _("The classes are uneven: cures are judged by balanced accuracy.")


def tried(run: Mapping[str, Any]) -> str:
    """Every candidate with its curves, then what the kept one says of overfitting."""
    candidates = run["candidates"]
    balanced = run.get("chosen_by") == "balanced_accuracy"
    note = _(
        "The table's training accuracy is of the finished network on pictures as they are. The "
        "curve's was counted while it learned, on pictures as they were changed for training; "
        "so it may be lower, even below validation. The same holds for loss, higher with what "
        "smoothing of labels and mixing of pictures add."
    )
    return (
        title(_("What was tried"))
        + _candidates(candidates, run["candidate"], balanced=balanced)
        + paragraph(Message(run["why_kept"]), *((BALANCED_CHOSE,) if balanced else ()))
        + _search(run.get("search") or (), balanced=balanced)
        + _skipped(run.get("skipped") or ())
        + "".join(map(_curves, candidates))
        + paragraph(*_means(candidates), kind="small")
        + paragraph(note, kind="small")
        + _against_overfitting(run)
        + _ablation(run.get("ablation") or (), run.get("recipe") or {}, balanced=balanced)
    )


def _means(candidates: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Whose figures are means over folds: where a training was stopped, not all need be."""
    return [
        _(
            "Both accuracies of {name} in the table are means over {folds} folds; the curve is the "
            "first's.",
            name=each["name"],
            folds=each["folds"],
        )
        for each in candidates
        if each.get("folds", 1) > 1
    ]


def _candidates(candidates: Sequence[Mapping[str, Any]], kept: str, *, balanced: bool) -> str:
    """What each reached; with uneven classes also the mean over the classes, which chose."""
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
                *((f"{candidate['score']:.1%}",) if balanced else ()),
                f"{points_between(train, validation):+.1f}",
                str(candidate["epochs"]),
                format_duration(candidate["seconds"]),
            )
        )
    head = (
        _("candidate"),
        _("in words"),
        TRAINING,
        VALIDATION,
        *((BALANCED,) if balanced else ()),
        _("gap, points"),
        _("epochs"),
        _("time"),
    )
    return table(head, rows, numbers=len(head) - 2, kept=position)


def _search(rows: Sequence[Mapping[str, Any]], *, balanced: bool) -> str:
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
    measure = BALANCED if balanced else VALIDATION
    head = (_("round"), _("candidate"), _("in words"), measure, _("epochs"), _("time"))
    return folded(_("the rounds of the search"), table(head, lines, numbers=3))


def _skipped(skipped: Sequence[Mapping[str, Any]]) -> str:
    if not skipped:
        return ""
    return paragraph(_("Not tried, or not to the end:")) + listed(skipped_in_words(skipped))


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
        curve_in_words(kept),
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


def _ablation(
    rows: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any], *, balanced: bool
) -> str:
    """Every cure by itself: what does not help is shown as such, by the measure that chose."""
    if not rows:
        return ""
    balanced = balanced and all("score" in row for row in rows)  # formerly they had none
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
                *((f"{row['score']:.1%}",) if balanced else ()),
                f"{points_between(row['train_accuracy'], row['validation_accuracy']):+.1f}",
                format_duration(row["seconds"]),
            )
        )
    head = (
        _("cure"),
        _("in words"),
        TRAINING,
        VALIDATION,
        _("95 % interval"),
        *((BALANCED,) if balanced else ()),
        _("gap, points"),
        _("time"),
    )
    explained = _(
        "The same network without any cure, with each alone, with all, and with those of the "
        "recipe, which is the one that was kept."
    )
    alike = (
        _("Each was trained for {epochs} epochs at most.", epochs=recipe["epochs"])
        if recipe.get("epochs")
        else _("Each had the same time.")
    )
    return (
        title(_("Each cure by itself"))
        + paragraph(explained, alike, *((_BALANCED_JUDGED,) if balanced else ()))
        + table(head, lines, numbers=len(head) - 2)
    )
