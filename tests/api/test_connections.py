"""Whoever sends slowly, too much or nothing more holds nothing that others need."""

from __future__ import annotations

import socket

import pytest
from tests.api.test_server import PREDICT, eventually, head, raw

GET = b"GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n"


def received(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def flood(connection: socket.socket, part: bytes, most: int) -> int:
    """Send until the server does not want more; bytes that it took."""
    sent = 0
    try:
        while sent < most:
            connection.sendall(part)
            sent += len(part)
    except OSError:
        pass
    return sent


@pytest.fixture
def patience(monkeypatch) -> None:
    monkeypatch.setattr("mintage.api.intake._PATIENCE_SECONDS", 0.1)


TRAILERS = [(b"1\r\nx\r\n0\r\n", b"ab:cd\r\n" * 5000), (b"1\r\nx\r\n0\r\na: ", b"y" * 30_000)]


@pytest.mark.parametrize(("begin", "more"), TRAILERS)
def test_trailers_without_end_are_refused(running, key, begin, more) -> None:
    with raw(running.address) as connection:
        connection.sendall(head(key, "Transfer-Encoding: chunked") + begin)
        flood(connection, more, 300_000)
        assert received(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(("begin", "more"), TRAILERS)
def test_trailers_without_end_behind_an_answer_end_the_connection(running, begin, more) -> None:
    with raw(running.address) as connection:
        connection.sendall(head("mtg_live_nobody", "Transfer-Encoding: chunked") + begin)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
        assert flood(connection, more, 50_000_000) < 50_000_000


def test_a_chunk_extension_without_end_is_refused(running, key) -> None:
    with raw(running.address) as connection:
        connection.sendall(head(key, "Transfer-Encoding: chunked") + b"5;x=")
        flood(connection, b"y" * 10_000, 1_000_000)
        assert b" 431 " in received(connection)


def test_trailers_and_extensions_of_ordinary_size_are_well(running, key, warm) -> None:
    body = b"%x;name=value\r\n%s\r\n0\r\nDigest: unknown\r\n\r\n" % (len(warm), warm)
    with raw(running.address) as connection:
        lines = ("Transfer-Encoding: chunked", "Connection: close")
        connection.sendall(head(key, *lines) + body)
        assert received(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("count", [2, 17])
def test_requests_sent_together_are_answered_in_their_order(running, key, warm, count) -> None:
    call = head(key, f"Content-Length: {len(warm)}") + warm
    with raw(running.address) as connection:
        connection.sendall((call + GET) * (count // 2) + GET)
        found = b""
        while found.count(b"HTTP/1.1 200 ") < 2 * (count // 2) + 1:
            found += connection.recv(65_536)
    kinds = [b"receipt" in each for each in found.split(b"HTTP/1.1 ")[1:]]
    assert kinds == [True, False] * (count // 2) + [False]


def test_a_flood_of_requests_on_one_connection_is_answered_in_part_and_ended(running) -> None:
    with raw(running.address) as connection:
        connection.sendall(GET * 200)
        answers = received(connection)
    assert 1 <= answers.count(b"HTTP/1.1 200 ") < 200
    assert b"connection: close" in answers


def test_bodies_that_are_late_leave_their_places_to_others(
    running, service, patience, key, http, warm
) -> None:
    slow = [raw(running.address) for _ in range(4)]
    try:
        for connection in slow:
            connection.sendall(head(key, f"Content-Length: {len(warm)}") + warm[:10])
        eventually(lambda: service.intake.late == 4)
        assert http.post(PREDICT, content=warm).status_code == 200
        for connection in slow:  # and are answered as soon as they are here
            connection.sendall(warm[10:])
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in slow:
            connection.close()
    assert (service.intake.calls, service.intake.late, service.intake.body_bytes) == (0, 0, 0)


def test_of_too_many_late_bodies_the_first_is_given_up(running, service, patience, key) -> None:
    slow = [raw(running.address) for _ in range(5)]
    try:
        for connection in slow:
            late = service.intake.late
            connection.sendall(head(key, "Content-Length: 5000") + b"half")
            eventually(lambda late=late: service.intake.late in (late + 1, 4))
        refused = slow[0].recv(65_536)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"as slow as this one" in refused
    finally:
        for connection in slow:
            connection.close()
    eventually(lambda: (service.intake.late, service.intake.body_bytes) == (0, 0))


def test_a_late_body_that_finds_no_place_is_a_503(
    running, service, patience, provider, key, http, warm
) -> None:
    with raw(running.address) as late:
        late.sendall(head(key, f"Content-Length: {len(warm)}") + warm[:10])
        eventually(lambda: service.intake.late == 1)
        service.intake.calls += 4
        late.sendall(warm[10:])
        assert late.recv(65_536).startswith(b"HTTP/1.1 503 ")
        service.intake.calls -= 4
    eventually(lambda: (service.intake.calls, service.intake.late) == (0, 0))


def test_what_a_body_announces_is_not_set_aside_for_it(running, service, key, http, warm) -> None:
    with raw(running.address) as connection:
        most = service.settings.max_upload_bytes
        connection.sendall(head(key, f"Content-Length: {most}") + b"half")
        eventually(lambda: service.intake.calls == 1)
        assert service.intake.body_bytes <= 1_000_000


def test_nothing_is_worked_out_for_a_client_who_left(
    running, service, desk, provider, key, warm, monkeypatch
) -> None:
    decoded: list[bytes] = []
    decode = provider.decode
    monkeypatch.setattr(provider, "decode", lambda data: (decoded.append(data), decode(data))[1])
    provider.held.clear()
    call = head(key, f"Content-Length: {len(warm)}") + warm
    busy = [raw(running.address) for _ in range(2)]  # as many as there are threads
    with raw(running.address) as leaving:
        for number, connection in enumerate(busy, 1):
            connection.sendall(call)
            eventually(lambda number=number: len(decoded) == number)
        leaving.sendall(call)
        eventually(lambda: service.intake.calls == 3)
    eventually(lambda: service.intake.calls == 2)
    provider.held.set()
    for connection in busy:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.close()
    assert len(decoded) == 2
    outcomes = sorted(usage.outcome for usage, __ in desk.events.values())
    assert outcomes == ["cancelled", "ok", "ok"]
