"""The program that measures serving: it loads, counts, ends its servers, and says what it found."""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import email.policy
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

if not hasattr(select, "epoll"):
    pytest.skip("the load is made with epoll, which Linux alone has", allow_module_level=True)

from benchmarks import processes, serve
from benchmarks.common import Failed, script
from benchmarks.peers.bare import Model
from benchmarks.serving import arrivals, lab, page, servers, wrk
from benchmarks.serving.arrivals import Tally
from benchmarks.serving.asking import HOST, Asking
from benchmarks.serving.cells import CELLS
from benchmarks.serving.crowd import BROKEN, Answered, Crowd
from benchmarks.serving.servers import Start, running

from mintage.app.root import App
from mintage.core.settings import load_settings
from tests.kept_results import page_of

needs_wrk = pytest.mark.skipif(bool(wrk.missing()), reason="wrk is not there")
PICTURE = b"\xff\xd8 as good as a picture \r\n--\r\n\xff\xd9"

# --- The program --------------------------------------------------------------------------------


def test_every_cell_is_listed_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    serve.PROGRAM.run(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [cell.name for cell in CELLS]


def test_every_cell_has_a_section_on_the_page() -> None:
    assert {cell.name for cell in CELLS} == set(page.CHAPTER.sections)


def test_pictures_are_those_that_have_the_size_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "DATA", tmp_path)
    (tmp_path / "pets/cats").mkdir(parents=True)
    for size in (44_999, 45_000, 47_000, 49_000, 49_001):
        (tmp_path / f"pets/cats/{size}.jpg").write_bytes(bytes(size))
    some = lab.Lab(tmp_path, lab.Scale(pictures=2))
    assert [len(picture) for picture in some.pictures] == [45_000, 47_000]
    with pytest.raises(Failed, match="Only 3 files"):
        _ = lab.Lab(tmp_path, lab.Scale(pictures=4)).pictures


# --- How a server is asked ----------------------------------------------------------------------


def _parsed(message: bytes) -> Any:
    line, __, rest = message.partition(b"\r\n")
    assert line == b"POST /predict HTTP/1.1"
    return email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(rest)


def test_a_picture_goes_over_the_wire_as_it_is() -> None:
    message = Asking("/predict", {"Authorization": "Bearer key"}).message(PICTURE, 80)
    head, __, body = message.partition(b"\r\n\r\n")
    assert body == PICTURE
    parsed = _parsed(head)
    assert parsed["Content-Type"] == "image/jpeg"
    assert parsed["Content-Length"] == str(len(PICTURE))
    assert parsed["Authorization"] == "Bearer key"


def test_a_form_has_the_picture_in_the_field_that_is_asked_for() -> None:
    parsed = _parsed(Asking("/predict", form_field="pictures").message(PICTURE, 80))
    (part,) = parsed.iter_parts()
    assert part.get_param("name", header="Content-Disposition") == "pictures"
    # The parser reads text, so it ends lines in its own way.
    assert b"as good as a picture" in part.get_payload(decode=True)


# --- A tiny server ------------------------------------------------------------------------------


class Tiny:
    """Answers the n-th request with what ``statuses`` says, the last for ever, and counts."""

    def __init__(self, *statuses: int, reads_bodies: bool = True, closes: bool = False) -> None:
        self.statuses, self.reads_bodies, self.closes = statuses, reads_bodies, closes
        self.requests = self.connections = self.port = 0
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._answer, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                if self.reads_bodies:
                    await reader.readexactly(length)
                status = self.statuses[min(self.requests, len(self.statuses) - 1)]
                self.requests += 1
                if status == BROKEN:
                    break
                closing = "connection: close\r\n" if self.closes else ""
                writer.write(f"HTTP/1.1 {status} So\r\n{closing}content-length: 2\r\n\r\n".encode())
                await writer.drain()
                writer.write(b"{}")
                await writer.drain()
                if self.closes:
                    break
        writer.close()


def _messages(folder: Path, port: int, picture: bytes = PICTURE) -> list[Path]:
    return Asking("/predict").write([picture] * 2, port, folder)


@contextlib.contextmanager
def _crowd(tiny: Tiny, picture: bytes = PICTURE) -> Iterator[tuple[Crowd, list[Answered]]]:
    answers: list[Answered] = []
    message = Asking("/predict").message(picture, tiny.port)
    crowd = Crowd((HOST, tiny.port), [message], most=3, on_answer=answers.append)
    yield crowd, answers
    crowd.close()


# --- wrk ----------------------------------------------------------------------------------------

