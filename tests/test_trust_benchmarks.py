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
def test_every_cell_is_measured_on_little(tmp_path: Path) -> None:
    small = lab.Lab(tmp_path, lab.SMOKE)
    results = {
        (cell.name, side.name): side.measure(Turn(small, 0, {}))
        for cell in CELLS
        for side in cell.sides(small)
    }
    appended, proved = (
        results["log-append", "mintage"],
        results["log-proofs", "mintage"],
    )
    assert appended["many"]["entries"] == lab.SMOKE.many
    assert appended["few"]["entries"] == lab.SMOKE.few
    assert len(appended["few"]["seconds"]) == lab.SMOKE.batches
    assert proved["entries"] == lab.SMOKE.many + lab.SMOKE.batch * (lab.SMOKE.batches + 1)
    assert len(proved["inclusion"]) == len(proved["consistency"]) == lab.SMOKE.proofs
    assert proved["filling"]["signing"] > 0
    photographs = results["verify-dataset", "files of 30 kB"]
    scans = results["verify-dataset", "files of 1,000 kB"]
    assert (photographs["files"], scans["files"]) == (66, 2)
    assert len(scans["plain_seconds"]) == len(scans["verified_seconds"]) == 3
    sealed = results["sealing", "files of 30 kB"]
    assert sealed["files"] == 66
    assert len(sealed["seconds"]["tink_open"]) == 4
    assert results["sealing", "training"]["seconds"].keys() == {"open", "sealed"}
    followed = results["verify-chain", "mintage"]
    assert followed["events"] == lab.SMOKE.invoice_events
    assert {"evidence", "ours", "theirs", "tool"} <= followed["phases"].keys()


def _log(entries: int, seconds: float) -> dict[str, Any]:
    return {"entries": entries, "seconds": [seconds, seconds], "rate": 500 / seconds}


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "log-append": {"mintage": [{"many": _log(1_000_000, 0.0125), "few": _log(10_000, 0.008)}]},
    "verify-dataset": {
        "files of 30 kB": [{"ratio": 1.31, "verified_seconds": [0.6, 0.5], "size_bytes": 10**9}]
    },
    "sealing": {
        "files of 30 kB": [{"seal_ratio": 1.25, "open_ratio": 1.75}],
        "training": [{"ratio": 1.04}],
    },
    "verify-chain": {
        "mintage": [
            {
                "phases": {"ours": 12.5, "theirs": 13.0, "tool": 21.0, "evidence": 15.0},
                "evidence_bytes": 32_000_000,
            }
        ]
    },
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
        "| files of 30 kB: verified / hashed | 1 | 1.31 × | at most 1.50 × | reached |",
        "| files of 30 kB: verified, a gigabyte | 1 | 0.5 s |  |  |",
        "| files of 30 kB: sealed / by Tink alone | 1 | 1.25 × | at most 1.50 × | reached |",
        (
            "| files of 30 kB: opened / by Tink alone | 1 | 1.75 × | at most 1.50 ×"
            " | **not reached** |"
        ),
        "| training: sealed / open | 1 | 1.04 × | at most 1.10 × | reached |",
        "| `tools/verify.py evidence.zip` | 1 | 21.0 s | at most 20.0 s | **not reached** |",
        "| writing the evidence | 1 | 15.0 s |  |  |",
    ],
)
def test_the_page_says_what_was_reached_and_what_was_not(row: str, tmp_path: Path) -> None:
    assert row in page_of(tmp_path, SAMPLES).splitlines()
