"""The Python client against a server that says exactly what a test wants."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mintage.client import Client
from mintage.core import errors
from mintage.core.messages import speaking


class Canned:
    """Answers every request with the same, and remembers what it got."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 200, {}, b"{}"
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []
        self.patience = threading.Event()
        self.patience.set()
        canned = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                canned.patience.wait(5)
                length = int(self.headers.get("Content-Length", 0))
                data = self.rfile.read(length)
                headers = {name.lower(): value for name, value in self.headers.items()}
                canned.got.append((self.command, self.path, headers, data))
                self.send_response(canned.status)
                for name, value in canned.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(canned.body)))
                self.end_headers()
                self.wfile.write(canned.body)

            do_GET = do_POST  # noqa: N815 - the name that the library calls

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def problem(self, code: str, status: int, **headers: str) -> None:
        document = {"code": code, "status": status, "detail": "What was wrong.", "remedy": "Do so."}
        self.status, self.headers, self.body = status, headers, json.dumps(document).encode()

    def close(self) -> None:
        self.patience.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def canned() -> Iterator[Canned]:
    server = Canned()
    yield server
    server.close()


@pytest.fixture
def client(canned: Canned) -> Iterator[Client]:
    with Client(canned.address, "mtg_live_key", timeout_seconds=2, retries=0) as opened:
        yield opened


def test_a_picture_goes_as_it_is_with_the_key_in_its_header_alone(client, canned, tmp_path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"the bytes")
    canned.body = b'{"id": "evt_1"}'
    assert client.predict("my pets", path, idempotency_key="once") == {"id": "evt_1"}
    [(method, address, headers, data)] = canned.got
    assert (method, address, data) == ("POST", "/v1/products/my%20pets/predict", b"the bytes")
    assert headers["authorization"] == "Bearer mtg_live_key"
    assert headers["idempotency-key"] == "once"
    assert "cat.jpg" not in str(headers)


@pytest.mark.parametrize(
    ("explain", "asked"),
    [
        (False, ""),
        ("false", ""),
        (True, "?explain=true"),
        ("true", "?explain=true"),
        ("map", "?explain=map"),
        ("png", "?explain=png"),
    ],
)
def test_an_explanation_is_asked_for_in_the_servers_words(connect, canned, explain, asked) -> None:
    connect(canned.address).predict("pets", b"x", explain=explain)
    assert [path for __, path, __, __ in canned.got] == [f"/v1/products/pets/predict{asked}"]


@pytest.mark.parametrize(
    "results",
    [
        [],
        [{"status": 200, "answer": {}, "problem": None}] * 2,
        [{"status": 422, "answer": None, "problem": None}],
        [{"answer": {}}, "x"],
        "x",
        None,
    ],
)
def test_results_that_are_not_those_of_the_pictures_are_an_error_of_the_servers(
    connect, canned, results
) -> None:
    canned.body = json.dumps({"results": results}).encode()
    with pytest.raises(errors.DependencyDown):
        connect(canned.address).predict_batch("pets", [b"x"])


def test_usage_asks_for_what_was_asked(client, canned) -> None:
    canned.body = b'{"usage": [{"id": "evt_1"}]}'
    assert client.usage(product="pets", after="rcp_1", limit=5) == [{"id": "evt_1"}]
    assert canned.got[0][1] == "/v1/usage?product=pets&after=rcp_1&limit=5"


def every_error() -> list[type[errors.MintageError]]:
    def below(kind: type[errors.MintageError]) -> list[type[errors.MintageError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    return [kind for kind in below(errors.MintageError) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_comes_back_as_itself(client, canned, kind) -> None:
    canned.problem(kind.code, kind.default_http_status, **{"Retry-After": "7"})
    with pytest.raises(errors.MintageError) as raised:
        client.receipt("rcp_1")
    assert type(raised.value) is kind
    assert raised.value.message == "What was wrong."
    assert raised.value.remedy == "Do so."
    assert raised.value.http_status == kind.default_http_status
    assert raised.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthenticated),
        (402, errors.PaymentDue),
        (403, errors.NotAllowed),
        (404, errors.RequestError),
        (413, errors.RequestError),
        (422, errors.DataError),
        (429, errors.QuotaReached),
        (500, errors.Bug),
        (502, errors.ServiceError),
        (503, errors.ServiceError),
    ],
)
def test_an_error_page_of_something_between_us_is_an_error_by_its_status(
    client, canned, status, kind
) -> None:
    canned.status, canned.body = status, b"<html>some proxy</html>"
    with pytest.raises(kind) as raised:
        client.receipt("rcp_1")
    assert type(raised.value) is kind
    assert str(status) in raised.value.message


def test_a_servers_own_kind_of_error_comes_back_as_its_nearest_by_status(client, canned) -> None:
    class Peculiar(errors.RequestError):
        code = "peculiar"

        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} and {second}")

    canned.problem(Peculiar.code, 409)
    with pytest.raises(errors.RequestError) as raised:
        client.receipt("rcp_1")
    assert type(raised.value) is errors.RequestError
    assert raised.value.http_status == 409


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_server_is_asked_in_the_language_of_whoever_calls(client, canned, language) -> None:
    with speaking(language):
        client.receipt("rcp_1")
        client.predict("pets", b"x")
    assert [headers["accept-language"] for __, __, headers, __ in canned.got] == [language] * 2


def test_an_error_says_which_request_it_was(client, canned) -> None:
    canned.problem("not_ready", 503, **{"X-Request-Id": "req_7"})
    with pytest.raises(errors.NotReady) as raised:
        client.usage()
    assert raised.value.request_id == "req_7"


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b""])
def test_a_success_that_is_no_json_object_is_an_error_too(client, canned, body) -> None:
    canned.body = body
    with pytest.raises(errors.DependencyDown, match="not JSON"):
        client.receipt("rcp_1")


def test_a_server_that_is_not_there_is_said_with_its_address() -> None:
    with (
        Client("http://127.0.0.1:9", "mtg_live_key", retries=0) as client,
        pytest.raises(errors.DependencyDown, match=r"127\.0\.0\.1:9"),
    ):
        client.usage()


def test_a_server_that_does_not_answer_in_time_is_a_504(canned) -> None:
    canned.patience.clear()
    with (
        Client(canned.address, "mtg_live_key", timeout_seconds=0.1, retries=0) as client,
        pytest.raises(errors.ServiceError) as late,
    ):
        client.usage()
    assert late.value.http_status == 504


def test_a_file_that_is_not_there_is_a_data_error_and_nothing_is_sent(
    client, canned, tmp_path
) -> None:
    with pytest.raises(errors.DataError, match=r"nothing\.jpg"):
        client.predict("pets", tmp_path / "nothing.jpg")
    assert canned.got == []


def test_what_is_no_address_is_refused_before_any_call() -> None:
    with pytest.raises(errors.ConfigError):
        Client("ftp://example", "mtg_live_key")


def test_the_key_shows_in_no_error_and_no_repr(client, canned) -> None:
    canned.problem("bug", 500)
    with pytest.raises(errors.Bug) as raised:
        client.usage()
    assert "mtg_live_key" not in f"{raised.value!r}{raised.value}{client!r}"


def test_the_client_loads_no_server_no_database_and_no_arrays() -> None:
    code = (
        "import sys, mintage.client;"
        "heavy = {'fastapi', 'sqlalchemy', 'uvicorn', 'onnxruntime', 'torch', 'PIL'};"
        "raise SystemExit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