SAID = """Running 10s test @ http://127.0.0.1:8000/
  1 threads and 16 connections
  2400 requests in 10.00s, 5.68MB read

{"requests": 2400, "microseconds": 10000000, "p50": 6500, "p99": 12000, "longest": 30000, \
"connect": 0, "read": 1, "write": 0, "status": 400, "timeout": 2}
"""


def test_what_wrk_counts_is_read_with_refusals_among_the_failures() -> None:
    assert wrk.counted(SAID) == {
        "requests": 2400,
        "seconds": 10.0,
        "rate": 200.0,
        "failures": 403,
        "errors": {"read": 1, "status": 400, "timeout": 2},
        "p50": 0.0065,
        "p99": 0.012,
        "longest": 0.03,
    }


def test_a_load_that_nobody_answered_is_no_figure() -> None:
    with pytest.raises(Failed, match="no answer"):
        wrk.counted(SAID.replace('"status": 400', '"status": 2400'))


@needs_wrk
def test_wrk_sends_the_messages_and_says_what_it_counted_when_it_is_stopped(
    tmp_path: Path,
) -> None:
    with Tiny(200, 503, 200) as tiny:
        messages = _messages(tmp_path / "messages", tiny.port)
        load = wrk.Wrk(messages, tiny.port, seconds=600, connections=2, cores=())
        with load:
            while tiny.requests < 50:
                threading.Event().wait(0.05)
            load.stop()
            found = load.result()
    assert found["errors"] == {"status": 1}
    assert 40 < found["requests"] <= tiny.requests


@needs_wrk
def test_wrk_that_is_left_is_ended(tmp_path: Path) -> None:
    with Tiny(200) as tiny:
        load = wrk.Wrk(
            _messages(tmp_path / "messages", tiny.port),
            tiny.port,
            seconds=600,
            connections=1,
            cores=(),
        )
        with contextlib.suppress(KeyboardInterrupt), load:
            raise KeyboardInterrupt
    assert load._process.returncode is not None


# --- The open loop ------------------------------------------------------------------------------


