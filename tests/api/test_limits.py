"""A customer's limit over HTTP: refused before the body, told in every answer."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from tests.api.conftest import InProcess

from mintage.api.application import customer_app, openapi_document
from mintage.core.errors import DependencyDown, QuotaReached
from mintage.core.types import Allowance, Permit, Rate

PREDICT = "/v1/products/tones/predict"
RATE = Rate(3, 60)


class Counter:
    """Lets three calls through."""

    def __init__(self) -> None:
        self.taken = self.ended = 0
        self.fault: Exception | None = None

    def take(self, permit: Permit, rate: Rate) -> Allowance:
        return self._allowance(permit, rate, 1)

    def look(self, permit: Permit, rate: Rate) -> Allowance:
        return self._allowance(permit, rate, 0)

    def give_back(self, permit: Permit, rate: Rate) -> None:
        self.ended += 1

    def _allowance(self, permit: Permit, rate: Rate, calls: int) -> Allowance:
        if self.fault is not None:
            raise self.fault
        if self.taken >= rate.calls:
            refusal = QuotaReached("Used up.", remedy="Wait.", retry_after_seconds=20)
            return Allowance(permit.plan, rate, 0, 60, refusal)
        self.taken += calls
        return Allowance(permit.plan, rate, rate.calls - self.taken, 20 * self.taken)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def counted(service, desk, counter, monkeypatch):
    admit = desk.admit
    monkeypatch.setattr(desk, "admit", lambda *asked: replace(admit(*asked), rate=RATE))
    return replace(service, limiter=counter, metrics=type(service.metrics)())


@pytest.fixture
def limited(counted, key):
    with InProcess(customer_app(counted), Authorization=f"Bearer {key}") as client:
        yield client
        client.call(counted.engine.close())


def test_every_answer_says_what_is_left(limited, warm) -> None:
    answer = limited.post(PREDICT, content=warm)
    assert answer.status_code == 200
    plan = answer.headers["RateLimit-Policy"].split(";")[0]
    assert answer.headers["RateLimit-Policy"] == f"{plan};q=3;w=60"
    assert answer.headers["RateLimit"] == f"{plan};r=2;t=20"
    unreadable = limited.post(PREDICT, content=b"x")
    assert (unreadable.status_code, unreadable.headers["RateLimit"]) == (422, f"{plan};r=1;t=40")


def test_beyond_it_a_call_is_a_429_before_its_body_is_read(limited, warm, counter) -> None:
    counter.taken = 3
    read: list[int] = []

    def body():
        read.append(1)
        yield warm

    refused = limited.post(PREDICT, content=body(), headers={"Content-Type": "image/png"})
    assert (refused.status_code, refused.json()["code"], read) == (429, "quota_reached", [])
    assert refused.headers["Retry-After"] == "20"
    assert refused.headers["RateLimit"].endswith(";r=0;t=60")


def test_of_several_pictures_each_counts_and_is_refused_by_itself(limited, warm, counter) -> None:
    files = [("file", ("a.png", warm, "image/png"))] * 5
    results = limited.post(f"{PREDICT}:batch", files=files).json()["results"]
    assert [each["status"] for each in results] == [200, 200, 200, 429, 429]
    assert results[3]["problem"]["code"] == "quota_reached"
    refused = limited.post(f"{PREDICT}:batch", files=files)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_reached")
    assert counter.taken == 3


def test_whatever_became_of_a_counted_call_its_end_is_told_once(limited, warm, counter) -> None:
    assert limited.post(PREDICT, content=warm).status_code == 200
    assert limited.post(PREDICT, content=b"").status_code >= 400
    headers = {"Content-Type": "text/plain"}
    assert limited.post(PREDICT, content=b"x", headers=headers).status_code == 415
    assert limited.post(PREDICT, content=warm).status_code == 429
    assert (counter.taken, counter.ended) == (3, 3)


def test_what_we_could_not_have_answered_is_not_counted(limited, counted, warm, counter) -> None:
    places = [counted.intake.place(10, 100) for __ in range(counted.settings.max_queue)]
    assert limited.post(PREDICT, content=warm).status_code == 503
    for place in places:
        place.__exit__(None, None, None)
    assert counter.taken == 0


def test_what_cannot_be_counted_is_a_503(limited, warm, counter) -> None:
    counter.fault = DependencyDown("The count is away.", retry_after_seconds=1)
    refused = limited.post(PREDICT, content=warm)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "RateLimit" not in refused.headers


def test_without_a_rate_nothing_is_said(client, warm) -> None:
    assert "RateLimit" not in client.post(PREDICT, content=warm).headers


DESCRIBED = {
    "x-request-id",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
    "idempotent-replayed",
    "inference-header-content-length",
}


def test_the_headers_of_answers_are_described_where_they_are(limited, service, warm) -> None:
    document = openapi_document(service)
    image = base64.b64encode(warm).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [image]}
    infer = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    once = {"Idempotency-Key": "once"}

    def seen(path: str, **options) -> tuple[int, set[str]]:
        answer = limited.post(
            path.replace("{product}", "tones").replace("{model}", "tones"), **options
        )
        headers = DESCRIBED & set(answer.headers)
        described = document["paths"][path]["post"]["responses"][str(answer.status_code)]
        names = {name.lower() for name in described.get("headers", {})}
        assert headers <= names, (path, answer.status_code)
        return answer.status_code, headers

    predict, batch, inference = (
        "/v1/products/{product}/predict",
        "/v1/products/{product}/predict:batch",
        "/v2/models/{model}/infer",
    )
    rated = {"x-request-id", "ratelimit", "ratelimit-policy"}
    assert seen(predict, content=warm, headers=once) == (200, rated)
    assert seen(predict, content=warm, headers=once) == (200, rated | {"idempotent-replayed"})
    binary = {"inference-header-content-length"}
    assert seen(inference, json=infer, headers={"Idempotency-Key": "2"}) == (200, rated | binary)
    assert seen(predict, content=warm) == (429, rated | {"retry-after"})
    assert seen(batch, json={"images": [image]}) == (429, rated | {"retry-after"})
    assert seen(predict, content=warm, headers={"Authorization": "Bearer x"}) == (
        401,
        {"x-request-id"},
    )
    taken = document["paths"][inference]["post"]
    assert set(taken["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert {each["name"] for each in taken["parameters"] if each["in"] == "header"} == {
        "Idempotency-Key",
        "Inference-Header-Content-Length",
    }
    assert "application/octet-stream" in taken["responses"]["200"]["content"]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert all(
                "X-Request-Id" in each["headers"] for each in operation["responses"].values()
            )


class Noted:
    """What was refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str | None, str | None, str]] = []
        self.counted: list[tuple[str | None, str, str]] = []
        self.closed = False

    def note(self, key: str | None, product: str | None, code: str) -> None:
        self.refused.append((key, product, code))

    def count(self, key: str | None, product: str, outcome: str) -> None:
        self.counted.append((key, product, outcome))

    def close(self) -> None:
        self.closed = True


