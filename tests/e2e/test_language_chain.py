"""A Mintage whose upstream is another: real processes, faults behind both, and no key told."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.test_language_models import ASKED, Shop, _fresh, shop, upstream
from tests.e2e.test_main_job import Server, usage
from tests.e2e.test_planted_key import Collector, ask_all, collector
from tests.scripted_upstream import Scripted

from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Costs, Upstream
from mintage.deliver.upstreams.secret import Secret

__all__ = ["_fresh", "collector", "shop", "upstream"]  # fixtures

WAYS = ("", "", "", "uncounted", "429", "500", "400", "garbage", "drops")
BREAKS = ("truncates", "breaks", "complains", "stalls")


@dataclass
class Chain:
    """Bob calls the retailer, whose upstream is a wholesaler, whose upstream is scripted."""

    wholesale: Server
    retail: Server
    bought_by: Shop
    home: Path
    key: str
    logs: tuple[Path, Path]

    def ask(self, *, stream: bool, **more: Any) -> httpx.Response:
        body = {"model": "helper", "messages": ASKED, "stream": stream, **more}
        return httpx.post(
            f"{self.retail.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {self.key}"},
            trust_env=False,
            timeout=60,
        )

    def end(self) -> None:
        for server in (self.retail, self.wholesale):
            if server.process.poll() is None:
                server.end()


@pytest.fixture
def chain(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> Iterator[Chain]:
    """Both write their logs to a file, and send their traces."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("WHOLESALE_KEY", shop.key)
    shop.declare(prices=None, secret=Secret("env:UPSTREAM_KEY"), deadline_seconds=1.0)
    retail, logs = tmp_path / "retail", (tmp_path / "wholesale.log", tmp_path / "retail.log")
    with logs[0].open("wb") as inner, logs[1].open("wb") as outer:
        wholesale = Server(shop.home, stderr=inner)
        with App(load_settings(home=retail)) as app:
            __, issued = app.capture.add_customer("Bob")
            bought = Upstream(
                "helper",
                "wholesale",
                f"{wholesale.url}/v1",
                "assistant",
                Secret("env:WHOLESALE_KEY"),
                costs=Costs("USD", "1", "4"),
                deadline_seconds=20.0,
            )
            app.language.add(bought, prices=TokenPrices("2", "8", currency="USD"))
        made = Chain(
            wholesale, Server(retail, stderr=outer), shop, retail, issued.key.reveal(), logs
        )
    yield made
    made.end()


def charged(home: Path) -> list[dict[str, Any]]:
    return [event for event in usage(home)[::-1] if Fraction(event["price"])]


def test_what_was_sold_on_is_what_was_paid_for_whatever_goes_wrong_behind(
    chain: Chain, upstream: Scripted
) -> None:
    """Whole, streamed, turned away and broken: both have recorded the same tokens, call by call."""
    chance, whole = random.Random(11), 0
    upstream.words = ("word ",) * 12
    for __ in range(60):
        stream = chance.random() < 0.6
        breaks = stream and chance.random() < 0.3
        upstream.turns = [chance.choice(BREAKS if breaks else WAYS)]
        answered = chain.ask(stream=stream)
        whole += answered.status_code == 200 and ('"error"' not in answered.text)
    chain.end()
    sold, paid = charged(chain.home), charged(chain.bought_by.home)
    assert [event["outcome"] for event in sold] == [event["outcome"] for event in paid]
    assert {event["outcome"] for event in sold} == {"ok", "partial"}
    assert sum(event["outcome"] == "ok" for event in sold) == whole > 20
    for ours, theirs in zip(sold, paid, strict=True):
        assert ours["quantities"] == theirs["quantities"]
        assert Fraction(ours["cost"]) == Fraction(theirs["price"])
        assert Fraction(ours["price"]) == 2 * Fraction(theirs["price"])
    counted = [event for event in paid if event["counted_by"] == "upstream"]
    assert sum(e["quantities"]["output_token"] for e in counted) == upstream.used["output"]


