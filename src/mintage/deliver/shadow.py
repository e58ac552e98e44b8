"""Shadows: a version that is asked what customers ask, and whose answers nobody gets.

They are compared with those that were given, and counted; nothing of them is kept, billed or waited
for. One thread asks them all, and what it cannot keep up with is left out.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from mintage.core.errors import Overloaded
from mintage.core.types import Answer
from mintage.deliver.lane import Lane, Limits
from mintage.deliver.versions import Current, Loaded

Compared = Literal["same", "different", "error", "left out"]
ShadowObserver = Callable[[str, str, Compared], None]
"""Told the product, the shadow's version, and how its answer compares."""

_MOST_WAITING = 32
_MOST_BYTES = 32_000_000
_LAST_SECONDS = 1.0


class Shadows:
    """Asks the shadows of all products. For one event loop."""

    def __init__(self, at_start: Callable[[], None]) -> None:
        """``at_start`` is called in the thread before it begins."""
        self._thread = ThreadPoolExecutor(1, "shadow", initializer=at_start)
        self._lanes: dict[str, Lane] = {}
        self._owed: defaultdict[str, int] = defaultdict(int)
        self._asked: set[asyncio.Task[None]] = set()
        self._observers: list[ShadowObserver] = []
        self._bytes = 0

    def observe(self, observer: ShadowObserver) -> None:
        """Have every comparison told."""
        self._observers.append(observer)

    def ask(self, product: str, current: Current | None, data: bytes, given: Answer) -> None:
        """Ask a product's shadow too, if it has one and this call is among its share."""
        shadow = None if current is None else current.shadow()
        if current is None or shadow is None:
            return
        self._owed[product] += current.routing.percent
        if self._owed[product] < 100:
            return
        self._owed[product] -= 100
        if self._bytes + len(data) > _MOST_BYTES:
            self._tell(product, shadow, "left out")
            return
        self._bytes += len(data)
        task = asyncio.create_task(self._compare(product, shadow, data, given))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def close(self) -> None:
        """Wait a moment for those that were asked, and let go of the thread."""
        if self._asked:
            __, late = await asyncio.wait(self._asked, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
        for lane in self._lanes.values():
            await lane.drained()
        await asyncio.to_thread(self._thread.shutdown)

    async def _compare(self, product: str, shadow: Loaded, data: bytes, given: Answer) -> None:
        found: Compared
        try:
            answer = await self._lane(product).answer(shadow, data)
            found = "same" if _said(answer) == _said(given) else "different"
        except (Overloaded, TimeoutError):
            found = "left out"
        except Exception:  # noqa: BLE001 - whatever it is, no customer sees it
            found = "error"
        finally:
            self._bytes -= len(data)
        self._tell(product, shadow, found)

    def _tell(self, product: str, shadow: Loaded, found: Compared) -> None:
        for observer in self._observers:
            observer(product, shadow.info.version, found)

    def _lane(self, product: str) -> Lane:
        if product not in self._lanes:
            limits = Limits(_MOST_WAITING, batch=8)
            self._lanes[product] = Lane(self._thread, limits, lambda _batch: None)
        return self._lanes[product]


def _said(answer: Answer) -> object:
    """What is compared: the label, where the task gives one; none where it abstained."""
    return answer.output.get("label") if "label" in answer.output else dict(answer.output)
