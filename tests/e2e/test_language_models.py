"""Language models of others, sold: a real server, a real upstream, and OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.e2e.test_main_job import Server, usage
from tests.scripted_upstream import CACHED, PROMPT, WORDS, Scripted, scripted_upstream

from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.core.errors import DependencyDown, MintageError, RequestError
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Costs, Upstream
from mintage.deliver.upstreams.secret import Secret

SAID = "".join(WORDS)
ASKED: list[Any] = [{"role": "user", "content": "What are cats?"}]
PRICES = TokenPrices("1", "4", currency="USD")
COSTS = Costs("USD", "0.27", "1.10", "0.07")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Scripted]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture(autouse=True)
def _fresh(upstream: Scripted) -> None:
    upstream.requests.clear()
    upstream.turns.clear()
    upstream.used.clear()
    upstream.left.clear()
    for kept in (upstream.scripts, upstream.lengths, upstream.said, upstream.counted):
        kept.clear()
    upstream.more = {}
    upstream.words, upstream.pause_seconds = WORDS, 0.0


@dataclass
class Shop:
    """A workspace that sells the upstream's model as ``assistant``, and a customer's key."""

    home: Path
    key: str
    url: str

    def declare(self, prices: TokenPrices | None = PRICES, **more: Any) -> None:
        with App(load_settings(home=self.home)) as app:
            said = {"product": "assistant", "name": "one", "model": "model", "costs": COSTS}
            app.language.add(Upstream(url=self.url, **said | more), prices=prices)

    def usage(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return usage(self.home)[::-1]


@pytest.fixture
def shop(tmp_path: Path, upstream: Scripted, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted-upstream")
    with App(load_settings(home=tmp_path / "home")) as app:
        __, issued = app.capture.add_customer("Ada")
    made = Shop(tmp_path / "home", issued.key.reveal(), upstream.url)
    made.declare(secret=Secret("env:UPSTREAM_KEY"))
    return made


@pytest.fixture
def server(shop: Shop) -> Iterator[Server]:
    running = Server(shop.home)
    yield running
    if running.process.poll() is None:
        running.end()


def client_of(url: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{url}/v1",
        api_key=key,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )


@pytest.fixture
def client(shop: Shop, server: Server) -> Iterator[openai.OpenAI]:
    with client_of(server.url, shop.key) as made:
        yield made


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="assistant", messages=ASKED, **more)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_openais_client_works_unchanged(
    shop: Shop, server: Server, client: openai.OpenAI, upstream: Scripted
) -> None:
    whole = chat(client, temperature=0.5, tools=[], extra_body={"unknown": {"x": [1]}})
    assert whole.choices[0].message.content == SAID
    assert (whole.model, whole.usage.prompt_tokens) == ("assistant", PROMPT)
    assert upstream.requests[-1]["unknown"] == {"x": [1]}
    assert upstream.requests[-1]["tools"] == []

    parts = list(chat(client, stream=True))
    assert "".join(part.choices[0].delta.content or "" for part in parts) == SAID
    assert parts[-1].choices[0].finish_reason == "stop"
    asked = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert asked[-1].usage.completion_tokens == len(WORDS)

    assert client.completions.create(model="assistant", prompt="x").choices[0].text == SAID
    vector = client.embeddings.create(model="assistant", input="x", encoding_format="float")
    assert vector.data[0].embedding == [0.25, -0.5]
    assert [each.id for each in client.models.list()] == ["assistant"]
    card = httpx.get(f"{server.url}/v1/products/assistant", trust_env=False).json()
    assert (card["ready"], card["model"], card["model_version"]) == (True, "model", "one")

    async def by_the_other_client() -> str:
        async with openai.AsyncOpenAI(
            base_url=f"{server.url}/v1",
            api_key=shop.key,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        ) as other:
            stream = await other.chat.completions.create(
                model="assistant", messages=ASKED, stream=True
            )
            return "".join([part.choices[0].delta.content or "" async for part in stream])

    assert asyncio.run(by_the_other_client()) == SAID

    events = shop.usage()
    assert [event["outcome"] for event in events] == ["ok"] * 6
    assert {event["counted_by"] for event in events} == {"upstream"}
    assert events[0]["receipt"] == whole.mintage["receipt"]
    price = Fraction(PROMPT * 1 + len(WORDS) * 4) / 10**6
    assert Fraction(events[0]["price"]) == Fraction(whole.mintage["price"]["amount"]) == price
    cost = (
        Fraction("0.27") * (PROMPT - CACHED)
        + Fraction("0.07") * CACHED
        + Fraction("1.1") * len(WORDS)
    ) / 10**6
    assert Fraction(events[0]["cost"]) == cost
    assert (events[0]["model"], events[0]["model_version"]) == ("model", "one")


@pytest.mark.parametrize("way", ["truncates", "breaks", "complains"])
def test_of_a_stream_that_breaks_what_was_delivered_is_charged(
    shop: Shop, client: openai.OpenAI, upstream: Scripted, way: str
) -> None:
    upstream.words = ("word ",) * 40
    upstream.turns = [way]
    stream = chat(client, stream=True)
    said = "".join(next(stream).choices[0].delta.content for __ in range(20))
    with pytest.raises(openai.APIError, match="broke off"):
        next(stream)
    assert said == "word " * 20
    (event,) = shop.usage()
    assert event["outcome"] == "partial"
    assert event["counted_by"] == "length"
    assert event["quantities"]["output_token"] == len(said) // 4
    assert Fraction(event["price"]) > 0
    assert Fraction(event["cost"]) > 0


def test_whoever_leaves_pays_for_what_they_got_and_the_upstream_hears_of_it(
    shop: Shop, client: openai.OpenAI, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 2000, 0.005
    got = 0
    with chat(client, stream=True) as stream:
        for part in stream:
            got += len(part.choices[0].delta.content or "")
            if got >= 100:
                break
    eventually(lambda: len(shop.usage()) == 1)
    (event,) = shop.usage()
    assert event["outcome"] == "partial"
    assert got // 4 <= event["quantities"]["output_token"] < 2000
    assert upstream.left.wait(10)


def test_nothing_delivered_is_nothing_charged(
    shop: Shop, client: openai.OpenAI, upstream: Scripted
) -> None:
    shop.declare(prices=None, deadline_seconds=0.5)
    time.sleep(0.5)
    for way in ("hangs", "garbage", "500", "drops", "429", "400"):
        for stream in (False, True):
            upstream.turns = [way] * 3
            with pytest.raises(openai.APIError) as refused:
                list(chat(client, stream=stream))
            assert "upstream" not in str(refused.value) or way == "400"
            time.sleep(0.1)
    events = shop.usage()
    assert {event["price"] for event in events} == {"0"}
    assert {event["cost"] for event in events} == {"0"}
    assert {event["outcome"] for event in events} == {"timeout", "error"}
    assert {tuple(event["quantities"]) for event in events} == {("request",)}


def test_a_stream_that_stalls_is_ended(
    shop: Shop, client: openai.OpenAI, upstream: Scripted
) -> None:
    shop.declare(prices=None, deadline_seconds=0.5)
    time.sleep(0.5)
    upstream.turns = ["stalls"]
    with pytest.raises(openai.APIError, match="in time"):
        list(chat(client, stream=True))
    (event,) = shop.usage()
    assert event["outcome"] == "partial"


def test_an_answer_that_nobody_counted_is_counted_here_and_says_so(
    shop: Shop, client: openai.OpenAI, upstream: Scripted
) -> None:
    upstream.turns = ["uncounted", "uncounted"]
    whole = chat(client)
    list(chat(client, stream=True))
    events = shop.usage()
    assert [event["counted_by"] for event in events] == ["length"] * 2
    assert {event["quantities"]["output_token"] for event in events} == {len(SAID) // 4}
    receipt = client.get(f"/receipts/{whole.mintage['receipt']}", cast_to=object)
    assert receipt["id"] == whole.mintage["receipt"]  # type: ignore[index]


@pytest.mark.parametrize("stream", [False, True])
def test_one_action_is_charged_once(
    shop: Shop, client: openai.OpenAI, upstream: Scripted, stream: bool
) -> None:
    headers = {"Idempotency-Key": "order-17"}

    def asked() -> Any:
        found = chat(client, stream=stream, extra_headers=headers)
        return [part.to_dict() for part in found] if stream else found.to_dict()

    first = asked()
    assert asked() == first
    assert len(upstream.requests) == 1
    assert len(shop.usage()) == 1
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(
            model="assistant", messages=[], extra_headers=headers, stream=stream
        )
    # What failed spends nothing.
    upstream.turns = ["500"] * 3
    with pytest.raises(openai.APIError):
        chat(client, extra_headers={"Idempotency-Key": "order-18"})
    assert chat(client, extra_headers={"Idempotency-Key": "order-18"}).choices


def test_tokens_a_minute_are_limited_and_told(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    from dataclasses import replace

    with App(load_settings(home=shop.home)) as app:
        terms = app.capture.plans.current("assistant").terms
        app.capture.plans.agree("assistant", replace(terms, token_rate="60/minute", rate="9/hour"))
    headers = {"Authorization": f"Bearer {shop.key}"}
    body = {"model": "assistant", "messages": ASKED, "max_tokens": 4000}
    address = f"{server.url}/v1/chat/completions"
    answers = []
    with httpx.Client(trust_env=False, timeout=60, headers=headers) as one:
        while not answers or answers[-1].status_code == 200:
            answers.append(one.post(address, json=body))
            assert len(answers) < 9
    used = [each.json()["usage"]["total_tokens"] for each in answers[:-1]]
    # What it used counts, not what it might have used: the last one is let through, and no more.
    assert sum(used[:-1]) < 60 <= sum(used) + 1
    policy, left = (answers[0].headers[name] for name in ("RateLimit-Policy", "RateLimit"))
    assert policy == '"assistant";q=9;w=3600, "assistant-tokens";q=60;qu="tokens";w=60'
    assert left.startswith('"assistant";r=8;t=400, "assistant-tokens";r=')
    last = answers[-1]
    assert (last.status_code, last.json()["error"]["type"]) == (429, "rate_limit_error")
    assert "60/minute tokens are used up" in last.json()["error"]["message"]
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert len(upstream.requests) == len(used)


def test_errors_have_openais_shape(shop: Shop, server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nothing", messages=ASKED)
    assert missing.value.body["type"] == "invalid_request_error"  # type: ignore[index]
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="mtg_live_none").chat.completions.create(
            model="assistant", messages=ASKED
        )
    for body in (b"", b"{", b"[]", b'{"model": 1}', b'{"model": "assistant"}', b"[" * 100_000):
        answered = httpx.post(
            f"{server.url}/v1/chat/completions",
            content=body,
            headers={"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"},
            trust_env=False,
        )
        assert answered.status_code == 400, body[:20]
        assert answered.json()["error"]["message"]


def test_a_server_that_ends_records_what_was_delivered(
    shop: Shop, server: Server, client: openai.OpenAI, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 20_000, 0.01
    stream = chat(client, stream=True)
    for __ in range(20):
        next(stream)
    server.end()
    (event,) = shop.usage()
    assert event["outcome"] == "partial"
    assert event["quantities"]["output_token"] >= 20


def test_what_another_mintage_asks_is_not_told_on(
    shop: Shop, client: openai.OpenAI, upstream: Scripted
) -> None:
    upstream.more = {"mintage": {"price": "wholesale"}}
    raw = client.chat.completions.with_raw_response.create(model="assistant", messages=ASKED)
    assert "wholesale" not in raw.text
    parts = [part.to_json() for part in chat(client, stream=True)]
    assert "wholesale" not in "".join(parts)


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": 5},
        {"choices": [5]},
        {"choices": [{"index": 0, "delta": 5, "message": 5}]},
        {"choices": [{"index": [], "delta": {"tool_calls": 5}, "finish_reason": "stop"}]},
        {"choices": None, "usage": 5},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_odd_answers_are_no_bug_of_ours(
    shop: Shop, client: openai.OpenAI, upstream: Scripted, odd: dict[str, Any], stream: bool
) -> None:
    upstream.more = odd
    answered = httpx.post(
        f"{client.base_url}chat/completions",
        json={"model": "assistant", "messages": ASKED, "stream": stream},
        headers={"Authorization": f"Bearer {shop.key}"},
        trust_env=False,
    )
    assert answered.status_code in (200, 503), answered.text
    eventually(lambda: len(shop.usage()) == 1)


def test_odd_requests_are_no_bug_of_ours(shop: Shop, server: Server, upstream: Scripted) -> None:
    deep = "[" * 960 + "]" * 960
    for body in (
        b'{"model": "\\ud800", "messages": []}',
        b'{"model": "assistant", "messages": [{"content": "\\ud800"}]}',
        f'{{"model": "assistant", "messages": [], "unknown": {deep}}}'.encode(),
        f'{{"model": "assistant", "messages": {deep}}}'.encode(),
        b'{"model": "assistant", "messages": [], "stream_options": 5, "stream": true}',
        b'{"model": "assistant", "messages": [], "max_tokens": 1e99, "n": -1}',
        b'{"model": "assistant", "messages": [], "max_tokens": 1099511627776, "n": 1099511627776}',
        b'{"model": "assistant", "messages": [' + b"1," * 400_000 + b"1]}",
    ):
        answered = httpx.post(
            f"{server.url}/v1/chat/completions",
            content=body,
            headers={"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"},
            trust_env=False,
            timeout=60,
        )
        assert answered.status_code in (200, 400, 404, 413), (body[:60], answered.text)
    embedded = httpx.post(
        f"{server.url}/v1/embeddings",
        json={"model": "assistant", "input": "x", "stream": True},
        headers={"Authorization": f"Bearer {shop.key}"},
        trust_env=False,
    )
    assert embedded.json()["data"]


def test_what_asks_is_missed_with_the_line_that_installs_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(DependencyDown) as missed:
        shop.declare()
    assert "pip install 'mintage[gateway]'" in str(missed.value.remedy)


def test_a_product_that_a_bundle_answers_for_keeps_its_price(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets", "pets", price="0.05", currency="EUR")
        before = app.capture.plans.current("pets")
        for product in ("pets", "standard", "No Name"):
            upstream = Upstream(product, "one", "http://127.0.0.1:9/v1", "m")
            with pytest.raises(MintageError):
                app.language.add(upstream, prices=PRICES)
        assert app.capture.plans.current("pets") == before
        app.language.add(Upstream("chat", "one", "http://127.0.0.1:9/v1", "m"), prices=PRICES)
        with pytest.raises(RequestError, match="upstream answers"):
            app.publishing.publish("pets", "chat", price="0.07", currency="EUR")
        assert "input_token" in app.capture.plans.current("chat").terms.charges_of("chat")


def test_it_is_no_model_of_pictures_and_the_lists_say_what_it_is(
    shop: Shop, server: Server
) -> None:
    headers = {"Authorization": f"Bearer {shop.key}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False) as customer:
        refused = customer.post("/v1/products/assistant/predict", content=b"x")
        assert (refused.status_code, "language model" in refused.text) == (404, True)
        card = customer.get("/v1/products/assistant").json()
        assert (card["task"], card["modality"]) == ("text", "text")
        assert card["prices"]["output_token"] == {"amount": "4", "currency": "USD", "per": 10**6}
        card = customer.get("/v1/products/assistant").json()
        assert (card["modality"], card["price"]["unit"]) == ("text", "input_token")
    with App(load_settings(home=shop.home)) as app:
        (listed,) = app.publishing.catalogue()
        assert (listed["product"], listed["model"]) == ("assistant", "model@one")


def test_no_key_is_in_what_is_kept_or_said(
    shop: Shop, client: openai.OpenAI, server: Server, upstream: Scripted
) -> None:
    chat(client)
    upstream.turns = ["401"] * 3
    with pytest.raises(openai.APIError) as refused:
        chat(client)
    assert "planted" not in str(refused.value)
    metrics = httpx.get(f"{server.operator}/metrics", trust_env=False).text
    server.end()
    kept = b"".join(path.read_bytes() for path in shop.home.rglob("*") if path.is_file())
    for secret in (b"sk-planted-upstream", shop.key.encode()):
        assert secret not in kept
        assert secret.decode() not in metrics
    assert b"What are cats?" not in kept, "what was asked is not stored"
    assert SAID.encode() not in kept


def test_a_server_of_ones_own_costs_by_the_hour_also_where_a_call_comes_to_nothing(
    shop: Shop, upstream: Scripted
) -> None:
    shop.declare(secret=Secret("env:UPSTREAM_KEY"), costs=Costs("USD", hour="3600"))
    with_two = Server(shop.home, "--workers", "2")
    try:
        with client_of(with_two.url, shop.key) as client:
            upstream.pause_seconds = 0.02
            began = time.monotonic()
            with ThreadPoolExecutor(4) as pool:
                streams = [pool.submit(lambda: list(chat(client, stream=True))) for __ in range(4)]
                assert all(each.result() for each in streams)
            took = time.monotonic() - began
            upstream.pause_seconds = 0.0
            upstream.turns = ["503"] * 3
            with pytest.raises(openai.APIError):
                chat(client)
    finally:
        with_two.end()
    *whole, failed = shop.usage()
    assert [event["outcome"] for event in (*whole, failed)] == ["ok"] * 4 + ["error"]
    assert 0 < sum(event["compute_seconds"] for event in whole) <= took
    assert failed["price"] == "0"
    for event in (*whole, failed):  # a dollar a second
        assert event["compute_seconds"] > 0
        assert Fraction(event["cost"]) == Fraction(str(event["compute_seconds"]))


def test_a_receipt_is_checked_as_the_page_says_without_our_code(
    shop: Shop, server: Server, tmp_path: Path
) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/language-models.md").read_text()
    (program,) = re.findall(r"```python\n(import base64.*?)```", page, re.DOTALL)
    command = [sys.executable, "-m", "mintage", "public-key", "receipt", "--home", str(shop.home)]
    pem = subprocess.run(command, capture_output=True, check=True).stdout
    (tmp_path / "receipt.pub").write_bytes(pem)
    headers = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"}

    def checked(answer: bytes) -> subprocess.CompletedProcess[str]:
        (tmp_path / "answer.json").write_bytes(answer)
        check = [sys.executable, "-c", program]
        return subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)

    for more in ({}, {"stream": True}):
        request = json.dumps({"model": "assistant", "messages": ASKED} | more).encode()
        (tmp_path / "request.json").write_bytes(request)
        url = f"{server.url}/v1/chat/completions"
        answer = httpx.post(url, content=request, headers=headers, trust_env=False).content
        (receipt,) = re.findall(rb'"receipt":"(rcp_[^"]*)"', answer)
        url = f"{server.url}/v1/receipts/{receipt.decode()}"
        said = httpx.get(url, headers=headers, trust_env=False).content
        (tmp_path / "receipt.json").write_bytes(said)
        done = checked(answer)
        assert "'output_token': 5" in done.stdout, done.stderr
        assert checked(answer.replace(b"dogs", b"cats")).stderr.endswith("AssertionError\n")
