"""A training that is really killed, at any moment, and goes on to the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.files import read_whole
from mintage.core.settings import load_settings

ROUNDS = max(3, int(os.environ.get("MINTAGE_ROUNDS", "3")) // 2)  # up to three processes each
TRAIN = ("train", "pets", "--recipe", "compact", "--epochs", "8", "--seed", "3")


def started(home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mintage", *words, "--home", str(home), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MINTAGE_THREADS": "1", "MINTAGE_LANG": "en"},
    )


def done(home: Path, *words: str) -> dict[str, object]:
    process = started(home, *words)
    out, said = process.communicate(timeout=200)
    assert process.returncode == 0, said
    found: dict[str, object] = json.loads(out)
    return found


def runs_of(home: Path) -> set[str]:
    return {path.name for path in (home / "runs").glob("run_*")}


def digest_and_log(home: Path, run: str) -> tuple[str, list[dict[str, Any]]]:
    """What a finished run wrote; its files may be sealed."""
    folder = home / "runs" / run
    with App(load_settings(home=home)):
        record = json.loads(read_whole(folder / "run.json"))
        log = read_whole(folder / "log.jsonl").splitlines()
    return record["bundle_digest"], [json.loads(line) for line in log]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("sealed", "rounds"), [(False, ROUNDS), (True, max(1, ROUNDS // 3))])
def test_a_training_killed_at_any_moment_ends_with_the_bundle_of_one_that_was_not(
    tmp_path: Path, sealed: bool, rounds: int
) -> None:
    home = tmp_path / "home"
    if sealed:
        done(home, "init", "--seal", "--key", f"file:{tmp_path / 'kek'}")
    done(home, "collect", str(two_classes(tmp_path / "photos", each=40)), "--name", "pets")
    began = time.monotonic()
    through = done(home, *TRAIN)
    whole = time.monotonic() - began
    digest, __ = digest_and_log(home, str(through["run"]))
    chance = random.Random(20261124)
    kills = 0
    while kills < rounds:
        before = runs_of(home)
        process = started(home, *TRAIN)
        # Imports take the first part; a resumed run is killed again, once in three times.
        time.sleep(whole * chance.uniform(0.3, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        made = runs_of(home) - before
        if not made or process.returncode == 0:
            continue  # it had not begun, or was quicker than that
        kills += 1
        (run,) = made
        if chance.random() < 1 / 3:
            again = started(home, "train", "--resume", run)
            time.sleep(whole * chance.uniform(0.3, 0.8))
            again.send_signal(signal.SIGKILL)
            again.communicate()
            if again.returncode == 0:
                continue
        if not (home / "runs" / run / "request.json").exists():
            continue  # killed before there was anything to go on from
        resumed = done(home, "train", "--resume", run)
        found, log = digest_and_log(home, run)
        assert resumed["run"] == run
        assert found == digest
        told = [(line["candidate"], line["fold"], line["epoch"]) for line in log]
        assert len(told) == len(set(told))
