"""Several servers on one PostgreSQL, and a PostgreSQL that goes away under them."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.postgres import Server

from mintage.core.errors import DependencyDown
from mintage.trust.audit import AuditLog

RECORDER = Path(__file__).with_name("killed_recorder.py")
THREADS = 8


@pytest.fixture
def database_url(postgres: Server, monkeypatch: pytest.MonkeyPatch):
    address = postgres.new_database()
    monkeypatch.setenv("MINTAGE_DATABASE_URL", address.get_secret_value())
    yield address
    postgres.give_back(address)


def test_two_servers_that_record_at_once_lose_nothing_and_double_nothing(shop: Any) -> None:
    command = [sys.executable, str(RECORDER), str(shop.workspace.home), shop.key_of("Ada")]
    children = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE) for number in (0, 1)
    ]
    said: list[dict[str, set[str]]] = [{"try": set(), "done": set()} for _ in children]

    def listen(number: int) -> None:
        stream = children[number].stdout
        assert stream is not None
        for line in stream:
            word, event = line.decode().split()
            said[number][word].add(event)

    listeners = [threading.Thread(target=listen, args=(number,)) for number in (0, 1)]
    for listener in listeners:
        listener.start()
    end = time.monotonic() + 60
    while min(len(each["done"]) for each in said) < 200 and time.monotonic() < end:
        time.sleep(0.01)
    for child in children:
        child.send_signal(signal.SIGKILL)
    for listener, child in zip(listeners, children, strict=True):
        listener.join()
        child.communicate()
    tried, done = (said[0][word] | said[1][word] for word in ("try", "done"))
    assert min(len(each["done"]) for each in said) >= 200
    _same_everywhere(shop, tried, done, in_flight=2 * THREADS)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["in order", "as a crash"])
def test_what_was_acknowledged_before_and_after_postgresql_was_restarted_is_recorded(
    shop: Any, postgres: Server, how: signal.Signals
) -> None:
    usage, key = shop.usage(), shop.key_of("Ada")
    tried, done, failed = set(), set(), set()
    over = threading.Event()

    def record(thread: int) -> None:
        for count in itertools.count():
            if over.is_set():
                return
            event = f"{thread}-{count}"
            tried.add(event)
            try:
                ours = shop.usage(permit=usage.permit, origin="client", event_id=event)
                shop.meter.record(ours).result()
            except DependencyDown:
                failed.add(event)
                time.sleep(0.01)
            else:
                done.add(event)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    _until(lambda: len(done) > 100)
    postgres.stop(how)
    try:
        with pytest.raises(DependencyDown):  # also of a key that is known
            shop.gate.admit(key, "pets")
        _until(lambda: len(failed) > 2 * THREADS)
    finally:
        postgres.start()
    before = len(done)
    _until(lambda: len(done) > before + 100)
    over.set()
    for thread in threads:
        thread.join()
    recorded = _same_everywhere(shop, tried, done, in_flight=THREADS)
    for event in sorted(failed)[:20]:  # its id tells whether it was recorded
        ours = shop.usage(permit=usage.permit, origin="client", event_id=event)
        error = shop.meter.record(ours).exception()
        assert (error is not None) == (event in recorded)


def _until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def _same_everywhere(shop: Any, tried: set[str], done: set[str], *, in_flight: int) -> set[str]:
    """Rows, leaves and what was said agree; the ids that were recorded."""
    records = shop.history.list_usage(limit=1_000_000)
    ids = [record.id for record in records]
    recorded = set(ids)
    assert len(ids) == len(recorded)
    assert done <= recorded <= tried
    assert len(recorded - done) <= in_flight
    leaves = shop.leaves("usage")
    assert len(leaves) == len(ids)
    assert AuditLog(shop.database, shop.keys, "test/log").check() == leaves[-1]["position"] + 1
    times = [record.recorded_at for record in reversed(records)]
    assert times == sorted(times)
    return recorded
