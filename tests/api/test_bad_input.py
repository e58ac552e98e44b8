"""What may come in that is not as it should be: each is told what is wrong and what to do."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from mintage.api import protocol
from mintage.client import Client
from mintage.core.errors import RequestError
from mintage.core.registry import modalities
from mintage.core.types import InputSpec

PREDICT = "/v1/products/tones/predict"


def checked(response: httpx.Response, status: int) -> dict:
    """The problem of an answer, which says all that a problem has to."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["detail"]
    assert problem["remedy"]
    assert problem["instance"] == response.headers["X-Request-Id"]
    return problem


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


# ---- pictures


@pytest.fixture
def real(client, provider, monkeypatch):
    """The client, before a provider that decodes as a bundle does."""
    image, spec = modalities().get("image"), InputSpec("image", 4)
    monkeypatch.setattr(provider, "decode", lambda data: image.decode(data, spec))
    return client


def bomb() -> bytes:
    """A PNG of 400 megapixels in some 50 KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated() -> bytes:
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 120, 240)]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])


NOISE = Image.effect_noise((64, 64), 90).convert("RGB")


@pytest.mark.parametrize(
    ("data", "media_type", "word"),
    [
        (saved(NOISE, "JPEG")[:900], "image/jpeg", "damaged"),
        (b"", "image/jpeg", "empty"),
        (bomb(), "image/png", "megapixels"),
        (b"just some text", "image/jpeg", "not"),
        (animated(), "image/webp", "more than one picture"),
        (saved(NOISE.convert("P"), "GIF"), "image/png", "GIF"),
        (os.urandom(500), "image/png", "not"),
    ],
    ids=["truncated", "empty", "bomb", "text", "animated", "gif", "random"],
)
def test_what_is_no_picture_is_a_422_with_its_reason_and_free(
    real, desk, data, media_type, word
) -> None:
    problem = checked(real.post(PREDICT, content=data, headers={"Content-Type": media_type}), 422)
    assert problem["code"] == "data_error"
    assert word in problem["detail"]
    assert desk.outcomes == ["error"]


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.new("CMYK", (32, 32), (0, 120, 200, 0)), "JPEG"),
        (Image.new("L", (32, 32), 200), "PNG"),
        (Image.new("RGBA", (32, 32), (230, 120, 20, 90)), "PNG"),
        (Image.new("RGB", (1, 1), (230, 120, 20)), "BMP"),
    ],
    ids=["cmyk", "grey", "transparent", "one pixel"],
)
def test_a_picture_of_an_unusual_kind_is_answered(real, image, kind) -> None:
    # Whatever media type is said: the bytes decide.
    answer = real.post(PREDICT, content=saved(image, kind), headers={"Content-Type": "image/webp"})
    assert answer.status_code == 200, answer.text


# ---- keys and names


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Basic eDp5", "Bearer mtg_live_x", "Bearer 密钥"]
)
@pytest.mark.parametrize("path", [PREDICT, "/v2/models/tones/infer", "/v1/usage"])
def test_without_a_key_all_are_refused_alike(client, authorization, path) -> None:
    client.headers["Authorization"] = "Bearer wrong"
    wrong = client.request("GET" if path == "/v1/usage" else "POST", path)
    del client.headers["Authorization"]
    headers = [(b"Authorization", authorization.encode())] if authorization else []
    response = client.request("GET" if path == "/v1/usage" else "POST", path, headers=headers)
    problem = checked(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="mintage"'
    same = {"instance": ""}
    assert problem | same == wrong.json() | same


def test_a_revoked_key_is_refused_as_one_that_never_was(workspace, clock) -> None:
    from mintage.capture.customers import Customers
    from mintage.capture.gate import KeyGate
    from mintage.core.errors import Unauthenticated

    customers = Customers(workspace.database, clock)
    customers.add("Ada")
    issued = customers.issue_key("Ada")
    gate = KeyGate(workspace.database, clock)
    assert gate.caller(issued.key.reveal(), "usage")
    customers.revoke_key(issued.id)
    said = []
    for key in (issued.key.reveal(), "mtg_live_never", None):
        with pytest.raises(Unauthenticated) as refused:
            gate.caller(key, "usage")
        said.append((refused.value.message, refused.value.remedy))
    assert len(set(said)) == 1


NAMES = [
    "猫",
    "na me",
    "a" * 5000,
    "..",
    "%2e%2e",
    "x\u202ey",
    "🐈‍⬛",
    "\u00e9 e\u0301",
    "a%00b",
    "%ff",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_product_of_any_name_is_a_404_that_forges_nothing(client, warm, name) -> None:
    from urllib.parse import quote

    path = f"/v1/products/{name if '%' in name else quote(name, safe='')}"
    checked(client.get(path), 404)
    if ".." not in name:
        problem = checked(client.post(f"{path}/predict", content=warm), 404)
        assert "\u202e" not in problem["detail"]
        assert "\x00" not in problem["detail"]


# ---- addresses and methods


@pytest.mark.parametrize(
    "path",
    [
        "/static/../service.py",
        "/static/..%2fservice.py",
        "/static/%2e%2e/service.py",
        "/static/....//service.py",
        "/static//etc/passwd",
        "/static/app.css%00.js",
        "/samples/../page.json/",
        "//etc/passwd",
        "/static/",
        "/V1/products",
        "/v1/products/",
    ],
)
def test_there_is_nothing_beside_the_addresses(http, path) -> None:
    assert checked(http.get(path), 404)["code"] == "request_error"


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "GET", "HEAD"])
def test_another_method_is_a_405_that_names_the_right_one(http, method) -> None:
    response = http.request(method, PREDICT)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    if method != "HEAD":
        assert "POST" in checked(response, 405)["remedy"]


@pytest.mark.parametrize("path", ["/", "/v1/products", "/v2/health/live", "/nothing"])
def test_a_head_is_a_get_without_its_body(http, path) -> None:
    whole, head = http.get(path), http.head(path)
    assert head.status_code == whole.status_code
    assert head.content == b""
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert head.headers["X-Request-Id"] != whole.headers["X-Request-Id"]


# ---- request ids


@pytest.mark.parametrize("given", ["a", "call-7.B_x", "0" * 64])
def test_a_well_formed_request_id_of_the_client_is_taken_over(client, given) -> None:
    response = client.get("/nothing", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == response.json()["instance"] == given


@pytest.mark.parametrize("given", ["", "0" * 65, "a b", "a\tb", "ä", "a;b", '{"event":1}'])
def test_any_other_is_replaced(client, given) -> None:
    response = client.get("/nothing", headers=[(b"X-Request-Id", given.encode())])
    assert re.fullmatch(r"req_\w{26}", response.headers["X-Request-Id"])


# ---- on the wire


def raw(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer_to(address: str, sent: bytes) -> httpx.Response:
    """What comes back, until the server closes, as a response."""
    with raw(address) as connection:
        connection.sendall(sent)
        found = b""
        while read := connection.recv(65_536):
            found += read
    head, __, body = found.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [tuple(line.split(b": ", 1)) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


@pytest.mark.parametrize(
    "sent",
    [
        b"this is no HTTP\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # a TLS handshake
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_problem_too(running, sent) -> None:
    response = answer_to(running.address, sent)
    assert checked(response, 400)["code"] == "request_error"
    assert response.headers["Connection"] == "close"


def test_what_is_no_http_is_told_in_the_language_that_came_before(running, chinese) -> None:
    head = (
        b"GET / HTTP/1.1\r\nX-Request-Id: mine\r\nAccept-Language: zh\r\nHost: x\r\nBad Header: x"
    )
    response = answer_to(running.address, head)
    assert response.headers["Content-Language"] == "zh"
    assert response.json()["detail"] == chinese("What came is not well-formed HTTP.")
    assert response.headers["X-Request-Id"] == "mine"


def test_headers_may_be_long_but_not_endless(running) -> None:
    with httpx.Client(base_url=running.address, trust_env=False) as http:
        assert http.get("/v2", headers={"X-Long": "x" * 60_000}).status_code == 200
        assert http.get("/v2", headers={"X-Long": "x" * 60_000}).status_code == 200
        assert checked(http.get("/v2", headers={"X-Long": "x" * 100_000}), 431)["error"]
    with raw(running.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        for __ in range(40):
            connection.sendall(b"x" * 8192)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 431 ")


def test_a_head_that_does_not_end_is_refused_after_a_while(running, monkeypatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.2)
    with raw(running.address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
    with raw(running.address) as silent:
        assert silent.recv(65_536) == b""


def test_http_1_0_is_answered_and_closed(running) -> None:
    response = answer_to(running.address, b"GET /v1/products HTTP/1.0\r\n\r\n")
    assert response.status_code == 200
    assert response.headers["Connection"] == "close"


def test_a_body_that_stops_halfway_costs_nothing_and_hurts_nobody(running, desk, key, http) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nContent-Length: 5000\r\n\r\n"
    with raw(running.address) as connection:
        connection.sendall(head.encode() + b"half")
    assert http.get("/v2/health/live").status_code == 200
    assert desk.events == {}


def test_a_body_that_stops_halfway_and_waits_is_a_408(running, key, monkeypatch) -> None:
    monkeypatch.setattr("mintage.api.uploads._READ_SECONDS", 0.2)
    head = f"POST {PREDICT} HTTP/1.1\r\nAuthorization: Bearer {key}\r\nContent-Length: 5000\r\n\r\n"
    with raw(running.address) as connection:
        connection.sendall(head.encode() + b"half")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")


# ---- a hundred megabytes

_SERVER = """
import sys
sys.path[:0] = {path!r}
from tests.api.conftest import Colours, Desk
from mintage.api.server import serve
from mintage.api.service import Service
from mintage.core.settings import Settings
from mintage.deliver.engine import Engine