class Posted:
    """Stands for a crowd, and for the clock that the open loop looks at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, takes: float = 0.0, most: int = 1000):
        self.now, self.takes, self.most = 1000.0, takes, most
        self.dues: list[float] = []
        self.waiting = 0
        monkeypatch.setattr(arrivals.time, "monotonic", lambda: self.now)

    def post(self, due: float) -> bool:
        self.now += self.takes
        if len(self.dues) == self.most:
            return False
        self.dues.append(due)
        return True

    def poll(self, seconds: float) -> None:
        self.now += seconds


def test_requests_come_by_the_clock_whoever_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    posted = Posted(monkeypatch)
    assert arrivals.offer(posted, rate=100, seconds=2, begin=posted.now) == (200, 0)
    assert posted.dues == pytest.approx([1000 + number / 100 for number in range(200)])


def test_what_the_generator_was_too_slow_to_send_was_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    posted = Posted(monkeypatch, takes=0.05)
    offered, unsent = arrivals.offer(posted, rate=100, seconds=2, begin=posted.now)
    assert unsent == 0
    assert 40 <= offered < 40 + arrivals._MOST_BEFORE_LOOKING


def test_what_finds_no_connection_is_counted_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    posted = Posted(monkeypatch, most=30)
    assert arrivals.offer(posted, rate=100, seconds=1, begin=posted.now) == (30, 70)


def test_only_what_is_answered_in_time_is_goodput() -> None:
    tally = Tally(until=10.0)
    tally.add(Answered(200, due=8.0, begun=8.5, told=9.5, ended=10.0))
    tally.add(Answered(200, due=8.0, begun=8.5, told=9.5, ended=10.1))
    tally.add(Answered(503, due=8.0, begun=8.5, told=8.75, ended=9.0))
    tally.add(Answered(BROKEN, due=8.0, begun=8.5, told=8.75, ended=9.0))
    assert tally.in_time == 1
    assert arrivals.summary(tally) == {
        "statuses": {"0": 1, "200": 2, "503": 1},
        "waits": pytest.approx({"p50": 2.05, "p99": 2.099}),
        "refusals": {"p50": 0.25, "p99": 0.25},
    }


def test_a_crowd_counts_every_answer_and_uses_a_connection_again() -> None:
    with Tiny(200, 503, 200) as tiny, _crowd(tiny) as (crowd, answers):
        for __ in range(5):
            assert crowd.post(0.0)
            assert arrivals.finish(crowd, 10) == 0
    assert [each.status for each in answers] == [200, 503, 200, 200, 200]
    assert tiny.connections == 1
    assert all(each.begun <= each.told <= each.ended for each in answers)


def test_a_crowd_opens_no_more_connections_than_it_may() -> None:
    with Tiny(200) as tiny, _crowd(tiny) as (crowd, answers):
        assert [crowd.post(0.0) for __ in range(4)] == [True, True, True, False]
        assert arrivals.finish(crowd, 10) == 0
        assert crowd.connections == 3
    assert len(answers) == 3


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    with Tiny(200, closes=True) as tiny, _crowd(tiny) as (crowd, answers):
        for __ in range(3):
            crowd.post(0.0)
            arrivals.finish(crowd, 10)
    assert [each.status for each in answers] == [200, 200, 200]
    assert tiny.connections == 3


def test_a_connection_that_breaks_is_told_from_an_answer() -> None:
    with Tiny(BROKEN, 200) as tiny, _crowd(tiny) as (crowd, answers):
        for __ in range(2):
            crowd.post(0.0)
            arrivals.finish(crowd, 10)
    assert [each.status for each in answers] == [BROKEN, 200]


def test_a_refusal_that_comes_before_the_body_was_sent_is_read() -> None:
    body = bytes(30_000_000)  # more than the system takes from us before the server reads it
    with (
        Tiny(503, reads_bodies=False, closes=True) as tiny,
        _crowd(tiny, body) as (crowd, answers),
    ):
        crowd.post(0.0)
        assert arrivals.finish(crowd, 10) == 0
        assert crowd.connections == 0
    assert [each.status for each in answers] == [503]


def test_a_connection_that_is_refused_is_a_broken_one() -> None:
    answers: list[Answered] = []
    crowd = Crowd((HOST, servers.free_port()), [b"POST"], most=1, on_answer=answers.append)
    crowd.post(0.0)
    assert arrivals.finish(crowd, 10) == 0
    assert [each.status for each in answers] == [BROKEN]
    assert crowd.connections == 0
    crowd.close()


@pytest.mark.parametrize(
    ("module", "options", "sent"),
    [("serving.arrivals", {"rate": 40.0, "seconds": 1.0}, None), ("serving.at_once", {}, 30)],
)
def test_a_script_loads_a_server_and_accounts_for_all_it_sent(
    module: str, options: dict[str, float], sent: int | None, tmp_path: Path
) -> None:
    with Tiny(200, 503, 200) as tiny:
        folder = tmp_path / "messages"
        _messages(folder, tiny.port)
        known = {"messages": folder, "port": tiny.port, "connections": 30}
        found = script(module, threads=1, **known, **options)
    assert found["statuses"]["503"] == 1
    assert sum(found["statuses"].values()) == tiny.requests
    assert tiny.requests == (found["offered"] if sent is None else sent)
    assert found["unanswered"] == 0


# --- Servers ------------------------------------------------------------------------------------

WITH_A_CHILD = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = str(child.pid).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def _start(code: str) -> Start:
    port = servers.free_port()
    return Start([sys.executable, "-c", code, str(port)], port, Asking("/predict"))


def test_a_server_is_watched_with_its_children_and_ended_with_them() -> None:
    with running(_start(WITH_A_CHILD), [PICTURE], ()) as server:
        status, child = server.ask()
        assert status == 200
        assert set(processes.family(server.pid)) == {server.pid, child}
        alone = processes.memory_bytes(server.pid)["resident"]
        assert server.resident() > alone
        assert server.highest() >= server.resident() > 0
        assert server.descriptors() > processes.descriptors(child)
        assert server.processor_seconds() > 0
    assert processes.memory_bytes(server.pid) == {}
    assert processes.memory_bytes(child) == {}


def test_a_server_that_does_not_start_is_quoted() -> None:
    with (
        pytest.raises(Failed, match="the model is lost"),
        running(_start("raise SystemExit('the model is lost')"), [PICTURE], ()),
    ):
        pass


def test_a_peer_that_is_not_installed_is_said_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "LITSERVE_PYTHON", tmp_path / "python")
    with pytest.raises(Failed, match="make bench-serve installs it"):
        servers.litserve(lab.Shop(tmp_path, ""), "pets")


def test_a_process_that_is_gone_takes_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert processes.family(process.pid) == []
    assert processes.memory_bytes(process.pid) == {}
    assert processes.descriptors(process.pid) == 0
    assert processes.processor_seconds(process.pid) == 0


@pytest.fixture
def shop(home: Path) -> lab.Shop:
    """A workspace with a product, and a customer's key."""
    with App(load_settings(home=home, threads=1)) as app:
        app.publishing.publish("pets", "pets")
        __, issued = app.capture.add_customer("Ada")
    return lab.Shop(home, issued.key.reveal())


