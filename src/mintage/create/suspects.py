"""Labels that are probably wrong: what networks that never saw an example make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core.messages import Message, _
from mintage.core.progress import Progress
from mintage.create import arrays, outliers
from mintage.create.confident import Confidence, judge
from mintage.create.dataset import Dataset
from mintage.store.workspace import Workspace

ALGORITHM = "confident-out-of-fold/v1"
"""Named in the cache and in what is reported, so that a better one does not pass for this."""

MOST_OF_A_CLASS = 0.2
"""No larger share of a class's training examples is dropped, whatever was estimated."""

FEWEST_GROUPS = 20
"""Of a class, outside the test: fewer teach a network nothing, and it is not judged."""

_SECONDS_AN_EXAMPLE = 0.1
_SHORTEST, _LONGEST = 90.0, 900.0
_SHARE = 0.97  # of the time, for networks: the rest is for what they found
# Of what the most frequent class alone leaves wrong, the share that the networks must get right:
# those that learned less doubt every label.
_LEARNED = 0.5


@dataclass(frozen=True)
class Suspect:
    """One example as it was judged; ``rank`` 0 is the most suspect of all."""

    position: int  # in the dataset's examples
    path: str
    label: str
    suggested: str
    split: str
    self_confidence: float
    margin: float
    is_suspect: bool
    rank: int

    def to_json(self) -> dict[str, Any]:
        """As ``inspect --json`` lists it."""
        document = asdict(self)
        del document["position"]
        for name in ("self_confidence", "margin"):
            document[name] = round(document[name], 6)
        return document


@dataclass(frozen=True)
class Suspects:
    """Every example judged, in the order of the dataset; none, with a reason, where none could be.

    ``labels`` are the classes judged, ``too_few`` those with too few examples to learn from.
    ``counts`` are estimated examples by the given label (row) and the one meant (column);
    ``agreement`` is the share of labels that the networks gave too.
    """

    labels: tuple[str, ...]
    too_few: tuple[str, ...]
    examples: tuple[Suspect, ...]
    counts: NDArray[np.int64]  # [k, k]
    noise_rate: float
    agreement: float
    distance: NDArray[np.float64]  # [N]: how far from all others, 1 for the median
    seconds: float
    in_full: bool
    why_not: Message | None = None

    @property
    def ranked(self) -> list[Suspect]:
        """All of them, the most suspect first."""
        return sorted(self.examples, key=lambda each: each.rank)

    @property
    def listed(self) -> list[Suspect]:
        """Those whose label is probably wrong, the most suspect first."""
        return [each for each in self.ranked if each.is_suspect]

    def to_json(self) -> dict[str, Any]:
        """What ``inspect --json`` says of all of them together."""
        return {
            "algorithm": ALGORITHM,
            "noise_rate": round(self.noise_rate, 6),
            "labels": list(self.labels),
            "too_few": list(self.too_few),
            "counts": self.counts.tolist(),
            "agreement": round(self.agreement, 6),
            "seconds": round(self.seconds, 1),
            "in_full": self.in_full,
        }


def default_seconds(dataset: Dataset) -> float:
    """The longest that looking for suspects may take where nobody says."""
    return min(max(_SHORTEST, _SECONDS_AN_EXAMPLE * len(dataset.examples)), _LONGEST)


def has_torch() -> bool:
    """Whether networks can be trained here; it loads nothing."""
    try:
        return find_spec("torch") is not None
    except ValueError:  # what stands in its place is no module
        return False


def find(
    workspace: Workspace,
    dataset: Dataset,
    *,
    seconds: float | None = None,
    spent: float = 0.0,
    threads: int,
    seed: int = 0,
    progress: Progress,
    should_stop: Callable[[], bool] = lambda: False,
) -> Suspects:
    """Judge every label by networks that were trained without it, or find what was found before.

    ``seconds`` is what it may take (``default_seconds``, if not given), of which so many are
    ``spent`` already. An earlier result is taken where it was reached in full or with at least as
    much time, unless it could tell nothing.

    Raises:
        DependencyDown: PyTorch is not installed, or the disk is full.
    """
    limit = default_seconds(dataset) if seconds is None else seconds
    path = arrays.place(workspace, dataset, f"{ALGORITHM.replace('/', '-')}-{seed}")
    known = _usable(arrays.read(path), dataset, limit)
    if known is None:
        reason = _too_few(dataset) or _not_writable(workspace)
        if reason is not None:
            return _nothing(dataset, reason)
        known = _computed(
            workspace,
            dataset,
            limit=limit,
            spent=spent,
            threads=threads,
            seed=seed,
            progress=progress,
            should_stop=should_stop,
        )
        if known is None:
            return _nothing(dataset, _("it was stopped before every label was judged"))
        arrays.write(path, known)
    return _judged(dataset, known)


def positions_to_drop(suspects: Suspects) -> NDArray[np.int64]:
    """int64[M], rising: the training examples whose labels are probably wrong.

    Never of the validation or the test data, since leaving out what is hard to tell there would
    flatter whatever is measured on it; and of no class more than ``MOST_OF_A_CLASS``.
    """
    training = [each for each in suspects.ranked if each.split == "train"]
    sizes = Counter(each.label for each in training)
    dropped: Counter[str] = Counter()
    positions = []
    for each in training:
        if each.is_suspect and dropped[each.label] < int(MOST_OF_A_CLASS * sizes[each.label]):
            dropped[each.label] += 1
            positions.append(each.position)
    return np.array(sorted(positions), dtype=np.int64)


