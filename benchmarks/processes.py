"""What a process and its children take, from /proc (proc(5)): memory, processor time, files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_PROC = Path("/proc")


def pinned(cores: Sequence[int]) -> list[str]:
    """The words before a command that keep it, and its children, on these cores."""
    return ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []


def family(root: int) -> list[int]:
    """The process and all that descend from it and live."""
    parents = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    found, grown = {root}, True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(children)
        found |= children
    return sorted(found & parents.keys())


def memory_bytes(pid: int) -> dict[str, int]:
    """Resident memory now and at its highest, and what of it no file stands behind.

    Empty where the process has ended. Resident memory counts the pages of memory-mapped files,
    which the system takes back when it wants them; anonymous memory is what a process needs.
    """
    try:
        text = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return {}
    found = dict(line.split(":", 1) for line in text.splitlines())
    fields = {"resident": "VmRSS", "highest": "VmHWM", "anonymous": "RssAnon"}
    return {
        name: 1024 * int(found[field].split()[0])
        for name, field in fields.items()
        if field in found  # a process that has ended has none
    }


def processor_seconds(pid: int) -> float:
    """What the process has used of the processor, in its own code and the system's."""
    fields = _stat(pid)
    ticks = int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Files and sockets that the process holds open."""
    try:
        return len(list((_PROC / str(pid) / "fd").iterdir()))
    except OSError:
        return 0


def began(pid: int) -> int:
    """When the process began, in ticks since the system did: with its number, what it is."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[str]:
    """From /proc/PID/stat what follows the name: the state, the parent, …; empty if it is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