desk, colours = Desk(), Colours()
settings = Settings(port=0, operator_port=0, drain_seconds=1)
engine = Engine(lambda *_: colours, desk, threads=1, max_queue=4)
service = Service(settings, engine, gate=desk, meter=desk, accounts=desk, catalogue=desk)
serve(service, on_started=lambda *a: print(a[0], flush=True))
"""
LARGE = 100_000_000


def pieces(before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    yield before
    for __ in range(LARGE // 1_000_000):
        yield b"\xff" * 1_000_000
    yield after


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """A server of its own, with the limit of 20 MB: its address and process id."""
    program = _SERVER.format(path=[str(Path(__file__).parents[2]), *sys.path])
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().strip(), process.pid
    process.terminate()
    process.communicate(timeout=10)


def peak_bytes(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


FORM = b'--q\r\nContent-Disposition: form-data; name="file"\r\n\r\n'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("form", ["announced", "chunked", "multipart", "json", "no key"])
def test_100_mb_are_a_413_that_the_client_reads_and_take_no_memory(server, key, form) -> None:
    address, process = server
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/png"}
    content = pieces()
    if form == "announced":
        headers["Content-Length"] = str(LARGE)
    elif form == "multipart":
        headers["Content-Type"] = "multipart/form-data; boundary=q"
        content = pieces(FORM, b"\r\n--q--")
    elif form == "json":
        headers["Content-Type"] = "application/json"
        content = pieces(b'{"image": "', b'"}')
    elif form == "no key":
        headers["Authorization"] = "Bearer wrong"
    before = peak_bytes(process)
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as http:
        response = http.post(PREDICT, content=content, headers=headers)
        problem = checked(response, 401 if form == "no key" else 413)
        if form != "no key":
            assert "20,000,000 bytes" in problem["detail"]
        assert http.get("/v2/health/live").status_code == 200
    # What is held is what an upload may have, once joined and once in pieces; not what was sent.
    assert peak_bytes(process) - before < 75_000_000


def test_our_client_reads_the_413_too(server, key) -> None:
    with Client(server[0], key, timeout_seconds=60) as client:
        with pytest.raises(RequestError) as refused:
            client.predict("tones", b"\xff" * LARGE)
        assert refused.value.http_status == 413
        assert refused.value.request_id.startswith("req_")
