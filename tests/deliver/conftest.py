"""A provider that really looks at pictures, and a catalogue in memory."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mintage.core.errors import DataError
from mintage.core.types import Answer, ProviderInfo
from mintage.deliver.engine import Engine
from mintage.deliver.products import Pointer, Routing


class Brightness:
    """Says ``light`` or ``dark``; counts its batches, can be held, and can be made to fail."""

    def __init__(self, model: str, version: int, digest: str) -> None:
        self.info = ProviderInfo(model, str(version), digest, task="class", modality="image")
        self.batches: list[int] = []
        self.decoded: list[int] = []
        self.begun: list[int] = []
        self.held = threading.Event()
        self.held.set()
        self.poison: int | None = None

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        self.decoded.append(len(data))
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB").resize((4, 4)))
        except OSError as error:
            raise DataError("not a picture") from error

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        self.begun.append(len(inputs))
        self.held.wait(5)
        if self.poison is not None and (inputs[:, 0, 0, 0] == self.poison).any():
            raise ArithmeticError("poisoned")
        self.batches.append(len(inputs))
        return [self._answer(float(one.mean()) / 255) for one in inputs]

    def _answer(self, light: float) -> Answer:
        label = "light" if light >= 0.5 else "dark"
        probabilities = {"dark": 1 - light, "light": light}
        output = {"label": label, "probability": max(light, 1 - light)}
        return Answer("class", output | {"probabilities": probabilities}, compute_seconds=0.25)


class Shelf:
    """What the aliases point at, and the providers that were opened."""

    def __init__(self) -> None:
        self.changes: int | None = None
        self.current: dict[str, Pointer | Routing] = {"pets": Pointer("pets", 1, "a" * 64)}
        self.opened: list[Brightness] = []
        self.opening: Callable[[Brightness], None] = lambda provider: None

    def routings(self) -> Mapping[str, Routing]:
        return {
            name: each if isinstance(each, Routing) else Routing(each)
            for name, each in self.current.items()
        }

    def epoch(self) -> int | None:
        return self.changes

    def open(self, model: str, version: int, digest: str) -> Brightness:
        provider = Brightness(model, version, digest)
        self.opening(provider)
        self.opened.append(provider)
        return provider


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def picture() -> Callable[[int], bytes]:
    def draw(gray: int) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), (gray, gray, gray)).save(stream, "PNG")
        return stream.getvalue()

    return draw


@pytest.fixture
def engine_of(shelf: Shelf):
    @asynccontextmanager
    async def run(**options: object) -> AsyncIterator[Engine]:
        settings = {"threads": 2, "max_queue": 64, "poll_seconds": 0.02} | options
        engine = Engine(shelf.open, shelf, **settings)
        try:
            yield engine
        finally:
            for provider in shelf.opened:
                provider.held.set()
            await engine.close()

    return run


@pytest.fixture
def until():
    async def wait(condition: Callable[[], bool], seconds: float = 3.0) -> None:
        import asyncio

        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came true"
            await asyncio.sleep(0.005)

    return wait
