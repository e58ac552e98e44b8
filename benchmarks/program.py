"""A program that measures cells, one repetition after another, and writes the page from the files.

Every repetition is kept when it is done, so an interrupted run goes on exactly where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Literal

from benchmarks import neighbours, page
from benchmarks.cells import Cell, L, Side, Turn
from benchmarks.common import DATA, RESULTS, Failed, commit, say
from benchmarks.kept import Kept

RUNS = 3
Pace = Literal["full", "quick", "smoke"]


@dataclass(frozen=True)
class Program(Generic[L]):
    """What ``main`` of a program is made of.

    ``lab`` makes what all sides share out of an empty folder; ``machine`` is what the figures
    depend on, and a run goes on only where it is the same. ``needs_data`` says that it is of
    photographs.
    """

    words: str | None
    cells: Sequence[Cell[L]]
    lab: Callable[[Path, Pace], L]
    machine: Callable[[], Mapping[str, Any]]
    needs_data: bool = True

    def run(self, words: Sequence[str] | None = None) -> None:
        """Measure what is missing, then write the page."""
        asked = _asked(self.words, words)
        cells = chosen(self.cells, asked.only)
        pace: Pace = "smoke" if asked.smoke else "quick" if asked.quick else "full"
        runs = RUNS if pace == "full" else 1
        here = self.machine()
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            lab = self.lab(scratch, pace)
            results = asked.results or (scratch / "results" if asked.smoke else RESULTS)
            if asked.list:
                for cell in cells:
                    print(listed(cell, results, here, lab, runs))
                return
            if self.needs_data and not DATA.is_dir():
                sys.exit(f"The data is not at {DATA}; set MINTAGE_TEST_DATA.")
            files = {cell.name: Kept.begin(results / f"{cell.name}.json", here) for cell in cells}
            failed = [
                cell.name for cell in cells if not measured(cell, files[cell.name], lab, runs)
            ]
            if results == RESULTS:
                page.write()
            print(page.text(results))
        if failed:
            sys.exit(f"Failed: {', '.join(failed)}.")


def chosen(cells: Sequence[Cell[L]], only: str) -> list[Cell[L]]:
    """The cells asked for, in their own order."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = sorted(set(wanted) - {cell.name for cell in cells})
    if unknown:
        sys.exit(
            f"No cell is called {', '.join(unknown)}; "
            f"there are {', '.join(cell.name for cell in cells)}."
        )
    return [cell for cell in cells if not wanted or cell.name in wanted]


def listed(cell: Cell[L], results: Path, here: Mapping[str, Any], lab: L, runs: int) -> str:
    """A cell's line: its name, what of it is done, how long all of it takes, and what it is."""
    path = results / f"{cell.name}.json"
    kept = Kept.read(path) if path.exists() else Kept(path, here)
    sides = cell.sides(lab)
    every = cell.runs(runs) * len(sides)
    done = every - len(todo(cell, kept, lab, runs))
    minutes = _minutes(cell.runs(runs) * sum(side.seconds for side in sides))
    return f"{cell.name:20}{done} of {every}, {minutes:>8}  {cell.what}"


def todo(cell: Cell[L], kept: Kept, lab: L, runs: int) -> list[tuple[int, Side[L]]]:
    """What is still to be measured of a cell: all sides with one seed, then with the next."""
    sides = cell.sides(lab)
    return [
        (seed, side)
        for seed in range(cell.runs(runs))
        for side in sides
        if kept.result(side.name, seed) is None
    ]


def measured(cell: Cell[L], kept: Kept, lab: L, runs: int) -> bool:
    """Measure a cell; a process that fails ends it, and leaves the other cells their chance."""
    try:
        measure(cell, kept, lab, runs)
    except Failed as failure:
        say(f"{cell.name}: {failure}")
        return False
    return True


def measure(cell: Cell[L], kept: Kept, lab: L, runs: int) -> None:
    """Every repetition that is missing, kept as soon as it is done."""
    if reason := cell.missing():
        say(f"{cell.name}: left out, since {reason}")
        return
    waiting = todo(cell, kept, lab, runs)
    left = sum(side.seconds for __, side in waiting)
    if waiting:
        say(f"{cell.name}: {cell.what}; {len(waiting)} repetitions, about {_minutes(left)}")
    for seed, side in waiting:
        say(f"  {side.name}, seed {seed}: about {_minutes(side.seconds)}")
        names = [each.name for each in cell.sides(lab)]
        earlier = {name: result for name in names if (result := kept.result(name, seed))}
        repetition = one(side, Turn(lab, seed, earlier))
        kept.add(repetition)
        took = repetition["seconds"]
        left -= side.seconds
        warning = f"; {repetition['warning']}" if repetition["warning"] else ""
        say(f"  {side.name}, seed {seed}: took {_minutes(took)}{warning}; {_minutes(left)} left")


def one(side: Side[L], turn: Turn[L]) -> dict[str, Any]:
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


def _asked(description: str | None, words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="n = 1, and the long ones shorter")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="some cells")
    parser.add_argument("--list", action="store_true", help="say which cells there are")
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="keep them there, and leave the page"
    )
    # For whoever changes this program: every line of it in minutes; figures mean nothing.
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)
