"""An open loop: requests that come by the clock, whether or not the server keeps up.

A customer does not wait for another's answer, so a request that is due is sent on a further
connection where all others are taken. What this program itself cannot send is counted, and what
was really offered is said.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.serving.asking import HOST
from benchmarks.serving.crowd import Answered, Crowd
from benchmarks.stopwatch import Stopwatch, answer, arguments

_OK = 200
_REFUSALS = (429, 503)
_MOST_BEFORE_LOOKING = 32


@dataclass
class Tally:
    """What became of all requests; ``until`` is the moment from which answers come too late."""

    until: float
    statuses: Counter[int] = field(default_factory=Counter)
    in_time: int = 0
    waits: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)

    def add(self, answered: Answered) -> None:
        """Count one."""
        self.statuses[answered.status] += 1
        if answered.status == _OK:
            self.in_time += answered.ended <= self.until
            self.waits.append(answered.ended - answered.due)
        elif answered.status in _REFUSALS:
            self.refusals.append(answered.told - answered.begun)


def offer(crowd: Crowd, rate: float, seconds: float, begin: float) -> tuple[int, int]:
    """Send ``rate`` requests a second for so long: how many were sent, and how many could not be.

    A request is sent when it is due or, where this program is late, as soon as it can be.
    """
    offered = unsent = 0
    due, end = begin, begin + seconds
    while (now := time.monotonic()) < end:
        for __ in range(_MOST_BEFORE_LOOKING):
            if due > now:
                break
            if crowd.post(due):
                offered += 1
            else:
                unsent += 1
            due = begin + (offered + unsent) / rate
        crowd.poll(max(0.0, min(due, end) - time.monotonic()))
    return offered, unsent


def finish(crowd: Crowd, patience_seconds: float) -> int:
    """Wait for what is still to be answered; how many were not."""
    end = time.monotonic() + patience_seconds
    while crowd.waiting and time.monotonic() < end:
        crowd.poll(0.1)
    return crowd.waiting


def percentiles(values: list[float]) -> dict[str, float]:
    """``p50`` and ``p99``; nothing where there is nothing."""
    if not values:
        return {}
    middle, high = np.percentile(values, (50, 99))
    return {"p50": round(float(middle), 6), "p99": round(float(high), 6)}


def summary(tally: Tally) -> dict[str, Any]:
    """As it is kept: statuses, waits from the due moment, refusals from the first byte."""
    return {
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "waits": percentiles(tally.waits),
        "refusals": percentiles(tally.refusals),
    }


def main() -> None:
    asked = arguments(
        __doc__, "messages", port=0, rate=100.0, seconds=10.0, connections=4000, patience=15.0
    )
    watch = Stopwatch(asked.started)
    messages = [path.read_bytes() for path in sorted(asked.messages.iterdir())]
    begin = time.monotonic()
    tally = Tally(until=begin + asked.seconds)
    crowd = Crowd((HOST, asked.port), messages, most=asked.connections, on_answer=tally.add)
    offered, unsent = offer(crowd, asked.rate, asked.seconds, begin)
    connections = crowd.connections
    unanswered = finish(crowd, asked.patience)
    crowd.close()
    answer(
        watch,
        (),
        offered=round(offered / asked.seconds, 2),
        unsent=unsent,
        goodput=round(tally.in_time / asked.seconds, 2),
        connections=connections,
        unanswered=unanswered,
        **summary(tally),
    )


if __name__ == "__main__":
    main()
