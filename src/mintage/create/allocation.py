"""Memory that a training uses again and again, kept rather than given back at every step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3)
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20


def give_back() -> None:
    """Return what is free to the system, so that it does not count against what comes next."""
    libc = _libc("malloc_trim")
    if libc is not None:
        libc(0)


def keep_freed_memory() -> bool:
    """Let the allocator of glibc hold on to what is freed; False where it is another.

    By default each tensor above some megabytes is mapped anew and given back to the system at
    every step, and each of its pages has to be zeroed again when it is touched. On 2 EPYC cores
    (virtual machine) a step of seed-cnn took 8 to 10 ms so and 4.5 ms without, one of compact at
    80 px 169 ms and 153 ms. The price is that the process keeps its peak until ``give_back``.
    """
    change = _libc("mallopt")
    if change is None:
        return False
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES))
    done = [change(name, value) == 1 for name, value in asked]
    return all(done)


def _libc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none of that name, as musl has not."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found
