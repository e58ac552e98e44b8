"""A model that ``transformers serve`` runs, sold: a real second process, and no word made up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.e2e.test_language_models import Shop, client, client_of, eventually, server
from tests.e2e.test_main_job import Server, usage
from tests.tiny_language_model import save

from mintage.app.language import TokenPrices
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Costs, Upstream
from mintage.deliver.upstreams.secret import Secret

__all__ = ["client", "server"]  # fixtures

pytest.importorskip("transformers", reason="its server is what is sold here")
ASKED: list[Any] = [
    {"role": "system", "content": "You are a cat."},
    {"role": "user", "content": "What are dogs? 猫是什么?"},
]
PRICES = TokenPrices("1", "4", currency="USD")
COSTS = Costs("USD", "0.27", "1.10")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture(scope="module")
def serving(model: Path) -> Iterator[str]:
    """The address of ``transformers serve``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(model.parent / "hf"), "NO_PROXY": "*"}
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with subprocess.Popen([*command, *options], env=os.environ | offline) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for __ in range(600):
                try:
                    httpx.get(f"{url}/health", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, "it ended"
                    time.sleep(0.2)
            yield url
        finally:
            process.terminate()


@pytest.fixture
def shop(tmp_path: Path, serving: str, model: Path) -> Shop:
    """A workspace that sells it as ``assistant``."""
    with App(load_settings(home=tmp_path / "home")) as app:
        __, issued = app.capture.add_customer("Ada")
    made = Shop(tmp_path / "home", issued.key.reveal(), f"{serving}/v1")
    tokenizer = str(model / "tokenizer.json")
    made.declare(PRICES, model=str(model), costs=COSTS, tokenizer=tokenizer)
    return made


@pytest.fixture
def direct(serving: str) -> Iterator[openai.OpenAI]:
    """Whoever asks it without us."""
    with client_of(serving, "none") as made:
        yield made


def test_what_it_answers_is_what_is_sold_and_what_it_counts_is_what_is_charged(
    shop: Shop, client: openai.OpenAI, direct: openai.OpenAI, model: Path
) -> None:
    """It says no ``[DONE]``, and what was used in the part that ends its only choice."""
    more: dict[str, Any] = {"messages": ASKED, "max_tokens": 24, "temperature": 0}
    expected = direct.chat.completions.create(model=str(model), **more)
    assert expected.usage is not None
    whole = client.chat.completions.create(model="assistant", **more)
    assert whole.choices[0].message.content == expected.choices[0].message.content
    assert whole.usage == expected.usage
    parts = list(client.chat.completions.create(model="assistant", stream=True, **more))
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == expected.choices[0].message.content
    assert parts[-1].mintage["receipt"]
    text = client.completions.create(model="assistant", prompt="What are", max_tokens=5)
    assert text.usage is not None
    events = shop.usage()
    assert {(event["outcome"], event["counted_by"]) for event in events} == {("ok", "upstream")}
    counted = [
        (event["quantities"]["input_token"], event["quantities"]["output_token"])
        for event in events
    ]
    chats = expected.usage.prompt_tokens, expected.usage.completion_tokens
    assert counted == [chats, chats, (text.usage.prompt_tokens, text.usage.completion_tokens)]
    price = Fraction(chats[0] * 1 + chats[1] * 4) / 10**6
    assert Fraction(events[0]["price"]) == Fraction(events[1]["price"]) == price


def test_of_who_leaves_the_part_is_counted_by_its_own_tokenizer(
    shop: Shop, client: openai.OpenAI, model: Path
) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    heard = ""
    with client.chat.completions.create(
        model="assistant", messages=ASKED, max_tokens=400, stream=True
    ) as stream:
        for part in stream:
            heard += part.choices[0].delta.content or ""
            if len(heard) >= 10:
                break
    eventually(lambda: len(shop.usage()) == 1)
    (event,) = shop.usage()
    assert (event["outcome"], event["counted_by"]) == ("partial", "tokenizer")
    assert len(tokenizer.encode(heard).ids) <= event["quantities"]["output_token"] < 400
    contents = [tokenizer.encode(each["content"]).ids for each in ASKED]
    assert event["quantities"]["input_token"] == sum(8 + len(ids) for ids in contents)


def test_who_left_finds_all_of_it_under_their_key(
    shop: Shop, client: openai.OpenAI, direct: openai.OpenAI, model: Path
) -> None:
    more: dict[str, Any] = {"messages": ASKED, "max_tokens": 60, "temperature": 0}
    expected = direct.chat.completions.create(model=str(model), **more).choices[0].message.content
    keyed = {"extra_headers": {"Idempotency-Key": "order-17"}, "stream": True, **more}
    with client.chat.completions.create(model="assistant", **keyed) as left:
        next(iter(left))
    eventually(lambda: len(shop.usage()) == 1)
    parts = list(client.chat.completions.create(model="assistant", **keyed))
    said = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert said == expected
    (event,) = shop.usage()
    assert event["outcome"] == "ok"


def test_what_it_does_not_take_is_told_and_free(shop: Shop, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(
            model="assistant", messages=ASKED, extra_body={"no_such_field": 1}
        )
    assert refused.value.status_code in (400, 422)
    (event,) = shop.usage()
    assert (event["outcome"], event["price"]) == ("error", "0")


def test_it_is_sold_on_by_a_second_mintage_token_for_token(
    shop: Shop, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes, each the next one's upstream."""
    monkeypatch.setenv("UPSTREAM_KEY", shop.key)
    retail = tmp_path / "retail"
    with App(load_settings(home=retail)) as app:
        __, issued = app.capture.add_customer("Bob")
        bought = Upstream(
            "helper",
            "wholesale",
            f"{server.url}/v1",
            "assistant",
            Secret("env:UPSTREAM_KEY"),
            costs=Costs("USD", "1", "4"),
        )
        app.language.add(bought, prices=TokenPrices("2", "8", currency="USD"))
    outer = Server(retail)
    try:
        with client_of(outer.url, issued.key.reveal()) as bob:
            for stream in (False, True):
                answered = bob.chat.completions.create(
                    model="helper", messages=ASKED, max_tokens=9, stream=stream
                )
                assert list(answered)
    finally:
        outer.end()
    sold, paid = usage(retail), shop.usage()[::-1]
    assert len(sold) == len(paid) == 2
    for ours, theirs in zip(sold, paid, strict=True):
        assert ours["quantities"] == theirs["quantities"]
        assert Fraction(ours["cost"]) == Fraction(theirs["price"]) > 0
        assert Fraction(ours["price"]) == 2 * Fraction(theirs["price"])
