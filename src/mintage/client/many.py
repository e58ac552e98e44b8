"""The same question about many things: a bounded number at once, the answers in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from threading import Event
from typing import TypeVar

from mintage.core.errors import ConfigError, MintageError
from mintage.core.messages import _

T = TypeVar("T")
R = TypeVar("R")
Pause = Callable[[float], None]


def in_turn(
    things: Iterable[T], ask: Callable[[T, Pause], R], at_once: int
) -> Generator[tuple[T, R | MintageError], None, None]:
    """Each thing with its answer or error; ``ask`` is given what to wait by.

    Whoever stops taking them ends the waiting and begins no more; what was sent is waited for.

    Raises:
        ConfigError: ``at_once`` is below 1.
    """
    _check(at_once)
    return _in_turn(iter(things), ask, at_once)


def in_turn_async(
    things: Iterable[T], ask: Callable[[T], Awaitable[R]], at_once: int
) -> AsyncGenerator[tuple[T, R | MintageError], None]:
    """As ``in_turn``; whoever stops taking them cancels those that are under way.

    Raises:
        ConfigError: ``at_once`` is below 1.
    """
    _check(at_once)
    return _in_turn_async(iter(things), ask, at_once)


def _in_turn(
    things: Iterator[T], ask: Callable[[T, Pause], R], at_once: int
) -> Generator[tuple[T, R | MintageError], None, None]:
    over = Event()

    def pause(seconds: float) -> None:
        if over.wait(seconds):
            raise CancelledError

    def asked(thing: T) -> R | MintageError:
        try:
            return ask(thing, pause)
        except MintageError as error:
            return error

    begun: deque[tuple[T, Future[R | MintageError]]] = deque()
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="mintage-client")
    try:
        while True:
            for thing in islice(things, at_once - len(begun)):
                begun.append((thing, pool.submit(copy_context().run, asked, thing)))
            if not begun:
                return
            thing, future = begun.popleft()
            yield thing, future.result()
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)


async def _in_turn_async(
    things: Iterator[T], ask: Callable[[T], Awaitable[R]], at_once: int
) -> AsyncGenerator[tuple[T, R | MintageError], None]:
    async def asked(thing: T) -> R | MintageError:
        try:
            return await ask(thing)
        except MintageError as error:
            return error

    begun: deque[tuple[T, asyncio.Task[R | MintageError]]] = deque()
    try:
        while True:
            for thing in islice(things, at_once - len(begun)):
                begun.append((thing, asyncio.create_task(asked(thing))))
            if not begun:
                return
            thing, task = begun.popleft()
            yield thing, await task
    finally:
        for __, task in begun:
            task.cancel()
        await asyncio.gather(*(task for __, task in begun), return_exceptions=True)


def _check(at_once: int) -> None:
    if at_once < 1:
        raise ConfigError(_("{count} at once is none.", count=at_once), remedy=_("Give 1 or more."))
