"""Steps 3 to 5: every candidate of a recipe trained within its share of the time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.errors import ConfigError, InputError, missing_extra
from mintage.core.files import readable_failures
from mintage.core.messages import Message, _
from mintage.core.ports import Modality
from mintage.core.progress import Progress
from mintage.core.types import InputSpec
from mintage.core.units import format_duration
from mintage.create.dataset import Dataset
from mintage.create.prepare import decoded
from mintage.create.splits import FOLDS
from mintage.store.workspace import Workspace

try:
    from mintage.create.design import Candidate, Recipe
    from mintage.create.pace import TrainProgress
    from mintage.create.train import FitResult, fit
except ImportError as error:
    raise missing_extra("PyTorch", "train") from error

SHORTEST_SECONDS = 20.0
"""Below this a budget is refused: imports, decoding, export and signing need most of it."""


@dataclass(frozen=True)
class Budget:
    """The time for everything, from ``started`` (``clock()`` then) to the signed bundle."""

    seconds: float
    started: float
    clock: Callable[[], float]

    @property
    def left(self) -> float:
        """Seconds until the bundle must stand."""
        return self.seconds - (self.clock() - self.started)

    def for_training(self) -> float:
        """What training may use: the rest is for export, parity, novelty, evaluation, signing.

        Measured for compact at 112 px on 2 cores, one of them busy: 1.0 s to export, 1.2 s for
        parity, 1.4 s for features, 3.1 s for strangers, 0.5 s for the test.
        """
        return self.left - 7.0 - 0.015 * self.seconds


@dataclass(frozen=True)
class Trained:
    """One candidate and what became of it."""

    candidate: Candidate
    fitted: FitResult
    score: float
    """Accuracy on validation data; the mean over folds where folds choose."""
    folds: int
    """How many trainings that is the mean of; ``fitted`` is the first."""


@dataclass
class Trials:
    """The candidates of one run; ``folder`` is the run's own."""

    workspace: Workspace
    dataset: Dataset
    recipe: Recipe
    folder: Path
    progress: Progress
    should_stop: Callable[[], bool]
    budget: Budget | None
    kind: Modality = field(init=False)
    targets: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Find the code for the dataset's kind of data, and number its labels."""
        self.kind = registry.modalities().get(self.dataset.card["modality"])
        labels, examples = self.dataset.labels, self.dataset.examples
        self.targets = np.array([labels.index(e.label) for e in examples], dtype=np.int64)

    def train_all(self) -> list[Trained]:
        """Train one after another; one that cannot be is skipped with its reason.

        Raises:
            ConfigError: none could be trained.
        """
        trained: list[Trained] = []
        skipped: list[Message] = []
        for position, candidate in enumerate(self.recipe.candidates):
            if trained and self.should_stop():
                break
            try:
                trained.append(self._train(candidate, position))
            except InputError as error:
                # One candidate that cannot be trained does not end the run of the others.
                if len(self.recipe.candidates) == 1:
                    raise
                reason = _("Skipped {name}: {reason}", name=candidate.name, reason=error.message)
                skipped.append(reason)
                self.progress.say(reason)
        if not trained:
            raise ConfigError(_("No candidate could be trained."), remedy=skipped[0])
        return trained

    def _share(self, position: int) -> float | None:
        """Seconds for a candidate: what is left, shared by weight with those that follow."""
        if self.budget is None:
            return None
        weights = [_time_weight(each) for each in self.recipe.candidates[position:]]
        left = self.budget.for_training()
        return max(1.0, left * weights[0] / sum(weights))

    def _train(self, candidate: Candidate, position: int) -> Trained:
        images = self.images(candidate)
        seconds = self._share(position)  # after decoding, which takes its time too
        # Five trainings of each are for comparing; by the clock they would starve each other.
        compare = self.dataset.has_folds and len(self.recipe.candidates) > 1 and seconds is None
        results: list[FitResult] = []
        for fold in range(FOLDS if compare else 1):
            if results and self.should_stop():
                break
            results.append(self._fit(candidate, images, self.validation(fold), seconds))
        score = float(np.mean([result.validation_accuracy for result in results]))
        return Trained(candidate, results[0], score, len(results))

    def images(self, candidate: Candidate) -> NDArray[np.uint8]:
        """uint8[N, side, side, 3] in the order of the manifest."""
        spec = self.spec(candidate)
        return decoded(self.workspace, self.dataset, self.kind, spec, self.progress)

    def spec(self, candidate: Candidate) -> InputSpec:
        """What the candidate's network takes."""
        return InputSpec(self.dataset.card["modality"], candidate.input_size)

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """bool[N]: which examples are in a split."""
        return np.array([example.split == split for example in self.dataset.examples])

    def validation(self, fold: int = 0) -> NDArray[np.bool_]:
        """bool[N]: which examples choose: the validation split, or one fold where folds do."""
        return self._in_fold(fold) if self.dataset.has_folds else self.in_split("validation")

    def _in_fold(self, fold: int) -> NDArray[np.bool_]:
        return np.array([example.fold == fold for example in self.dataset.examples])

    def _fit(
        self,
        candidate: Candidate,
        images: NDArray[np.uint8],
        validation: NDArray[np.bool_],
        seconds: float | None,
    ) -> FitResult:
        train = ~validation & ~self.in_split("test")
        checkpoints = self.folder / "checkpoints" / candidate.name
        log = self.folder / "log.jsonl"

        def write(record: Mapping[str, Any]) -> None:
            line = json.dumps({"candidate": candidate.name, **record}) + "\n"
            with readable_failures(log), log.open("a", encoding="utf-8") as stream:
                stream.write(line)

        self.progress.start(_("Training {name}", name=candidate.name), 1.0)
        try:
            return fit(
                candidate,
                images,
                self.targets,
                np.flatnonzero(train),
                np.flatnonzero(validation),
                seconds=seconds,
                epochs=None if seconds is not None else self.recipe.epochs,
                seed=self.recipe.seed,
                threads=self.recipe.threads,
                checkpoint_folder=checkpoints,
                log=write,
                progress=self._show,
                should_stop=self.should_stop,
            )
        finally:
            self.progress.finish()

    def _show(self, state: TrainProgress) -> None:
        self.progress.advance(
            state.fraction,
            _(
                "epoch {epoch}  loss {loss:.3f}  accuracy {accuracy:.1%}  "
                "{speed:,.0f} examples/s  {left} left",
                epoch=state.epoch,
                loss=state.loss,
                accuracy=state.accuracy,
                speed=state.examples_per_second,
                left=format_duration(state.seconds_left),
            ),
        )


def _time_weight(candidate: Candidate) -> float:
    """The seed network has learned what it can in a fraction of what others need."""
    return 1.0 if candidate.network == "seed-cnn" else 5.0
