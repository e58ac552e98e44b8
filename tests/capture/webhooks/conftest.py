"""A receiver of webhooks on loopback, and an outbox that sends to it."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pytest

from mintage.capture import notices
from mintage.capture.webhooks.deliveries import Deliveries
from mintage.capture.webhooks.endpoints import Endpoints


@dataclass(frozen=True)
class Heard:
    """A message as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """Answers what the test says, 204 at first, and remembers what came."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[Heard] = []
        self.status: int | Callable[[Heard], int] = 204
        self.headers: dict[str, str] = {}
        self.held = threading.Event()
        self.held.set()
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def hear(self, heard: Heard) -> None:
        with self._came:
            self.heard.append(heard)
            self._came.notify_all()

    def told(self) -> set[str]:
        """The types of all that came."""
        return {json.loads(each.body)["type"] for each in self.heard}

    def waits_for(self, done: int | str, seconds: float = 30) -> bool:
        """Whether so many messages, or one of a type, come in time or have come."""
        with self._came:
            return self._came.wait_for(
                lambda: done in self.told() if isinstance(done, str) else len(self.heard) >= done,
                seconds,
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.held.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        heard = Heard(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        self.server.hear(heard)
        self.server.held.wait(20)
        status = self.server.status
        self.send_response_only(status if isinstance(status, int) else status(heard))
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        try:
            self.end_headers()
        except OSError:  # whoever sent it was killed
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name upstream
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


class Outbox:
    """Endpoints and deliveries of a shop, with a customer to tell of."""

    def __init__(self, shop: Any) -> None:
        self.shop, self.clock, self.database = shop, shop.clock, shop.database
        shop.key_of("Ada")
        self.ada = shop.customers.find("Ada").id
        self.endpoints = Endpoints(shop.database, shop.keys, shop.clock)
        self.deliveries = self.sender()

    def sender(self, **changes: Any) -> Deliveries:
        options = {"chance": random.Random(1)} | changes
        return Deliveries(self.database, self.shop.keys, self.clock, **options)

    def tell(self, customer: str | None = None, type_: str = "quota.threshold", **data: Any) -> str:
        def work(connection: Any) -> str:
            said = data or {"percent": 80}
            return notices.tell(connection, customer or self.ada, type_, said, self.clock.now())

        return self.database.write(work)

    def status(self, notice: str) -> list[tuple[str, int, str | None]]:
        found = next(each for each in self.deliveries.events() if each["id"] == notice)
        return [(each["status"], each["tries"], each["answer"]) for each in found["deliveries"]]


@pytest.fixture
def outbox(shop: Any) -> Outbox:
    return Outbox(shop)
