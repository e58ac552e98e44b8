"""One call: who may, what may come, what leaves, and what is recorded."""

from __future__ import annotations

import base64
import gzip
import hashlib
import threading
import time
import zlib

import httpx
import pytest

from mintage.api.models import Prediction
from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DependencyDown, ServiceError

PREDICT = "/v1/products/tones/predict"
IMAGE = {"Content-Type": "image/png"}
JSON = {"Content-Type": "application/json"}


def test_an_answer_has_its_model_receipt_and_price(client, warm) -> None:
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 200
    answer = response.json()
    Prediction.model_validate(answer)
    assert answer["output"]["label"] == "warm"
    assert answer["output"]["probability"] == max(answer["output"]["probabilities"].values())
    assert (answer["model"], answer["model_version"]) == ("tones", "3")
    assert answer["price"] == {"amount": "0.02", "currency": "EUR", "final": True}
    assert answer["receipt"]["event"] == answer["id"]


@pytest.mark.parametrize("form", ["raw", "untyped", "octets", "multipart", "json"])
def test_every_form_of_upload_gives_the_same_answer(client, desk, warm, form) -> None:
    sent = {
        "raw": {"content": warm, "headers": IMAGE},
        "untyped": {"content": warm},
        "octets": {"content": warm, "headers": {"Content-Type": "application/octet-stream"}},
        "multipart": {
            "files": {"file": ("my cat.png", warm, "image/png")},
            "data": {"note": "x" * 100},
        },
        "json": {"json": {"image": base64.b64encode(warm).decode()}},
    }[form]
    response = client.post(PREDICT, **sent)
    assert response.status_code == 200, response.text
    assert response.json()["output"]["label"] == "warm"
    assert desk.usages[0].input_sha256 == hashlib.sha256(warm).hexdigest()


def test_the_event_says_what_was_asked_answered_and_used(client, desk, warm) -> None:
    answer = client.post(PREDICT, content=warm, headers=IMAGE).json()
    [usage] = desk.usages
    assert usage.outcome == "ok"
    assert usage.quantities == {"image": 1}
    assert usage.output_sha256 == hashlib.sha256(canonical_json(answer["output"])).hexdigest()
    assert usage.provider.bundle_digest == "a" * 64
    assert usage.alias == "stable"
    assert usage.origin == "server"
    assert usage.probability == answer["output"]["probability"]
    assert usage.latency_seconds > 0
    assert usage.compute_seconds >= 0.01


def test_an_unusual_picture_is_answered_as_that_and_free(client, desk, gray) -> None:
    answer = client.post(PREDICT, content=gray, headers=IMAGE).json()
    assert answer["output"]["unusual"] is True
    assert answer["output"]["label"] is None
    assert answer["price"]["amount"] == "0"
    assert desk.outcomes == ["abstain"]
    assert desk.usages[0].abstained


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic abc", "Bearer ", "Bearer"])
def test_without_a_valid_key_nothing_is_read_and_nothing_is_recorded(
    client, desk, warm, authorization
) -> None:
    del client.headers["Authorization"]
    read: list[int] = []

    def body():
        read.append(1)
        yield warm

    headers = IMAGE | ({"Authorization": authorization} if authorization else {})
    response = client.post(PREDICT, content=body(), headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "unauthenticated"
    assert read == []
    assert desk.events == {}


def test_an_unknown_product_is_a_404_for_those_with_a_key(client, warm) -> None:
    response = client.post("/v1/products/nothing/predict", content=warm, headers=IMAGE)
    assert response.status_code == 404
    assert response.json()["code"] == "request_error"


@pytest.mark.parametrize("form", ["announced", "chunked", "multipart", "json"])
def test_an_upload_above_the_limit_is_a_413(client, desk, form) -> None:
    large = b"\xff" * 100_001

    def chunks():
        for _ in range(3):
            yield large[:50_000]

    sent = {
        "announced": {"content": large, "headers": IMAGE},
        "chunked": {"content": chunks(), "headers": IMAGE},
        "multipart": {"files": {"file": ("a.png", large, "image/png")}},
        "json": {"json": {"image": base64.b64encode(large).decode()}},
    }[form]
    response = client.post(PREDICT, **sent)
    assert response.status_code == 413
    assert "100,000 bytes" in response.json()["detail"]
    assert desk.events == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "image/gif"},
        {"Content-Type": "image/svg+xml"},
        {"Content-Type": "image/png", "Content-Encoding": "br"},
        {"Content-Type": "image/png", "Content-Encoding": "gzip, gzip"},
    ],
)
def test_another_content_type_is_a_415_that_says_what_is_read(client, warm, headers) -> None:
    response = client.post(PREDICT, content=warm, headers=headers)
    assert response.status_code == 415
    assert "Content-Type: image/jpeg" in response.json()["remedy"]


