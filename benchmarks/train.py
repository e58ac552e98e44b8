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

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import neighbours, page
from benchmarks.common import DATA, RESULTS, Failed, commit, machine, say
from benchmarks.contests import CELLS, SMOKE, Cell, Lab, Scale, Side, Turn
from benchmarks.kept import Kept

LIBRARIES = ("mintage", "torch", "numpy", "pillow", "onnxruntime")
RUNS = 3


def chosen(only: str) -> list[Cell]:
    """The cells asked for, in their own order."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = sorted(set(wanted) - {cell.name for cell in CELLS})
    if unknown:
        sys.exit(
            f"No cell is called {', '.join(unknown)}; "
            f"there are {', '.join(cell.name for cell in CELLS)}."
        )
    return [cell for cell in CELLS if not wanted or cell.name in wanted]


def todo(cell: Cell, kept: Kept, scale: Scale, runs: int) -> list[tuple[int, Side]]:
    """What is still to be measured of a cell: all sides with one seed, then with the next."""
    sides = cell.sides(scale)
    return [
        (seed, side)
        for seed in range(runs)
        for side in sides
        if kept.result(side.name, seed) is None
    ]


def measured(cell: Cell, kept: Kept, lab: Lab, runs: int) -> bool:
    """Measure a cell; a process that fails ends it, and leaves the other cells their chance."""
    try:
        measure(cell, kept, lab, runs)
    except Failed as failure:
        say(f"{cell.name}: {failure}")
        return False
    return True


def measure(cell: Cell, kept: Kept, lab: Lab, runs: int) -> None:
    """Every repetition that is missing, kept as soon as it is done."""
    if reason := cell.missing():
        say(f"{cell.name}: left out, since {reason}")
        return
    waiting = todo(cell, kept, lab.scale, runs)
    left = sum(side.seconds for __, side in waiting)
    if waiting:
        say(f"{cell.name}: {cell.what}; {len(waiting)} repetitions, about {_minutes(left)}")
    for seed, side in waiting:
        say(f"  {side.name}, seed {seed}: about {_minutes(side.seconds)}")
        names = [each.name for each in cell.sides(lab.scale)]
        earlier = {name: result for name in names if (result := kept.result(name, seed))}
        repetition = one(side, Turn(lab, seed, earlier))
        kept.add(repetition)
        took = repetition["seconds"]
        left -= side.seconds
        warning = f"; {repetition['warning']}" if repetition["warning"] else ""
        say(f"  {side.name}, seed {seed}: took {_minutes(took)}{warning}; {_minutes(left)} left")


def one(side: Side, turn: Turn) -> dict[str, Any]:
    """One repetition, with what others did on the machine before and meanwhile."""
    load = os.getloadavg()[0]
    idle = neighbours.waiting()
    before = neighbours.usage()
    began_at = datetime.now(UTC).isoformat(timespec="seconds")
    result = side.measure(turn)
    after = neighbours.usage()
    meanwhile = neighbours.others(before, after)
    return {
        "side": side.name,
        "seed": turn.seed,
        "began_at": began_at,
        "seconds": round(after.wall - before.wall, 2),
        "commit": commit(),
        "load": round(load, 2),
        "others_before": round(idle, 3),
        "others_meanwhile": round(meanwhile, 3),
        "warning": neighbours.warning(idle, meanwhile),
        "result": result,
    }


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _asked(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n = 1")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="some cells")
    parser.add_argument("--list", action="store_true", help="say which cells there are")
    # For whoever changes this program: every line of it in minutes; figures mean nothing.
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the page."""
    asked = _asked(words)
    cells = chosen(asked.only)
    scale, runs = (SMOKE, 1) if asked.smoke else (Scale(), 1 if asked.quick else RUNS)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        results = scratch / "results" if asked.smoke else RESULTS
        here = machine(*LIBRARIES)
        if asked.list:
            for cell in cells:
                path = results / f"{cell.name}.json"
                kept = Kept.read(path) if path.exists() else Kept(path, here)
                sides = cell.sides(scale)
                done = runs * len(sides) - len(todo(cell, kept, scale, runs))
                minutes = _minutes(runs * sum(side.seconds for side in sides))
                print(f"{cell.name:18}{done} of {runs * len(sides)}, {minutes:>8}  {cell.what}")
            return
        if not DATA.is_dir():
            sys.exit(f"The data is not at {DATA}; set MINTAGE_TEST_DATA.")
        lab = Lab(scratch, scale)
        files = {cell.name: Kept.begin(results / f"{cell.name}.json", here) for cell in cells}
        failed = [cell.name for cell in cells if not measured(cell, files[cell.name], lab, runs)]
        if not asked.smoke:
            page.write()
        print(page.text(results))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
