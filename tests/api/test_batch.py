"""Several pictures in one call: each answered, recorded and charged as if it came alone."""

from __future__ import annotations

import base64

import pytest
from tests.api.conftest import Desk, InProcess

BATCH = "/v1/products/tones/predict:batch"


def form(*pictures: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{n}.png", data, "image/png")) for n, data in enumerate(pictures)]


def test_each_is_answered_in_its_place_and_one_bad_one_fails_alone(
    client: InProcess, desk: Desk, draw, warm: bytes
) -> None:
    cold = draw((20, 40, 220))
    answer = client.post(BATCH, files=form(warm, b"no picture", cold))
    assert answer.status_code == 200
    first, bad, last = answer.json()["results"]
    assert (first["status"], bad["status"], last["status"]) == (200, 422, 200)
    assert first["answer"]["output"]["label"] == "warm"
    assert last["answer"]["output"]["label"] == "cold"
    assert bad["answer"] is None
    assert bad["problem"]["code"] == "data_error"
    outcomes = sorted(usage.outcome for usage, __ in desk.events.values())
    assert outcomes == ["error", "ok", "ok"]
    assert first["answer"]["receipt"]["id"] != last["answer"]["receipt"]["id"]


def test_json_does_as_well(client: InProcess, desk: Desk, warm: bytes) -> None:
    images = [base64.b64encode(warm).decode()] * 3
    answer = client.post(BATCH, json={"images": images})
    assert [each["status"] for each in answer.json()["results"]] == [200] * 3
    assert len(desk.events) == 3


def test_the_same_pictures_with_the_same_key_are_charged_once(
    client: InProcess, desk: Desk, draw, warm: bytes
) -> None:
    once = {"Idempotency-Key": "a batch"}
    cold = draw((20, 40, 220))
    first = client.post(BATCH, files=form(warm, cold), headers=once).json()["results"]
    again = client.post(BATCH, files=form(warm, cold), headers=once).json()["results"]
    assert [each["answer"]["id"] for each in first] == [each["answer"]["id"] for each in again]
    assert len(desk.events) == 2
    swapped = client.post(BATCH, files=form(cold, warm), headers=once).json()["results"]
    assert [each["status"] for each in swapped] == [422, 422]
    assert len(desk.events) == 2


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"files": [("other", ("x.png", b"x", "image/png"))]}, 400),
        ({"json": {"images": []}}, 400),
        ({"json": {"images": "one"}}, 400),
        ({"json": {"images": ["?"]}}, 400),
        ({"json": {"images": ["QQ=="] * 65}}, 400),
        ({"files": form(*[b"x"] * 65)}, 400),
        ({"files": form(bytes(60_000), bytes(60_000))}, 413),
        ({"content": b"raw", "headers": {"Content-Type": "image/png"}}, 415),
    ],
)
def test_what_concerns_all_of_them_is_one_problem(
    client: InProcess, desk: Desk, options, status: int
) -> None:
    answer = client.post(BATCH, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert desk.events == {}


@pytest.mark.parametrize("explain", ["true", "map", "png", "nonsense"])
def test_an_explanation_that_is_asked_for_is_not_left_out_in_silence(
    client: InProcess, desk: Desk, warm: bytes, explain: str
) -> None:
    answer = client.post(f"{BATCH}?explain={explain}", files=form(warm))
    assert answer.status_code == 400
    assert "explain" in answer.json()["detail"]
    assert answer.json()["remedy"]
    assert desk.events == {}
    assert client.post(f"{BATCH}?explain=false", files=form(warm)).status_code == 200


def test_without_a_key_nothing_is_read(client: InProcess, desk: Desk, warm: bytes) -> None:
    client.headers.pop("Authorization")
    assert client.post(BATCH, files=form(warm)).status_code == 401
    assert desk.events == {}
