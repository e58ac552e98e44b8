"""A model and people on the same pictures: who is right more often, and who agrees with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.graph import Graph
from mintage.core import registry
from mintage.core.errors import DataError
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.core.types import Found, Skipped
from mintage.create import human
from mintage.create.compare import Contender
from mintage.create.evaluate import check_labels, learned_from
from mintage.create.examples import to_be_asked
from mintage.create.human import Matched, Picture, Sheet
from mintage.create.prepare import decoded
from mintage.sources.location import list_source
from mintage.store.workspace import Workspace
from mintage.tasks.agreement import cohen_kappa, krippendorff_alpha
from mintage.tasks.metrics import mcnemar_exact, paired_interval, wilson_interval

_CHANCE = 0.05
_FEWEST_VOTERS = 3
"""Of two people the majority is where they agree, which is where it was easy."""

_SEEN = _("the model learned or chose from it")


def on_test(
    workspace: Workspace, model: Contender, sheet: Sheet, progress: Progress
) -> dict[str, Any]:
    """Compare on the model's test examples.

    Raises:
        DataError: the model's dataset is not here, or no answer is about a test example of it.
    """
    dataset, manifest = model.dataset, model.bundle.manifest
    if dataset is None:
        raise DataError(
            _("The dataset of {model} is not in this workspace.", model=model.name),
            remedy=_("Give examples that the model has not seen: --data PATH."),
        )
    pictures = [
        Picture(
            (each.path,), each.sha256, each.label, each.group, "" if each.split == "test" else _SEEN
        )
        for each in dataset.examples
    ]
    matched = human.match(sheet, pictures, manifest.labels)
    places, near = _one_of_each_group(pictures, matched)
    _refuse_nothing(sheet, matched, places, dataset.reference)
    kind = registry.modalities().get(manifest.modality)
    images = decoded(workspace, dataset, kind, manifest.input, progress)
    tested = sum(not picture.unfit for picture in pictures)
    return _measured(model, sheet, pictures, matched, places, images[places]) | {
        "data": {"dataset": dataset.reference, "split": "test"},
        "unanswered": tested - len(places) - near,
        "left_out": _left_out(matched, near),
        "skipped": [each.to_json() for each in matched.skipped],
    }


def on_location(
    model: Contender, sheet: Sheet, location: Path, *, label: str, progress: Progress
) -> dict[str, Any]:
    """Compare on another folder, zip or table, without what the model has learned from.

    ``left_out.unfit`` is None where the model's dataset is not here, so that nobody can know.

    Raises:
        DataError: no answer is about an example there, or a class that the model does not know.
    """
    manifest = model.bundle.manifest
    kind = registry.modalities().get(manifest.modality)
    source, listing = list_source(location, kind, label)
    check_labels({found.label for found in listing.examples}, manifest)
    learned = learned_from(model.dataset)
    unread = list(listing.skipped)
    of_digest: dict[str, Picture] = {}
    arrays: dict[str, NDArray[np.uint8]] = {}
    for found, asked in to_be_asked(kind, listing.examples, [manifest.input], progress):
        if isinstance(asked, Skipped):
            unread.append(asked)
            continue
        digest = asked.sha256
        if before := of_digest.get(digest):
            of_digest[digest] = _again(before, found)
            continue
        unfit = _SEEN if digest in learned else ""
        of_digest[digest] = Picture((found.path,), digest, found.label, digest, unfit)
        arrays[digest] = asked.inputs[0]
    pictures = list(of_digest.values())
    matched = human.match(sheet, pictures, manifest.labels)
    places, __ = _one_of_each_group(pictures, matched)
    _refuse_nothing(sheet, matched, places, str(location))
    inputs = np.stack([arrays[pictures[place].sha256] for place in places])
    left_out = _left_out(matched, 0)
    if model.dataset is None:
        left_out["unfit"] = None
    return _measured(model, sheet, pictures, matched, places, inputs) | {
        "data": {"kind": source, "name": location.name},
        "unanswered": sum(not picture.unfit for picture in pictures) - len(places),
        "left_out": left_out,
        "skipped": [each.to_json() for each in (*unread, *matched.skipped)],
    }


def _again(before: Picture, found: Found) -> Picture:
    """The same content once more: another name of it, or a label that contradicts."""
    unfit = before.unfit
    if found.label != before.label:
        unfit = _("the same content as {path}, with another label", path=before.names[0])
    return replace(before, names=(*before.names, found.path), unfit=unfit)


def _one_of_each_group(pictures: Sequence[Picture], matched: Matched) -> tuple[list[int], int]:
    """Answered pictures, of near duplicates the one most people answered, and how many others.

    The test and the intervals are for independent examples.
    """
    best: dict[str, int] = {}
    others = 0
    for place, answers in enumerate(matched.answers):
        if not answers:
            continue
        kept = best.setdefault(pictures[place].group, place)
        if kept != place:
            others += 1
            if len(answers) > len(matched.answers[kept]):
                best[pictures[place].group] = place
    return sorted(best.values()), others


def _refuse_nothing(
    sheet: Sheet, matched: Matched, places: Sequence[int], compared_on: str
) -> None:
    if places:
        return
    first = next(iter(matched.skipped), None)
    raise DataError(
        _(
            "No answer of {name} is about an example of {data} that can be used.",
            name=sheet.name,
            data=compared_on,
        ),
        remedy=_("See: docs/formats/human-answers.md")
        if first is None
        else _("The first, {path}: {reason}.", path=first.path, reason=first.reason),
    )


def _left_out(matched: Matched, near_duplicates: int) -> dict[str, Any]:
    kinds = (
        "unreadable", "unknown_picture", "unfit", "not_a_person", "empty", "unknown_class",
        "contradictory",
    )  # fmt: skip
    return {kind: matched.left_out[kind] for kind in kinds} | {"near_duplicates": near_duplicates}


@dataclass(frozen=True)
class _Voice:
    """One who answers: a person, the people's majority or the model; ``said`` by picture."""

    name: str
    said: Mapping[int, str]


