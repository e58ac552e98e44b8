"""The client, either of the two, against the real routes on loopback."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from tests.api.conftest import (  # noqa: F401 - fixtures
    KEY,
    changed,
    desk,
    draw,
    gray,
    provider,
    running,
    service,
    settings,
    warm,
)
from tests.api.test_tls import pair, secure  # noqa: F401 - fixtures
from tests.client.wire import Wire

from mintage.client import AsyncClient, Client

T = TypeVar("T")


class Waited:
    """``AsyncClient`` with the face of ``Client``: each call is awaited on a loop of its own."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self.client = AsyncClient(*words, **options)  # first: it may refuse what it is given
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        return lambda *words, **options: self.wait(method(*words, **options))

    def predict_many(self, *words: Any, **options: Any) -> Iterator[Any]:
        pairs = self.client.predict_many(*words, **options)
        while True:
            try:
                yield self.wait(anext(pairs))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        self.wait(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


@pytest.fixture(params=["waiting", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Client]]:
    """Makes either client; all of them are closed at the end."""
    made: list[Any] = []

    def connected(url: str, key: str | None = KEY, **options: Any) -> Any:
        made.append((Client if request.param == "waiting" else Waited)(url, key, **options))
        return made[-1]

    yield connected
    for each in made:
        each.close()


@pytest.fixture
def wire(running: Any) -> Iterator[Callable[..., Wire]]:  # noqa: F811 - the fixture
    """Makes bad wires to the running server."""
    made: list[Wire] = []

    def strung(*faults: Any) -> Wire:
        made.append(Wire(running.address, *faults))
        return made[-1]

    yield strung
    for each in made:
        each.close()


@pytest.fixture
def until() -> Callable[..., Any]:
    async def wait(condition: Callable[[], Any], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - of threads, which know no asyncio.Event
                await asyncio.sleep(0.005)

    return wait
