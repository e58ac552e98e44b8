"""Measure what docs/benchmarks.md says of trust: the audit log, and what is signed.

    make bench-trust                               every cell, n = 3
    python -m benchmarks.trust --quick             n = 1
    python -m benchmarks.trust --only log-proofs   some cells
    python -m benchmarks.trust --list              which there are, and what is measured

Every repetition is written to benchmarks/results when it is done, so an interrupted run goes on
exactly where it was; remove a file to measure its cell anew. The page is written from the files
that are there. A million entries take 500 MB of the temporary folder's disk, until it ends.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.program import Pace, Program
from benchmarks.trusting.cells import CELLS
from benchmarks.trusting.lab import SMOKE, Lab, Scale

LIBRARIES = ("mintage", "sqlalchemy", "cryptography")


def lab(scratch: Path, pace: Pace) -> Lab:
    """What all sides share, in an empty folder."""
    return Lab(scratch, SMOKE if pace == "smoke" else Scale())


def here() -> dict[str, Any]:
    """The machine, with the disk on which leaves are made durable, and SQLite."""
    from mintage.core.machine import file_system

    found = machine(*LIBRARIES)
    found["versions"]["sqlite"] = sqlite3.sqlite_version
    return found | {"disk": file_system(Path(tempfile.gettempdir()))}


PROGRAM = Program(__doc__, CELLS, lab, here, needs_data=False)

if __name__ == "__main__":
    PROGRAM.run()
