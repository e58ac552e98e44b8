"""The Python client and a server that is really killed under it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.wire import Wire
from tests.e2e.test_main_job import Server

from mintage.app.root import App
from mintage.client import Client
from mintage.core.settings import load_settings

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))


class Shop:
    """A server on a workspace, and a wire to it that stays when the server is another."""

    def __init__(self, home: Path) -> None:
        with App(load_settings(home=home, threads=1)) as app:
            app.publishing.publish("pets", "pets")
            self.key = app.capture.add_customer("Ada")[1].key.reveal()
        self.home = home
        self.server = Server(home)
        self.wire = Wire(self.server.url)
        self.restarted = threading.Event()

    def kill(self) -> None:
        """Kill the server; another begins on the same workspace, at an address of its own."""
        self.server.end(signal.SIGKILL)
        self.server = Server(self.home)
        host, __, port = self.server.url.removeprefix("http://").partition(":")
        self.wire.upstream = (host, int(port))
        self.restarted.set()

    def usage(self) -> list[dict[str, Any]]:
        words = ["usage", "--json", "--home", str(self.home)]
        command = [sys.executable, "-m", "mintage", *words]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.fixture
def shop(home: Path) -> Iterator[Shop]:
    opened = Shop(home)
    yield opened
    opened.server.end()
    opened.wire.close()


@pytest.fixture
def picture(trained_home: Path) -> Path:
    return trained_home.parent / "photos/light/003.jpg"


@pytest.mark.parametrize("fault", ["lose answer", "cut answer"])
def test_a_server_killed_in_mid_answer_is_asked_again_and_charges_once(
    shop: Shop, picture: Path, fault: Any
) -> None:
    shop.wire.faults = [fault]
    shop.wire.on_answer = shop.kill
    with Client(shop.wire.address, shop.key) as client:
        answer = client.predict("pets", picture)
    assert shop.restarted.is_set()
    [event] = shop.usage()
    assert (event["id"], event["receipt"]) == (answer["id"], answer["receipt"]["id"])
    assert (event["outcome"], event["price"]) == ("ok", "0.02")


def test_killed_at_any_moment_each_picture_is_charged_once(shop: Shop, picture: Path) -> None:
    chance = random.Random(20261125)

    def kill_soon() -> None:
        time.sleep(chance.uniform(0, 0.05))
        shop.kill()

    shop.wire.on_request = kill_soon
    answers = []
    for __ in range(ROUNDS):
        shop.wire.faults = ["lose answer"]
        with Client(shop.wire.address, shop.key, retries=9) as client:
            answers.append(client.predict("pets", picture))
    events = [event for event in shop.usage() if event["outcome"] == "ok"]
    assert sorted(event["id"] for event in events) == sorted(answer["id"] for answer in answers)
