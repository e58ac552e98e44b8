"""Verifying a dataset beside a plain SHA-256 of the same files, in one process on as many threads.

    python -m benchmarks.trust_dataset                       1 GB, n = 3
    python -m benchmarks.trust_dataset --gigabytes 0.05      less

Photographs of 30 kB and scans of 1 MB: of the small ones opening the file counts, of the large
ones hashing.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks.cells import Cell, Side, Turn
from benchmarks.common import Result, script

NAME = "verify-dataset"
BYTES = 10**9
EACH = {"files of 30 kB": 30_000, "files of 1 MB": 1_000_000}
_SECONDS = 60.0


class Lab(Protocol):
    """What the cell asks of a lab: a folder on the disk that is measured."""

    scratch: Path


def measured(scratch: Path, each: int, size_bytes: int, seed: int) -> Result:
    """One repetition: a dataset is made, then hashed and verified in turn."""
    with tempfile.TemporaryDirectory(dir=scratch) as home:
        return script(
            "ours.dataset_check", home=home, each=each, size_bytes=size_bytes, seed=seed, passes=3
        )


def cell(size_bytes: int = BYTES) -> Cell[Lab]:
    """Both kinds of dataset, each so large."""

    def sides(__: Lab) -> list[Side[Lab]]:
        return [Side(name, partial(_turn, each=each), _SECONDS) for name, each in EACH.items()]

    def _turn(turn: Turn[Lab], each: int) -> Result:
        return measured(turn.lab.scratch, each, size_bytes, turn.seed)

    return Cell(NAME, "a dataset verified, beside a plain SHA-256 of the same files", sides)


def main() -> None:
    """Every kind, so many times; each result is a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=BYTES / 1e9)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(asked.runs):
            for name, each in EACH.items():
                found = measured(Path(scratch), each, int(asked.gigabytes * 1e9), seed)
                print(json.dumps({"side": name, "seed": seed, **found}), flush=True)


if __name__ == "__main__":
    main()
