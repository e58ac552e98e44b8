"""How long to wait: for a promise, and before a server is asked again."""

from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

from mintage.core.clock import Clock, SystemClock

T = TypeVar("T")

# Digits are bounded: of thousands of them int() makes an error and float() infinity.
_SECONDS = re.compile(r"[0-9]{1,9}")

_FIRST_SECONDS = 0.5
_MOST_SECONDS = 8.0


async def in_time(promised: asyncio.Future[T], seconds: float) -> T:
    """What was promised; for a future of our own, for a third of what ``asyncio.timeout`` adds.

    Raises:
        TimeoutError: it was not kept within so many seconds; the future says so too.
    """
    late = asyncio.get_running_loop().call_later(seconds, _give_up, promised)
    try:
        return await promised
    finally:
        late.cancel()


def _give_up(promised: asyncio.Future[T]) -> None:
    if not promised.done():
        promised.set_exception(TimeoutError())


def asked_to_wait(header: str | None, clock: Clock | None = None) -> float | None:
    """Seconds that a ``Retry-After`` says, or until its date (RFC 9110 §10.2.3); None without."""
    said = (header or "").strip()
    if _SECONDS.fullmatch(said):
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (clock or SystemClock()).now()).total_seconds())


def backoff(failures: int, asked: float | None, chance: random.Random) -> float:
    """Seconds to wait after so many failures: what was asked for, else twice as long each time.

    Chance spreads those who failed together: else they would all come again together.
    """
    if asked is not None:
        return asked + chance.uniform(0, _FIRST_SECONDS)
    return min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** (failures - 1)) * chance.uniform(0.5, 1)
