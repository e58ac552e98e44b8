"""Step 6, evaluate: quality of the deployed graph itself, on data that chose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.format import Manifest
from mintage.bundle.graph import Graph
from mintage.core import registry
from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Found, Skipped, Split
from mintage.create.answers import Answers, ask
from mintage.create.dataset import Dataset
from mintage.create.examples import to_be_asked
from mintage.create.prepare import decoded
from mintage.sources.location import list_source
from mintage.store.workspace import Workspace
from mintage.tasks import coverage
from mintage.tasks.metrics import share_interval


def evaluation_of(
    manifest: Manifest,
    logits: NDArray[np.float32],
    unusual: NDArray[np.bool_],
    targets: NDArray[np.int64],
    groups: Sequence[str],
) -> dict[str, Any]:
    """Every metric of the task, as JSON, of logits float32[N, 1 or k] and targets int64[N].

    ``unusual`` bool[N] are unlike the training data, ``groups`` what near duplicates share. All
    examples count, also those that would be answered as unlike the training data; how many
    those are is said beside. ``calibration_error_before`` is without the temperature. Where the
    model abstains below a threshold, ``answered`` says how many get a label, and how right that is.
    """
    task = registry.tasks().get(manifest.task)
    probabilities = task.probabilities(logits, manifest.temperature)
    before = task.evaluate(task.probabilities(logits, 1.0), targets, manifest.labels)
    measured = {
        **task.evaluate(probabilities, targets, manifest.labels, groups),
        "calibration_error_before": before["calibration_error"],
        "unusual": int(unusual.sum()),
    }
    if manifest.abstain_threshold is not None:
        sure = coverage.answered(probabilities, manifest.abstain_threshold) & ~unusual
        measured |= answered_of(probabilities.argmax(axis=1) == targets, sure, groups)
    return {"format": 1, "task": manifest.task, **measured}


def answered_of(
    correct: NDArray[np.bool_], chosen: NDArray[np.bool_], groups: Sequence[str]
) -> dict[str, Any]:
    """How many examples get a label, and how right those are (None, where there is none)."""
    share = float(correct[chosen].mean()) if chosen.any() else None
    own = [group for group, kept in zip(groups, chosen, strict=True) if kept]
    return {
        "answered": int(chosen.sum()),
        "answered_accuracy": share,
        "answered_interval": None if share is None else list(share_interval(share, own)),
    }


@dataclass(frozen=True)
class Elsewhere:
    """Labelled examples of a folder, zip or table, as a model is asked about them.

    ``images`` is uint8[N, side, side, 3]; ``digests`` are of the bytes that a dataset would keep.
    """

    source: str
    images: NDArray[np.uint8]
    found: list[Found]
    digests: list[str]
    skipped: list[Skipped]

    @classmethod
    def read(cls, manifest: Manifest, location: Path, label: str, progress: Progress) -> Elsewhere:
        """Read them; nothing is stored.

        Raises:
            DataError: nothing readable there, or a class that the model does not know.
        """
        kind = registry.modalities().get(manifest.modality)
        source, listing = list_source(location, kind, label)
        check_labels({found.label for found in listing.examples}, manifest)
        skipped = list(listing.skipped)
        images, kept, digests = [], [], []
        for found, asked in to_be_asked(kind, listing.examples, [manifest.input], progress):
            if isinstance(asked, Skipped):
                skipped.append(asked)
                continue
            images.append(asked.inputs[0])
            kept.append(found)
            digests.append(asked.sha256)
        if not images:
            raise DataError(
                _("Nothing readable was found in {location}.", location=location),
                remedy=_("Check the path."),
            )
        return cls(source, np.stack(images), kept, digests, skipped)

    @property
    def labels(self) -> list[str]:
        """What each is labelled."""
        return [each.label for each in self.found]

    def targets(self, manifest: Manifest) -> NDArray[np.int64]:
        """int64[N]: the classes."""
        return np.array([manifest.labels.index(label) for label in self.labels], np.int64)


def evaluate_location(
    graph: Graph,
    manifest: Manifest,
    location: Path,
    trained_on: Dataset | None,
    *,
    label: str,
    progress: Progress,
) -> dict[str, Any]:
    """Evaluate on another folder, zip or table.

    Examples that the model was trained on are listed: they make it look better than it is;
    ``trained_on`` in the result is None where its dataset is not here, so that nobody can know.

    Raises:
        DataError: nothing readable there, or a class that the model does not know.
    """
    read = Elsewhere.read(manifest, location, label, progress)
    learned = learned_from(trained_on)
    trained = [
        found.path
        for found, digest in zip(read.found, read.digests, strict=True)
        if digest in learned
    ]
    logits, unusual = ask(graph, manifest, read.images)
    measured = evaluation_of(manifest, logits, unusual, read.targets(manifest), read.digests)
    return measured | {
        "data": {
            "kind": read.source,
            "name": location.name,
            "sha256": digest_of(read.digests, read.labels),
        },
        "trained_on": None if trained_on is None else trained,
        "skipped": [item.to_json() for item in read.skipped],
    }


def evaluate_split(
    workspace: Workspace,
    graph: Graph,
    manifest: Manifest,
    dataset: Dataset,
    split: Split,
    progress: Progress,
) -> dict[str, Any]:
    """Evaluate on one split of a dataset.

    Raises:
        DataError: nothing in that split, or a class that the model does not know.
    """
    check_labels(set(dataset.labels), manifest)
    kind = registry.modalities().get(manifest.modality)
    chosen = np.flatnonzero([example.split == split for example in dataset.examples])
    if not len(chosen):
        raise DataError(
            _(
                "{reference} has no examples in its {split} split.",
                reference=dataset.reference,
                split=split,
            ),
            remedy=_("Small datasets choose by folds of their training split."),
        )
    images = decoded(workspace, dataset, kind, manifest.input, progress)
    asked = Answers.of(graph, manifest, dataset, images, chosen)
    measured = evaluation_of(manifest, asked.logits, asked.unusual, asked.targets, asked.groups)
    return measured | {"data": {"dataset": dataset.reference, "split": split}}


def digest_of(blobs: Sequence[str], labels: Sequence[str]) -> str:
    """What stands for measured examples: SHA-256 of the sorted lines ``sha256 label``."""
    lines = sorted(f"{blob} {label}\n" for blob, label in zip(blobs, labels, strict=True))
    return sha256_hex("".join(lines).encode())


def check_labels(labels: set[str], manifest: Manifest) -> None:
    """Refuse what the model cannot be right about.

    Raises:
        DataError: a class that the model does not know.
    """
    unknown = sorted(labels - set(manifest.labels))
    if unknown:
        raise DataError(
            _("The model does not know the class {unknown}.", unknown=", ".join(unknown)),
            remedy=_("It knows: {labels}.", labels=", ".join(manifest.labels)),
        )


def learned_from(dataset: Dataset | None) -> set[str]:
    """Digests of what the model learned or chose from."""
    if dataset is None:
        return set()
    return {example.sha256 for example in dataset.examples if example.split != "test"}
