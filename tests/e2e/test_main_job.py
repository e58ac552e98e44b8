"""The whole way with real processes: a served, metered model, and the demo."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mintage.app.root import App
from mintage.client import Client
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, ServiceError, Unauthenticated
from mintage.core.messages import Language, _, told
from mintage.core.settings import load_settings
from mintage.trust.audit import AuditLog
from mintage.trust.dsse import open_envelope

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "5"))


def environment() -> dict[str, str]:
    return os.environ | {"MINTAGE_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class Server:
    """``mintage serve`` in a process of its own."""

    def __init__(self, home: Path, *more: str, **options: Any) -> None:
        words = ["serve", "--port", "0", "--operator-port", "0", "--home", str(home), *more]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mintage", *words],
            stdout=subprocess.PIPE,  # not stderr: a pipe of log lines that nobody reads would fill
            text=True,
            env=environment(),
            **options,
        )
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline() for __ in range(2)]
        self.url, self.operator = (re.search(r"http://[\d.]+:\d+", line).group() for line in lines)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=30)
        return self.process.returncode


@pytest.fixture
def sold(home: Path) -> tuple[Path, str]:
    """A workspace with a product and a customer's key."""
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets", "pets")
        __, issued = app.capture.add_customer("Ada")
    return home, issued.key.reveal()


@pytest.fixture
def server(sold: tuple[Path, str]) -> Iterator[Server]:
    running = Server(sold[0])
    yield running
    if running.process.poll() is None:
        running.end()


