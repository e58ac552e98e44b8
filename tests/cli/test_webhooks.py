"""Webhooks on the command line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from tests.capture.webhooks.conftest import Receiver
from tests.cli.test_billing import books
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.cli.serving import run_server
from mintage.core.settings import load_settings

__all__ = ["books"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def issue(mintage: Terminal, at: Any) -> None:
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)


def test_a_webhook_is_added_delivered_to_retried_rotated_and_removed(
    mintage: Terminal, books: Path, receiver: Any
) -> None:
    at = ("--home", books)
    added = mintage.json("webhook", "add", receiver.url(), "--customer", "Ada", *at)
    secret = added["secret"]
    assert secret.startswith("whsec_")
    receiver.status = 410
    issue(mintage, at)
    (sent,) = mintage.json("webhook", "deliver", *at)
    assert (sent["status"], sent["answer"]) == ("failed", "HTTP 410")
    (failed,) = mintage.json("webhook", "events", "--failed", *at)
    assert failed["data"]["number"] == "INV-2026-000001"
    assert "HTTP 410" in mintage("webhook", "events", "--failed", *at)
    assert len(mintage.json("webhook", "events", *at)) == 2  # the other customer's, to nobody
    receiver.status = 204
    mintage("webhook", "retry", failed["id"], *at)
    assert "1 addresses" in mintage.err
    assert "delivered" in mintage("webhook", "deliver", *at)
    heard = receiver.heard[-1]
    told = standardwebhooks.Webhook(secret).verify(heard.body, heard.headers)
    assert told["data"]["total"] == "3.88"
    (listed,) = mintage.json("webhook", "list", *at)
    assert listed["counts"] == {"waiting": 0, "delivered": 1, "failed": 0}
    assert receiver.url() in mintage("webhook", "list", *at)
    turned = mintage("webhook", "rotate", added["id"], *at)
    assert secret not in turned
    for words in (("list",), ("events",), ("remove", added["id"])):
        shown = mintage("webhook", *words, *at) + mintage.err
        assert "whsec_" not in shown
        assert "secret" not in json.dumps(listed)
    assert mintage.json("webhook", "list", *at) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "http://example.org/"], "http is not taken for example.org"),
        (["add", "https://10.0.0.1/"], "not a public address"),
        (["add", "https://example.org/", "--types", "invoice.lost"], "invoice.lost"),
        (["add", "https://example.org/", "--customer", "Nobody"], "no customer 'Nobody'"),
        (["remove", "whe_none"], "no webhook 'whe_none'"),
        (["rotate", "whe_none"], "no webhook 'whe_none'"),
        (["retry", "msg_none"], "no notice 'msg_none'"),
        (["events", "--customer", "Nobody"], "no customer 'Nobody'"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(
    mintage: Terminal, books: Path, words: list[str], said: str
) -> None:
    mintage("webhook", *words, "--home", books, status=2)
    assert said in mintage.err
    assert len(mintage.err.strip().splitlines()) >= 2


def test_what_is_told_while_a_server_runs_is_sent_by_it(
    mintage: Terminal, books: Path, receiver: Any
) -> None:
    at = ("--home", books)
    mintage("webhook", "add", receiver.url(), *at)
    started, stop = threading.Event(), threading.Event()

    def on_started(_customers: str, _operator: str) -> None:
        started.set()

    with App(load_settings(home=books, port=0, operator_port=0)) as app:
        options: dict[str, Any] = {"samples": (), "on_started": on_started, "stop": stop}
        server = threading.Thread(target=run_server, args=(app,), kwargs=options)
        server.start()
        try:
            assert started.wait(20)
            issue(mintage, at)
            assert receiver.waits_for("invoice.issued")
        finally:
            stop.set()
            server.join(20)
    # Heads of the audit log are told beside it.
    assert receiver.told() <= {"invoice.issued", "log.head"}
