from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mintage.capture.limits.prepaid import Credits
from mintage.capture.limits.standing import Standings
from mintage.capture.metering import DuplicateEvent
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import canonical_json
from mintage.core.money import NANOS, Money
from mintage.trust.audit import AuditLog

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))
RECORDER = Path(__file__).with_name("killed_recorder.py")
IN_FLIGHT = 8  # its threads
MOST = 60


@pytest.mark.parametrize("durability", ["flush", "process"])
def test_a_killed_process_loses_no_acknowledged_event_and_doubles_none(
    shop: Any, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_DURABILITY", durability)
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
    listed = [record.logged() | {"kind": "usage"} for record in reversed(records)]
    assert leaves == [canonical_json(event) for event in listed]
    assert AuditLog(shop.database, shop.keys, "test/log").check() == len(leaves) + 3


def test_invoices_counts_and_credit_are_what_a_killed_process_recorded(shop: Any) -> None:
    """Of three customers: one pays afterwards, one in advance, and one may call so often."""
    plain = Charge.plain("image", "0.02")
    shop.plans.agree("advance", Terms("EUR", (plain,), prepaid=True))
    shop.plans.agree("bounded", Terms("EUR", (replace(plain, hard_limit=MOST),)))
    keys = [shop.key_of(name) for name in ("Ada", "Bo", "Cy")]
    shop.clock.moment = begun = datetime.now(UTC)  # the other process has the real clock
    shop.subscriptions.begin("Bo", "advance")
    shop.subscriptions.begin("Cy", "bounded")
    bank = Credits(shop.database, shop.clock)
    bank.add("Bo", Money.parse("10", "EUR"), provider="manual", reference="bank-1")
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        acknowledged |= _record_and_kill(shop, ",".join(keys), number)["done"]
    shop.clock.moment = datetime.now(UTC)
    # A server may still be committing what a process that is gone had asked for: writes take turns.
    shop.database.write(lambda connection: None)
    recorded = _all(shop)
    assert acknowledged <= {record.id for record in recorded}
    count = Counter(record.customer for record in recorded)
    ada, bo, cy = (count[shop.customers.find(name).id] for name in ("Ada", "Bo", "Cy"))
    _check_counts(shop, bo, cy)
    month = Period.containing(begun, "UTC")
    shop.clock.moment = month.following.following.bounds("UTC")[0]
    invoices = [
        shop.invoices.issue(draft.id)
        for each in (month, month.following)
        for draft in shop.invoices.run(each).drafted
    ]
    units: Counter[str] = Counter()
    for invoice in invoices:
        for line in invoice.document["lines"]:
            units[invoice.customer] += line.get("units", 0)
    assert units == count
    assert min(ada, bo) > 0
    bank.check()
    assert shop.rollup.check() == len(recorded)


def _check_counts(shop: Any, bo: int, cy: int) -> None:
    """Nothing that died holds anything for longer than its lease, and nothing was counted twice."""
    left = Credits(shop.database, shop.clock).balances("Bo")[0].left
    assert left == Money(10 * NANOS - bo * NANOS // 50, "EUR")
    standing = Standings(shop.database, shop.clock)
    (limit,) = [each for each in standing.of("Cy")["limits"] if each["plan"] == "bounded"]
    assert limit["used"] == cy <= MOST
    assert limit["used"] + limit["held"] <= MOST
    shop.clock.advance(3601)
    (limit,) = [each for each in standing.of("Cy")["limits"] if each["plan"] == "bounded"]
    assert limit["held"] == 0


def _record_and_kill(shop: Any, key: str, number: int) -> dict[str, set[str]]:
    before, enough = _backends(shop), random.Random(number).randrange(1, 120)
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
    # What the killed process had asked PostgreSQL to commit is committed yet, however late.
    deadline = time.monotonic() + 60
    while _backends(shop) - before:
        assert time.monotonic() < deadline, "a server process never noticed"
        time.sleep(0.02)
    return said


def _backends(shop: Any) -> set[int]:
    """The server's processes that work on this database; none where there is no server."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    with shop.database.read() as connection:
        if connection.dialect.name != "postgresql":
            return set()
        return set(connection.execute(text(asked)).scalars())


def _replay(shop: Any, event: str, *, was_recorded: bool) -> None:
    usage = shop.usage(origin="client", event_id=event)
    if was_recorded:
        with pytest.raises(DuplicateEvent):
            shop.meter.record(usage).result()
    else:
        assert shop.meter.record(usage).result().event_id == event


def _all(shop: Any) -> list[Any]:
    return list(shop.history.list_usage(limit=1_000_000))
