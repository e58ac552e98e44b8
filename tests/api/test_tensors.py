"""The Open Inference Protocol as its own client speaks it: tritonclient, unchanged."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any
from unittest import mock

import httpx
import numpy as np
import pytest
from tests.api.conftest import KEY, Running

from mintage.core.errors import QuotaReached
from mintage.core.messages import _

triton = pytest.importorskip("tritonclient.http")

InferenceServerException = pytest.importorskip("tritonclient.utils").InferenceServerException

INFER = "/v2/models/tones/infer"
HEADERS = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(running: Running) -> Iterator[Any]:
    with triton.InferenceServerClient(running.address.removeprefix("http://")) as opened:
        yield opened


def picture(data: bytes) -> Any:
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], dtype=np.object_))
    return tensor


def test_health_and_metadata_are_as_the_client_expects(client) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tones")
    assert client.is_model_ready("tones", "3")
    assert not client.is_model_ready("tones", "4")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for metadata in (client.get_model_metadata("tones"), client.get_model_metadata("tones", "3")):
        assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
        assert {"label", "probability"} <= {output["name"] for output in metadata["outputs"]}


def test_a_picture_sent_as_bytes_is_answered_in_bytes_and_metered(client, desk, warm) -> None:
    result = client.infer("tones", [picture(warm)], headers=dict(HEADERS), request_id="first")
    assert result.as_numpy("label").tolist() == [b"warm"]
    probabilities = result.as_numpy("probabilities")
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1)
    assert result.as_numpy("probability")[0] == probabilities.max()
    assert result.as_numpy("unusual").tolist() == [False]
    response = result.get_response()
    assert (response["id"], response["model_version"]) == ("first", "3")
    assert response["parameters"]["price"] == "0.02"
    assert len(desk.events) == 1


@pytest.mark.parametrize("binary", [True, False])
def test_the_outputs_that_were_asked_for_come_alone_and_as_was_asked(client, warm, binary) -> None:
    wanted = [triton.InferRequestedOutput("probability", binary_data=binary)]
    result = client.infer("tones", [picture(warm)], outputs=wanted, headers=dict(HEADERS))
    (output,) = result.get_response()["outputs"]
    assert output["name"] == "probability"
    assert ("data" in output) is not binary
    assert 0.5 < result.as_numpy("probability")[0] <= 1


def test_what_is_refused_says_why_and_costs_nothing(client, desk, warm) -> None:
    unknown = [triton.InferRequestedOutput("logits")]
    with pytest.raises(Exception, match="no output 'logits'"):
        client.infer("tones", [picture(warm)], outputs=unknown, headers=dict(HEADERS))
    with pytest.raises(Exception, match="No valid API key"):
        client.infer("tones", [picture(warm)])
    assert desk.events == {}


def test_its_exception_says_what_was_wrong_and_what_to_do_with_the_status(
    client, desk, service, monkeypatch, warm
) -> None:
    def refused(**headers: str) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as raised:
            client.infer("tones", [picture(warm)], headers=headers)
        return raised.value.status(), raised.value.message()

    status, said = refused()
    assert status == "401"
    assert said.startswith("No valid API key")
    with monkeypatch.context() as patched:
        spent = QuotaReached(_("Nothing is left."), remedy=_("Wait."), retry_after_seconds=9)
        patched.setattr(desk, "admit", mock.Mock(side_effect=spent))
        assert refused(**HEADERS) == ("429", "Nothing is left. Wait.")
    service.engine.drain()
    status, said = refused(**HEADERS)
    assert status == "503"
    assert not said.startswith("an exception occurred")
    with pytest.raises(InferenceServerException, match="There is no 'nothing'"):
        client.get_model_metadata("nothing")


def packed(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in elements)


def body_of(binary: bytes, size: object) -> tuple[bytes, str]:
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}).encode()
    return head + binary, str(len(head))


@pytest.mark.parametrize(
    ("binary", "size", "said"),
    [
        (packed(b"one"), 3, "do not agree"),
        (packed(b"one"), None, "pictures, not one"),
        (b"\x09\x00\x00\x00short", 9, "do not agree"),
        (b"\x01\x00", 2, "do not agree"),
        (packed(b"one", b"two"), 14, "2 pictures"),
        (b"", 0, "0 pictures"),
        (packed(b"one"), True, "do not agree"),
    ],
)
def test_lengths_that_do_not_agree_are_a_400(running, desk, binary, size, said) -> None:
    content, length = body_of(binary, size)
    headers = {**HEADERS, "Inference-Header-Content-Length": length}
    response = httpx.post(running.address + INFER, content=content, headers=headers)
    assert response.status_code == 400
    assert said in response.json()["detail"]
    assert desk.events == {}


@pytest.mark.parametrize("length", ["-1", "x", "99999999", "9" * 40, "²"])
def test_a_header_that_is_no_length_of_this_body_is_a_400(running, length) -> None:
    content, __ = body_of(packed(b"one"), 7)
    headers = {**HEADERS, "Inference-Header-Content-Length": length.encode()}
    response = httpx.post(running.address + INFER, content=content, headers=headers)
    assert response.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "image/jpeg"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
    ids=str,
)
def test_a_body_of_another_kind_is_a_415_that_says_what_to_send(
    running, desk, warm, headers
) -> None:
    response = httpx.post(running.address + INFER, content=warm, headers={**HEADERS, **headers})
    assert response.status_code == 415
    assert "application/json" in response.json()["remedy"]
    assert desk.events == {}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_its_client_compresses_is_read(client, warm, coding) -> None:
    asked = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    result = client.infer("tones", [picture(warm)], headers=dict(HEADERS), **asked)
    assert result.as_numpy("label").tolist() == [b"warm"]


async def test_what_its_asyncio_client_sends_is_read_too(running, warm) -> None:
    """It says of JSON as well that it is ``application/octet-stream``."""
    aio = pytest.importorskip("tritonclient.http.aio")
    text = triton.InferInput("image", [1], "BYTES")
    coded = np.array([base64.b64encode(warm).decode()], dtype=np.object_)
    text.set_data_from_numpy(coded, binary_data=False)
    async with aio.InferenceServerClient(running.address.removeprefix("http://")) as client:
        for tensor in (text, picture(warm)):
            result = await client.infer("tones", [tensor], headers=dict(HEADERS))
            assert result.as_numpy("label").tolist() == [b"warm"]


def test_json_alone_goes_on_to_be_spoken(running, warm) -> None:
    data = base64.b64encode(warm).decode()
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [data]}
    response = httpx.post(running.address + INFER, json={"inputs": [tensor]}, headers=dict(HEADERS))
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    assert outputs["label"] == ["warm"]
    assert "Inference-Header-Content-Length" not in response.headers
