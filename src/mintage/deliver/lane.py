"""A product's lane: calls wait in a bounded queue and are answered in greedy batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mintage.core.clock import thread_seconds
from mintage.core.effort import Effort
from mintage.core.errors import DataError, Overloaded
from mintage.core.messages import Message, _
from mintage.core.ports import Provider
from mintage.core.types import Answer, Batch
from mintage.core.waiting import in_time
from mintage.deliver.versions import Loaded

_TURNS = 3
"""Of the event loop, between batches: time for what has come to be queued, and for what was
answered to be handed on, so that it is recorded while the next batch is worked on."""
_DECODE_SECONDS = 0.25
"""Of a batch; what is not decoded by then is left to the next. 32 pictures at 28 px take 13 ms."""
Pixels = NDArray[np.uint8]
_Result = tuple[Answer | Exception, float]


@dataclass(frozen=True)
class Limits:
    """How much a lane holds, and how much of it is worked on together.

    Attributes:
        queue: calls that may be unanswered; more are refused.
        batch: calls of one batch, which a thread decodes and infers together.
        batch_bytes: bytes of its uploads; a larger upload is a batch of its own.
        batches: batches at once, each in a thread.
        delay_seconds: how long a batch that is not full waits for more calls.
        deadline_seconds: how long a call may take.
    """

    queue: int
    batch: int = 32
    batch_bytes: int = 2_000_000
    batches: int = 1
    delay_seconds: float = 0.0
    deadline_seconds: float = 10.0


@dataclass(frozen=True, eq=False)
class _Job:
    loaded: Loaded
    data: bytes
    done: asyncio.Future[Answer]
    queued: float
    effort: Effort


class Lane:
    """Decodes and infers a batch at a time; by default never waits for a batch to fill."""

    def __init__(
        self, executor: Executor, limits: Limits, on_batch: Callable[[Batch], None]
    ) -> None:
        """``on_batch`` is told of every batch that was answered."""
        self._executor = executor
        self._limits = limits
        self._on_batch = on_batch
        self._waiting: deque[_Job] = deque()
        self._runners: set[asyncio.Task[None]] = set()
        self._full = asyncio.Event()
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
        if self._calls >= self._limits.queue:
            raise Overloaded(
                _("{calls} calls are waiting, as many as may.", calls=self._calls),
                remedy=_("Send it again in a second."),
                retry_after_seconds=1,
            )

    async def answer(self, loaded: Loaded, data: bytes, effort: Effort | None = None) -> Answer:
        """Queue a call until a batch has answered it; ``effort`` is told what that takes.

        Raises:
            DataError: the bytes cannot be read; the others of the batch do not notice.
            Overloaded: as many calls wait as may.
            TimeoutError: there was no answer within the deadline.
        """
        self.check()
        self._calls += 1
        self._idle.clear()
        try:
            done = asyncio.get_running_loop().create_future()
            job = _Job(loaded, data, done, time.monotonic(), effort or Effort())
            self._waiting.append(job)
            if len(self._waiting) >= self._limits.batch:
                self._full.set()
            if len(self._runners) < self._limits.batches:
                self._runners.add(asyncio.create_task(self._run()))
            return await in_time(job.done, self._limits.deadline_seconds)
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until every call is answered."""
        await self._idle.wait()
        if self._runners:
            await asyncio.wait(self._runners)

    async def _run(self) -> None:
        try:
            await self._answer_all()
        finally:
            # At once, not when the task is seen to be done: a call of the same turn of the event
            # loop would count on it, and wait until somebody else calls.
            self._runners.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._limits.delay_seconds and len(self._waiting) < self._limits.batch:
                self._full.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._limits.delay_seconds)
            for __ in range(_TURNS):
                await asyncio.sleep(0)  # nothing is waited for
            if jobs := self._take():
                began = time.monotonic()
                for job in jobs:
                    job.effort.begins(len(jobs))
                work = _Work(jobs[0].loaded.provider, jobs)
                results = await loop.run_in_executor(self._executor, work.run)
                jobs, later = jobs[: len(results)], jobs[len(results) :]
                for job in later:
                    job.effort.ends()
                self._waiting.extendleft(reversed(later))
                for job, (result, seconds) in zip(jobs, results, strict=True):
                    job.effort.ends(seconds)
                    _settle(job, result)
                waited = tuple(began - job.queued for job in jobs)
                version = jobs[0].loaded.info.version
                self._on_batch(
                    Batch(version, len(jobs), waited, work.decode_seconds, work.infer_seconds)
                )

    def _take(self) -> list[_Job]:
        """What is queued, up to a batch, of the first one's version; those given up are dropped."""
        taken: list[_Job] = []
        others: list[_Job] = []
        size = 0
        while self._waiting and len(taken) < self._limits.batch:
            job = self._waiting.popleft()
            if job.done.done():
                continue
            if taken and job.loaded is not taken[0].loaded:
                others.append(job)
                continue
            size += len(job.data)
            if taken and size > self._limits.batch_bytes:
                others.append(job)
                break
            taken.append(job)
        self._waiting.extendleft(reversed(others))
        return taken


