"""What a model makes of unlabelled pictures, in the background: which of them it doubts most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import DataError
from mintage.core.types import Answer

_BATCH = 16
UNUSUAL = 2.0
"""The doubt where a model gives no probabilities, being unlike all it knows: above any other."""


class Model(Protocol):
    """What answers; ``bundle.predictor.Predictor`` does."""

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The graph's input; raises DataError for what it cannot read."""
        ...

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        """Answer a batch."""
        ...


class Doubts:
    """Answers by picture, growing while its one thread works; pictures are numbers."""

    def __init__(
        self,
        model: Model,
        numbers: Sequence[int],
        read: Callable[[int], bytes],
        unreadable: Callable[[int, str], None],
    ) -> None:
        """Begin; ``unreadable`` is told of a picture that cannot be read, and why."""
        self._model = model
        self._numbers = numbers
        self._read = read
        self._unreadable = unreadable
        self._answers: dict[int, Mapping[str, Any]] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="doubts")
        self._work: Future[None] = self._pool.submit(self._run)

    @property
    def known(self) -> int:
        """How many pictures are answered; it grows as the answers come."""
        return len(self._answers)

    @property
    def failure(self) -> BaseException | None:
        """What ended the work early, if anything did."""
        return self._work.exception() if self._work.done() else None

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Until every picture is answered."""
        self._work.result(timeout_seconds)

    def answer(self, number: int) -> Mapping[str, Any] | None:
        """The model's answer for a picture, as soon as there is one."""
        return self._answers.get(number)

    def doubt(self, number: int) -> float:
        """How unsure the model is of a picture; -1 where it has not answered yet."""
        answer = self._answers.get(number)
        return -1.0 if answer is None else doubt_of(answer)

    def close(self) -> None:
        """Stop after the picture that is being read."""
        self._stop.set()
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        for start in range(0, len(self._numbers), _BATCH):
            read = {}
            for number in self._numbers[start : start + _BATCH]:
                if self._stop.is_set():
                    return
                try:
                    read[number] = self._model.decode(self._read(number))
                except DataError as error:
                    self._unreadable(number, error.message)
            if read:
                answers = self._model.infer(np.stack(list(read.values())))
                found = (answer.output for answer in answers)
                self._answers.update(zip(read, found, strict=True))


def doubt_of(output: Mapping[str, Any]) -> float:
    """1 - the margin between the two likeliest classes: 0 is certain, 1 a toss-up.

    The margin rather than the entropy: it asks about the boundary that a label decides, whatever
    the other classes do (Scheffer, Decomain, Wrobel 2001). Without probabilities, ``UNUSUAL``.
    """
    chances = output.get("probabilities")
    if chances is None:
        return UNUSUAL
    first, second = sorted(map(float, (0.0, *chances.values())), reverse=True)[:2]
    return 1.0 - (first - second)
