"""Customers of a language model: so many connections, each with one conversation at a time.

Without a ``rate`` each asks again when it is answered; with one, all of them together ask so often,
evenly, and who was not answered by then is asked from the moment that was due.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

from benchmarks.serving.arrivals import percentiles
from benchmarks.serving.asking import HOST
from benchmarks.stopwatch import Stopwatch, answer, arguments

_PATIENCE_SECONDS = 20.0
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_PART, _WHOLE = b"data:", b"data: [DONE]"
_NEVER = float("inf")


@dataclass
class Tally:
    """What was answered: seconds until the whole of it, of a stream also until its first part."""

    waits: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    failures: int = 0


@dataclass
class Plan:
    """What all connections share: what is sent, how often, until when or how many times."""

    messages: Iterator[bytes]
    interval: float
    """Seconds from one request of a connection to its next; 0: when it is answered."""
    until: float
    left: int | float
    streams: bool

    def take(self) -> bytes | None:
        """The next request; None where no more are sent."""
        if self.left <= 0 or time.perf_counter() >= self.until:
            return None
        self.left -= 1
        return next(self.messages)


class Customer(asyncio.Protocol):
    """One connection; ``ended`` is resolved when all it sent is answered and nothing more due."""

    def __init__(self, plan: Plan, tally: Tally) -> None:
        self._plan, self._tally = plan, tally
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._due = self._asked = self._first = 0.0
        self._waits = False
        self._taken = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where requests go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def begin(self, delay: float) -> None:
        """Send the first request after so long."""
        self._due = time.perf_counter() + delay
        self._loop.call_later(delay, self._ask)

    def data_received(self, data: bytes) -> None:
        """Read on; what is whole is counted, and the next one sent when it is due."""
        now = time.perf_counter()
        self._taken += data
        if self._plan.streams and not self._first and _PART in self._taken:
            self._first = now
        if not self._is_whole():
            return
        self._count(now)
        self._waits = False
        self._due = self._due + self._plan.interval if self._plan.interval else now
        if self._due <= now:
            self._ask(self._due)
        else:
            self._loop.call_later(self._due - now, self._ask)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol's
        """What was asked is not answered any more."""
        if not self.ended.done():
            self._tally.failures += 1
            self._waits = False
            self.ended.set_result(None)

    def close(self) -> None:
        """Hang up; who still waits was not answered."""
        self._tally.failures += self._waits
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.close()

    def _ask(self, asked: float = 0.0) -> None:
        if self.ended.done():
            return
        message = self._plan.take()
        if message is None:
            self.ended.set_result(None)
            return
        # Timers are late by up to a millisecond, which is not the server's doing.
        self._asked, self._first = asked or time.perf_counter(), 0.0
        self._waits = True
        self._taken.clear()
        self._transport.write(message)

    def _is_whole(self) -> bool:
        taken = self._taken
        end = taken.find(b"\r\n\r\n")
        if end < 0:
            return False
        found = _LENGTH.search(taken, 0, end)
        if found:
            return len(taken) >= end + 4 + int(found[1])
        return taken.endswith(b"\r\n0\r\n\r\n")

    def _count(self, now: float) -> None:
        found = _STATUS.match(self._taken)
        whole = not self._plan.streams or _WHOLE in self._taken
        if found is None or found[1] != b"200" or not whole:
            self._tally.failures += 1
            return
        self._tally.waits.append(now - self._asked)
        if self._first:
            self._tally.firsts.append(self._first - self._asked)


async def asked(
    port: int,
    messages: Sequence[bytes],
    *,
    connections: int,
    seconds: float = 0.0,
    requests: int = 0,
    rate: float = 0.0,
    streams: bool = False,
) -> dict[str, Any]:
    """Ask for ``seconds``, or so many ``requests``: the rate, and p50 and p99 in seconds."""
    loop, tally = asyncio.get_running_loop(), Tally()
    plan = Plan(
        itertools.cycle(messages),
        connections / rate if rate else 0.0,
        _NEVER,
        requests or _NEVER,
        streams,
    )
    customers = []
    for __ in range(connections):
        ___, customer = await loop.create_connection(lambda: Customer(plan, tally), HOST, port)
        customers.append(customer)
    began = time.perf_counter()
    plan.until = began + seconds if seconds else _NEVER
    for place, customer in enumerate(customers):
        customer.begin(plan.interval * place / connections)
    ended = [customer.ended for customer in customers]
    await asyncio.wait(ended, timeout=seconds + _PATIENCE_SECONDS if seconds else None)
    taken = time.perf_counter() - began
    for customer in customers:
        customer.close()
    return {
        "requests": len(tally.waits),
        "failures": tally.failures,
        "seconds": round(taken, 3),
        "rate": round(len(tally.waits) / taken, 2),
        **percentiles(tally.waits),
        "first": percentiles(tally.firsts),
    }


def main() -> None:
    told = arguments(
        __doc__,
        "messages",
        port=0,
        connections=16,
        seconds=0.0,
        requests=0,
        rate=0.0,
        streams=0,
    )
    watch = Stopwatch(told.started)
    found = uvloop.run(
        asked(
            told.port,
            [path.read_bytes() for path in sorted(told.messages.iterdir())],
            connections=told.connections,
            seconds=told.seconds,
            requests=told.requests,
            rate=told.rate,
            streams=bool(told.streams),
        )
    )
    answer(watch, (), **found)


if __name__ == "__main__":
    main()
