"""The page of a language model in a real Chromium: a talk, its tokens, price and receipt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api import test_page
from tests.e2e import test_language_models
from tests.e2e.test_language_models import Shop
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import PROMPT, WORDS, Scripted

from mintage.app.language import TokenPrices

pytestmark = pytest.mark.browser
chromium, visit = test_page.chromium, test_page.visit
upstream, shop, server = (
    test_language_models.upstream,
    test_language_models.shop,
    test_language_models.server,
)
_fresh = test_language_models._fresh
SAID = "".join(WORDS)


@pytest.fixture
def page(visit: Any, server: Server, shop: Shop) -> Iterator[Any]:
    opened = visit(locale="en-GB")
    opened.page.goto(f"{server.url}/#key={shop.key}")
    opened.page.wait_for_selector("#chat:not([hidden])")
    yield opened.page
    assert opened.outside(server.url) == []
    assert [each for each in opened.complaints if "status of 503" not in each] == []


def say(page: Any, text: str) -> Any:
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")
    return page.locator(".turn").last


def test_an_answer_grows_and_ends_with_its_tokens_its_price_and_its_receipt(
    page: Any, upstream: Scripted, shop: Shop
) -> None:
    assert page.inner_text("#title") == "assistant"
    facts = page.inner_text("#facts")
    assert "$1.00 for 1,000,000 input tokens" in facts
    assert "$4.00 for 1,000,000 output tokens" in facts
    assert not page.is_visible("#drop")
    assert "pip install openai" in page.text_content("#python")

    upstream.pause_seconds = 0.4
    turn = say(page, "What are cats?")
    turn.get_by_text("Cats are").wait_for()
    growing = turn.locator(".meta").inner_text()
    assert "≈" in growing
    turn.locator(".receipt").wait_for()
    assert turn.locator(".reply").inner_text() == SAID
    said = turn.locator(".meta").inner_text()
    assert "≈" not in said
    assert f"Tokens read\n{PROMPT}" in said
    assert f"Tokens written\n{len(WORDS)}" in said
    (event,) = shop.usage()
    assert event["price"] in said
    assert event["receipt"] in turn.locator(".receipt").inner_text()
    turn.locator(".receipt summary").click()
    assert '"output_token": 5' in turn.locator(".receipt pre").inner_text()
    assert event["price"] in page.inner_text("#spent")


def test_what_was_said_goes_with_the_next_question_and_a_new_conversation_forgets_it(
    page: Any, upstream: Scripted
) -> None:
    say(page, "One?").locator(".receipt").wait_for()
    say(page, "Two?\n").locator(".receipt").wait_for()
    contents = [each["content"] for each in upstream.requests[-1]["messages"]]
    assert contents == ["One?", SAID, "Two?"]
    page.click("#fresh")
    assert page.locator(".turn").count() == 0
    say(page, "Three?").locator(".receipt").wait_for()
    assert [each["content"] for each in upstream.requests[-1]["messages"]] == ["Three?"]


def test_what_goes_wrong_is_said_and_can_be_tried_again(
    page: Any, upstream: Scripted, shop: Shop
) -> None:
    upstream.turns += ["500"] * 3
    turn = say(page, "What are cats?")
    turn.locator(".note.failed").wait_for()
    turn.locator(".note button").click()
    turn.locator(".receipt").wait_for()
    assert turn.locator(".reply").inner_text() == SAID

    upstream.turns += ["truncates"]
    turn = say(page, "And dogs?")
    turn.locator(".note.failed").wait_for()
    assert "broke off" in turn.locator(".note.failed").inner_text()
    assert turn.locator(".reply").inner_text() == "".join(WORDS[: len(WORDS) // 2])
    test_language_models.eventually(lambda: shop.usage()[-1]["outcome"] == "partial")


def test_a_growing_answer_can_be_stopped(page: Any, upstream: Scripted, shop: Shop) -> None:
    upstream.pause_seconds = 0.5
    turn = say(page, "What are cats?")
    turn.locator(".reply").wait_for()
    page.click("#stop")
    turn.get_by_text("What had arrived by then is charged").wait_for()
    assert not page.is_visible("#stop")
    assert page.is_visible("#send")
    test_language_models.eventually(lambda: bool(shop.usage()))
    assert shop.usage()[-1]["outcome"] in {"partial", "cancelled"}


def test_without_a_key_one_is_asked_for_and_the_page_speaks_chinese(
    visit: Any, server: Server, shop: Shop
) -> None:
    opened = visit(locale="zh-CN", viewport={"width": 380, "height": 800})
    page = opened.page
    page.goto(server.url)
    page.wait_for_selector("#key-form:not([hidden])")
    say(page, "猫是什么？")
    assert page.inner_text("#key-hint").startswith("对话需要密钥")
    assert page.input_value("#prompt") == "猫是什么？"
    assert page.evaluate("document.activeElement.id") == "key"
    page.fill("#key", shop.key)
    page.click("#key-form button")
    turn = say(page, "猫是什么？")
    turn.locator(".receipt").wait_for()
    assert "读入 token" in turn.locator(".meta").inner_text()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 380
    assert opened.complaints == []


def test_prices_of_a_request_are_among_the_facts(
    visit: Any, shop: Shop, upstream: Scripted, tmp_path: Path
) -> None:
    shop.declare(prices=TokenPrices("1", "4", "0.5", currency="USD"))
    running = Server(shop.home)
    try:
        page = visit(locale="en-GB").page
        page.goto(f"{running.url}/#key={shop.key}")
        page.wait_for_selector("#chat:not([hidden])")
        assert "$0.50 for 1,000,000 cached input tokens" in page.inner_text("#facts")
    finally:
        running.end()
