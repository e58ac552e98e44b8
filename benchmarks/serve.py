"""Measure what docs/benchmarks.md says of serving, beside its peers.

    make bench-serve                                        every cell, n = 3
    python -m benchmarks.serve --quick                      n = 1, and the long ones shorter
    python -m benchmarks.serve --only throughput,overload   some cells
    python -m benchmarks.serve --list                       which there are, and what is measured

Every repetition is written to benchmarks/results when it is done, so an interrupted run goes on
exactly where it was; remove a file to measure its cell anew. The page is written from the files
that are there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.program import Pace, Program
from benchmarks.serving import wrk
from benchmarks.serving.cells import CELLS
from benchmarks.serving.lab import QUICK, SMOKE, Lab, Scale

LIBRARIES = ("mintage", "numpy", "pillow", "onnxruntime", "starlette", "uvicorn", "uvloop")
SCALES = {"full": Scale(), "quick": QUICK, "smoke": SMOKE}


def lab(scratch: Path, pace: Pace) -> Lab:
    """What all sides share, in an empty folder."""
    return Lab(scratch, SCALES[pace])


def here() -> dict[str, Any]:
    """The machine, with the disk on which usage is made durable, and the load generator."""
    from mintage.core.machine import file_system

    found = machine(*LIBRARIES)
    found["versions"]["wrk"] = "" if wrk.missing() else wrk.version()
    return found | {"disk": file_system(Path(tempfile.gettempdir()))}


PROGRAM = Program(__doc__, CELLS, lab, here)

if __name__ == "__main__":
    PROGRAM.run()
