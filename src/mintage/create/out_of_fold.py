"""What networks make of examples that they never saw: small trainings over folds.

Every example is judged by one network, trained on the other folds. Near duplicates are in one
fold, and examples of the test split are judged but never trained on.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.canonical import sha256_hex
from mintage.core.errors import missing_extra
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.core.types import Example, InputSpec
from mintage.core.units import format_duration
from mintage.create.dataset import Dataset
from mintage.create.prepare import decoded
from mintage.store.workspace import Workspace

try:
    from mintage.create import judges
    from mintage.create.design import EVEN
    from mintage.create.pace import TrainProgress
    from mintage.create.recipe import Candidate
    from mintage.modalities.image.networks import PictureNetwork
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

Positions = NDArray[np.int64]

_MANY = 1500
# A fold goes by passes, which can be repeated exactly, where they fit well within its time.
_ROOM = 1.2
# Of its time, what it may take at most.
_LATEST = 1.25
# Rather than with fewer of its passes than this share, a network is trained on smaller pictures.
_LEAST_OF_ITS_PASSES = 0.6
_FEWEST_PASSES, _MOST_PASSES = 5, 100
# A quarter of a network's passes, over pictures of half the side, tell mirror images apart.
_TRIAL_PASSES, _TRIAL_TIME = 0.25, 0.09


@dataclass(frozen=True)
class Scale:
    """How much is trained; ``shown`` is how many examples each network sees in all its passes."""

    folds: int
    side: int
    shown: int


# Two thirds of 4,000 examples teach a network enough, and three trainings are each longer than
# four in the same time. With 5 % of the labels of 4,000 photographs turned, 82 % of them were among
# the first tenth of the list after 400 s on 2 cores, 74.5 % after 290 s (one run each).
_OF_MANY = Scale(folds=3, side=144, shown=80_000)
_OF_FEW = Scale(folds=4, side=64, shown=42_000)


@dataclass(frozen=True)
class OutOfFold:
    """What was found of N examples of k classes.

    ``features`` can be compared within a fold alone: each fold has a network of its own.
    """

    fold: NDArray[np.int64]  # [N]
    probabilities: NDArray[np.float32]  # [N, k]
    features: NDArray[np.float32]  # [N, D]
    seconds: float
    in_full: bool  # no training was cut short by the clock


@dataclass(frozen=True)
class Plan:
    """What is to be trained: so many networks, each for so many passes over what it is shown."""

    candidate: Candidate
    fold: NDArray[np.int64]  # [N]
    folds: int
    passes: int
    milliseconds: float  # for an example trained on, as far as is known

    def learned_from(self, fold: int, examples: Sequence[Example]) -> Positions:
        """The positions that the network of this fold is trained on."""
        learned = np.array([each.split != "test" for each in examples]) & (self.fold != fold)
        return np.flatnonzero(learned)

    def judged(self, fold: int) -> Positions:
        """The positions that it is asked about."""
        return np.flatnonzero(self.fold == fold)

    def seconds(self, examples: Sequence[Example]) -> float:
        """How long all the trainings should take."""
        shown = sum(len(self.learned_from(fold, examples)) for fold in range(self.folds))
        return shown * self.passes * self.milliseconds / 1000


def judge_unseen(
    workspace: Workspace,
    dataset: Dataset,
    *,
    seconds: float,
    threads: int,
    seed: int,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> OutOfFold | None:
    """Train a network for each fold and ask it about that fold; None where it was stopped.

    ``seconds`` is all that this may take but for decoding; what takes a quarter longer, beside
    other work on the machine, is stopped. By passes, which is what happens where
    the time suffices, the same seed and thread count give the same answers.

    Raises:
        DependencyDown: the disk is full.
    """
    plan = planned(dataset, seconds, threads, seed)
    spec = InputSpec(dataset.card["modality"], plan.candidate.input_size)
    kind = registry.modalities().get(spec.modality)
    images = decoded(workspace, dataset, kind, spec, progress)
    folder = workspace.cache_folder / f".suspects.{new_id('tmp')}"
    progress.start(
        _(
            "Looking for wrong labels: {folds} networks, about {time}",
            folds=plan.folds,
            time=format_duration(min(seconds, plan.seconds(dataset.examples))),
        ),
        1.0,
    )
    labels = dataset.labels
    targets = np.array([labels.index(each.label) for each in dataset.examples], dtype=np.int64)
    latest = time.monotonic() + _LATEST * seconds

    def should_end() -> bool:
        return should_stop() or time.monotonic() > latest

    trainer = judges.Trainer(images, targets, threads, seed, folder, should_end)
    try:
        return _Work(dataset, plan, trainer, seconds, progress).done()
    finally:
        progress.finish()
        shutil.rmtree(folder, ignore_errors=True)


def planned(dataset: Dataset, seconds: float, threads: int, seed: int) -> Plan:
    """So many passes by how many examples there are, on pictures as large as the time allows."""
    examples = dataset.examples
    counts = Counter(example.label for example in examples if example.split != "test")
    trained = sum(counts.values())
    scale = _OF_MANY if trained >= _MANY else _OF_FEW
    shown = trained * (scale.folds - 1) // scale.folds
    passes = min(max(round(scale.shown / max(1, shown)), _FEWEST_PASSES), _MOST_PASSES)
    speed = judges.machine_speed(threads, seconds)
    typical = median(min(example.size) for example in examples)
    fold = folds_of(examples, scale.folds, seed)
    uneven = max(counts.values()) > EVEN * min(counts.values())
    for side in judges.sides_up_to(min(scale.side, typical)):
        candidate = judges.candidate(side, shown, passes, uneven=uneven)
        milliseconds = judges.milliseconds(candidate, speed)
        plan = Plan(candidate, fold, scale.folds, passes, milliseconds)
        if _LEAST_OF_ITS_PASSES * plan.seconds(examples) <= seconds:
            break
    return plan


def folds_of(examples: Sequence[Example], folds: int, seed: int) -> NDArray[np.int64]:
    """int64[N]: the fold of each example; groups go whole, and each class is dealt evenly.

    It depends on the groups and the seed alone: the order of the examples changes nothing.
    """
    sizes = Counter(example.group for example in examples)
    label_of: dict[str, str] = {}
    for example in sorted(examples, key=lambda each: (each.group, each.label)):
        label_of.setdefault(example.group, example.label)
    ranked = sorted(label_of, key=lambda group: sha256_hex(f"suspects:{seed}:{group}".encode()))
    held = np.zeros(folds, dtype=np.int64)
    own = {label: np.zeros(folds, dtype=np.int64) for label in set(label_of.values())}
    dealt: dict[str, int] = {}
    for group in ranked:
        mine = own[label_of[group]]
        chosen = int(np.lexsort((held, mine))[0])
        dealt[group] = chosen
        mine[chosen] += sizes[group]
        held[chosen] += sizes[group]
    return np.array([dealt[example.group] for example in examples], dtype=np.int64)


@dataclass
class _Work:
    """The trainings, one fold after another, within ``limit`` seconds."""

    dataset: Dataset
    plan: Plan
    trainer: judges.Trainer
    limit: float
    progress: Progress

    def __post_init__(self) -> None:
        """From now on the clock runs."""
        self.began = time.monotonic()
        self.asking = 0.1 * self.limit / self.plan.folds  # as long as nobody knows
        self.milliseconds = self.plan.milliseconds
        self.in_full = True

    def done(self) -> OutOfFold | None:
        """Every fold judged; None where it was stopped before."""
        candidate = self.mirroring()
        count, classes = len(self.plan.fold), len(self.dataset.labels)
        chances = np.zeros((count, classes), dtype=np.float32)
        features = np.zeros((count, 0), dtype=np.float32)
        for fold in range(self.plan.folds):
            if self.trainer.should_stop():
                return None
            network = self.train(fold, candidate)
            own = self.plan.judged(fold)
            began = time.monotonic()
            asked = self.trainer.ask(network, candidate, own)
            if asked is None:
                return None
            self.asking = time.monotonic() - began
            chances[own], found = asked
            if not features.shape[1]:
                features = np.zeros((count, found.shape[1]), dtype=np.float32)
            features[own] = found
        seconds = time.monotonic() - self.began
        return OutOfFold(self.plan.fold, chances, features, seconds, self.in_full)

    def mirroring(self) -> Candidate:
        """The candidate, shown those mirror images that are the same thing."""
        chosen = self.plan.candidate
        learned = self.plan.learned_from(0, self.dataset.examples)
        passes = max(2, round(_TRIAL_PASSES * self.plan.passes))
        dearer = judges.milliseconds(judges.trial_of(chosen), 1) / judges.milliseconds(chosen, 1)
        needed = len(learned) * passes * self.milliseconds * dearer / 1000
        most = _TRIAL_TIME * self.limit
        flips = self.trainer.same_mirrored(
            chosen,
            learned,
            self.plan.judged(0),
            passes=passes,
            seconds=None if needed <= most else most,
            until=time.monotonic() + most,
        )
        return replace(chosen, augmentation=replace(chosen.augmentation, flips=flips))

    def train(self, fold: int, candidate: Candidate) -> PictureNetwork:
        """One network, by passes where they fit into its share of the time."""
        learned = self.plan.learned_from(fold, self.dataset.examples)
        seconds = self._by_the_clock(fold, len(learned))
        began = time.monotonic()
        until = began + self._share(fold)
        network = self.trainer.fit(
            candidate,
            learned,
            str(fold),
            passes=self.plan.passes,
            seconds=seconds,
            until=None if seconds is not None else until,
            progress=lambda state: self._show(fold, state),
        )
        if seconds is None and time.monotonic() >= until:
            self.in_full = False
        if seconds is None:  # what it took is what the next should take
            taken = 1000 * (time.monotonic() - began)
            self.milliseconds = taken / (self.plan.passes * len(learned))
        return network

    def _by_the_clock(self, fold: int, learned: int) -> float | None:
        """Seconds for this fold where its passes would not fit; None where they do."""
        share = self._share(fold)
        needed = learned * self.plan.passes * self.milliseconds / 1000
        if _ROOM * needed <= share:
            return None
        self.in_full = False
        return share

    def _share(self, fold: int) -> float:
        """Seconds for training this fold's network, of what is left for it and those after it."""
        left = self.limit - (time.monotonic() - self.began)
        least = 0.1 * self.limit / self.plan.folds
        return max(left / (self.plan.folds - fold) - self.asking, least)

    def _show(self, fold: int, state: TrainProgress) -> None:
        done = (fold + state.fraction) / self.plan.folds
        left = state.seconds_left
        if done > 0:
            left = max(left, (time.monotonic() - self.began) * (1 - done) / done)
        self.progress.advance(done, _("{left} left", left=format_duration(left)))
