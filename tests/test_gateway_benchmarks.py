"""The program that measures gateways to language models: it asks, counts, says what it found."""

from __future__ import annotations

import asyncio
import json
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

if not hasattr(select, "epoll"):
    pytest.skip("processes are watched by /proc, which Linux alone has", allow_module_level=True)

from benchmarks import gateway
from benchmarks.cells import Turn
from benchmarks.common import Failed, script
from benchmarks.language import gateways, load, page
from benchmarks.language.cells import CELLS
from benchmarks.language.lab import PRODUCT, SMOKE, Lab, conversations
from benchmarks.language.load import Customer, Plan, Tally
from benchmarks.language.measures import Load, loaded, memory
from benchmarks.language.upstream import WORDS, Scripted
from benchmarks.serving.asking import HOST, Asking
from benchmarks.serving.servers import running

from tests.kept_results import page_of

ASKING = Asking("/v1/chat/completions", content_type="application/json")


def test_every_cell_is_listed_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    gateway.PROGRAM.run(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [cell.name for cell in CELLS]


def test_every_cell_has_a_section_on_the_page() -> None:
    assert {cell.name for cell in CELLS} == set(page.CHAPTER.sections)


def test_conversations_differ_and_name_the_product() -> None:
    read = [json.loads(each) for each in conversations(streams=True)]
    assert {each["model"] for each in read} == {PRODUCT}
    assert all(each["stream"] for each in read)
    assert len({each["messages"][1]["content"] for each in read}) == len(read)


# --- The scripted upstream ------------------------------------------------------------------------


class Written:
    """Stands for a transport."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        pass


def _scripted(*parts: bytes) -> bytes:
    upstream, written = Scripted(), Written()
    upstream.connection_made(written)  # type: ignore[arg-type]
    for part in parts:
        upstream.data_received(part)
    return written.data


def test_the_upstream_answers_a_request_that_comes_in_parts_once_it_is_whole() -> None:
    message = ASKING.message(conversations()[0], 80)
    assert _scripted(message[:-1]) == b""
    head, __, body = _scripted(message[:60], message[60:-1], message[-1:]).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head.lower()
    assert json.loads(body)["usage"]["completion_tokens"] == WORDS
    assert _scripted(message + message).count(b"HTTP/1.1 200") == 2


def test_the_upstream_streams_to_whom_asks_for_it() -> None:
    said = _scripted(ASKING.message(conversations(streams=True)[0], 80))
    assert said.count(b"data: {") == WORDS + 2
    assert said.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# --- Customers ------------------------------------------------------------------------------------


@contextmanager
def _customer(
    monkeypatch: pytest.MonkeyPatch, *, streams: bool = False, interval: float = 0.0
) -> Iterator[tuple[Customer, Tally, list[float]]]:
    """One that is connected to nothing, and the clock it looks at."""
    now = [100.0]
    monkeypatch.setattr(load.time, "perf_counter", lambda: now[0])
    loop = asyncio.new_event_loop()

    async def made() -> tuple[Customer, Tally]:
        tally = Tally()
        plan = Plan(iter([b"asked"] * 9), interval, float("inf"), 9, streams)
        customer = Customer(plan, tally)
        customer.connection_made(Written())  # type: ignore[arg-type]
        return customer, tally

    customer, tally = loop.run_until_complete(made())
    customer._due = now[0]
    customer._ask()
    yield customer, tally, now
    loop.close()


def test_a_stream_is_timed_to_its_first_data_and_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with _customer(monkeypatch, streams=True) as (customer, tally, now):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for moment, part in (
            (101.0, head),
            (102.0, b"9\r\ndata: {}\n\r\n"),
            (104.0, b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
        ):
            now[0] = moment
            customer.data_received(part)
    assert (tally.firsts, tally.waits, tally.failures) == ([2.0], [4.0], 0)


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", 1),
    ],
)
def test_what_is_no_success_is_a_failure(
    answer: bytes, failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _customer(monkeypatch) as (customer, tally, __):
        customer.data_received(answer)
    assert (len(tally.waits), tally.failures) == (1 - failures, failures)


def test_a_stream_without_its_end_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with _customer(monkeypatch, streams=True) as (customer, tally, __):
        customer.data_received(b"HTTP/1.1 200 OK\r\n\r\n9\r\ndata: {}\n\r\n0\r\n\r\n")
    assert (tally.waits, tally.failures) == ([], 1)


def test_who_was_not_answered_when_the_next_request_was_due_waits_since_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    with _customer(monkeypatch, interval=1.0) as (customer, tally, now):
        for moment in (103.0, 104.0):
            now[0] = moment
            customer.data_received(answer)
    assert tally.waits == [3.0, 3.0]  # the second was due at 101


@pytest.mark.parametrize("streams", [False, True])
def test_the_script_asks_at_the_pace_it_is_told_and_accounts_for_all_of_it(
    streams: bool, tmp_path: Path
) -> None:
    start = gateways.upstream(Lab(tmp_path, SMOKE))
    bodies = conversations(streams=streams)
    with running(start, bodies, ()) as server:
        folder = server.messages[0].parent
        known = {"messages": folder, "port": start.port, "connections": 4, "streams": int(streams)}
        paced = script("language.load", threads=1, rate=40.0, seconds=1.0, **known)
        counted = script("language.load", threads=1, requests=50, **known)
    assert 30 <= paced["requests"] <= 41
    assert counted["requests"] == 50
    assert paced["failures"] == counted["failures"] == 0
    assert bool(counted["first"]) is streams


def test_an_upstream_that_hangs_up_is_counted(tmp_path: Path) -> None:
    async def measured() -> dict[str, Any]:
        def hang_up(__: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await load.asked(port, [b"GET"], connections=3, seconds=5.0)

    began = time.monotonic()
    found = asyncio.run(measured())
    assert (found["requests"], found["failures"]) == (0, 3)
    assert time.monotonic() - began < 5


# --- Gateways -------------------------------------------------------------------------------------


def test_a_proxy_that_is_not_installed_is_said_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "LITELLM_PYTHON", tmp_path / ".venv-litellm" / "bin" / "python")
    monkeypatch.setattr("benchmarks.common.LITELLM_PYTHON", gateways.LITELLM_PYTHON)
    lab = Lab(tmp_path, SMOKE)
    with pytest.raises(Failed, match="make bench-gateway installs it"):
        gateways.litellm(lab, gateways.Shop(tmp_path, ""))


@pytest.mark.slow
def test_our_gateway_is_measured_with_what_its_processes_used(tmp_path: Path) -> None:
    turn = Turn(Lab(tmp_path, SMOKE), 0, {})
    loads = [Load(4), Load(4, rate=20.0, streams=True)]
    found = loaded(turn, begin=gateways.mintage, loads=loads, seconds=1.0)["loads"]
    assert list(found) == ["whole, 4 connections, no pause", "streams, 4 connections, 20/s"]
    assert all(each["failures"] == 0 < each["requests"] for each in found.values())
    assert found["whole, 4 connections, no pause"]["busy"] > 0
    kept = memory(turn, begin=gateways.mintage, requests=40, samples=4)
    assert (kept["requests"], kept["failures"], len(kept["resident"])) == (40, 0, 5)


# --- The page -------------------------------------------------------------------------------------


def _found(p50: float, per_core: float, **more: Any) -> dict[str, Any]:
    first = {"p50": p50 / 2, "p99": p50}
    return {
        "requests": 600,
        "failures": 0,
        "rate": per_core,
        "processor_rate": per_core,
        "p50": p50,
        "p99": 2 * p50,
        "first": first,
        **more,
    }


def _loads(**found: dict[str, Any]) -> dict[str, Any]:
    names = {"closed": "whole, 16 connections, no pause", "paced": "whole, 16 connections, 20/s"}
    names["streams"] = "streams, 16 connections, 20/s"
    return {"loads": {names[name]: each for name, each in found.items()}}


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "gateway-throughput": {
        "direct": [_loads(closed=_found(0.0005, 30_000))],
        "mintage": [_loads(closed=_found(0.0205, 900))],
        "litellm": [_loads(closed=_found(0.1005, 200, failures=2))],
    },
    "gateway-latency": {
        "direct": [_loads(paced=_found(0.0002, 9000), streams=_found(0.0004, 9000))],
        "mintage": [_loads(paced=_found(0.0023, 400), streams=_found(0.0084, 400))],
        "litellm": [_loads(paced=_found(0.0102, 90))],
    },
    "gateway-memory": {
        "mintage, 200,000 requests": [
            {
                "requests": 200_000,
                "failures": 0,
                "rate": 800.0,
                "resident": [90e6, *[100e6] * 4, *[103e6] * 4],
                "highest": 104e6,
            }
        ]
    },
}


@pytest.mark.parametrize(
    ("what", "found", "verdict"),
    [
        (
            "whole, 16 connections, no pause: requests a second per core, Mintage / LiteLLM",
            "4.50 ×",
            "at least 5.00 × | **not reached**",
        ),
        (
            "whole, 16 connections, no pause: Mintage, added, p50",
            "20.00 ms",
            "at most 3.00 ms | **not reached**",
        ),
        ("whole, 16 connections, no pause: LiteLLM, added, p99", "200.00 ms", " | "),
        ("LiteLLM, without its database: failed", "2", "none | **not reached**"),
        (
            "whole, 16 connections, 20/s: Mintage, added, p50",
            "2.10 ms",
            "at most 3.00 ms | reached",
        ),
        ("whole, 16 connections, 20/s: LiteLLM, added, p50", "10.00 ms", " | "),
        (
            "streams, 16 connections, 20/s: Mintage, first token, added, p50",
            "4.00 ms",
            "at most 3.00 ms | **not reached**",
        ),
        (
            "mintage, 200,000 requests: memory, last quarter / first quarter",
            "1.03 ×",
            "at most 1.05 × | reached",
        ),
    ],
)
def test_the_page_says_what_was_measured_and_whether_it_is_enough(
    tmp_path: Path, what: str, found: str, verdict: str
) -> None:
    assert f"| {what} | 1 | {found} | {verdict} |" in page_of(tmp_path, SAMPLES).splitlines()


def test_the_page_has_a_row_for_each_gateway_and_load(tmp_path: Path) -> None:
    rows = page_of(tmp_path, SAMPLES).splitlines()
    whole = "whole, 16 connections, no pause"
    assert f"| {whole}: LiteLLM, without its database | 200 | 200 | 100.50 ms | 201.00 ms |" in rows
    streams = "streams, 16 connections, 20/s"
    times = "8.40 ms | 16.80 ms | 4.20 ms | 8.40 ms"
    assert f"| {streams}: Mintage, everything on | 600 | {times} |" in rows
