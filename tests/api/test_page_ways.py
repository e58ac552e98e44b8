"""Every way into the page, in a real Chromium: dropped, pasted, photographed, several, on trial."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api import test_page
from tests.api.conftest import KEY, Desk, Running

from mintage.api.intake import Place
from mintage.api.service import Service
from mintage.core.errors import QuotaReached
from mintage.core.messages import _
from mintage.core.types import Permit

pytestmark = pytest.mark.browser
chromium, files, visit = test_page.chromium, test_page.files, test_page.visit

_HAND_OVER = """([kind, encoded]) => {
  const carried = new DataTransfer();
  encoded.forEach((text, at) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    carried.items.add(new File([bytes], `${kind} ${at}.png`, { type: "image/png" }));
  });
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: carried, bubbles: true })
    : new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""

_UNTIL_RELEASED = """() => new Promise((done) => {
  const look = () => {
    if (document.getElementById("live").srcObject === null) done();
    else requestAnimationFrame(look);
  };
  look();
})"""


@pytest.fixture
def hand_over(draw: Callable[..., bytes]) -> Callable[..., None]:
    """Drop or paste pictures of these colours."""

    def act(page: Any, kind: str, *colours: tuple[int, int, int]) -> None:
        pictures = [base64.b64encode(draw(colour)).decode() for colour in colours]
        page.evaluate(_HAND_OVER, [kind, pictures])

    return act


def test_dropped_and_pasted_pictures_each_get_a_card_of_their_own(
    visit, running, desk, key, hand_over
) -> None:
    here = visit(locale="en-US")
    page = here.page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#drop:not([hidden])")
    hand_over(page, "drop", (230, 120, 20), (20, 90, 220), (120, 120, 120))
    page.wait_for_selector(".result:nth-child(3) .receipt")
    hand_over(page, "paste", (20, 90, 220))
    page.wait_for_selector(".result:nth-child(4) .receipt")
    cards = page.locator(".result")
    assert [cards.nth(n).locator("img").get_attribute("alt") for n in range(4)] == [
        "paste 0.png",
        "drop 2.png",
        "drop 1.png",
        "drop 0.png",
    ]
    said = [cards.nth(n).locator(".verdict span, .note strong").first for n in range(4)]
    assert [each.inner_text() for each in said] == [
        "cold",
        "Unlike anything this model was shown",
        "cold",
        "warm",
    ]
    assert sorted(desk.outcomes) == ["abstain", "ok", "ok", "ok"]
    assert len({usage.event_id for usage in desk.usages}) == 3 + 1  # one action a picture
    assert here.complaints == []


def test_a_picture_is_charged_once_though_its_first_answer_was_lost(
    visit, running, desk, key, warm, tmp_path
) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#drop:not([hidden])")
    picture = tmp_path / "warm.png"
    picture.write_bytes(warm)

    def lose(route: Any) -> None:
        route.fetch()  # the server answers and charges
        route.abort()

    page.route("**/predict", lose, times=1)
    page.set_input_files("#files", [picture])
    page.wait_for_selector(".note.failed")
    assert "The server cannot be reached" in page.inner_text(".note.failed")
    page.click(".note.failed button")
    page.wait_for_selector(".verdict")
    assert desk.outcomes == ["ok"]


def test_a_live_picture_is_taken_on_a_desk(visit, running, desk, key) -> None:
    here = visit(locale="en-US", permissions=["camera"])
    page = here.page
    page.goto(f"{running.address}/#key={key}")
    page.click("#camera")
    page.click("#shutter:not([disabled])")
    page.wait_for_selector(".result .note, .result .verdict")
    assert page.get_attribute(".result img", "alt") == "photo.jpg"
    assert len(desk.outcomes) == 1
    assert not page.is_visible("#viewfinder")
    page.click("#camera")
    page.wait_for_selector("#shutter:not([disabled])")
    page.keyboard.press("Escape")
    page.evaluate(_UNTIL_RELEASED)
    assert here.complaints == []


def test_a_refused_camera_says_what_to_do(visit, running, key) -> None:
    here = visit(locale="en-US")
    page = here.page
    page.goto(f"{running.address}/#key={key}")
    page.click("#camera")
    page.wait_for_selector("#camera-trouble:not([hidden])")
    assert "Allow it in the address bar" in page.inner_text("#camera-trouble")
    assert page.is_disabled("#shutter")
    page.click("#camera-close")
    assert not page.is_visible("#viewfinder")


