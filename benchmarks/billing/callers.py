"""Callers that do one thing again and again, each waiting for its end; how often, and how long."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Callers:
    """So many threads, for so many seconds after the first ones.

    Each calls again as soon as it has been answered, or no sooner than ``every`` so many seconds.
    """

    count: int
    seconds: float
    warm_up: float
    every: float = 0.0

    def run(self, call: Callable[[], object]) -> dict[str, Any]:
        """Calls that ended in time, by the clock and by the processor, and how long each took."""
        waits: list[list[float]] = [[] for __ in range(self.count)]
        began = time.perf_counter() + self.warm_up
        ends = began + self.seconds

        def one(mine: list[float], late: float) -> None:
            time.sleep(late)
            asked = time.perf_counter()
            while asked < ends:
                call()
                answered = time.perf_counter()
                if asked >= began and answered <= ends:
                    mine.append(answered - asked)
                time.sleep(max(0.0, asked + self.every - answered))
                asked = time.perf_counter() if self.every else answered

        threads = [
            threading.Thread(target=one, args=(mine, self.every * place / self.count))
            for place, mine in enumerate(waits)
        ]
        for thread in threads:
            thread.start()
        time.sleep(self.warm_up)
        used = time.process_time()
        for thread in threads:
            thread.join()
        used = time.process_time() - used
        return {
            "waits": [wait for mine in waits for wait in mine],
            "seconds": self.seconds,
            "busy": used,
        }


def together(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the callers of all processes came to: a rate, and how long calls took."""
    waits = sorted(wait for part in parts for wait in part["waits"])
    seconds = max(part["seconds"] for part in parts)
    hundredths = statistics.quantiles(waits, n=100)
    return {
        "calls": len(waits),
        "rate": round(len(waits) / seconds, 1),
        "p50": round(statistics.median(waits), 6),
        "p99": round(hundredths[98], 6),
        "most": round(waits[-1], 6),
        "busy_each": round(sum(part["busy"] for part in parts) / len(waits), 9),
    }
