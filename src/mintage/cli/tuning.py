"""Language models of one's own, as the terminal shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mintage.cli.output import line, say, table
from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.core.units import format_duration
from mintage.create.language.card import better_in_words

_SHOWN = 10
_JSON = ("dataset", "version", "examples", "splits", "skipped", "duplicates", "deidentified")


def collected_json(found: Mapping[str, Any]) -> dict[str, Any]:
    """What ``collect --json`` says of conversations."""
    return {key: found[key] for key in _JSON}


def show_conversations(found: Mapping[str, Any]) -> None:
    """How many conversations there are, how long, and what was left out."""
    line(
        _(
            "{dataset}#{version}: {examples:,} conversations",
            dataset=found["dataset"],
            version=found["version"][:12],
            examples=found["examples"],
        )
    )
    line()
    names = _("training"), _("validation"), _("test")
    splits = found["splits"]
    counts = splits["train"], splits["validation"], splits["test"]
    table((_("conversations"), *names, _("all")), [("", *counts, sum(counts))], numbers=4)
    line()
    spread = found["characters"]
    sizes = spread["smallest"], spread["median"], spread["largest"]
    table(("", _("smallest"), _("median"), _("largest")), [(_("characters"), *sizes)], numbers=3)
    line()
    copies = sum(len(each["left_out"]) for each in found["duplicates"])
    rows = [
        (_("answers to learn from"), found["answers"]),
        (_("different openings; those of one opening stay on one side"), found["openings"]),
        (_("left out, each with its reason"), len(found["skipped"])),
        (_("exact copies, left out"), copies),
    ]
    table((_("found"), ""), rows, numbers=1)
    hidden = found["deidentified"]
    if hidden is not None:
        replaced = ", ".join(f"{kind} {n:,}" for kind, n in hidden["replaced"].items())
        line()
        line(
            _("personal data replaced: {counts}", counts=replaced)
            if replaced
            else _("personal data replaced: none was found")
        )
        say(_("How much is found: mintage deidentify --recall. Nobody looks for names."))
    for each in found["skipped"][:_SHOWN]:
        reason = Message(each["reason"])
        line(_("left out: {path}: {reason}", path=each["path"], reason=reason))


def check_options(given: Mapping[str, object]) -> None:
    """Refuse what a language model has no use for.

    Raises:
        ConfigError: an option was given that is a classifier's.
    """
    for name, value in given.items():
        if value:
            raise ConfigError(
                _("{option} is for classifiers, not for language models.", option=f"--{name}"),
                remedy=_("Leave it out."),
            )


def show_tuned(record: Mapping[str, Any]) -> None:
    """What each look at validation data saw, what came of it, and where the model is."""
    rows = [
        (
            each["step"],
            f"{each['epoch']:.2f}",
            "–" if each["train_loss"] is None else f"{each['train_loss']:.3f}",
            "–" if each["validation_loss"] is None else f"{each['validation_loss']:.3f}",
            _("kept") if each["step"] == record["best_step"] else "",
        )
        for each in record["history"]
    ]
    table((_("step"), _("epoch"), _("training loss"), _("validation loss"), ""), rows, numbers=4)
    line(
        _(
            "{seconds} in all; training ended because {reason}.",
            seconds=format_duration(record["seconds"]),
            reason=Message(record["stopped_because"]),
        )
    )
    line()
    show_language_evaluation({"model": record["model"], **record["evaluation"]})
    line()
    line(_("bundle  {bundle}", bundle=record["bundle"]))
    if record["report"] is None:
        line(_("report  none yet: mintage report {model}", model=record["model"]))
    else:
        line(_("report  {report}", report=record["report"]))
    if record["evaluation"]["loss"] >= record["evaluation"]["base"]["loss"]:
        say(_("Next: more conversations, or another learning rate in a recipe's file."))
        return
    say(
        _(
            "Next: mintage publish {model} --product {product} --price-input 0.50 "
            "--price-output 1.50 --currency EUR",
            model=record["model"],
            product=record["model"].partition("@")[0],
        )
    )


def show_language_evaluation(measured: Mapping[str, Any]) -> None:
    """Loss and perplexity, beside those of the first weights."""
    low, high = measured["interval"]
    before = measured["base"]
    line(_("{model}: {text}", model=measured["model"], text=better_in_words(measured)))
    table(
        (_("test data"), _("loss"), _("95 % interval"), _("perplexity"), _("tokens")),
        [
            (
                _("fine-tuned"),
                f"{measured['loss']:.4f}",
                f"{low:.4f}–{high:.4f}",
                f"{measured['perplexity']:.2f}",
                measured["tokens"],
            ),
            (
                _("before"),
                f"{before['loss']:.4f}",
                f"{before['interval'][0]:.4f}–{before['interval'][1]:.4f}",
                f"{before['perplexity']:.2f}",
                before["tokens"],
            ),
        ],
        numbers=4,
    )
