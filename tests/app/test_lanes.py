"""One download for each customer, a few in all, and one portion made at a time."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread

import pytest

from mintage.app.lanes import Lanes
from mintage.core.errors import Overloaded


def parts() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


def test_a_slow_customer_keeps_nobody_else_waiting() -> None:
    lanes = Lanes()
    slow = lanes.sent("Ada", parts)
    assert next(slow) == b"one"  # and takes no more for now
    assert list(lanes.sent("Bo", parts)) == [b"one", b"two"]
    with pytest.raises(Overloaded, match="sent to you"):
        lanes.sent("Ada", parts)
    assert list(slow) == [b"two"]
    assert list(lanes.sent("Ada", parts)) == [b"one", b"two"]


def test_all_of_them_together_have_a_bound_and_whoever_goes_away_makes_room() -> None:
    lanes = Lanes(most=2)
    first, second = lanes.sent("Ada", parts), lanes.sent("Bo", parts)
    with pytest.raises(Overloaded, match="of other invoices") as refused:
        lanes.sent("Cy", parts)
    assert refused.value.retry_after_seconds
    del first
    third = lanes.sent("Cy", parts)
    assert (next(second), next(third)) == (b"one", b"one")


def test_what_fails_makes_room() -> None:
    def begin() -> Iterator[bytes]:
        raise ValueError("nothing")

    def halfway() -> Iterator[bytes]:
        yield b"one"
        raise ValueError("broken")

    lanes = Lanes(most=1)
    with pytest.raises(ValueError, match="nothing"):
        lanes.sent("Ada", begin)
    broken = lanes.sent("Ada", halfway)
    next(broken)
    with pytest.raises(ValueError, match="broken"):
        next(broken)
    assert list(lanes.sent("Ada", parts)) == [b"one", b"two"]


def test_two_portions_are_never_made_at_once() -> None:
    lanes, begun, go = Lanes(), Event(), Event()
    made: list[str] = []

    def slowly() -> Iterator[bytes]:
        begun.set()
        go.wait(10)
        made.append("first")
        yield b""

    def quickly() -> Iterator[bytes]:
        made.append("second")
        yield b""

    threads = [Thread(target=lambda: next(lanes.sent("Ada", slowly)))]
    threads[0].start()
    begun.wait(10)
    threads.append(Thread(target=lambda: next(lanes.sent("Bo", quickly))))
    threads[1].start()
    go.set()
    for each in threads:
        each.join(10)
    assert made == ["first", "second"]