def wrong_places(key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Calls of a language model with the key where none belongs."""
    chat, asked = "/v1/chat/completions", {"model": "helper", "messages": ASKED}
    yield "POST", f"{chat}?key={key}", {"json": asked}
    yield "GET", f"/v1/models?after={key}", {}
    yield "GET", f"/v1/models/{key}", {}
    for body in (
        asked | {"model": key},
        asked | {"messages": [{"role": key, "content": key, key: key}]},
        asked | {"stream_options": key, "stream": True, "user": key},
        {"model": "helper", key: key},
        [key],
        key,
    ):
        for path in (chat, "/v1/completions", "/v1/embeddings"):
            yield "POST", path, {"json": body}
    for name in ("Idempotency-Key", "X-Request-Id", "Content-Type", "User-Agent", "Referer"):
        yield "POST", chat, {"json": asked, "headers": {name: key}}
        yield "POST", chat, {"json": asked | {"stream": True}, "headers": {name: key}}
    yield "POST", chat, {"json": asked, "headers": {"Authorization": f"Bearer {key}x"}}


def test_no_key_of_the_chain_is_in_an_answer_log_trace_metric_or_file(
    chain: Chain, upstream: Scripted, collector: Collector
) -> None:
    """Not the customer's, nor those that we are upstreams' customers by, who quote them."""
    keys = {"customer": chain.key, "wholesale": chain.bought_by.key, "upstream": "planted-upstream"}
    found: dict[str, bytes] = {}
    for kind in ("customer", "wholesale"):
        asked = ask_all(chain.retail.url, keys[kind], wrong_places(keys[kind]))
        found |= {f"answer {number} to {kind}": said for number, said in enumerate(asked)}
    for way in (*WAYS, "401", "403", "404", "422", "complains-first", *BREAKS):
        for stream in (False, True):
            upstream.turns = [way]  # tried again it is well, or nobody would be asked for a while
            found[f"{way}, {stream}"] = chain.ask(stream=stream).content
    upstream.turns = ["500"] * 9
    found["500, for long"] = chain.ask(stream=True).content
    upstream.turns = []
    with App(load_settings(home=chain.bought_by.home)) as app:
        (key,) = app.capture.customers.keys("Ada")
        app.capture.customers.revoke_key(key.id)
    for stream in (False, True):
        found[f"revoked, {stream}"] = chain.ask(stream=stream).content
    for server in (chain.wholesale, chain.retail):
        found[server.url] = httpx.get(f"{server.operator}/metrics", trust_env=False).content
    chain.end()
    found |= {path.name: path.read_bytes() for path in chain.logs}
    found |= {f"trace {number}": sent for number, sent in enumerate(collector.received)}
    for home in (chain.home, chain.bought_by.home):
        found |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert b"the upstream says 400 to Bearer \xe2\x80\xa6" in found["400, False"]
    assert b"does not take the key" in found["retail.log"]
    assert b"/v1/chat/completions" in found["wholesale.log"]
    assert collector.received
    secrets = [keys["upstream"], *(keys[kind][9:-6] for kind in ("customer", "wholesale"))]
    for secret in secrets:
        assert [place for place, data in found.items() if secret.encode() in data] == []


def test_what_was_asked_and_answered_is_in_no_file_log_or_trace(
    chain: Chain, upstream: Scripted, collector: Collector
) -> None:
    upstream.words = ("planted ", "answer ", "words ")
    messages = [{"role": "user", "content": "planted question"}]
    for way in ("", "500", "400", "truncates", "garbage"):
        for stream in (False, True):
            upstream.turns = [way] * 9
            chain.ask(stream=stream, messages=messages)
    chain.end()
    found = {path.name: path.read_bytes() for path in chain.logs}
    found |= {f"trace {number}": sent for number, sent in enumerate(collector.received)}
    for home in (chain.home, chain.bought_by.home):
        found |= {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    leaks = [place for place, data in found.items() if b"planted " in data]
    assert leaks == []
