"""Explanations over HTTP: over a real model, and what happens where one cannot be given."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.api.conftest import KEY, Colours, Desk, InProcess, drawn, serving

from mintage.api.application import customer_app, openapi_document, operator_app
from mintage.api.service import Service
from mintage.app.root import App
from mintage.bundle.predictor import Explanation
from mintage.core.errors import ConfigError
from mintage.core.settings import load_settings
from mintage.core.types import Answer
from mintage.deliver.explain import Explanations

PREDICT = "/v1/products/pets/predict"
TONES = "/v1/products/tones/predict"


@dataclass
class Shop:
    """A real model on sale, and a customer before its server."""

    app: App
    customer: InProcess

    def price(self, answer: Any) -> str:
        return str(answer.json()["price"]["amount"])


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets@1", "pets", price="0.02", explanation_price="0.005")
        __, issued = app.capture.add_customer("Ada")
        headers = {"Authorization": f"Bearer {issued.key.reveal()}"}
        with serving(app) as service, InProcess(customer_app(service), **headers) as customer:
            yield Shop(app, customer)
            customer.call(service.explanations.close())
            customer.call(service.engine.close())


@pytest.fixture
def picture(trained_home: Path) -> bytes:
    return (trained_home.parent / "photos/light/003.jpg").read_bytes()


def test_an_explanation_is_numbers_a_drawing_or_both_and_is_priced_as_the_plan_says(
    shop: Shop, picture: bytes
) -> None:
    plain = shop.customer.post(PREDICT, content=picture)
    assert "explanation" not in plain.json()
    forms = {}
    for form in ("map", "png", "true"):
        answer = shop.customer.post(f"{PREDICT}?explain={form}", content=picture)
        assert answer.status_code == 200, answer.text
        output, before = answer.json()["output"], plain.json()["output"]
        assert output["label"] == before["label"]
        assert output["probability"] == pytest.approx(before["probability"], abs=1e-6)
        assert shop.price(answer) == "0.025"
        forms[form] = answer.json()["explanation"]
    assert shop.price(plain) == "0.02"
    assert forms["true"] == forms["map"] | forms["png"]
    assert "png" not in forms["map"]
    assert "map" not in forms["png"]
    expected = shop.app.create.predictor("pets@1").explain(picture)
    found = np.array(forms["map"]["map"]["values"]).reshape(forms["map"]["map"]["shape"])
    assert np.abs(found - expected.map).max() < 1e-4
    assert forms["map"]["label"] == expected.label
    assert forms["map"]["drop"] == pytest.approx(float(expected.map.max()), abs=1e-4)
    with Image.open(io.BytesIO(base64.b64decode(forms["png"]["png"]))) as image:
        assert image.format == "PNG"
    quantities = [event["quantities"] for event in shop.app.capture.usage()][::-1]
    assert quantities == [{"image": 1}] + [{"image": 1, "explanation": 1}] * 3
    card = shop.customer.get("/v1/products/pets").json()
    assert card["price"] == {
        "amount": "0.02",
        "currency": "EUR",
        "per": 1,
        "unit": "image",
        "explanation": "0.005",
    }


def test_a_repetition_gets_the_same_explanation_free_and_another_form_is_another_call(
    shop: Shop, picture: bytes
) -> None:
    once = {"Idempotency-Key": "once"}
    first = shop.customer.post(f"{PREDICT}?explain=map", content=picture, headers=once)
    again = shop.customer.post(f"{PREDICT}?explain=map", content=picture, headers=once)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["explanation"] == first.json()["explanation"]
    for form in ("", "?explain=png", "?explain=true"):
        other = shop.customer.post(PREDICT + form, content=picture, headers=once)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(shop.app.capture.usage()) == 1


def test_what_an_explanation_costs_stays_until_it_is_said_anew(shop: Shop) -> None:
    def plan(**prices: str) -> tuple[str, str, str]:
        found = shop.app.publishing.publish("pets@1", "pets", **prices)["plan"]
        return found["price"], found["explanation_price"], found["currency"]

    assert plan() == ("0.02", "0.005", "EUR")
    assert plan(price="0.03") == ("0.03", "0.005", "EUR")
    assert plan(explanation_price="0.010") == ("0.03", "0.01", "EUR")
    with pytest.raises(ConfigError, match=r"An explanation has cost 0\.01 EUR so far"):
        plan(price="0.03", currency="USD")
    assert plan(price="0.03", currency="USD", explanation_price="0") == ("0.03", "0", "USD")
    assert plan(price="3", currency="CNY") == ("3", "0", "CNY")
    # A product that was never sold begins at the default price, with explanations included.
    other = shop.app.publishing.publish("pets@1", "others", explanation_price="0.1")["plan"]
    assert (other["name"], other["price"], other["explanation_price"]) == ("others", "0.02", "0.1")
    assert shop.app.publishing.publish("pets@1", "more")["plan"]["explanation_price"] == "0"


def test_an_explanation_is_said_in_the_language_that_is_asked_for(
    shop: Shop, picture: bytes
) -> None:
    headers = {"Accept-Language": "zh"}
    answer = shop.customer.post(f"{PREDICT}?explain=map", content=picture, headers=headers)
    assert not answer.json()["explanation"]["where"].isascii()


# ---- over a stand-in that can be held and broken


class Explaining(Colours):
    """Explains by the picture's redness."""

    def explain(self, data: bytes) -> Explanation:
        pixels = self.decode(data)
        answer: Answer = self.infer(pixels[np.newaxis])[0]
        if answer.abstained:
            return Explanation(answer, None, None)
        return Explanation(answer, pixels[..., 0].astype(np.float32) / 255, answer.output["label"])


