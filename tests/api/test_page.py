"""The upload page in a real Chromium: an answer, an unusual picture, errors, both languages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium is installed (apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_FLAGS)
        yield browser
        browser.close()


class Visit:
    """A page, and everything it asked for and complained of."""

    def __init__(self, browser, **options: object) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            self.complaints.append(message.text)

    def outside(self, address: str) -> list[str]:
        own = (f"{address}/", f"blob:{address}/")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture
def visit(chromium) -> Iterator:
    made: list[Visit] = []

    def open_one(**options: object) -> Visit:
        made.append(Visit(chromium, **options))
        return made[-1]

    yield open_one
    for one in made:
        one.context.close()


@pytest.fixture
def files(tmp_path: Path, gray: bytes) -> tuple[Path, Path]:
    unusual, broken = tmp_path / "gray.png", tmp_path / "broken.jpg"
    unusual.write_bytes(gray)
    broken.write_bytes(b"no picture")
    return unusual, broken


def test_the_page_answers_pictures_and_says_what_went_wrong(
    visit, running, desk, provider, key, files
) -> None:
    unusual, broken = files
    here = visit(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = here.page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#sample-list img")
    assert page.url == f"{running.address}/"  # the key has left the address bar
    assert page.inner_text("#samples-title") == "Or try one of these drawings"
    assert "€0.02 a picture" in page.inner_text("#facts")

    page.click("#sample-list li:nth-child(1) button")
    page.wait_for_selector(".verdict")
    assert page.locator(".verdict span").first.inner_text() == "cold"
    assert page.locator(".bars .bar").count() == 2
    assert "Price €0.02" in page.inner_text(".meta").replace("\n", " ")
    page.click(".receipt summary")
    assert '"rcp_0"' in page.inner_text(".receipt pre")
    assert page.inner_text("#status").startswith("drawing 0.jpg: cold")

    page.set_input_files("#files", [unusual])
    card = page.locator(".result", has=page.locator(".note.unusual"))
    card.wait_for()
    assert "Unlike anything this model was shown" in card.inner_text()
    assert card.locator(".bar").count() == 0
    assert "%" not in card.inner_text()

    page.set_input_files("#files", [broken])
    page.wait_for_selector(".note.failed")
    assert "not a JPEG, PNG, WebP, BMP or TIFF picture" in page.inner_text(".note.failed")

    page.click(".program summary")
    assert "$MINTAGE_KEY" in page.inner_text("#curl")
    assert '--data-binary @cat.jpg -H "Content-Type: image/jpeg"' in page.inner_text("#curl")
    assert "import mintage" in page.inner_text("#python").splitlines()
    assert 'client.predict("tones", "cat.jpg")' in page.inner_text("#python")
    assert key not in page.content()
    page.click("#language")
    assert "无法读取这张图片" in page.inner_text(".note.failed")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"

    assert desk.outcomes == ["ok", "abstain", "error"]
    assert here.complaints == []
    assert here.outside(running.address) == []
    assert not any(key in url for url in here.requests[1:])


def test_a_visitor_on_a_phone_without_a_key_is_asked_once_and_then_answered(
    visit, running, desk, key
) -> None:
    here = visit(
        viewport={"width": 390, "height": 844},
        locale="zh-CN",
        color_scheme="dark",
        has_touch=True,
        is_mobile=True,
    )
    page = here.page
    page.goto(running.address)
    page.wait_for_selector("#sample-list img")
    assert page.inner_text("#lead") == "选择图片，或拍一张"
    page.tap("#sample-list li:nth-child(2) button")
    assert page.locator("#key").evaluate("element => element === document.activeElement")
    page.fill("#key", "mk_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note.failed")
    assert "密钥无效" in page.inner_text(".note.failed")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".verdict")
    assert page.is_hidden("#key-form")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap(".program summary")
    page.tap(".receipt summary")
    assert page.is_visible("#python")
    assert page.evaluate("innerWidth") == 390
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("find => document.querySelector(find).scrollWidth > 390", "#curl")
    page.reload()
    page.wait_for_selector("#sample-list img")
    assert page.is_hidden("#key-form")  # this tab remembers
    assert re.search(r"…\w{4}$", page.inner_text("#key-state"))
    assert here.complaints == []


def test_the_documentation_renders_every_route_without_the_network(visit, running) -> None:
    here = visit(viewport={"width": 1280, "height": 900})
    here.page.goto(f"{running.operator_address}/docs")
    here.page.wait_for_selector("#schemas article")
    text = here.page.inner_text("body")
    assert "/v1/products/{product}/predict" in text
    assert "Authorization: Bearer $MINTAGE_KEY" in text
    assert here.complaints == []
    assert here.outside(running.operator_address) == []
