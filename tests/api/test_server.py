"""The real server on loopback: sockets, limits while reading, draining, two ports."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from tests.api.conftest import Running

from mintage.api.server import serve
from mintage.client import Client
from mintage.core.errors import DataError, DependencyDown, RequestError, Unauthenticated
from mintage.core.settings import Settings

PREDICT = "/v1/products/tones/predict"


def eventually(condition, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


def raw(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=5)


def head(key: str, *lines: str) -> bytes:
    fixed = (f"POST {PREDICT} HTTP/1.1", "Host: x", "Content-Type: image/png")
    return "\r\n".join((*fixed, f"Authorization: Bearer {key}", *lines, "", "")).encode()


def test_the_python_client_and_the_server_understand_each_other(
    running, desk, key, warm, tmp_path
) -> None:
    path = tmp_path / "warm.png"
    path.write_bytes(warm)
    with Client(running.address, key) as client:
        answer = client.predict("tones", path)
        assert answer["output"]["label"] == "warm"
        assert client.predict("tones", warm)["output"] == answer["output"]
        assert [event["outcome"] for event in client.usage()] == ["ok", "ok"]
        assert client.receipt(answer["receipt"]["id"]) == answer["receipt"]
        assert client.product("tones")["labels"] == ["warm", "cold"]
        with pytest.raises(DataError, match="cannot be read"):
            client.predict("tones", b"broken")
        with pytest.raises(RequestError) as missing:
            client.predict("no thing/here", warm)
        assert missing.value.http_status == 404
        first = client.predict("tones", warm, idempotency_key="a")
        assert client.predict("tones", warm, idempotency_key="a") == first
        with pytest.raises(RequestError) as reused:
            client.predict("tones", warm + b"\n", idempotency_key="a")
        assert reused.value.http_status == 422
        assert len(client.usage()) == 4
    with Client(running.address, "mtg_live_wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.predict("tones", warm)


def test_the_two_ports_answer_their_own_and_only_their_own(running) -> None:
    with httpx.Client(trust_env=False) as http:
        assert http.get(f"{running.address}/v2/health/ready").status_code == 200
        assert http.get(f"{running.operator_address}/metrics").status_code == 200
        assert http.get(f"{running.operator_address}/docs").status_code == 200
        for path in ("/metrics", "/docs", "/openapi.json"):
            assert http.get(f"{running.address}{path}").status_code == 404


def test_a_413_comes_before_the_whole_body_was_sent(running, key) -> None:
    with raw(running.address) as connection:
        connection.sendall(head(key, "Transfer-Encoding: chunked"))
        sent, piece = 0, b"%x\r\n%s\r\n" % (20_000, b"\xff" * 20_000)
        while sent < 6:  # 120,000 bytes of an endless body; the limit is 100,000
            connection.sendall(piece)
            sent += 1
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_a_client_that_sends_on_after_a_413_still_gets_to_read_it(running, key) -> None:
    piece = b"%x\r\n%s\r\n" % (50_000, b"\xff" * 50_000)
    with raw(running.address) as connection:
        connection.sendall(head(key, "Transfer-Encoding: chunked"))
        for _ in range(100):  # 5 MB, far more than the sockets hold
            connection.sendall(piece)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_an_announced_large_body_is_refused_before_a_byte_of_it(running, key) -> None:
    with raw(running.address) as connection:
        connection.sendall(head(key, "Content-Length: 5000000"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_without_a_key_the_answer_comes_before_a_byte_of_the_body(running) -> None:
    with raw(running.address) as connection:
        connection.sendall(head("mtg_live_wrong", "Content-Length: 5000"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")


def test_a_connection_goes_on_after_a_refusal(http, warm) -> None:
    large = http.post(PREDICT, content=b"x" * 100_001)
    assert large.status_code == 413
    assert http.post(PREDICT, content=warm).status_code == 200


def test_a_client_that_leaves_while_it_uploads_is_not_recorded(running, desk, key, http) -> None:
    with raw(running.address) as connection:
        connection.sendall(head(key, "Content-Length: 5000") + b"half")
        eventually(lambda: desk.admitted == 1)
    time.sleep(0.1)
    assert desk.events == {}
    assert http.get("/v2/health/live").status_code == 200


def test_a_client_that_leaves_before_the_commit_is_recorded_as_cancelled(
    running, desk, provider, key, warm, http
) -> None:
    assert http.post(PREDICT, content=warm).status_code == 200
    provider.held.clear()
    with raw(running.address) as connection:
        connection.sendall(head(key, f"Content-Length: {len(warm)}") + warm)
        eventually(lambda: desk.admitted == 2)
        time.sleep(0.1)
    time.sleep(0.1)
    provider.held.set()
    eventually(lambda: len(desk.events) == 2)
    assert desk.outcomes == ["ok", "cancelled"]


def test_a_full_queue_is_a_503_with_retry_after_and_the_rest_is_answered(
    http, desk, provider, warm
) -> None:
    assert http.post(PREDICT, content=warm).status_code == 200
    provider.held.clear()
    statuses: list[int] = []
    taken = [
        threading.Thread(
            target=lambda: statuses.append(http.post(PREDICT, content=warm).status_code)
        )
        for _ in range(4)
    ]
    for thread in taken:
        thread.start()
    eventually(lambda: desk.admitted == 5)
    time.sleep(0.2)
    started = time.monotonic()
    refused = http.post(PREDICT, content=warm)
    assert time.monotonic() - started < 1
    assert refused.status_code == 503
    assert refused.json()["code"] == "overloaded"
    assert int(refused.headers["Retry-After"]) >= 1
    provider.held.set()
    for thread in taken:
        thread.join(5)
    assert statuses == [200] * 4
    assert len(desk.events) == 5  # what was shed is no row


def test_calls_whose_bodies_are_still_read_count_and_the_next_is_a_503_before_its_body(
    running, desk, service, key, http, warm
) -> None:
    slow = [raw(running.address) for _ in range(4)]
    for connection in slow:
        connection.sendall(head(key, "Content-Length: 5000") + b"half")
    eventually(lambda: service.intake.calls == 4)
    with raw(running.address) as late:
        late.sendall(head(key, "Content-Length: 5000"))
        answer = late.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in answer.lower()
    for connection in slow:
        connection.close()
    eventually(lambda: service.intake.calls == 0)
    assert service.intake.body_bytes == 0
    assert http.post(PREDICT, content=warm).status_code == 200


def test_an_idle_connection_stays_open_for_as_long_as_is_set(service, changed) -> None:
    server = Running(changed(service, keep_alive_seconds=1))
    try:
        with raw(server.address) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
            answered = time.monotonic()
            while connection.recv(65_536):
                pass
            assert 0.9 < time.monotonic() - answered < 4
    finally:
        server.close()


def test_stopping_answers_calls_in_flight_then_ends(running, provider, http, warm) -> None:
    assert http.post(PREDICT, content=warm).status_code == 200
    provider.held.clear()
    statuses: list[int] = []
    call = threading.Thread(
        target=lambda: statuses.append(http.post(PREDICT, content=warm).status_code)
    )
    call.start()
    time.sleep(0.2)
    running.stop.set()
    time.sleep(0.3)
    assert running.thread.is_alive()
    provider.held.set()
    call.join(5)
    running.thread.join(5)
    assert statuses == [200]
    assert not running.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.address}/v2/health/live", trust_env=False)


def test_a_port_in_use_says_so_and_how_to_choose_another(service, changed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DependencyDown) as refused:
            serve(changed(service, port=port), on_started=lambda *_: None)
    assert str(port) in refused.value.message
    assert "--port or MINTAGE_PORT" in refused.value.remedy
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DependencyDown) as refused:
            serve(changed(service, operator_port=port), on_started=lambda *_: None)
    assert "--operator-port or MINTAGE_OPERATOR_PORT" in refused.value.remedy
    asyncio.run(service.engine.close())


def test_what_has_to_be_flushed_is_flushed_last(service, changed) -> None:
    from dataclasses import replace

    order: list[str] = []
    stop = threading.Event()
    stop.set()
    ending = replace(
        changed(service), flush=lambda: order.append(f"ready: {service.engine.ready()}")
    )
    serve(ending, on_started=lambda *_: order.append("started"), stop=stop)
    assert order == ["started", "ready: False"]


_PROGRAM = """
import sys
from mintage.api.server import serve
from mintage.api.service import Service
from mintage.core.settings import Settings
from mintage.deliver.engine import Engine

class Nothing:
    def routings(self):
        return {}
    def epoch(self):
        return None

settings = Settings(port=0, operator_port=0, drain_seconds=1)
engine = Engine(lambda *_: None, Nothing(), threads=1, max_queue=1)
service = Service(settings, engine, gate=None, meter=None, accounts=None, catalogue=None,
                  flush=lambda: sys.stdout.write("flushed\\n"))
serve(service, on_started=lambda *a: (sys.stdout.write(a[0] + "\\n"), sys.stdout.flush()))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_exit_0(number) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        address = process.stdout.readline().strip()
        assert httpx.get(f"{address}/v2/health/live", trust_env=False).status_code == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "flushed\n", "")


def test_the_defaults_listen_on_loopback_alone() -> None:
    settings = Settings()
    assert (settings.host, settings.operator_host) == ("127.0.0.1", "127.0.0.1")
