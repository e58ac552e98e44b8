"""Limits of language models that hold however many ask at once, and books that must be written."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.disks import filled, small_disk
from tests.e2e.test_language_models import ASKED, PRICES, Shop, _fresh, eventually, shop, upstream
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import Scripted

from mintage.app.root import App
from mintage.capture.pricing.charges import Charge
from mintage.core.settings import load_settings

__all__ = ["_fresh", "shop", "upstream"]  # fixtures

OUTPUT = 10
"""Tokens of each answer; each costs 0.1 dollars, so that a call costs one."""


def limited(shop: Shop, kind: str) -> str:
    """The key of a customer with five calls' worth of one kind of limit."""
    charge = Charge.plain("output_token", "0.1")
    with App(load_settings(home=shop.home)) as app:
        terms = app.capture.plans.current("assistant").terms
        if kind == "month":
            charge = replace(charge, hard_limit=5 * OUTPUT)
        terms = replace(terms, charges=(charge,), prepaid=kind == "credit")
        if kind == "spending":
            terms = replace(terms, spend_limit="5")
        app.billing.agree("bounded", terms)
        app.billing.begin("Ada", "bounded")
        if kind == "credit":
            app.billing.add_credit("Ada", "5 USD", "bank-1")
        if kind == "budget":
            return app.capture.issue_key("Ada", budget="5 USD").key.reveal()
    return shop.key


@pytest.mark.parametrize("kind", ["month", "spending", "credit", "budget"])
def test_sixty_four_at_once_in_two_processes_are_answered_as_often_as_the_limit_allows(
    shop: Shop, upstream: Scripted, kind: str
) -> None:
    key = limited(shop, kind)
    upstream.words = ("word",) * OUTPUT
    server, statuses = Server(shop.home, "--workers", "2"), Counter[int]()
    barrier = threading.Barrier(64)

    def customer(number: int) -> None:
        body: dict[str, Any] = {"model": "assistant", "messages": ASKED, "max_tokens": OUTPUT}
        with httpx.Client(trust_env=False, timeout=60) as one:
            barrier.wait()
            answered = one.post(
                f"{server.url}/v1/chat/completions",
                json=body | {"stream": number % 2 == 0},
                headers={"Authorization": f"Bearer {key}"},
            )
        statuses[answered.status_code] += 1

    threads = [threading.Thread(target=customer, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.end()
    assert statuses == {200: 5, 402 if kind == "credit" else 429: 59}
    assert len(upstream.requests) == 5, "who is turned away costs nothing"
    assert [Fraction(event["price"]) for event in shop.usage()] == [1] * 5


@pytest.mark.parametrize("kind", ["month", "spending", "credit", "budget"])
def test_what_failed_broke_or_was_left_takes_nothing_of_a_limit_but_what_was_delivered(
    shop: Shop, upstream: Scripted, kind: str
) -> None:
    """Nobody is turned away for what they did not get: of five calls, four are got at last."""
    key = limited(shop, kind)
    shop.declare(prices=None, deadline_seconds=0.5)
    upstream.words = ("word",) * OUTPUT
    server = Server(shop.home)
    body: dict[str, Any] = {"model": "assistant", "messages": ASKED, "max_tokens": OUTPUT}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(trust_env=False, timeout=60, headers=headers) as one:

        def asked(way: str, *, stream: bool) -> httpx.Response:
            upstream.turns = [way] * (3 if way in ("429", "500", "garbage") else 1)
            address = f"{server.url}/v1/chat/completions"
            return one.post(address, json=body | {"stream": stream})

        for __ in range(6):  # a failure, then what is well: or its upstream would have a rest
            for way in ("400", "429"):
                for stream in (False, True):
                    assert asked(way, stream=stream).status_code in (400, 503)
        for way in ("hangs", "500", "garbage"):
            for stream in (False, True):
                assert asked(way, stream=stream).status_code in (503, 504)
        broken = 0
        while broken < 2:  # 20 bytes of each are delivered: half a call's worth
            said = asked("truncates", stream=True)
            assert said.status_code in (200, 503), said.text
            broken += said.status_code == 200
            upstream.turns.clear()
        statuses = [asked("", stream=bool(n % 2)).status_code for n in range(5)]
    server.end()
    assert statuses == [200] * 4 + [402 if kind == "credit" else 429]
    prices = [Fraction(event["price"]) for event in shop.usage()]
    assert sorted(price for price in prices if price) == [Fraction(1, 2)] * 2 + [1] * 4


def test_an_answer_whose_event_cannot_be_written_does_not_end(
    upstream: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk nobody sees an end without a receipt; with room again all is as before."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted-upstream")
    with small_disk(tmp_path / "disk", 24) as folder:
        with App(load_settings(home=folder / "home")) as app:
            __, issued = app.capture.add_customer("Ada")
        full = Shop(folder / "home", issued.key.reveal(), upstream.url)
        full.declare(PRICES)
        server = Server(full.home)
        body = {"model": "assistant", "messages": ASKED}
        headers = {"Authorization": f"Bearer {full.key}"}
        with httpx.Client(trust_env=False, timeout=60, headers=headers) as one:

            def asked(*, stream: bool) -> httpx.Response:
                address = f"{server.url}/v1/chat/completions"
                return one.post(address, json=body | {"stream": stream})

            ended = 0
            with filled(folder):
                for __ in range(60):  # until the log of writes has to grow
                    ended += "[DONE]" in asked(stream=True).text
                    whole = asked(stream=False)
                    if whole.status_code == 503:
                        break
                    ended += 1
                assert whole.status_code == 503, whole.text
                assert "[DONE]" not in asked(stream=True).text
                assert '"mintage"' not in asked(stream=True).text
            before = ended

            def well() -> bool:
                nonlocal ended
                found = asked(stream=True).text
                ended += "[DONE]" in found
                return ended > before

            eventually(well)
        server.end()
        charged = [event for event in full.usage() if event["outcome"] == "ok"]
        assert len(charged) == ended
