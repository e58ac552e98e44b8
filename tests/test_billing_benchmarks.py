"""The program that measures billing: it fills, calls, counts, and says what it found."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from benchmarks import bill
from benchmarks.billing import lab, page
from benchmarks.billing.calendar import MONTHS
from benchmarks.billing.callers import Callers, together
from benchmarks.billing.cells import CELLS, STEPS
from benchmarks.cells import Turn
from benchmarks.common import Failed, script

from tests.kept_results import page_of


def test_every_cell_is_listed_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    bill.PROGRAM.run(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [cell.name for cell in CELLS]


def test_every_cell_has_a_section_on_the_page() -> None:
    assert {cell.name for cell in CELLS} == set(page.CHAPTER.sections)


def test_callers_count_what_ends_in_time_after_the_first_ones() -> None:
    tally, lock = [0], threading.Lock()

    def call() -> None:
        with lock:
            tally[0] += 1
        threading.Event().wait(0.01)

    found = together([Callers(4, 0.5, 0.2).run(call)])
    assert 0 < found["calls"] < tally[0]
    assert found["rate"] == found["calls"] / 0.5
    assert 0.01 <= found["p50"] <= found["p99"] <= found["most"]


def test_a_disk_without_room_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="GB of disk"):
        lab.Lab(tmp_path, lab.SMOKE).filled(10**12)


@pytest.mark.slow
def test_a_filled_workspace_is_summed_up_checked_invoiced_and_replayed(tmp_path: Path) -> None:
    small = lab.Lab(tmp_path, lab.SMOKE)
    home = small.filled(3000)
    with sqlite3.connect(home / "mintage.db") as connection:
        asked = "SELECT count(*), min(recorded_at), max(recorded_at) FROM usage_events"
        events, first, last = connection.execute(asked).fetchone()
        customers = connection.execute("SELECT count(DISTINCT customer) FROM usage_events")
        assert customers.fetchone() == (lab.SMOKE.customers,)
    connection.close()
    assert (events, first[:7], last[:7]) == (3000, MONTHS[0], MONTHS[-1])
    found = {step: small.step(home, step) for step in STEPS}
    assert found["sum-up"]["until"] == found["check"]["until"] == 3000
    assert found["invoices"]["drafted"] == 60
    assert (found["issue"]["issued"], found["again"]["drafted"]) == (40, 20)
    assert (found["replay"]["customers"], found["models"]["models"]) == (20, 6)
    assert all(each["peak"]["resident"] > 0 for each in found.values())
    small.filled(3000)
    assert small.step(home, "check")["until"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("side", ["bare", "mintage", "mintage, signed", "mintage, 2 processes"])
def test_what_callers_recorded_is_on_the_disk(side: str, tmp_path: Path) -> None:
    small = lab.Lab(tmp_path, lab.SMOKE)
    (chosen,) = (each for each in CELLS[0].sides(small) if each.name == side)
    result = chosen.measure(Turn(small, 0, {}))
    assert result["calls"] > 0
    assert 0 < result["p50"] <= result["p99"]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["unlimited", "limited", "prepaid, 2 processes, 500/s"])
def test_a_limit_holds_exactly_whoever_calls_at_once(side: str, tmp_path: Path) -> None:
    small = lab.Lab(tmp_path, lab.SMOKE)
    (cell,) = (each for each in CELLS if each.name == "contention")
    (chosen,) = (each for each in cell.sides(small) if each.name == side)
    result = chosen.measure(Turn(small, 0, {}))
    assert result["answered"] == (100 if side == "unlimited" else result["exactly"])
    assert 0 < result["rate"] < (600 if "/s" in side else 10**6)


@pytest.mark.slow
def test_the_bare_loop_writes_an_event_and_a_leaf_for_each_call(tmp_path: Path) -> None:
    with lab.Lab(tmp_path, lab.SMOKE).shop() as home:
        result = script("peers.bare_sqlite", home=home, callers=4, seconds=0.5, warm_up=0.1)
        with sqlite3.connect(home / "mintage.db") as connection:
            asked = "SELECT count(*) FROM usage_events JOIN log_leaves ON position = log_position"
            (rows,) = connection.execute(asked).fetchone()
        connection.close()
    assert rows >= result["calls"] > 0


def _called(rate: float, p99: float, busy: float = 0.0001) -> dict[str, Any]:
    return {"rate": rate, "p50": 0.01, "p99": p99, "busy_each": busy}


def _step(seconds: float, memory: float) -> dict[str, Any]:
    return {"seconds": seconds, "busy": seconds, "peak": {"resident": memory}}


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "metering": {
        "bare": [_called(10_000, 0.02)],
        "mintage": [_called(5_000, 0.025)],
        "mintage, 2 processes": [_called(4_500, 0.035)],
    },
    "contention": {
        "unlimited": [_called(4_000, 0.03) | {"answered": 100, "exactly": 50}],
        "limited": [_called(2_000, 0.05) | {"answered": 50, "exactly": 50}],
        "prepaid, 2 processes": [_called(900, 0.05) | {"answered": 51, "exactly": 50}],
        "limited, 500/s": [_called(499, 0.02) | {"answered": 50, "exactly": 50}],
    },
    "metering-share": {
        "compact": [
            {
                "ways": {"without": _called(400, 0.02, 0.0012), "with": _called(300, 0.02, 0.0016)},
                "alone": {"predict": 0.003, "record": 0.004},
            }
        ]
    },
    "books": {
        "1000000": [{"steps": {s: _step(5, 9e7) for s in STEPS}, "size_bytes": 7e8}],
        "10000000": [{"steps": {s: _step(56, 6e8) for s in STEPS}, "size_bytes": 7e9}],
    },
}


@pytest.mark.parametrize(
    "row",
    [
        "| Mintage / the bare loop | 1 | 50.0% | at least 60.0% | **not reached** |",
        "| 1 process: events | 1 | 5,000/s | at least 4,000/s | reached |",
        "| 1 process: p99 / p50 | 1 | 2.50 × | at most 3.00 × | reached |",
        "| 2 processes: p99 / p50 | 1 | 3.50 × | at most 3.00 × | **not reached** |",
        (
            "| limited, 1 process: calls answered beyond the limit, or short of it | 1 | 0"
            " | at most 0 | reached |"
        ),
        (
            "| prepaid, 2 processes: calls answered beyond the limit, or short of it | 1 | 1"
            " | at most 0 | **not reached** |"
        ),
        "| limited / unlimited, 1 process: calls a second | 1 | 50.0% |  |  |",
        "| limited, 500/s: calls | 1 | 499/s |  |  |",
        "| compact: metering's share of the processor's time | 1 | 25.0% |  |  |",
        (
            "| 10,000,000 events: a replay of the last month under two plans | 1 | 56.0 s"
            " | at most 60.0 s | reached |"
        ),
        (
            "| 10,000,000 events: a replay of the last month under two plans, peak memory | 1"
            " | 600 MB | at most 500 MB | **not reached** |"
        ),
        (
            "| an invoice run, no month invoiced yet: time of 10,000,000 / of 1,000,000 events | 1"
            " | 11.20 × | at most 11.00 × | **not reached** |"
        ),
        "Disk: 700 MB for 1,000,000, 7,000 MB for 10,000,000.",
    ],
)
def test_the_page_says_what_was_measured_and_whether_it_is_enough(row: str, tmp_path: Path) -> None:
    assert row in page_of(tmp_path, SAMPLES).splitlines()