def _measured(
    model: Contender,
    sheet: Sheet,
    pictures: Sequence[Picture],
    matched: Matched,
    places: Sequence[int],
    inputs: NDArray[np.uint8],
) -> dict[str, Any]:
    truth = {place: pictures[place].label for place in places}
    own = _Voice(model.name, dict(zip(places, _answers(model, inputs), strict=True)))
    names = sorted({person for place in places for person in matched.answers[place]})
    people = [_Voice(name, _said_by(name, matched, places)) for name in names]
    majority = _majority(matched, places) if len(people) >= _FEWEST_VOTERS else None
    return {
        "model": model.name,
        "task": model.bundle.manifest.task,
        "against": sheet.name,
        "examples": len(places),
        "people": [_contest(own, person, truth) for person in people],
        "majority": None
        if majority is None or not majority.said
        else _contest(own, majority, truth),
        "agreement": [
            _agreed(one, other)
            for position, one in enumerate([own, *people])
            for other in people[position:]
        ],
        "alpha": krippendorff_alpha([tuple(matched.answers[place].values()) for place in places]),
    }


def _said_by(name: str, matched: Matched, places: Sequence[int]) -> dict[int, str]:
    return {
        place: matched.answers[place][name] for place in places if name in matched.answers[place]
    }


def _answers(model: Contender, inputs: NDArray[np.uint8]) -> list[str]:
    """The likeliest class of each, also where the model would abstain, as in every evaluation."""
    manifest = model.bundle.manifest
    logits, __ = Graph(model.bundle.model, threads=model.threads).run(inputs)
    task = registry.tasks().get(manifest.task)
    chosen = task.probabilities(logits, manifest.temperature).argmax(axis=1)
    return [manifest.labels[position] for position in chosen]


def _majority(matched: Matched, places: Sequence[int]) -> _Voice:
    """What most of at least two people said; where as many said something else there is none."""
    said = {}
    for place in places:
        votes = Counter(matched.answers[place].values()).most_common()
        if votes[0][1] > 1 and (len(votes) == 1 or votes[0][1] > votes[1][1]):
            said[place] = votes[0][0]
    return _Voice(_("the people's majority"), said)


def _contest(model: _Voice, person: _Voice, truth: Mapping[int, str]) -> dict[str, Any]:
    """Both on the pictures that the person answered, and what that allows to say."""
    places = list(person.said)
    theirs = np.array([person.said[place] == truth[place] for place in places])
    ours = np.array([model.said[place] == truth[place] for place in places])
    only_person, only_model = int((theirs & ~ours).sum()), int((~theirs & ours).sum())
    p_value = mcnemar_exact(only_person, only_model)
    better = None
    if p_value < _CHANCE:
        better = person.name if only_person > only_model else model.name
    measured = {
        "person": person.name,
        "examples": len(places),
        "accuracy": float(theirs.mean()),
        "interval": list(wilson_interval(int(theirs.sum()), len(places))),
        "model_accuracy": float(ours.mean()),
        "model_interval": list(wilson_interval(int(ours.sum()), len(places))),
        "both_right": int((theirs & ours).sum()),
        "only_person_right": only_person,
        "only_model_right": only_model,
        "both_wrong": int((~theirs & ~ours).sum()),
        "difference": (only_person - only_model) / len(places),
        "difference_interval": list(paired_interval(only_person, only_model, len(places))),
        "p_value": p_value,
        "better": better,
    }
    return measured | {"in_words": _in_words(measured)}


def _in_words(measured: Mapping[str, Any]) -> Message:
    p_value = measured["p_value"]
    chance = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    if measured["better"] is None:
        return _(
            "No difference can be told from {examples:,} examples ({chance}).",
            examples=measured["examples"],
            chance=chance,
        )
    return _(
        "{name} is better: {gain:.1f} more of 100 examples right ({chance}).",
        name=measured["better"],
        gain=100 * abs(measured["difference"]),
        chance=chance,
    )


def _agreed(one: _Voice, other: _Voice) -> dict[str, Any]:
    """How often two say the same of a picture that both answered (None: there is none)."""
    pairs = [(one.said[place], said) for place, said in other.said.items() if place in one.said]
    same = sum(first == second for first, second in pairs)
    return {
        "between": [one.name, other.name],
        "examples": len(pairs),
        "agreed": same / len(pairs) if pairs else None,
        "kappa": cohen_kappa(pairs),
    }
