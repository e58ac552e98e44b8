"""What networks make of examples that they never saw: small trainings over folds.

Every example is judged by one network, trained on the other folds. Near duplicates are in one
fold, and examples of the test split are judged but never trained on.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
# Rather than with fewer of its passes than this share, a network is trained on smaller pictures;
# once a size is chosen, not before the machine has become slower than that by far.
_LEAST_OF_ITS_PASSES, _FAR_TOO_FEW = 0.6, 0.45
# An answer takes a third of what a step of training takes for an example; an example is asked about
# in four views (the whole and its middle, mirrored too).
_ASKING = 4 / 3
_FEWEST_PASSES, _MOST_PASSES = 5, 100
_ENOUGH_STEPS = 8  # tell how fast they go
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

    ``features`` can be compared within a fold alone: each fold has a network of its own. An example
    of a class that is not judged is in no fold (-1), and its rows hold zeros.
    """

    fold: NDArray[np.int64]  # [N]
    probabilities: NDArray[np.float32]  # [N, k]
    features: NDArray[np.float32]  # [N, D]
    seconds: float
    in_full: bool  # no training was cut short by the clock


@dataclass(frozen=True)
class Plan:
    """What is to be trained: so many networks, each for so many passes over what it is shown."""

    examples: Sequence[Example]
    fold: NDArray[np.int64]  # [N]; -1 for those that are neither learned from nor judged
    scale: Scale
    passes: int
    uneven: bool

    def learned_from(self, fold: int) -> Positions:
        """The positions that the network of this fold is trained on."""
        learned = np.array([each.split != "test" for each in self.examples])
        return np.flatnonzero(learned & (self.fold != fold) & (self.fold >= 0))

    def judged(self, fold: int) -> Positions:
        """The positions that it is asked about."""
        return np.flatnonzero(self.fold == fold)

    def sides(self) -> list[int]:
        """What pictures may be trained on, the largest first."""
        own = [min(each.size) for each, fold in zip(self.examples, self.fold, strict=True)
               if fold >= 0]
        return judges.sides_up_to(min(self.scale.side, median(own)))

    def candidate(self, side: int) -> Candidate:
        """The network for pictures of this side."""
        return judges.candidate(
            side, len(self.learned_from(0)), self.passes, uneven=self.uneven
        )

    def seconds_of(self, fold: int, chosen: Candidate, speed: float) -> float:
        """How long training it for one fold should take."""
        each = judges.milliseconds(chosen, speed)
        return len(self.learned_from(fold)) * self.passes * each / 1000


def judge_unseen(
    workspace: Workspace,
    dataset: Dataset,
    *,
    judged: NDArray[np.bool_],
    seconds: float,
    threads: int,
    seed: int,
    progress: Progress,
    should_stop: Callable[[], bool],
) -> OutOfFold | None:
    """Train a network for each fold and ask it about that fold; None where it was stopped.

    ``judged`` bool[N] are the examples that this is about. ``seconds`` is all that this may take;
    what takes a quarter longer, beside other work on the machine, is stopped. By passes, which is
    what happens where the time suffices, the same seed and thread count give the same answers.

    Raises:
        DependencyDown: the disk is full.
    """
    began = time.monotonic()
    progress.start(_("Measuring how fast this machine trains"))
    speed = judges.machine_speed(threads, seconds)
    progress.finish()
    folder = workspace.cache_folder / f".suspects.{new_id('tmp')}"
    labels = dataset.labels
    targets = np.array([labels.index(each.label) for each in dataset.examples], dtype=np.int64)
    latest = began + _LATEST * seconds

    def should_end() -> bool:
        return should_stop() or time.monotonic() > latest

    def trainer(side: int) -> judges.Trainer:
        spec = InputSpec(dataset.card["modality"], side)
        kind = registry.modalities().get(spec.modality)
        images = decoded(workspace, dataset, kind, spec, progress)
        return judges.Trainer(images, targets, threads, seed, folder, should_end)

    plan = planned(dataset, judged, seed)
    try:
        return _Work(plan, trainer, len(labels), began, seconds, speed, progress).done()
    finally:
        progress.finish()
        shutil.rmtree(folder, ignore_errors=True)


