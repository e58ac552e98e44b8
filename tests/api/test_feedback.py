"""Feedback over HTTP, over a real workspace: from a wrong answer to the next dataset."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.api.conftest import KEY, InProcess, serving
from tests.pictures import encoded, noise

from mintage.api.application import customer_app
from mintage.api.service import Service
from mintage.app.clearing import clear
from mintage.app.root import App
from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, DataError
from mintage.core.settings import load_settings
from mintage.modalities.image.modality import ImageModality
from mintage.sources.labels import read_labels

PREDICT = "/v1/products/pets/predict"
SAID = "/v1/receipts/rcp_1/feedback"


@dataclass
class Shop:
    """A product, its server, and what a customer does there."""

    app: App
    customer: InProcess

    def answer(self, picture: bytes) -> dict[str, Any]:
        answer = self.customer.post(PREDICT, content=picture)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def say(self, answer: dict[str, Any], picture: bytes, **word: Any) -> httpx.Response:
        document = {
            "right": False,
            "label": None,
            "consent": True,
            "output": answer["output"],
            "image": base64.b64encode(picture).decode(),
        } | word
        return self.customer.request("PUT", address(answer), json=document)


def address(answer: dict[str, Any]) -> str:
    return f"/v1/receipts/{answer['receipt']['id']}/feedback"


def light(seed: int) -> bytes:
    """A picture that the network has not seen, and takes for light."""
    pixels = np.asarray(noise(seed), dtype=np.float64) + 60
    return encoded(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), quality=92)


def stored(picture: bytes) -> bytes:
    """Without metadata, as datasets keep it."""
    return ImageModality().ingest(picture).data


@pytest.fixture
def opened(home: Path) -> Iterator[Callable[..., Shop]]:
    ending: list[Callable[[], None]] = []

    def open_one(**settings: Any) -> Shop:
        app = App(load_settings(home=home, threads=1, **settings))
        app.publishing.publish("pets@1", "pets", price="0.02")
        __, issued = app.capture.add_customer("Ada")
        lasting = serving(app)
        service = lasting.__enter__()
        headers = {"Authorization": f"Bearer {issued.key.reveal()}"}
        customer = InProcess(customer_app(service), **headers)
        customer.__enter__()

        def end() -> None:
            customer.call(service.explanations.close())
            customer.call(service.engine.close())
            customer.__exit__(None, None, None)
            lasting.__exit__(None, None, None)
            app.close()

        ending.append(end)
        return Shop(app, customer)

    yield open_one
    for end in ending:
        end()


@pytest.fixture
def shop(opened: Callable[..., Shop]) -> Shop:
    return opened()


@pytest.fixture
def taking(service: Service) -> Service:
    """A service that takes feedback, and has nowhere to keep it."""
    return replace(service, feedback=mock.Mock(spec=["keep", "withdraw"]))


@pytest.fixture
def unkept(taking: Service) -> Iterator[InProcess]:
    with InProcess(customer_app(taking), Authorization=f"Bearer {KEY}") as customer:
        yield customer


def test_a_wrong_answer_becomes_an_example_of_the_next_dataset(shop: Shop, home: Path) -> None:
    pictures = [light(seed) for seed in range(5000, 5006)]
    for picture in pictures[:5]:
        kept = shop.say(shop.answer(picture), picture, label="dark")
        assert kept.status_code == 200, kept.text
        assert kept.json()["label"] == "dark"
        assert kept.json().keys() == {
            "receipt",
            "product",
            "right",
            "label",
            "sha256",
            "size_bytes",
            "given_at",
        }
    last = shop.say(shop.answer(pictures[5]), pictures[5])  # wrong, but what it is is not known
    assert last.json()["label"] is None
    before = shop.app.create.dataset("pets")
    done = shop.app.feedback.collect("pets", "pets")
    after = shop.app.create.dataset("pets")
    assert done.growth.before.version == before.version
    assert after.version == done.growth.dataset.version != before.version
    assert len(after.examples) == len(before.examples) + 5
    receipts = {f"{each.receipt}.jpg" for each in done.used}
    new = [each for each in after.examples if each.path in receipts]
    assert [each.label for each in new] == ["dark"] * 5
    assert {each.sha256 for each in new} == {sha256_hex(stored(each)) for each in pictures[:5]}
    assert after.card["source"]["name"] == "feedback of pets"
    assert "given with each feedback" in after.card["about"]["consent"]
    (waiting,) = shop.app.feedback.list("pets")
    assert waiting.label is None
    assert {each.collected_into for each in shop.app.feedback.list(waiting=False)} == {
        None,
        after.reference,
    }
    with pytest.raises(DataError, match="No feedback with a label"):
        shop.app.feedback.collect("pets", "pets")
    assert not list((home / "cache").rglob("*.jpg"))  # no copy of a picture is left


def test_a_picture_that_is_an_example_already_is_used_up_and_a_contradiction_waits(
    shop: Shop, trained_home: Path
) -> None:
    photos = trained_home.parent / "photos"
    known, disputed = ((photos / f"light/{n:03}.jpg").read_bytes() for n in (3, 4))
    shop.say(shop.answer(known), known, right=True)
    shop.say(shop.answer(disputed), disputed, label="dark")
    done = shop.app.feedback.collect("pets", "pets")
    assert [each.label for each in done.used] == ["light"]
    assert [each.label for each in done.left] == ["dark"]
    assert len(done.growth.quality["conflicts"]) == 1


def test_what_is_exported_is_read_by_the_verbs_that_there_are(shop: Shop, tmp_path: Path) -> None:
    picture = light(5000)
    shop.say(shop.answer(picture), picture, label="dark")
    labels = shop.app.feedback.export("pets", tmp_path / "new/returned")
    found = read_labels(labels)
    (path,) = found.book
    assert found.faults == ()
    assert (labels.parent / path).read_bytes() == stored(picture)
    assert found.book.labels(path) == {"Ada": "dark"}
    grown = shop.app.create.grow(labels, "pets")
    assert len(grown.dataset.examples) == 121
    with pytest.raises(ConfigError, match="is there already"):
        shop.app.feedback.export("pets", tmp_path / "new/returned")


def test_gc_leaves_what_waits_and_frees_what_a_crash_left(shop: Shop, home: Path) -> None:
    picture = light(5000)
    kept = shop.say(shop.answer(picture), picture, label="dark").json()
    stray = sha256_hex(b"nobody's")
    shop.app.workspace.feedback_of("cus_nobody").put(stray, b"nobody's")
    freed = {each.kind: each.count for each in clear(shop.app.workspace).freed}
    assert freed["feedback"] == 1
    assert [path.name for path in shop.app.workspace.stored("feedback")] == [kept["sha256"]]
    shop.app.feedback.collect("pets", "pets")


def test_without_consent_nothing_is_kept(shop: Shop, home: Path) -> None:
    picture = light(5000)
    answer = shop.answer(picture)
    for consent in (False, None, "true", 1):
        refused = shop.say(answer, picture, label="dark", consent=consent)
        assert (refused.status_code, refused.json()["detail"]) == (
            422,
            "Nothing is kept without consent.",
        )
    assert shop.app.feedback.list() == []
    assert not list((home / "feedback").glob("*/*"))


def test_a_word_can_be_changed_and_taken_back(shop: Shop) -> None:
    picture = light(5000)
    answer = shop.answer(picture)
    assert shop.say(answer, picture, right=True).json()["label"] == answer["output"]["label"]
    assert shop.say(answer, picture, label="dark").json()["label"] == "dark"
    assert len(shop.app.feedback.list()) == 1
    gone = shop.customer.delete(address(answer))
    assert (gone.status_code, gone.content) == (204, b"")
    assert shop.app.feedback.list() == []
    assert shop.customer.delete(address(answer)).status_code == 404


@pytest.mark.parametrize(
    ("word", "status", "says"),
    [
        ({"right": "yes"}, 400, "'right'"),
        ({"label": "unicorn"}, 422, "no label 'unicorn'"),
        ({"label": 3}, 400, "'label'"),
        ({"image": "!"}, 400, "not a base64 string"),
        ({"image": "AAAA"}, 422, "not the picture"),
        ({"output": {"label": "dark"}}, 422, "not the answer"),
        ({"output": []}, 400, "'output'"),
        ({"more": 1}, 400, "no such field"),
    ],
)
def test_what_is_not_as_it_has_to_be_is_said(
    shop: Shop, word: dict[str, Any], status: int, says: str
) -> None:
    picture = light(5000)
    refused = shop.say(shop.answer(picture), picture, **word)
    assert (refused.status_code, says in refused.json()["detail"]) == (status, True), refused.text
    assert shop.app.feedback.list() == []


def test_a_key_is_needed_and_sizes_are_bounded_while_they_are_read(
    opened: Callable[..., Shop],
) -> None:
    shop = opened(max_upload_bytes=20_000)
    picture = light(5000)
    answer = shop.answer(picture)
    large = shop.customer.request(
        "PUT", address(answer), content=json.dumps({"image": "A" * 200_000}).encode()
    )
    assert large.status_code == 413
    exact = shop.say(answer, picture, image=base64.b64encode(bytes(20_001)).decode())
    assert exact.status_code == 413
    wrong = shop.customer.request("PUT", address(answer), content=b"{", headers={"X": "y"})
    assert wrong.status_code == 400
    del shop.customer.headers["Authorization"]
    assert shop.say(answer, picture, label="dark").status_code == 401
    assert shop.customer.delete(address(answer)).status_code == 401


def test_another_method_is_told_all_that_there_are(unkept: InProcess) -> None:
    refused = unkept.post(SAID, content=b"{}")
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "PUT, DELETE"
    assert "PUT, DELETE" in refused.json()["remedy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "image/jpeg"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
    ids=str,
)
def test_a_body_of_another_kind_is_refused_before_it_is_read(
    unkept: InProcess, headers: dict[str, str]
) -> None:
    refused = unkept.request("PUT", SAID, content=b"{}", headers=headers)
    assert refused.status_code == 415
    assert "application/json" in refused.json()["remedy"]


def test_whoever_leaves_while_sending_it_is_no_bug_of_ours(
    unkept: InProcess, taking: Service, caplog: pytest.LogCaptureFixture
) -> None:
    coming = [{"type": "http.request", "body": b"{", "more_body": True}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": SAID,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
    }
    with caplog.at_level("INFO"):
        unkept.call(customer_app(taking)(scope, receive, send))
    assert sent[0]["status"] == 499
    assert taking.intake.calls == taking.intake.body_bytes == 0
    assert "a bug" not in [record.getMessage() for record in caplog.records]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_service_without_room_for_any_takes_none(opened: Callable[..., Shop]) -> None:
    shop = opened(feedback_bytes=0)
    picture = light(5000)
    assert shop.customer.get("/page.json").json()["feedback"] is False
    assert shop.say(shop.answer(picture), picture, label="dark").status_code == 404


@pytest.mark.parametrize(
    ("label", "output"),
    [
        ("null", '{"a": 1e400}'),
        ("null", '{"a": NaN}'),
        ("null", '{"a": 123456789012345678901234567890}'),
        ("null", '{"a": "\\ud800"}'),
        ("null", '{"\\ud800": 1}'),
        ("null", '{"a": ' + "[" * 900 + "]" * 900 + "}"),
        ('"\\ud800"', "THE ANSWER'S"),
    ],
)
def test_no_word_however_odd_is_our_mistake(shop: Shop, label: str, output: str) -> None:
    picture = light(5000)
    answer = shop.answer(picture)
    image = base64.b64encode(picture).decode()
    said = output.replace("THE ANSWER'S", json.dumps(answer["output"]))
    body = (
        f'{{"right": false, "label": {label}, "consent": true,'
        f' "output": {said}, "image": "{image}"}}'
    )
    headers = {"Content-Type": "application/json"}
    refused = shop.customer.request("PUT", address(answer), content=body.encode(), headers=headers)
    assert refused.status_code in (400, 422), refused.text
    assert refused.json()["detail"]
