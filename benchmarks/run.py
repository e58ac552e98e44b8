"""Measure what docs/benchmarks.md publishes.

    make bench                              every figure, n = 3 where seeds matter
    python -m benchmarks.run --quick        n = 1
    python -m benchmarks.run --only time-2m

Each cell is written to benchmarks/results when it is done, so an interrupted run goes on where it
was; remove a file to measure it again. The page is written from the files that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks import page
from benchmarks.common import DATA, RESULTS, Result, mintage, trained

Cell = Result


def pets(runs: int, *options: object) -> list[Cell]:
    """Train on ``pets``, measure on ``pets-valid``, for so many seeds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        mintage(home, "collect", DATA / "pets", "--name", "pets")
        return [
            trained(home, "pets", DATA / "pets-valid", *options, "--seed", seed)
            for seed in range(runs)
        ]


def drawings(runs: int) -> list[Cell]:
    """Both candidates on growing numbers of drawings, measured on 1,000 others."""
    from mintage.datasets import drawn_pets

    cells = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn_pets.write_folder(folder / "other", 1000, seed=777)
        for count in (200, 600, 1200, 1900):
            drawn_pets.write_folder(folder / str(count), count, seed=0)
            mintage(folder / "home", "collect", folder / str(count), "--name", f"drawn-{count}")
            for recipe in ("seed-cnn", "compact"):
                for seed in range(runs):
                    options = ("--recipe", recipe, "--time", "45s", "--seed", seed)
                    cell = trained(folder / "home", f"drawn-{count}", folder / "other", *options)
                    cells.append(cell | {"drawings": count})
    return cells


def reading(runs: int) -> list[Cell]:
    """Pictures a second on one core, and near duplicates among 100,000."""
    import numpy as np

    from mintage.modalities.image.modality import ImageModality
    from mintage.modalities.image.reading import decode_square

    files = [path.read_bytes() for path in sorted((DATA / "pets").rglob("*.jpg"))[:1000]]
    hashes = np.random.default_rng(0).integers(0, 256, (100_000, 32), dtype=np.uint8)
    prints = [row.tobytes() for row in hashes]
    image = ImageModality()
    tasks: list[tuple[str, int, Callable[[], object]]] = [
        ("check, strip and fingerprint", 1000, lambda: [image.ingest(data) for data in files]),
        ("decode at 28 px", 1000, lambda: [decode_square(data, 28) for data in files]),
        ("decode at 112 px", 1000, lambda: [decode_square(data, 112) for data in files]),
        ("near duplicates", 100_000, lambda: image.near_duplicates(prints)),
    ]
    cells = []
    for _ in range(runs):
        for name, items, task in tasks:
            began = time.perf_counter()
            task()
            cells.append({"what": name, "rate": items / (time.perf_counter() - began)})
    return cells


CELLS: dict[str, Callable[[int], list[Cell]]] = {
    "seed-cnn": lambda runs: pets(runs, "--recipe", "seed-cnn", "--epochs", 10),
    "time-2m": lambda runs: pets(runs, "--time", "2m"),
    "drawings": drawings,
    "reading": reading,
}


def main() -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n = 1")
    parser.add_argument("--only", choices=CELLS, help="one group of cells")
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"The data is not at {DATA}; set MINTAGE_TEST_DATA.")
    RESULTS.mkdir(exist_ok=True)
    for name in [asked.only] if asked.only else CELLS:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            print(f"measuring {name}", file=sys.stderr, flush=True)
            cells = CELLS[name](1 if asked.quick else 3)
            cores = len(os.sched_getaffinity(0))
            machine = f"{cores} cores, {platform.machine()}, torch {version('torch')}"
            path.write_text(json.dumps({"machine": machine, "cells": cells}, indent=1) + "\n")
    page.write()
    print(page.text(RESULTS))


if __name__ == "__main__":
    main()
