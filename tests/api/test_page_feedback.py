"""\"Was this right?\" in a real Chromium: what is sent with consent, and nothing without."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.api import test_page
from tests.api.conftest import Running

from mintage.api.service import Service
from mintage.core.errors import QuotaReached
from mintage.core.messages import _
from mintage.core.types import Said

pytestmark = pytest.mark.browser
chromium, visit = test_page.chromium, test_page.visit


@dataclass
class Box:
    """What was given, by receipt."""

    kept: dict[str, tuple[Said, bytes]] = field(default_factory=dict)
    full: bool = False

    def keep(
        self, customer: str, receipt: str, said: Said, data: bytes, among: Any = None
    ) -> Mapping[str, Any]:
        if self.full:
            raise QuotaReached(
                _("{count:,} of your pictures wait to be used, as many as may.", count=9)
            )
        self.kept[receipt] = (said, data)
        return {
            "receipt": receipt,
            "product": "tones",
            "right": said.right,
            "label": said.label,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_bytes": len(data),
            "given_at": "2026-11-23T12:00:00.000000Z",
        }

    def withdraw(self, receipt: str, customer: str | None = None, among: Any = None) -> None:
        del self.kept[receipt]


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def asking(service: Service, box: Box) -> Iterator[Running]:
    server = Running(replace(service, feedback=box, metrics=type(service.metrics)()))
    yield server
    server.close()


def test_a_wrong_answer_is_told_with_consent_by_the_keyboard_and_taken_back(
    visit, asking, box, service, desk, key
) -> None:
    here = visit(viewport={"width": 1280, "height": 900}, locale="en-US")
    page = here.answered(asking, key, sample=1)
    assert "Was this right?" in page.inner_text(".word")
    page.focus(".word button:text-is('No')")
    page.keyboard.press("Enter")
    page.wait_for_selector(".sheet")
    assert page.evaluate("() => document.activeElement.name") == "label"
    options = page.locator(".sheet option").all_inner_texts()
    assert options == ["warm", "none of these, or I do not know"]
    assert not page.is_checked("[name=consent]")
    page.click(".sheet button[type=submit]")  # the browser asks for the consent first
    assert page.is_visible(".sheet")
    assert box.kept == {}
    page.focus("[name=consent]")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_selector(".word p[role=status]")
    (receipt,) = box.kept
    said, data = box.kept[receipt]
    assert (said.right, said.label) == (False, "warm")
    assert data == service.samples[0].data
    assert said.output == dict(desk_output(desk))
    assert "Kept, thank you." in page.inner_text(".word")
    page.click(".word button")
    page.wait_for_selector(".word button:text-is('Yes')")
    assert box.kept == {}
    assert here.complaints == []
    assert here.outside(asking.address) == []


def desk_output(desk: Any) -> Mapping[str, Any]:
    return json.loads(desk.usages[0].stored_answer)["output"]


def test_a_right_answer_needs_no_label(visit, asking, box, key) -> None:
    page = visit(locale="zh-CN").answered(asking, key, sample=1)
    page.click(".word button:text-is('对')")
    assert page.locator(".sheet select").count() == 0
    page.check("[name=consent]")
    page.click("#language")  # what was begun is still there, in the other language
    assert "I agree that this picture" in page.inner_text(".sheet")
    page.check("[name=consent]")
    page.click(".sheet button[type=submit]")
    page.wait_for_selector(".word p[role=status]")
    ((said, __),) = box.kept.values()
    assert (said.right, said.label) == (True, None)


def test_a_refusal_is_said_and_the_word_is_not_lost(visit, asking, box, key) -> None:
    box.full = True
    page = visit(locale="en-US").answered(asking, key, sample=1)
    page.click(".word button:text-is('No')")
    page.check("[name=consent]")
    page.click(".sheet button[type=submit]")
    page.wait_for_selector(".word .note.failed")
    assert "9 of your pictures wait to be used" in page.inner_text(".word")
    box.full = False
    page.click(".word .note.failed button")
    page.check("[name=consent]")
    page.click(".sheet button[type=submit]")
    page.wait_for_selector(".word p[role=status]")
    page.click(".receipt summary")
    assert page.is_visible(".receipt pre")


def test_what_has_no_label_is_asked_what_it_is(visit, asking, box, key, gray, tmp_path) -> None:
    picture = tmp_path / "gray.png"
    picture.write_bytes(gray)
    page = visit(locale="en-US").page
    page.goto(f"{asking.address}/#key={key}")
    page.wait_for_selector("#drop:not([hidden])")
    page.set_input_files("#files", [picture])
    page.wait_for_selector(".note.unusual")
    page.click(".word button:text-is('Tell us')")
    assert page.locator(".sheet option").count() == 3
    page.select_option(".sheet select", "cold")
    page.check("[name=consent]")
    page.click(".sheet button[type=submit]")
    page.wait_for_selector(".word p[role=status]")
    ((said, data),) = box.kept.values()
    assert (said.right, said.label, data) == (False, "cold", gray)


def test_where_no_feedback_is_taken_nobody_is_asked(visit, running, key) -> None:
    page = visit(locale="en-US").answered(running, key, sample=1)
    assert page.locator(".word").count() == 0
