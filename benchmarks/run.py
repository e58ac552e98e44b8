"""Measure what docs/benchmarks.md publishes.

    python benchmarks/run.py            every figure, n = 3 where seeds matter
    python benchmarks/run.py --quick    n = 1
    python benchmarks/run.py --only time-2m

Each cell is written to benchmarks/results when it is done, so an interrupted run goes on where it
was; remove a file to measure it again. The page is written from the files that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
DATA = Path(os.environ.get("MINTAGE_TEST_DATA", ROOT.parent / "shared" / "data"))

Cell = dict[str, Any]


def mintage(home: Path, *words: object) -> Any:
    """One verb, in a process of its own, with its JSON."""
    command = [sys.executable, "-m", "mintage", *map(str, words), "--home", str(home), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def trained(home: Path, dataset: str, held_out: Path, *options: object) -> Cell:
    """Train in a process of its own; wall time is that of the whole process."""
    began = time.monotonic()
    run = mintage(home, "train", dataset, *options)
    seconds = time.monotonic() - began
    measured = mintage(home, "evaluate", run["model"], "--data", held_out)
    return {
        "seconds": seconds,
        "load": os.getloadavg()[0],
        "candidate": run["candidate"],
        "validation": run["metrics"]["validation_accuracy"],
        "accuracy": measured["accuracy"],
    }


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


def spread(values: list[float], form: str) -> str:
    """Median and range."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def page(results: dict[str, Any]) -> str:
    """The Markdown page from what was measured."""
    lines = [
        "# Benchmarks\n",
        "Written by `make bench`; median and range. Load is the machine's at the end.\n",
    ]
    lines += [
        "| what | n | accuracy on held-out data | seconds, whole process | machine |",
        "|---|---|---|---|---|",
    ]
    for name, words in (
        ("seed-cnn", "`pets`, `--recipe seed-cnn --epochs 10`"),
        ("time-2m", "`pets`, `--time 2m`"),
    ):
        if name in results:
            cells = results[name]["cells"]
            accuracy = spread([cell["accuracy"] for cell in cells], ".1%")
            seconds = spread([cell["seconds"] for cell in cells], ".0f")
            lines.append(
                f"| {words} | {len(cells)} | {accuracy} | {seconds} | {results[name]['machine']} |"
            )
    if "drawings" in results:
        cells = results["drawings"]["cells"]
        lines += ["\n## Drawings\n", "Accuracy on 1,000 other drawings, `--time 45s` each.\n"]
        counts = sorted({cell["drawings"] for cell in cells})
        lines += [
            "| candidate | " + " | ".join(f"{c:,}" for c in counts) + " |",
            "|---|" + "---|" * len(counts),
        ]
        for name in ("seed-cnn", "compact"):
            found = [
                spread(
                    [
                        c["accuracy"]
                        for c in cells
                        if (c["drawings"], c["candidate"]) == (count, name)
                    ],
                    ".1%",
                )
                for count in counts
            ]
            lines.append(f"| {name} | " + " | ".join(found) + " |")
    if "reading" in results:
        cells = results["reading"]["cells"]
        lines += ["\n## Reading pictures, one core\n", "| what | n | a second |", "|---|---|---|"]
        for what in dict.fromkeys(cell["what"] for cell in cells):
            rates = [cell["rate"] for cell in cells if cell["what"] == what]
            lines.append(f"| {what} | {len(rates)} | {spread(rates, ',.0f')} |")
    return "\n".join(lines) + "\n"


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
    results = {
        name: json.loads((RESULTS / f"{name}.json").read_text())
        for name in CELLS
        if (RESULTS / f"{name}.json").exists()
    }
    PAGE.write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
