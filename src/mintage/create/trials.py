"""Steps 3 to 5: every candidate of a recipe trained within its share of the time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.errors import ConfigError, InputError, missing_extra
from mintage.core.files import append_line
from mintage.core.messages import Message, _
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.types import InputSpec
from mintage.core.units import format_duration, format_size
from mintage.create.dataset import Dataset
from mintage.create.prepare import Pictures
from mintage.create.splits import FOLDS
from mintage.store.workspace import Workspace

try:
    from mintage.create.checkpoint import is_lost
    from mintage.create.design import cost_ms
    from mintage.create.memory import memory_left, memory_needed
    from mintage.create.pace import TrainProgress
    from mintage.create.recipe import Candidate, Recipe
    from mintage.create.train import FitResult, fit
    from mintage.modalities.image.networks import PictureNetwork
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

SHORTEST_SECONDS = 20.0
"""Below this a budget is refused: imports, decoding, export and signing need most of it."""

AFTERWARDS = 1600
"""Pictures that the finished network is run on for parity, the detector and the evaluation."""

_HEAD_SHARE = 0.35
"""Of a pretrained network's time, for fitting its head before all of it learns."""

# On the machine these were measured on, imports and reading the workspace had computed this long
# when training began; elsewhere all that is fixed is taken to be slower in proportion.
_USUAL_WORK = 2.0
_LEAST_SECONDS = 1.0  # of a training that is begun at all
_TELLING = 0.05  # of a training by epochs, from which on its pace tells how long all will take
_UNKNOWN_MS = 5.0  # for an example, of a pretrained network


@dataclass(frozen=True)
class Budget:
    """The time for everything, from ``started`` (``clock()`` then) to the signed bundle.

    ``looks`` says whether a look at the finished model from all sides is part of it.
    ``start_seconds`` is how long imports and reading the workspace had taken, and
    ``start_work`` how much of that one processor had computed.
    """

    seconds: float
    started: float
    clock: Callable[[], float]
    looks: bool = True
    start_seconds: float = 0.0
    start_work: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until the bundle must stand."""
        return self.seconds - (self.clock() - self.started)

    def for_training(self, *, int8: bool = False, waiting: float | None = None) -> float:
        """What training may use, the network's runs afterwards among it.

        The rest is for exporting, the detector, signing and the report (2.4 s on 2 cores with
        nothing else to do), and from two minutes on for a look at the model from all sides.
        ``int8`` says whether the graph will be quantised and both graphs raced (2.5 s).
        ``waiting`` is how many times longer work takes than it computes, which others' work on
        this machine decides; left out, the start tells it.
        """
        looking = 0.03 if self.looks and self.seconds >= 120 else 0.0
        slowness = self.slowness(waiting)
        fixed = 2.4 * slowness + (1.5 + slowness if int8 else 0.0)
        return self.left - fixed - (0.015 + looking) * self.seconds

    def slowness(self, waiting: float | None) -> float:
        """How many times longer than usual what one processor computes takes here and now."""
        if waiting is None:
            waiting = min(self.start_seconds / max(self.start_work, _USUAL_WORK), 6.0)
        return max(1.0, waiting) * max(1.0, self.start_work / _USUAL_WORK)


@dataclass(frozen=True)
class Trained:
    """One candidate and what became of it."""

    candidate: Candidate
    fitted: FitResult
    score: float
    """The recipe's measure on validation data; it and both accuracies are means over the folds."""
    train_accuracy: float
    validation_accuracy: float
    folds: int
    """How many trainings those are means of; ``fitted`` is the first."""


