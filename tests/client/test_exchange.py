"""When a call is sent again, and when not: what both clients do, without sending anything."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from tests.conftest import ManualClock

from mintage.client import calls
from mintage.client.exchange import Patience, Try, exchange
from mintage.core.errors import (
    ConfigError,
    DependencyDown,
    MintageError,
    QuotaReached,
    RequestError,
    ServiceError,
)

REQUEST = httpx.Request("POST", "http://mintage.test/v1/products/pets/predict")


class Highest(random.Random):
    """Chance at its longest."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Played:
    """A call whose tries are answered from a list; the clock moves as it would."""

    def __init__(self, clock: ManualClock, **patience: Any) -> None:
        given = {"retries": 3, "timeout_seconds": 30.0, "deadline_seconds": 120.0}
        given |= {"clock": clock, "chance": Highest()} | patience
        self.clock, self.patience = clock, Patience(**given)
        self.waits: list[float] = []
        self.timeouts: list[float] = []

    def __call__(self, *outcomes: Any, takes: float = 0.0) -> Any:
        call = calls.predict("pets", b"picture")
        steps: Generator[Try, Any, Any] = exchange(call, "http://mintage.test", self.patience)
        step, left = next(steps), list(outcomes)
        try:
            while True:
                self.waits.append(step.wait_seconds)
                self.timeouts.append(step.timeout_seconds)
                self.clock.advance(step.wait_seconds + takes)
                step = steps.send(left.pop(0))
        except StopIteration as ended:
            assert left == []
            return ended.value


def answer(status: int = 200, **headers: str) -> httpx.Response:
    document = {"id": "evt_1"} if status == 200 else {"detail": "No."}
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.Response(status, json=document, headers=named, request=REQUEST)


def running() -> httpx.Response:
    document = {"code": "still_running", "detail": "It runs."}
    headers = {"Retry-After": "1"}
    return httpx.Response(409, json=document, headers=headers, request=REQUEST)


LOST = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("late"),
    httpx.ReadTimeout("late"),
    httpx.WriteTimeout("late"),
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
]


@pytest.mark.parametrize("lost", LOST, ids=lambda error: type(error).__name__)
def test_what_was_lost_on_the_way_is_sent_again(clock: ManualClock, lost: Exception) -> None:
    assert Played(clock)(lost, lost, answer()) == {"id": "evt_1"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_a_server_cannot_do_now_is_asked_for_again(clock: ManualClock, status: int) -> None:
    played = Played(clock)
    assert played(answer(status), answer()) == {"id": "evt_1"}
    assert played.waits == [0.0, 0.5]


@pytest.mark.parametrize(
    "status", [400, 401, 402, 403, 404, 405, 408, 410, 413, 415, 422, 500, 301]
)
def test_what_would_be_refused_again_is_sent_once(clock: ManualClock, status: int) -> None:
    with pytest.raises(MintageError) as refused:
        Played(clock)(answer(status, Retry_After="1"))
    assert refused.value.http_status == status


@pytest.mark.parametrize(
    "error",
    [httpx.LocalProtocolError("bad"), httpx.UnsupportedProtocol("bad"), httpx.DecodingError("bad")],
    ids=lambda error: type(error).__name__,
)
def test_what_is_our_own_fault_or_nonsense_is_not_repeated(
    clock: ManualClock, error: Exception
) -> None:
    with pytest.raises(DependencyDown) as refused:
        Played(clock)(error)
    assert refused.value.__cause__ is error


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_the_last_error_is_raised_once_all_tries_are_used(clock: ManualClock, retries: int) -> None:
    played = Played(clock, retries=retries)
    with pytest.raises(ServiceError):
        played(*[httpx.ConnectError("refused")] * retries, answer(503))
    assert len(played.waits) == retries + 1


def test_waiting_doubles_up_to_a_limit(clock: ManualClock) -> None:
    played = Played(clock, retries=8)
    with pytest.raises(ServiceError):
        played(*[answer(503)] * 9)
    assert played.waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_chance_shortens_a_wait_by_half_at_most(clock: ManualClock) -> None:
    waits = set()
    for seed in range(50):
        played = Played(clock, chance=random.Random(seed))
        played(answer(503), answer())
        waits.add(played.waits[1])
    assert len(waits) == 50
    assert 0.25 <= min(waits) < 0.3 < 0.45 < max(waits) <= 0.5


@pytest.mark.parametrize("asked", ["7", "Mon, 23 Nov 2026 12:00:07 GMT"])
def test_a_server_is_not_asked_before_it_said(clock: ManualClock, asked: str) -> None:
    played = Played(clock)
    played(answer(503, Retry_After=asked), answer(429, Retry_After="0"), answer())
    assert played.waits == [0.0, 7.5, 0.5]  # a little more, by chance


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1e3", "9" * 5000, "Thu, 99 Foo 2026"])
def test_a_wait_that_means_nothing_counts_as_none(clock: ManualClock, asked: str) -> None:
    played = Played(clock)
    played(answer(503, Retry_After=asked), answer())
    assert played.waits[1] == 0.5


def test_a_wait_beyond_the_deadline_is_an_error_at_once(clock: ManualClock) -> None:
    played = Played(clock)
    with pytest.raises(QuotaReached) as refused:
        played(answer(429, Retry_After="3600"))
    assert refused.value.retry_after_seconds == 3600


def test_after_the_deadline_no_further_try_is_begun(clock: ManualClock) -> None:
    played = Played(clock, retries=100, deadline_seconds=100.0)
    with pytest.raises(ServiceError):
        played(*[httpx.ReadTimeout("late")] * 4, takes=30.0)
    assert played.timeouts == [30.0, 30.0, 30.0, pytest.approx(100 - 90 - 3.5)]


def test_while_the_first_try_still_runs_it_is_waited_for_and_counts_as_no_failure(
    clock: ManualClock,
) -> None:
    played = Played(clock, retries=1)
    assert played(httpx.ReadTimeout("late"), *[running()] * 20, answer()) == {"id": "evt_1"}
    assert played.waits[2:] == [1.5] * 20


def test_a_first_try_that_never_ends_is_waited_for_until_the_deadline(clock: ManualClock) -> None:
    played = Played(clock, deadline_seconds=10.0)
    with pytest.raises(RequestError) as refused:
        played(*[running()] * 7)
    assert refused.value.http_status == 409
    assert len(played.waits) == 7


@pytest.mark.parametrize("code", ["answer_expired", "duplicate_event", "nonsense"])
def test_another_conflict_is_final(clock: ManualClock, code: str) -> None:
    conflict = httpx.Response(409, json={"code": code}, request=REQUEST)
    with pytest.raises(RequestError):
        Played(clock)(conflict)


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"", b"[" * 100_000])
def test_a_success_that_is_no_answer_of_ours_is_an_error(clock: ManualClock, body: bytes) -> None:
    with pytest.raises(DependencyDown, match="not JSON"):
        Played(clock)(httpx.Response(200, content=body, request=REQUEST))


def test_a_list_that_is_not_there_is_an_error_of_the_servers(clock: ManualClock) -> None:
    steps = exchange(calls.usage(None, None, 10), "http://mintage.test", Played(clock).patience)
    next(steps)
    with pytest.raises(DependencyDown):
        steps.send(answer())


@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"timeout_seconds": 0}, {"deadline_seconds": -5.0}]
)
def test_a_client_without_time_is_refused(clock: ManualClock, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Played(clock, **wrong)
