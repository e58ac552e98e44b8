"""A bad wire: a TCP relay that does to each connection what a test wants."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["refuse", "cut request", "lose answer", "cut answer", "say nothing", "busy"]

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 0\r\nContent-Length: 21\r\nConnection: close\r\n\r\n"
    b'{"code":"overloaded"}'
)


class Wire:
    """Relays to ``address``; the first connections meet the ``faults``, in this order.

    - ``refuse``: it is reset as soon as it comes
    - ``cut request``: it is reset once the request has begun
    - ``lose answer``: the server answers, and nothing of that arrives
    - ``cut answer``: its first bytes arrive, then it is reset
    - ``say nothing``: nothing is relayed, and nothing comes
    - ``busy``: 503, and nothing is relayed
    """

    def __init__(self, address: str, *faults: Fault) -> None:
        where = urlsplit(address)
        self.upstream = (where.hostname or "", where.port or 0)
        self.faults = list(faults)
        self.met: list[Fault | None] = []
        self.open: set[socket.socket] = set()
        self.on_request: Callable[[], None] = lambda: None
        """Called when a request was passed on whose answer is about to be lost."""
        self.on_answer: Callable[[], None] = lambda: None
        """Called when the beginning of that answer came, or the server's end."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self.open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(10)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, __ = self._listener.accept()
            except OSError:
                return
            fault = self.faults.pop(0) if self.faults else None
            self.met.append(fault)
            self.open.add(client)
            thread = threading.Thread(target=self._serve, args=(client, fault))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket, fault: Fault | None) -> None:
        with contextlib.suppress(OSError):
            self._relay(client, fault)
        self.open.discard(client)
        client.close()

    def _relay(self, client: socket.socket, fault: Fault | None) -> None:
        if fault == "refuse":
            return reset(client)
        if fault == "cut request":
            client.recv(100)
            return reset(client)
        if fault == "say nothing":
            while client.recv(65536):
                pass
            return None
        if fault == "busy":
            read_request(client)
            client.sendall(BUSY)
            return None
        with socket.create_connection(self.upstream) as server:
            self.open.add(server)
            if fault is None:
                self._pass_on(client, server)
            else:
                # No thread waits for more of the client meanwhile: its socket would not be closed.
                server.sendall(read_request(client))
                self.on_request()
                answer = received(server)
                self.on_answer()
                if fault == "cut answer":
                    client.sendall(answer[: len(answer) // 2])
                reset(client)
            self.open.discard(server)
        return None

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        up = threading.Thread(target=pump, args=(client, server))
        up.start()
        pump(server, client)
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        up.join(10)


def reset(connection: socket.socket) -> None:
    """Close it so that the other side sees a reset, not an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def received(connection: socket.socket) -> bytes:
    """What comes next; nothing where the other side is gone."""
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on what comes, and in the end that no more comes; a reset is an end too."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def read_request(connection: socket.socket) -> bytes:
    """All of a request with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return data
        data += more
    head, __, body = data.partition(b"\r\n\r\n")
    named = [line.partition(b":") for line in head.lower().splitlines()]
    length = next((int(value) for name, __, value in named if name == b"content-length"), 0)
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return head + b"\r\n\r\n" + body
