from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mintage.capture.metering import DuplicateEvent
from mintage.core.canonical import canonical_json
from mintage.trust.audit import AuditLog

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))
RECORDER = Path(__file__).with_name("killed_recorder.py")
IN_FLIGHT = 8  # its threads


def test_a_killed_process_loses_no_acknowledged_event_and_doubles_none(shop: Any) -> None:
    key = shop.key_of("Ada")
    tried: set[str] = set()
    for number in range(ROUNDS):
        said = _record_and_kill(shop, key, number)
        tried |= said["try"]
        recorded = {record.id for record in _all(shop) if record.id.startswith(f"{number}-")}
        assert said["done"] <= recorded <= said["try"]
        assert len(recorded - said["done"]) <= IN_FLIGHT
        for event in sorted(said["try"]):
            _replay(shop, event, was_recorded=event in recorded)
    records = _all(shop)
    assert len(records) == len(tried)
    assert {record.id for record in records} == tried
    assert shop.history.summary(shop.customers.find("Ada").id).events == len(tried)
    leaves = [leaf["record"] for leaf in shop.leaves("usage")]
    listed = [record.to_json() | {"kind": "usage"} for record in reversed(records)]
    assert leaves == [canonical_json(event) for event in listed]
    assert AuditLog(shop.database, shop.keys, "test/log").check() == len(leaves) + 3


def _record_and_kill(shop: Any, key: str, number: int) -> dict[str, set[str]]:
    enough = random.Random(number).randrange(1, 120)
    said: dict[str, set[str]] = {"try": set(), "done": set()}
    command = [sys.executable, str(RECORDER), str(shop.workspace.home), key, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, event = line.decode().split()
            said[word].add(event)
            if len(said["done"]) == enough:
                child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert len(said["done"]) >= enough
    return said


def _replay(shop: Any, event: str, *, was_recorded: bool) -> None:
    usage = shop.usage(origin="client", event_id=event)
    if was_recorded:
        with pytest.raises(DuplicateEvent):
            shop.meter.record(usage).result()
    else:
        assert shop.meter.record(usage).result().event_id == event


def _all(shop: Any) -> list[Any]:
    return list(shop.history.list_usage(limit=1_000_000))
