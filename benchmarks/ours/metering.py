"""Callers that each record one usage after another through ``UsageMeter`` and wait for receipts.

With ``signed`` each has its receipt signed, as an answer that carries it has.

They are threads, shared by so many processes on one workspace; all begin when the last is ready.
What happens in the first ``warm_up`` seconds is not counted.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

from benchmarks.billing.callers import Callers, together
from benchmarks.stopwatch import Stopwatch, answer, arguments


def usage_of(workspace: Any, key: str, product: str = "pets") -> Any:
    """What a server says of a call that was answered."""
    from mintage.capture.gate import KeyGate
    from mintage.core.types import ProviderInfo, Usage

    return Usage(
        permit=KeyGate(workspace.database, workspace.clock).admit(key, product),
        provider=ProviderInfo(product, "1", "b" * 64, "class", "image"),
        alias="stable",
        outcome="ok",
        quantities={"image": 1},
        input_sha256="1" * 64,
        output_sha256="2" * 64,
        latency_seconds=0.0125,
        compute_seconds=0.0071,
        probability=0.93,
    )


def _part(home: Any, key: str, callers: Callers, signed: int, barrier: Any, results: Any) -> None:
    """One process's callers."""
    from mintage.capture.metering import UsageMeter
    from mintage.store.workspace import Workspace
    from mintage.trust.keys import KeyRing

    with Workspace(home) as workspace:
        meter = UsageMeter(workspace.database, KeyRing(workspace.key_folder), workspace.clock)
        usage = usage_of(workspace, key)

        def call() -> None:
            receipt = meter.record(usage).result()
            if signed:
                _ = receipt.envelope

        call()
        barrier.wait()
        results.put(callers.run(call))


def main() -> None:
    asked = arguments(__doc__, "home", processes=1, signed=0, callers=64, seconds=10.0, warm_up=2.0)
    watch = Stopwatch(asked.started)
    from mintage.capture.customers import Customers
    from mintage.store.workspace import Workspace
    from mintage.trust.keys import KeyRing

    with Workspace(asked.home) as workspace:
        KeyRing(workspace.key_folder)
        customers = Customers(workspace.database, workspace.clock)
        key = customers.issue_key(customers.list()[0].id).key.reveal()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(asked.processes), context.Queue()
    each = Callers(asked.callers // asked.processes, asked.seconds, asked.warm_up)
    members = [
        context.Process(target=_part, args=(asked.home, key, each, asked.signed, barrier, results))
        for __ in range(asked.processes)
    ]
    for member in members:
        member.start()
    found = [results.get() for __ in members]
    for member in members:
        member.join()
    answer(watch, ("mintage", "sqlalchemy"), **together(found))


if __name__ == "__main__":
    main()
