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
from mintage.core.types import Example
from mintage.core.units import format_duration
from mintage.create.dataset import Dataset
from mintage.create.prepare import Pictures
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


# Two thirds of the examples teach a network enough, and three trainings are each longer than four
# in the same time. Of 1,200 photographs 83 % were right after 117 s on 2 cores, with four folds of
# 64 px 76 % (one run each). With 5 % of the labels of 4,000 turned, 80 to 86 % of them were among
# the first tenth of the list after 194 to 218 s.
_OF_MANY = Scale(folds=3, side=144, shown=80_000)
_OF_FEW = Scale(folds=3, side=144, shown=42_000)


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

    @property
    def side(self) -> int:
        """The largest that pictures are trained on: hardly larger than they are."""
        pairs = zip(self.examples, self.fold, strict=True)
        typical = median(min(example.size) for example, fold in pairs if fold >= 0)
        return min(self.scale.side, int(typical))

    def by_passes(self) -> Candidate:
        """The network that is trained where the time suffices."""
        shown = len(self.learned_from(0))
        return judges.by_passes(shown, self.passes, self.side, uneven=self.uneven)

    def by_clock(self, fold: int, seconds: float, speed: float) -> Candidate:
        """The network that is trained where it does not."""
        shown = len(self.learned_from(fold))
        return judges.by_clock(shown, seconds, speed, self.side, uneven=self.uneven)

    def seconds_of(self, fold: int, speed: float) -> float:
        """How long all passes of one fold should take."""
        each = judges.milliseconds(self.by_passes(), speed)
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

    kind = registry.modalities().get(dataset.card["modality"])
    pictures = Pictures(workspace, dataset, kind, progress)

    def trainer(side: int) -> judges.Trainer:
        return judges.Trainer(pictures.at(side), targets, threads, seed, folder, should_end)

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
        """Nothing is known yet of mirror images."""
        self.folds = self.plan.scale.folds
        self.in_full = True
        self.flips = "none"

    def done(self) -> OutOfFold | None:
        """Every fold judged; None where it was stopped before."""
        count = len(self.plan.fold)
        chances = np.zeros((count, self.classes), dtype=np.float32)
        features = []
        self.measure_mirroring()
        for fold in range(self.folds):
            candidate, seconds = self.choice(fold)
            trainer = self.trainer(candidate.input_size)
            self.show_stage(fold)
            if trainer.should_stop():
                return None
            network = self.train(trainer, fold, candidate, seconds)
            asked = trainer.ask(network, candidate, self.plan.judged(fold))
            if asked is None:
                return None
            chances[self.plan.judged(fold)] = asked[0]
            features.append(asked[1])
        return OutOfFold(
            self.plan.fold, chances, self.side_by_side(features), self.elapsed, self.in_full
        )

    def side_by_side(self, features: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32[N, D] of all folds; a narrower network's have zeros after them."""
        widest = max(each.shape[1] for each in features)
        found = np.zeros((len(self.plan.fold), widest), dtype=np.float32)
        for fold, each in enumerate(features):
            found[self.plan.judged(fold), : each.shape[1]] = each
        return found

    @property
    def elapsed(self) -> float:
        """Seconds since it all began."""
        return time.monotonic() - self.began

    def choice(self, fold: int) -> tuple[Candidate, float | None]:
        """What is trained for this fold, and its seconds where its passes would not fit."""
        share = self.share(fold)
        if _ROOM * self.plan.seconds_of(fold, self.speed) <= share:
            chosen, seconds = self.plan.by_passes(), None
        else:
            chosen, seconds = self.plan.by_clock(fold, share, self.speed), share
        return replace(chosen, augmentation=replace(chosen.augmentation, flips=self.flips)), seconds

    def share(self, fold: int) -> float:
        """Seconds for training this fold's network, of what is left for it and those after it."""
        each = judges.milliseconds(self.plan.by_passes(), self.speed) / 1000
        asking = _ASKING * each * len(self.plan.judged(fold))
        left = (self.limit - self.elapsed) / (self.folds - fold)
        return max(left - asking, 0.1 * self.limit / self.folds)

    def show_stage(self, fold: int) -> None:
        """Begin the bar of what is left to train."""
        left = self.limit - self.elapsed
        needed = sum(self.plan.seconds_of(n, self.speed) for n in range(fold, self.folds))
        self.progress.start(
            _(
                "Wrong labels: network {number} of {folds}, {time} in all",
                number=fold + 1,
                folds=self.folds,
                time=format_duration(max(0.0, min(left, needed))),
            ),
            1.0,
        )

    def measure_mirroring(self) -> None:
        """Find out which mirror images are the same thing, and how fast training goes here."""
        chosen, __ = self.choice(0)
        trainer = self.trainer(chosen.input_size)
        learned, trial = self.plan.learned_from(0), judges.trial_of(chosen)
        passes = max(2, round(_TRIAL_PASSES * self.plan.passes))
        needed = len(learned) * passes * judges.milliseconds(trial, self.speed) / 1000
        most = _TRIAL_TIME * self.limit
        self.progress.start(
            _("Looking whether mirror images show the same"),
            1.0,
        )
        with self.measured(trial) as show:
            self.flips = trainer.same_mirrored(
                chosen,
                learned,
                self.plan.judged(0),
                passes=passes,
                seconds=None if needed <= most else most,
                until=time.monotonic() + most,
                progress=show,
            )

    def train(
        self, trainer: judges.Trainer, fold: int, candidate: Candidate, seconds: float | None
    ) -> PictureNetwork:
        """One network, by passes or by the clock."""
        until = time.monotonic() + self.share(fold)
        with self.measured(candidate) as show:
            network = trainer.fit(
                candidate,
                self.plan.learned_from(fold),
                str(fold),
                passes=self.plan.passes,
                seconds=seconds,
                until=until if seconds is None else None,
                progress=show,
            )
        if seconds is not None or time.monotonic() >= until:
            self.in_full = False
        return network

    @contextmanager
    def measured(self, candidate: Candidate) -> Iterator[Callable[[TrainProgress], None]]:
        """Show a training, and learn from it how fast this machine is."""
        seen: list[tuple[float, int]] = []  # the first step, which builds kernels, and the last
        furthest = 0.0

        def show(state: TrainProgress) -> None:
            nonlocal furthest
            furthest = max(furthest, state.fraction)  # no bar goes back (``trials.Trials.fit``)
            seen[1:] = [(time.monotonic(), state.step)]
            left = max(0.0, min(state.seconds_left, self.limit - self.elapsed))
            self.progress.advance(furthest, _("{left} left", left=format_duration(left)))

        yield show
        if seen and seen[-1][1] - seen[0][1] >= _ENOUGH_STEPS:
            (began, first), (ended, last) = seen[0], seen[-1]
            taken = 1000 * (ended - began) / ((last - first) * candidate.batch_size)
            self.speed = taken / judges.milliseconds(candidate, 1.0)