def planned(dataset: Dataset, judged: NDArray[np.bool_], seed: int) -> Plan:
    """So many folds, and passes by how many examples there are."""
    examples = dataset.examples
    chosen = [examples[position] for position in np.flatnonzero(judged).tolist()]
    counts = Counter(example.label for example in chosen if example.split != "test")
    trained = sum(counts.values())
    scale = _OF_MANY if trained >= _MANY else _OF_FEW
    shown = trained * (scale.folds - 1) // scale.folds
    passes = min(max(round(scale.shown / max(1, shown)), _FEWEST_PASSES), _MOST_PASSES)
    fold = np.full(len(examples), -1, dtype=np.int64)
    fold[judged] = folds_of(chosen, scale.folds, seed)
    uneven = max(counts.values()) > EVEN * min(counts.values())
    return Plan(examples, fold, scale, passes, uneven)


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
    """The trainings, one fold after another, within ``limit`` seconds from ``began`` on.

    ``trainer`` makes one for pictures of a side; ``speed`` is how long this machine takes for what
    the table's takes a second for, as last seen.
    """

    plan: Plan
    trainer: Callable[[int], judges.Trainer]
    classes: int
    began: float
    limit: float
    speed: float
    progress: Progress

    def __post_init__(self) -> None:
        """Choose the largest pictures of which there is time for enough passes."""
        self.folds = self.plan.scale.folds
        self.in_full = True
        self.sides = self.plan.sides()
        self.flips = "none"
        while len(self.sides) > 1 and _LEAST_OF_ITS_PASSES * self.needed(0) > self.limit:
            self.sides.pop(0)
        self.trained_by = self.trainer(self.sides[0])

    def done(self) -> OutOfFold | None:
        """Every fold judged; None where it was stopped before."""
        self.show_stage()
        self.measure_mirroring()
        count = len(self.plan.fold)
        chances = np.zeros((count, self.classes), dtype=np.float32)
        features = np.zeros((count, 0), dtype=np.float32)
        for fold in range(self.folds):
            if self.trained_by.should_stop():
                return None
            self.shrink_if_slow(fold)
            candidate = self.candidate()
            network = self.train(fold, candidate)
            own = self.plan.judged(fold)
            asked = self.trained_by.ask(network, candidate, own)
            if asked is None:
                return None
            chances[own], found = asked
            if not features.shape[1]:
                features = np.zeros((count, found.shape[1]), dtype=np.float32)
            features[own] = found
        return OutOfFold(self.plan.fold, chances, features, self.elapsed, self.in_full)

    @property
    def elapsed(self) -> float:
        """Seconds since it all began."""
        return time.monotonic() - self.began

    def needed(self, fold: int) -> float:
        """Seconds that the trainings from this fold on should take, all their passes."""
        chosen = self.plan.candidate(self.sides[0])
        folds = range(fold, self.folds)
        return sum(self.plan.seconds_of(each, chosen, self.speed) for each in folds)

    def show_stage(self, fold: int = 0) -> None:
        """Begin the bar that all trainings share."""
        left = min(self.limit - self.elapsed, self.needed(fold))
        self.progress.start(
            _(
                "Looking for wrong labels: {folds} networks, about {time}",
                folds=self.folds - fold,
                time=format_duration(max(left, 0.0)),
            ),
            1.0,
        )

    def candidate(self) -> Candidate:
        """What is trained now, shown those mirror images that are the same thing."""
        chosen = self.plan.candidate(self.sides[0])
        return replace(chosen, augmentation=replace(chosen.augmentation, flips=self.flips))

    def measure_mirroring(self) -> None:
        """Find out which mirror images are the same thing, and how fast training goes here."""
        chosen = self.plan.candidate(self.sides[0])
        learned = self.plan.learned_from(0)
        passes = max(2, round(_TRIAL_PASSES * self.plan.passes))
        trial = judges.trial_of(chosen)
        needed = len(learned) * passes * judges.milliseconds(trial, self.speed) / 1000
        most = _TRIAL_TIME * self.limit
        with self.measured(trial, 0.0, _TRIAL_TIME) as show:
            self.flips = self.trained_by.same_mirrored(
                chosen,
                learned,
                self.plan.judged(0),
                passes=passes,
                seconds=None if needed <= most else most,
                until=time.monotonic() + most,
                progress=show,
            )

    def shrink_if_slow(self, fold: int) -> None:
        """Go on with smaller pictures where this machine has become too slow for these."""
        share, before = self.share(fold), self.sides[0]
        enough = _FAR_TOO_FEW
        while len(self.sides) > 1:
            needed = self.plan.seconds_of(fold, self.plan.candidate(self.sides[0]), self.speed)
            if enough * needed <= share:
                break
            self.sides.pop(0)
            enough = _LEAST_OF_ITS_PASSES
        if self.sides[0] != before:
            self.trained_by = self.trainer(self.sides[0])
            self.show_stage(fold)

    def train(self, fold: int, candidate: Candidate) -> PictureNetwork:
        """One network, by passes where they fit into its share of the time."""
        learned, share = self.plan.learned_from(fold), self.share(fold)
        by_clock = _ROOM * self.plan.seconds_of(fold, candidate, self.speed) > share
        until = time.monotonic() + share
        whole = 1 - _TRIAL_TIME
        start = _TRIAL_TIME + whole * fold / self.folds
        with self.measured(candidate, start, whole / self.folds) as show:
            network = self.trained_by.fit(
                candidate,
                learned,
                str(fold),
                passes=self.plan.passes,
                seconds=share if by_clock else None,
                until=None if by_clock else until,
                progress=show,
            )
        if by_clock or time.monotonic() >= until:
            self.in_full = False
        return network

    def share(self, fold: int) -> float:
        """Seconds for training this fold's network, of what is left for it and those after it."""
        each = judges.milliseconds(self.plan.candidate(self.sides[0]), self.speed) / 1000
        asking = _ASKING * each * len(self.plan.judged(fold))
        left = (self.limit - self.elapsed) / (self.folds - fold)
        return max(left - asking, 0.1 * self.limit / self.folds)

    @contextmanager
    def measured(
        self, candidate: Candidate, start: float, share: float
    ) -> Iterator[Callable[[TrainProgress], None]]:
        """Show a training as so much of all of it, and learn from it how fast this machine is."""
        seen: list[tuple[float, int]] = []  # the first step, which builds kernels, and the last

        def show(state: TrainProgress) -> None:
            seen[1:] = [(time.monotonic(), state.step)]
            done = start + share * state.fraction
            left = self.elapsed * (1 - done) / max(done, 1e-3)
            left = min(left, max(self.limit - self.elapsed, 0.0))
            self.progress.advance(done, _("{left} left", left=format_duration(left)))

        yield show
        if seen and seen[-1][1] - seen[0][1] >= _ENOUGH_STEPS:
            (began, first), (ended, last) = seen[0], seen[-1]
            taken = 1000 * (ended - began) / ((last - first) * candidate.batch_size)
            self.speed = taken / judges.milliseconds(candidate, 1.0)
