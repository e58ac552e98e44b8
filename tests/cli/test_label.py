"""``mintage label`` in a process of its own: started, ended, killed, and collected from."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.pictures import jpeg
from tests.terminal import Terminal

from mintage.app import labelling

Start = Callable[..., "Labelling"]


class Labelling:
    """The running command, and what its page would do."""

    def __init__(self, folder: Path, *words: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mintage", "label", *map(str, words)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONUNBUFFERED": "1", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
            | environment,
        )
        self.said = ""
        assert self.process.stderr is not None
        while (found := re.search(r"(http://127\.0\.0\.1:\d+)/#token=(\S+)", self.said)) is None:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line
        self.address = found[1]
        headers = {"Authorization": f"Bearer {found[2]}"}
        self.page = httpx.Client(base_url=self.address, headers=headers, trust_env=False)

    def decide(self, label: str | None) -> str:
        """The name of the picture that was labelled."""
        first = self.page.get("/state").json()["upcoming"][0]
        body = {"picture": first["picture"], "label": label, "seconds": 1}
        assert self.page.post("/decisions", json=body).status_code == 200
        return str(first["name"])

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """The status and what was printed on stdout; ``said`` has all of stderr."""
        self.page.close()
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=20)
        self.said += err
        return self.process.returncode, out


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(14):
        (folder / f"{number:02}.jpg").write_bytes(jpeg(number))
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Labelling] = []

    def one(*words: object, **environment: str) -> Labelling:
        made.append(Labelling(tmp_path, *words, **environment))
        return made[-1]

    yield one
    for each in made:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)


def test_labels_survive_kill_nine_and_become_a_dataset(
    start: Start, photos: Path, mintage: Terminal, listening_browser: tuple[Path, str]
) -> None:
    opened, browser = listening_browser
    words = ("photos", "--classes", "good,scratch", "--labeller", "ada")
    first = start(*words, BROWSER=browser)
    assert "Left for ada: 14. Labels go to photos/labels.jsonl." in first.said
    labels = {first.decide("good"): "good", first.decide("scratch"): "scratch"}
    mintage("label", "photos", "--no-browser", status=2)  # two at once
    assert "Another mintage label is writing photos/labels.jsonl" in mintage.err
    first.end(signal.SIGKILL)

    again = start("photos", "--labeller", "ada", "--no-browser", BROWSER=browser, DISPLAY=":99")
    assert "Left for ada: 12." in again.said
    again.decide(None)
    for number in range(11):
        label = ("good", "scratch")[number % 2]
        labels[again.decide(label)] = label
    status, out = again.end()
    assert status == 0
    assert "Traceback" not in again.said
    assert re.search(r"^labelled +13$", out, re.MULTILINE)
    assert re.search(r"^  good +7$", out, re.MULTILINE)
    assert "skipped by ada" in out
    assert "Next: mintage collect photos/labels.jsonl --name photos" in again.said

    collected = mintage.json("collect", "photos/labels.jsonl", "--name", "photos")
    assert collected["classes"] == {"good": 7, "scratch": 6}
    assert [skipped["reason"] for skipped in collected["skipped"]] == ["skipped by ada"]
    assert not opened.exists()  # no display, or not wanted


def test_with_json_the_summary_alone_is_on_stdout_and_sigterm_ends_it_too(
    start: Start, photos: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    everybodys = {"classes": ("good", "bad"), "overlap": 1.0}
    session = labelling.Labelling().open(photos, labeller="ada", **everybodys)
    session.decide(session.upcoming(1)[0], "good", 1.0)
    session.close()
    running = start("photos", "--labeller", "ben", "--json")
    running.decide("bad")
    status, out = running.end(signal.SIGTERM)
    assert status == 0
    found = json.loads(out)
    assert (found["labelled"], found["left"], found["pictures"]) == (1, 14, 15)
    assert found["agreement"]["agreed"] == 0
    assert found["undecided"][0]["reason"].startswith("labellers disagree evenly")
    assert found["next"] == "mintage collect photos/labels.jsonl --name photos"


@pytest.fixture
def listening_browser(tmp_path: Path) -> tuple[Path, str]:
    """What a browser was started with, once there is one; and the command that is that browser."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    return opened, str(browser)


def test_the_browser_is_started_with_an_address_that_works_but_once(
    start: Start, photos: Path, listening_browser: tuple[Path, str]
) -> None:
    opened, browser = listening_browser
    running = start("photos", "--classes", "good,bad", DISPLAY=":99", BROWSER=browser)
    for __ in range(400):
        if opened.exists() and opened.read_text().endswith("\n"):
            break
        time.sleep(0.025)
    ticket = opened.read_text().strip().partition("/#ticket=")[2]
    assert ticket not in running.said
    answers = [running.page.post("/token", json={"ticket": ticket}) for __ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert running.page.headers["Authorization"] == f"Bearer {answers[0].json()['token']}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("photos",), "The classes are not said."),
        (("photos", "--classes", "good"), "There must be 2 to 50 classes, not 1."),
        (("nowhere", "--classes", "a,b"), "nowhere does not exist."),
        (("photos", "--classes", "a,b", "--overlap", "20"), "Not a share: '20'."),
        (("photos", "--classes", "a,b", "--out", "x.csv"), "A labels file ends in .jsonl"),
        (("photos", "--classes", "a,b", "--model", "cars"), "There is no"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_begun(
    mintage: Terminal, photos: Path, words: tuple[str, ...], says: str
) -> None:
    mintage("label", *words, "--no-browser", status=2)
    assert says in mintage.err
    assert not (photos / "labels.jsonl").exists()