@pytest.mark.parametrize("form", ["raw", "multipart", "json"])
@pytest.mark.parametrize("coding", ["gzip", "X-Gzip", "deflate"])
def test_a_compressed_body_is_unpacked(client, warm, form, coding) -> None:
    plain = {
        "raw": {"content": warm, "headers": IMAGE},
        "multipart": {"files": {"file": ("a.png", warm, "image/png")}},
        "json": {"json": {"image": base64.b64encode(warm).decode()}},
    }[form]
    request = httpx.Request("POST", "http://x", **plain)
    pack = zlib.compress if coding == "deflate" else gzip.compress
    headers = {"Content-Type": request.headers["Content-Type"], "Content-Encoding": coding}
    answer = client.post(PREDICT, content=pack(request.read()), headers=headers)
    assert answer.json()["output"]["label"] == "warm"


def test_what_unpacks_to_more_than_the_limit_is_a_413(client, desk) -> None:
    small = gzip.compress(b"\xff" * 100_001)
    assert len(small) < 1000
    refused = client.post(PREDICT, content=small, headers=IMAGE | {"Content-Encoding": "gzip"})
    assert refused.status_code == 413
    assert "100,000 bytes" in refused.json()["detail"]
    assert desk.events == {}


@pytest.mark.parametrize("spoil", [lambda z: z[:-9], lambda z: z + b"more", lambda _: b"no gzip"])
def test_what_is_not_compressed_as_it_says_is_a_400(client, desk, warm, spoil) -> None:
    body = spoil(gzip.compress(warm))
    refused = client.post(PREDICT, content=body, headers=IMAGE | {"Content-Encoding": "gzip"})
    assert refused.status_code == 400
    assert "'gzip'" in refused.json()["detail"]
    assert desk.events == {}


@pytest.mark.parametrize("data", [b"", b"GIF89a nothing", b"\xff\xd8\xff\xe0 half a JPEG"])
def test_bytes_that_are_no_picture_are_a_422_recorded_as_a_free_error(client, desk, data) -> None:
    response = client.post(PREDICT, content=data, headers=IMAGE)
    assert response.status_code == 422
    assert response.json()["code"] == "data_error"
    assert desk.outcomes == ["error"]
    assert desk.usages[0].output_sha256 == ""


@pytest.mark.parametrize(
    "sent",
    [
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        {"content": b"[" * 50_000, "headers": {"Content-Type": "application/json"}},
        {"content": b'{"image": "", "image": "eA=="}', "headers": JSON},
        {"content": b'{"image": NaN}', "headers": JSON},
        {"content": b'{"image": ' + b"9" * 5000 + b"}", "headers": JSON},
        {"content": b'{"image": ' * 9000, "headers": JSON},
        {"content": b'{"image": "\xff"}', "headers": JSON},
        {"json": ["no object"]},
        {"json": {"picture": "wrong name"}},
        {"json": {"image": "no base64!"}},
        {"files": {"photo": ("a.png", b"x", "image/png")}},
        {"files": [("file", ("a", b"x")), ("file", ("b", b"y"))]},
        {"content": b"no parts", "headers": {"Content-Type": "multipart/form-data; boundary=q"}},
        {"content": b"no boundary", "headers": {"Content-Type": "multipart/form-data"}},
        {
            "content": b'--q\r\nContent-Disposition: form-data; name="file"\r\n\r\ncut off',
            "headers": {"Content-Type": "multipart/form-data; boundary=q"},
        },
    ],
)
def test_a_malformed_body_is_a_400(client, desk, sent) -> None:
    response = client.post(PREDICT, **sent)
    assert response.status_code == 400, response.text
    assert response.json()["code"] == "request_error"
    assert desk.events == {}


