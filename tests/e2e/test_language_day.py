"""A day of traffic with an upstream at its worst: what it says, what is recorded, what is billed.

Three books are held against each other: the upstream's own, what each client heard, and ours.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest
from tests.conftest import ManualClock
from tests.e2e.test_language_models import Shop, _fresh, server, shop, upstream
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import PROMPT, Scripted

from mintage.app.root import App
from mintage.capture.events import UsageRecord, is_charged
from mintage.capture.pricing.charges import Charge
from mintage.core.canonical import sha256_hex
from mintage.core.settings import load_settings

__all__ = ["_fresh", "server", "shop", "upstream"]  # fixtures

DAYS = max(1, int(os.environ.get("MINTAGE_ROUNDS", "10")) // 20)
CALLS, CLIENTS = 400, 16
PRICES = {"input_token": "0.000001", "output_token": "0.000004", "request": "0.0003"}
CUSTOMERS = ("Ada", "Bo", "Cy")
WELL = ("", "", "", "", "uncounted")
TURNS_AWAY = ("500", "429", "503", "garbage", "drops", "complains-first", "400")
BREAKS = ("truncates", "breaks", "complains", "stalls", "hangs")


@dataclass
class Heard:
    """What a client heard of one answer."""

    text: str
    is_whole: bool
    left: bool = False


@dataclass
class Call:
    """What one customer asks; with a key it is asked twice."""

    number: int
    path: str
    streams: bool
    key: str
    keyed: bool
    leave_after: int | None
    seconds: float
    heard: list[Heard] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        return f"question {self.number} 猫是什么" + "?" * (self.number % 7)

    @property
    def body(self) -> bytes:
        asked: dict[str, Any] = {"model": "assistant", "stream": self.streams}
        if self.path == "chat/completions":
            asked |= {"messages": [{"role": "user", "content": self.prompt}], "max_tokens": 50}
        elif self.path == "completions":
            asked |= {"prompt": self.prompt, "max_tokens": 50}
        else:
            asked |= {"input": self.prompt}
        return json.dumps(asked).encode()

    @property
    def prompt_by_length(self) -> int:
        """By the rule of the guide: four bytes a token, and eight for each message."""
        of_messages = 8 if self.path == "chat/completions" else 0
        return of_messages + len(self.prompt.encode()) // 4

    def run(self, url: str) -> None:
        """Ask, and ask again where it has a key; who is turned away has heard nothing."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if self.keyed:
            headers["Idempotency-Key"] = f"call {self.number}"
        with httpx.Client(trust_env=False, timeout=self.seconds, headers=headers) as client:
            self._ask(client, f"{url}/v1/{self.path}")
        if self.keyed:
            self.leave_after = None
            with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
                while self._ask(client, f"{url}/v1/{self.path}") == 409:
                    time.sleep(0.02)

    def _ask(self, client: httpx.Client, address: str) -> int:
        heard = Heard("", is_whole=False)
        try:
            with client.stream("POST", address, content=self.body) as answered:
                if answered.status_code != 200:
                    return answered.status_code
                self.heard.append(heard)
                if self.streams:
                    self._listen(answered.iter_lines(), heard)
                else:
                    answered.read()
                    heard.text, heard.is_whole = answered.text, True
        except httpx.HTTPError:
            if not self.heard or self.heard[-1] is not heard:
                self.heard.append(heard)
            heard.left = True
        return 200

    def _listen(self, lines: Iterator[str], heard: Heard) -> None:
        parts = 0
        for line in lines:
            if line == "data: [DONE]":
                heard.is_whole = True
            elif line.startswith('data: {"id"'):
                for each in json.loads(line[6:])["choices"]:
                    heard.text += each["delta"].get("content", "")
                parts += 1
            if parts == self.leave_after:
                heard.left = True
                return


@pytest.fixture
def keys(shop: Shop) -> list[str]:
    """Of three customers with a limit, so that each call holds what it may use."""
    charges = tuple(
        replace(Charge.plain(unit, price), hard_limit=10**6) for unit, price in PRICES.items()
    )
    with App(load_settings(home=shop.home)) as app:
        terms = app.capture.plans.current("assistant").terms
        app.billing.agree("assistant", replace(terms, charges=charges))
        others = [app.capture.add_customer(name)[1].key.reveal() for name in CUSTOMERS[1:]]
    for name in ("one", "two"):
        shop.declare(prices=None, name=name, deadline_seconds=1.0)
    return [shop.key, *others]


def a_day(keys: Sequence[str], upstream: Scripted, chance: random.Random) -> list[Call]:
    """The calls, and how each will be answered."""
    upstream.words = tuple(f"word{n} " for n in range(30))
    calls = []
    for number in range(CALLS):
        path = chance.choice(["chat/completions"] * 6 + ["completions", "embeddings"])
        streams = path == "chat/completions" and chance.random() < 0.6
        leaves = chance.random() < 0.12
        call = Call(
            number,
            path,
            streams,
            chance.choice(keys),
            keyed=chance.random() < 0.2,
            leave_after=chance.randint(1, 12) if leaves else None,
            seconds=0.15 if leaves and not streams else 60,
        )
        ways = chance.choices(TURNS_AWAY, k=chance.choice([0, 0, 0, 0, 1, 2, 3]))
        ways += [chance.choice(BREAKS if chance.random() < 0.15 else WELL)]
        upstream.scripts[call.prompt] = ways
        upstream.lengths[call.prompt] = chance.randint(1, 30)
        calls.append(call)
    return calls


