"""Scoring from the command line."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pictures import jpeg
from tests.terminal import Terminal

SUMMARY = {
    "model": "pets@1",
    "source": "folder",
    "path": "scores.csv",
    "rows": 4,
    "answered": 2,
    "abstained": 1,
    "unusual": 1,
    "unreadable": 1,
    "labels": {"dark": 1, "light": 1},
    "resumed": 0,
    "hidden": 1,
    "stray": 1,
}


@pytest.fixture
def score(mintage: Terminal, home: Path, trained_home: Path, tmp_path: Path) -> Terminal:
    """The terminal, in a folder with some pictures and a trained workspace."""
    photos = trained_home.parent / "photos"
    for name in ("light/003.jpg", "dark/003.jpg"):
        target = tmp_path / "unsorted" / name.replace("/", "-")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((photos / name).read_bytes())
    (tmp_path / "unsorted/noise.jpg").write_bytes(jpeg(7))
    (tmp_path / "unsorted/broken.jpg").write_bytes(b"text")
    (tmp_path / "unsorted/notes.txt").write_text("stray")
    (tmp_path / "unsorted/.hidden").write_text("hidden")
    mintage.patch.setenv("MINTAGE_HOME", str(home))
    return mintage


def test_the_summary_is_the_only_thing_on_stdout_with_json(score: Terminal) -> None:
    words = ("score", "unsorted", "--model", "pets@latest", "--out", "scores.csv")
    assert score.json(*words) == SUMMARY
    assert "1 of 4 could not be read" in score.err
    assert score.json(*words, status=2)["error"]["message"] == "scores.csv is there already."
    assert score.json(*words, "--force") == SUMMARY


def test_people_read_how_many_got_which_answer(score: Terminal) -> None:
    said = score("score", "unsorted", "-m", "pets", "-o", "scores.jsonl").splitlines()
    assert said[0] == "scores.jsonl: 4 rows, by pets@1"
    assert [line.split() for line in said[2:]] == [
        ["dark", "1"],
        ["light", "1"],
        ["no", "label", "1"],
        ["unreadable", "1"],
    ]
    assert Path("scores.jsonl").read_text().count("\n") == 4


def test_a_model_that_is_not_there_and_a_missing_option_are_said(score: Terminal) -> None:
    score("score", "unsorted", "--model", "nothing", "--out", "scores.csv", status=2)
    assert "There is no model 'nothing'" in score.err
    score("score", "unsorted", "--out", "scores.csv", status=2)
    assert "Missing option" in score.err
    assert not list(Path().glob("scores*"))


INTERRUPTED = """
import os, signal, sys
from mintage.cli import main, output

advance, at = output.TerminalProgress.advance, int(sys.argv.pop())

def interrupted(self, done, note=""):
    global at
    if done >= at:
        at = 1_000_000
        os.kill(os.getpid(), signal.SIGINT)
    advance(self, done, note)

output.TerminalProgress.advance = interrupted
main.run()
"""


def test_ctrl_c_ends_in_order_and_the_same_command_goes_on(
    score: Terminal, trained_home: Path
) -> None:
    photos = trained_home.parent / "photos"
    words = ["score", str(photos), "--model", "pets", "--out"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words, "scores.csv", "56"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "32 of 120 rows are kept. Run the same command again to go on." in done.stderr
    assert done.stdout == ""
    assert not Path("scores.csv").exists()
    assert Path("scores.csv.part").read_bytes().count(b"\n") == 1 + 32
    assert score.json(*words, "scores.csv")["resumed"] == 32
    assert "goes on after 32 of 120 rows" in score.err
    score(*words, "whole.csv")
    assert Path("scores.csv").read_bytes() == Path("whole.csv").read_bytes()


def test_a_bar_that_is_broken_off_gives_the_terminal_its_cursor_back(score: Terminal) -> None:
    """In a pseudo-terminal: what ends with the sequence that shows it again."""
    pty = pytest.importorskip("pty")
    words = ["score", "unsorted", "--model", "pets", "--out", "scores.csv"]
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *words, "1"],
        stdout=side,
        stderr=side,
        stdin=side,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(side)
    shown = b""
    try:
        while data := os.read(main, 4096):
            shown += data
    except OSError:  # the other side is closed: how Linux says it
        pass
    os.close(main)
    assert process.wait(60) == 130
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") >= 0


def test_a_csv_is_read_by_the_source_of_tables_as_what_it_is(score: Terminal) -> None:
    """Scores may be the source of the next step, such as labels to be checked."""
    score("score", "unsorted", "--model", "pets", "--out", "unsorted/scores.csv")
    with Path("unsorted/scores.csv").open(encoding="utf-8", newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    again = score.json(
        *("score", "unsorted/scores.csv", "--model", "pets", "--out", "again.csv"),
    )
    assert again["source"] == "table"
    assert again["rows"] == len(paths)


def test_sigterm_leaves_what_goes_on_too(score: Terminal, trained_home: Path) -> None:
    photos = trained_home.parent / "photos"
    words = ["score", str(photos), "--model", "pets", "--out"]
    program = INTERRUPTED.replace("SIGINT", "SIGTERM")
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "scores.csv", "100"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGTERM
    score(*words, "scores.csv")
    score(*words, "whole.csv")
    assert Path("scores.csv").read_bytes() == Path("whole.csv").read_bytes()
