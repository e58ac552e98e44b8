"""A key in every place where a caller can put one, and then everywhere that it may not be found."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.test_main_job import Server

from mintage.app.root import App
from mintage.capture.key_limits import KeyLimits
from mintage.capture.keys import PREFIX, ApiKey
from mintage.core.settings import load_settings

PREDICT = "/v1/products/pets/predict"
KINDS = ("valid", "revoked", "expired")
OPERATORS = ("operator", "revoked operator")
LONG_AGO = "2020-01-01T00:00:00.000000Z"


@pytest.fixture
def keys(home: Path) -> dict[str, str]:
    """One key of each kind, of a customer with a product to call."""
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets", "pets")
        __, issued = app.capture.add_customer("Ada")
        customers = app.capture.customers
        revoked = customers.issue_key("Ada")
        customers.revoke_key(revoked.id)
        expired = customers.issue_key("Ada", KeyLimits(expires_at=LONG_AGO))
        made = issued.key, revoked.key, expired.key
        operators = app.capture.operators
        gone = operators.add("gone", "admin").key
        operators.revoke("gone")
        made += operators.add("ops", "admin").key, gone
    return {kind: each.reveal() for kind, each in zip(KINDS + OPERATORS, made, strict=True)}


class Collector:
    """Where traces are sent: keeps every byte."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *__: object) -> None:
                """Nothing: it is no part of what is searched."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def wrong_places(key: str, picture: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Calls with the key where none belongs: method, address, and the rest."""
    for address in (
        f"/?key={key}",
        f"/{key}",
        f"/%2e{key}",
        f"/v1/usage?product={key}",
        f"/v1/usage?after={key}",
        f"/v1/usage?limit={key}",
        f"/v1/{key}",
        f"/v1/products/{key}",
        f"/v1/receipts/{key}",
        f"/v2/models/{key}",
        f"/v2/models/{key}/ready",
        f"/v2/models/pets/versions/{key}",
    ):
        yield "GET", address, {}
    for address in (
        f"/v1/products/{key}/predict",
        f"{PREDICT}?key={key}",
        f"{PREDICT}?explain={key}",
        f"/v2/models/{key}/infer",
        f"/v2/models/pets/versions/{key}/infer",
    ):
        yield "POST", address, {"content": picture}
    yield "DELETE", f"/v1/receipts/{key}/feedback", {}
    yield key[:12], PREDICT, {}
    feedback = f"/v1/receipts/{key}/feedback"
    for word in (
        {"right": False, "label": key, "consent": True, "output": {key: key}, "image": key},
        {"right": key, "label": key, "consent": True, "output": key, "image": ""},
        {key: key, "consent": True},
    ):
        yield "PUT", feedback, {"json": word}
    tensor = {"name": key, "datatype": key, "shape": [1], "data": [key]}
    for document in ({"image": key}, {key: key}, [key], key, {"inputs": [tensor], "id": key}):
        yield "POST", PREDICT, {"json": document}
        yield "POST", f"{PREDICT}:batch", {"json": document}
        yield "POST", "/v2/models/pets/infer", {"json": document}
    yield "POST", PREDICT, {"content": key.encode()}
    yield "POST", PREDICT, {"files": {"file": (f"{key}.jpg", picture, f"image/{key}")}}
    yield "POST", PREDICT, {"files": {"file": (f"{key}.jpg", key.encode(), "image/jpeg")}}
    yield "POST", PREDICT, {"files": {key: (f"{key}.jpg", picture, "image/jpeg")}}
    for name in (
        *("Content-Type", "Content-Encoding", "Idempotency-Key", "X-Request-Id", "Cookie"),
        *("User-Agent", "Referer", "Accept-Language", "Accept", "traceparent", "tracestate"),
        *("X-Forwarded-For", "Inference-Header-Content-Length", key),
    ):
        yield "POST", PREDICT, {"content": picture, "headers": {name: key}}
    for value in (key, f"Basic {base64.b64encode(key.encode()).decode()}", f"Bearer {key}x"):
        yield "POST", PREDICT, {"content": picture, "headers": {"Authorization": value}}


