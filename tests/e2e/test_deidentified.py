"""Personal data does not leave: a real server and upstream, OpenAI's client, and what is kept."""

# ruff: noqa: F811 - fixtures are those of the language models' tests
from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.e2e.test_language_models import (  # noqa: F401
    COSTS,
    Shop,
    _fresh,
    client,
    shop,
    upstream,
)
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import Scripted

from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import Upstream
from mintage.trust.deidentify.detectors import KINDS

ADA, PHONE, CARD = "ada@example.com", "138 1234 5678", "4242 4242 4242 4242"
TOLD: list[Any] = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": f"Write to {ADA}, call {PHONE}, charge {CARD}; {ADA} again."},
]
PARTS = ("To [EMA", "IL_1], [", "PHONE", "_1] 【CARD_1", "】, [EMAIL_2] [EMAIL")
SAID = f"To {ADA}, {PHONE} {CARD}, [EMAIL_2] [EMAIL"


@pytest.fixture
def server(shop: Shop, tmp_path: Path) -> Iterator[Server]:
    with (tmp_path / "log").open("w") as log:
        running = Server(shop.home, stderr=log)
        yield running
        if running.process.poll() is None:
            running.end()


@pytest.fixture(autouse=True)
def _deidentified(_fresh: None, shop: Shop, upstream: Scripted) -> None:
    shop.declare(prices=None, deidentify=KINDS)
    upstream.words, upstream.deltas = PARTS, ()


def test_a_conversation_leaves_without_personal_data_and_comes_back_with_it(
    shop: Shop,
    server: Server,
    client: openai.OpenAI,
    upstream: Scripted,
) -> None:
    raw = client.chat.completions.with_raw_response.create(model="assistant", messages=TOLD)
    assert raw.parse().choices[0].message.content == SAID
    assert raw.headers["X-Mintage-Deidentified"] == "card=1, email=1, phone=1"
    assert upstream.requests[-1]["messages"][1]["content"] == (
        "Write to [EMAIL_1], call [PHONE_1], charge [CARD_1]; [EMAIL_1] again."
    )

    arguments = ('{"to":"[EMA', 'IL_1]","n":1', "}")
    upstream.deltas = tuple(
        {"tool_calls": [{"index": 0, "function": {"arguments": each}}]} for each in arguments
    )
    streamed = client.chat.completions.with_raw_response.create(
        model="assistant", messages=TOLD, stream=True
    )
    assert streamed.headers["X-Mintage-Deidentified"] == "card=1, email=1, phone=1"
    content, called, ends = "", "", []
    for part in streamed.parse():
        (choice,) = part.choices
        assert not ends, "nothing is said after the end"
        content += choice.delta.content or ""
        for call in choice.delta.tool_calls or ():
            called += call.function.arguments  # type: ignore[operator, union-attr]
        ends += [choice.finish_reason] if choice.finish_reason else []
    assert (content, json.loads(called), ends) == (SAID, {"to": ADA, "n": 1}, ["stop"])

    prompt = f"Say {ADA}, {PHONE}, {CARD}"
    answered = client.completions.create(model="assistant", prompt=[prompt, "x"])
    assert answered.choices[0].text == SAID
    assert upstream.requests[-1]["prompt"] == ["Say [EMAIL_1], [PHONE_1], [CARD_1]", "x"]
    client.embeddings.create(model="assistant", input=[ADA], encoding_format="float")
    assert upstream.requests[-1]["input"] == ["[EMAIL_1]"]

    with pytest.raises(openai.BadRequestError, match="is tokens"):
        client.embeddings.create(model="assistant", input=[[1, 2]], encoding_format="float")
    events = shop.usage()
    assert [event["outcome"] for event in events] == ["ok"] * 4 + ["error"]
    assert {event["counted_by"] for event in events[:4]} == {"upstream"}
    server.end()
    left = json.dumps(upstream.requests)
    kept = b"".join(path.read_bytes() for path in shop.home.rglob("*") if path.is_file())
    log = (shop.home.parent / "log").read_text()
    assert "/v1/chat/completions" in log
    for value in (ADA, PHONE, CARD):
        assert value not in left
        assert value.encode() not in kept
        assert value not in log


def test_what_is_counted_here_is_what_the_customer_sent_and_got(
    shop: Shop,
    client: openai.OpenAI,
    upstream: Scripted,
) -> None:
    upstream.turns = ["uncounted", "uncounted", "truncates"]
    client.chat.completions.create(model="assistant", messages=TOLD)
    list(client.chat.completions.create(model="assistant", messages=TOLD, stream=True))
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.chat.completions.create(model="assistant", messages=TOLD, stream=True))
    whole, streamed, partial = shop.usage()
    assert whole["quantities"]["output_token"] == len(SAID.encode()) // 4
    assert streamed["quantities"] == whole["quantities"]
    # What was held back was not delivered.
    assert partial["outcome"] == "partial"
    assert partial["quantities"]["output_token"] == len(f"To {ADA}, ".encode()) // 4


def test_one_action_is_the_same_answer_again(client: openai.OpenAI, upstream: Scripted) -> None:
    for stream in (False, True):
        headers = {"Idempotency-Key": f"once-{stream}"}

        def asked(stream: bool = stream, headers: Any = headers) -> Any:
            found = client.chat.completions.create(
                model="assistant", messages=TOLD, stream=stream, extra_headers=headers
            )
            return [part.to_dict() for part in found] if stream else found.to_dict()  # type: ignore[union-attr]

        first = asked()
        assert ADA in json.dumps(first)
        assert asked() == first
    assert len(upstream.requests) == 2


def test_that_it_is_turned_on_or_off_is_on_the_audit_log_and_off_has_to_be_said(
    shop: Shop,
    client: openai.OpenAI,
    upstream: Scripted,
) -> None:
    shop.declare(prices=None, weight=2)
    with App(load_settings(home=shop.home)) as app:
        (standing,) = app.language.show("assistant")["upstreams"]
        assert standing["deidentify"] == list(KINDS)
    time.sleep(0.5)
    client.chat.completions.create(model="assistant", messages=TOLD)
    assert ADA not in json.dumps(upstream.requests[-1])
    with App(load_settings(home=shop.home)) as app:
        said = {"product": "assistant", "name": "one", "model": "model", "costs": COSTS}
        app.language.add(Upstream(url=shop.url, **said), deidentify=())  # type: ignore[arg-type]
        with app.workspace.database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT record FROM log_leaves WHERE kind = 'upstream.declared' ORDER BY position"
            )
            records = [json.loads(bytes(row[0]))["deidentify"] for row in rows]
    assert records == [[], list(KINDS), list(KINDS), []]
    time.sleep(0.5)
    client.chat.completions.create(model="assistant", messages=TOLD)
    assert ADA in json.dumps(upstream.requests[-1])
