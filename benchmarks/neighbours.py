"""Whether the machine was ours alone while something was measured."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

BUSY_CORES = 0.25
"""From here on others count as busy: an eighth of two cores."""


@dataclass(frozen=True)
class Usage:
    """Processor seconds since the system began (everybody's), and our own, at a moment."""

    wall: float
    everybody: float
    ours: float


def usage(stat: Path = Path("/proc/stat")) -> Usage:
    """From the first line of /proc/stat (proc(5)): all but idle and waiting for disks."""
    fields = [int(each) for each in stat.read_text().splitlines()[0].split()[1:9]]
    ticks = sum(fields) - fields[3] - fields[4]
    own = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        own += used.ru_utime + used.ru_stime
    return Usage(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own)


def others(before: Usage, after: Usage) -> float:
    """Cores that others used between two moments; stolen time counts as theirs."""
    seconds = max(after.wall - before.wall, 1e-9)
    return max(0.0, (after.everybody - before.everybody - (after.ours - before.ours)) / seconds)


def waiting(seconds: float = 1.0) -> float:
    """Cores that others use while we do nothing."""
    before = usage()
    time.sleep(seconds)
    return others(before, usage())


def warning(before: float, meanwhile: float) -> str:
    """What to say, and to record, of cores used by others; "" where they are next to none."""
    if max(before, meanwhile) <= BUSY_CORES:
        return ""
    return f"disturbed: others used {before:.2f} cores before, {meanwhile:.2f} meanwhile"
