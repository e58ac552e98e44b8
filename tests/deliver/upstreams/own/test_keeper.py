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

    def epoch(self) -> int | None:
        return None


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
        return addresses.of(sold(at))[0].bundle == at
    except NotReady:
        return False


def url_of(addresses: Addresses, at: BundleAt) -> str:
    return addresses.of(sold(at))[1]


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
        upstream, url, model = addresses.of(sold(ONE))
        assert (upstream.bundle, model) == (ONE, "./1")
        assert upstream.tokenizer == str(tmp_path / "1" / "tokenizer.json")
        assert answers(url)
    assert not answers(url)


def test_a_server_that_dies_is_begun_again_and_found_where_it_is(
    addresses: Addresses, tmp_path: Path
) -> None:
    keeper = kept(Catalogue(sold(ONE)), addresses, tmp_path)
    with keeper.in_background():
        eventually(lambda: is_up(addresses, ONE))
        first = url_of(addresses, ONE)
        (server,) = keeper._servers.values()
        os.kill(server._process.pid, signal.SIGKILL)
        eventually(lambda: not answers(first))  # nothing is left of it
        eventually(lambda: is_up(addresses, ONE) and url_of(addresses, ONE) != first)
        assert answers(url_of(addresses, ONE))


def test_a_new_version_is_loaded_beside_the_old_one_which_then_goes(
    addresses: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LINGER_SECONDS", 0.5)
    catalogue = Catalogue(sold(ONE))
    with kept(catalogue, addresses, tmp_path).in_background():
        eventually(lambda: is_up(addresses, ONE))
        old = url_of(addresses, ONE)
        catalogue.sold = [sold(TWO)]
        eventually(lambda: is_up(addresses, TWO))
        assert answers(url_of(addresses, TWO))
        eventually(lambda: not is_up(addresses, ONE))
        eventually(lambda: not answers(old))


def test_until_a_new_version_is_up_the_old_one_answers_for_its_product(
    addresses: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load = threading.Event()
    (tmp_path / "1").mkdir()

    def located(at: BundleAt) -> Path:
        assert at == ONE or may_load.wait(30)
        return tmp_path / "1"

    monkeypatch.setattr(keeping, "_LINGER_SECONDS", 0.2)
    catalogue = Catalogue(sold(ONE))
    with Keeper(catalogue, located, addresses, kind="auto", threads=1).in_background():
        eventually(lambda: is_up(addresses, ONE))
        catalogue.sold = [sold(TWO)]
        for __ in range(20):  # longer than the old one lingers once its successor is up
            upstream, url, __model = addresses.of(sold(TWO))
            assert upstream.bundle == ONE  # which its receipts name
            assert answers(url)
            time.sleep(0.05)
        may_load.set()
        eventually(lambda: is_up(addresses, TWO))


def test_one_that_dies_when_it_is_no_longer_sold_takes_nobody_with_it(
    addresses: Addresses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_LINGER_SECONDS", 0.5)
    catalogue = Catalogue(sold(ONE))
    keeper = kept(catalogue, addresses, tmp_path)
    with keeper.in_background():
        eventually(lambda: is_up(addresses, ONE))
        (server,) = keeper._servers.values()
        catalogue.sold = []
        eventually(lambda: ONE.digest in keeper._unwanted)
        os.killpg(server._process.pid, signal.SIGKILL)
        eventually(lambda: not keeper._servers)
        time.sleep(0.7)
        catalogue.sold = [sold(TWO)]
        eventually(lambda: is_up(addresses, TWO))


def test_a_machine_that_can_begin_no_process_is_told_and_tried_again(
    addresses: Addresses,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begin, failures = subprocess.Popen, [OSError(12, "Cannot allocate memory")] * 2

    def scarce(*words: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return begin(*words, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(serving.subprocess, "Popen", scarce)
    with kept(Catalogue(sold(ONE)), addresses, tmp_path).in_background():
        eventually(lambda: is_up(addresses, ONE))
    assert "chats@1 cannot be served" in caplog.text


def test_whatever_a_server_began_ends_with_it(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '41.25']); sys.exit(1)"
    tether = [sys.executable, "-m", "mintage.deliver.upstreams.own.tether"]
    process = subprocess.Popen(
        [*tether, sys.executable, "-c", script], stdin=subprocess.PIPE, start_new_session=True
    )
    process.wait(30)
    eventually(lambda: not running("sleep 41.25"))
    assert process.stdin is not None
    process.stdin.close()


def running(words: str) -> bool:
    return any(
        path.read_bytes().replace(b"\0", b" ").strip() == words.encode()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists()
    )


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
model = server.Model(server.BundleAt("chats", 1, "1"), Path({str(tmp_path / "1")!r}))
begun = server.Server(model, "auto", 1)
while not begun.is_healthy():
    time.sleep(0.05)
print(begun.address(()).url, flush=True)
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
    server = serving.Server(Model(ONE, tmp_path / "1"), "auto", 3)
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
    server = serving.Server(Model(ONE, tmp_path / "1"), "auto", 1)
    assert not server.is_healthy()
    server.end()


def test_vllm_is_taken_where_it_is_installed_and_transformers_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    model = Model(ONE, tmp_path / "chats" / "1")
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
    assert addresses.of(theirs) == (theirs, "https://api.example.com/v1", "model")
    assert sold(ONE).bundle == ONE
    assert Addresses().of(theirs) == (theirs, "https://api.example.com/v1", "model")
    with pytest.raises(NotReady):
        Addresses().of(sold(ONE))
