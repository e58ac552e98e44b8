"""At the door: calls beyond those in hand are turned away unread, and nobody else is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

PREDICT = "/v1/products/tones/predict"


@pytest.fixture
def full(service) -> Iterator[None]:
    """As many calls in hand as may be."""
    places = [service.intake.place(10, 100) for __ in range(service.settings.max_queue)]
    yield
    for place in places:
        place.__exit__(None, None, None)


def asked(address: str, head: bytes, body: bytes = b"") -> bytes:
    """All that comes back for a request that is there when the connection is accepted."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + body)
        said = b""
        while part := connection.recv(65_536):
            said += part
    return said
