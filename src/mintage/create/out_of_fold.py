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
from pathlib import Path
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
    from mintage.create import probe
    from mintage.create.design import EVEN, SIZES, cost_ms, sized
    from mintage.create.forward import evaluate
    from mintage.create.losses import probabilities
    from mintage.create.pace import TrainProgress
    from mintage.create.recipe import Candidate
    from mintage.create.train import FitResult, fit
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

Pixels = NDArray[np.uint8]
Positions = NDArray[np.int64]

_MANY = 1500
_FEW = 64
# Whether mirror images are the same thing is found out first, by a quarter of a network's passes
# over pictures of half the side. Of what those taught it, mirroring may cost this share. Of
# photographs of cats and dogs it cost -0.3 to 0.0 left to right and 1.0 to 3.7 upside down, where
# 7 to 17 % of all there is to learn was learned (6 runs).
_TRIAL_SHARE, _TRIAL_EXAMPLES = 0.25, 1000
_ENOUGH, _MAY_COST = 0.04, 0.3
_TRIAL_TIME = 0.07  # of all the time
_ACROSS, _DOWN = 3, 2  # axes of [N, C, H, W]
# A fold goes by passes, which can be repeated exactly, where they fit well within its time.
_ROOM = 1.2
# Rather than with fewer of its passes than this share, a network is trained on smaller pictures.
_LEAST_OF_ITS_PASSES = 0.6
_FEWEST_PASSES, _MOST_PASSES = 5, 100


@dataclass(frozen=True)
class Scale:
    """How much is trained; ``shown`` is how many examples each network sees in all its passes."""

    folds: int
    side: int
    shown: int


# Two thirds of 4,000 examples teach a network enough, and three trainings are each longer than
# four in the same time. With 5 % of the labels of 4,000 photographs turned, 16 passes at 112 px
# were right on 86.5 % of what they had not seen; 36 passes at 64 px, which take as long, on 79.7 %.
_OF_MANY = Scale(folds=3, side=112, shown=42_000)
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

    ``seconds`` is all that this may take but for decoding. By passes, which is what happens where
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
    try:
        work = _Work(dataset, plan, images, seconds, threads, seed, folder, progress, should_stop)
        return work.done()
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
    speed = probe.measure(threads, min(probe.PROBE_SECONDS, 0.03 * seconds))
    typical = max(median(min(example.size) for example in examples), SIZES[0].side)
    fold = folds_of(examples, scale.folds, seed)
    uneven = max(counts.values()) > EVEN * min(counts.values())
    sides = {size.side for size in SIZES if size.side <= min(scale.side, typical)}
    for side in sorted(sides, reverse=True):
        candidate = _candidate(side, shown, passes, uneven=uneven)
        # A step costs something besides its examples, as much as 9 of them at 64 px
        # (design.sized: 7 % of a batch of 128).
        milliseconds = speed * (cost_ms(candidate) or 0.0) * (1 + 9 / candidate.batch_size)
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


def _candidate(side: int, shown: int, passes: int, *, uneven: bool) -> Candidate:
    """The compact network, so trained that few steps go far.

    The last weights are kept: the best could be told by labels alone that are to be judged.
    """
    size = next(size for size in SIZES if size.side == side)
    # Muon's step costs the same for any number of examples, so that small batches are dear.
    batch = 64 if shown >= 1000 else 32
    return replace(
        sized(size, shown, passes, name="suspects"),
        batch_size=batch,
        learning_rate=0.03,
        mixup=0.0,
        cutmix=0.0,
        restore_best_weights=False,
        class_weights="balanced" if uneven else "none",
    )


