"""One Idempotency-Key is one action: charged once, answered alike, never computed twice."""

from __future__ import annotations

import base64
import hashlib
import threading

import pytest

PREDICT = "/v1/products/tones/predict"
INFER = "/v2/models/tones/infer"
IMAGE = {"Content-Type": "image/png"}
KEYED = IMAGE | {"Idempotency-Key": "order 17"}


def unread(read: list[int]):
    read.append(1)
    yield b"body"


def infer_body(data: bytes) -> dict:
    text = base64.b64encode(data).decode()
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}]}


def test_a_repetition_gets_the_same_answer_without_a_charge_or_a_computation(
    client, service, desk, provider, warm
) -> None:
    first = client.post(PREDICT, content=warm, headers=KEYED)
    assert "Idempotent-Replayed" not in first.headers
    provider.fault = ZeroDivisionError("it was computed again")
    again = client.post(
        PREDICT, files={"file": ("a.png", warm)}, headers={"Idempotency-Key": "order 17"}
    )
    assert again.status_code == 200
    assert again.json() == first.json()
    assert list(again.json()["output"]["probabilities"]) == ["warm", "cold"]
    assert again.headers["Idempotent-Replayed"] == "true"
    [usage] = desk.usages
    assert usage.origin == "client"
    assert usage.event_id == hashlib.sha256(b"order 17").hexdigest()
    assert b'outcome="replayed"' in service.metrics.render()


def test_an_answer_is_kept_only_where_the_header_came(client, desk, warm) -> None:
    client.post(PREDICT, content=warm, headers=IMAGE)
    client.post(PREDICT, content=warm, headers=KEYED)
    client.post(PREDICT, content=b"broken", headers=IMAGE | {"Idempotency-Key": "order 18"})
    assert [usage.stored_answer is not None for usage in desk.usages] == [False, True, False]


def test_the_open_inference_protocol_repeats_too(client, desk, provider, warm) -> None:
    headers = {"Idempotency-Key": "order 17"}
    first = client.post(INFER, json=infer_body(warm), headers=headers)
    provider.fault = ZeroDivisionError("it was computed again")
    again = client.post(INFER, json=infer_body(warm), headers=headers)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    other = "/v2/models/tones/versions/2/infer"
    assert client.post(other, json=infer_body(warm), headers=headers).status_code == 422
    assert desk.outcomes == ["ok"]


@pytest.mark.parametrize("what", ["picture", "product"])
def test_the_key_of_another_call_is_a_422(client, desk, draw, warm, what) -> None:
    client.post(PREDICT, content=warm, headers=KEYED)
    desk.names_listed.append("shades")
    path = "/v1/products/shades/predict" if what == "product" else PREDICT
    data = draw((1, 2, 3)) if what == "picture" else warm
    response = client.post(path, content=data, headers=KEYED)
    assert response.status_code == 422
    assert response.json()["code"] == "idempotency_key_reused"
    assert desk.outcomes == ["ok"]


def test_a_key_whose_first_call_still_runs_is_a_409_before_the_body_is_read(
    client, service, desk, warm
) -> None:
    desk.hold = True
    statuses: list[int] = []
    first = threading.Thread(
        target=lambda: statuses.append(
            client.post(PREDICT, content=warm, headers=KEYED).status_code
        )
    )
    first.start()
    while not desk.pending:
        first.join(0.005)
    read: list[int] = []
    early = client.post(PREDICT, content=unread(read), headers=KEYED)
    assert (early.status_code, early.json()["code"], read) == (409, "still_running", [])
    assert int(early.headers["Retry-After"]) >= 1
    desk.settle()
    first.join(5)
    again = client.post(PREDICT, content=warm, headers=KEYED)
    assert statuses == [200]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_an_answer_no_longer_kept_is_a_409_and_never_a_second_charge(client, desk, warm) -> None:
    first = client.post(PREDICT, content=warm, headers=KEYED).json()
    desk.expired = True
    read: list[int] = []
    late = client.post(PREDICT, content=unread(read), headers=KEYED)
    assert (late.status_code, late.json()["code"], read) == (409, "answer_expired", [])
    assert first["receipt"]["id"] in late.json()["remedy"]
    assert desk.outcomes == ["ok"]


def test_what_another_process_answered_meanwhile_is_repeated(
    client, desk, warm, monkeypatch
) -> None:
    first = client.post(PREDICT, content=warm, headers=KEYED).json()
    find, looked = desk.find, []

    def find_late(customer: str, event_id: str):
        looked.append(event_id)
        return find(customer, event_id) if len(looked) > 1 else None

    monkeypatch.setattr(desk, "find", find_late)
    again = client.post(PREDICT, content=warm, headers=KEYED)
    assert (again.status_code, again.json()) == (200, first)
    assert desk.outcomes == ["ok"]


def test_a_failed_call_leaves_its_key_usable(client, desk, warm) -> None:
    assert client.post(PREDICT, content=b"broken", headers=KEYED).status_code == 422
    assert client.post(PREDICT, content=warm, headers=KEYED).status_code == 200
    assert desk.outcomes == ["error", "ok"]


@pytest.mark.parametrize("value", ["", "x" * 256])
def test_a_key_of_no_use_is_a_400(client, warm, value) -> None:
    headers = IMAGE | {"Idempotency-Key": value}
    assert client.post(PREDICT, content=warm, headers=headers).status_code == 400


def test_a_workspace_repeats_its_answers_with_receipts_of_the_same_call(
    service, provider, warm, tmp_path
) -> None:
    from dataclasses import replace

    from sqlalchemy import insert
    from tests.api.conftest import InProcess

    from mintage.api.application import customer_app
    from mintage.app.root import App
    from mintage.core.settings import Settings
    from mintage.store import schema

    row = {"name": "tones", "model": "tones", "plan": "standard", "created_at": "2026"}
    with App(Settings(home=tmp_path / "workspace")) as app:
        _, issued = app.capture.add_customer("Ada")
        app.capture.plans.ensure_default()
        app.workspace.database.write(
            lambda connection: connection.execute(insert(schema.products).values(row)) and None
        )
        real = replace(
            service,
            gate=app.capture.gate,
            meter=app.capture.meter(),
            replays=app.deliver.serving().replays,
            metrics=type(service.metrics)(),
        )
        key = f"Bearer {issued.key.reveal()}"
        with InProcess(customer_app(real), Authorization=key) as client:
            first = client.post(PREDICT, content=warm, headers=KEYED)
            provider.fault = ZeroDivisionError("it was computed again")
            again = client.post(PREDICT, content=warm, headers=KEYED)
            client.call(real.engine.close())
        assert (first.status_code, again.status_code) == (200, 200), again.text
        assert again.headers["Idempotent-Replayed"] == "true"
        one, two = first.json(), again.json()
        payloads = [said["receipt"].pop("envelope")["payload"] for said in (one, two)]
        assert payloads[0] == payloads[1]
        assert one == two
        assert len(app.capture.usage()) == 1
