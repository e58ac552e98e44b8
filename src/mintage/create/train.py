"""Back-propagation over pictures, by epochs or by the clock.

Training by epochs gives identical weights for the same seed and thread count (1 and 2 threads
differ: sums are added in another order), whether or not it was interrupted. Training by seconds
puts the whole schedule on the clock, so that the learning rate has reached zero when time is up,
whatever the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.create import chance, flips
from mintage.create.allocation import give_back, keep_freed_memory
from mintage.create.averaging import Average
from mintage.create.checkpoint import Checkpoint, part_of
from mintage.create.cost import example_ms, share_of_steps
from mintage.create.forward import (
    Index,
    Labels,
    Pixels,
    accuracy,
    answers,
    balanced_accuracy,
    device,
    evaluate,
    gather,
    precision,
    scaled,
)
from mintage.create.losses import balanced_weights, loss_function
from mintage.create.optimise import optimiser_for, rate_share
from mintage.create.pace import Pace, Tally, ThreadKeeper, TrainProgress, computing_with
from mintage.create.recipe import Candidate
from mintage.modalities.image.augment import augment, mix
from mintage.modalities.image.networks import (
    PictureNetwork,
    build,
    channels_last,
    initialise,
)

Record = dict[str, Any]

# The train side of the train/validation gap is measured on at most this many examples, and by the
# clock on no more than so many a second: more would take what it measures its time to learn.
GAP_EXAMPLES, GAP_EXAMPLES_A_SECOND = 1000, 10
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
    validation_balanced_accuracy: float
    validation_loss: float
    stopped_because: str  # epochs, time, patience, interrupted or diverged
    best_epoch: int
    epochs: int
    steps: int
    seconds: float
    flips: flips.Flips | None  # where the recipe left them to be measured


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
    choose_by: str = "accuracy",
    after: int = 0,
    start: Callable[[], PictureNetwork] | None = None,
    resume: bool = False,
    log: Callable[[Record], None] = lambda __: None,
    progress: Callable[[TrainProgress], None] = lambda __: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Train one candidate and return it as it was best on validation data.

    ``images`` are ``uint8[N, S, S, 3]`` with S the candidate's input size. ``seconds`` is all
    that this call may take, its last evaluation included; ``epochs`` is a number of passes over
    the training examples; just one of them is given. When ``should_stop`` answers true, training
    ends before the next step. ``start`` makes a network that has learned something already;
    without it the candidate's is built and initialised from the seed. ``after`` is how many more
    pictures the network will be run on when training is over: of the time, what that takes is
    left. With ``resume`` training goes on from the state in ``checkpoint_folder``, if there is one.

    Raises:
        ConfigError: both or neither of seconds and epochs, pictures of another size, or a
            training that never had a finite loss.
    """
    started = time.monotonic()
    _check(candidate, images, seconds, epochs)
    classes = int(labels.max()) + 1
    with _memory_kept(), computing_with(threads), torch.random.fork_rng():
        torch.manual_seed(seed)  # dropout alone draws from the global generator
        network = _new_network(candidate, classes, seed) if start is None else start()
        channels_last(network.to(device()))
        batches = max(1, round(len(train_index) / candidate.batch_size))
        if seconds is not None:  # what the start took is no part of the schedule
            seconds = max(seconds - (time.monotonic() - started), 1e-6)
        total = None if epochs is None else epochs * batches
        pace = Pace(time.monotonic(), seconds, total)
        training = _Training(
            candidate,
            network,
            _Examples(images, torch.from_numpy(np.asarray(labels, dtype=np.int64)), classes),
            train_index,
            validation_index,
            Checkpoint(checkpoint_folder, choose_by, restore_best=candidate.restore_best_weights),
            pace,
            seed,
        )
        if resume:
            training.restore()
            for known in training.history:
                log(known)
        if start is not None:
            training.offer_start()
        training.warm_up(after)
        while training.stopped_because is None:
            record = training.one_epoch(batches, progress, should_stop)
            if record:
                log(record)
        return training.result()


def _new_network(candidate: Candidate, classes: int, seed: int) -> PictureNetwork:
    network = build(
        candidate.network,
        classes,
        candidate.input_size,
        candidate.dropout,
        candidate.width,
        candidate.depth,
    )
    initialise(network, candidate.initialisation, seed)
    return network


