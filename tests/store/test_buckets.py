"""What rate limits are counted with: exact, in every process, whatever the clock does."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.databases import sqlite_alone

from mintage.core.errors import DependencyDown, Overloaded
from mintage.store import buckets
from mintage.store.buckets import Buckets, FileBuckets
from mintage.store.workspace import Workspace

NOW = 1_800_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rates"


@pytest.fixture
def here(workspace: Workspace) -> Buckets:
    """A file beside SQLite, or a table of PostgreSQL."""
    return workspace.database.buckets()


def test_it_holds_what_it_has_room_for_and_drains_a_second_in_a_second(here: Buckets) -> None:
    for filled in (10, 20, 30):
        poured = here.pour("a", 10, room_seconds=30, now=NOW)
        assert (poured.fitted, poured.level_seconds) == (True, filled)
    refused = here.pour("a", 10, room_seconds=30, now=NOW)
    assert (refused.fitted, refused.level_seconds) == (False, 30)
    assert not here.pour("a", 10, room_seconds=30, now=NOW + 9.9).fitted
    assert here.pour("a", 10, room_seconds=30, now=NOW + 10).fitted
    assert here.pour("b", 30, room_seconds=30, now=NOW).fitted  # another bucket


def test_what_is_taken_out_again_leaves_it_empty_at_least(here: Buckets) -> None:
    here.pour("a", 30, room_seconds=30, now=NOW)
    assert here.pour("a", -10, room_seconds=30, now=NOW).level_seconds == 20
    assert here.pour("a", -30, room_seconds=30, now=NOW).level_seconds == 0
    assert not here.pour("a", 31, room_seconds=30, now=NOW).fitted


def test_a_clock_that_went_back_leaves_it_full_at_most(here: Buckets) -> None:
    assert here.pour("a", 60, room_seconds=60, now=NOW).fitted
    poured = here.pour("a", 1, room_seconds=60, now=NOW - 86_400)
    assert (poured.fitted, poured.level_seconds) == (False, 60)
    assert here.pour("a", 1, room_seconds=60, now=NOW + 1).fitted


def test_a_clock_that_was_ahead_is_forgotten_when_it_is_right_again(here: Buckets) -> None:
    year = 365 * 86_400
    assert here.pour("a", 60, room_seconds=60, now=NOW + year).fitted
    assert not here.pour("a", 1, room_seconds=60, now=NOW).fitted
    assert here.pour("a", 1, room_seconds=60, now=NOW + 1).fitted


def test_it_is_kept_and_shared(
    workspace: Workspace, database_url: SecretStr | None, here: Buckets
) -> None:
    here.pour("a", 10, room_seconds=10, now=NOW)
    with Workspace(workspace.home, database_url=database_url) as other:
        assert not other.database.buckets().pour("a", 1, room_seconds=10, now=NOW).fitted


def test_processes_that_pour_at_once_let_through_exactly_what_fits(workspace: Workspace) -> None:
    program = (
        "import sys; from pathlib import Path; from mintage.store.workspace import Workspace\n"
        "from mintage.core.settings import load_settings\n"
        "url = load_settings().database_url\n"
        "here = Workspace(Path(sys.argv[1]), database_url=url).database.buckets()\n"
        "print('ready', flush=True); input()\n"
        f"print(sum(here.pour('a', 1, room_seconds=500, now={NOW}).fitted for _ in range(400)))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(workspace.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for __ in range(3)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 500


@sqlite_alone
def test_drained_buckets_make_room_for_others_and_full_ones_do_not(
    here: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "_NEIGHBOURS", 1)
    monkeypatch.setattr(buckets, "_SLOTS", 1)
    assert here.pour("a", 5, room_seconds=5, now=NOW).fitted
    with pytest.raises(Overloaded):
        here.pour("b", 1, room_seconds=5, now=NOW + 4)
    assert here.pour("b", 1, room_seconds=5, now=NOW + 6).fitted


def test_a_file_that_another_holds_is_no_reason_to_wait_for_ever(path: Path) -> None:
    here = FileBuckets(path)
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(DependencyDown, match="held by another process"):
        here.pour("a", 1, room_seconds=5, now=NOW)
    os.close(descriptor)  # as its end would
    assert here.pour("a", 1, room_seconds=5, now=NOW).fitted
    here.close()
