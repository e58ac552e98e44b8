"""The serving engine: bytes in, an answer out, for every product and its current version."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from mintage.core.effort import Effort
from mintage.core.errors import NotReady, RequestError, ServiceError
from mintage.core.messages import _
from mintage.core.types import Answer, Batch, ProviderInfo
from mintage.deliver.lane import Lane, Limits
from mintage.deliver.shadow import ShadowObserver, Shadows
from mintage.deliver.versions import Catalogue, Loaded, OpenProvider, Versions

_GLANCE_SECONDS = 0.05
_NICENESS = 5

BatchObserver = Callable[[str, Batch], None]
"""Told of every batch, with its product."""


@dataclass(frozen=True)
class Served:
    """An answer, and which version gave it."""

    answer: Answer
    info: ProviderInfo
    alias: str


class Engine:
    """Answers calls on one event loop; decoding, inference and loading run in threads."""

    def __init__(
        self,
        open_provider: OpenProvider,
        products: Catalogue,
        *,
        threads: int,
        max_queue: int,
        max_batch: int = 32,
        batch_delay_seconds: float = 0.0,
        deadline_seconds: float = 10.0,
        poll_seconds: float = 1.0,
    ) -> None:
        """Nothing is loaded until ``start``, or the first call.

        Args:
            open_provider: opens and verifies (model, version, bundle digest).
            products: says what each product's alias points at.
            threads: batches that are decoded and inferred at once.
            max_queue: calls of one product that may wait; more are refused.
            max_batch: calls that are answered together at most.
            batch_delay_seconds: how long a batch that is not full waits for more; 0: not at all.
            deadline_seconds: how long a call may take from its bytes to its answer.
            poll_seconds: how often a publish is looked for where it is not told at once.
        """
        self._limits = Limits(
            max_queue,
            max_batch,
            batches=threads,
            delay_seconds=batch_delay_seconds,
            deadline_seconds=deadline_seconds,
        )
        self._poll_seconds = poll_seconds
        self._workers = ThreadPoolExecutor(threads, "answer", initializer=_stand_back)
        self._loader = ThreadPoolExecutor(1, "load")
        self._versions = Versions(open_provider, products, self._loader)
        self._lanes: dict[str, Lane] = {}
        self._shadows = Shadows(_stand_back)
        self._observers: list[BatchObserver] = []
        self._watcher: asyncio.Task[None] | None = None
        self._retired = False
        self._draining = False
        self._closed = False

    async def start(self) -> None:
        """Load every product's current version, then watch for new ones."""
        await self._versions.refresh()
        self._watcher = asyncio.create_task(self._watch())

    def observe(self, observer: BatchObserver) -> None:
        """Have every batch told."""
        self._observers.append(observer)

    def compare(self, observer: ShadowObserver) -> None:
        """Have every answer of a shadow told."""
        self._shadows.observe(observer)

    async def answer(
        self,
        product: str,
        data: bytes,
        by: Loaded | None = None,
        effort: Effort | None = None,
    ) -> Served:
        """Answer one input, by the version that ``current`` gave, or by the stable one.

        ``effort`` is told what it takes, also where there is no answer.

        Raises:
            DataError: the bytes are nothing that the model reads.
            NotReady: no version of the product is loaded, or the engine is closing.
            Overloaded: too many calls wait.
            ServiceError: not answered within the deadline (504).
        """
        loaded = await self.current(product) if by is None else by
        lane = self._lane(product)
        try:
            answer = await lane.answer(loaded, data, effort)
        except TimeoutError as error:
            raise ServiceError(
                _(
                    "There was no answer within {deadline_seconds:g} seconds.",
                    deadline_seconds=self._limits.deadline_seconds,
                ),
                remedy=_("Send it again in a moment."),
                http_status=504,
                retry_after_seconds=1,
            ) from error
        self._shadows.ask(product, self._versions.get(product), data, answer)
        return Served(answer, loaded.info, loaded.alias)

    async def current(self, product: str, customer: str = "", version: str | None = None) -> Loaded:
        """The version that answers this customer now; a product just published is loaded.

        A customer who names a version gets that one, if it answers for the product at all.

        Raises:
            NotReady: there is none, or the engine is closing.
            RequestError: none that answers is of this version (404).
        """
        if self._closed:
            raise _going_away()
        current = self._versions.get(product)
        if current is None:
            await self._versions.refresh()
            current = self._versions.get(product)
        if current is None:
            raise no_version(product)
        if version is None:
            return current.for_customer(product, customer)
        named = current.named(version)
        if named is None:
            raise RequestError(
                _(
                    "{product} answers with version {version}, not {asked}.",
                    product=product,
                    version=current.for_customer(product, customer).info.version,
                    asked=version[:64],
                ),
                remedy=_("Leave the version out, or name the one that answers."),
                http_status=404,
            )
        return named

    def check(self, product: str) -> None:
        """Refuse early, before a body is read.

        Raises:
            NotReady: the engine is draining.
            Overloaded: too many calls of the product wait.
        """
        if self._draining:
            raise _going_away()
        self._lane(product).check()

    def ready(self, product: str | None = None) -> bool:
        """Whether the product, or any product at all, can be answered now."""
        names = self._versions.names()
        if self._retired or self._draining:
            return False
        return bool(names) if product is None else product in names

    def versions(self, product: str) -> list[str]:
        """The versions of a product that answer now, the stable one first."""
        current = self._versions.get(product)
        return [] if current is None else [each.info.version for each in current.answering()]

    def products(self) -> list[str]:
        """The products that can be answered now."""
        return self._versions.names()

    def queues(self) -> dict[str, int]:
        """For each product, the calls that are not answered yet."""
        return {product: lane.calls for product, lane in self._lanes.items()}

    def retire(self) -> None:
        """Be not ready from now on, and answer all the same: others are still to notice."""
        self._retired = True

    def drain(self) -> None:
        """Take no more calls, and be not ready; those that were taken are still answered."""
        self._draining = True

    async def close(self) -> None:
        """Take no more calls, answer those taken, let go of the threads."""
        self._draining = self._closed = True
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        for lane in self._lanes.values():
            await lane.drained()
        await self._shadows.close()
        await self._versions.stop()
        for pool in (self._workers, self._loader):
            await asyncio.to_thread(pool.shutdown)

    async def _watch(self) -> None:
        """Follow what is published: at once where that is told, else at the next poll."""
        looked = time.monotonic()
        while True:
            await asyncio.sleep(min(_GLANCE_SECONDS, self._poll_seconds))
            if self._versions.is_news() or time.monotonic() - looked >= self._poll_seconds:
                await self._versions.refresh()
                looked = time.monotonic()

    def _lane(self, product: str) -> Lane:
        if product not in self._lanes:
            told = partial(self._told, product)
            self._lanes[product] = Lane(self._workers, self._limits, told)
        return self._lanes[product]

    def _told(self, product: str, batch: Batch) -> None:
        for observer in self._observers:
            observer(product, batch)


def _stand_back() -> None:
    """Let the event loop go first where a core is short, or refusals would wait for inference."""
    if sys.platform == "linux":  # elsewhere a priority is a process's, not a thread's
        mine = threading.get_native_id()
        with suppress(OSError):
            now = os.getpriority(os.PRIO_PROCESS, mine)
            os.setpriority(os.PRIO_PROCESS, mine, min(now + _NICENESS, 19))


def no_version(product: str) -> NotReady:
    """What is said where nothing answers for a product."""
    return NotReady(
        _("No version of {product!r} is ready.", product=product),
        remedy=_("Send it again in a moment; if it stays so, tell whoever runs the service."),
        retry_after_seconds=5,
    )


def _going_away() -> NotReady:
    return NotReady(
        _("The server is going away."),
        remedy=_("Send it again in a moment."),
        retry_after_seconds=1,
    )
