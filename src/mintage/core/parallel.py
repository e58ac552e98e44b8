"""The same work on many things, on every core that is ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
) -> Iterator[Made]:
    """Make something of each; it comes in the order of the things.

    What ``make`` raises is raised when it is that thing's turn. Threads are enough where decoders
    and the system do the work, since they let others run meanwhile.
    """
    workers = available_cores()
    size = max(1, min(_AT_ONCE, len(things) // (_AHEAD * workers)))
    done = 0

    def part(start: int) -> list[Made]:
        return [make(each) for each in things[start : start + size]]

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
            for future in begun:
                future.cancel()
    progress.finish()