def _judged_labels(dataset: Dataset) -> tuple[str, ...]:
    """The classes with enough examples for networks to learn them."""
    groups = {(each.label, each.group) for each in dataset.examples if each.split != "test"}
    counted = Counter(label for label, __ in groups)
    return tuple(label for label in dataset.labels if counted[label] >= FEWEST_GROUPS)


def _too_few(dataset: Dataset) -> Message | None:
    """Why there is too little to train on; None where there is enough."""
    if len(_judged_labels(dataset)) >= 2:
        return None
    return _("fewer than two classes have {fewest} examples to learn from", fewest=FEWEST_GROUPS)


def _not_writable(workspace: Workspace) -> Message | None:
    if workspace.refusal is None:
        return None
    return _("the workspace can only be read, and training writes in it")


def _usable(found: arrays.Arrays | None, dataset: Dataset, limit: float) -> arrays.Arrays | None:
    """The arrays, if they are of this dataset and as good as what would be computed now."""
    if found is None or not {"probabilities", "distance", "about"} <= found.keys():
        return None
    count = len(dataset.examples)
    fits = (
        found["probabilities"].shape == (count, len(dataset.labels))
        and found["distance"].shape == (count,)
        and found["about"].shape == (3,)
    )
    if not fits:
        return None
    given, __, in_full = (float(value) for value in found["about"])
    if in_full:
        return found
    # What a busy machine taught too little may do better another time.
    return found if given >= limit and _Answers.of(dataset, found).why_not is None else None


def _computed(
    workspace: Workspace,
    dataset: Dataset,
    *,
    limit: float,
    spent: float,
    threads: int,
    seed: int,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> arrays.Arrays | None:
    """``about`` is float64[3]: the seconds that were given, those taken, and whether in full."""
    from mintage.create.out_of_fold import judge_unseen  # noqa: PLC0415 - loads torch

    labels = _judged_labels(dataset)
    found = judge_unseen(
        workspace,
        dataset,
        judged=np.array([each.label in labels for each in dataset.examples]),
        seconds=max(1.0, _SHARE * limit - spent),
        threads=threads,
        seed=seed,
        progress=progress,
        should_stop=should_stop,
    )
    if found is None:
        return None
    return {
        "probabilities": found.probabilities,
        "distance": outliers.distances(found.features, found.fold),
        "about": np.array([limit, found.seconds, found.in_full], dtype=np.float64),
    }


@dataclass(frozen=True)
class _Answers:
    """What networks said of the M examples of the classes that are judged."""

    labels: tuple[str, ...]
    positions: NDArray[np.intp]  # [M], in the dataset
    targets: NDArray[np.int64]  # [M], in ``labels``
    chances: NDArray[np.float64]  # [M, k]

    @classmethod
    def of(cls, dataset: Dataset, known: arrays.Arrays) -> _Answers:
        labels = _judged_labels(dataset)
        positions = np.flatnonzero([each.label in labels for each in dataset.examples])
        own = [labels.index(dataset.examples[position].label) for position in positions.tolist()]
        columns = [dataset.labels.index(label) for label in labels]
        chances = np.asarray(known["probabilities"], dtype=np.float64)[positions][:, columns]
        return cls(labels, positions, np.array(own, dtype=np.int64), chances)

    @property
    def agreement(self) -> float:
        """The share of labels that the networks gave too."""
        return float((self.chances.argmax(axis=1) == self.targets).mean())

    @property
    def why_not(self) -> Message | None:
        """Why the networks cannot judge labels; None where they can."""
        agreement = self.agreement
        majority = float(np.bincount(self.targets).max() / len(self.targets))
        if agreement - majority >= _LEARNED * (1 - majority):
            return None
        return _(
            "the networks learned too little to judge: they are right on {agreement:.1%}, the most "
            "frequent class alone on {majority:.1%}. More time may help (--time 10m), or more "
            "pictures",
            agreement=agreement,
            majority=majority,
        )


def _judged(dataset: Dataset, known: arrays.Arrays) -> Suspects:
    answers = _Answers.of(dataset, known)
    if answers.why_not is not None:
        return _nothing(dataset, answers.why_not)
    confidence = judge(answers.chances, answers.targets)
    __, seconds, in_full = (float(value) for value in known["about"])
    return Suspects(
        labels=answers.labels,
        too_few=tuple(label for label in dataset.labels if label not in answers.labels),
        examples=_examples(dataset, answers, confidence),
        counts=confidence.counts,
        noise_rate=confidence.noise_rate,
        agreement=answers.agreement,
        distance=np.asarray(known["distance"], dtype=np.float64),
        seconds=seconds,
        in_full=bool(in_full),
    )


def _examples(dataset: Dataset, answers: _Answers, confidence: Confidence) -> tuple[Suspect, ...]:
    found = []
    for number, position in enumerate(answers.positions.tolist()):
        example = dataset.examples[position]
        found.append(
            Suspect(
                position=position,
                path=example.path,
                label=example.label,
                suggested=answers.labels[int(confidence.suggested[number])],
                split=example.split,
                self_confidence=float(confidence.self_confidence[number]),
                margin=float(confidence.margin[number]),
                is_suspect=bool(confidence.is_suspect[number]),
                rank=int(confidence.rank[number]),
            )
        )
    return tuple(found)


def _nothing(dataset: Dataset, reason: Message) -> Suspects:
    classes = len(dataset.labels)
    return Suspects(
        labels=dataset.labels,
        too_few=(),
        examples=(),
        counts=np.zeros((classes, classes), dtype=np.int64),
        noise_rate=0.0,
        agreement=0.0,
        distance=np.zeros(0),
        seconds=0.0,
        in_full=False,
        why_not=reason,
    )
