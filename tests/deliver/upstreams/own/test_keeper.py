"""Servers of one's own models: begun when sold, found by all, begun again, gone with us."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from mintage.core.errors import DataError, DependencyDown, NotReady
from mintage.deliver.upstreams.declared import BundleAt, Upstream
from mintage.deliver.upstreams.own import keeper as keeping
from mintage.deliver.upstreams.own import server as serving
from mintage.deliver.upstreams.own.addresses import Addresses
from mintage.deliver.upstreams.own.keeper import Keeper
from mintage.deliver.upstreams.own.server import Model, command

ONE, TWO = BundleAt("chats", 1, "1" * 64), BundleAt("chats", 2, "2" * 64)
# A server that answers /health, and dies of what /die is asked for.
SCRIPT = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("loading the weights", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def sold(at: BundleAt) -> Upstream:
    return Upstream("helper", "own", at.url, at.reference)


class Catalogue:
    def __init__(self, *sold: Upstream) -> None:
        self.sold = list(sold)

    def all(self) -> dict[str, list[Upstream]]:
        return {"helper": self.sold}


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        serving, "command", lambda _model, _kind, port: [sys.executable, "-c", SCRIPT, str(port)]
    )
    monkeypatch.setattr(keeping, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "_FIRST_AGAIN_SECONDS", 0.1)


@pytest.fixture
def addresses(tmp_path: Path) -> Addresses:
    return Addresses(tmp_path / "addresses.json")


def kept(catalogue: Catalogue, addresses: Addresses, folder: Path) -> Keeper:
    (folder / "1").mkdir(exist_ok=True)
    return Keeper(catalogue, lambda _at: folder / "1", addresses, kind="auto", threads=1)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def is_up(addresses: Addresses, at: BundleAt) -> bool:
    try:
        addresses.of(sold(at))
    except NotReady:
        return False
    return True


def answers(url: str) -> bool:
    host = url.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_a_model_is_served_from_when_it_is_sold_until_we_end(
    addresses: Addresses, tmp_path: Path
) -> None:
    catalogue = Catalogue()
    with kept(catalogue, addresses, tmp_path).in_background():
        with pytest.raises(NotReady, match="being loaded"):
            addresses.of(sold(ONE))
        catalogue.sold = [sold(ONE)]
        eventually(lambda: is_up(addresses, ONE))
        found = addresses.of(sold(ONE))
        assert found.model == "./1"
        assert answers(found.url)
    assert not answers(found.url)


def test_a_server_that_dies_is_begun_again_and_found_where_it_is(
    addresses: Addresses, tmp_path: Path
) -> None:
    keeper = kept(Catalogue(sold(ONE)), addresses, tmp_path)
    with keeper.in_background():
        eventually(lambda: is_up(addresses, ONE))
        first = addresses.of(sold(ONE)).url
        (server,) = keeper._servers.values()
        os.kill(server._process.pid, signal.SIGKILL)
        eventually(lambda: not answers(first))  # nothing is left of it
        eventually(lambda: is_up(addresses, ONE) and addresses.of(sold(ONE)).url != first)
        assert answers(addresses.of(sold(ONE)).url)


def test_a_new_version_is_loaded_beside_the_old_one_which_then_goes(
    addresses: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LINGER_SECONDS", 0.5)
    catalogue = Catalogue(sold(ONE))
    with kept(catalogue, addresses, tmp_path).in_background():
        eventually(lambda: is_up(addresses, ONE))
        old = addresses.of(sold(ONE)).url
        catalogue.sold = [sold(TWO)]
        eventually(lambda: is_up(addresses, TWO))
        assert answers(addresses.of(sold(TWO)).url)
        eventually(lambda: not is_up(addresses, ONE))
        eventually(lambda: not answers(old))


def test_what_cannot_be_served_is_told_and_tried_again_ever_more_seldom(
    addresses: Addresses, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    def located(_at: BundleAt) -> Path:
        tries.append(time.monotonic())
        raise DataError("It is gone.")

    keeper = Keeper(Catalogue(sold(ONE)), located, addresses, kind="auto", threads=1)
    with keeper.in_background():
        eventually(lambda: len(tries) >= 4)
    gaps = [later - earlier for earlier, later in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert "chats@1 cannot be served: It is gone." in caplog.text


def test_a_server_ends_with_whoever_began_it_even_by_kill_9(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    script = f"""
import sys, time
from pathlib import Path
from mintage.deliver.upstreams.own import server
server.command = lambda *_: [sys.executable, "-c", {SCRIPT!r}, str(_[2])]
begun = server.Server(server.Model("chats@1", "1", Path({str(tmp_path / "1")!r})), "auto", 1)
while not begun.is_healthy():
    time.sleep(0.05)
print(begun.address.url, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert answers(url)
    process.kill()
    process.communicate()
    eventually(lambda: not answers(url))


def test_a_server_knows_no_secret_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted")
    monkeypatch.setenv("MINTAGE_DATABASE_URL", "postgresql+psycopg://u:planted@h/d")
    (tmp_path / "1").mkdir()
    shows = "import os; print(sorted(os.environ.items()))"
    monkeypatch.setattr(serving, "command", lambda *_: [sys.executable, "-c", shows])
    server = serving.Server(Model("chats@1", "1", tmp_path / "1"), "auto", 3)
    eventually(lambda: server.has_ended and server.last_words() != "")
    assert "planted" not in server.last_words()
    assert "'OMP_NUM_THREADS', '3'" in server.last_words()
    assert "'HF_HUB_OFFLINE', '1'" in server.last_words()
    server.end()


@pytest.fixture
def busy() -> Iterator[int]:
    """A port where somebody answers 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield listening.server_port
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_a_server_that_is_loading_is_not_healthy(
    tmp_path: Path, busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").mkdir()
    monkeypatch.setattr(serving, "_free_port", lambda: busy)
    monkeypatch.setattr(serving, "command", lambda *_: [sys.executable, "-c", ""])
    server = serving.Server(Model("chats@1", "1", tmp_path / "1"), "auto", 1)
    assert not server.is_healthy()
    server.end()


def test_vllm_is_taken_where_it_is_installed_and_transformers_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    model = Model("chats@1", "1", tmp_path / "chats" / "1")
    assert "transformers" in command(model, "auto", 9)[2]
    assert command(model, "auto", 9)[-5:] == ["./1", "--host", "127.0.0.1", "--port", "9"]
    with pytest.raises(DependencyDown, match="vLLM"):
        command(model, "vllm", 9)
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    taken = command(model, "auto", 9)
    assert taken[:2] == [str(tmp_path / "vllm"), "serve"]
    assert taken[-2:] == ["--served-model-name", "./1"]
    assert "transformers" in command(model, "transformers", 9)[2]


def test_an_upstream_of_others_is_where_it_says(addresses: Addresses) -> None:
    theirs = Upstream("helper", "one", "https://api.example.com/v1", "model")
    assert theirs.bundle is None
    assert addresses.of(theirs).url == "https://api.example.com/v1"
    assert sold(ONE).bundle == ONE
    assert Addresses().of(theirs).model == "model"
    with pytest.raises(NotReady):
        Addresses().of(sold(ONE))
