"""Measure what docs/benchmarks.md says of training, beside its peers.

    make bench-train                                   every cell, n = 3
    python -m benchmarks.train --quick                 n = 1
    python -m benchmarks.train --only loading,growth   some cells
    python -m benchmarks.train --list                  which there are, and what is measured

Every repetition is written to benchmarks/results when it is done, so an interrupted run goes on
exactly where it was; remove a file to measure its cell anew. The page is written from the files
that are there.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.common import machine
from benchmarks.contests import CELLS, SMOKE, Lab, Scale
from benchmarks.program import Pace, Program

LIBRARIES = ("mintage", "torch", "numpy", "pillow", "onnxruntime")


def lab(scratch: Path, pace: Pace) -> Lab:
    """What all sides share, in an empty folder."""
    return Lab(scratch, SMOKE if pace == "smoke" else Scale())


PROGRAM = Program(__doc__, CELLS, lab, partial(machine, *LIBRARIES))

if __name__ == "__main__":
    PROGRAM.run()
