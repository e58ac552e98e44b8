"""At the door: calls beyond those in hand are turned away unread, and nobody else is."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mintage.api.door import Door
from mintage.api.exchange import Exchange
from mintage.api.protocol import Protocol

PREDICT = "/v1/products/tones/predict"


@pytest.fixture
def fill(service) -> Iterator[Callable[[int], None]]:
    """Have so many calls in hand."""
    places = []

    def take(count: int) -> None:
        places.extend(service.intake.place(10, 100) for __ in range(count))

    yield take
    for place in places:
        place.__exit__(None, None, None)


@pytest.fixture
def late_door(monkeypatch) -> None:
    """Who comes in has sent their call by then, however busy the machine is."""
    come = Door._come

    def later(door: Door) -> None:
        time.sleep(0.1)
        come(door)

    monkeypatch.setattr(Door, "_come", later)


@pytest.fixture
def connect(running) -> Iterator[Callable[[], socket.socket]]:
    made: list[socket.socket] = []

    def opened() -> socket.socket:
        host, port = running.address.removeprefix("http://").split(":")
        made.append(socket.create_connection((host, int(port)), timeout=10))
        return made[-1]

    yield opened
    for each in made:
        each.close()


@pytest.fixture
def full(connect, fill, service) -> Callable[[], socket.socket]:
    """A connection that was answered, to a server that has no place left since."""

    def opened() -> socket.socket:
        connection = connect()
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer(connection)[0] == 200
        fill(service.settings.max_queue)
        return connection

    return opened


def call(key: str, body: bytes, length: int | None = None) -> bytes:
    lines = [
        f"POST {PREDICT} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {key}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> tuple[int, dict[str, str], dict]:
    """The next answer on it."""
    said = b""
    while b"\r\n\r\n" not in said:
        part = connection.recv(65_536)
        assert part, said
        said += part
    head, __, body = said.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65_536)
    return int(status.split()[1]), headers, json.loads(body)


def ends(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def shed(service) -> float:
    lines = service.metrics.render().decode().splitlines()
    counted = (line for line in lines if line.startswith("mintage_calls_total"))
    return sum(float(line.split()[-1]) for line in counted if 'outcome="shed"' in line)


@pytest.mark.usefixtures("late_door")
def test_a_call_is_turned_away_without_its_body_and_told_when_to_come_back(
    service, connect, fill, key
) -> None:
    fill(service.settings.max_queue)
    connection = connect()
    connection.sendall(call(key, b"only a part", length=50_000))
    status, headers, problem = answer(connection)
    assert (status, problem["code"], problem["status"]) == (503, "overloaded", 503)
    assert (headers["retry-after"], headers["connection"]) == ("1", "close")
    assert headers["content-type"] == "application/problem+json"
    assert problem["instance"] == headers["x-request-id"]
    assert problem["instance"].startswith("req_")
    assert ends(connection)
    assert shed(service) == 1


def test_who_asks_for_nothing_that_is_sold_is_let_in(service, connect, fill, key, warm) -> None:
    fill(service.settings.max_queue)
    connection = connect()
    connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(connection)[0] == 200
    connection.sendall(call(key, warm))  # but not for long
    assert answer(connection)[0] == 503


def test_a_connection_stays_when_a_call_on_it_is_turned_away(
    service, connect, key, warm, monkeypatch
) -> None:
    monkeypatch.setattr("mintage.api.protocol._HEAD_SECONDS", 0.2)
    connection = connect()
    connection.sendall(call(key, warm))
    assert answer(connection)[0] == 200
    places = [service.intake.place(10, 100) for __ in range(service.settings.max_queue)]
    for __ in range(2):
        connection.sendall(call(key, warm))
        status, headers, problem = answer(connection)
        assert (status, problem["code"], headers["retry-after"]) == (503, "overloaded", "1")
        assert "connection" not in headers
    connection.sendall(call(key, warm[:10], length=len(warm)))  # told so by its head alone
    assert answer(connection)[0] == 503
    for place in places:
        place.__exit__(None, None, None)
    connection.sendall(warm[10:])  # and thrown away
    time.sleep(0.4)  # longer than a head may take
    connection.sendall(call(key, warm))
    assert answer(connection)[0] == 200
    assert shed(service) == 3


@pytest.mark.parametrize("wish", [b"Connection: close", b"Expect: 100-continue"])
def test_a_call_that_is_turned_away_is_the_last_where_it_says_so(
    full, key, warm, wish: bytes
) -> None:
    connection = full()
    head = call(key, b"", length=len(warm)).replace(b"Host: x", b"Host: x\r\n" + wish)
    connection.sendall(head)
    status, headers, __ = answer(connection)
    assert (status, headers["connection"]) == (503, "close")
    assert ends(connection)


def test_many_calls_at_once_are_not_all_turned_away_one_by_one(full, key) -> None:
    connection = full()
    connection.sendall(call(key, b"") * 50)
    said = b""
    while part := connection.recv(65_536):
        said += part
    assert said.count(b"HTTP/1.1 503") == 16
    assert said.count(b"connection: close") == 1


def test_a_head_behind_a_call_that_is_turned_away_may_take_as_long_as_any(
    full, key, monkeypatch
) -> None:
    monkeypatch.setattr("mintage.api.protocol._HEAD_SECONDS", 0.2)
    connection = full()
    connection.sendall(call(key, b"") + b"G")
    assert answer(connection)[0] == 503
    connection.settimeout(5)
    assert answer(connection)[0] == 408
    assert ends(connection)


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 2000000\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n",
    ],
)
def test_a_body_that_is_long_or_does_not_say_how_long_is_not_read_to_its_end(
    full, framing: bytes
) -> None:
    connection = full()
    connection.sendall(b"POST /v1/x HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n")
    status, headers, __ = answer(connection)
    assert (status, headers["connection"]) == (503, "close")
    assert ends(connection)


def test_the_log_says_how_many_calls_were_turned_away(
    full, connect, key, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("mintage.api.turned_away._SAY_SECONDS", 0.2)
    connection = full()
    for each in (connection, connection, connect()):
        each.sendall(call(key, b""))
        assert answer(each)[0] == 503
    end = time.monotonic() + 10
    while "turned away in a second" not in caplog.text:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "3 calls were turned away" in caplog.text


def test_the_rest_of_a_call_that_is_turned_away_is_not_waited_for(full, key, monkeypatch) -> None:
    monkeypatch.setattr("mintage.api.protocol._HEAD_SECONDS", 0.2)
    connection = full()
    connection.sendall(call(key, b"only a part", length=50_000))
    assert answer(connection)[0] == 503
    assert ends(connection)


def test_who_reads_no_refusal_is_sent_no_more(full, service, key) -> None:
    connection = full()
    for __ in range(5000):
        connection.sendall(call(key, b"") * 10)  # read, since it lingers, and thrown away
    told = [-1.0, shed(service)]
    while told[-1] != told[-2]:
        time.sleep(0.3)
        told.append(shed(service))
    assert 1 <= told[-1] < 25_000


def test_answers_leave_nothing_for_the_garbage_collector(connect, key, warm) -> None:
    gc.collect()
    gc.disable()
    try:
        connections = [connect() for __ in range(3)]
        for connection in connections * 4:
            connection.sendall(call(key, warm))
            assert answer(connection)[0] == 200
            connection.sendall(b"GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n")
            assert answer(connection)[0] == 200
        for connection in connections:
            connection.close()
        end = time.monotonic() + 10
        kinds = (Exchange, Protocol)
        while left := [each for each in gc.get_objects() if isinstance(each, kinds)]:
            assert time.monotonic() < end, left
            time.sleep(0.05)
            del left
    finally:
        gc.enable()


def test_a_body_that_begins_as_a_call_does_is_a_body(service, connect, fill, key) -> None:
    connection = connect()
    body = b"POST / HTTP/1.1"
    connection.sendall(call(key, b"", length=len(body)))
    end = time.monotonic() + 10
    while service.intake.calls < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    fill(service.settings.max_queue - 1)
    connection.sendall(body)
    assert answer(connection)[0] == 422


def test_when_calls_have_ended_others_are_taken(service, connect, key, warm) -> None:
    places = [service.intake.place(10, 100) for __ in range(service.settings.max_queue)]
    refused = connect()
    refused.sendall(call(key, warm))
    assert answer(refused)[0] == 503
    for place in places:
        place.__exit__(None, None, None)
    taken = connect()
    taken.sendall(call(key, warm))
    assert answer(taken)[0] == 200


def test_a_large_upload_gets_to_know_why_it_was_turned_away(service, connect, fill, key) -> None:
    fill(service.settings.max_queue)
    connection = connect()
    body = bytes(90_000)
    connection.sendall(call(key, body[:10], length=len(body)))
    for start in range(10, len(body), 10_000):
        time.sleep(0.02)
        connection.sendall(body[start : start + 10_000])
    assert answer(connection)[0] == 503


@pytest.mark.parametrize("head", [b"CONNECT a:443 HTTP/1.1", b"GET http://a HTTP/1.1"])
def test_an_address_without_a_path_is_answered(connect, head: bytes) -> None:
    connection = connect()
    connection.sendall(head + b"\r\nHost: a\r\n\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 ")


def test_what_comes_behind_a_call_under_way_does_not_take_its_answer(
    service, provider, connect, key, warm
) -> None:
    provider.held.clear()
    connection = connect()
    connection.sendall(call(key, warm) + b"GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n")
    end = time.monotonic() + 10
    while service.intake.calls < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    connection.sendall(b"no HTTP at all\r\n\r\n")
    time.sleep(0.1)
    provider.held.set()
    said = b""
    while part := connection.recv(65_536):
        said += part
    answers = said.split(b"HTTP/1.1 ")[1:]
    assert [each[:3] for each in answers] == [b"200", b"200"]
    assert b"receipt" in answers[0]
    assert b"products" in answers[1]


def test_a_connection_that_sends_neither_head_nor_body_is_ended(connect, key, monkeypatch) -> None:
    monkeypatch.setattr("mintage.api.protocol._HEAD_SECONDS", 0.2)
    connection = connect()
    connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer(connection)[0] == 200
    connection.sendall(b"\r\n")
    connection.settimeout(5)
    assert answer(connection)[0] == 408
    assert ends(connection)


def test_a_client_that_left_during_a_large_call_pays_nothing(
    service, desk, provider, connect, key
) -> None:
    provider.held.clear()
    connection = connect()
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    assert stream.tell() > 65_536
    connection.sendall(call(key, stream.getvalue()))
    end = time.monotonic() + 10
    while service.intake.calls < 1:
        assert time.monotonic() < end
        time.sleep(0.01)
    time.sleep(0.1)
    connection.close()
    time.sleep(0.1)
    provider.held.set()
    while service.intake.calls:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert [usage.outcome for usage, __ in desk.events.values()] == ["cancelled"]


class Poor:
    """A listener that may open no more files, once."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner, self.refused = inner, 0

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def accept(self):
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._inner.accept()


async def test_who_never_shakes_hands_does_not_hold_up_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        shown = SimpleNamespace(context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        door = Door(listener, asyncio.Protocol, certificate=shown)
        __, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(5):
            while not door._coming:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            door.close()
            await door.wait_closed()
        writer.close()


async def test_where_no_more_files_may_be_opened_it_tries_again_in_a_moment(caplog) -> None:
    came = asyncio.Event()

    class Told(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            came.set()
            transport.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        poor = Poor(listener)
        door = Door(poor, Told, certificate=None)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(10):
            await came.wait()
            assert await reader.read() == b""
        writer.close()
        door.close()
        await door.wait_closed()
    assert poor.refused == 1
    assert "Too many open files" in caplog.text
