"""Memory that a training uses again and again, kept rather than given back at every step."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of mallopt(3)
_NEVER = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Let the allocator of glibc hold on to what is freed; False where it is another.

    By default each tensor above some megabytes is mapped anew and given back to the system at
    every step, and each of its pages has to be zeroed again when it is touched. On 2 EPYC cores
    (virtual machine) a step of seed-cnn took 8 to 10 ms so and 4.5 ms without, one of compact at
    80 px 169 ms and 153 ms. The price is that the process keeps its peak until it ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _TOP_PAD_BYTES))
    done = [change(name, value) == 1 for name, value in asked]
    return all(done)