@dataclass(frozen=True)
class _Examples:
    images: Pixels
    labels: Tensor
    classes: int

    def batch(self, index: Index) -> tuple[Tensor, Tensor]:
        """``float[N, 3, S, S]`` from 0 to 255, and labels ``int64[N]``."""
        where = device()
        return gather(self.images, index, where), self.of(index).to(where)

    def of(self, index: Index) -> Tensor:
        """Labels ``int64[N]``."""
        return self.labels[torch.from_numpy(index)]


class _Training:
    """One candidate being trained: the step, the epoch, and what is kept."""

    def __init__(
        self,
        candidate: Candidate,
        network: PictureNetwork,
        examples: _Examples,
        train_index: Index,
        validation_index: Index,
        checkpoint: Checkpoint,
        pace: Pace,
        seed: int,
    ) -> None:
        self.candidate, self.network, self.examples = candidate, network, examples
        self.train_index, self.validation_index = train_index, validation_index
        self.checkpoint, self.pace = checkpoint, pace
        self.chance = torch.Generator().manual_seed(seed)
        weights = None
        if candidate.class_weights == "balanced":
            weights = balanced_weights(examples.of(train_index), examples.classes).to(device())
        self.loss = loss_function(candidate.loss, candidate.label_smoothing, weights)
        self.plain_loss = loss_function(candidate.loss)
        self.optimiser = optimiser_for(candidate, network)
        self.average = Average(network, candidate.averaging) if candidate.averaging else None
        self.show_mirrored(candidate.augmentation.flips)
        self.sides = candidate.training_sides or (candidate.input_size,)
        self.flips: flips.Flips | None = None
        self.flips_tried = 0
        self.history: list[Record] = []
        self.epoch = self.step = 0
        self.rate = candidate.learning_rate
        self.validation_seconds = 0.0
        self.after = 0
        # By epochs the same threads throughout, since weights depend on their number.
        self.keeper = ThreadKeeper(1 if pace.seconds is None else torch.get_num_threads())
        self.stopped_because: str | None = None

    @property
    def judged(self) -> PictureNetwork:
        """The network that is validated and kept: the average, where there is one."""
        return self.network if self.average is None else self.average.network

    def offer_start(self) -> None:
        """A network that has learned something already may be the best that there will be."""
        if self.epoch:
            return
        logits = self.answers(self.validation_index)
        labels = self.examples.of(self.validation_index)
        self.checkpoint.offer(
            self.judged,
            {
                "epoch": 0,
                "validation_loss": _finite(self.plain_loss(logits, labels).item()),
                "validation_accuracy": accuracy(logits, labels),
                "validation_balanced_accuracy": balanced_accuracy(logits, labels),
            },
        )

    def warm_up(self, after: int) -> None:
        """Learn how long evaluating takes, so that the clock can keep time for the last ones."""
        self.after = after
        if self.pace.seconds is None or self.stopped_because:
            return
        for __ in range(2):  # the first time, kernels are built as well
            began = time.monotonic()
            few = self.validation_index[:128]
            self.evaluate(few, self.candidate.precision)  # what is longest: features as well
            each = (time.monotonic() - began) / max(len(few), 1)
        if self.candidate.answer_mirrored and self.augmentation.flips == "measure":
            each *= 2  # mirror images may yet be found to show the same
        self.keep_time_for_the_end(each)

    def keep_time_for_the_end(self, each: float) -> None:
        """Where answering one example took so many seconds lately, leave what the end will take.

        That is one validation as in training, one in float32 (twice the time), the gap's examples,
        and what follows in float32.
        """
        if self.pace.seconds is None:
            return
        last = 3 * len(self.validation_index) + self.gap_examples + 2 * self.after
        self.pace.reserve_seconds = min(1.25 * each * last + 0.2, 0.4 * self.pace.seconds)

    @property
    def gap_examples(self) -> int:
        """How many examples of the training data are asked about at the end."""
        if self.pace.seconds is None:
            return GAP_EXAMPLES
        return min(GAP_EXAMPLES, max(100, int(GAP_EXAMPLES_A_SECOND * self.pace.seconds)))

    def one_epoch(
        self,
        batches: int,
        progress: Callable[[TrainProgress], None],
        should_stop: Callable[[], bool],
    ) -> Record | None:
        """Train on each batch, then validate; None where the epoch ended before it began."""
        self.epoch += 1
        tally = Tally()
        shuffled = torch.randperm(len(self.train_index), generator=self.chance).numpy()
        # Near-equal batches leave nobody out, and none of one example, which batch normalisation
        # could not take.
        for index in np.array_split(self.train_index[shuffled], batches):
            self.stopped_because = self.reason_to_stop(should_stop)
            if self.stopped_because:
                break
            self.measure_flips()
            self.train_on(index, tally)
            self.keeper.after_step()
            progress(tally.progress(self.pace, self.epoch, self.step))
        if self.stopped_because is None and self.pace.fraction(self.step) >= 1:
            self.stopped_because = "time" if self.pace.seconds is not None else "epochs"
        if not tally.examples and self.history:
            self.epoch -= 1
            self.save_if_over()
            return None
        return self.finish_epoch(tally)

    def train_on(self, index: Index, tally: Tally) -> None:
        """One step of back-propagation."""
        self.network.train()
        done = self.done
        share = rate_share(self.candidate, done)
        self.rate = self.candidate.learning_rate * share
        pixels, labels = self.examples.batch(index)
        pixels = augment(pixels, self.augmentation, self.chance, self.side(done))
        mixed = None
        if self.candidate.mixup or self.candidate.cutmix:
            mixed = mix(
                pixels, self.chance, mixup=self.candidate.mixup, cutmix=self.candidate.cutmix
            )
        pixels = scaled(pixels if mixed is None else mixed.pixels, self.candidate)
        with precision(self.candidate.precision):
            logits = self.network(pixels)
        if mixed is None:
            loss = self.loss(logits, labels)
        else:
            loss = self.loss.mixed(logits, labels, labels[mixed.partner], mixed.share)
        torch.autograd.backward(loss)
        self.optimiser.step(share)
        if self.average is not None:
            self.average.update(self.network)
        self.step += 1
        tally.add(loss.item(), logits.detach(), labels)

    @property
    def done(self) -> float:
        """The share of the steps that is over, by the clock as far as it can tell."""
        share = self.pace.fraction(self.step)
        if self.pace.seconds is None:
            return share
        costs = [example_ms(side, self.candidate.batch_size) for side in self.sides]
        return share_of_steps(share, costs)

    def side(self, done: float) -> int:
        """The side of the pictures trained on now: small ones first (progressive resizing)."""
        return self.sides[min(int(done * len(self.sides)), len(self.sides) - 1)]

    def measure_flips(self) -> None:
        """Where the recipe leaves mirror images open, decide once the network knows enough."""
        if self.augmentation.flips != "measure" or self.flips_tried >= len(flips.MEASURED_AT):
            return
        if self.done < flips.MEASURED_AT[self.flips_tried]:
            return
        few = self.validation_index[: flips.EXAMPLES]
        labels = self.examples.of(few)
        last = self.flips_tried + 1 == len(flips.MEASURED_AT)
        # As large beside what is trained on now as they will be at the end: trained on 48 px alone,
        # a network makes next to nothing of whole pictures of 144 px.
        share = self.side(self.done) / max(self.sides)
        whole = self.candidate.input_size
        side = min(whole, max(32, round(whole * share)))

        @cache
        def logits_of(axes: tuple[int, ...]) -> Tensor:
            return self.answers(few, flip=axes, network=self.network, side=side)

        def losses_of(axes: tuple[int, ...], temperature: float) -> Tensor:
            return self.plain_loss.each(logits_of(axes) / temperature, labels, 0.0)

        self.flips_tried += 1
        self.flips = flips.measure(losses_of, labels, last=last)
        if self.flips is not None:
            self.show_mirrored(self.flips.chosen)

    def show_mirrored(self, which: str) -> None:
        """Show these mirror images from now on, and answer by them too where that is wanted."""
        self.augmentation = replace(self.candidate.augmentation, flips=which)
        axis = flips.axis_of(which) if self.candidate.answer_mirrored else None
        self.network.mirrored_along = self.judged.mirrored_along = axis

    def reason_to_stop(self, should_stop: Callable[[], bool]) -> str | None:
        """Asked before every step."""
        if should_stop():
            return "interrupted"
        # A step there is, however little time is left: what it teaches can be measured and signed.
        if self.step == 0 or self.pace.fraction(self.step) < 1:
            return None
        return "time" if self.pace.seconds is not None else "epochs"

    def finish_epoch(self, tally: Tally) -> Record:
        """Validate where it is due, keep the best and the state, write down what happened."""
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
            "validation_balanced_accuracy": None,
        }
        if self.validation_is_due():
            began = time.monotonic()
            logits = self.answers(self.validation_index)
            labels = self.examples.of(self.validation_index)
            record["validation_loss"] = _finite(self.plain_loss(logits, labels).item())
            record["validation_accuracy"] = accuracy(logits, labels)
            record["validation_balanced_accuracy"] = balanced_accuracy(logits, labels)
            self.checkpoint.offer(self.judged, record)
            taken = time.monotonic() - began
            self.validation_seconds += taken
            self.keep_time_for_the_end(taken / max(len(labels), 1))
        self.history.append(record)
        self.stop_if_hopeless(tally)
        if self.stopped_because is None and self.checkpoint.is_due():
            self.save()
        self.save_if_over()
        return record

    def save_if_over(self) -> None:
        """Write down that training has ended; what was interrupted goes on when it is resumed."""
        if self.stopped_because not in {None, "interrupted"}:
            self.save()

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
            waited = self.epoch - self.checkpoint.best_epoch
            self.stopped_because = "patience" if waited >= patience else None

    def evaluate(self, index: Index, computed_in: str) -> tuple[Tensor, Tensor]:
        """Logits and features of pictures as they are."""
        images = self.examples.images
        return evaluate(self.judged, self.candidate, images, index, computed_in=computed_in)

    def answers(
        self,
        index: Index,
        flip: tuple[int, ...] = (),
        network: PictureNetwork | None = None,
        side: int | None = None,
    ) -> Tensor:
        """Logits of pictures as they are, or mirrored, or smaller."""
        return answers(
            network or self.judged,
            self.candidate,
            self.examples.images,
            index,
            computed_in=self.candidate.precision,
            flip=flip,
            side=side,
        )

    def save(self) -> None:
        """Write down all that the next epoch depends on."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"optimiser.{name}": t for name, t in self.optimiser.state().items()}
        if self.average is not None:
            tensors |= {f"average.{n}": t for n, t in self.average.network.state_dict().items()}
        tensors["chance"] = self.chance.get_state()
        tensors |= {f"chance_of.{name}": each for name, each in chance.states().items()}
        document = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.pace.elapsed,
            "validation_seconds": self.validation_seconds,
            "history": self.history,
            "averaged_steps": 0 if self.average is None else self.average.steps,
            "flips": None if self.flips is None else self.flips.to_json(),
            "flips_tried": self.flips_tried,
            "stopped_because": self.stopped_because,
        }
        self.checkpoint.save(tensors, document)

    def restore(self) -> None:
        """Go on where ``save`` was last called, if it was."""
        found = self.checkpoint.last()
        if found is None:
            return
        tensors, document = found
        self.network.load_state_dict(part_of(tensors, "network."))
        self.optimiser.restore(part_of(tensors, "optimiser."))
        if self.average is not None:
            self.average.network.load_state_dict(part_of(tensors, "average."))
            self.average.steps = document["averaged_steps"]
        self.chance.set_state(tensors["chance"])
        chance.restore(part_of(tensors, "chance_of."))
        self.epoch, self.step = document["epoch"], document["step"]
        self.history = document["history"]
        self.validation_seconds = document["validation_seconds"]
        self.flips_tried = document["flips_tried"]
        if document["flips"] is not None:
            self.flips = flips.Flips(**document["flips"])
            self.show_mirrored(self.flips.chosen)
        self.pace.go_on_from(document["seconds"])
        self.stopped_because = document["stopped_because"]

    def result(self) -> FitResult:
        """The best weights, and what they say of the validation data."""
        network = self.judged
        self.checkpoint.restore(network)
        network.eval()
        # float32 as in the exported graph: calibration and novelty are fitted to these.
        logits, features = self.evaluate(self.validation_index, "float32")
        labels = self.examples.of(self.validation_index)
        few = self.train_index[:: max(1, len(self.train_index) // self.gap_examples)]
        few = few[: self.gap_examples]
        train_logits = self.answers(few)
        return FitResult(
            network=network.cpu(),
            history=self.history,
            validation_logits=logits.numpy(),
            validation_labels=labels.numpy(),
            validation_features=features.numpy(),
            train_accuracy=accuracy(train_logits, self.examples.of(few)),
            validation_accuracy=accuracy(logits, labels),
            validation_balanced_accuracy=balanced_accuracy(logits, labels),
            validation_loss=self.plain_loss(logits, labels).item(),
            stopped_because=self.stopped_because or "epochs",
            best_epoch=self.checkpoint.epoch,
            epochs=self.epoch,
            steps=self.step,
            seconds=self.pace.elapsed,
            flips=self.flips or self._undecided(),
        )

    def _undecided(self) -> flips.Flips | None:
        """Mirror images that were to be measured, and could not be."""
        return flips.Flips("none") if self.candidate.augmentation.flips == "measure" else None


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
def _memory_kept() -> Iterator[None]:
    keep_freed_memory()
    try:
        yield
    finally:
        give_back()
