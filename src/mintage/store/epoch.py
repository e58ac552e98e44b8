"""Whether what was read a moment ago still holds, told to every process without asking SQLite.

A sequence lock in a mapped file of eight bytes: odd while a change is under way, another even
number afterwards. Who finds the same even number as when they read may keep what they read. A
writer that was killed leaves it odd, and then nobody keeps anything until the next one has written.
SQLite's own ``PRAGMA data_version`` changes with every call that is metered; this does not.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBER = struct.Struct("=Q")


class Epoch:
    """The number of a database; whoever writes holds the database's lock."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            OSError: it cannot be made.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _NUMBER.size:
                os.ftruncate(descriptor, _NUMBER.size)  # zeros, whoever else does the same
            self._mapped = mmap.mmap(descriptor, _NUMBER.size)
        finally:
            os.close(descriptor)

    def now(self) -> int | None:
        """The number while nothing is being changed, else None."""
        number = self._number()
        return None if number & 1 else number

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a change, from before its first statement to after its commit."""
        number = self._number() | 1
        _NUMBER.pack_into(self._mapped, 0, number)
        try:
            yield
        finally:
            _NUMBER.pack_into(self._mapped, 0, number + 1)

    def close(self) -> None:
        """Let go of the file."""
        self._mapped.close()

    def _number(self) -> int:
        found: int = _NUMBER.unpack_from(self._mapped)[0]
        return found
