"""A server of language models that is really killed, at any moment, under 32 streams."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import httpx
import pytest
from tests.conftest import ManualClock
from tests.e2e.test_language_models import Shop, _fresh, shop, upstream
from tests.e2e.test_main_job import Server
from tests.scripted_upstream import PROMPT, Scripted

from mintage.app.root import App
from mintage.capture.events import UsageRecord, is_charged
from mintage.core.canonical import sha256_hex
from mintage.core.errors import AccountError
from mintage.core.settings import load_settings
from mintage.deliver.upstreams.declared import LONGEST_SECONDS

__all__ = ["_fresh", "shop", "upstream"]  # fixtures

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "10"))
STREAMS = 32
WORDS = ("one ", "two ", "three ", "four ")
MOST = 10**7
"""Output tokens of a month's limit."""
PAID = 1000
"""Dollars: of credit, and of a key's budget."""
LEASE = timedelta(seconds=LONGEST_SECONDS + 181)


@dataclass
class Action:
    """What a customer wants once: a stream, with or without a key to ask again by."""

    number: int
    keyed: bool
    leave_after: int | None
    """Parts after which its client leaves, the first time."""
    ends: list[dict[str, Any]] = field(default_factory=list)
    """What the ends of its streams said, of those that were whole: their ``mintage``."""
    longest: str = ""
    """The most that was said to it."""

    @property
    def prompt(self) -> str:
        return f"question {self.number}"

    @property
    def body(self) -> bytes:
        messages = [{"role": "user", "content": self.prompt}]
        asked = {"model": "assistant", "messages": messages, "stream": True, "max_tokens": 50}
        return json.dumps(asked).encode()

    @property
    def is_done(self) -> bool:
        """Whether its customer does not ask again."""
        return bool(self.ends) or not self.keyed

    def ask(self, client: httpx.Client, url: str) -> None:
        """Ask once; raises HTTPError where the server dies meanwhile."""
        headers = {"Idempotency-Key": self.prompt} if self.keyed else {}
        leave_after, self.leave_after = self.leave_after, None
        said, parts, mintage = "", 0, None
        with client.stream(
            "POST", f"{url}/v1/chat/completions", content=self.body, headers=headers
        ) as answered:
            for line in answered.iter_lines():
                if line == "data: [DONE]":
                    assert mintage is not None, "an end without a receipt"
                    self.ends.append(mintage)
                elif line.startswith("data: "):
                    part = json.loads(line[6:])
                    if self.keyed and part.get("error", {}).get("code") == "answered_elsewhere":
                        return  # as the guide says: the same key gives that answer
                    assert "error" not in part, part
                    said += "".join(each["delta"].get("content", "") for each in part["choices"])
                    self.longest = max(said, self.longest, key=len)
                    mintage, parts = part.get("mintage", mintage), parts + 1
                    if parts == leave_after:
                        return


class Crowd:
    """Thirty-two customers' programs, and all that they ever asked."""

    def __init__(self, keys: Sequence[str], chance: random.Random) -> None:
        self.asked: list[Action] = []
        self._keys, self._chance = keys, chance
        self._under_way: dict[int, Action] = {}
        self._turn = threading.Lock()

    def key(self, lane: int) -> str:
        return self._keys[lane % len(self._keys)]

    def asking(self, url: str) -> list[threading.Thread]:
        """Begin to ask, until the server is no more."""
        threads = [threading.Thread(target=self._ask, args=(n, url)) for n in range(STREAMS)]
        for thread in threads:
            thread.start()
        return threads

    def finish(self, url: str) -> None:
        """Have everybody with a key ask until all of it is there."""
        for lane, action in self._under_way.items():
            with self._client(lane) as client:
                while not action.is_done:
                    action.ask(client, url)

    def _ask(self, lane: int, url: str) -> None:
        with self._client(lane) as client:
            while True:
                action = self._under_way.get(lane)
                if action is None or action.is_done:
                    action = self._under_way[lane] = self._another()
                try:
                    action.ask(client, url)
                except httpx.HTTPError:
                    return

    def _another(self) -> Action:
        with self._turn:
            keyed, leaves = self._chance.random() < 0.3, self._chance.random() < 0.2
            after = self._chance.randint(1, len(WORDS)) if leaves else None
            self.asked.append(Action(len(self.asked), keyed, after))
            return self.asked[-1]

    def _client(self, lane: int) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key(lane)}"}
        return httpx.Client(trust_env=False, timeout=60, headers=headers)


