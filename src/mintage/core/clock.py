"""Time: one place that reads the clock, so that tests can hold it still."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never runs backwards."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; never runs backwards."""
        return time.monotonic()


_elsewhere = threading.local()


def thread_seconds() -> float:
    """CPU time of this thread, with what other processes used at its word (``add_elsewhere``)."""
    return time.thread_time() + getattr(_elsewhere, "seconds", 0.0)


def add_elsewhere(seconds: float) -> None:
    """Count CPU time that another process used for this thread, which waited for it."""
    _elsewhere.seconds = getattr(_elsewhere, "seconds", 0.0) + seconds


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