def _usage(home: Path) -> list[dict[str, Any]]:
    with App(load_settings(home=home)) as app:
        return [each.to_json() for each in app.capture.history.list_usage()]


@pytest.mark.slow
@pytest.mark.parametrize("start", [servers.mintage, servers.unmetered, servers.starlette])
def test_each_server_gives_the_models_own_answer(
    start: Callable[[lab.Shop, str], Start], shop: lab.Shop, trained_home: Path
) -> None:
    picture = (trained_home.parent / "photos/light/003.jpg").read_bytes()
    with running(start(shop, "pets"), [picture], ()) as server:
        status, answer = server.ask()
    assert status == 200
    assert answer.get("output", answer)["label"] == "light"
    metered = start is servers.mintage
    assert bool(_usage(shop.home)) is metered


@pytest.mark.slow
def test_a_bare_predict_and_the_loop_that_is_the_limit_use_the_same_model(
    shop: lab.Shop, trained_home: Path
) -> None:
    photos = trained_home.parent / "photos"
    model = Model(shop.bundle("pets"))
    for label in ("light", "dark"):
        data = (photos / label / "003.jpg").read_bytes()
        assert model.infer([model.decode(data)])[0]["label"] == label
    found = script(
        "ours.in_process",
        threads=1,
        home=shop.home,
        pictures=photos / "light",
        model="pets@1",
        seconds=0.1,
    )
    assert set(found["ways"]) == {"one by one", "in batches", "with Pillow"}
    assert found["rate"] == found["ways"]["one by one"]["rate"] > 0


# --- The page -----------------------------------------------------------------------------------


def _load(rate: float, p50: float = 0.010, p99: float = 0.015, **more: Any) -> dict[str, Any]:
    counted = {"requests": round(10 * rate), "failures": 0, "processor_rate": 1.1 * rate}
    rates = {"16": rate / 2, "32": rate}
    return {"rate": rate, "p50": p50, "p99": p99, "rates": rates, **counted, **more}


def _limit(rate: float) -> dict[str, Any]:
    return {"rate": rate, "ways": {"one by one": {"rate": rate, "processor_rate": 1.1 * rate}}}


def _offer(
    goodput: float, refused: int, p99: float, after: float, highest: float = 220e6
) -> dict[str, Any]:
    return {
        "asked": 10_000.0,
        "offered": 9_800.0,
        "goodput": goodput,
        "unsent": 0,
        "unanswered": 3,
        "statuses": {"200": 9000, "503": refused},
        "waits": {"p50": 0.1, "p99": 0.2},
        "refusals": {"p50": 0.01, "p99": p99} if refused else {},
        "memory": {"before": 200e6, "after": after, "highest": highest},
    }


def _slice(memory: float, p99: float) -> dict[str, Any]:
    return {"rate": 900.0, "failures": 0, "p50": 0.01, "p99": p99, "memory": memory} | {
        "descriptors": 40
    }


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "throughput": {
        "seed-cnn: in-process": [_limit(1500), _limit(1400)],
        "seed-cnn: mintage": [_load(1200), _load(1050)],
        "seed-cnn: mintage, unmetered": [_load(1250), _load(1250)],
        "seed-cnn: litserve": [_load(400), _load(420)],
        "seed-cnn: litserve, batches": [_load(500), _load(525)],
        "seed-cnn: bentoml": [_load(700), _load(600)],
        "seed-cnn: bentoml, batches": [_load(650), _load(550, failures=9)],
        "compact: in-process": [_limit(300)],
        "compact: mintage": [_load(240)],
    },
    "latency": {
        "seed-cnn: 1": [_load(1200, 0.010, 0.015)],
        "seed-cnn: 2": [_load(2000, 0.010, 0.030)],
    },
    "overload": {
        "seed-cnn: peak": [_load(1000)],
        "seed-cnn: 1": [_offer(990, 0, 0.0, 200e6, highest=200e6)],
        "seed-cnn: 2": [_offer(950, 0, 0.0, 200e6)],
        "seed-cnn: 10": [_offer(300, 88_000, 0.07, 230e6)],
    },
    "connections": {
        "seed-cnn": [
            {
                "connections": 10_000,
                "unanswered": 2,
                "statuses": {"0": 5, "200": 293, "503": 9700},
                "refusals": {"p50": 0.1, "p99": 2.5},
                "memory": {"before": 200e6, "after": 300e6, "highest": 400e6},
            }
        ]
    },
    "versions": {
        "seed-cnn: 200 cycles": [
            _load(
                300,
                probes_failed=1,
                longest_switch=1.2,
                memory=[*[100e6] * 9, 200e6, *[200e6] * 189, 208e6],
            )
        ]
    },
    "steady": {
        "seed-cnn: 4 × 60 s": [
            {"slices": [_slice(memory, p99) for memory, p99 in [(2e8, 0.01)] * 3 + [(3e8, 0.01)]]}
        ]
    },
}