def test_every_refusal_is_noted_with_its_key_product_and_reason(counted, counter, warm, key):
    noted = Noted()
    service = replace(counted, refusals=noted, metrics=type(counted.metrics)())
    counter.taken = 2
    files = [("file", ("a.png", warm, "image/png"))] * 2
    with InProcess(customer_app(service), Authorization=f"Bearer {key}") as client:
        assert client.post(f"{PREDICT}:batch", files=files).status_code == 200
        assert client.post(f"{PREDICT}:batch", files=files).status_code == 429
        assert client.post(PREDICT, content=warm).status_code == 429
        assert client.post(PREDICT, content=b"").status_code == 429  # before the body
        for path in ("/v1/usage", "/v1/products/tones/predict"):
            bad = {"Authorization": "Bearer mtg_live_never"}
            method = client.get if path == "/v1/usage" else client.post
            assert method(path, headers=bad).status_code == 401
        assert client.get("/v1/nothing").status_code == 404  # that is no refusal
        client.call(service.engine.close())
    service.finish()
    assert noted.closed
    assert noted.refused == [
        *[(key, "tones", "quota_reached")] * 4,
        ("mtg_live_never", None, "unauthenticated"),
        ("mtg_live_never", "tones", "unauthenticated"),
    ]


def test_an_answer_that_is_given_again_is_counted_though_it_is_no_event(service, warm, key):
    noted = Noted()
    made = replace(service, refusals=noted, metrics=type(service.metrics)())
    with InProcess(customer_app(made), Authorization=f"Bearer {key}") as client:
        for __ in range(2):
            said = client.post(PREDICT, content=warm, headers={"Idempotency-Key": "order 17"})
            assert said.status_code == 200
        client.call(made.engine.close())
    assert noted.counted == [(key, "tones", "replayed")]
    assert noted.refused == []
