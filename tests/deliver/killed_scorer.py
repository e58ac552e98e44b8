"""A process that scores a folder until it kills itself, as ``kill -9`` does.

Usage: killed_scorer.py WORKSPACE SOURCE OUT HOW NUMBER. HOW is ``step`` (when the progress moves
for the NUMBERth time), ``write`` (in the middle of the NUMBERth write of rows) or ``rename``
(before the table takes its name).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def is_of(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


class Counted(Silent):
    def __init__(self, number: int) -> None:
        self.left = number

    def advance(self, done: float, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            die()


def torn_writes(part: Path, number: int) -> None:
    """Half of the NUMBERth write to a part comes down to the disk."""
    write, left = os.write, [number]

    def torn(descriptor: int, data: Any) -> int:
        if is_of(descriptor, part):
            left[0] -= 1
            if left[0] == 0:
                write(descriptor, bytes(data)[: len(data) // 2])
                die()
        return write(descriptor, data)

    os.write = torn  # type: ignore[assignment]


def main(home: str, source: str, out: str, how: str, number: str) -> None:
    progress = Counted(int(number)) if how == "step" else Silent()
    if how == "write":
        torn_writes(Path(f"{out}.part"), int(number))
    if how == "rename":
        Path.replace = lambda *_: die()  # type: ignore[assignment, method-assign]
    with App(load_settings(home=Path(home), threads=1)) as app:
        app.deliver.score(source, "pets", Path(out), progress=progress)


if __name__ == "__main__":
    main(*sys.argv[1:])
