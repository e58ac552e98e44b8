"""Leaky buckets that every process of a workspace pours into: what rate limits are counted with.

A bucket is the moment at which it will be empty (GCRA, ITU-T I.371). Beside SQLite that is eight
bytes in a mapped file, found by the hash of its name; PostgreSQL has a table of them. Whoever pours
holds the file's ``flock``, which ends with its holder, so that what all processes let through
together is exact, and costs no write to the database.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mintage.core.errors import DependencyDown, Overloaded
from mintage.core.messages import _

_SLOT = struct.Struct("=16sd")
_SLOTS = 65_536
_NEIGHBOURS = 32  # slots in which a name may lie, from the one of its hash on
_PATIENCE_SECONDS = 0.05
_NAP_SECONDS = 0.0005


@dataclass(frozen=True)
class Poured:
    """Whether it fitted, and how many seconds' worth the bucket now holds."""

    fitted: bool
    level_seconds: float


class Buckets(Protocol):
    """Buckets by name, each draining by one second in a second."""

    def pour(self, name: str, seconds: float, *, room_seconds: float, now: float) -> Poured:
        """Pour so many seconds' worth into a bucket, if it has room for all of it.

        Args:
            name: which bucket.
            seconds: how much, in the time that it takes to drain; below 0 it is taken out again.
            room_seconds: how much the bucket holds.
            now: seconds since 1970. A clock that went back leaves the bucket full at most.

        Raises:
            DependencyDown: it cannot be counted now.
            Overloaded: more buckets are in use than there is place for.
        """


class FileBuckets:
    """A file of buckets."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            OSError: it cannot be made.
        """
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _SLOT.size * _SLOTS
        try:
            # Zeros where there was nothing, whoever else does the same; and room on the disk, since
            # to write where there is none ends the process.
            os.posix_fallocate(self._descriptor, 0, size)
        except OSError:
            os.close(self._descriptor)
            raise
        self._mapped = mmap.mmap(self._descriptor, size)
        self._mine = threading.Lock()

    def pour(self, name: str, seconds: float, *, room_seconds: float, now: float) -> Poured:
        """See ``Buckets``.

        Raises:
            DependencyDown: another process has held the file for too long.
            Overloaded: more buckets are in use than there is place for.
        """
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        with self._alone():
            position, empty_at = self._find(digest, now)
            level = min(max(empty_at - now, 0.0), room_seconds)
            fitted = level + seconds <= room_seconds + 1e-6
            if fitted:
                level = max(0.0, level + seconds)
            # Also where it did not fit: it may have held more, by another room or clock.
            _SLOT.pack_into(self._mapped, position, digest, now + level)
        return Poured(fitted, level)

    def close(self) -> None:
        """Let go of the file."""
        self._mapped.close()
        os.close(self._descriptor)

    def _find(self, digest: bytes, now: float) -> tuple[int, float]:
        """Where the bucket is, or may be put, and when it will be empty."""
        first, free = int.from_bytes(digest[:8]), None
        for number in range(first, first + _NEIGHBOURS):
            position = _SLOT.size * (number % _SLOTS)
            whose, empty_at = _SLOT.unpack_from(self._mapped, position)
            if whose == digest:
                return position, empty_at
            if free is None and empty_at <= now:  # never used, or drained: as good as none
                free = position
        if free is None:
            raise Overloaded(
                _("More limits are being counted than there is place for."),
                remedy=_("Send it again in a moment."),
                retry_after_seconds=1,
            )
        return free, 0.0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._mine:
            end = time.monotonic() + _PATIENCE_SECONDS
            while True:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise DependencyDown(
                            _("The count of calls is held by another process."),
                            remedy=_("Send it again in a moment."),
                            retry_after_seconds=1,
                        ) from None
                    time.sleep(_NAP_SECONDS)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
