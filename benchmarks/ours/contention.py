"""Callers of one customer: each reserves, records a usage and waits for its receipt, in turn.

``kind`` is what limits the customer: ``unlimited`` reserves nothing, as no call of such a plan
does; ``limited`` has a hard limit, ``prepaid`` credit. At first a limit of ``exactly`` units is
called for twice as often, and how many calls were answered is counted; then, with a limit that
nobody reaches, calls are measured: as many as go, or ``rate`` a second of all together. What
happens in the first ``warm_up`` seconds is not counted.

They are threads, shared by so many processes on one workspace; all begin when the last is ready.
"""

from __future__ import annotations

import itertools
import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.billing.callers import Callers, together
from benchmarks.ours.metering import usage_of
from benchmarks.stopwatch import Stopwatch, answer, arguments

_MANY = 10**9
_LEASE_SECONDS = 60.0
_PRICE = "0.01"


def _agree(workspace: Any, kind: str, units: int) -> str:
    """A plan that lets a new customer have so many units, and a key of theirs."""
    from mintage.capture.customers import Customers
    from mintage.capture.limits.prepaid import Credits
    from mintage.capture.plans import Plans
    from mintage.capture.pricing.charges import Charge, Tier
    from mintage.capture.pricing.terms import Terms
    from mintage.capture.subscriptions import Subscriptions
    from mintage.core.money import Money
    from mintage.trust.keys import KeyRing

    database, clock = workspace.database, workspace.clock
    customers, name = Customers(database, clock), f"{kind} {units}"
    hard = units if kind == "limited" else None
    charge = Charge("image", (Tier(_PRICE),), hard_limit=hard)
    plan = f"{kind}-{units}"
    plans = Plans(database, clock, KeyRing(workspace.key_folder))
    plans.agree(plan, Terms("EUR", (charge,), prepaid=kind == "prepaid"))
    customers.add(name)
    if kind == "prepaid":
        Credits(database, clock).add(
            name, Money(units * 10_000_000, "EUR"), provider="manual", reference=name
        )
    Subscriptions(database, clock).begin(name, plan)
    return str(customers.issue_key(name).key.reveal())


def _caller(workspace: Any, key: str) -> Callable[[], bool]:
    """One call; whether it was let through."""
    from mintage.capture.limits.holds import Holds
    from mintage.capture.metering import UsageMeter
    from mintage.core.errors import AccountError
    from mintage.trust.keys import KeyRing

    meter = UsageMeter(workspace.database, KeyRing(workspace.key_folder), workspace.clock)
    holds = Holds(workspace.database, workspace.clock, _LEASE_SECONDS)
    usage = usage_of(workspace, key)

    def call() -> bool:
        hold = None
        if usage.permit.held:
            try:
                hold = holds.reserve(usage.permit, usage.quantities).result()
            except AccountError:
                return False
        meter.record(replace(usage, hold=hold)).result()
        return True

    return call


def _answered(call: Callable[[], bool], threads: int, tries: int) -> int:
    """How many of so many calls were let through, made by all threads at once."""
    numbers, found = itertools.count(), [0] * threads
    begin = threading.Barrier(threads)

    def one(place: int) -> None:
        begin.wait()
        while next(numbers) < tries:
            found[place] += call()

    members = [threading.Thread(target=one, args=(place,)) for place in range(threads)]
    for member in members:
        member.start()
    for member in members:
        member.join()
    return sum(found)


def _part(home: Any, keys: tuple[str, str], asked: Any, barrier: Any, results: Any) -> None:
    """One process's callers."""
    from mintage.store.workspace import Workspace

    threads = asked.callers // asked.processes
    with Workspace(home) as workspace:
        tight, wide = (_caller(workspace, key) for key in keys)
        barrier.wait()
        answered = _answered(tight, threads, 2 * asked.exactly)
        every = asked.callers / asked.rate if asked.rate else 0.0
        barrier.wait()
        found = Callers(threads, asked.seconds, asked.warm_up, every).run(wide)
        results.put((answered, found))


def main() -> None:
    asked = arguments(
        __doc__,
        "home",
        kind="limited",
        exactly=50,
        rate=0,
        processes=1,
        callers=64,
        seconds=10.0,
        warm_up=2.0,
    )
    watch = Stopwatch(asked.started)
    from mintage.store.workspace import Workspace
    from mintage.trust.keys import KeyRing

    with Workspace(asked.home) as workspace:
        KeyRing(workspace.key_folder)
        keys = tuple(_agree(workspace, asked.kind, units) for units in (asked.exactly, _MANY))
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(asked.processes), context.Queue()
    members = [
        context.Process(target=_part, args=(asked.home, keys, asked, barrier, results))
        for __ in range(asked.processes)
    ]
    for member in members:
        member.start()
    found = [results.get() for __ in members]
    for member in members:
        member.join()
    answered = sum(each for each, __ in found)
    counted = together([part for __, part in found])
    answer(watch, ("mintage", "sqlalchemy"), answered=answered, exactly=asked.exactly, **counted)


if __name__ == "__main__":
    main()
