"""The explanation over the picture, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.api import test_page
from tests.api.conftest import Running
from tests.api.test_explain import Explaining

from mintage.api.service import Service
from mintage.deliver.explain import Explanations

pytestmark = pytest.mark.browser
chromium, visit = test_page.chromium, test_page.visit

_COLOURS = """() => {
  const canvas = document.querySelector(".shot canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.width, canvas.height, ...data.slice(0, 4)];
}"""
_BOXES = """() => ["img", "canvas"].map((name) => {
  const { x, y, width, height } = document.querySelector(`.shot ${name}`).getBoundingClientRect();
  return [x, y, width, height].map(Math.round);
})"""


@pytest.fixture
def provider() -> Explaining:
    return Explaining()


@pytest.fixture
def explaining(service: Service, provider: Explaining) -> Iterator[Running]:
    lane = Explanations(lambda *_pointer: provider, most_waiting=1)
    server = Running(replace(service, explanations=lane, metrics=type(service.metrics)()))
    yield server
    provider.held.set()
    server.close()


def test_a_click_shows_where_the_answer_comes_from_and_what_that_costs(
    visit, explaining, desk, key
) -> None:
    here = visit(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = here.answered(explaining, key, sample=3)
    assert page.inner_text(".why button") == "Where did it look? · €0.07"
    page.focus(".why button")
    page.keyboard.press("Enter")
    page.wait_for_selector(".explained .shot canvas")
    assert page.evaluate("() => document.activeElement.textContent") == "Show the picture alone"
    width, height, red, green, blue, alpha = page.evaluate(_COLOURS)
    assert (width, height) == (4, 4)
    assert (red, blue) == (pytest.approx(213, abs=3), pytest.approx(0, abs=3))
    assert green == pytest.approx(94, abs=3)
    assert 190 < alpha <= 205  # 0.8 of 255, where the map is highest
    picture, colours = page.evaluate(_BOXES)
    assert picture == colours  # the map covers the picture, and nothing is cut off
    assert "Where it looked: " in page.inner_text(".why")
    assert "Explained for €0.02" in page.inner_text(".why")  # what the receipt says
    assert page.get_attribute(".shot canvas", "aria-label").startswith("Where it looked: ")
    assert [dict(usage.quantities) for usage in desk.usages] == [
        {"image": 1},
        {"image": 1, "explanation": 1},
    ]
    page.keyboard.press("Enter")
    assert page.locator(".shot canvas").count() == 0
    assert page.inner_text(".why button") == "Show the colours"
    page.keyboard.press("Enter")
    page.click("#language")
    page.wait_for_selector(".explained .shot canvas")
    assert page.inner_text(".why button") == "只看图片"
    assert desk.outcomes == ["ok", "ok"]  # nothing was asked again
    assert here.complaints == []


def test_a_full_lane_is_said_and_the_answer_stays(visit, explaining, desk, provider, key) -> None:
    here = visit(locale="en-US")
    page = here.answered(explaining, key, sample=3)
    page.route(
        "**/predict?explain=map",
        lambda route: route.fulfill(
            status=503,
            content_type="application/problem+json",
            body='{"code": "overloaded", "status": 503, "title": "Too many calls at this moment",'
            ' "detail": "1 explanations are waited for.", "remedy": "Send it again in a moment.",'
            ' "instance": "req_1"}',
        ),
        times=1,
    )
    page.click(".why button")
    page.wait_for_selector(".why .note.failed")
    assert "Too many calls at this moment" in page.inner_text(".why")
    assert page.is_visible(".verdict")
    page.click(".why .note.failed button")
    page.wait_for_selector(".explained .shot canvas")


def test_without_explanations_the_page_offers_none(visit, running, key) -> None:
    page = visit(locale="en-US").answered(running, key, sample=3)
    assert page.locator(".why").count() == 0


def test_an_unusual_picture_is_not_explained(visit, explaining, key, gray, tmp_path) -> None:
    picture = tmp_path / "gray.png"
    picture.write_bytes(gray)
    page = visit(locale="en-US").page
    page.goto(f"{explaining.address}/#key={key}")
    page.wait_for_selector("#drop:not([hidden])")
    page.set_input_files("#files", [picture])
    page.wait_for_selector(".note.unusual")
    assert page.locator(".why").count() == 0
