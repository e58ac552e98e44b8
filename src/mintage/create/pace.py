"""How far a training is, how fast it goes and how well: what a progress bar and a log show."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mintage.create.losses import predicted_classes


@dataclass(frozen=True)
class TrainProgress:
    """Where training stands, for a progress bar; ``fraction`` is of steps or of time."""

    fraction: float
    epoch: int
    step: int
    loss: float
    accuracy: float
    examples_per_second: float
    seconds_left: float


@dataclass
class Pace:
    """How far training is, by steps or by the clock."""

    started: float
    seconds: float | None
    total_steps: int | None
    reserve_seconds: float = 0.0  # kept for the last evaluations

    def go_on_from(self, seconds: float) -> None:
        """Count the time that training took before it was interrupted, as well as what is left."""
        self.started -= seconds
        if self.seconds is not None:
            self.seconds += seconds

    @property
    def elapsed(self) -> float:
        """Seconds since training began."""
        return time.monotonic() - self.started

    def fraction(self, step: int) -> float:
        """From 0 to 1: of the steps, or of the time without what is reserved."""
        if self.seconds is not None:
            return min(self.elapsed / max(self.seconds - self.reserve_seconds, 1e-6), 1.0)
        return min(step / max(self.total_steps or 1, 1), 1.0)

    def seconds_left(self, step: int) -> float:
        """By the clock what is left of it; by epochs as the steps so far suggest."""
        if self.seconds is not None:
            return max(self.seconds - self.elapsed, 0.0)
        return self.elapsed / max(step, 1) * max((self.total_steps or 0) - step, 0)


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads inside; afterwards with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ThreadKeeper:
    """While the clock runs, computes with one thread whenever others want the processor too.

    Threads that must wait for one another at each layer suffer most from sharing: 2 threads
    beside three other busy processes on 2 cores fell from 900 to 140 examples/s, where one
    thread alone still did 230. Several threads are tried again after 2, 4, 8 … seconds.
    """

    BUSY_ENOUGH = 0.7  # of the threads' time; 0.4 in that measurement, above 0.9 undisturbed

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.wait_seconds = 1.0
        self._mark()

    def after_step(self) -> None:
        """Look back once a second, and change the number of threads where that helps."""
        wall = time.monotonic() - self._wall
        now = torch.get_num_threads()
        if self.threads == 1 or wall < (1.0 if now > 1 else self.wait_seconds):
            return
        if now > 1 and (time.process_time() - self._busy) / wall < self.BUSY_ENOUGH * now:
            torch.set_num_threads(1)
            self.wait_seconds *= 2
        elif now == 1:
            torch.set_num_threads(self.threads)
        self._mark()

    def _mark(self) -> None:
        self._wall, self._busy = time.monotonic(), time.process_time()


@dataclass
class Tally:
    """Loss and accuracy of the epoch so far, on pictures as they were trained on."""

    started: float = field(default_factory=time.monotonic)
    examples: int = 0
    loss_sum: float = 0.0
    correct: int = 0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Count one batch: its mean loss, and which of its logits were right."""
        self.examples += len(labels)
        self.loss_sum += loss * len(labels)
        self.correct += int((predicted_classes(logits) == labels).sum())

    @property
    def loss(self) -> float:
        """The mean so far; NaN before the first batch."""
        return self.loss_sum / self.examples if self.examples else math.nan

    @property
    def accuracy(self) -> float:
        """The share so far; NaN before the first batch."""
        return self.correct / self.examples if self.examples else math.nan

    @property
    def examples_per_second(self) -> float:
        """Trained on since this tally began."""
        return self.examples / max(time.monotonic() - self.started, 1e-9)

    def progress(self, pace: Pace, epoch: int, step: int) -> TrainProgress:
        """Where training stands."""
        return TrainProgress(
            fraction=pace.fraction(step),
            epoch=epoch,
            step=step,
            loss=self.loss,
            accuracy=self.accuracy,
            examples_per_second=self.examples_per_second,
            seconds_left=pace.seconds_left(step),
        )
