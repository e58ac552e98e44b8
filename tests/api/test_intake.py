"""What is in flight is bounded before a body is read, and let go however a call ends."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from mintage.api.application import customer_app
from mintage.api.intake import Intake, StillRunning
from mintage.api.uploads import _decoded
from mintage.core.errors import Overloaded

PREDICT = "/v1/products/tones/predict"
FORM = {"Content-Type": "multipart/form-data; boundary=q"}
PART = b'--q\r\nContent-Disposition: form-data; name="n"%s\r\n\r\n\r\n'


def test_bytes_and_calls_are_bounded_and_come_back_however_a_call_ends() -> None:
    intake = Intake(most_body_bytes=100)
    with intake.place(500, most_calls=2):  # alone, the largest upload has its place
        assert intake.body_bytes == 500
    with intake.place(60, most_calls=2) as place:
        with pytest.raises(Overloaded) as refused:
            intake.place(41, most_calls=2)
        assert refused.value.retry_after_seconds == 1
        place.holds(50)
        with intake.place(50, most_calls=2), pytest.raises(Overloaded):
            intake.place(0, most_calls=2)
    with pytest.raises(ZeroDivisionError), intake.place(60, most_calls=2):
        raise ZeroDivisionError
    assert (intake.calls, intake.body_bytes) == (0, 0)


def test_an_action_runs_once_at_a_time() -> None:
    intake = Intake(100)
    with (
        intake.action("cus_1", "a"),
        intake.action("cus_2", "a"),
        intake.action("cus_1", "b"),
        pytest.raises(StillRunning),
    ):
        intake.action("cus_1", "a")
    with intake.action("cus_1", "a"):
        pass


def test_a_body_beyond_the_bytes_in_flight_is_a_503_before_it_is_read(
    service, changed, warm, key
) -> None:
    from tests.api.conftest import InProcess

    read: list[int] = []

    def body():
        read.append(1)
        yield warm

    small = replace(changed(service, max_body_bytes=150_000), metrics=type(service.metrics)())
    with (
        InProcess(customer_app(small), Authorization=f"Bearer {key}") as client,
        small.intake.place(100_000, most_calls=4),
    ):
        # Of unknown length, it may come to hold all that an upload may have.
        refused = client.post(PREDICT, content=body(), headers={"Content-Type": "image/png"})
        assert (refused.status_code, refused.json()["code"], read) == (503, "overloaded", [])
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.post(PREDICT, content=warm).status_code == 200
        assert small.intake.calls == 1
        client.call(small.engine.close())


@pytest.mark.parametrize(("parts", "status"), [(15, 200), (16, 400), (1500, 400)])
def test_a_form_may_have_16_parts(client, warm, parts, status) -> None:
    picture = b'--q\r\nContent-Disposition: form-data; name="file"\r\n\r\n%s\r\n--q--' % warm
    response = client.post(PREDICT, content=PART % b"" * parts + picture, headers=FORM)
    assert response.status_code == status


def test_280_000_tiny_parts_are_refused_at_once(service, changed, key) -> None:
    from tests.api.conftest import InProcess

    large = changed(service, max_upload_bytes=20_000_000)
    body = PART % b"" * 280_000
    with InProcess(customer_app(large), Authorization=f"Bearer {key}") as client:
        started = time.perf_counter()
        response = client.post(PREDICT, content=body, headers=FORM)
        assert time.perf_counter() - started < 1  # it was 5 s
    assert response.status_code == 400
    assert "more than 16 parts" in response.json()["detail"]


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/tones/infer"])
def test_millions_of_json_values_are_refused_before_they_are_made(
    service, changed, key, monkeypatch, path
) -> None:
    from tests.api.conftest import InProcess

    large = changed(service, max_upload_bytes=20_000_000)
    body = b'{"image": [' + b"1," * 1_000_000 + b"1]}"
    with InProcess(customer_app(large), Authorization=f"Bearer {key}") as client:
        monkeypatch.setattr("mintage.core.canonical.read_json", lambda _: pytest.fail("parsed"))
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        monkeypatch.undo()
    assert response.status_code == 400
    assert "more values than a picture" in response.json()["detail"]


def test_the_headers_of_a_part_are_bounded(client) -> None:
    headers = b"".join(b"\r\nX%d: %s" % (n, b"y" * 3000) for n in range(3))
    response = client.post(PREDICT, content=PART % headers, headers=FORM)
    assert response.status_code == 400
    assert "8,192 bytes of headers" in response.json()["detail"]


def test_a_large_body_is_decoded_off_the_event_loop() -> None:
    def where(size: int) -> int:
        return asyncio.run(_decoded(b"x" * size, lambda _body: threading.get_ident()))

    assert where(1000) == threading.get_ident()
    assert where(300_000) != threading.get_ident()