def wrong_admin_places(key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The same for the operator's port; a key is nobody's name there either."""
    for address in (
        *("customers", "keys", "plans", "invoices", "receipts", "operators", "usage"),
        *(f"customers/{key}", f"customers/{key}/keys", f"customers/{key}/details"),
        *(f"plans/{key}", f"invoices/{key}", f"invoices/{key}.html", f"receipts/{key}"),
        *(f"customers?after={key}", f"customers?limit={key}", f"usage?customer={key}"),
        *(f"usage/totals?period={key}", f"economics?period=2026-11&by={key}", key),
    ):
        yield "GET", f"/v1/admin/{address}", {}
    bodies: tuple[Any, ...] = (
        *({"name": key}, {key: key}, [key], key, {"role": key, "name": key}),
        *({"plan": key}, {"period": key}, {"scopes": [key]}, {"products": [key]}),
        *({"networks": [key]}, {"expires": key}, {"overlap": key}, {"reference": key}),
        *({"reason": key}, {"currency": key}, {"taxes": [{"name": key, "percent": key}]}),
    )
    for address in (
        *("customers", "operators", "plans:simulate", "economics:replay", "invoices:run"),
        *("customers/Ada/keys", "customers/Ada/plans", f"customers/Ada/plans/{key}/cancel"),
        *(f"keys/{key}/rotate", f"keys/{key}/revoke", f"invoices/{key}/pay"),
        *(f"invoices/{key}/credit", f"operators/{key}/revoke", f"operators/{key}/rotate"),
    ):
        for body in bodies:
            yield "POST", f"/v1/admin/{address}", {"json": body}
    for address in ("customers/Ada/details", f"plans/{key}", "plans/gold", "operators/ops/role"):
        for body in bodies:
            yield "PUT", f"/v1/admin/{address}", {"json": body}
    for name in ("Content-Type", "Content-Encoding", "X-Request-Id", "Accept-Language", key):
        options = {"json": {"name": key}, "headers": {name: key}}
        yield "POST", "/v1/admin/customers", options


def ask_all(
    address: str, key: str, places: Iterator[tuple[str, str, dict[str, Any]]]
) -> Iterator[bytes]:
    """What every call is answered, head and body."""
    with httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {key}"}, trust_env=False
    ) as client:
        for method, path, options in places:
            answer = client.request(method, path, **options)
            assert answer.status_code < 500, (method, path)
            yield repr(answer.headers.raw).encode() + answer.content
    url = httpx.URL(address)
    for nonsense in (f"{key} / {key}\r\n\r\n", f"GET /{key} HTTP/1.1\r\n{key}\r\n\r\n"):
        with socket.create_connection((url.host, url.port or 80), timeout=5) as connection:
            connection.sendall(nonsense.encode())
            yield connection.recv(65_536)


def pages(server: Server) -> Iterator[bytes]:
    """What anybody may read, and whoever runs the service."""
    for address in (
        f"{server.url}/",
        f"{server.url}/v1/products",
        f"{server.operator}/metrics",
        f"{server.operator}/docs",
        f"{server.operator}/docs/admin",
        f"{server.operator}/openapi.json",
        f"{server.operator}/openapi-admin.json",
    ):
        yield httpx.get(address, trust_env=False).content


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_planted_key_is_found_in_no_log_error_trace_metric_page_or_file(
    home: Path,
    trained_home: Path,
    tmp_path: Path,
    keys: dict[str, str],
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    log_format: str,
) -> None:
    monkeypatch.setenv("MINTAGE_LOG_FORMAT", log_format)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    found: dict[str, bytes] = {}
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        server = Server(home, "--behind-proxy", "127.0.0.1", stderr=stderr)
        try:
            for kind, key in keys.items():
                asked = ask_all(server.url, key, wrong_places(key, picture))
                found |= {f"answer {number} to {kind}": said for number, said in enumerate(asked)}
                asked = ask_all(server.operator, key, wrong_admin_places(key))
                found |= {f"admin {number} to {kind}": said for number, said in enumerate(asked)}
            found |= {f"page {number}": said for number, said in enumerate(pages(server))}
        finally:
            server.end()
    found["log"] = log.read_bytes()
    found |= {f"trace {number}": sent for number, sent in enumerate(collector.received)}
    found |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert b"/v1/products/{product}/predict" in found["log"]
    assert any(b"mintage.outcome" in sent for sent in collector.received)
    for key in keys.values():
        secret = key.removeprefix(PREFIX).removeprefix("mtg_op_")[:-6].lower().encode()
        encoded = base64.b64encode(key.encode())
        leaks = [
            place for place, data in found.items() if secret in data.lower() or encoded in data
        ]
        assert leaks == []


def test_an_unknown_a_revoked_and_an_expired_key_get_one_identical_answer(
    home: Path, trained_home: Path, keys: dict[str, str]
) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    server = Server(home)
    unknown = ApiKey.generate().reveal(), f"{PREFIX}typo"
    refused = [keys["revoked"], keys["expired"], keys["operator"], *unknown]

    def answer(key: str, method: str, address: str) -> tuple[int, dict[str, str], bytes]:
        headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "same"}
        said = httpx.request(
            method, f"{server.url}{address}", content=picture, headers=headers, trust_env=False
        )
        head = {name: text for name, text in said.headers.items() if name != "date"}
        return said.status_code, head, said.content

    try:
        assert answer(keys["valid"], "POST", PREDICT)[0] == 200
        for method, address in (
            ("POST", PREDICT),
            ("POST", "/v1/products/none/predict"),
            ("POST", "/v2/models/pets/infer"),
            ("GET", "/v1/usage"),
            ("GET", "/v1/receipts/rcp_1"),
            ("DELETE", "/v1/receipts/rcp_1/feedback"),
        ):
            first, *others = (answer(key, method, address) for key in refused)
            assert first[0] == 401
            assert json.loads(first[2])["code"] == "unauthenticated"
            assert all(other == first for other in others)
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.end()
