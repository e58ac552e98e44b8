"""The program that measures trust: it fills a log, appends, proves, and says what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks import trust
from benchmarks.cells import Turn
from benchmarks.trusting import lab, page
from benchmarks.trusting.cells import CELLS

from tests.kept_results import page_of


def test_every_cell_is_listed_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    trust.PROGRAM.run(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [cell.name for cell in CELLS]


def test_every_cell_has_a_section_on_the_page() -> None:
    assert {cell.name for cell in CELLS} == set(page.CHAPTER.sections)


@pytest.mark.slow
def test_a_small_log_is_filled_signed_appended_to_and_proved(tmp_path: Path) -> None:
    small = lab.Lab(tmp_path, lab.SMOKE)
    results = {
        cell.name: side.measure(Turn(small, 0, {}))
        for cell in CELLS
        for side in cell.sides(small)
        if cell.name.startswith("log-")
    }
    appended, proved = results["log-append"], results["log-proofs"]
    assert appended["many"]["entries"] == lab.SMOKE.many
    assert appended["few"]["entries"] == lab.SMOKE.few
    assert len(appended["few"]["seconds"]) == lab.SMOKE.batches
    assert proved["entries"] == lab.SMOKE.many + lab.SMOKE.batch * (lab.SMOKE.batches + 1)
    assert len(proved["inclusion"]) == len(proved["consistency"]) == lab.SMOKE.proofs
    assert proved["filling"]["signing"] > 0


def _log(entries: int, seconds: float) -> dict[str, Any]:
    return {"entries": entries, "seconds": [seconds, seconds], "rate": 500 / seconds}


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "log-append": {"mintage": [{"many": _log(1_000_000, 0.0125), "few": _log(10_000, 0.008)}]},
    "log-proofs": {
        "mintage": [
            {
                "inclusion": [0.002, 0.004, 0.012],
                "consistency": [0.003, 0.003, 0.030],
                "head": 0.005,
                "verifying": 9.0,
                "filling": {"signing": 8.0},
            }
        ]
    },
}


@pytest.mark.parametrize(
    "row",
    [
        "| at 1,000,000 entries: appended | 1 | 40,000/s | at least 50,000/s | **not reached** |",
        "| at 10,000 entries: appended | 1 | 62,500/s | at least 50,000/s | reached |",
        (
            "| a batch at the larger / at the smaller | 1 | 1.56 × | at most 1.20 ×"
            " | **not reached** |"
        ),
        "| proof of an entry: the middle one | 1 | 4.0 ms |  |  |",
        "| proof of an entry: the slowest | 1 | 12.0 ms | at most 20.0 ms | reached |",
        "| proof of a size: the slowest | 1 | 30.0 ms | at most 20.0 ms | **not reached** |",
        "| verifying all entries | 1 | 9.0 s |  |  |",
    ],
)
def test_the_page_says_what_was_reached_and_what_was_not(row: str, tmp_path: Path) -> None:
    assert row in page_of(tmp_path, SAMPLES).splitlines()