def usage(home: Path) -> list[dict]:
    command = [sys.executable, "-m", "mintage", "usage", "--json", "--home", str(home)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def test_an_answer_is_sold_recorded_and_provable(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    home, key = sold
    picture = trained_home.parent / "photos/light/003.jpg"
    with Client(server.url, key) as client:
        answer = client.predict("pets", picture)
        receipt = client.receipt(answer["receipt"]["id"])
    command = [sys.executable, "-m", "mintage", "predict", "pets", str(picture), "--json"]
    done = subprocess.run([*command, "--home", str(home)], capture_output=True, check=True)
    (local,) = json.loads(done.stdout)
    assert answer["output"] == local["output"]
    assert answer["task"] == local["task"] == "class"
    assert (answer["model"], answer["model_version"]) == ("pets", "1")
    assert answer["price"] == {"amount": "0.02", "currency": "EUR", "final": True}

    (event,) = usage(home)
    assert event["id"] == answer["id"]
    assert event["receipt"] == receipt["id"]
    assert event["outcome"] == "ok"
    assert event["quantities"] == {"image": 1}

    with App(load_settings(home=home)) as app:
        keys = app.keys.public_keys("receipt")
        payload = open_envelope(
            answer["receipt"]["envelope"], "application/vnd.mintage.receipt+json", keys
        )
        statement = json.loads(payload)
        assert statement["input_sha256"] == sha256_hex(picture.read_bytes())
        assert statement["output_sha256"] == sha256_hex(canonical_json(answer["output"]))
        assert statement["bundle_digest"] == app.create.model("pets@1").digest
        log = AuditLog(app.workspace.database, app.keys, "test")
        proof = log.inclusion(statement["leaf"]["position"])
        assert proof.leaf.leaf_hash.hex() == statement["leaf"]["hash"]
        proof.verify()
        assert log.check() == proof.head.size


def test_what_the_server_offers_is_there(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    data = (trained_home.parent / "photos/dark/003.jpg").read_bytes()
    headers = {"Authorization": f"Bearer {sold[1]}"}
    with httpx.Client(base_url=server.url, headers=headers) as customer:
        page = customer.get("/")
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/pets/ready"):
            assert customer.get(path).status_code == 200, path
        address = "/v1/products/pets/predict"
        raw = customer.post(address, content=data, headers={"Content-Type": "image/jpeg"})
        form = customer.post(address, files={"file": ("x.jpg", data, "image/jpeg")})
        body = customer.post(address, json={"image": base64.b64encode(data).decode()})
        assert raw.json()["output"] == form.json()["output"] == body.json()["output"]
        assert raw.json()["output"]["label"] == "dark"
        assert len(customer.get("/v1/usage").json()["usage"]) == 3
        assert customer.get("/metrics").status_code == 404
        assert customer.get("/docs").status_code == 404
    with httpx.Client(base_url=server.operator) as operator:
        assert "mintage_" in operator.get("/metrics").text
        assert operator.get("/docs").status_code == 200
        assert "/v1/products/{product}/predict" in operator.get("/openapi.json").json()["paths"]


def test_a_stranger_and_a_wrong_file_are_refused_and_cost_nothing(
    sold: tuple[Path, str], server: Server
) -> None:
    with Client(server.url, "mtg_live_wrong") as stranger, pytest.raises(Unauthenticated):
        stranger.predict("pets", b"x")
    with Client(server.url, sold[1]) as client, pytest.raises(DataError, match="not a JPEG"):
        client.predict("pets", b"not a picture")
    (event,) = usage(sold[0])
    assert (event["outcome"], event["price"]) == ("error", "0")


def test_a_key_that_is_revoked_is_refused_on_the_next_request(
    sold: tuple[Path, str], server: Server, trained_home: Path
) -> None:
    picture = trained_home.parent / "photos/light/003.jpg"
    with Client(server.url, sold[1]) as client:
        client.predict("pets", picture)
        with App(load_settings(home=sold[0])) as app:
            (key,) = app.capture.customers.keys("Ada")
            app.capture.customers.revoke_key(key.id)
        with pytest.raises(Unauthenticated):
            client.predict("pets", picture)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_in_order(server: Server, how: signal.Signals) -> None:
    assert server.end(how) == 0


def test_no_acknowledged_answer_is_lost_when_the_server_is_killed_under_load(
    sold: tuple[Path, str], trained_home: Path
) -> None:
    home, key = sold
    data = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    acknowledged: list[str] = []

    def customer(url: str) -> None:
        with Client(url, key) as client, contextlib.suppress(ServiceError):
            while True:
                acknowledged.append(client.predict("pets", data)["id"])

    chance = random.Random(20261126)
    for __ in range(ROUNDS):
        running = Server(home)
        before = len(acknowledged)
        callers = [threading.Thread(target=customer, args=(running.url,)) for ___ in range(8)]
        for caller in callers:
            caller.start()
        while len(acknowledged) < before + 20:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        running.process.kill()
        running.process.communicate()
        for caller in callers:
            caller.join(timeout=60)
    recorded = [event["id"] for event in usage(home)]
    assert set(acknowledged) <= set(recorded)
    assert len(recorded) - len(acknowledged) <= 8 * ROUNDS


@pytest.mark.parametrize(("locale", "language"), [("C", "en"), ("zh_CN.UTF-8", "zh")])
def test_the_demo_goes_the_whole_way_in_any_home_and_prints_no_dead_link(
    tmp_path: Path, locale: str, language: Language
) -> None:
    home = tmp_path / "我的 家"
    home.mkdir()
    command = [sys.executable, "-m", "mintage", "demo", "--drawings", "150"]
    without = {k: v for k, v in environment().items() if k not in ("MINTAGE_LANG", "LC_CTYPE")}
    done = subprocess.run(
        [*command, "--train-seconds", "25"],
        capture_output=True,
        encoding="utf-8",
        env=without | {"LANG": locale, "LC_ALL": locale, "HOME": str(home)},
        cwd=home,
        stdin=subprocess.DEVNULL,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    planted = _(
        "Planted among them: {unreadable} unreadable file, "
        "{near} near duplicates, {wrong} wrong labels.",
        unreadable=1,
        near=6,
        wrong=12,
    )
    for words in (told(planted, language), "seed-cnn", "compact", "95 %", "0.02 EUR", "  rcp_"):
        assert words in shown, words
    assert "http://" not in shown
    report = Path(
        re.search(rf"^{told(_('report'), language)} +(.+)$", shown, re.MULTILINE).group(1)
    )
    assert f'<html lang="{language}' in report.read_text(encoding="utf-8")
    if language == "zh":
        sentences = [line for line in shown.splitlines() if re.search(r"([a-z]+ ){4}", line)]
        assert not sentences


def test_the_readmes_curl_example_gets_an_answer(
    sold: tuple[Path, str], server: Server, trained_home: Path, tmp_path: Path
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not on this machine")
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"<!-- test: http -->\n```console\n\$ (.*?)```", readme, re.DOTALL)
    shutil.copy(trained_home.parent / "photos/light/003.jpg", tmp_path / "cat.jpg")
    done = subprocess.run(
        ["/bin/sh", "-c", example.replace("http://127.0.0.1:8000", server.url)],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"MINTAGE_KEY": sold[1]},
        check=True,
    )
    answer = json.loads(done.stdout)
    (shown,) = re.findall(r"```json\n(.*?)```", readme, re.DOTALL)
    promised = json.loads(shown)
    assert set(answer) == set(promised)
    assert set(answer["output"]) == set(promised["output"])
    assert set(answer["receipt"]) == set(promised["receipt"])


def test_a_receipt_is_checked_as_its_format_says_without_our_code(
    sold: tuple[Path, str], server: Server, trained_home: Path, tmp_path: Path
) -> None:
    home, key = sold
    shutil.copy(trained_home.parent / "photos/light/003.jpg", tmp_path / "cat.jpg")
    with Client(server.url, key) as client:
        answer = client.predict("pets", tmp_path / "cat.jpg")
    command = [sys.executable, "-m", "mintage", "public-key", "receipt", "--home", str(home)]
    pem = subprocess.run(command, capture_output=True, check=True).stdout
    (tmp_path / "receipt.pub").write_bytes(pem)
    page = (Path(__file__).parents[2] / "docs/formats/receipt.md").read_text()
    (program,) = re.findall(r"<!-- test: receipt -->\n```python\n(.*?)```", page, re.DOTALL)
    check = [sys.executable, "-c", program]
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    done = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0.02 EUR for pets ")
    envelope = answer["receipt"]["envelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b'"price":"0.02"', b'"price":"0.01"')
    envelope["payload"] = base64.b64encode(payload).decode()
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    forged = subprocess.run(check, cwd=tmp_path, capture_output=True, check=False)
    assert b"InvalidSignature" in forged.stderr


def test_ctrl_c_twice_leaves_at_once_and_nothing_half_written(home: Path) -> None:
    words = ["train", "pets", "--recipe", "compact", "--epochs", "100000", "--home", str(home)]
    known = len(list(home.glob("runs/*/log.jsonl")))
    # On a busy machine it must not be done in order before this process gets to its second signal.
    child = subprocess.Popen(
        ["nice", "-n", "10", sys.executable, "-m", "mintage", *words],
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert child.stderr is not None
    while b"Training" not in child.stderr.readline():
        assert child.poll() is None
    while len(list(home.glob("runs/*/log.jsonl"))) == known:  # there is an epoch to be evaluated
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    while b"Stopping" not in child.stderr.readline():
        assert child.poll() is None
    time.sleep(0.2)  # two signals at once are delivered as one
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert [path.name for path in (home / "models/pets").glob("[!.]*")] == ["1"]
