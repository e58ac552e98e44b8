"""The labelling page in a real Chromium: keys, taps, undo, the end, both languages."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.api import test_page
from tests.pictures import jpeg

from mintage.api import pages
from mintage.api.labelling import serve_labelling
from mintage.app.labelling import Labelling, next_command
from mintage.core.types import Answer
from mintage.create.labelling import LabelSession

pytestmark = pytest.mark.browser
chromium, visit = test_page.chromium, test_page.visit

Serve = Callable[..., "Served"]
PICTURES = 8


class Even:
    """A model that finds everything good, at 64 %."""

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        return np.zeros((1, 1, 3), np.uint8)

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        chances = {"good": 0.64, "bad": 0.36}
        output = {"label": "good", "probability": 0.64, "probabilities": chances, "unusual": False}
        return [Answer("class", output)] * len(inputs)


class Served:
    """A session behind a real server."""

    def __init__(self, session: LabelSession) -> None:
        self.session = session
        self._stop, started = threading.Event(), threading.Event()

        def on_started(people: str, browser: str) -> None:
            self.people, self.browser = people, browser
            started.set()

        following = next_command(session)
        options = {"on_started": on_started, "stop": self._stop, "following": following}
        self._thread = threading.Thread(target=serve_labelling, args=(session,), kwargs=options)
        self._thread.start()
        assert started.wait(10)
        self.address = self.people.partition("/#")[0]

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.session.close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "plates"
    folder.mkdir()
    for number in range(PICTURES):
        (folder / f"{number}.jpg").write_bytes(jpeg(number, (90, 60)))
    return folder


@pytest.fixture
def serve(photos: Path) -> Iterator[Serve]:
    made: list[Served] = []

    def one(labeller: str = "ada", model: Any = None, **options: Any) -> Served:
        classes = ("good", "bad")
        session = Labelling().open(photos, classes=classes, labeller=labeller, **options)
        if model is not None:
            session.ask(model, "plates@1")
        made.append(Served(session))
        return made[-1]

    yield one
    for served in made:
        served.end()


def lines(photos: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (photos / "labels.jsonl").read_text().splitlines()][1:]


def shown(page: Any) -> str:
    """The name of the picture on the screen, once it is there."""
    page.wait_for_selector(".frame img")
    return str(page.inner_text("#name"))


def until(done: Callable[[], bool], page: Any) -> None:
    for __ in range(400):
        if done():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it did not come about")


def test_by_the_keyboard_alone_from_the_first_picture_to_the_next_command(
    visit, serve: Serve, photos: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    served = serve()
    here = visit(viewport={"width": 1280, "height": 800}, locale="en-US")
    page = here.page

    def press(key: str) -> str:
        """A key; the next picture, when it is on the screen."""
        before = shown(page)
        page.keyboard.press(key)
        until(lambda: page.is_visible("#end") or page.inner_text("#name") != before, page)
        return "" if page.is_visible("#end") else shown(page)

    page.goto(served.browser)
    first = shown(page)
    assert page.url == f"{served.address}/"  # the ticket has left the address bar
    assert page.title() == "Labelling plates · Mintage"
    assert page.get_attribute(".frame img", "alt") == f"Picture {first}"
    assert page.inner_text("#classes").split() == ["1", "good", "2", "bad"]
    assert page.is_disabled("#undo")

    second = press("1")
    assert page.inner_text("#last") == f"{first}: good"
    assert page.inner_text("#status").startswith(f"{first}: good ")
    assert lines(photos)[0]["path"] == first
    assert lines(photos)[0]["seconds"] > 0
    assert press("u") == first
    assert press("2") == second
    page.keyboard.press("Control+1")  # the browser's own
    page.keyboard.press("3")  # no such class
    press("s")
    while press("1"):
        pass
    assert page.inner_text("#end-title") == "All done"
    counts = page.inner_text("#counts").split("\n")
    assert dict(zip(counts[::2], counts[1::2], strict=True)) == {
        "good": str(PICTURES - 2),
        "bad": "1",
        "labelled by you": str(PICTURES - 1),
        "skipped by you": "1",
        "left for you": "0",
    }
    assert page.inner_text("#command") == f"mintage collect {photos}/labels.jsonl --name plates"
    assert "broken.jpg not a JPEG" in page.text_content("#unreadable")
    assert "skipped by ada" in page.text_content("#undecided")
    said = [(line["action"], line.get("label")) for line in lines(photos)]
    assert said[:4] == [("label", "good"), ("undo", None), ("label", "bad"), ("skip", None)]
    assert said[4:] == [("label", "good")] * (PICTURES - 2)

    page.click("#skipped-again")
    assert shown(page) == second
    assert press("Backspace") == lines(photos)[-1]["path"]  # undone, and no page was left
    assert here.complaints == []
    assert here.outside(served.address) == []
    assert not any("?" in url for url in here.requests)


def test_pictures_are_there_before_they_are_wanted_and_a_held_key_decides_once(
    visit, serve: Serve, photos: Path
) -> None:
    served = serve()
    here = visit(locale="en-US")
    page = here.page
    page.goto(served.people)
    shown(page)

    def asked() -> list[str]:
        return [url for url in here.requests if "/pictures/" in url]

    until(lambda: len(asked()) == 6, page)
    page.evaluate(
        """() => { for (const repeat of [false, true, true, true]) document.dispatchEvent(
             new KeyboardEvent("keydown", { key: "1", repeat, bubbles: true })); }"""
    )
    until(lambda: len(asked()) == 7, page)
    assert len(set(asked())) == 7  # the picture that came next was not asked for again
    assert len(lines(photos)) == 1


def test_the_models_answer_is_shown_after_the_decision_alone(
    visit, serve: Serve, photos: Path
) -> None:
    served = serve(model=Even())
    here = visit(locale="en-US")
    page = here.page
    served.session._doubts.wait(10)
    answers: list[str] = []
    page.on("response", lambda got: answers.append(got.text()) if "state" in got.url else None)
    page.goto(served.people)
    shown(page)
    assert "model says" not in page.inner_text("body")
    assert not any("probability" in text or "0.64" in text for text in answers)
    page.keyboard.press("2")
    until(lambda: page.inner_text("#last") != "", page)
    assert page.inner_text("#last").endswith("bad · the model says good, 64.0%")
    assert here.complaints == []


def test_on_a_phone_in_chinese_a_disagreement_is_resolved_by_touch(
    visit, serve: Serve, photos: Path
) -> None:
    for name, label in (("ada", "good"), ("ben", "bad")):
        session = Labelling().open(photos, classes=("good", "bad"), labeller=name, overlap=1.0)
        for number in range(3):
            session.decide(number, label if number == 0 else "good", 1.0)
        session.close()
    served = serve("cleo", overlap=0.0)
    here = visit(
        viewport={"width": 390, "height": 844},
        locale="zh-CN",
        color_scheme="dark",
        reduced_motion="reduce",
        has_touch=True,
        is_mobile=True,
    )
    page = here.page
    page.goto(served.people)
    shown(page)
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert "跳过" in page.inner_text("#pass")
    assert not page.is_visible(".class kbd")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('#bar')).transitionDuration") == "0s"
    )
    assert "66.7%" in page.inner_text("#agreed")
    page.tap("#agreed")
    assert page.inner_text("#pairs").split("\t")[0] == "ada · ben"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap("#resolve")
    page.wait_for_selector("#said:not([hidden])")
    assert page.inner_text("#said").split("\n")[-1].split() == ["ada：good", "ben：bad"]
    shown(page)
    page.tap(".class:nth-child(2)")
    until(lambda: lines(photos)[-1].get("action") == "resolve", page)
    assert (lines(photos)[-1]["labeller"], lines(photos)[-1]["label"]) == ("cleo", "bad")
    page.wait_for_selector("#dispute", state="hidden")
    shown(page)
    page.tap("#undo")  # the disagreement is back, and on the screen
    page.wait_for_selector("#said:not([hidden])")
    page.tap("#pass")  # back to labelling
    page.wait_for_selector("#said", state="hidden")
    page.tap("#overview")
    page.wait_for_selector("#end:not([hidden])")
    assert page.inner_text("#end-title") == "目前进度"
    assert "标注者意见各半" in page.text_content("#undecided")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap("#language")
    until(lambda: "disagree evenly" in page.text_content("#undecided"), page)
    assert page.locator("html").get_attribute("lang") == "en"
    page.reload()
    shown(page)  # this tab remembers its token
    assert here.complaints == []
    assert here.outside(served.address) == []


def test_without_the_token_and_without_the_program_the_page_says_what_to_do(
    visit, serve: Serve, photos: Path
) -> None:
    served = serve()
    stranger = visit(locale="en-US").page
    stranger.goto(served.address)
    stranger.wait_for_selector("#problem:not([hidden])")
    assert "Open the address that the terminal shows" in stranger.inner_text("#problem")
    assert stranger.is_hidden("#desk")
    mine = visit(locale="en-US").page
    mine.goto(served.people)
    shown(mine)
    served.end()
    mine.keyboard.press("1")
    mine.wait_for_selector("#problem:not([hidden])")
    assert "Nothing is lost" in mine.inner_text("#problem")
    assert lines(photos) == []


def test_every_word_is_there_in_both_languages_of_the_same_kind_and_asked_for(
    visit, serve: Serve
) -> None:
    page = visit().page
    page.goto(serve().address)
    shapes = page.evaluate(
        """async () => {
          const { WORDS } = await import("/static/label_words.js");
          const shape = (word) => Array.isArray(word) ? word.length : typeof word;
          const shapes = (words) => Object.fromEntries(
            Object.keys(words).map((name) => [name, shape(words[name])]));
          return { en: shapes(WORDS.en), zh: shapes(WORDS.zh) };
        }"""
    )
    assert shapes["en"] == shapes["zh"]
    html = files(pages).joinpath("label.html").read_text()
    script = files(pages).joinpath("label.js").read_text()
    asked = set(re.findall(r'data-word="(\w+)"', html)) | set(
        re.findall(r"words\(\)\.(\w+)", script)
    )
    asked |= set(re.findall(r'renderLeftOut\("(\w+)"', script))
    assert asked == set(shapes["en"])
