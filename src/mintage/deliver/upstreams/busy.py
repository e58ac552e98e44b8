"""How long servers work, shared out among the calls that they work on.

While n calls are with a server each has an nth of its time, so that a call has had the integral of
dt / n over its own time there. That is how far a clock of the server's own has gone meanwhile,
which runs at 1/n and stands still where n is 0 (the virtual time of processor sharing; Parekh and
Gallager, 1993): two readings a call, however many there are. All shares together are the time in
which the server had anything to do.

The processes of one ``mintage serve`` share that clock in a mapped file for each server, under its
``flock``, which ends with its holder; the calls of a process that died are dropped. Another
machine's calls are not seen: two that ask one server have more than all of its time between them.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_HEAD = struct.Struct("=dd")  # what the server's clock says, and when it said so
_SLOT = struct.Struct("=II")  # a process, and how many of its calls are with the server
_SLOTS = 1024
_SIZE = _HEAD.size + _SLOTS * _SLOT.size
_PATIENCE_SECONDS = 0.02
_NAP_SECONDS = 0.0002


class Busy:
    """One server's clock."""

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        """Without a ``path`` it is this process's alone; ``now`` is monotonic, in seconds.

        Raises:
            OSError: the file cannot be made.
        """
        self._now = now
        self._calls = 0
        self._mine = threading.Lock()
        self._descriptor = -1
        if path is None:
            self._mapped = mmap.mmap(-1, _SIZE)
            return
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Zeros where there was nothing, whoever else does the same; and room on the disk, since
            # to write where there is none ends the process.
            os.posix_fallocate(self._descriptor, 0, _SIZE)
            self._mapped = mmap.mmap(self._descriptor, _SIZE)
        except OSError:
            os.close(self._descriptor)
            raise

    def come(self) -> float:
        """One more call is with the server; what the clock says."""
        return self._turn(1)

    def leave(self) -> float:
        """One has its answer, or will have none; what the clock says."""
        return self._turn(-1)

    def close(self) -> None:
        """Let go of the file."""
        self._mapped.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _turn(self, change: int) -> float:
        with self._alone() as alone:
            said: float
            said, at = _HEAD.unpack_from(self._mapped)
            own, others = self._slots()
            now = self._now()
            if calls := self._calls + others:
                said += max(0.0, now - at) / calls
            self._calls += change
            if alone:  # else what is read is as good as it gets, and the next turn sets it right
                _HEAD.pack_into(self._mapped, 0, said, now)
                _SLOT.pack_into(self._mapped, own, os.getpid(), self._calls)
        return said

    def _slots(self) -> tuple[int, int]:
        """Where this process counts, and how many calls of living others are with the server."""
        mine, own, free, others = os.getpid(), -1, -1, 0
        for position in range(_HEAD.size, _SIZE, _SLOT.size):
            process, calls = _SLOT.unpack_from(self._mapped, position)
            if process == mine:
                own = position
            elif calls and _is_alive(process):
                others += calls
            elif free < 0 and not (process and _is_alive(process)):
                free = position  # never used, or of one that died
            if not process:
                break  # nor was any behind it
        return (own if own >= 0 else free if free >= 0 else _SIZE - _SLOT.size), others

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether nobody else turns meanwhile: no call is refused because it cannot be measured."""
        with self._mine:
            if self._descriptor < 0:
                yield True
                return
            locked = self._lock()
            try:
                yield locked
            finally:
                if locked:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    return False
                time.sleep(_NAP_SECONDS)
            else:
                return True


class Servers:
    """The clocks of all servers that are asked."""

    def __init__(self, folder: Path | None, now: Callable[[], float]) -> None:
        """``folder`` is one that the processes of a server share, and that ends with it."""
        self._folder, self._now = folder, now
        self._known: dict[str, Busy] = {}

    def at(self, url: str) -> Busy:
        """That of one server, whatever products it answers for."""
        found = self._known.get(url)
        if found is None:
            name = f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.busy"
            path = None if self._folder is None else self._folder / name
            found = self._known[url] = Busy(path, self._now)
        return found

    def close(self) -> None:
        """Let go of all."""
        for each in self._known.values():
            each.close()
        self._known.clear()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
