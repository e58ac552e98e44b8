"""The page's sections: a comparison in words, its tables, and where it was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.kept import Kept
from benchmarks.neighbours import BUSY_CORES


@dataclass(frozen=True)
class Section:
    """One part of the page; ``lines`` makes tables from what was kept."""

    title: str
    words: str
    lines: Callable[[Kept], list[str]]


@dataclass(frozen=True)
class Chapter:
    """The sections that one program writes, by the names of its cells."""

    introduction: str
    sections: Mapping[str, Section]

    def lines(self, folder: Path) -> list[str]:
        """The Markdown of every section that was measured; nothing where none was."""
        found: list[str] = []
        for name, section in self.sections.items():
            path = folder / f"{name}.json"
            kept = Kept.read(path) if path.exists() else None
            if kept and kept.repetitions:
                found += [f"\n## {section.title}\n", f"{section.words}\n"]
                found += section.lines(kept)
                found += ["", *_conditions(kept)]
        return [f"\n{self.introduction}", *found] if found else []


def _conditions(kept: Kept) -> list[str]:
    """Where it was measured, with what, and what disturbed it."""
    machine: dict[str, Any] = dict(kept.machine)
    versions: dict[str, str] = dict(machine["versions"])
    for each in kept.repetitions:
        versions |= each["result"].get("versions", {})
    commits = ", ".join(dict.fromkeys(each["commit"] for each in kept.repetitions))
    loads = [each["others_meanwhile"] for each in kept.repetitions]
    disk = f", files on {machine['disk']}" if "disk" in machine else ""
    lines = [
        f"{machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB, "
        f"{machine['system']}{disk}; " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "; "
        f"commit {commits}. Others used {statistics.median(loads):.2f} cores meanwhile "
        f"({min(loads):.2f} to {max(loads):.2f})."
    ]
    disturbed = [each for each in kept.repetitions if each["warning"]]
    if disturbed:
        lines.append(
            f"\n{len(disturbed)} of {len(kept.repetitions)} repetitions were disturbed: "
            f"others used more than {BUSY_CORES} cores before or meanwhile."
        )
    return lines