def test_a_phone_opens_its_own_camera(visit, running, key) -> None:
    page = visit(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}).page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#photo:not([hidden])")
    assert page.get_attribute("#photo-file", "capture") == "environment"
    assert page.is_hidden("#camera")


def test_the_page_works_by_the_keyboard_alone(visit, running, key) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#sample-list img")
    reached = []
    for __ in range(5):
        page.keyboard.press("Tab")
        name, ring = page.evaluate(
            """() => {
              const here = document.activeElement;
              const ringed = here.closest(".file") ?? here;
              return [here.id || here.className, getComputedStyle(ringed).outlineStyle];
            }"""
        )
        reached.append(name)
        assert ring == "solid", name
    assert reached == ["skip", "key-button", "language", "files", "camera"]
    page.focus("#sample-list li:nth-child(1) button")
    page.keyboard.press("Enter")
    page.wait_for_selector(".verdict")
    page.focus(".receipt summary")
    page.keyboard.press("Enter")
    assert page.is_visible(".receipt pre")


# ---- the trial


@pytest.fixture
def on_trial(
    service: Service, desk: Desk, changed: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """A server that admits one call without a key."""
    admit, left = desk.admit, [1]

    def admitting(key: str | None, product: str, address: str | None) -> Permit:
        if key is not None:
            return admit(key, product, address)
        if not left[0]:
            raise QuotaReached(
                _("The {most:,} free calls of this day are used up.", most=1),
                retry_after_seconds=7,
            )
        left[0] -= 1
        return admit(KEY, product, address)

    monkeypatch.setattr(desk, "admit", admitting)
    server = Running(changed(service, trial=1))
    yield server
    server.close()


def test_a_visitor_tries_without_a_key_and_goes_on_with_one(visit, on_trial, desk, key) -> None:
    here = visit(locale="en-US")
    page = here.page
    page.goto(on_trial.address)
    page.wait_for_selector("#sample-list img")
    assert "1 free try a day, shared by all visitors" in page.inner_text("#facts")
    assert page.inner_text("#key-state") == "Trial without a key"
    assert page.is_hidden("#key-form")
    page.click("#sample-list li:nth-child(1) button")
    page.wait_for_selector(".verdict")
    page.click("#sample-list li:nth-child(2) button")
    page.wait_for_selector(".note.failed")
    refused = page.inner_text(".note.failed")
    assert "The 1 free calls of this day are used up." in refused
    assert "Possible again at " in refused
    page.click("#key-button")
    page.fill("#key", key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".result:first-child .verdict")  # the newest stands first
    assert page.locator(".result .note.failed").count() == 0
    assert "free try" not in page.inner_text("#facts")
    assert desk.outcomes == ["ok", "ok"]
    assert here.complaints == []


# ---- what goes wrong


def test_every_refusal_is_said_in_words_with_what_to_do(
    visit, running, desk, provider, key, warm, http, tmp_path: Path
) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#sample-list img")
    picture = tmp_path / "warm.png"
    picture.write_bytes(warm)

    def refusal(file: Path = picture) -> str:
        count = page.locator(".result").count()
        page.set_input_files("#files", [file])
        page.wait_for_selector(f".results li:nth-child({count + 1})")
        note = page.locator(".results li").first.locator(".note.failed")
        note.wait_for()
        return note.inner_text()

    large = tmp_path / "large.png"
    large.write_bytes(bytes(100_001))
    said = refusal(large)
    assert "This picture is too large" in said
    assert "At most 0.1 MB can be sent." in said

    def send_as(kind: str) -> None:
        page.route(
            "**/predict",
            lambda route: route.continue_(headers=route.request.headers | {"content-type": kind}),
            times=1,
        )

    send_as("text/plain")
    said = refusal()
    assert "A body of type 'text/plain' is not read." in said
    assert "Send a JPEG, PNG" in said
    assert "Try again" not in said  # it would fail again

    provider.held.clear()
    said = refusal()  # 504 after the deadline
    provider.held.set()
    assert "There was no answer within 2 seconds." in said
    assert "Possible again at " in said

    page.route(
        "**/predict",
        lambda route: route.fulfill(status=413, content_type="text/html", body="<h1>Too large"),
        times=1,
    )
    assert "This picture is too large" in refusal()
    page.route(
        "**/predict",
        lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad gateway"),
        times=1,
    )
    assert "Something on the way to the server answered (502)" in refusal()


def _refused_for_overload(
    page: Any, running: Running, service: Service, key: str, data: bytes, folder: Path
) -> list[Place]:
    """Send a picture while all places are taken; they are those to be given back."""
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#sample-list img")
    (folder / "warm.png").write_bytes(data)
    places = [service.intake.place(10, 100) for __ in range(4)]
    page.set_input_files("#files", [folder / "warm.png"])
    page.wait_for_selector(".note.failed")
    return places


def test_an_overloaded_server_is_said_so_and_asked_again(
    visit, running, service, key, warm, tmp_path: Path
) -> None:
    page = visit(locale="en-US").page
    places = _refused_for_overload(page, running, service, key, warm, tmp_path)
    said = page.inner_text(".note.failed")
    assert "Too many calls at this moment" in said
    assert "Send it again in a second." in said
    assert "overloaded · request req_" in said
    for place in places:
        place.__exit__(None, None, None)
    page.click(".note.failed button")
    page.wait_for_selector(".verdict")


def test_an_overload_is_said_in_the_readers_language_though_the_server_spoke_english(
    visit, running, service, key, warm, tmp_path: Path
) -> None:
    page = visit(locale="zh-CN").page
    places = _refused_for_overload(page, running, service, key, warm, tmp_path)
    said = page.inner_text(".note.failed")
    assert "当前调用过多\n请一秒后重新发送。" in said.replace("\n\n", "\n")
    assert "Send it" not in said
    assert page.get_attribute(".note.failed strong", "lang") is None  # the page's own
    assert page.inner_text("#status") == "warm.png：当前调用过多"
    page.click("#language")  # now it is told as the server said it
    assert "Too many calls at this moment" in page.inner_text(".note.failed")
    for place in places:
        place.__exit__(None, None, None)


_HERE = "() => document.activeElement.closest('.result')?.getAttribute('aria-label') ?? null"


def test_who_tries_again_by_the_keyboard_stays_at_the_picture(
    visit, running, provider, key, warm, tmp_path: Path
) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#sample-list img")
    picture = tmp_path / "warm.png"
    picture.write_bytes(warm)
    page.route("**/predict", lambda route: route.abort(), times=1)
    page.set_input_files("#files", [picture])
    page.focus(".note.failed button")
    provider.held.clear()
    page.keyboard.press("Enter")
    page.wait_for_selector(".waiting")
    assert page.evaluate(_HERE) == "warm.png"
    provider.held.set()
    page.wait_for_selector(".verdict")
    assert page.evaluate(_HERE) == "warm.png"


_LOADS = """address => new Promise((done) => {
  const image = new Image();
  image.addEventListener("load", () => done(true));
  image.addEventListener("error", () => done(false));
  image.src = address;
})"""


def test_a_picture_that_is_shown_is_not_held_by_its_address_any_more(
    visit, running, key, files
) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.wait_for_selector("#drop:not([hidden])")
    page.set_input_files("#files", list(files))
    page.wait_for_selector(".shot.blank")
    page.wait_for_selector(".note.unusual")
    page.wait_for_function("() => document.querySelector('.shot img')?.complete")
    address = page.get_attribute(".shot img", "src")
    assert address.startswith("blob:")
    assert page.evaluate(_LOADS, address) is False
    page.click("#language")
    assert page.inner_text(".shot.blank") == "此格式无法预览"
    assert page.evaluate("() => document.querySelector('.shot img').naturalWidth") == 32


def test_the_program_on_the_page_runs_as_it_stands(
    visit, running, desk, key, warm, tmp_path
) -> None:
    page = visit(locale="en-US").page
    page.goto(f"{running.address}/#key={key}")
    page.click(".program summary")
    (tmp_path / "cat.jpg").write_bytes(warm)
    said = subprocess.run(
        [sys.executable, "-c", page.inner_text("#python")],
        cwd=tmp_path,
        env={**os.environ, "MINTAGE_KEY": key},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "'label': 'warm'" in said
    assert "'amount': '0.02'" in said
    assert [usage.event_id is not None for usage, __ in desk.events.values()] == [True]


def test_a_page_that_cannot_ask_the_server_says_so(visit, running, key) -> None:
    here = visit(locale="zh-CN")
    here.page.route("**/v1/products", lambda route: route.abort())
    here.page.goto(f"{running.address}/#key={key}")
    here.page.wait_for_selector("#title:has-text('无法连接服务器')")
    assert "请检查网络后重试" in here.page.inner_text("#facts")
    here.page.click("#language")
    assert here.page.inner_text("#title") == "The server cannot be reached"
    assert here.page.is_hidden("#key-form")
    here.page.unroute("**/v1/products")
    here.page.click("#facts button")
    here.page.wait_for_selector("#drop:not([hidden])")
