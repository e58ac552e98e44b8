"""Decoding in processes of their own: the same pixels, and nothing but that call is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.corpus.makers import png
from tests.pictures import encoded, jpeg, noise

from mintage.core.clock import thread_seconds
from mintage.core.errors import DataError, DependencyDown
from mintage.core.registry import modalities
from mintage.core.types import InputSpec
from mintage.modalities import apart
from mintage.modalities.apart import Decoders

SPEC = InputSpec("image", 28)

# In place of the decoder: what somebody could do who has taken such a process over.
INTRUDER = """
import json, os, socket, sys, time
from pathlib import Path
from mintage.core import registry
from mintage.core.errors import DataError
from mintage.modalities import apart

class Intruder:
    def decode(self, data, spec):
        what = data.decode()
        if what == "spin":
            while True:
                pass
        if what == "sleep":
            time.sleep(60)
        if what == "allocate":
            bytearray(2_000_000_000)
        if what == "crash":
            os.abort()
        if what == "lie":
            import numpy
            return numpy.zeros((1, 1, 3), numpy.uint8)
        found = {"environment": sorted(os.environ), "open": []}
        for each in sorted(os.listdir("/proc/self/fd")):
            try:
                found["open"].append(os.readlink(f"/proc/self/fd/{each}").split(":")[0])
            except OSError:
                pass
        try:
            Path(what).write_text("x" * 100)
            found["wrote"] = True
        except OSError as error:
            found["wrote"] = False
        try:
            if not os.fork():
                os._exit(0)
            found["forked"] = os.geteuid() != 0
        except OSError:
            found["forked"] = False
        raise DataError(json.dumps(found))

registry.modalities().register("intruder", Intruder)
apart.work(int(sys.argv[1]))
"""


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    made = Decoders(1)
    yield made
    made.close()


@pytest.fixture
def intruder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Decoders]:
    monkeypatch.setattr(apart, "_PROGRAM", INTRUDER)
    monkeypatch.setattr(apart, "_WAIT_SECONDS", 5.0)
    made = Decoders(1, memory_bytes=200_000_000, seconds=1)
    yield made
    made.close()


def test_pixels_are_those_of_the_same_function_here(decoders: Decoders) -> None:
    here = modalities().get("image")
    for data in (
        jpeg(0, (300, 200)),
        jpeg(1, (40, 30)),
        encoded(noise(2), "PNG"),
        encoded(noise(3), "WEBP"),
    ):
        found = decoders.decode("image", data, SPEC)
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert (found == here.decode(data, SPEC)).all()


def test_the_time_it_takes_there_counts_as_its_callers(decoders: Decoders) -> None:
    decoders.decode("image", jpeg(), SPEC)
    before, mine = thread_seconds(), time.thread_time()
    decoders.decode("image", encoded(noise(0, (3000, 3000)), "PNG"), SPEC)
    mine = time.thread_time() - mine
    assert thread_seconds() - before > mine + 0.02  # nine megapixels of PNG


@pytest.mark.parametrize("data", [b"", b"hello", jpeg()[:200], encoded(noise(), "GIF")])
def test_what_is_refused_is_refused_in_the_same_words(decoders: Decoders, data: bytes) -> None:
    with pytest.raises(DataError) as here:
        modalities().get("image").decode(data, SPEC)
    with pytest.raises(DataError) as there:
        decoders.decode("image", data, SPEC)
    assert (str(there.value.message), str(there.value.remedy)) == (
        str(here.value.message),
        str(here.value.remedy),
    )


def test_a_picture_that_needs_more_memory_than_is_given_costs_itself_alone() -> None:
    small = Decoders(1, memory_bytes=20_000_000)
    large = png(7000, 7000, 8, 2, b"\0" * 21_001 * 7000)
    with pytest.raises(DataError, match="more memory or time"):
        small.decode("image", large, SPEC)
    assert small.decode("image", jpeg(), SPEC).shape == (28, 28, 3)
    small.close()


def test_the_largest_picture_that_is_read_is_read_there_too(decoders: Decoders) -> None:
    large = png(8000, 8000, 8, 6, b"\0" * 32_001 * 8000)
    assert decoders.decode("image", large, SPEC).shape == (28, 28, 3)


@pytest.mark.parametrize("what", ["spin", "sleep", "allocate", "crash", "lie"])
def test_whatever_becomes_of_the_process_the_call_is_refused_and_the_next_answered(
    intruder: Decoders, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataError, match="more memory or time") as refused:
        intruder.decode("intruder", what.encode(), SPEC)
    assert refused.value.remedy
    assert "another takes its place" in caplog.text
    assert intruder.decode("image", jpeg(), SPEC).shape == (28, 28, 3)


def test_whoever_takes_it_over_finds_no_key_and_no_file_and_can_begin_nothing(
    intruder: Decoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_STRIPE_KEY", "sk_live_secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with (tmp_path / "database").open("wb"), pytest.raises(DataError) as told:
        intruder.decode("intruder", str(tmp_path / "written").encode(), SPEC)
    found = json.loads(str(told.value.message))
    assert not [name for name in found["environment"] if "MINTAGE" in name or "SECRET" in name]
    assert {each for each in found["open"] if not each.startswith("/proc")} <= {
        "/dev/null",
        "socket",
    }
    assert not found["wrote"]
    assert not found["forked"]


def test_where_the_system_refuses_a_bound_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = "from mintage.modalities import apart; apart._limit = lambda *_: False; "
    monkeypatch.setattr(apart, "_PROGRAM", refusing + "import sys; apart.work(int(sys.argv[1]))")
    made = Decoders(1)
    assert made.decode("image", jpeg(), SPEC).shape == (28, 28, 3)
    assert "not bounded in ['CORE', 'FSIZE', 'NPROC', 'AS']" in caplog.text
    made.close()


def test_one_that_died_while_it_waited_is_no_pictures_fault(decoders: Decoders) -> None:
    decoders.decode("image", jpeg(), SPEC)
    (child,) = list(decoders._free.queue)
    assert child is not None
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    assert decoders.decode("image", jpeg(), SPEC).shape == (28, 28, 3)


def test_many_threads_share_a_few_processes() -> None:
    few = Decoders(2)
    data = [jpeg(seed) for seed in range(24)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda each: few.decode("image", each, SPEC), data))
    here = modalities().get("image")
    assert all((a == here.decode(b, SPEC)).all() for a, b in zip(found, data, strict=True))
    few.close()


def test_they_end_with_whoever_began_them() -> None:
    made = Decoders(1)
    made.decode("image", jpeg(), SPEC)
    (child,) = list(made._free.queue)
    assert child is not None
    child.line.close()
    assert child.process.wait(10) is not None
    made.close()


def test_where_none_can_be_begun_the_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_PROGRAM", "raise SystemExit(1)")
    made = Decoders(1)
    for __ in range(2):  # and its place is not lost
        with pytest.raises(DependencyDown):
            made.decode("image", jpeg(), SPEC)
    assert threading.active_count() < 50