def _settle(job: _Job, result: Answer | Exception) -> None:
    if job.done.done():
        return
    if isinstance(result, Exception):
        job.done.set_exception(result)
    else:
        job.done.set_result(result)


class _Work:
    """One batch in its thread: to decode there too costs one hand-over a batch, not two a call."""

    def __init__(self, provider: Provider, jobs: list[_Job]) -> None:
        self._provider = provider
        self._jobs = jobs
        self.decode_seconds = self.infer_seconds = 0.0

    def run(self) -> list[_Result]:
        """An answer for each job, or what is wrong with that one; and the seconds that it took.

        There may be fewer: pictures that take long to decode must not keep those waiting that are
        decoded already.
        """
        began = time.monotonic()
        decoded: list[tuple[Pixels | Exception, float]] = []
        for job in self._jobs:
            if decoded and time.monotonic() - began > _DECODE_SECONDS:
                break
            decoded.append(self._decoded(job))
        self.decode_seconds = time.monotonic() - began
        readable = [pixels for pixels, __ in decoded if not isinstance(pixels, Exception)]
        answers = iter(self._inferred(readable) if readable else ())
        self.infer_seconds = time.monotonic() - began - self.decode_seconds
        return [
            (found, seconds) if isinstance(found, Exception) else _summed(*next(answers), seconds)
            for found, seconds in decoded
        ]

    def _decoded(self, job: _Job) -> tuple[Pixels | Exception, float]:
        """The graph's input, and the seconds of CPU time it took."""
        if job.done.done():
            return TimeoutError("nobody waits for it any more"), 0.0
        began = thread_seconds()
        found: Pixels | Exception
        try:
            found = self._provider.decode(job.data)
        except DataError as error:
            found = _unreadable(error)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            found = error
        return found, thread_seconds() - began

    def _inferred(self, inputs: list[Pixels], spent: float = 0.0) -> list[_Result]:
        """Answer a batch; where it fails as a whole, each alone, so that the others live.

        The seconds are those of tries that failed, by the clock.
        """
        began = time.monotonic()
        try:
            answers = self._provider.infer(np.stack(inputs))
            return [(answer, spent) for answer, __ in zip(answers, inputs, strict=True)]
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            spent += (time.monotonic() - began) / len(inputs)
            if len(inputs) == 1:
                return [(error, spent)]
            return [result for one in inputs for result in self._inferred([one], spent)]


def _summed(result: Answer | Exception, tried_seconds: float, decode_seconds: float) -> _Result:
    """With all that was computed for it."""
    seconds = tried_seconds + decode_seconds
    if isinstance(result, Exception):
        return result, seconds
    seconds += result.compute_seconds
    return replace(result, compute_seconds=seconds), seconds


def _unreadable(error: DataError) -> DataError:
    said = error.message
    reason = said if isinstance(said, Message) else Message(said.rstrip("."))
    refused = DataError(
        _("This upload cannot be read: {reason}.", reason=reason),
        remedy=error.remedy or _("Send another."),
    )
    refused.__cause__ = error
    return refused
