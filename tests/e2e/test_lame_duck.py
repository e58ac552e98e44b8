"""After SIGTERM: not ready, so that balancers send their calls elsewhere, and still answering."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.test_main_job import Server, sold

__all__ = ["sold"]  # a fixture

Start = Callable[..., Server]


@pytest.fixture
def start(sold: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A server that is a lame duck for so long, in a group of processes of its own."""
    begun: list[Server] = []

    def run(seconds: float, workers: int) -> Server:
        monkeypatch.setenv("MINTAGE_LAME_DUCK_SECONDS", str(seconds))
        begun.append(Server(sold[0], "--workers", str(workers), process_group=0))
        return begun[-1]

    yield run
    for server in begun:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.communicate(timeout=30)


def ready(server: Server) -> int:
    """What a load balancer's probe is told, on a connection of its own."""
    return httpx.get(f"{server.url}/v2/health/ready", trust_env=False).status_code


def until_not_ready(server: Server) -> None:
    deadline = time.monotonic() + 20
    seen = 0
    while seen < 8:  # by every worker
        assert time.monotonic() < deadline, "it stayed ready"
        seen = seen + 1 if ready(server) == 503 else 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_lame_duck_is_not_ready_and_answers_on_old_and_new_connections(
    sold: tuple[Path, str], start: Start, trained_home: Path, workers: int
) -> None:
    body = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    headers = {"Authorization": f"Bearer {sold[1]}"}
    server = start(6, workers)
    url = f"{server.url}/v1/products/pets/predict"
    with httpx.Client(headers=headers, trust_env=False, timeout=20) as old:
        assert old.post(url, content=body).status_code == 200
        assert ready(server) == 200
        asked = time.monotonic()
        os.killpg(server.process.pid, signal.SIGTERM)  # as systemd does where it is not told mixed
        until_not_ready(server)
        for __ in range(4):
            new = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=20)
            assert new.status_code == 200, new.text
        assert old.post(url, content=body).status_code == 200
        assert server.process.poll() is None
        assert server.process.wait(30) == 0
    assert 6 <= time.monotonic() - asked < 20
    with pytest.raises(httpx.ConnectError):
        ready(server)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_ends_a_lame_duck_at_once(start: Start, workers: int) -> None:
    server = start(300, workers)
    server.process.send_signal(signal.SIGTERM)
    until_not_ready(server)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(10)
