"""What this process may use of the machine it runs on."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path


def available_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Whole cores that the affinity mask and the cgroup's CPU quota leave us, at least 1.

    Libraries count the host's cores and then fight over the quota; this is the number to give
    them (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, period = _quota(cgroup)
    if quota > 0 and period > 0:
        cores = min(cores or 1, max(1, round(quota / period)))
    return max(1, cores or 1)


def _quota(cgroup: Path) -> tuple[int, int]:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = (
            _read(cgroup / "cpu/cpu.cfs_quota_us"),
            _read(cgroup / "cpu/cpu.cfs_period_us"),
        )
    return (int(quota), int(period)) if quota.isdigit() and period.isdigit() else (0, 0)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def memory_limit_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """The cgroup's limit, if it has one (v2 ``memory.max``, v1 ``memory.limit_in_bytes``)."""
    machine = machine_memory_bytes()
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        found = _read(cgroup / name)
        if found.isdigit() and (machine is None or int(found) < machine):  # v1 says 2**63 for none
            return int(found)
    return None


def memory_free_bytes(
    cgroup: Path = Path("/sys/fs/cgroup"), meminfo: Path = Path("/proc/meminfo")
) -> int | None:
    """What may still be taken: the machine's available memory, or what the cgroup leaves."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read(meminfo))
    free = [int(found[1]) * 1024] if found else []
    limit = memory_limit_bytes(cgroup)
    used = _read(cgroup / "memory.current") or _read(cgroup / "memory/memory.usage_in_bytes")
    if limit is not None and used.isdigit():
        # Pages of files count as used and are given back when they are wanted.
        cached = re.search(r"^inactive_file (\d+)", _read(cgroup / "memory.stat"), re.MULTILINE)
        free.append(limit - int(used) + (int(cached[1]) if cached else 0))
    return min(free) if free else None


def machine_memory_bytes() -> int | None:
    """The machine's memory, where the system says it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that a path lies on, such as ``ext4``; "" where nobody says.

    Of the mounts above the path the deepest counts, and of those at one place the last.
    """
    resolved = Path(os.path.realpath(path))  # says nothing of links that lead round in a circle
    best, kind = -1, ""
    for line in _read(mounts).splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescaped(fields[1]))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _unescaped(field: str) -> str:
    """A mount's path as it is: spaces and the like stand there in octal (fstab(5))."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def process_age_seconds() -> float:
    """Seconds since this process was started, its own start-up and imports included.

    From /proc/self/stat, field 22 (proc(5)); elsewhere the interpreter's CPU time, which is the
    least that has passed.
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return max(0.0, uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return time.process_time()


def describe() -> str:
    """The machine in a few words, for a report."""
    return f"{available_cores()} cores, {platform.machine()}, {platform.system()}"


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor itself computes in bfloat16; without it, it is slower than float32."""
    words = _read(cpuinfo).split()
    return any(flag in words for flag in ("avx512_bf16", "amx_bf16", "bf16", "svebf16"))
