"""Back-propagation over pictures, by epochs or by the clock.

Training by epochs gives identical weights for the same seed and thread count (1 and 2 threads
differ: sums are added in another order). Training by seconds puts the whole schedule on the
clock, so that the learning rate has reached zero when time is up, whatever the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.create.checkpoint import Checkpoint
from mintage.create.design import Candidate
from mintage.create.forward import (
    Index,
    Labels,
    Pixels,
    accuracy,
    evaluate,
    gather,
    precision,
    scaled,
)
from mintage.create.losses import loss_function
from mintage.create.optimise import optimiser_for, rate_share
from mintage.create.pace import Pace, Tally, ThreadKeeper, TrainProgress
from mintage.modalities.image.augment import augment
from mintage.modalities.image.networks import (
    PictureNetwork,
    build,
    channels_last,
    initialise,
)

Record = dict[str, Any]

# The train side of the train/validation gap is measured on at most this many examples.
GAP_EXAMPLES = 1000
# Validation inside a training by the clock may take this share of it.
VALIDATION_SHARE = 0.06


@dataclass(frozen=True)
class FitResult:
    """What one candidate became: the network best on validation data, and how it got there."""

    network: PictureNetwork
    history: list[Record]
    validation_logits: npt.NDArray[np.float32]  # [V, 1] or [V, k]
    validation_labels: Labels
    validation_features: npt.NDArray[np.float32]  # [V, D]
    train_accuracy: float  # without augmentation, on at most GAP_EXAMPLES
    validation_accuracy: float
    validation_loss: float
    stopped_because: str  # epochs, time, patience, interrupted or diverged
    best_epoch: int
    epochs: int
    steps: int
    seconds: float


def _ignore(__: object) -> None:
    """Whoever listens to nothing."""


def fit(
    candidate: Candidate,
    images: Pixels,
    labels: Labels,
    train_index: Index,
    validation_index: Index,
    *,
    seconds: float | None = None,
    epochs: int | None = None,
    seed: int,
    threads: int,
    checkpoint_folder: Path,
    log: Callable[[Record], None] = _ignore,
    progress: Callable[[TrainProgress], None] = _ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train one candidate and return it as it was best on validation data.

    ``images`` are ``uint8[N, S, S, 3]`` with S the candidate's input size. ``seconds`` is all
    that this call may take, its last evaluation included; ``epochs`` is a number of passes over
    the training examples; just one of them is given. When ``should_stop`` answers true, training
    ends before the next step.

    Raises:
        ConfigError: both or neither of seconds and epochs, pictures of another size, or a
            training that never had a finite loss.
    """
    started = time.monotonic()
    _check(candidate, images, seconds, epochs)
    classes = int(labels.max()) + 1
    with _threads(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout alone draws from the global generator
        network = build(candidate.network, classes, candidate.input_size, candidate.dropout)
        initialise(network, candidate.initialisation, seed)
        channels_last(network)
        batches = max(1, round(len(train_index) / candidate.batch_size))
        pace = Pace(started, seconds, None if epochs is None else epochs * batches)
        training = _Training(
            candidate,
            network,
            _Examples(images, torch.from_numpy(np.asarray(labels, dtype=np.int64))),
            validation_index,
            Checkpoint(checkpoint_folder),
            pace,
        )
        training.warm_up()
        order = torch.Generator().manual_seed(seed)
        while training.stopped_because is None:
            shuffled = torch.randperm(len(train_index), generator=order).numpy()
            # Near-equal batches leave nobody out, and none of one example, which batch
            # normalisation could not take.
            epoch = np.array_split(train_index[shuffled], batches)
            record = training.one_epoch(epoch, order, progress, should_stop)
            if record:
                log(record)
        return training.result(train_index)


@dataclass(frozen=True)
class _Examples:
    images: Pixels
    labels: Tensor

    def batch(self, index: Index) -> tuple[Tensor, Tensor]:
        """``float[N, 3, S, S]`` from 0 to 255, and labels ``int64[N]``."""
        return gather(self.images, index), self.labels[torch.from_numpy(index)]


class _Training:
    """One candidate being trained: the step, the epoch, and what is kept."""

    def __init__(
        self,
        candidate: Candidate,
        network: PictureNetwork,
        examples: _Examples,
        validation_index: Index,
        checkpoint: Checkpoint,
        pace: Pace,
    ) -> None:
        self.candidate, self.network, self.examples = candidate, network, examples
        self.validation_index, self.checkpoint, self.pace = validation_index, checkpoint, pace
        self.loss = loss_function(candidate.loss)
        self.optimiser = optimiser_for(candidate, network)
        self.history: list[Record] = []
        self.epoch = self.step = 0
        self.rate = candidate.learning_rate
        self.validation_seconds = 0.0
        # By epochs the same threads throughout, since weights depend on their number.
        self.keeper = ThreadKeeper(1 if pace.seconds is None else torch.get_num_threads())
        self.stopped_because: str | None = None

    def warm_up(self) -> None:
        """Learn how long evaluating takes, so that the clock can keep time for the last one."""
        if self.pace.seconds is None:
            return
        for __ in range(2):  # the first time, kernels are built as well
            began = time.monotonic()
            few = self.validation_index[:128]
            self.evaluate(few)
            each = (time.monotonic() - began) / max(len(few), 1)
        # One validation as in training, one in float32 (twice the time), and the gap's examples.
        last = 3 * len(self.validation_index) + GAP_EXAMPLES
        self.pace.reserve_seconds = min(1.25 * each * last + 0.2, 0.3 * self.pace.seconds)

    def one_epoch(
        self,
        batches: list[Index],
        chance: torch.Generator,
        progress: Callable[[TrainProgress], None],
        should_stop: Callable[[], bool],
    ) -> Record | None:
        """Train on each batch, then validate; None where the epoch ended before it began."""
        self.epoch += 1
        tally = Tally()
        self.network.train()
        for index in batches:
            self.stopped_because = self.reason_to_stop(should_stop)
            if self.stopped_because:
                break
            self.train_on(index, chance, tally)
            self.keeper.after_step()
            progress(tally.progress(self.pace, self.epoch, self.step))
        if self.stopped_because is None and self.pace.fraction(self.step) >= 1:
            self.stopped_because = "time" if self.pace.seconds is not None else "epochs"
        if not tally.examples and self.history:
            self.epoch -= 1
            return None
        return self.finish_epoch(tally)

    def train_on(self, index: Index, chance: torch.Generator, tally: Tally) -> None:
        """One step of back-propagation."""
        done = self.pace.fraction(self.step)
        share = rate_share(self.candidate, done)
        self.rate = self.candidate.learning_rate * share
        pixels, labels = self.examples.batch(index)
        pixels = augment(pixels, self.candidate.augmentation, chance, self.side(done))
        pixels = scaled(pixels, self.candidate)
        with precision(self.candidate.precision):
            logits = self.network(pixels)
        loss = self.loss(logits, labels, self.candidate.label_smoothing)
        torch.autograd.backward(loss)
        self.optimiser.step(share)
        self.step += 1
        tally.add(loss.item(), logits.detach(), labels)

    def side(self, done: float) -> int:
        """The side of the pictures trained on now: small ones first (progressive resizing)."""
        sides = self.candidate.training_sides or (self.candidate.input_size,)
        return sides[min(int(done * len(sides)), len(sides) - 1)]

    def reason_to_stop(self, should_stop: Callable[[], bool]) -> str | None:
        """Asked before every step."""
        if should_stop():
            return "interrupted"
        if self.pace.fraction(self.step) < 1:
            return None
        return "time" if self.pace.seconds is not None else "epochs"

    def finish_epoch(self, tally: Tally) -> Record:
        """Validate where it is due, keep the best, write down what happened."""
        record: Record = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": round(self.pace.elapsed, 3),
            "train_loss": _finite(tally.loss),
            "train_accuracy": _finite(tally.accuracy),
            "learning_rate": self.rate,
            "examples_per_second": round(tally.examples_per_second, 1),
            "validation_loss": None,
            "validation_accuracy": None,
        }
        if self.validation_is_due():
            began = time.monotonic()
            logits, __, labels = self.evaluate(self.validation_index)
            record["validation_loss"] = _finite(self.loss(logits, labels, 0.0).item())
            record["validation_accuracy"] = accuracy(logits, labels)
            self.checkpoint.offer(self.network, record)
            self.validation_seconds += time.monotonic() - began
        self.history.append(record)
        self.stop_if_hopeless(tally)
        return record

    def validation_is_due(self) -> bool:
        """Always at the end and by epochs; by the clock while it stays a small share of it."""
        if self.stopped_because or self.pace.seconds is None:
            return True
        return self.validation_seconds <= VALIDATION_SHARE * self.pace.elapsed

    def stop_if_hopeless(self, tally: Tally) -> None:
        """No better for as long as the candidate's patience, or no longer a number."""
        patience = self.candidate.early_stopping_patience
        if tally.examples and not math.isfinite(tally.loss):
            self.stopped_because = "diverged"
        elif self.stopped_because is None and patience is not None:
            waited = self.epoch - self.checkpoint.epoch
            self.stopped_because = "patience" if waited >= patience else None

    def evaluate(
        self, index: Index, computed_in: str | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, features and labels of pictures as they are."""
        logits, features = evaluate(
            self.network,
            self.candidate,
            self.examples.images,
            index,
            computed_in=computed_in or self.candidate.precision,
        )
        return logits, features, self.examples.labels[torch.from_numpy(index)]

    def result(self, train_index: Index) -> FitResult:
        """The best weights, and what they say of the validation data."""
        self.checkpoint.restore(self.network)
        self.network.eval()
        # float32 as in the exported graph: calibration and novelty are fitted to these.
        logits, features, labels = self.evaluate(self.validation_index, "float32")
        few = train_index[:: max(1, len(train_index) // GAP_EXAMPLES)][:GAP_EXAMPLES]
        train_logits, __, train_labels = self.evaluate(few)
        return FitResult(
            network=self.network,
            history=self.history,
            validation_logits=logits.numpy(),
            validation_labels=labels.numpy(),
            validation_features=features.numpy(),
            train_accuracy=accuracy(train_logits, train_labels),
            validation_accuracy=accuracy(logits, labels),
            validation_loss=self.loss(logits, labels, 0.0).item(),
            stopped_because=self.stopped_because or "epochs",
            best_epoch=self.checkpoint.epoch,
            epochs=self.epoch,
            steps=self.step,
            seconds=self.pace.elapsed,
        )


def _finite(number: float) -> float | None:
    """JSON has no word for what is not a number."""
    return number if math.isfinite(number) else None


def _check(candidate: Candidate, images: Pixels, seconds: float | None, epochs: int | None) -> None:
    if (seconds is None) == (epochs is None):
        raise ConfigError(_("Training needs a time or a number of epochs, not both."))
    if images.shape[1:] != (candidate.input_size, candidate.input_size, 3):
        raise ConfigError(
            _(
                "{name} takes pictures of side {side}, not of {width}×{height}.",
                name=candidate.name,
                side=candidate.input_size,
                width=images.shape[2],
                height=images.shape[1],
            ),
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
