"""Recording what was answered: calls of one turn of the event loop share a write."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from functools import partial
from typing import Final

from mintage.core.errors import DependencyDown
from mintage.core.ports import Meter
from mintage.core.types import Receipt, Usage
from mintage.core.waiting import in_time

COMMIT_SECONDS: Final = 30.0
_log = logging.getLogger(__name__)
_Waiting = list[tuple[Usage, asyncio.Future[Receipt]]]


class Recorder:
    """Awaits the Meter for an event loop.

    A batch's calls come back from inference together, so they are handed over together: one write
    and one wake-up of each thread in place of one a call. A write that fails is repeated call by
    call, so that whatever is wrong with one costs its neighbours nothing.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._waiting: _Waiting = []

    async def record(self, usage: Usage, seconds: float = COMMIT_SECONDS) -> Receipt:
        """The receipt, once the event is on disk.

        An event without an id of the client's that is not written in time is abandoned: should it
        be written yet, then as one whose answer was withheld, free of charge. Of one that was
        ``delivered`` already nothing can be withheld.

        Raises:
            MintageError: it cannot be priced, or is recorded already.
            TimeoutError: nobody knows yet whether it is recorded.
        """
        if usage.event_id is not None:  # may be there already, so it needs a write of its own
            async with asyncio.timeout(seconds):
                return await asyncio.wrap_future(self._meter.record(usage))
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._hand_over)
        promised: asyncio.Future[Receipt] = loop.create_future()
        self._waiting.append((usage, promised))
        try:
            return await in_time(promised, seconds)
        except TimeoutError:
            usage.abandoned = not usage.delivered
            raise

    def _hand_over(self) -> None:
        taken, self._waiting = self._waiting, []
        self._together(taken)

    def _together(self, taken: _Waiting) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = self._meter.record_all([usage for usage, __ in taken])
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            self._failed(taken, error)
            return
        written.add_done_callback(
            lambda done: loop.call_soon_threadsafe(partial(self._settle, taken, done))
        )

    def _settle(self, taken: _Waiting, done: Future[list[Receipt]]) -> None:
        error = done.exception()
        if error is not None:
            self._failed(taken, error)
            return
        for (__, promised), receipt in zip(taken, done.result(), strict=True):
            if not promised.done():
                promised.set_result(receipt)
            elif receipt.price != "0":
                _log.error("Receipt %s charges for an answer that was withheld.", receipt.id)

    def _failed(self, taken: _Waiting, error: BaseException) -> None:
        # Where the database went away it may have been written: nothing is tried twice then.
        if len(taken) > 1 and not isinstance(error, DependencyDown):
            for one in taken:
                self._together([one])
            return
        for __, promised in taken:
            if not promised.done():
                promised.set_exception(error)
