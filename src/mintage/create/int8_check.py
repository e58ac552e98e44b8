"""Whether an integer graph is as good as the float one it was made of, and what it gains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.graph import Graph
from mintage.core.errors import DataError
from mintage.core.messages import Message, _
from mintage.core.ports import Task
from mintage.create import quantise

MOST_POINTS_LOST = 0.3
"""By how much accuracy on validation data may fall, in points of percent."""
_BATCHES = (1, 32)
_MOST_RUNS, _FEWEST_RUNS = 15, 3
_SPEED_SECONDS = 0.75  # for each size of batch, of a time that may be promised


Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Speed:
    """Medians of runs that took turns, by the number of pictures in a run; for the record alone."""

    float_milliseconds: Mapping[int, float]
    int8_milliseconds: Mapping[int, float]
    runs: int

    @property
    def ratio(self) -> float | None:
        """How many times as fast a single picture is answered; None where no time was seen."""
        taken = self.int8_milliseconds[1]
        return self.float_milliseconds[1] / taken if taken > 0 else None


@dataclass(frozen=True)
class Int8Check:
    """Both graphs on the same ``examples`` of validation data.

    ``int8_right`` is None where no integer graph could be made, for the reason ``failed``.
    """

    examples: int
    float_right: int
    int8_right: int | None
    float_size_bytes: int
    int8_size_bytes: int | None
    failed: Message | None = None
    speed: Speed | None = None

    @property
    def float_accuracy(self) -> float:
        """The share of right answers of the float graph."""
        return self.float_right / self.examples

    @property
    def int8_accuracy(self) -> float | None:
        """The share of right answers of the integer graph."""
        return None if self.int8_right is None else self.int8_right / self.examples

    @property
    def drop_points(self) -> float | None:
        """By how many points accuracy fell; below zero where it rose."""
        if self.int8_right is None:
            return None
        return 100 * (self.float_right - self.int8_right) / self.examples

    @property
    def refused(self) -> bool:
        """Whether the float graph is delivered instead."""
        return self.drop_points is None or self.drop_points > MOST_POINTS_LOST

    @property
    def because(self) -> Message | None:
        """Why it was refused."""
        if self.int8_right is None:
            return self.failed
        if not self.refused:
            return None
        return _(
            "In int8 accuracy on {examples:,} validation examples falls from {before:.1%} to "
            "{after:.1%}; {limit} points are the most that may be lost.",
            examples=self.examples,
            before=self.float_accuracy,
            after=self.int8_accuracy,
            limit=MOST_POINTS_LOST,
        )

    def in_words(self) -> Message:
        """What came of it, for whoever asked."""
        if self.refused:
            return _("int8 was refused, the float graph is kept: {because}", because=self.because)
        return _(
            "int8: {after:.1%} right on {examples:,} validation examples, {before:.1%} before; "
            "{share:.0%} of the size.",
            after=self.int8_accuracy,
            before=self.float_accuracy,
            examples=self.examples,
            share=(self.int8_size_bytes or 0) / self.float_size_bytes,
        )

    def card_note(self) -> Message | None:
        """A line of the signed card, without anything that a clock measured."""
        if self.refused:
            return None
        return _(
            "Arithmetic: whole numbers of 8 bits (int8); {after:.1%} right on {examples:,} "
            "validation examples, {before:.1%} before in float",
            after=self.int8_accuracy,
            before=self.float_accuracy,
            examples=self.examples,
        )

    def to_json(self) -> dict[str, Any]:
        """For ``run.json`` and ``--json``."""
        speed = self.speed
        return {
            "refused": self.refused,
            "because": self.because,
            "examples": self.examples,
            "float_accuracy": self.float_accuracy,
            "validation_accuracy": self.int8_accuracy,
            "drop_points": self.drop_points,
            "float_size_bytes": self.float_size_bytes,
            "size_bytes": self.int8_size_bytes,
            "speed_ratio": None if speed is None else speed.ratio,
            "speed": None
            if speed is None
            else {
                "runs": speed.runs,
                "float_milliseconds": _by_batch(speed.float_milliseconds),
                "int8_milliseconds": _by_batch(speed.int8_milliseconds),
            },
        }


@dataclass(frozen=True)
class Delivered:
    """The graph that is signed: the integer one, or the float one where that was refused."""

    model: bytes
    graph: Graph
    check: Int8Check


def lightened(
    model: bytes,
    graph: Graph,
    calibration: Pixels,
    images: Pixels,
    targets: NDArray[np.int64],
    task: Task,
    *,
    threads: int,
    clock: Callable[[], float],
) -> Delivered:
    """Quantise, hold it against the float graph, and keep the float one unless it is as good.

    Args:
        model: the exported graph.
        graph: the same, opened.
        calibration: ``uint8[N, S, S, 3]``, training pictures (``quantise.calibration_of``).
        images: ``uint8[M, S, S, 3]``, validation pictures.
        targets: ``int64[M]``, their classes.
        task: says which answer a row of logits is.
        threads: of the graphs.
        clock: monotonic seconds.
    """
    before = _right(graph, images, targets, task)
    try:
        smaller = quantise.int8(model, calibration, threads=threads)
        lighter = Graph(smaller, threads=threads)
    except DataError as error:
        failed = Message(error.message)
        return Delivered(
            model, graph, Int8Check(len(images), before, None, len(model), None, failed)
        )
    check = Int8Check(
        examples=len(images),
        float_right=before,
        int8_right=_right(lighter, images, targets, task),
        float_size_bytes=len(model),
        int8_size_bytes=len(smaller),
        speed=compare_speed(graph, lighter, images, clock),
    )
    return Delivered(model, graph, check) if check.refused else Delivered(smaller, lighter, check)


def compare_speed(
    float_graph: Graph, int8_graph: Graph, images: Pixels, clock: Callable[[], float]
) -> Speed:
    """Both graphs in turns over one picture and over 32, for less than a second each."""
    found: tuple[dict[int, float], dict[int, float]] = ({}, {})
    runs = _MOST_RUNS
    for batch in _BATCHES:
        pictures = np.resize(images, (batch, *images.shape[1:]))
        taken: tuple[list[float], list[float]] = ([], [])
        for graph in (float_graph, int8_graph):
            graph.run(pictures)  # the first run makes room in memory
        until = clock() + _SPEED_SECONDS
        while len(taken[0]) < _FEWEST_RUNS or (len(taken[0]) < _MOST_RUNS and clock() < until):
            for graph, seconds in zip((float_graph, int8_graph), taken, strict=True):
                began = clock()
                graph.run(pictures)
                seconds.append(clock() - began)
        runs = min(runs, len(taken[0]))
        for milliseconds, seconds in zip(found, taken, strict=True):
            milliseconds[batch] = 1000 * median(seconds)
    return Speed(*found, runs)


def _right(graph: Graph, images: Pixels, targets: NDArray[np.int64], task: Task) -> int:
    logits, __ = graph.run(images)
    return int((task.probabilities(logits, 1.0).argmax(axis=1) == targets).sum())


def _by_batch(milliseconds: Mapping[int, float]) -> dict[str, float]:
    return {str(batch): round(taken, 3) for batch, taken in milliseconds.items()}
