"""What this process may use of the machine it runs on."""

from __future__ import annotations

import ipaddress
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path

_CGROUP, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cores(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP) -> int:
    """Whole cores that the affinity mask and the cgroup's CPU quota leave us, at least 1.

    Libraries count the host's cores and then fight over the quota; this is the number to give
    them (cgroup v2 ``cpu.max``, v1 ``cpu.cfs_quota_us``, of this group and of those above it).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [_quota(group) for group in _groups("cpu", cgroup, membership)]
    allowed = [max(1, round(each)) for each in quotas if each is not None]
    return min([cores or 1, *allowed])


def _groups(controller: str, cgroup: Path, membership: Path) -> list[Path]:
    """The folders of this process's own control group and of all above it, of v2 and of v1.

    A service of systemd is in a group of its own; in a container its own is mounted as the root.
    """
    found = [cgroup, cgroup / controller]
    for line in _read(membership).splitlines():
        __, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        folder = cgroup / controller if controllers else cgroup
        for part in Path(path).parts[1:]:
            folder /= part
            found.append(folder)
    return found


def _quota(group: Path) -> float | None:
    """Cores that a group may use; None where it sets no limit."""
    words = _read(group / "cpu.max").split() or [
        _read(group / "cpu.cfs_quota_us"),
        _read(group / "cpu.cfs_period_us"),
    ]
    quota, period = (int(word) if word.isdigit() else 0 for word in words)
    return quota / period if quota and period else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def memory_limit_bytes(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP) -> int | None:
    """The cgroup's limit, if it has one (v2 ``memory.max``, v1 ``memory.limit_in_bytes``)."""
    return min((limit for limit, __ in _memory_limits(cgroup, membership)), default=None)


def _memory_limits(cgroup: Path, membership: Path) -> Iterator[tuple[int, Path]]:
    """Each limit on memory that this process is under, and the group that sets it."""
    machine = machine_memory_bytes()
    for group in _groups("memory", cgroup, membership):
        found = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
        if found.isdigit() and (machine is None or int(found) < machine):  # v1 says 2**63 for none
            yield int(found), group


def memory_free_bytes(
    cgroup: Path = _CGROUP,
    membership: Path = _MEMBERSHIP,
    meminfo: Path = Path("/proc/meminfo"),
) -> int | None:
    """What may still be taken: the machine's available memory, or what the cgroup leaves."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read(meminfo))
    free = [int(found[1]) * 1024] if found else []
    for limit, group in _memory_limits(cgroup, membership):
        used = _read(group / "memory.current") or _read(group / "memory.usage_in_bytes")
        if used.isdigit():
            # Pages of files count as used and are given back when they are wanted.
            cached = re.search(r"^inactive_file (\d+)", _read(group / "memory.stat"), re.MULTILINE)
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


def is_loopback(host: str) -> bool:
    """Whether a host's name or address can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
