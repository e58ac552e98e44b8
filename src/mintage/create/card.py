"""The model's card: what it is for, what it was measured at, and what it is not for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mintage.core.messages import Language, Message, _, speaking, told
from mintage.create.cures import cures, recipe_of
from mintage.create.words import (
    balanced_in_words,
    calibration_in_words,
    gap_in_words,
    joined,
    no_better_in_words,
    promises_in_words,
    robustness_in_words,
    slices_in_words,
)

_KINDS = {"image": _("images")}
LIMITS = _(
    "It answers for pictures like those it was trained on. What is unlike them is answered as "
    '"unlike anything this model was shown" and not with a label. Its probabilities were '
    "calibrated on validation data of the same kind; on other data they may be wrong. Where an "
    "answer matters to a person, a person decides."
)
"""What a classifier is not for; its card and its bill of materials say so."""


def about_in_words(modality: str, labels: Sequence[str]) -> Message:
    """What a classifier is, in one sentence."""
    return _(
        "A classifier of {modality} into {count} classes: {labels}.",
        modality=_KINDS.get(modality, modality),
        count=len(labels),
        labels=", ".join(labels),
    )


def model_card(
    name: str,
    dataset: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    candidate: str,
    found: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """``card.md``: Markdown that stands by itself; holds nothing that a clock measured.

    It is English whoever trains: it is signed, and a bundle's digest must not depend on the
    language of a reader. ``found`` are parts of a diagnosis, ``notes`` further lines of how it was
    made.
    """
    with speaking("en"):
        made = [*_made(dataset, candidate), *notes]
        return _card(name, dataset, evaluation, _found(found), made)


def report_card(run: Mapping[str, Any], language: Language) -> str:
    """The card beside the report, in the reader's language, with what the diagnosis found.

    ``run`` is the run's record. This card is not signed: the bundle's own is.
    """
    data = run["data"]
    dataset = {"name": data["dataset"], **{key: data[key] for key in _OF_DATA}}
    kept = next(each for each in run["candidates"] if each["name"] == run["candidate"])
    overfits = _("Overfitting: it {gap}", gap=gap_in_words(kept))
    against = [
        _("Against overfitting: {cure}", cure=cure)
        for cure in cures(recipe_of(run, run["candidate"]))
    ]
    made = [*_made(dataset, run["candidate"]), overfits, *against]
    with speaking(language):
        name = run["model"].partition("@")[0]
        return _card(name, dataset, run["evaluation"], _found(run.get("diagnosis") or {}), made)


_OF_DATA = ("modality", "version", "about")


def _card(
    name: str,
    dataset: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    found: Sequence[str],
    made: Sequence[str],
) -> str:
    about = about_in_words(dataset["modality"], evaluation["labels"])
    sections = (
        f"# {name}",
        told(about),
        _head(_("Measured quality")),
        joined(_measured(evaluation)),
        _by_class(evaluation["per_class"]),
        *((_head(_("Looked at more closely")), _lines(found)) if found else ()),
        _head(_("How it was made")),
        _lines(made),
        _head(_("Intended use and limits")),
        told(LIMITS),
        _head(_("Oversight and contact")),
        told(_("To be filled in by whoever sells this model.")),
    )
    return "\n\n".join(sections) + "\n"


def _head(title: Message) -> str:
    return f"## {told(title)}"


def _lines(items: Sequence[str]) -> str:
    return "\n".join(f"- {_said(item)}" for item in items)


def _said(item: str) -> str:
    return told(item) if isinstance(item, Message) else item


def _measured(evaluation: Mapping[str, Any]) -> Iterator[Message]:
    low, high = evaluation["interval"]
    yield _(
        "On {examples:,} test examples that neither trained nor chose the model: "
        "**{accuracy:.1%}** right, 95 % interval {low:.1%} to {high:.1%}.",
        examples=evaluation["examples"],
        accuracy=evaluation["accuracy"],
        low=low,
        high=high,
    )
    yield no_better_in_words(evaluation) or _(
        "Always answering the most frequent class would be right {share:.1%} of the time.",
        share=evaluation["majority_accuracy"],
    )
    if (balanced := balanced_in_words(evaluation)) is not None:
        yield balanced
    if "calibration_error_before" in evaluation:
        yield _(
            "Its probabilities are {error:.1%} off on average (calibration error), before scaling "
            "{before:.1%}.",
            error=evaluation["calibration_error"],
            before=evaluation["calibration_error_before"],
        )
    if evaluation.get("answered_accuracy") is not None:
        yield _(
            "It is sure enough to answer {share:.1%} of them; of those {accuracy:.1%} are right.",
            share=evaluation["answered"] / evaluation["examples"],
            accuracy=evaluation["answered_accuracy"],
        )


def _by_class(per_class: Mapping[str, Any]) -> str:
    head = (_("class"), _("precision"), _("recall"), _("F1"), _("examples"))
    rows = [
        (
            label.replace("|", "\\|"),  # it would end the cell
            f"{row['precision']:.3f}",
            f"{row['recall']:.3f}",
            f"{row['f1']:.3f}",
            str(row["examples"]),
        )
        for label, row in per_class.items()
    ]
    lines = [tuple(map(told, head)), ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _made(dataset: Mapping[str, Any], candidate: str) -> Iterator[Message]:
    about = {key: text or _("not stated") for key, text in dataset["about"].items()}
    yield _("Candidate: {name}", name=candidate)
    yield _("Data: {name}#{version}", name=dataset["name"], version=dataset["version"])
    yield _("Licence of the data: {text}", text=about["licence"])
    yield _("Consent: {text}", text=about["consent"])
    yield _("Origin: {text}", text=about["origin"])


def _found(diagnosis: Mapping[str, Any]) -> list[Message]:
    """What was found beyond one accuracy, a sentence each."""
    sentences = (
        ("calibration", calibration_in_words),
        ("coverage", promises_in_words),
        ("slices", slices_in_words),
        ("robustness", robustness_in_words),
    )
    return [say(diagnosis[name]) for name, say in sentences if name in diagnosis]
