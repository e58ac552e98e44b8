"""The same work on many things, on every core that is ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from mintage.core.machine import available_cores
from mintage.core.progress import Progress

Thing = TypeVar("Thing")
Made = TypeVar("Made")

_AT_ONCE = 8
"""Handed to a worker together: to hand over a picture takes a tenth of what to read one does."""
_AHEAD = 4
"""Parts that each worker may have made before they are taken: memory is bounded by that."""


def in_order(
    title: str, things: Sequence[Thing], make: Callable[[Thing], Made], progress: Progress
) -> Generator[Made, None, None]:
    """Make something of each; it comes in the order of the things.

    What ``make`` raises is raised once the parts before that thing's have come, and nothing more is
    begun, nor once it is closed. Threads are enough where decoders and the system do the work,
    since they let others run meanwhile.
    """
    workers = available_cores()
    size = max(1, min(_AT_ONCE, len(things) // (_AHEAD * workers)))
    done = 0
    over = Event()

    def part(start: int) -> list[Made]:
        made = []
        for each in things[start : start + size]:
            if over.is_set():  # nobody waits for it any more
                break
            made.append(make(each))
        return made

    progress.start(title, len(things))
    with ThreadPoolExecutor(workers) as pool:
        begun: deque[Future[list[Made]]] = deque()
        starts = iter(range(0, len(things), size))
        try:
            while True:
                for start in starts:
                    begun.append(pool.submit(part, start))
                    if len(begun) == _AHEAD * workers:
                        break
                if not begun:
                    break
                made = begun.popleft().result()
                yield from made
                done += len(made)
                progress.advance(done)
        finally:
            over.set()
            for future in begun:
                future.cancel()
    progress.finish()