@pytest.fixture
def provider() -> Explaining:
    return Explaining()


@pytest.fixture
def explaining(service: Service, provider: Explaining) -> Service:
    lane = Explanations(lambda *_pointer: provider, most_waiting=1, deadline_seconds=0.5)
    return replace(service, explanations=lane, metrics=type(service.metrics)())


@pytest.fixture
def caller(explaining: Service, provider: Explaining) -> Iterator[InProcess]:
    with InProcess(customer_app(explaining), Authorization=f"Bearer {KEY}") as opened:
        yield opened
        provider.held.set()
        opened.call(explaining.explanations.close())
        opened.call(explaining.engine.close())


def counted(service: Service) -> dict[str, float]:
    with InProcess(operator_app(service)) as operator:
        lines = operator.get("/metrics").text.splitlines()
    begins = 'mintage_explanations_total{outcome="'
    found = (line.removeprefix(begins) for line in lines if line.startswith(begins))
    return {line.partition('"')[0]: float(line.rpartition(" ")[2]) for line in found}


def test_where_the_model_abstains_there_is_no_explanation_and_no_charge(
    caller: InProcess, desk: Desk, explaining: Service, gray: bytes
) -> None:
    answer = caller.post(f"{TONES}?explain=true", content=gray)
    assert answer.json()["explanation"] is None
    (usage,) = desk.usages
    assert (usage.outcome, dict(usage.quantities)) == ("abstain", {"image": 1})
    assert counted(explaining) == {"abstain": 1}


def test_a_full_lane_is_a_503_before_the_body_and_plain_answers_go_on(
    caller: InProcess, desk: Desk, provider: Explaining, explaining: Service, warm: bytes
) -> None:
    provider.held.clear()
    late = caller.post(f"{TONES}?explain=map", content=warm)
    assert (late.status_code, late.json()["code"]) == (504, "service_error")
    assert late.headers["Retry-After"] == "2"

    def unread() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    full = caller.post(f"{TONES}?explain=map", content=unread())  # the first is still at work
    assert (full.status_code, full.json()["code"]) == (503, "overloaded")
    assert full.headers["Retry-After"] == "2"
    provider.held.set()
    assert caller.post(TONES, content=warm).status_code == 200
    assert desk.outcomes == ["timeout", "ok"]  # what was shed is a count, not a row
    assert [usage.permit.prices["image"].amount for usage in desk.usages] == ["0.02"] * 2
    assert [dict(usage.quantities) for usage in desk.usages] == [{"image": 1}] * 2
    assert counted(explaining) == {"timeout": 1, "shed": 1}


def test_a_failed_explanation_is_no_answer_and_no_charge(
    caller: InProcess, desk: Desk, provider: Explaining, explaining: Service, warm: bytes
) -> None:
    assert caller.post(TONES, content=warm).status_code == 200  # it is loaded
    provider.fault = ArithmeticError("broken")
    assert caller.post(f"{TONES}?explain=png", content=warm).status_code == 500
    assert caller.post(f"{TONES}?explain=png", content=b"no picture").status_code == 422
    assert [receipt.price for __, receipt in desk.events.values()] == ["0.02", "0", "0"]
    assert desk.outcomes == ["ok", "error", "error"]
    assert counted(explaining) == {"error": 2}


@pytest.mark.parametrize("form", ["yes", "", "TRUE"])
def test_a_form_that_is_none_is_a_400_that_lists_them(client: InProcess, form: str) -> None:
    answer = client.post(f"{TONES}?explain={form}", content=drawn((1, 2, 3)))
    assert answer.status_code == 400
    assert "one of false, true, map or png" in answer.json()["detail"]


def test_a_server_that_explains_nothing_says_so(client: InProcess, desk: Desk) -> None:
    answer = client.post(f"{TONES}?explain=map", content=drawn((1, 2, 3)))
    assert (answer.status_code, desk.usages) == (404, [])
    assert answer.json()["detail"] == "This server explains no answers."


def test_the_document_describes_the_option_and_what_comes_of_it(service: Service) -> None:
    document = openapi_document(service)
    predict = document["paths"]["/v1/products/{product}/predict"]["post"]
    (option,) = (each for each in predict["parameters"] if each["name"] == "explain")
    assert option["schema"]["enum"] == ["false", "true", "map", "png"]
    assert not option["required"]
    assert document["components"]["schemas"]["Explanation"]["properties"].keys() == {
        "label",
        "where",
        "drop",
        "map",
        "png",
    }
