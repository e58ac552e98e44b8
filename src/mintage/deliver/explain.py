"""Explanations have a lane of their own: one at a time, on one core, so that no answer waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mintage.bundle.overlay import overlay_png, readable
from mintage.bundle.predictor import Explanation
from mintage.core.clock import thread_seconds
from mintage.core.effort import Effort
from mintage.core.errors import Overloaded, ServiceError
from mintage.core.messages import _
from mintage.core.ports import Explaining
from mintage.core.types import Answer, ProviderInfo
from mintage.deliver.products import Pointer
from mintage.deliver.versions import Loaded

OpenExplaining = Callable[[str, int, str], Explaining[Explanation]]
"""Open (model, version, bundle digest) for one thread: verifies the bundle, or raises."""


@dataclass(frozen=True)
class Explained:
    """An answer, which version gave it, and where in the picture it comes from.

    ``map`` is float32[S, S] (``bundle.occlusion``) and covers the whole picture, ``png`` the same
    drawn over it where that was asked for. Where the model abstains there is no map.
    """

    answer: Answer
    info: ProviderInfo
    alias: str
    map: NDArray[np.float32] | None
    png: bytes | None


class Explanations:
    """Explains answers, in one thread. For one event loop."""

    def __init__(
        self,
        open_explaining: OpenExplaining,
        *,
        most_waiting: int = 8,
        deadline_seconds: float = 10.0,
    ) -> None:
        """Nothing is opened until something is to be explained.

        Args:
            open_explaining: opens a version besides the one that answers, for one thread.
            most_waiting: calls that may be explained or wait for it; more are refused.
            deadline_seconds: how long a call may take from its bytes to its explanation.
        """
        self._open = open_explaining
        self._most_waiting = most_waiting
        self._deadline_seconds = deadline_seconds
        self._thread = ThreadPoolExecutor(1, "explain")
        self._opened: dict[tuple[str, str], tuple[Pointer, Explaining[Explanation]]] = {}
        self._jobs: list[Future[Explained]] = []

    def check(self) -> None:
        """Refuse at once what could not wait; work that was given up counts until it ends.

        Raises:
            Overloaded: as many wait as may.
        """
        self._jobs = [job for job in self._jobs if not job.done()]
        if len(self._jobs) >= self._most_waiting:
            raise Overloaded(
                _("{count} explanations are waited for, as many as may.", count=len(self._jobs)),
                remedy=_("Send it again in a moment, or without asking for an explanation."),
                retry_after_seconds=2,
            )

    async def explain(
        self,
        product: str,
        data: bytes,
        *,
        drawn: bool,
        by: Loaded,
        effort: Effort | None = None,
    ) -> Explained:
        """Answer one input and explain the answer; ``drawn`` asks for the picture of it too.

        Args:
            product: what was asked.
            data: the upload's bytes.
            drawn: whether the picture is wanted too.
            by: the version that answers; ``Engine.current`` gives it.
            effort: is told what it takes, also where there is no answer.

        Raises:
            DataError: the bytes are nothing that the model reads.
            Overloaded: as many wait as may.
            ServiceError: not explained within the deadline (504).
        """
        self.check()
        job = self._thread.submit(
            self._explained, product, by, data, effort or Effort(), drawn=drawn
        )
        self._jobs.append(job)
        try:
            # What still waits at the deadline is never begun; what has begun is let end.
            async with asyncio.timeout(self._deadline_seconds):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise ServiceError(
                _(
                    "There was no explanation within {deadline_seconds:g} seconds.",
                    deadline_seconds=self._deadline_seconds,
                ),
                remedy=_("Send it again in a moment, or without asking for an explanation."),
                http_status=504,
                retry_after_seconds=2,
            ) from error

    async def close(self) -> None:
        """End what was begun, and let go of the thread."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    def _explained(
        self, product: str, loaded: Loaded, data: bytes, effort: Effort, *, drawn: bool
    ) -> Explained:
        effort.begins()
        started = thread_seconds()
        png = None
        try:
            found = self._explaining(product, loaded).explain(data)
            if drawn and found.map is not None:
                png = overlay_png(readable(data), found.map)
        finally:
            # One thread does it all, so that its own time is the whole of it.
            effort.ends(thread_seconds() - started)
        answer = replace(found.answer, compute_seconds=effort.seconds)
        return Explained(answer, loaded.info, loaded.alias, found.map, png)

    def _explaining(self, product: str, loaded: Loaded) -> Explaining[Explanation]:
        """The version opened for one thread; of each alias of a product the last stays open."""
        asked, pointer = (product, loaded.alias), loaded.pointer
        opened = self._opened.get(asked)
        if opened is None or opened[0] != pointer:
            opened = self._opened[asked] = (pointer, self._open(*pointer))
        return opened[1]
