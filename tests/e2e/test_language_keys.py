"""Streams under an ``Idempotency-Key``: one charge at most, and what was charged comes again."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import httpx
import pytest
from tests.e2e.test_language_models import (
    ASKED,
    SAID,
    Shop,
    _fresh,
    eventually,
    server,
    shop,
    upstream,
)
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import Scripted

__all__ = ["_fresh", "server", "shop", "upstream"]  # fixtures


@dataclass
class Heard:
    """What a client heard of a stream: the data of its events, and what was said in them."""

    status: int
    headers: httpx.Headers
    data: list[str]

    @property
    def text(self) -> str:
        parts = [json.loads(each) for each in self.data if each.startswith('{"id"')]
        choices = [choice for part in parts for choice in part["choices"]]
        return "".join(choice["delta"].get("content", "") for choice in choices)

    @property
    def is_whole(self) -> bool:
        return self.data[-1:] == ["[DONE]"]

    @property
    def error(self) -> Any:
        return json.loads(self.data[-1])["error"]


def ask(server: Server, shop: Shop, key: str | None = "order-17", leave_after: int = -1) -> Heard:
    """Ask for a stream; leave once so many events were heard."""
    headers = {"Authorization": f"Bearer {shop.key}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    body = {"model": "assistant", "messages": ASKED, "stream": True}
    address, data = f"{server.url}/v1/chat/completions", list[str]()
    with (
        httpx.Client(trust_env=False, timeout=60, headers=headers) as client,
        client.stream("POST", address, json=body) as answered,
    ):
        for line in answered.iter_lines():
            if line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            if len(data) == leave_after:
                break
        return Heard(answered.status_code, answered.headers, data)


def charged(shop: Shop) -> list[dict[str, Any]]:
    return [event for event in shop.usage() if Fraction(event["price"])]


def again(server: Server, shop: Shop, key: str = "order-17") -> Heard:
    """Ask with the same key until the first call has ended."""
    for __ in range(200):
        heard = ask(server, shop, key)
        if heard.status != 409:
            return heard
        assert heard.headers["Retry-After"] == "1"
        time.sleep(0.05)
    raise AssertionError("the first call never ended")


def test_a_keyed_stream_whose_client_left_is_there_when_it_is_asked_again(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 100, 0.005
    left = ask(server, shop, leave_after=10)
    assert left.text
    assert left.text != "word " * 100
    heard = again(server, shop)
    assert (heard.status, heard.is_whole, heard.text) == (200, True, "word " * 100)
    assert heard.headers["Idempotent-Replayed"] == "true"
    (event,) = shop.usage()
    assert event["outcome"] == "ok"
    assert event["quantities"]["output_token"] == 100, "what its upstream says that it used"
    assert heard.headers["X-Mintage-Receipt"] == event["receipt"]
    assert len(upstream.requests) == 1, "its upstream was asked once"


def test_a_keyed_stream_whose_client_left_is_hashed_as_it_comes_again(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 50, 0.005
    stayed = ask(server, shop, "stayed")
    ask(server, shop, "left", leave_after=3)
    heard = again(server, shop, "left")
    first, second = shop.usage()
    assert first["output_sha256"] == second["output_sha256"]
    assert heard.data[:-2] == stayed.data[:-2], "all but the end, which names the receipt"


@pytest.mark.parametrize("way", ["truncates", "breaks", "complains"])
def test_a_keyed_stream_that_broke_is_charged_once_and_comes_again_as_it_broke(
    shop: Shop, server: Server, upstream: Scripted, way: str
) -> None:
    upstream.words, upstream.turns = ("word ",) * 40, [way]
    first = ask(server, shop)
    assert (first.is_whole, first.text) == (False, "word " * 20)
    for __ in range(3):
        heard = ask(server, shop)
        assert heard.data[:-1] == first.data[:-1]
        assert heard.headers["Idempotent-Replayed"] == "true"
        assert (heard.error["code"], heard.is_whole) == ("answer_broke", False)
    (event,) = charged(shop)
    assert (event["outcome"], event["quantities"]["output_token"]) == ("partial", 100 // 4)
    assert heard.headers["X-Mintage-Receipt"] == event["receipt"]
    assert len(upstream.requests) == 1
    anew = ask(server, shop, "order-18")
    assert (anew.is_whole, anew.text) == (True, "word " * 40)
    assert [event["outcome"] for event in charged(shop)] == ["partial", "ok"]


def test_a_keyed_stream_that_broke_behind_its_clients_back_is_charged_as_far_as_it_was_heard(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 100, 0.01
    upstream.turns = ["truncates"]
    left = ask(server, shop, leave_after=10)
    heard = again(server, shop)
    assert heard.error["code"] == "answer_broke"
    assert left.text in heard.text
    assert len(heard.text) < len("word " * 50)
    (event,) = charged(shop)
    assert (event["outcome"], event["quantities"]["output_token"]) == (
        "partial",
        len(heard.text) // 4,
    )


@pytest.mark.parametrize("way", ["500", "429", "garbage", "drops", "complains-first"])
def test_a_keyed_stream_that_delivered_nothing_spends_nothing(
    shop: Shop, server: Server, upstream: Scripted, way: str
) -> None:
    upstream.turns = [way] * 3
    assert ask(server, shop).status == 503
    heard = ask(server, shop)
    assert (heard.is_whole, heard.text) == (True, SAID)
    assert "Idempotent-Replayed" not in heard.headers
    (event,) = charged(shop)
    assert event["outcome"] == "ok"


def test_a_stream_without_a_key_still_ends_with_its_reader(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 2000, 0.005
    left = ask(server, shop, None, leave_after=10)
    assert upstream.left.wait(10)
    eventually(lambda: len(shop.usage()) == 1)
    (event,) = shop.usage()
    assert event["outcome"] == "partial"
    assert len(left.text) // 4 <= event["quantities"]["output_token"] < 2000


def test_of_many_who_ask_with_one_key_and_leave_one_is_charged(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 20, 0.002
    barrier = threading.Barrier(12)

    def customer(number: int) -> None:
        barrier.wait()
        for __ in range(5):
            ask(server, shop, leave_after=1 + number)

    threads = [threading.Thread(target=customer, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert again(server, shop).text == "word " * 20
    assert [event["outcome"] for event in charged(shop)] == ["ok"]
    assert len(upstream.requests) == 1


def test_of_one_key_answered_by_two_processes_one_answer_is_charged_and_both_costs_are_booked(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = ("word ",) * 40, 0.02
    other = Server(shop.home)
    try:
        heard: list[Heard] = []
        threads = [
            threading.Thread(target=lambda each=each: heard.append(ask(each, shop)))
            for each in (server, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (whole,) = [each for each in heard if each.is_whole]
        (late,) = [each for each in heard if not each.is_whole]
        assert late.error["code"] == "answered_elsewhere"
        assert [ask(each, shop).text for each in (server, other)] == ["word " * 40] * 2
    finally:
        other.end()
    assert whole.text == late.text == "word " * 40
    assert len(upstream.requests) == 2
    assert [event["outcome"] for event in charged(shop)] == ["ok"]
    costs = {event["outcome"]: event["cost"] for event in shop.usage()}
    assert costs.keys() == {"ok", "error"}
    assert costs["ok"] == costs["error"] != "0"


def test_a_server_that_ends_charges_a_keyed_stream_once(
    shop: Shop, server: Server, upstream: Scripted
) -> None:
    """What was delivered before its end is charged; after it, the key gives that and no more."""
    upstream.words, upstream.pause_seconds = ("word ",) * 20_000, 0.01
    heard: list[Heard] = []

    def customer() -> None:
        try:
            heard.append(ask(server, shop))
        except httpx.HTTPError:
            return

    thread = threading.Thread(target=customer)
    thread.start()
    eventually(lambda: bool(upstream.requests))
    time.sleep(0.5)
    server.end()
    thread.join()
    next_one = Server(shop.home)
    try:
        repeated = ask(next_one, shop)
    finally:
        next_one.end()
    assert repeated.error["code"] == "answer_broke"
    (event,) = charged(shop)
    assert event["quantities"]["output_token"] == len(repeated.text) // 4 > 0