@dataclass
class Trials:
    """The candidates of one run; ``folder`` is the run's own.

    ``dropped`` are digests of examples that are not trained on; ``after`` is how many pictures
    the kept network is run on when training is over; ``speed`` is the machine's, as measured.
    ``waiting`` is how many times longer work takes on it than it computes, as last seen.
    ``later`` are the candidates to be trained after the one in training, as far as that is known.
    """

    workspace: Workspace
    dataset: Dataset
    recipe: Recipe
    folder: Path
    progress: Progress
    should_stop: Callable[[], bool]
    budget: Budget | None
    resume: bool = False
    dropped: frozenset[str] = frozenset()
    int8: bool = False
    after: int = AFTERWARDS
    speed: float | None = None
    skipped: list[dict[str, Any]] = field(default_factory=list)
    kind: Modality = field(init=False)
    targets: NDArray[np.int64] = field(init=False)
    waiting: float | None = field(init=False, default=None)
    later: Sequence[Candidate] = field(init=False, default=())
    _pictures: Pictures = field(init=False)
    _strangers: dict[int, Sequence[NDArray[np.uint8]]] = field(init=False)
    _took: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Find the code for the dataset's kind of data, and number its labels."""
        self.kind = registry.modalities().get(self.dataset.card["modality"])
        labels, examples = self.dataset.labels, self.dataset.examples
        self.targets = np.array([labels.index(e.label) for e in examples], dtype=np.int64)
        self._pictures = Pictures(self.workspace, self.dataset, self.kind, self.progress)
        self._strangers = {}
        if self.resume:  # what is resumed writes its lines again, as far as it had come
            (self.folder / "log.jsonl").unlink(missing_ok=True)

    @property
    def checkpoints(self) -> Path:
        """Where the states of unfinished trainings are."""
        return self.folder / "checkpoints"

    def train_all(self) -> list[Trained]:
        """Train one after another; one that cannot be is skipped with its reason.

        Raises:
            ConfigError: none could be trained.
        """
        trained: list[Trained] = []
        candidates = self.recipe.candidates
        folds = self._folds(self.budget is None)
        if folds > 1:
            self.progress.say(
                _(
                    "{count} networks are compared over {folds} folds: {trainings} trainings.",
                    count=len(candidates),
                    folds=folds,
                    trainings=folds * len(candidates),
                )
            )
        for position, candidate in enumerate(candidates):
            if trained and self.should_stop():
                break
            if trained and self.is_too_late_for(candidate):
                continue
            self.later = candidates[position + 1 :]
            found = self.attempt(candidate, lambda p=position: self.share(candidates[p:]))  # type: ignore[misc]
            if found is not None:
                trained.append(found)
        return self.some(trained)

    def some(self, trained: list[Trained]) -> list[Trained]:
        """What was trained.

        Raises:
            ConfigError: nothing was.
            KeyboardInterrupt: it was stopped before anything was.
        """
        if not trained and self.should_stop():
            raise KeyboardInterrupt
        if not trained:
            reasons = [Message(each["reason"]) for each in self.skipped]
            raise ConfigError(_("No candidate could be trained."), remedy=reasons[0])
        return trained

    def attempt(
        self,
        candidate: Candidate,
        seconds: Callable[[], float | None],
        *,
        epochs: int | None = None,
        stage: str = "",
    ) -> Trained | None:
        """Train one candidate if it fits; None where it was skipped.

        ``seconds`` is asked after decoding, which takes its time too. ``stage`` keeps the
        checkpoints of a search's rounds apart.

        Raises:
            InputError: it is the recipe's only one.
            KeyboardInterrupt: the same, and training was stopped before its first step.
        """
        try:
            self.check_memory(candidate)
            return self._train(candidate, seconds, epochs or self.recipe.epochs, stage)
        except InputError as error:
            # One candidate that cannot be trained does not end the run of the others.
            if self.recipe.candidates != (candidate,):
                self.skip(candidate, error.message)
                return None
            if self.should_stop():
                raise KeyboardInterrupt from error
            raise

    def skip(self, candidate: Candidate, reason: str) -> None:
        """Say and write down why a candidate is not trained."""
        self.note_skipped(candidate, reason)
        self.progress.say(_("Skipped {name}: {reason}", name=candidate.name, reason=reason))

    def note_skipped(self, candidate: Candidate, reason: str) -> None:
        """Write down why a candidate is not trained."""
        self.skipped.append({"name": candidate.name, "reason": reason})

    def check_memory(self, candidate: Candidate) -> None:
        """Refuse what would not fit.

        Raises:
            ConfigError: the candidate needs more memory than there is.
        """
        needed = memory_needed(candidate) + self._pictures.make_room(candidate.input_size)
        left = memory_left()
        if left is not None and needed > left:
            raise ConfigError(
                _(
                    "it would need about {needed} of memory, and {left} are free.",
                    needed=format_size(needed),
                    left=format_size(left),
                ),
                remedy=_("Lower batch_size, input_size or width in the recipe."),
            )

    def is_too_late_for(self, candidate: Candidate) -> bool:
        """Whether the budget leaves nothing to train it in; then it is skipped, which is said."""
        if self.budget is None:
            return False
        late = self.left_for_training(self.budget) < _LEAST_SECONDS
        if late:
            self.skip(candidate, _("no time is left for it."))
        return late

    def share(self, candidates: Sequence[Candidate]) -> float | None:
        """Seconds for the first of those that are left, by weight."""
        if self.budget is None:
            return None
        weights = [_time_weight(each) for each in candidates]
        left = self.left_for_training(self.budget)
        return max(_LEAST_SECONDS, left * weights[0] / sum(weights))

    def left_for_training(self, budget: Budget) -> float:
        """Seconds until training must be over, as slow as this machine is now."""
        return budget.for_training(int8=self.int8, waiting=self.waiting)

    def strangers(self, candidate: Candidate) -> Sequence[NDArray[np.uint8]]:
        """Inputs made up to be unlike the training data, which the detector of novelty needs.

        They are made before training. Work on one thread, as what follows it is, they show how
        much longer that takes beside what else this machine does.
        """
        side = candidate.input_size
        if side not in self._strangers:
            began, busy = time.monotonic(), time.thread_time()
            self._strangers[side] = self.kind.strangers(self.spec(candidate))
            worked = max(time.thread_time() - busy, 1e-3)
            self.waiting = (time.monotonic() - began) / worked
        return self._strangers[side]

    def seconds_a_pass(self, candidate: Candidate) -> float | None:
        """How long one pass over the training data should take; None where nobody knows."""
        cost = cost_ms(candidate)
        if cost is None or self.speed is None:
            return None
        return cost * self.speed * int(self.learned_from().sum()) / 1000

    def _train(
        self,
        candidate: Candidate,
        seconds: Callable[[], float | None],
        epochs: int | None,
        stage: str,
    ) -> Trained:
        images = self.images(candidate)
        self.strangers(candidate)
        given = seconds()
        results: list[FitResult] = []
        for fold in range(self._folds(given is None)):
            if results and self.should_stop():
                break
            results.append(self.fit(candidate, images, given, epochs, stage, fold))
        return Trained(
            candidate,
            results[0],
            score=float(np.mean([self.score_of(each) for each in results])),
            train_accuracy=float(np.mean([each.train_accuracy for each in results])),
            validation_accuracy=float(np.mean([each.validation_accuracy for each in results])),
            folds=len(results),
        )

    def _folds(self, by_epochs: bool) -> int:
        """How often each candidate is trained.

        Five times where few examples compare several; by the clock they would starve each other.
        """
        several = len(self.recipe.candidates) > 1 and not self.recipe.search
        return FOLDS if self.dataset.has_folds and several and by_epochs else 1

    def score_of(self, result: FitResult) -> float:
        """The measure by which the recipe chooses."""
        if self.recipe.choose_by == "balanced_accuracy":
            return result.validation_balanced_accuracy
        return result.validation_accuracy

    def images(self, candidate: Candidate) -> NDArray[np.uint8]:
        """uint8[N, side, side, 3] in the order of the manifest."""
        return self._pictures.at(candidate.input_size)

    def spec(self, candidate: Candidate) -> InputSpec:
        """What the candidate's network takes."""
        return InputSpec(self.dataset.card["modality"], candidate.input_size)

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """bool[N]: which examples are in a split."""
        return np.array([example.split == split for example in self.dataset.examples])

    def validation(self, fold: int = 0) -> NDArray[np.bool_]:
        """bool[N]: which examples choose: the validation split, or one fold where folds do."""
        return self._in_fold(fold) if self.dataset.has_folds else self.in_split("validation")

    def learned_from(self, fold: int = 0) -> NDArray[np.bool_]:
        """bool[N]: which examples are trained on."""
        left_out = np.array([each.sha256 in self.dropped for each in self.dataset.examples])
        return np.asarray(~(self.validation(fold) | self.in_split("test") | left_out))

    def _in_fold(self, fold: int) -> NDArray[np.bool_]:
        return np.array([example.fold == fold for example in self.dataset.examples])

    def fit(
        self,
        candidate: Candidate,
        images: NDArray[np.uint8],
        seconds: float | None,
        epochs: int | None,
        stage: str = "",
        fold: int = 0,
    ) -> FitResult:
        """One training, logged and shown; it goes on where it was if the run is resumed."""
        train, chosen = (
            np.flatnonzero(self.learned_from(fold)),
            np.flatnonzero(self.validation(fold)),
        )
        log = self.folder / "log.jsonl"

        def write(record: Mapping[str, Any]) -> None:
            where = {"candidate": candidate.name, "stage": stage, "fold": fold}
            line = json.dumps({**where, **record}) + "\n"
            append_line(log, line.encode())

        checkpoints = self.checkpoints / stage / f"{candidate.name}-{fold}"
        if self.resume and is_lost(checkpoints):
            self.progress.say(
                _(
                    "What {name} had learned cannot be gone on from: it was cut short, or another "
                    "version of Mintage wrote it. It is trained anew.",
                    name=candidate.name,
                )
            )
        folds = self._folds(seconds is None)
        title = (
            _("Training {name}", name=candidate.name)
            if folds == 1
            else _(
                "Training {name}, fold {fold} of {folds}",
                name=candidate.name,
                fold=fold + 1,
                folds=folds,
            )
        )
        self.progress.start(title, 1.0)
        furthest, began = 0.0, time.monotonic()
        later = folds - fold - 1 + folds * self._cost_of_later(candidate)

        def show(state: TrainProgress) -> None:
            nonlocal furthest
            # By the clock, what the end will take is known ever better: no bar goes back.
            furthest = max(furthest, state.fraction)
            whole = self._took.get(candidate.name)  # of an earlier fold, else by its own pace
            if whole is None:
                whole = (time.monotonic() - began) / max(state.fraction, 1e-6)
            left = state.seconds_left + whole * later
            if self.budget is not None:
                left = max(state.seconds_left, self.left_for_training(self.budget))
            sure = state.fraction >= _TELLING or self.budget is not None
            self.progress.advance(furthest, _told(state, left if sure else None))

        try:
            fitted = fit(
                candidate,
                images,
                self.targets,
                train,
                chosen,
                seconds=seconds,
                epochs=None if seconds is not None else epochs,
                seed=self.recipe.seed,
                threads=self.recipe.threads,
                checkpoint_folder=checkpoints,
                choose_by=self.recipe.choose_by,
                after=self.after,
                start=self._start(candidate, images, train, chosen, seconds),
                resume=self.resume,
                log=write,
                progress=show,
                should_stop=self.should_stop,
            )
        finally:
            self.progress.finish()
        self._took[candidate.name] = time.monotonic() - began
        if fitted.steps == 0 and candidate.weights is None:
            raise ConfigError(
                _("Training ended before its first step, so there is nothing that it learned."),
                remedy=_("Give it more time, or choose a smaller network."),
            )
        return fitted

    def _start(
        self,
        candidate: Candidate,
        images: NDArray[np.uint8],
        train: NDArray[np.int64],
        validation: NDArray[np.int64],
        seconds: float | None,
    ) -> Callable[[], PictureNetwork] | None:
        """What makes a pretrained network with a head that fits these classes already."""
        if candidate.weights is None:
            return None

        def begin() -> PictureNetwork:
            from mintage.create.backbone import with_head  # noqa: PLC0415 - an extra

            return with_head(
                candidate,
                images,
                self.targets,
                train,
                validation,
                classes=len(self.dataset.labels),
                seed=self.recipe.seed,
                threads=self.recipe.threads,
                seconds=None if seconds is None else _HEAD_SHARE * seconds,
                cache=self.workspace.cache_folder / self.dataset.version[:32],
                progress=self.progress,
                should_stop=self.should_stop,
            )

        return begin

    def _cost_of_later(self, candidate: Candidate) -> float:
        """How many times as long as this one's all trainings of those after it should take."""
        own = cost_ms(candidate) or _UNKNOWN_MS
        return sum((cost_ms(each) or _UNKNOWN_MS) / own for each in self.later)


def _told(state: TrainProgress, left: float | None) -> Message:
    """What stands beside the bar: what matters most comes first, where there is little room."""
    if left is None:
        return _(
            "{accuracy:.1%} right  loss {loss:.3f}  epoch {epoch}",
            accuracy=state.accuracy,
            loss=state.loss,
            epoch=state.epoch,
        )
    return _(
        "{left} left  {accuracy:.1%} right  loss {loss:.3f}  epoch {epoch}  "
        "{speed:,.0f} examples/s",
        left=format_duration(left),
        accuracy=state.accuracy,
        loss=state.loss,
        epoch=state.epoch,
        speed=state.examples_per_second,
    )


def _time_weight(candidate: Candidate) -> float:
    """The seed network has learned what it can in a fraction of what others need."""
    return 1.0 if candidate.network == "seed-cnn" else 5.0
