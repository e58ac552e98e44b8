"""Measure what docs/benchmarks.md says of metering, invoices and economics.

    make bench-bill                                every cell, n = 3
    python -m benchmarks.bill --quick              n = 1
    python -m benchmarks.bill --only metering      some cells
    python -m benchmarks.bill --list               which there are, and what is measured

Every repetition is written to benchmarks/results when it is done, so an interrupted run goes on
exactly where it was; remove a file to measure its cell anew. The page is written from the files
that are there. Ten million events take 9 GB of the temporary folder's disk, until it ends.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.billing.cells import CELLS
from benchmarks.billing.lab import SMOKE, Lab, Scale
from benchmarks.common import machine
from benchmarks.program import Pace, Program

LIBRARIES = ("mintage", "sqlalchemy", "cryptography", "onnxruntime")


def lab(scratch: Path, pace: Pace) -> Lab:
    """What all sides share, in an empty folder."""
    return Lab(scratch, SMOKE if pace == "smoke" else Scale())


def here() -> dict[str, Any]:
    """The machine, with the disk on which usage is made durable, and SQLite."""
    from mintage.core.machine import file_system

    found = machine(*LIBRARIES)
    found["versions"]["sqlite"] = sqlite3.sqlite_version
    return found | {"disk": file_system(Path(tempfile.gettempdir()))}


PROGRAM = Program(__doc__, CELLS, lab, here)

if __name__ == "__main__":
    PROGRAM.run()
