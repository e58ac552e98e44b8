"""A workspace with so many usage events of three months, inserted in bulk; nothing is measured.

A thousand customers use two products: the first of them a great deal, the last a little (the
weight of the n-th is 1/n). A third has begun a plan with a fee and tiers, a third one by volume,
and the others call at the product's own price. Every 20th call failed, every 50th was explained
too. Half of the customers got the second version of a model in the second month. The events are
those that ``Meter`` would have written, and so are their leaves on the log, but for their salt,
which is the same in all: an invoice is issued once each event was held against its own.
"""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.billing.calendar import BEGINS, ENDS, StillClock
from benchmarks.stopwatch import Stopwatch, answer, arguments

PORTION = 500_000
SLOTS = 100_003
_FILL = """
WITH RECURSIVE counted(n) AS (
    SELECT :first UNION ALL SELECT n + 1 FROM counted WHERE n < :last
), placed AS (
    SELECT n, (n * 7919) % :slots AS slot, n % 97 AS mixed, :begins + (n - 1) * :step AS moment
    FROM counted
)
INSERT INTO usage_events SELECT
    n, who.customer, 'api', printf('evt_%026d', n), printf('rcp_%026d', n), who.api_key,
    product, 'stable', product, CASE WHEN who.late AND moment > :changed THEN '2' ELSE '1' END,
    :digest, CASE WHEN n % 20 = 7 THEN 'error' ELSE 'ok' END,
    CASE WHEN n % 50 = 3 THEN '{"explanation":1,"image":1}' ELSE '{"image":1}' END,
    printf('%064x', n), printf('%064x', n * 31), (500 + mixed * 5) / 1000.0, 0,
    0.004 + mixed / 20000.0, 0.002 + mixed / 40000.0, who.plan, 1,
    CASE WHEN n % 20 = 7 THEN '0' ELSE '0.02' END, 'EUR', 1, '', 0, '',
    strftime('%Y-%m-%dT%H:%M:%f', moment, 'unixepoch') || '000Z', n + :leaves
FROM (SELECT *, CASE WHEN n % 3 = 1 THEN 'birds' ELSE 'pets' END AS product FROM placed)
JOIN chosen USING (slot) JOIN who USING (customer)
"""

LEAVES_TOGETHER = 10_000
_LEAF = "INSERT INTO log_leaves (position, kind, record, salt, leaf_hash) VALUES (?, ?, ?, ?, ?)"


def main() -> None:
    asked = arguments(__doc__, "home", events=1_000_000, customers=1_000)
    watch = Stopwatch(asked.started)
    from mintage.store.workspace import Workspace

    with Workspace(asked.home, StillClock(BEGINS)) as workspace:
        who = _customers(workspace, asked.customers)
        _products(workspace)
    watch.lap("customers")
    path = Path(asked.home) / "mintage.db"
    _fill(path, who, asked.events)
    watch.lap("events")
    answer(watch, ("mintage",), events=asked.events, size_bytes=path.stat().st_size)


def _customers(workspace: Any, count: int) -> list[tuple[str, str, str, bool]]:
    """``customer, api_key, plan, late`` of each: those that gets the second version are late."""
    from mintage.capture.customers import Customers
    from mintage.capture.plans import Plans
    from mintage.capture.pricing.charges import Charge, Tier
    from mintage.capture.pricing.terms import Late, Terms
    from mintage.capture.subscriptions import Subscriptions
    from mintage.trust.keys import KeyRing

    plans = Plans(workspace.database, workspace.clock, KeyRing(workspace.key_folder))
    extra = Charge.plain("explanation", "0.01")
    late = Late(grace_days=1)
    tiers = (Tier("0.02", 1000), Tier("0.015", 10_000), Tier("0.01"))
    for name, charge, fee in (
        ("standard", Charge.plain("image", "0.02"), "0"),
        ("gold", Charge("image", tiers, "graduated", included=100), "29"),
        ("bulk", Charge("image", tiers, "volume"), "0"),
    ):
        plans.agree(name, Terms("EUR", (charge, extra), fee=fee, late=late))
    customers = Customers(workspace.database, workspace.clock)
    begun = Subscriptions(workspace.database, workspace.clock)
    found = []
    for number in range(count):
        customer = customers.add(f"Customer {number + 1:04d}")
        plan = ("standard", "gold", "bulk")[number % 3]
        if plan != "standard":
            begun.begin(customer.id, plan)
        found.append((customer.id, f"key_{number:022d}", plan, number % 2 == 0))
    return found


def _products(workspace: Any) -> None:
    from sqlalchemy import insert

    from mintage.core.clock import timestamp
    from mintage.store.schema import products

    now = timestamp(BEGINS)
    rows = [
        {"name": name, "model": name, "plan": "standard", "created_at": now}
        for name in ("pets", "birds")
    ]
    workspace.database.write(lambda connection: connection.execute(insert(products), rows) and None)


def _fill(path: Path, who: list[tuple[str, str, str, bool]], events: int) -> None:
    span = (ENDS - BEGINS - timedelta(minutes=1)).total_seconds()
    values: dict[str, Any] = {
        "slots": SLOTS,
        "begins": BEGINS.timestamp(),
        "step": span / max(1, events),
        "changed": (BEGINS + timedelta(days=31)).timestamp(),
        "digest": "b" * 64,
    }
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-400000")
    (last_leaf,) = connection.execute(
        "SELECT coalesce(max(position), -1) FROM log_leaves"
    ).fetchone()
    values |= {"leaves": last_leaf}
    connection.execute("CREATE TEMP TABLE who (customer PRIMARY KEY, api_key, plan, late)")
    connection.executemany("INSERT INTO who VALUES (?, ?, ?, ?)", who)
    connection.execute("CREATE TEMP TABLE chosen (slot INTEGER PRIMARY KEY, customer)")
    connection.executemany("INSERT INTO chosen VALUES (?, ?)", enumerate(_slots(who)))
    for first in range(1, events + 1, PORTION):
        last = min(events, first + PORTION - 1)
        connection.execute(_FILL, values | {"first": first, "last": last})
        _add_leaves(connection, first, last)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _add_leaves(connection: sqlite3.Connection, first: int, last: int) -> None:
    from mintage.capture.logged.records import COLUMNS, record_of
    from mintage.trust.audit import leaf_of

    columns = ", ".join([*COLUMNS, "log_position"])
    events = connection.execute(
        f"SELECT {columns} FROM usage_events WHERE sequence BETWEEN ? AND ?",
        (first, last),
    )
    connection.execute("BEGIN")
    while rows := events.fetchmany(LEAVES_TOGETHER):
        leaves = []
        for row in rows:
            record, salt = record_of(row), bytes(16)
            leaves.append((row[-1], "usage", record, salt, leaf_of(record, salt)))
        connection.executemany(_LEAF, leaves)
    connection.execute("COMMIT")


def _slots(who: list[tuple[str, str, str, bool]]) -> list[str]:
    """As many customers as there are slots, the n-th by a weight of 1/n, and each once."""
    total = sum(1 / (place + 1) for place in range(len(who)))
    found: list[str] = []
    for place, (customer, *__) in enumerate(who):
        found += [customer] * max(1, int(SLOTS / (place + 1) / total))
    return (found + [who[0][0]] * SLOTS)[:SLOTS]


if __name__ == "__main__":
    main()
