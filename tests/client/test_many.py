"""Many things, a bounded number at once, in their order."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator

import pytest

from mintage.client.many import Pause, in_turn, in_turn_async
from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _, current, speaking


class Watched:
    """Counts what is under way, and what was taken from the things."""

    def __init__(self, count: int) -> None:
        self.count, self.taken, self.most, self.now = count, 0, 0, 0
        self.lock = threading.Lock()

    def things(self) -> Iterator[int]:
        for number in range(self.count):
            self.taken += 1
            yield number

    def begin(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def end(self) -> None:
        with self.lock:
            self.now -= 1


def refused(number: int) -> DataError:
    return DataError(_("Not {number}.", number=number))


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_answers_and_errors_come_in_the_order_of_the_things(at_once: int) -> None:
    watched = Watched(40)
    together = threading.Barrier(at_once)

    def ask(number: int, _pause: Pause) -> int:
        watched.begin()
        if number < 40 - 40 % at_once:
            together.wait(30)  # so many are really under way together
        watched.end()
        if number % 5 == 0:
            raise refused(number)
        return number * number

    found = list(in_turn(watched.things(), ask, at_once))
    assert [number for number, __ in found] == list(range(40))
    for number, got in found:
        assert isinstance(got, DataError) if number % 5 == 0 else got == number * number
    assert watched.most == at_once


async def test_without_threads_too() -> None:
    watched = Watched(40)

    async def ask(number: int) -> int:
        watched.begin()
        await asyncio.sleep(0.001 * (number % 3))
        watched.end()
        if number % 5 == 0:
            raise refused(number)
        return number * number

    found = [pair async for pair in in_turn_async(watched.things(), ask, 4)]
    assert [number for number, __ in found] == list(range(40))
    for number, got in found:
        assert isinstance(got, DataError) if number % 5 == 0 else got == number * number
    assert watched.most == 4


def test_no_more_is_taken_than_is_under_way_so_that_there_may_be_any_number() -> None:
    taken: list[int] = []
    things = (taken.append(number) or number for number in itertools.count())
    answers = in_turn(things, lambda number, _pause: number, 4)
    for __ in range(10):
        next(answers)
    answers.close()
    assert len(taken) <= 10 + 4


async def test_no_more_is_taken_without_threads_either() -> None:
    taken: list[int] = []
    things = (taken.append(number) or number for number in itertools.count())

    async def ask(number: int) -> int:
        return number

    answers = in_turn_async(things, ask, 4)
    for __ in range(10):
        await anext(answers)
    await answers.aclose()
    assert len(taken) <= 10 + 4


def test_whoever_stops_ends_the_waiting_and_begins_no_more() -> None:
    waiting = threading.Semaphore(0)
    sent: list[int] = []

    def ask(number: int, pause: Pause) -> int:
        if number == 0:
            return 0
        waiting.release()
        pause(3600)  # as a client does before its next try
        sent.append(number)
        return number

    answers = in_turn(iter(range(100)), ask, 4)
    assert next(answers) == (0, 0)
    for __ in range(3):
        assert waiting.acquire(timeout=30)
    answers.close()
    assert sent == []


async def test_whoever_stops_cancels_what_is_under_way() -> None:
    ended: list[int] = []

    async def ask(number: int) -> int:
        if number == 0:
            return 0
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(number)
        return number

    answers = in_turn_async(range(100), ask, 4)
    assert await anext(answers) == (0, 0)
    await asyncio.sleep(0)
    await answers.aclose()
    assert ended == [1, 2, 3]


async def test_cancelling_who_takes_them_cancels_what_is_under_way() -> None:
    ended: list[int] = []
    begun = asyncio.Event()

    async def ask(number: int) -> int:
        try:
            begun.set()
            await asyncio.sleep(3600)
        finally:
            ended.append(number)
        return number

    async def take() -> None:
        async for __ in in_turn_async(range(100), ask, 4):
            pass

    task = asyncio.create_task(take())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == [0, 1, 2, 3]


def test_what_is_no_error_of_ours_is_raised_and_the_rest_ends() -> None:
    def ask(number: int, _pause: Pause) -> float:
        return 1 / (number - 2)

    answers = in_turn(range(100), ask, 2)
    assert [next(answers)[0] for __ in range(2)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_those_that_ask_speak_the_callers_language() -> None:
    with speaking("zh"):
        assert [said for __, said in in_turn(range(3), lambda *_: current(), 2)] == ["zh"] * 3


@pytest.mark.parametrize("at_once", [0, -1])
def test_none_at_once_is_refused_before_anything_is_taken(at_once: int) -> None:
    with pytest.raises(ConfigError):
        in_turn([1], lambda number, _pause: number, at_once)
    with pytest.raises(ConfigError):
        in_turn_async([1], asyncio.sleep, at_once)
