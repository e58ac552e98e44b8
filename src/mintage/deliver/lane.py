"""A product's lane: inputs wait in a bounded queue and are answered in greedy batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import DataError, Overloaded
from mintage.core.messages import Message, _
from mintage.core.ports import Provider
from mintage.core.types import Answer
from mintage.deliver.versions import Loaded

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class _Job:
    loaded: Loaded
    inputs: Pixels
    decode_seconds: float
    done: asyncio.Future[Answer]


class Lane:
    """Decodes in a pool, infers one batch at a time; never waits for a batch to fill."""

    def __init__(
        self,
        *,
        decoders: Executor,
        inference: Executor,
        max_queue: int,
        max_batch: int,
        on_batch: Callable[[int], None],
    ) -> None:
        """``on_batch`` is told how many inputs each inference answered."""
        self._decoders = decoders
        self._inference = inference
        self._max_queue = max_queue
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: deque[_Job] = deque()
        self._runner: asyncio.Task[None] | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def calls(self) -> int:
        """Calls that have not been answered yet."""
        return self._calls

    def check(self) -> None:
        """Refuse at once what could not be queued.

        Raises:
            Overloaded: as many calls wait as may.
        """
        if self._calls >= self._max_queue:
            raise Overloaded(
                _("{calls} calls are waiting, as many as may.", calls=self._calls),
                remedy=_("Send it again in a second."),
                retry_after_seconds=1,
            )

    async def answer(self, loaded: Loaded, data: bytes) -> Answer:
        """Decode, queue, infer.

        Raises:
            DataError: the bytes cannot be read; the others of the batch do not notice.
            Overloaded: as many calls wait as may.
        """
        self.check()
        self._calls += 1
        self._idle.clear()
        try:
            loop = asyncio.get_running_loop()
            inputs, seconds = await loop.run_in_executor(
                self._decoders, _decode, loaded.provider, data
            )
            job = _Job(loaded, inputs, seconds, loop.create_future())
            self._waiting.append(job)
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run())
            return await job.done
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until every call is answered."""
        await self._idle.wait()
        if self._runner is not None:
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            provider = batch[0].loaded.provider
            results = await loop.run_in_executor(
                self._inference, _infer, provider, [job.inputs for job in batch]
            )
            for job, result in zip(batch, results, strict=True):
                _settle(job, result)
            self._on_batch(len(batch))

    def _take(self) -> list[_Job]:
        """What is queued, up to a batch, of one version; those given up meanwhile are dropped."""
        batch: list[_Job] = []
        while self._waiting and len(batch) < self._max_batch:
            if self._waiting[0].done.done():
                self._waiting.popleft()
            elif batch and self._waiting[0].loaded is not batch[0].loaded:
                break
            else:
                batch.append(self._waiting.popleft())
        return batch


def _settle(job: _Job, result: Answer | Exception) -> None:
    if job.done.done():
        return
    if isinstance(result, Exception):
        job.done.set_exception(result)
    else:
        compute = job.decode_seconds + result.compute_seconds
        job.done.set_result(replace(result, compute_seconds=compute))


def _decode(provider: Provider, data: bytes) -> tuple[Pixels, float]:
    """The graph's input, and the seconds of CPU time it took."""
    started = time.thread_time()
    try:
        inputs = provider.decode(data)
    except DataError as error:
        said = error.message
        reason = said if isinstance(said, Message) else Message(said.rstrip("."))
        raise DataError(
            _("This upload cannot be read: {reason}.", reason=reason),
            remedy=error.remedy or _("Send another."),
        ) from error
    return inputs, time.thread_time() - started


def _infer(provider: Provider, inputs: list[Pixels]) -> list[Answer | Exception]:
    """Answer a batch; where it fails as a whole, each alone, so that the others live."""
    try:
        answers = provider.infer(np.stack(inputs))
        return [answer for answer, __ in zip(answers, inputs, strict=True)]
    except Exception as error:  # noqa: BLE001 - handed to whoever waits
        if len(inputs) == 1:
            return [error]
        return [result for one in inputs for result in _infer(provider, [one])]
