"""The report of a fine-tuning: one HTML file, readable offline."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from mintage.core.messages import Language, Message, _, speaking
from mintage.core.units import format_duration
from mintage.create.language.card import better_in_words
from mintage.create.plots import learning_curves
from mintage.create.report.page import facts, figure, head_of, page, paragraph, said, table, title


def render(run: Mapping[str, Any], language: Language = "en") -> str:
    """The report of a finished run from its record (``run.json``), in a language."""
    with speaking(language):
        body = "".join((head_of(run), _cards(run["evaluation"]), _training(run), _made(run)))
        return page(run["model"], body, language)


def overfits_in_words(run: Mapping[str, Any]) -> Message:
    """Whether validation data got worse while training data got better, and what was done."""
    known = [each for each in run["history"] if each["validation_loss"] is not None]
    best = next(each for each in known if each["step"] == run["best_step"])
    last = known[-1]
    if last["validation_loss"] > 1.02 * best["validation_loss"]:
        return _(
            "It began to learn by heart: its validation loss was {best:.3f} after step {step}, and "
            "rose to {last:.3f}. The weights after step {step} were kept.",
            best=best["validation_loss"],
            step=run["best_step"],
            last=last["validation_loss"],
        )
    if run["best_step"] == 0:
        return _("No step made it better; the weights that it began from were kept.")
    return _(
        "It did not overfit: its validation loss fell to {best:.3f}, and was not much above that "
        "at the end.",
        best=best["validation_loss"],
    )


def _cards(evaluation: Mapping[str, Any]) -> str:
    cards = [
        (f"{evaluation['perplexity']:.2f}", _("perplexity on test conversations")),
        (f"{evaluation['base']['perplexity']:.2f}", _("perplexity before fine-tuning")),
        (f"{evaluation['examples']:,}", _("test conversations")),
        (f"{evaluation['tokens']:,}", _("tokens of their answers")),
    ]
    drawn = "".join(
        f"<div class=card><div class=big>{escape(value)}</div>{said(text)}</div>"
        for value, text in cards
    )
    return f"<div class=cards>{drawn}</div>" + paragraph(better_in_words(evaluation), kind="note")


def _training(run: Mapping[str, Any]) -> str:
    def shown(loss: float | None) -> str:
        return "–" if loss is None else f"{loss:.3f}"

    rows = [
        (
            str(each["step"]),
            f"{each['epoch']:.2f}",
            shown(each["train_loss"]),
            shown(each["validation_loss"]),
        )
        for each in run["history"]
    ]
    kept = next(k for k, each in enumerate(run["history"]) if each["step"] == run["best_step"])
    head = (_("step"), _("epoch"), _("training loss"), _("validation loss"))
    return (
        title(_("Training"))
        + paragraph(overfits_in_words(run))
        + figure(learning_curves(run["history"], "loss", "loss"))
        + table(head, rows, numbers=4, kept=kept)
    )


def _made(run: Mapping[str, Any]) -> str:
    base, recipe = run["base"], run["recipe"]
    rows = [
        (_("began from"), f"{base['name']} ({base['architecture']}, {base['parameters']:,})"),
        (_("its licence"), base["licence"] or _("not stated")),
        (_("conversations"), _splits(run["examples"])),
        (_("too long, left out"), f"{sum(run['left_out'].values()):,}"),
        (_("rank"), f"{recipe['rank']}"),
        (_("learning rate"), f"{recipe['learning_rate']:g}"),
        (_("dropout"), f"{recipe['dropout']:g}"),
        (_("ended because"), Message(run["stopped_because"])),
        (_("time"), format_duration(run["seconds"])),
        (_("seed"), f"{recipe['seed']}"),
        (_("machine"), run["machine"]),
        (_("bundle digest"), run["bundle_digest"]),
    ]
    return title(_("How it was made")) + facts(rows)


def _splits(counts: Mapping[str, int]) -> Message:
    return _("{train} for training, {validation} for validation, {test} for test", **counts)
