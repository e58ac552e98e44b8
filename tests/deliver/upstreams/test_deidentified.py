"""What an upstream gets has no personal data in it, and what the customer gets has it again."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deliver.upstreams.test_gateway import CHAT, Standing, of
from tests.scripted_upstream import Scripted, scripted_upstream

from mintage.core.clock import SystemClock
from mintage.core.errors import ConfigError, RequestError
from mintage.deliver.upstreams import deidentified as module
from mintage.deliver.upstreams.declared import Upstream
from mintage.deliver.upstreams.deidentified import Deidentified, RestoredStream
from mintage.deliver.upstreams.gateway import Gateway, Refused
from mintage.trust.deidentify.detectors import KINDS

ADA, PHONE, CARD = "ada@example.com", "13812345678", "4242424242424242"
PICTURE = "https://example.com/ada@example.com.png"
DATA = "data:image/png;base64," + "Ab1+/" * 100 + "=="


def sent(body: dict[str, Any]) -> Any:
    return Deidentified(body, KINDS).body


def asking(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def test_texts_are_replaced_wherever_they_stand() -> None:
    arguments = json.dumps({"to": ADA, "phone": int(PHONE), "电话": f"x\n{PHONE}"})
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "send", "arguments": arguments},
    }
    body = {
        "messages": [
            {"role": "system", "content": f"You answer {ADA}."},
            {"role": "user", "name": ADA, "content": [{"type": "text", "text": f"{PHONE} {ADA}"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"card": CARD})},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": f"for {ADA}"}}],
        "user": ADA,
        "metadata": {ADA: "x"},
        "stop": [ADA],
        "unknown": {"deep": [[ADA]]},
    }
    found = sent(body)
    assert not any(value in json.dumps(found) for value in (ADA, PHONE, CARD))
    system, user, assistant, tool = found["messages"]
    assert system["content"] == "You answer [EMAIL_1]."
    assert user == {
        "role": "user",
        "name": "[EMAIL_1]",
        "content": [{"type": "text", "text": "[PHONE_1] [EMAIL_1]"}],
    }
    (made,) = assistant["tool_calls"]
    assert json.loads(made["function"]["arguments"]) == {
        "to": "[EMAIL_1]",
        "phone": "[PHONE_1]",
        "电话": "x\n[PHONE_1]",
    }
    assert json.loads(tool["content"]) == {"card": "[CARD_1]"}
    assert found["tools"][0]["function"]["description"] == "for [EMAIL_1]"
    assert (found["user"], found["metadata"], found["stop"]) == (
        "[EMAIL_1]",
        {"[EMAIL_1]": "x"},
        ["[EMAIL_1]"],
    )
    assert found["unknown"] == {"deep": [["[EMAIL_1]"]]}
    assert body["user"] == ADA, "the request itself stays as it is"


def test_pictures_and_numbers_are_left() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": DATA}},
        {"type": "input_image", "image_url": PICTURE},
        {"type": "input_audio", "input_audio": {"data": DATA.partition(",")[2], "format": "wav"}},
    ]
    body = asking(parts, max_tokens=13812345678, seed=4242424242424242, logit_bias={"50256": -100})
    assert sent(body) == body
    described = {"type": "image_url", "image_url": {"url": PICTURE, "alt": ADA}}
    assert sent(asking([described]))["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": PICTURE, "alt": "[EMAIL_1]"}}
    ]
    # It is an address only in a picture.
    assert sent({"prompt": PICTURE, "url": PICTURE}) != {"prompt": PICTURE, "url": PICTURE}


@pytest.mark.parametrize("prompt", [[1, 2], [[1, 2], [3]], ["text", [1]]])
@pytest.mark.parametrize("name", ["prompt", "input"])
def test_a_prompt_of_tokens_is_refused_since_nobody_can_look_into_it(
    name: str, prompt: Any
) -> None:
    with pytest.raises(RequestError, match="is tokens"):
        Deidentified({name: prompt}, KINDS)
    assert sent({name: [ADA, "b"]}) == {name: ["[EMAIL_1]", "b"]}


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Any = ADA
    for __ in range(20_000):
        deep = [deep]
    for body in ({"messages": deep}, {"input": deep}):
        with pytest.raises(RequestError, match="too deeply"):
            Deidentified(body, KINDS)


def test_every_text_of_an_answer_is_restored() -> None:
    replaced = Deidentified(asking(f"{ADA} {PHONE}"), KINDS)
    arguments = '{"to":"[EMAIL_1]","nested":"{\\"phone\\":\\"[PHONE_1]\\"}"}'
    call = {"function": {"name": "send", "arguments": arguments}}
    answer = {
        "choices": [
            {"index": 0, "message": {"content": "To [EMAIL_1].", "reasoning_content": "[PHONE_1]"}},
            {"index": 1, "message": {"content": [{"type": "text", "text": "[PHONE_1]"}]}},
            {"index": 2, "message": {"content": None, "tool_calls": [call]}},
            {"index": 3, "text": "[email\\_1] [EMAIL_2]"},
        ],
        "usage": {"prompt_tokens": 3},
    }
    found = replaced.whole(answer)
    zero, one, two, three = found["choices"]
    assert zero["message"] == {"content": f"To {ADA}.", "reasoning_content": PHONE}
    assert one["message"]["content"][0]["text"] == PHONE
    said = json.loads(two["message"]["tool_calls"][0]["function"]["arguments"])
    assert (said["to"], json.loads(said["nested"])) == (ADA, {"phone": PHONE})
    assert three["text"] == f"{ADA} [EMAIL_2]"
    assert found["usage"] == {"prompt_tokens": 3}


def test_a_mapping_is_of_one_request() -> None:
    Deidentified(asking(ADA), KINDS)
    other = Deidentified(asking("bob@example.org"), KINDS)
    assert other.whole({"text": "[EMAIL_1] [EMAIL_2]"}) == {"text": "bob@example.org [EMAIL_2]"}
    assert Deidentified(asking("hi"), KINDS).whole({"text": "[EMAIL_1]"}) == {"text": "[EMAIL_1]"}


def delta(index: int, **said: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": index, "delta": said, "finish_reason": None}]}


def end(*indices: int, **said: Any) -> dict[str, Any]:
    choices = [{"index": each, "delta": dict(said), "finish_reason": "stop"} for each in indices]
    return {"id": "c", "choices": choices}


def streamed(stream: RestoredStream | None, chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert stream is not None
    return [part for chunk in chunks for part in stream.parts(chunk)] + stream.rests()


def texts(parts: list[dict[str, Any]]) -> dict[Any, str]:
    """What each choice says in all, and each of its tool calls."""
    found: dict[Any, str] = {}
    for part in parts:
        for choice in part["choices"]:
            said, index = choice.get("delta", {}), choice["index"]
            found[index] = found.get(index, "") + (said.get("content") or choice.get("text", ""))
            for call in said.get("tool_calls", ()):
                key = (index, call["index"])
                found[key] = found.get(key, "") + call["function"]["arguments"]
    return found


def calling(index: int, number: int, arguments: str) -> dict[str, Any]:
    return delta(index, tool_calls=[{"index": number, "function": {"arguments": arguments}}])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), max_size=80), st.booleans())
def test_choices_and_tool_calls_are_restored_each_by_itself_however_they_are_cut(
    order: list[tuple[int, int]], ends: bool
) -> None:
    left = {
        0: "To [EMAIL_1] and [PHONE_1], not [EMAIL",
        1: "[PHONE_1][PHONE_1] [",
        (2, 0): '{"to":"[EMAIL_1]"}',
        (2, 1): '{"to":["[PHONE_1]","[EMAIL\\_1]"]}',
    }
    keys, rest, chunks = list(left), dict(left), list[dict[str, Any]]()

    def say(key: Any, text: str) -> None:
        chunks.append(calling(*key, text) if isinstance(key, tuple) else delta(key, content=text))

    for number, size in order:
        key = keys[number]
        say(key, rest[key][:size])
        rest[key] = rest[key][size:]
    for key in keys:
        say(key, rest[key])
    if ends:
        chunks.append(end(0, 1, 2))
    parts = streamed(Deidentified(asking(f"{ADA} {PHONE}"), KINDS).stream(), chunks)
    assert texts(parts) == {
        0: f"To {ADA} and {PHONE}, not [EMAIL",
        1: f"{PHONE}{PHONE} [",
        **({2: ""} if any(part["choices"][0]["index"] == 2 for part in parts) else {}),
        (2, 0): json.dumps({"to": ADA}, separators=(",", ":")),
        (2, 1): json.dumps({"to": [PHONE, ADA]}, separators=(",", ":")),
    }
    if ends:
        assert parts[-1]["choices"][0]["finish_reason"] == "stop", "nothing is said after the end"


def test_what_was_held_leaves_before_its_choice_ends_as_a_part_of_its_own() -> None:
    stream = Deidentified(asking(ADA), KINDS).stream()
    chunks = [
        delta(0, role="assistant", content="see [EMA"),
        {"id": "c", "choices": [{"index": 1, "text": "[", "finish_reason": None}], "usage": None},
        end(0),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 1}},
    ]
    parts = streamed(stream, chunks)
    assert [part["choices"] for part in parts] == [
        [{"index": 0, "delta": {"role": "assistant", "content": "see "}, "finish_reason": None}],
        [{"index": 1, "text": "", "finish_reason": None}],
        [{"index": 0, "delta": {"content": "[EMA"}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
        [{"index": 1, "text": "[", "finish_reason": None}],
    ]
    assert [("usage" in part) for part in parts] == [False, True, False, False, True, False]


def test_parts_of_any_shape_go_through() -> None:
    stream = Deidentified(asking(ADA), KINDS).stream()
    said = [{"type": "text", "text": "[EMAIL"}], [{"type": "text", "text": "_1] ["}]
    odd = {"choices": [None, {"index": "x", "delta": {"many": ["[EMAIL_1]", ["[EMAIL_1]"], 1]}}]}
    parts = streamed(stream, [delta(0, content=said[0]), delta(0, content=said[1]), odd, {"a": 1}])
    assert parts[1]["choices"][0]["delta"]["content"][0]["text"] == f"{ADA} "
    assert parts[2]["choices"][1]["delta"]["many"] == [ADA, [ADA], 1]
    assert parts[3] == {"a": 1}
    assert parts[4]["choices"][0]["delta"] == {"content": [{"type": "text", "text": "["}]}


def test_where_nothing_was_replaced_a_stream_is_left_alone() -> None:
    assert Deidentified(asking("hi [EMAIL_1]"), KINDS).stream() is None


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    with scripted_upstream() as server:
        yield server


async def test_only_the_upstream_that_is_not_to_get_it_gets_placeholders(
    scripted: Scripted,
) -> None:
    scripted.requests.clear()
    scripted.turns = ["500"]
    remote = of(scripted, "remote", deidentify=("email",))
    gateway = Gateway(
        Standing(remote, of(scripted, "local", place=2)), SystemClock(), random.Random(1)
    )
    body = {**CHAT, "messages": [{"role": "user", "content": f"{ADA} {PHONE}"}]}
    try:
        reply = await gateway.ask("assistant", "chat/completions", body, streams=False, large=False)
        reply.close()
    finally:
        await gateway.close()
    first, second = (each["messages"][0]["content"] for each in scripted.requests)
    assert (first, second) == (f"[EMAIL_1] {PHONE}", f"{ADA} {PHONE}")
    assert scripted.requests[0]["model"] == "remote"
    assert reply.deidentified is None


async def test_nothing_leaves_where_replacing_fails(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "Placeholders", broken)
    scripted.requests.clear()
    gateway = Gateway(Standing(of(scripted, deidentify=KINDS)), SystemClock())
    try:
        with pytest.raises(ZeroDivisionError):
            await gateway.ask("assistant", "chat/completions", CHAT, streams=False, large=False)
    finally:
        await gateway.close()
    assert scripted.requests == []


async def test_the_event_loop_goes_on_while_a_long_text_is_looked_through(
    scripted: Scripted,
) -> None:
    gateway = Gateway(Standing(of(scripted, deidentify=KINDS)), SystemClock())
    body = {**CHAT, "messages": [{"role": "user", "content": f"{ADA} " * 60_000}]}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.ensure_future(count())
    try:
        reply = await gateway.ask("assistant", "chat/completions", body, streams=False, large=False)
        reply.close()
    finally:
        counting.cancel()
        await gateway.close()
    assert turns > 10


def test_kinds_that_there_are_not_are_refused_wherever_they_come_from() -> None:
    said = of("http://127.0.0.1:9/v1", deidentify=("email", "phone")).to_json()
    assert Upstream.from_json(said).deidentify == ("email", "phone")
    for kinds in (["name"], ["phone", "email"], ["email", "email"]):
        with pytest.raises(ConfigError):
            Upstream.from_json(said | {"deidentify": kinds})


def test_a_longer_conversation_keeps_the_placeholders_of_its_beginning() -> None:
    begun = [{"role": "user", "content": f"{ADA} {PHONE}"}]
    longer = [*begun, {"role": "assistant", "content": "b@x.org"}, {"role": "user", "content": ADA}]
    first, then = (sent({"messages": each})["messages"] for each in (begun, longer))
    assert then[: len(first)] == first
    assert [each["content"] for each in then[1:]] == ["[EMAIL_2]", "[EMAIL_1]"]


async def test_what_an_upstream_says_is_wrong_keeps_its_placeholders(scripted: Scripted) -> None:
    gateway = Gateway(Standing(of(scripted, "x-echoes", deidentify=KINDS)), SystemClock())
    body = {**CHAT, "messages": [{"role": "user", "content": ADA}]}
    try:
        with pytest.raises(Refused, match="EMAIL_1") as refused:
            await gateway.ask("assistant", "chat/completions", body, streams=False, large=False)
    finally:
        await gateway.close()
    assert ADA not in str(refused.value)