@pytest.fixture
def rendered(tmp_path: Path) -> str:
    return page_of(tmp_path, SAMPLES)


@pytest.mark.parametrize(
    ("what", "n", "found", "verdict"),
    [
        (
            "seed-cnn: Mintage, everything on / in-process",
            2,
            "77.5% (75.0% to 80.0%)",
            "at least 75.0% | reached",
        ),
        (
            "compact: Mintage, everything on / in-process",
            1,
            "80.0%",
            "at least 90.0% | **not reached**",
        ),
        (
            "seed-cnn: Mintage / LitServe, batches of 32",
            2,
            "2.20 × (2.00 × to 2.40 ×)",
            "at least 2.00 × | reached",
        ),
        (
            "seed-cnn: Mintage / BentoML, one by one",
            2,
            "1.73 × (1.71 × to 1.75 ×)",
            "at least 2.00 × | **not reached**",
        ),
        ("seed-cnn, 1 worker: p99 / p50", 1, "1.50 ×", "at most 2.00 × | reached"),
        ("seed-cnn, 2 workers: p99 / p50", 1, "3.00 ×", "at most 2.00 × | **not reached**"),
        (
            "seed-cnn, 2 × the peak: answered in time / peak",
            1,
            "95.0%",
            "at least 90.0% | reached",
        ),
        (
            "seed-cnn, 10 × the peak: answered in time / peak",
            1,
            "30.0%",
            "at least 40.0% | **not reached**",
        ),
        (
            "seed-cnn, 10 × the peak: refused after, p99",
            1,
            "70.0 ms",
            "at most 50.0 ms | **not reached**",
        ),
        (
            "seed-cnn, 10 × the peak: memory / at the peak's rate",
            1,
            "1.10 ×",
            "at most 1.05 × | **not reached**",
        ),
        (
            "seed-cnn, 10,000 connections: highest memory",
            1,
            "400 MB",
            "at most 1,000 MB | reached",
        ),
        ("seed-cnn, 10,000 connections: anything else", 1, "7", "none | **not reached**"),
        ("seed-cnn: 200 cycles: failed", 1, "1", "none | **not reached**"),
        (
            "seed-cnn: 200 cycles: memory after the last / after the tenth",
            1,
            "1.04 ×",
            "at most 1.05 × | reached",
        ),
        (
            "seed-cnn: 4 × 60 s: memory, last third / first third",
            1,
            "1.50 ×",
            "at most 1.05 × | **not reached**",
        ),
        (
            "seed-cnn: 4 × 60 s: p99, last third / first third",
            1,
            "1.00 ×",
            "at most 1.10 × | reached",
        ),
    ],
)
def test_the_page_says_what_was_measured_and_whether_it_is_enough(
    rendered: str, what: str, n: int, found: str, verdict: str
) -> None:
    assert f"| {what} | {n} | {found} | {verdict} |" in rendered.splitlines()


def test_the_page_has_a_row_for_each_server_and_what_was_really_offered(rendered: str) -> None:
    rows = rendered.splitlines()
    assert "| compact: in-process, one by one | 300 | | | | | 330 |" in rows
    waits = "10.0 ms (10.0 ms to 10.0 ms) | 15.0 ms (15.0 ms to 15.0 ms)"
    rates = "600 (550 to 650) | 300 (275 to 325), 600 (550 to 650)"
    counted = f"{rates} | {waits} | 9 | 660 (605 to 715)"
    assert f"| seed-cnn: BentoML, batches of 32 | {counted} |" in rows
    offered = "10,000/s | 9,800/s | 9,000 | 88,000 | 0 | 3 | 0 | 100.0 ms, 200.0 ms | 220 MB |"
    assert f"| seed-cnn, 10 × | {offered}" in rows


def test_a_gap_is_named(tmp_path: Path, rendered: str) -> None:
    words = "Two workers are not there yet"
    assert words not in rendered
    (tmp_path / "alone").mkdir()
    alone = {"latency": {"seed-cnn: 1": [_load(1200)]}}
    assert words in page_of(tmp_path / "alone", alone)