@dataclass
class _Work:
    """The trainings, one fold after another."""

    dataset: Dataset
    plan: Plan
    images: Pixels
    limit: float
    threads: int
    seed: int
    folder: Path
    progress: Progress
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        labels = self.dataset.labels
        self.targets = np.array(
            [labels.index(each.label) for each in self.dataset.examples], dtype=np.int64
        )
        self.candidate = self.plan.candidate
        self.milliseconds = self.plan.milliseconds
        self.began = time.monotonic()
        self.in_full = True

    def done(self) -> OutOfFold | None:
        """Every fold judged; None where it was stopped before."""
        flips = self.same_mirrored()
        changed = replace(self.candidate.augmentation, flips=flips)
        self.candidate = replace(self.candidate, augmentation=changed)
        count, classes = len(self.targets), len(self.dataset.labels)
        chances = np.zeros((count, classes), dtype=np.float32)
        features: NDArray[np.float32] | None = None
        for fold in range(self.plan.folds):
            fitted = self.train(fold)
            if self.should_stop():
                return None
            own = np.flatnonzero(self.plan.fold == fold)
            chances[own], found = self.ask(fitted, own)
            if features is None:
                features = np.zeros((count, found.shape[1]), dtype=np.float32)
            features[own] = found
        seconds = time.monotonic() - self.began
        kept = np.zeros((count, 0), dtype=np.float32) if features is None else features
        return OutOfFold(self.plan.fold, chances, kept, seconds, self.in_full)

    def same_mirrored(self) -> str:
        """Which mirror images show the same thing, as recipes name it; none if nobody can tell.

        A network that saw no mirror images is asked about the first fold as it is and mirrored.
        """
        plain = replace(self.candidate.augmentation, flips="none")
        trial = replace(self.candidate, augmentation=plain)
        images = self.images
        if trial.input_size >= 2 * SIZES[0].side:
            side = trial.input_size // 2
            images = images[:, ::2, ::2]
            trial = replace(trial, input_size=side, training_sides=())
        learned = self.plan.learned_from(0, self.dataset.examples)
        passes = max(2, round(_TRIAL_SHARE * self.plan.passes))
        share = (images.shape[1] / self.images.shape[1]) ** 2
        needed = len(learned) * passes * share * self.milliseconds / 1000
        seconds = None if needed <= _TRIAL_TIME * self.limit else _TRIAL_TIME * self.limit
        fitted = self._fit(trial, images, learned, "trial", passes, seconds)
        own = _spread(np.flatnonzero(self.plan.fold == 0), _TRIAL_EXAMPLES)

        def loss(*axes: int) -> float:
            logits, __ = evaluate(fitted.network, trial, images, own, flip=axes)
            chances = probabilities(logits.float()).numpy()[np.arange(len(own)), self.targets[own]]
            return float(-np.log(np.maximum(chances, 1e-9)).mean())

        shares = np.bincount(self.targets[own]) / len(own)
        ignorant = float(-(shares * np.log(np.maximum(shares, 1e-9))).sum())
        learned_of_it = ignorant - loss()
        if learned_of_it < _ENOUGH * ignorant:
            return "none"
        across, down = (
            loss(axis) - loss() <= _MAY_COST * learned_of_it for axis in (_ACROSS, _DOWN)
        )
        return {(0, 0): "none", (1, 0): "horizontal", (0, 1): "vertical"}.get(
            (across, down), "both"
        )

    def train(self, fold: int) -> FitResult:
        """One network, by passes where they fit into its share of the time."""
        learned = self.plan.learned_from(fold, self.dataset.examples)
        seconds = self._by_the_clock(fold, len(learned))
        began = time.monotonic()
        fitted = self._fit(
            self.candidate,
            self.images,
            learned,
            str(fold),
            self.plan.passes,
            seconds,
            lambda state: self._show(fold, state),
        )
        if seconds is None:  # what it took is what the next should take
            taken = 1000 * (time.monotonic() - began)
            self.milliseconds = taken / (self.plan.passes * len(learned))
        return fitted

    def _fit(
        self,
        candidate: Candidate,
        images: Pixels,
        learned: Positions,
        name: str,
        passes: int,
        seconds: float | None,
        progress: Callable[[TrainProgress], None] = lambda __: None,
    ) -> FitResult:
        """The one place where networks are trained; nothing is chosen by what is validated."""
        return fit(
            candidate,
            images,
            self.targets,
            learned,
            _spread(learned, _FEW),
            seconds=seconds,
            epochs=None if seconds is not None else passes,
            seed=self.seed,
            threads=self.threads,
            checkpoint_folder=self.folder / name,
            progress=progress,
            should_stop=self.should_stop,
        )

    def _by_the_clock(self, fold: int, learned: int) -> float | None:
        """Seconds for this fold where its passes would not fit; None where they do."""
        left = self.limit - (time.monotonic() - self.began)
        share = left / (self.plan.folds - fold)
        needed = learned * self.plan.passes * self.milliseconds / 1000
        if _ROOM * needed <= share:
            return None
        self.in_full = False
        return max(share, 0.1 * self.limit / self.plan.folds)

    def ask(
        self, fitted: FitResult, own: Positions
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities and features of a fold; as it is and mirrored, where that is the same."""
        candidate, network = self.candidate, fitted.network
        logits, features = evaluate(
            network, candidate, self.images, own, computed_in=candidate.precision
        )
        if candidate.augmentation.flips in ("horizontal", "both"):
            other, mirrored = evaluate(
                network,
                candidate,
                self.images,
                own,
                computed_in=candidate.precision,
                flip=(_ACROSS,),
            )
            logits, features = (logits + other) / 2, (features + mirrored) / 2
        return probabilities(logits.float()).numpy(), features.float().numpy()

    def _show(self, fold: int, state: TrainProgress) -> None:
        done = (fold + state.fraction) / self.plan.folds
        left = state.seconds_left
        if done > 0:
            left = max(left, (time.monotonic() - self.began) * (1 - done) / done)
        self.progress.advance(done, _("{left} left", left=format_duration(left)))


def _spread(positions: Positions, count: int) -> Positions:
    """So many of them, evenly."""
    return positions[:: max(1, len(positions) // count)][:count]
