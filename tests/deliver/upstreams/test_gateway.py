"""Which upstream is asked, and what becomes of one that fails: a real server, well and badly."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.scripted_upstream import WORDS, Scripted, scripted_upstream

from mintage.core.clock import SystemClock
from mintage.core.errors import NotReady
from mintage.deliver.upstreams.declared import BundleAt, Costs, Upstream
from mintage.deliver.upstreams.gateway import Gateway, Refused, Reply, TooLate
from mintage.deliver.upstreams.own.addresses import Address, Addresses
from mintage.deliver.upstreams.secret import Secret
from mintage.deliver.upstreams.tokens import NOTHING
from mintage.deliver.upstreams.work import Work

CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "unknown": {"x": 1}}
SINCE = "2026-11-26T00:00:00.000000Z"
NOWHERE = "http://127.0.0.1:9/v1"


class Standing:
    """The upstreams of one product."""

    def __init__(self, *upstreams: Upstream) -> None:
        self.upstreams = upstreams

    def all(self) -> Mapping[str, Sequence[Upstream]]:
        return {"assistant": self.upstreams}

    def epoch(self) -> int | None:
        return None


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted_upstream() as scripted:
        yield scripted


@pytest.fixture
def scripted(server: Scripted) -> Scripted:
    server.requests.clear()
    server.headers.clear()
    server.turns.clear()
    server.left.clear()
    return server


@pytest_asyncio.fixture
async def standing(scripted: Scripted) -> Standing:
    return Standing(of(scripted))


@pytest_asyncio.fixture
async def gateway(standing: Standing) -> AsyncIterator[Gateway]:
    made = Gateway(standing, SystemClock(), random.Random(1))
    yield made
    await made.close()


def of(scripted: Scripted | str, name: str = "one", **more: Any) -> Upstream:
    url = scripted if isinstance(scripted, str) else scripted.url
    return Upstream("assistant", name, url, **{"model": name, "since": SINCE, **more})


async def ask(gateway: Gateway, **more: Any) -> dict[str, Any]:
    reply = await gateway.ask(
        "assistant", "chat/completions", CHAT | more, streams=False, large=bool(more)
    )
    try:
        return reply.document | {"by": reply.upstream.name}
    finally:
        reply.close()


async def stream_of(gateway: Gateway) -> Reply:
    body = CHAT | {"stream": True}
    return await gateway.ask("assistant", "chat/completions", body, streams=True, large=False)


async def streamed(gateway: Gateway) -> int:
    """How many parts came."""
    reply = await stream_of(gateway)
    try:
        return len([part async for part in reply.data()])
    finally:
        reply.close()


async def test_a_request_goes_on_as_it_came_but_for_the_models_name(
    gateway: Gateway, standing: Standing, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted")
    standing.upstreams = (of(scripted, secret=Secret("env:UPSTREAM_KEY")),)
    found = await ask(gateway)
    assert found["choices"][0]["message"]["content"] == "Cats are no dogs."
    assert scripted.requests == [CHAT | {"model": "one"}]
    assert scripted.headers[0]["Authorization"] == "Bearer sk-planted"


@pytest.mark.parametrize("way", ["429", "500", "503", "garbage", "drops", "hangs"])
async def test_where_one_fails_the_next_is_asked(
    gateway: Gateway, standing: Standing, scripted: Scripted, way: str
) -> None:
    standing.upstreams = (
        of(scripted, f"x-{way}", deadline_seconds=0.3),
        of(scripted, "second", place=2),
    )
    if way == "hangs":  # its time is over
        with pytest.raises(TooLate):
            await ask(gateway)
        return
    assert (await ask(gateway))["by"] == "second"


async def test_one_that_cannot_be_reached_is_passed_over(
    gateway: Gateway, standing: Standing, scripted: Scripted
) -> None:
    standing.upstreams = (of(NOWHERE, "nowhere"), of(scripted, "second", place=2))
    for __ in range(7):
        assert (await ask(gateway))["by"] == "second"


async def test_a_try_that_failed_is_repeated_where_there_is_no_other(
    gateway: Gateway, scripted: Scripted
) -> None:
    scripted.turns = ["500", "429"]
    assert (await ask(gateway))["by"] == "one"
    assert len(scripted.requests) == 3


async def test_three_tries_are_enough_and_a_key_that_is_not_taken_is_ours_to_mend(
    gateway: Gateway, scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    for way in ("500", "401"):
        scripted.turns = [way] * 9
        scripted.requests.clear()
        with pytest.raises(NotReady) as refused:
            await ask(gateway)
        assert len(scripted.requests) == 3 or way == "401"
        assert refused.value.retry_after_seconds
    assert "does not take the key" in caplog.text


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_is_wrong_with_the_request_is_told_as_the_upstream_says(
    gateway: Gateway, scripted: Scripted, status: int
) -> None:
    scripted.turns = [str(status)]
    with pytest.raises(Refused, match=f"the upstream says {status}") as refused:
        await ask(gateway)
    assert refused.value.http_status == status
    assert len(scripted.requests) == 1


async def test_after_failures_in_a_row_nobody_is_sent_there(
    gateway: Gateway, scripted: Scripted
) -> None:
    scripted.turns = ["500"] * 100
    for __ in range(3):
        with pytest.raises(NotReady):
            await ask(gateway)
    assert len(scripted.requests) == 5
    with pytest.raises(NotReady) as refused:
        await ask(gateway)
    assert len(scripted.requests) == 5
    assert 1 <= (refused.value.retry_after_seconds or 0) <= 5


async def test_a_stream_that_began_counts_as_an_answer(
    gateway: Gateway, scripted: Scripted
) -> None:
    for __ in range(8):
        scripted.turns = ["500"]
        assert await streamed(gateway) == len(WORDS) + 2


@pytest.mark.parametrize("way", ["garbage", "complains-first"])
async def test_a_stream_that_begins_with_no_answer_is_asked_of_the_next(
    gateway: Gateway, standing: Standing, scripted: Scripted, way: str
) -> None:
    standing.upstreams = (of(scripted, f"x-{way}"), of(scripted, "second", place=2))
    scripted.turns = [way]
    assert await streamed(gateway) == len(WORDS) + 2
    assert [each["model"] for each in scripted.requests] == [f"x-{way}", "second"]


async def test_half_a_surrogate_pair_goes_on_as_it_came(
    gateway: Gateway, scripted: Scripted
) -> None:
    await ask(gateway, user="\ud800")
    assert scripted.requests[0]["user"] == "\ud800"


async def test_weights_say_how_often_each_is_asked_first(
    gateway: Gateway, standing: Standing, scripted: Scripted
) -> None:
    standing.upstreams = (of(scripted, "often", weight=9), of(scripted, "seldom", weight=1))
    found = Counter([(await ask(gateway))["by"] for __ in range(100)])
    assert 80 <= found["often"] <= 98
    assert found["often"] + found["seldom"] == 100


async def test_a_key_that_is_not_there_is_told_to_the_operator_alone(
    gateway: Gateway,
    standing: Standing,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    standing.upstreams = (of(scripted, secret=Secret("env:NO_KEY")),)
    with pytest.raises(NotReady) as refused:
        await ask(gateway)
    assert "NO_KEY" not in str(refused.value)
    assert "NO_KEY" in caplog.text
    assert not scripted.requests


async def test_no_key_of_an_upstream_is_in_what_is_logged(
    gateway: Gateway,
    standing: Standing,
    scripted: Scripted,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "sk-planted")
    caplog.set_level(logging.DEBUG)
    standing.upstreams = (of(scripted, secret=Secret("env:UPSTREAM_KEY"), deadline_seconds=0.2),)
    for way in ("401", "500", "garbage", "drops", "hangs"):
        scripted.turns = [way] * 3
        with pytest.raises((NotReady, TooLate)):
            await ask(gateway)
    assert caplog.text
    assert "planted" not in caplog.text


async def test_a_client_that_leaves_is_noticed_upstream(
    gateway: Gateway, scripted: Scripted
) -> None:
    scripted.words = ("word",) * 1000
    scripted.pause_seconds = 0.01
    try:
        reply = await stream_of(gateway)
        async for __ in reply.data():
            break
        reply.close()
        assert await asyncio.to_thread(scripted.left.wait, 10)
    finally:
        scripted.words, scripted.pause_seconds = WORDS, 0.0


async def test_a_declaration_is_noticed_while_it_runs(
    gateway: Gateway, standing: Standing, scripted: Scripted
) -> None:
    assert (await ask(gateway))["by"] == "one"
    standing.upstreams = (of(scripted, "new"),)
    await asyncio.sleep(0.3)
    assert (await ask(gateway))["by"] == "new"
    assert list(await gateway.models()) == ["assistant"]


async def test_what_a_server_of_ours_cannot_take_is_the_requests_fault_and_nobody_elses(
    standing: Standing, scripted: Scripted, tmp_path: Path
) -> None:
    """It answers 500 to a prompt that is too long: the next call is answered all the same."""
    at = BundleAt("chats", 1, "1" * 64)
    addresses = Addresses(tmp_path / "addresses.json")
    addresses.write({at.digest: Address(scripted.url, "./1", at.url, "", ("assistant",))})
    standing.upstreams = (Upstream("assistant", "own", at.url, at.reference, since=SINCE),)
    gateway = Gateway(standing, SystemClock(), random.Random(1), addresses)
    try:
        for __ in range(6):
            scripted.turns.append("500")
            with pytest.raises(Refused) as refused:
                await ask(gateway)
            assert refused.value.http_status == 400
        assert len(scripted.requests) == 6  # none was tried again
        found = await ask(gateway)
        assert scripted.requests[-1]["model"] == "./1"
        assert found["by"] == "own"
    finally:
        await gateway.close()


async def test_what_a_server_works_for_a_call_is_measured_also_where_it_fails(
    gateway: Gateway, standing: Standing, scripted: Scripted
) -> None:
    hourly = Costs("USD", hour="3.60")
    standing.upstreams = (
        of(scripted, "x-hangs", costs=hourly, deadline_seconds=0.3),
        of(scripted, "x-503", costs=hourly, place=2),
    )
    work = Work()
    with pytest.raises(TooLate):
        await gateway.ask("assistant", "c", CHAT, streams=False, large=False, work=work)
    assert 0.3 <= work.seconds < 1.0
    assert work.last is standing.upstreams[0]
    cost, currency = work.cost(None, NOTHING)
    assert (Fraction(cost), currency) == (Fraction(str(work.seconds)) / 1000, "USD")


async def test_calls_that_a_server_works_on_together_share_its_time(
    gateway: Gateway, standing: Standing, scripted: Scripted
) -> None:
    standing.upstreams = (of(scripted, costs=Costs("USD", hour="1")),)
    scripted.pause_seconds = 0.02
    works = [Work() for __ in range(4)]
    began = time.monotonic()

    async def call(work: Work) -> None:
        body = CHAT | {"stream": True}
        reply = await gateway.ask("assistant", "c", body, streams=True, large=False, work=work)
        async for __ in reply.data():
            pass
        work.end()
        reply.close()

    try:
        await asyncio.gather(*map(call, works))
    finally:
        scripted.pause_seconds = 0.0
    took = time.monotonic() - began
    assert 0 < sum(each.seconds for each in works) <= took
    assert max(each.seconds for each in works) < took / 2


async def test_a_product_is_ready_where_one_of_its_upstreams_may_be_asked(
    gateway: Gateway, standing: Standing, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await gateway.ready("assistant")
    assert not await gateway.ready("nothing")
    own = of(BundleAt("chats", 1, "a" * 64).url)
    keyless = of(scripted, secret=Secret("env:UPSTREAM_KEY"))
    standing.upstreams = (own, keyless)  # one is being loaded, one has no key
    monkeypatch.delenv("UPSTREAM_KEY", raising=False)
    await asyncio.sleep(0.3)
    assert not await gateway.ready("assistant")
    standing.upstreams = (of(NOWHERE),)
    await asyncio.sleep(0.3)
    for __ in range(2):
        with pytest.raises(NotReady):
            await ask(gateway)
    assert not await gateway.ready("assistant")
