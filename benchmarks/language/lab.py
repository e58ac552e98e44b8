"""What the sides share: conversations, the upstream's port, and a workspace that sells it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.common import mintage
from benchmarks.serving.asking import HOST
from benchmarks.serving.servers import free_port

PRODUCT = "assistant"
MODEL = "gpt-4o-mini"
"""What the upstream calls its model: a name whose prices LiteLLM knows by itself."""
COSTS = ("--cost-input", "0.15", "--cost-output", "0.60", "--currency", "USD")
PRICES = ("--price-input", "0.30", "--price-output", "1.20")
_CONVERSATIONS = 16
_WORDS = 160


@dataclass(frozen=True)
class Scale:
    """How much of everything; ``--smoke`` has the smallest that still runs every line.

    ``pace`` is how many requests a second both gateways bear on one core, ``brisk`` what one does.
    """

    warm_up_seconds: float = 6
    seconds: float = 10
    connections: tuple[int, ...] = (16, 128)
    pace: float = 10
    brisk: float = 100
    paced_seconds: float = 20
    requests: int = 200_000
    samples: int = 20


QUICK = Scale(requests=40_000)
SMOKE = Scale(
    warm_up_seconds=1, seconds=1, connections=(4,), paced_seconds=2, requests=400, samples=4
)


@dataclass(frozen=True)
class Shop:
    """A workspace that sells what the upstream answers, and a customer's key."""

    home: Path
    key: str


class Lab:
    """Makes the workspace when it is first wanted, and a copy of it for each server."""

    def __init__(self, scratch: Path, scale: Scale) -> None:
        self.scratch, self.scale = scratch, scale

    @cached_property
    def upstream_port(self) -> int:
        """Where the scripted upstream answers, whenever it does."""
        return free_port()

    @property
    def upstream_url(self) -> str:
        """The base of its API."""
        return f"http://{HOST}:{self.upstream_port}/v1"

    @cached_property
    def _made(self) -> Shop:
        home = self.scratch / "shop"
        upstream = ("--upstream", self.upstream_url, "--model", MODEL)
        mintage(home, "product", "add", PRODUCT, *upstream, *COSTS, *PRICES)
        return Shop(home, mintage(home, "customer", "add", "A customer")["key"])

    @contextmanager
    def shop(self) -> Iterator[Shop]:
        """A workspace in which nothing was sold yet; it is gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            home = Path(name) / "shop"
            shutil.copytree(self._made.home, home)
            yield Shop(home, self._made.key)


def conversations(*, streams: bool = False) -> list[bytes]:
    """Requests of about a kilobyte, no two alike, as OpenAI's clients spell them."""
    return [json.dumps(_conversation(n, streams=streams)).encode() for n in range(_CONVERSATIONS)]


def _conversation(number: int, *, streams: bool) -> dict[str, object]:
    asked = " ".join(f"word{number + place}" for place in range(_WORDS))
    messages = [
        {"role": "system", "content": "Answer in one sentence."},
        {"role": "user", "content": asked},
    ]
    more = {"stream": True} if streams else {}
    return {"model": PRODUCT, "messages": messages, "max_tokens": 64, **more}
