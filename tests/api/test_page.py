"""The upload page in a real Chromium: an answer, an unusual picture, errors, both languages."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import Running

pytestmark = pytest.mark.browser

_FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
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

    def answered(self, server: Running, key: str, sample: int) -> Any:
        """The page with the answer to a sample, counted from 1."""
        self.page.goto(f"{server.address}/#key={key}")
        self.page.click(f"#sample-list li:nth-child({sample}) button")
        self.page.wait_for_selector(".verdict")
        return self.page

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
    failed = page.inner_text(".note.failed")
    assert "not a JPEG, PNG, WebP, BMP or TIFF picture" in failed
    assert "data_error · request req_" in failed

    page.click(".program summary")
    assert "$MINTAGE_KEY" in page.inner_text("#curl")
    assert '--data-binary @cat.jpg -H "Content-Type: image/jpeg"' in page.inner_text("#curl")
    made = re.search(r'-H "Idempotency-Key: \$\((.+)\)" ', page.inner_text("#curl"))
    keys = {subprocess.check_output(["sh", "-c", made[1]], text=True) for __ in range(2)}
    assert len(keys) == 2
    assert all(re.fullmatch(r"[0-9a-f]{16}\n?", key) for key in keys)
    assert page.inner_text("#python").splitlines()[0] == "# pip install httpx"
    assert key not in page.content()
    page.click("#language")
    assert "请求 req_" in page.inner_text(".note.failed")
    assert "数据无法使用" in page.inner_text(".note.failed")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"

    assert desk.outcomes == ["ok", "abstain", "error"]
    assert here.complaints == []
    assert here.outside(running.address) == []
    assert not any(key in url for url in here.requests[1:])


def test_a_visitor_on_a_phone_without_a_key_is_asked_once_and_then_answered(
    visit, running, desk, key, chinese
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
    page.wait_for_selector("#key:focus")
    page.fill("#key", "mtg_live_wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector(".note.failed")
    failed = page.inner_text(".note.failed")  # in the words of the server
    assert chinese("No valid key") in failed
    assert chinese("No valid API key came with this call.") in failed
    assert page.get_attribute(".note.failed strong", "lang") == "zh"
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".verdict")
    assert page.is_hidden("#key-form")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.tap(".program summary")
    page.tap(".receipt summary")
    assert page.is_visible("#python")
    assert page.evaluate("innerWidth") == 390
    assert key not in page.content()  # nor in the program that it offers
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("find => document.querySelector(find).scrollWidth > 390", "#curl")
    page.set_viewport_size({"width": 320, "height": 640})  # WCAG 1.4.10
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    page.wait_for_selector("#sample-list img")
    assert page.is_hidden("#key-form")  # this tab remembers
    assert re.search(r"…\w{4}$", page.inner_text("#key-state"))
    assert here.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_documentation_renders_every_route_without_the_network(
    visit, running, locale, width, chinese
) -> None:
    here = visit(viewport={"width": width, "height": 900}, locale=locale)
    page = here.page
    page.goto(f"{running.operator_address}/docs")
    page.wait_for_selector("#schemas article")
    text = page.inner_text("body")
    assert "/v1/products/{product}/predict" in text
    assert "Authorization: Bearer $MINTAGE_KEY" in text
    assert ("需要密钥" if locale == "zh-CN" else "needs a key") in text
    assert page.evaluate("document.documentElement.scrollWidth") == width
    told = locale == "zh-CN"
    assert (chinese("Answer one picture") in text) is told
    assert ("参数" in text) is told
    assert ("Parameters" in text) is not told
    page.click("#language")
    page.wait_for_function("was => document.documentElement.lang !== was", arg=_lang(told))
    page.wait_for_selector(f"h4:text-is('{'Parameters' if told else '参数'}')")
    assert here.complaints == []
    assert here.outside(running.operator_address) == []


def _lang(told: bool) -> str:
    return "zh-Hans" if told else "en"


_EDGES = """(ids) => ids.map((id) => {
  const element = document.getElementById(id);
  const [own, page] = [getComputedStyle(element), getComputedStyle(document.body)];
  return [own.borderTopColor, own.backgroundColor, page.backgroundColor];
})"""


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of ``rgb(r, g, b)``."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edges_of_fields_and_lists_are_seen(visit, running, scheme: str) -> None:
    page = visit(color_scheme=scheme).page
    page.goto(running.address)
    page.wait_for_selector("#key")
    for edge, inside, outside in page.evaluate(_EDGES, ["key", "products"]):
        assert _contrast(edge, inside) >= 3  # WCAG 2.2, 1.4.11
        assert _contrast(edge, outside) >= 3


def test_every_word_is_there_in_both_languages_and_of_the_same_kind(visit, running) -> None:
    page = visit().page
    page.goto(running.address)
    shapes = page.evaluate(
        """async () => {
          const shape = (word) => typeof word !== "object" || word === null
            ? typeof word
            : Object.fromEntries(Object.keys(word).map((name) => [name, shape(word[name])]));
          const tables = await import("/static/words.js");
          return Object.fromEntries(Object.entries(tables).map(
            ([name, table]) => [name, { en: shape(table.en), zh: shape(table.zh) }]));
        }"""
    )
    assert set(shapes) == {"WORDS", "DOCS"}
    for table in shapes.values():
        assert table["en"] == table["zh"]
        assert table["en"]


def test_every_word_that_the_pages_ask_for_is_there(visit, running) -> None:
    from importlib.resources import files

    from mintage.api import pages

    scripts = [f"{name}.js" for name in pages.MODULES if name != "words"]
    here = visit().page
    here.goto(running.address)
    words = here.evaluate(
        """async () => {
          const { WORDS, DOCS } = await import("/static/words.js");
          return [Object.keys(WORDS.en), Object.keys(DOCS.en)];
        }"""
    )
    asking = [("index.html", *scripts), ("docs.html", "docs.js")]
    for known, (html, *modules) in zip(words, asking, strict=True):
        text = files(pages).joinpath(html).read_text()
        asked = set(re.findall(r'data-word="(\w+)"', text))
        text = "".join(files(pages).joinpath(module).read_text() for module in modules)
        asked |= set(re.findall(r"words\(\)\.(\w+)", text))
        asked |= set(re.findall(r"const \{ (\w+) \} = words\(\)", text))
        assert asked == set(known)
