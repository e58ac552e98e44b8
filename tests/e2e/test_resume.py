"""A training that is really killed, at any moment, and goes on to the same weights."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.pictures import two_classes

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


@pytest.mark.timeout(600)
def test_a_training_killed_at_any_moment_ends_with_the_bundle_of_one_that_was_not(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    done(home, "collect", str(two_classes(tmp_path / "photos", each=40)), "--name", "pets")
    began = time.monotonic()
    through = done(home, *TRAIN)
    whole = time.monotonic() - began
    digest = json.loads(
        (home / "runs" / str(through["run"]) / "run.json").read_text(encoding="utf-8")
    )["bundle_digest"]
    chance = random.Random(20261124)
    kills = 0
    while kills < ROUNDS:
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
        record = json.loads((home / "runs" / run / "run.json").read_text(encoding="utf-8"))
        assert resumed["run"] == run
        assert record["bundle_digest"] == digest
        log = [
            json.loads(line)
            for line in (home / "runs" / run / "log.jsonl").read_text().splitlines()
        ]
        told = [(line["candidate"], line["fold"], line["epoch"]) for line in log]
        assert len(told) == len(set(told))