@pytest.fixture
def keys(shop: Shop) -> list[str]:
    """Of three customers: with a month's limit, with credit, and with a budget of the key."""
    with App(load_settings(home=shop.home)) as app:
        terms = app.capture.plans.current("assistant").terms
        charges = tuple(
            replace(each, hard_limit=MOST) if each.unit == "output_token" else each
            for each in terms.charges
        )
        app.billing.agree("bounded", replace(terms, charges=charges))
        app.billing.agree("advance", replace(terms, prepaid=True))
        app.billing.begin("Ada", "bounded")
        __, bo = app.capture.add_customer("Bo")
        app.billing.begin("Bo", "advance")
        app.billing.add_credit("Bo", f"{PAID} USD", "bank-1")
        app.capture.add_customer("Cy")
        cy = app.capture.issue_key("Cy", budget=f"{PAID} USD")
    return [shop.key, bo.key.reveal(), cy.key.reveal()]


def kill(server: Server) -> None:
    """All of its processes at once, as a power cut does."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.communicate(timeout=30)


@pytest.mark.timeout(max(900, 60 * ROUNDS))
def test_of_a_killed_server_every_completed_stream_is_one_event(
    shop: Shop, keys: list[str], upstream: Scripted
) -> None:
    """Killed at random, with one process or two: nothing lost, nothing twice, nothing held."""
    upstream.words, upstream.pause_seconds = WORDS, 0.003
    chance = random.Random(3)
    crowd = Crowd(keys, chance)
    for number in range(ROUNDS):
        workers = "2" if number % 4 == 3 else "1"
        server = Server(shop.home, "--workers", workers, start_new_session=True)
        threads = crowd.asking(server.url)
        time.sleep(chance.uniform(0.1, 1.0))
        kill(server)
        for thread in threads:
            thread.join()
    server = Server(shop.home)
    try:
        crowd.finish(server.url)
    finally:
        server.end()
    with App(load_settings(home=shop.home)) as app:
        events = app.capture.history.list_usage(limit=10**7)
        app.billing.check()
    assert max(Counter(event.id for event in events).values()) == 1
    check_events(crowd, events, upstream)
    check_limits(shop, keys, events)


def check_events(crowd: Crowd, events: Sequence[UsageRecord], upstream: Scripted) -> None:
    """What the customers heard, what the upstream said, and what was recorded are one."""
    by_body = defaultdict[str, list[UsageRecord]](list)
    for event in events:
        by_body[event.input_sha256].append(event)
    assert by_body.keys() <= {sha256_hex(action.body) for action in crowd.asked}
    for action in crowd.asked:
        found = by_body[sha256_hex(action.body)]
        charged = [each for each in found if is_charged(each.outcome, charge_abstained=False)]
        assert len(charged) <= 1, "charged twice"
        assert len(found) <= 1 or action.keyed
        for end in action.ends:
            assert [(each.id, each.receipt) for each in charged] == [(end["event"], end["receipt"])]
            assert charged[0].outcome == "ok"
        for each in charged:
            check_tokens(action, each, upstream)
    keyed = [action for action in crowd.asked if action.keyed]
    assert all(action.ends for action in keyed), "whoever asks again by a key gets all of it"
    completed = sum(bool(action.ends) for action in crowd.asked)
    assert completed > STREAMS / 2, "there was hardly any traffic"
    assert any(not action.ends for action in crowd.asked), "no stream was ever broken"


def check_tokens(action: Action, event: UsageRecord, upstream: Scripted) -> None:
    if event.outcome == "ok":
        counted = event.quantities["input_token"], event.quantities["output_token"]
        assert counted == (PROMPT, len(WORDS))
        assert counted in upstream.counted[action.prompt]
    else:
        assert not action.ends
        said = max(len("".join(each)) for each in upstream.said[action.prompt])
        assert len(action.longest) // 4 <= event.quantities["output_token"] <= said // 4


def check_limits(shop: Shop, keys: Sequence[str], events: Sequence[UsageRecord]) -> None:
    """After their leases nothing is held: whoever is limited can use all of the rest, no more."""
    output, price = Counter[str](), defaultdict[str, Fraction](Fraction)
    for event in events:
        output[event.customer] += event.quantities.get("output_token", 0)
        price[event.customer] += Fraction(event.price)
    clock = ManualClock()
    clock.moment = datetime.now(UTC) + LEASE
    with App(load_settings(home=shop.home), clock) as app:
        holds = app.capture.reserve(60)
        ada, bo, cy = (app.capture.gate.admit(key, "assistant") for key in keys)
        (limit,) = [
            each
            for each in app.billing.standings.of("Ada")["limits"]
            if each["hard_limit"] is not None
        ]
        assert (limit["used"], limit["held"]) == (output[ada.customer], 0)
        (credit,) = app.billing.standings.of("Bo")["credit"]
        assert Fraction(credit["left"]) == PAID - price[bo.customer]
        (budget,) = app.billing.standings.of("Cy")["budgets"]
        spent = Fraction(str(budget["spent"])), Fraction(str(budget["held"]))
        assert spent == (price[cy.customer], 0)
        # At 4 dollars for a million.
        rest = [
            MOST - output[ada.customer],
            int((PAID - price[bo.customer]) * 10**6 / 4),
            int((PAID - price[cy.customer]) * 10**6 / 4),
        ]
        for permit, most in zip((ada, bo, cy), rest, strict=True):
            with pytest.raises(AccountError):
                holds.reserve(permit, {"output_token": most + 1}).result()
            holds.reserve(permit, {"output_token": most}).result()


def test_a_server_that_is_asked_to_end_loses_no_usage(
    shop: Shop, keys: list[str], upstream: Scripted
) -> None:
    """Under 32 streams that outlast its patience: each is recorded as far as it was delivered."""
    upstream.words, upstream.pause_seconds = ("word ",) * 20_000, 0.02
    actions = [Action(number, keyed=number % 2 == 0, leave_after=None) for number in range(STREAMS)]
    server = Server(shop.home)

    def customer(action: Action) -> None:
        headers = {"Authorization": f"Bearer {keys[action.number % len(keys)]}"}
        with (
            suppress(httpx.HTTPError),
            httpx.Client(trust_env=False, timeout=60, headers=headers) as client,
        ):
            action.ask(client, server.url)

    threads = [threading.Thread(target=customer, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while not all(action.longest for action in actions):
        assert time.monotonic() < deadline, "nobody answered"
        time.sleep(0.05)
    server.end()
    for thread in threads:
        thread.join()
    with App(load_settings(home=shop.home)) as app:
        events = {event.input_sha256: event for event in app.capture.history.list_usage(limit=99)}
        standings = [app.billing.standings.of(name) for name in ("Ada", "Bo", "Cy")]
    assert events.keys() == {sha256_hex(action.body) for action in actions}
    for action in actions:
        check_tokens(action, events[sha256_hex(action.body)], upstream)
    assert {event.outcome for event in events.values()} == {"partial"}
    held = [each["held"] for said in standings for each in said["limits"] + said["budgets"]]
    assert all(not Fraction(str(each)) for each in held), "what ended in order holds nothing"


def test_a_hundred_and_twenty_eight_streams_at_once_are_as_many_events(
    shop: Shop, keys: list[str], upstream: Scripted
) -> None:
    upstream.words, upstream.pause_seconds = WORDS, 0.01
    actions = [Action(number, keyed=number % 4 == 0, leave_after=None) for number in range(128)]
    server, barrier = Server(shop.home), threading.Barrier(len(actions))

    def customer(action: Action) -> None:
        headers = {"Authorization": f"Bearer {keys[action.number % len(keys)]}"}
        with httpx.Client(trust_env=False, timeout=60, headers=headers) as client:
            barrier.wait()
            action.ask(client, server.url)

    threads = [threading.Thread(target=customer, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.end()
    with App(load_settings(home=shop.home)) as app:
        events = app.capture.history.list_usage(limit=999)
    ends = [end["event"] for action in actions for end in action.ends]
    assert sorted(ends) == sorted(event.id for event in events)
    assert len(ends) == len(actions)
    assert sum(event.quantities["output_token"] for event in events) == upstream.used["output"]
    check_limits(shop, keys, events)
