"""Ctrl-C: once asks for an orderly end, twice leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mintage.cli.output import say
from mintage.core.messages import _


class Interrupt:
    """Whether Ctrl-C was pressed; call it to ask."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Whether it was asked to stop."""
        return self._asked

    def handle(self, _signal: int, _frame: FrameType | None) -> None:
        """First time: remember. Second time: leave with status 130."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        say(
            _(
                "Stopping: what was trained so far is evaluated and signed. "
                "Ctrl-C again to leave now."
            )
        )


@contextmanager
def orderly_interrupt() -> Iterator[Interrupt]:
    """Install the handler for the duration of a training."""
    interrupt = Interrupt()
    before = signal.signal(signal.SIGINT, interrupt.handle)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def until_interrupted() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, for what runs until it is told to end."""
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
