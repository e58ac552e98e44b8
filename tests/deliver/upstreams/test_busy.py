"""A server's busy time is shared out among its calls: no more than it was, and no less."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.deliver.upstreams.busy import Busy, Servers
from mintage.deliver.upstreams.declared import BundleAt, Costs, Upstream
from mintage.deliver.upstreams.tokens import NOTHING, Tokens
from mintage.deliver.upstreams.work import Work

CALLS = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 200)), min_size=1, max_size=12)
HELD = """
import sys
from pathlib import Path
from mintage.deliver.upstreams.busy import Busy
Busy(Path(sys.argv[1]), lambda: 0.0).come()
print("there", flush=True)
sys.stdin.read()
"""


class Time:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shares_of(
    calls: Sequence[tuple[int, int]], *clocks: Busy, time: Time, rng: random.Random
) -> list[float]:
    """What each of the calls, by when it comes and how long it stays, has of the server's time."""
    begun, shares = dict[int, tuple[Busy, float]](), [0.0] * len(calls)
    turns = [(at, 1, n) for n, (at, __) in enumerate(calls)]
    turns += [(at + lasts, 0, n) for n, (at, lasts) in enumerate(calls)]
    for at, comes, n in sorted(turns):
        time.now = float(at)
        if comes:
            clock = rng.choice(clocks)
            begun[n] = clock, clock.come()
        else:
            clock, before = begun.pop(n)
            shares[n] = clock.leave() - before
    return shares


def by_the_second(calls: Sequence[tuple[int, int]]) -> list[float]:
    """The same, second by second."""
    shares = [0.0] * len(calls)
    for second in range(max(at + lasts for at, lasts in calls)):
        there = [n for n, (at, lasts) in enumerate(calls) if at <= second < at + lasts]
        for n in there:
            shares[n] += 1 / len(there)
    return shares


@given(calls=CALLS, seed=st.integers(0, 99))
def test_each_call_has_its_share_of_every_second_that_it_was_there(
    calls: list[tuple[int, int]], seed: int
) -> None:
    time = Time()
    found = shares_of(calls, Busy(None, time), time=time, rng=random.Random(seed))
    assert found == pytest.approx(by_the_second(calls))


def test_processes_share_one_clock(tmp_path: Path) -> None:
    time = Time()
    ours = Busy(tmp_path / "a.busy", time)
    with subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / "a.busy")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        begun = ours.come()
        time.now = 10.0
        assert ours.leave() - begun == pytest.approx(5.0)  # the other has the other half
        begun = ours.come()
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        time.now = 20.0
        assert ours.leave() - begun == pytest.approx(10.0)  # who died asks nothing any more
    ours.close()


def test_what_another_process_holds_for_long_keeps_no_call_waiting(tmp_path: Path) -> None:
    time = Time()
    busy = Busy(tmp_path / "a.busy", time)
    with (tmp_path / "a.busy").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        begun = busy.come()
        time.now = 4.0
        assert busy.leave() - begun <= 4.0
    begun = busy.come()
    time.now = 6.0
    assert busy.leave() - begun == pytest.approx(2.0)
    busy.close()


def test_one_server_has_one_clock_whatever_it_answers_for() -> None:
    servers = Servers(None, Time())
    assert servers.at("http://a/v1") is servers.at("http://a/v1")
    assert servers.at("http://a/v1") is not servers.at("http://b/v1")
    servers.close()


def upstream(name: str, costs: Costs | None, url: str = "http://127.0.0.1:9/v1") -> Upstream:
    return Upstream("assistant", name, url, "m", costs=costs)


HOURLY = Costs("USD", "1", "4", hour="3.60")


def work_of(*tries: tuple[Upstream, float]) -> Work:
    time = Time()
    work = Work()
    for each, seconds in tries:
        work.begin(each, Busy(None, time))
        time.now += seconds
    work.end()
    return work


def test_a_call_costs_its_tokens_and_its_seconds_of_whoever_worked_for_it() -> None:
    one = upstream("one", HOURLY)
    work = work_of((one, 2.5))
    assert work.seconds == 2.5
    assert work.cost(one, Tokens(10, 5)) == ("0.00253", "USD")  # 0.00003 of tokens
    assert work.cost(None, NOTHING) == ("0.0025", "USD")


def test_what_failed_has_worked_too() -> None:
    first, second = upstream("first", HOURLY), upstream("second", Costs("USD", hour="7.20"))
    work = work_of((first, 1.0), (first, 1.0), (second, 0.5))
    assert work.seconds == 2.5
    assert work.last is second
    assert work.cost(second, Tokens(10, 5)) == ("0.003", "USD")


def test_seconds_are_of_servers_that_the_seller_runs_alone() -> None:
    others = upstream("others", Costs("USD", "1", "4"))
    work = work_of((others, 3.0))
    assert (work.seconds, work.cost(others, Tokens(10, 5))) == (0.0, ("0.00003", "USD"))
    own = upstream("own", None, BundleAt("chats", 1, "a" * 64).url)
    work = work_of((own, 3.0))
    assert (work.seconds, work.cost(own, Tokens(10, 5))) == (3.0, ("0", "XXX"))


def test_what_is_in_two_currencies_has_no_sum() -> None:
    mine, theirs = upstream("mine", Costs("EUR", hour="1")), upstream("theirs", Costs("USD", "1"))
    assert work_of((mine, 1.0), (theirs, 0.0)).cost(theirs, Tokens(1, 1)) == ("0", "XXX")


def test_nobody_was_asked_so_nothing_is_owed() -> None:
    assert Work().cost(None, NOTHING) == ("0", "")


@given(
    seconds=st.integers(0, 10**9).map(lambda micros: micros / 10**6),
    hour=st.integers(0, 10**6).map(lambda cents: f"{cents // 100}.{cents % 100:02}"),
)
def test_what_seconds_cost_is_exact_to_the_last_digit_and_rounded_up(
    seconds: float, hour: str
) -> None:
    exact = Fraction(str(seconds)) * Fraction(hour) / 3600
    cost = Fraction(Costs("USD", hour=hour).of({}, 0, [(hour, seconds)]))
    assert 0 <= cost - exact < Fraction(1, 10**12)
