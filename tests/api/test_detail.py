"""What a plan keeps back of answers, over HTTP and over a real workspace."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import InProcess, serving

from mintage.api.application import customer_app
from mintage.app.root import App
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.settings import load_settings
from mintage.trust.statements import open_statement

PREDICT = "/v1/products/pets/predict"
PLAN = """
currency = "EUR"

[answers]
decimals = 1
top = 1

[[charges]]
unit = "image"
price = "0.02"
"""


@pytest.fixture
def picture(trained_home: Path) -> bytes:
    return (trained_home.parent / "photos/light/003.jpg").read_bytes()


@contextmanager
def sold(home: Path, tmp_path: Path, **settings: Any) -> Iterator[tuple[App, InProcess]]:
    """The product ``pets``, sold by a plan that tells little."""
    (tmp_path / "pets.toml").write_text(PLAN)
    with App(load_settings(home=home, threads=1, **settings)) as app:
        for product in ("pets", "whole"):
            app.publishing.publish("pets@1", product, price="0.02")
        app.billing.set_plan(tmp_path / "pets.toml", "pets")
        __, issued = app.capture.add_customer("Ada")
        with serving(app) as service, InProcess(customer_app(service)) as client:
            client.headers["Authorization"] = f"Bearer {issued.key.reveal()}"
            yield app, client
            client.call(service.engine.close())


def test_an_answer_tells_as_much_as_the_plan_says_and_the_receipt_is_of_what_was_told(
    home: Path, tmp_path: Path, picture: bytes
) -> None:
    with sold(home, tmp_path) as (app, client):
        plan = app.capture.plans.current("pets")
        signed = open_statement(app.capture.plans.signed(plan).data, app.keys, kind="plan").document
        assert signed["answers"] == {"decimals": 1, "top": 1}
        assert client.get("/v1/products/pets").json()["answers"] == {"decimals": 1, "top": 1}
        whole = client.post("/v1/products/whole/predict", content=picture).json()["output"]
        assert whole["probability"] != round(whole["probability"], 1)
        said = client.post(PREDICT, content=picture).json()
        output = said["output"]
        assert output["label"] == whole["label"]
        assert output["probability"] == round(whole["probability"], 1)
        assert output["probabilities"] == {
            label: output["probability"] if label == output["label"] else None
            for label in whole["probabilities"]
        }
        receipt = json.loads(base64.b64decode(said["receipt"]["envelope"]["payload"]))
        assert receipt["output_sha256"] == sha256_hex(canonical_json(output))
        (event, __) = client.get("/v1/usage").json()["usage"]
        assert event["probability"] == output["probability"]


def test_so_do_a_repetition_several_at_once_an_explanation_and_the_other_protocol(
    home: Path, tmp_path: Path, picture: bytes
) -> None:
    with sold(home, tmp_path) as (__, client):
        first = client.post(PREDICT, content=picture, headers={"Idempotency-Key": "k"}).json()
        again = client.post(PREDICT, content=picture, headers={"Idempotency-Key": "k"}).json()
        assert again["output"] == first["output"]
        images = [base64.b64encode(picture).decode()] * 2
        several = client.post(f"{PREDICT}:batch", json={"images": images}).json()["results"]
        assert [each["answer"]["output"] for each in several] == [first["output"]] * 2
        explained = client.post(f"{PREDICT}?explain=map", content=picture).json()
        assert explained["output"] == first["output"]
        figures = [explained["explanation"]["drop"], *explained["explanation"]["map"]["values"]]
        assert all(value == round(value, 1) for value in figures)
        tensors = _inferred(client, picture)
        assert tensors["probability"] == [first["output"]["probability"]]
        assert sorted(tensors["probabilities"]) == sorted([0.0, first["output"]["probability"]])


def _inferred(client: InProcess, picture: bytes) -> dict[str, list[Any]]:
    data = [base64.b64encode(picture).decode()]
    one = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    said = client.post("/v2/models/pets/infer", json={"inputs": [one]}).json()
    return {each["name"]: each["data"] for each in said["outputs"]}


def test_a_visitor_of_the_trial_is_told_no_more_than_who_pays(
    home: Path, tmp_path: Path, picture: bytes
) -> None:
    with sold(home, tmp_path, trial=5) as (__, client):
        paid = client.post(PREDICT, content=picture).json()["output"]
        del client.headers["Authorization"]
        assert client.post(PREDICT, content=picture).json()["output"] == paid
        assert json.dumps(paid).count("null") == 1