@pytest.mark.parametrize("day", range(DAYS))
def test_of_a_day_of_faults_all_books_say_the_same(
    shop: Shop, keys: list[str], server: Server, upstream: Scripted, day: int
) -> None:
    calls = a_day(keys, upstream, random.Random(day))
    upstream.pause_seconds = 0.003
    left = calls[::-1]

    def customer() -> None:
        with suppress(IndexError):
            while True:
                left.pop().run(server.url)

    threads = [threading.Thread(target=customer) for __ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.end()
    with App(load_settings(home=shop.home)) as app:
        events = app.capture.history.list_usage(limit=10**6)
        held = {
            (name, each["unit"]): (each["used"], each["held"])
            for name in CUSTOMERS
            for each in app.billing.standings.of(name)["limits"]
        }
    by_body = defaultdict[str, list[UsageRecord]](list)
    for event in events:
        by_body[event.input_sha256].append(event)
    assert by_body.keys() <= {sha256_hex(call.body) for call in calls}
    due = defaultdict[str, Counter[str]](Counter)
    outcomes = Counter[str]()
    for call in calls:
        found = by_body[sha256_hex(call.body)]
        outcomes.update(event.outcome for event in found)
        nobody_left = call.leave_after is None and not any(each.left for each in call.heard)
        if call.prompt in upstream.counted and nobody_left:
            ends = {event.outcome for event in found}
            assert ends & {"ok", "timeout"}, "the upstream counted what was never recorded"
        for event in charged(found, call):
            owed = owed_for(call, event, upstream)
            assert owed == event.quantities, (call, event)
            assert Fraction(event.price) == sum(Fraction(PRICES[u]) * n for u, n in owed.items())
            due[event.customer].update(owed)
    check_invoices(shop, due)
    check_limits(held, due, shop)
    assert min(outcomes[each] for each in ("ok", "partial", "error", "timeout")) > 3, outcomes


def charged(found: Sequence[UsageRecord], call: Call) -> list[UsageRecord]:
    """What of a call is charged: once at most, and wherever anything was heard."""
    charged = [each for each in found if is_charged(each.outcome, charge_abstained=False)]
    assert len(charged) <= 1, (call, found)
    assert call.keyed or len(found) <= 1, (call, found)
    for each in found:
        if each not in charged:
            assert (each.price, dict(each.quantities)) == ("0", {"request": 1})
    outcome = charged[0].outcome if charged else None
    for heard in call.heard:
        if heard.is_whole:
            assert outcome == "ok", (call, found)
        elif heard.text:
            assert outcome == "partial" or call.leave_after or heard.left, (call, found)
        if heard.text:
            assert charged, (call, found)
    return charged


def owed_for(call: Call, event: UsageRecord, upstream: Scripted) -> Mapping[str, int]:
    """What is owed for a call by the upstream's books and the guide's rules."""
    said = ["".join(words) for words in upstream.said[call.prompt]]
    if event.outcome == "ok" and event.counted_by == "upstream":
        # Also counted was an earlier try, by its key, that came too late.
        (counted,) = set(upstream.counted[call.prompt])
        assert counted[0] == PROMPT
        prompt, output = counted
    elif event.outcome == "ok":
        assert event.counted_by == "length"
        assert call.prompt not in upstream.counted
        prompt = call.prompt_by_length
        output = 0 if call.path == "embeddings" else len(said[-1]) // 4
    else:
        assert (event.outcome, event.counted_by) == ("partial", "length")
        prompt, output = call.prompt_by_length, event.quantities["output_token"]
        heard = max((each.text for each in call.heard), key=len)
        assert heard in said[-1]
        if any(each.left for each in call.heard) and not call.keyed:
            assert len(heard) // 4 <= output <= len(said[-1]) // 4, (call, event)
        else:
            output = len(heard) // 4
    return {"request": 1, "input_token": prompt, "output_token": output}


def check_invoices(shop: Shop, due: Mapping[str, Mapping[str, int]]) -> None:
    """The month's invoices have the same units, each line rounded once, and the books balance."""
    clock = ManualClock()
    clock.moment = datetime.now(UTC) + timedelta(days=40)
    billed = defaultdict[str, Counter[str]](Counter)
    with App(load_settings(home=shop.home), clock) as app:
        months = {event.recorded_at[:7] for event in app.capture.history.list_usage(limit=10**6)}
        for month in sorted(months):
            for invoice in app.billing.run(month, issue=True).drafted:
                for line in invoice.document["lines"]:
                    billed[invoice.customer][line["unit"]] += line["units"]
                    exact = Decimal(PRICES[line["unit"]]) * line["units"]
                    cents = exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
                    assert Decimal(line["amount"]) == cents
        app.billing.check()
    assert billed == due


def check_limits(
    held: Mapping[tuple[str, str], tuple[int, int]],
    due: Mapping[str, Mapping[str, int]],
    shop: Shop,
) -> None:
    """Of calls that failed, broke or left nothing is held: nobody is turned away for those."""
    with App(load_settings(home=shop.home)) as app:
        for name in CUSTOMERS:
            owed = due[app.capture.customers.find(name).id]
            for unit in PRICES:
                assert held[name, unit] == (owed[unit], 0)