def test_the_answer_leaves_only_after_the_event_is_on_disk(client, desk, warm) -> None:
    desk.hold = True
    done: list[int] = []
    call = threading.Thread(
        target=lambda: done.append(client.post(PREDICT, content=warm, headers=IMAGE).status_code)
    )
    call.start()
    deadline = time.monotonic() + 5
    while not desk.pending:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)
    assert done == []
    desk.settle()
    call.join(5)
    assert done == [200]


def test_no_answer_leaves_when_the_meter_fails(client, desk, warm, caplog) -> None:
    desk.fault = DependencyDown("The disk is full.", remedy="Make room.")
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 503
    assert "warm" not in response.text
    assert response.json()["code"] == "dependency_down"
    assert "disk" not in response.text  # for whoever runs the service
    assert "The disk is full." in caplog.text


def test_a_call_that_cannot_be_priced_is_a_503_that_the_operator_reads_of(
    client, desk, warm, caplog, monkeypatch
) -> None:
    def unpriced(usage):
        raise ConfigError("The plan 'gold' charges by 'input_token'.")

    monkeypatch.setattr(desk, "record", unpriced)
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 503
    assert response.json()["code"] == "service_error"
    assert "warm" not in response.text
    assert "gold" not in response.text
    assert "The plan 'gold' charges by 'input_token'." in caplog.text


def test_a_fault_of_the_meter_that_nobody_foresaw_is_a_bug_without_the_answer(
    client, desk, warm
) -> None:
    desk.fault = OSError("secret path /home/x")
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 500
    assert "warm" not in response.text
    assert "secret" not in response.text


def test_a_missed_deadline_is_a_504_recorded_as_a_free_timeout(
    client, service, desk, provider, warm
) -> None:
    client.post(PREDICT, content=warm, headers=IMAGE)
    service.engine._deadline_seconds = 0.1
    provider.held.clear()
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 504
    assert int(response.headers["Retry-After"]) >= 1
    assert desk.outcomes == ["ok", "timeout"]


def test_a_fault_of_the_model_is_a_500_with_an_incident_recorded_as_a_free_error(
    client, desk, provider, warm, caplog
) -> None:
    client.post(PREDICT, content=warm, headers=IMAGE)
    provider.fault = ZeroDivisionError("inner detail")
    response = client.post(PREDICT, content=warm, headers=IMAGE)
    assert response.status_code == 500
    problem = response.json()
    assert problem["code"] == "bug"
    [bug] = [record for record in caplog.records if record.getMessage() == "a bug"]
    assert problem["incident"] == bug.incident
    assert "inner detail" not in response.text
    assert desk.outcomes == ["ok", "error"]


def test_a_client_that_leaves_before_the_commit_is_cancelled_and_free(service, desk, warm) -> None:
    import asyncio

    from mintage.api.application import customer_app

    async def leave() -> list[dict]:
        messages = [
            {"type": "http.request", "body": warm, "more_body": False},
            {"type": "http.disconnect"},
        ]
        sent: list[dict] = []

        async def receive() -> dict:
            return messages.pop(0)

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": PREDICT,
            "raw_path": PREDICT.encode(),
            "query_string": b"",
            "headers": [
                (b"authorization", b"Bearer mtg_live_planted_canary_key_0123456789"),
                (b"content-type", b"image/png"),
            ],
        }
        await customer_app(service)(scope, receive, send)
        await service.engine.close()
        return sent

    sent = asyncio.run(leave())
    assert desk.outcomes == ["cancelled"]
    assert desk.usages[0].compute_seconds > 0  # it is our cost, though nobody's price
    assert all(b"warm" not in message.get("body", b"") for message in sent)


def test_many_at_once_with_a_bad_one_among_them(client, desk, warm) -> None:
    statuses: list[int] = []

    def post(data: bytes) -> None:
        statuses.append(client.post(PREDICT, content=data, headers=IMAGE).status_code)

    threads = [threading.Thread(target=post, args=(data,)) for data in (warm, b"bad", warm)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert sorted(statuses) == [200, 200, 422]


def test_a_service_error_of_the_engine_reaches_the_caller_as_it_is(client, provider, warm) -> None:
    client.post(PREDICT, content=warm, headers=IMAGE)
    provider.fault = ServiceError("Upstream is asleep.", remedy="Wake it.")
    problem = client.post(PREDICT, content=warm, headers=IMAGE).json()
    assert (problem["status"], problem["detail"]) == (503, "Upstream is asleep.")
