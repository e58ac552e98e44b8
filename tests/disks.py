"""Small disks of their own, for tests that fill them or mount them for reading only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory, mounted at ``folder``; skipped with the reason if not."""
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount(8)")
    size = f"size={megabytes}m,mode=755"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def read_only(folder: Path) -> None:
    """From now on the disk at ``folder`` can only be read."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


@contextmanager
def filled(folder: Path, leaving: int = 0) -> Iterator[None]:
    """The disk of ``folder`` is full but for ``leaving`` bytes."""
    ballast = folder / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        room = os.fstatvfs(descriptor)
        size = room.f_bavail * room.f_frsize - leaving
        os.posix_fallocate(descriptor, 0, max(1, size - size % room.f_frsize))
        yield
    finally:
        os.close(descriptor)
        ballast.unlink()
