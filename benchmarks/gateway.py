"""Measure what docs/benchmarks.md says of selling a language model, beside LiteLLM's proxy.

    make bench-gateway                                     every cell, n = 3
    python -m benchmarks.gateway --quick                   n = 1, and the long ones shorter
    python -m benchmarks.gateway --only gateway-latency    some cells
    python -m benchmarks.gateway --list                    which there are, and what is measured

Every repetition is written to benchmarks/results when it is done, so an interrupted run goes on
exactly where it was; remove a file to measure its cell anew. The page is written from the files
that are there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.language.cells import CELLS
from benchmarks.language.lab import QUICK, SMOKE, Lab, Scale
from benchmarks.program import Pace, Program

LIBRARIES = ("mintage", "starlette", "uvicorn", "uvloop", "aiohttp")
SCALES = {"full": Scale(), "quick": QUICK, "smoke": SMOKE}


def lab(scratch: Path, pace: Pace) -> Lab:
    """What all sides share, in an empty folder."""
    return Lab(scratch, SCALES[pace])


def here() -> dict[str, Any]:
    """The machine, with the disk on which usage is made durable."""
    from mintage.core.machine import file_system

    return machine(*LIBRARIES) | {"disk": file_system(Path(tempfile.gettempdir()))}


PROGRAM = Program(__doc__, CELLS, lab, here, needs_data=False)

if __name__ == "__main__":
    PROGRAM.run()
