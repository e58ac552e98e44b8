"""What every script that is measured shares with the one that measures it: a clock and an answer.

Standard library alone, since peers run in environments without Mintage. A script is started as
``python -m benchmarks.peers.NAME`` from the repository's root and prints one JSON object as its
last line.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


class Stopwatch:
    """Seconds since ``started``, by ``time.monotonic()``, which all processes here share."""

    def __init__(self, started: float) -> None:
        self.started = self._last = started
        self.laps: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the process was started by whoever measures it."""
        return time.monotonic() - self.started

    def lap(self, name: str) -> None:
        """Give the time since the last lap to ``name``."""
        now = time.monotonic()
        self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now


def arguments(description: str | None, *required: str, **defaults: Any) -> argparse.Namespace:
    """The options every script has, those ``required`` of this one, and its own with defaults.

    ``cores`` above 0 pins the process to so many, before anything counts them.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--started", type=float, default=time.monotonic())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cores", type=int, default=0)
    for name in required:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    for name, value in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    asked = parser.parse_args()
    if asked.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-asked.cores :])
    return asked


def class_files(folder: Path, most: int = 0) -> list[tuple[Path, int]]:
    """Every file of a folder of class folders with its class's number; ``most`` evenly chosen."""
    names = sorted(each.name for each in folder.iterdir() if each.is_dir())
    found = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted((folder / name).iterdir())
    ]
    return found[:: max(1, len(found) // most)][:most] if most else found


def answer(watch: Stopwatch, libraries: tuple[str, ...], **result: Any) -> None:
    """Print what was measured: phases, when it was done, versions, and the result itself."""
    versions = {}
    for name in libraries:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    phases = {name: round(seconds, 4) for name, seconds in watch.laps.items()}
    document = {"phases": phases, "done": round(watch.elapsed, 4), "versions": versions}
    print(json.dumps({**document, **result}))
