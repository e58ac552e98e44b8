"""Two models on the same examples: which is better, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.graph import Graph
from mintage.bundle.loader import LoadedBundle
from mintage.core import registry
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.core.types import Example, Skipped
from mintage.create.dataset import Dataset
from mintage.create.evaluate import check_labels, learned_from
from mintage.create.examples import to_be_asked
from mintage.create.prepare import decoded
from mintage.sources.location import list_source
from mintage.store.workspace import Workspace
from mintage.tasks.metrics import mcnemar_exact, paired_interval, wilson_interval

_CHANCE = 0.05


@dataclass(frozen=True)
class Contender:
    """One of the two: its verified bundle, and the dataset that made it where that is here."""

    bundle: LoadedBundle
    threads: int
    dataset: Dataset | None

    @property
    def name(self) -> str:
        """``name@version``."""
        return self.bundle.subject

    def right(self, inputs: NDArray[np.uint8], labels: Sequence[str]) -> NDArray[np.bool_]:
        """bool[N]: whether the likeliest class is the true one."""
        manifest = self.bundle.manifest
        logits, __ = Graph(self.bundle.model, threads=self.threads).run(inputs)
        task = registry.tasks().get(manifest.task)
        answers = task.probabilities(logits, manifest.temperature).argmax(axis=1)
        return np.array(
            [manifest.labels[k] == label for k, label in zip(answers, labels, strict=True)]
        )


Contenders = tuple[Contender, Contender]


def check_comparable(both: Contenders) -> None:
    """Refuse two models whose answers cannot be compared.

    Raises:
        ConfigError: the same model twice, another kind of data or task, or other classes.
    """
    first, second = (each.bundle.manifest for each in both)
    if both[0].bundle.digest == both[1].bundle.digest:
        raise ConfigError(
            _("{model} would be compared with itself.", model=both[0].name),
            remedy=_("Name two different models, such as pets@1 and pets@2."),
        )
    if (first.modality, first.task) != (second.modality, second.task):
        raise ConfigError(
            _(
                "{first} and {second} answer different questions.",
                first=both[0].name,
                second=both[1].name,
            ),
            remedy=_("Compare two models of the same kind of data and the same task."),
        )
    if set(first.labels) != set(second.labels):
        apart = sorted(set(first.labels) ^ set(second.labels))
        raise ConfigError(
            _(
                "{first} and {second} know different classes: only one of them knows {apart}.",
                first=both[0].name,
                second=both[1].name,
                apart=", ".join(apart),
            ),
            remedy=_("Compare models with the same classes."),
        )


def on_test(
    workspace: Workspace, both: Contenders, newer: int, progress: Progress
) -> dict[str, Any]:
    """Compare on the newer model's test examples that neither model learned or chose from.

    Of near duplicates one counts: the test and the intervals are for independent examples.

    Raises:
        DataError: a dataset is not here, so that nobody can know, or no such example is left.
    """
    for each in both:
        if each.dataset is None:
            raise DataError(
                _("The dataset of {model} is not in this workspace.", model=each.name),
                remedy=_("Give examples that neither model has seen: --data PATH."),
            )
    datasets = [each.dataset for each in both if each.dataset is not None]
    dataset = datasets[newer]
    unseen = _unseen(dataset, datasets)
    of_group: dict[str, int] = {}
    for position in unseen:
        of_group.setdefault(dataset.examples[position].group, position)
    fresh = list(of_group.values())
    if not fresh:
        raise DataError(
            _(
                "There is no test example in {dataset} that neither model has seen.",
                dataset=dataset.reference,
            ),
            remedy=_("Give examples that neither model has seen: --data PATH."),
        )
    labels = [dataset.examples[position].label for position in fresh]
    kind = registry.modalities().get(dataset.card["modality"])
    right = []
    for each in both:
        images = decoded(workspace, dataset, kind, each.bundle.manifest.input, progress)
        right.append(each.right(images[fresh], labels))
    tested = sum(example.split == "test" for example in dataset.examples)
    return _compared(both, right[0], right[1]) | {
        "data": {"dataset": dataset.reference, "split": "test"},
        "left_out": {"seen": tested - len(unseen), "near_duplicates": len(unseen) - len(fresh)},
        "skipped": [],
    }


def on_location(
    both: Contenders, location: Path, *, label: str, progress: Progress
) -> dict[str, Any]:
    """Compare on another folder, zip or table; what one of the models has seen is left out.

    ``left_out.seen`` is None where a dataset is not here, so that nobody can know.

    Raises:
        DataError: nothing is left, or a class that the models do not know.
    """
    manifests = [each.bundle.manifest for each in both]
    kind = registry.modalities().get(manifests[0].modality)
    source, listing = list_source(location, kind, label)
    check_labels({found.label for found in listing.examples}, manifests[0])
    known = all(each.dataset is not None for each in both)
    seen = {digest for each in both for digest in learned_from(each.dataset)}
    skipped = list(listing.skipped)
    taken: dict[str, str] = {}
    labels: list[str] = []
    inputs: tuple[list[NDArray[np.uint8]], ...] = ([], [])
    left_out = 0
    specs = [manifest.input for manifest in manifests]
    for found, asked in to_be_asked(kind, listing.examples, specs, progress):
        if isinstance(asked, Skipped):
            skipped.append(asked)
        elif asked.sha256 in seen:
            left_out += 1
        elif asked.sha256 in taken:
            reason = _("the same content as {path}", path=taken[asked.sha256])
            skipped.append(Skipped(found.path, reason))
        else:
            taken[asked.sha256] = found.path
            labels.append(found.label)
            for arrays, pixels in zip(inputs, asked.inputs, strict=True):
                arrays.append(pixels)
    if not labels:
        raise DataError(
            _("{location} holds nothing readable that neither model has seen.", location=location),
            remedy=_("Give examples that neither model has seen: --data PATH."),
        )
    right = [each.right(np.stack(own), labels) for each, own in zip(both, inputs, strict=True)]
    return _compared(both, right[0], right[1]) | {
        "data": {"kind": source, "name": location.name},
        "left_out": {"seen": left_out if known else None, "near_duplicates": 0},
        "skipped": [each.to_json() for each in skipped],
    }


def _unseen(dataset: Dataset, both: Sequence[Dataset]) -> list[int]:
    """Positions of test examples that no dataset has among those that train or choose.

    Neither they nor, in any of the datasets, an example of their group.
    """
    learned = [each for other in both for each in other.examples if each.split != "test"]
    digests = {each.sha256 for each in learned}
    groups = {each.group for each in learned}
    # An example may stand in another group in the other dataset.
    groups_of: dict[str, set[str]] = {}
    for other in both:
        for each in other.examples:
            groups_of.setdefault(each.sha256, set()).add(each.group)
    members: dict[str, list[Example]] = {}
    for each in dataset.examples:
        members.setdefault(each.group, []).append(each)

    def clean(each: Example) -> bool:
        return each.sha256 not in digests and not groups_of[each.sha256] & groups

    return [
        position
        for position, example in enumerate(dataset.examples)
        if example.split == "test" and all(map(clean, members[example.group]))
    ]


def _compared(
    both: Contenders, first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> dict[str, Any]:
    """The counts of two models over the same examples, and what they allow to say."""
    examples = len(first)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    p_value = mcnemar_exact(only_first, only_second)
    difference = (only_second - only_first) / examples
    better = None
    if p_value < _CHANCE:
        better = both[int(only_second > only_first)].name
    measured = {
        "models": [
            {
                "model": each.name,
                "accuracy": float(right.mean()),
                "interval": list(wilson_interval(int(right.sum()), examples)),
            }
            for each, right in zip(both, (first, second), strict=True)
        ],
        "examples": examples,
        "both_right": int((first & second).sum()),
        "only_first_right": only_first,
        "only_second_right": only_second,
        "both_wrong": int((~first & ~second).sum()),
        "difference": difference,
        "difference_interval": list(paired_interval(only_second, only_first, examples)),
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
    gain = abs(measured["difference"])
    return _(
        "{model} is better: it answers {gain:.1f} more of 100 examples right ({chance}).",
        model=measured["better"],
        gain=100 * gain,
        chance=chance,
    )
