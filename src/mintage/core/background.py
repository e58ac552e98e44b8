"""Work that goes on beside other work until that ends."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mintage.core.errors import MintageError

_MOST_PAUSE_SECONDS = 60.0
_log = logging.getLogger(__name__)


@contextmanager
def beside(
    work: Callable[[threading.Event], None], name: str, *, patience_seconds: float
) -> Iterator[None]:
    """Do it in a thread of this name until the block ends.

    ``work`` looks at the event that it is given, and returns once that is set; who waits for it
    waits so long at most.
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(patience_seconds)


class Rounds:
    """Something done again and again, which no failure ends; metrics tell how often it failed."""

    def __init__(self, name: str, step: Callable[[], object], failure: str) -> None:
        """``failure`` is what the log says of one: ``Notices cannot be sent``."""
        self.name = name
        self.failures = 0
        """How often it failed since this process began."""
        self.is_failing = False
        """Whether it did the last time."""
        self._step, self._failure = step, failure
        _standings[name] = self

    def once(self) -> bool:
        """Do it; whether it went well."""
        try:
            self._step()
        except MintageError as error:
            _log.error("%s: %s %s", self._failure, error.message, error.remedy)
        except Exception:  # noqa: BLE001 - a fault of ours is told, and ends nothing others rely on
            _log.exception("%s: this should not happen.", self._failure)
        else:
            self.is_failing = False
            return True
        self.failures += 1
        self.is_failing = True
        return False

    def until(self, stop: threading.Event, every_seconds: float) -> None:
        """Do it so often until ``stop``, and less often while it fails."""
        pause = every_seconds
        while not stop.wait(pause):
            pause = every_seconds if self.once() else min(2 * pause, _MOST_PAUSE_SECONDS)


_standings: dict[str, Rounds] = {}


def standings() -> Sequence[Rounds]:
    """What this process does in rounds: the newest of each name."""
    return tuple(_standings.values())
