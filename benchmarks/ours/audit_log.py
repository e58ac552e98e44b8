"""One step of what is measured of the audit log, by ``step``.

``fill`` a log with entries and sign them; ``append`` batches to it and to a ``small`` one, in
turns; ``prove`` entries and sizes of it, sign one entry more, and verify all.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import Stopwatch, answer, arguments

ORIGIN = "bench.example/log"
_PADDING = "x" * 780


def record_of(number: int) -> dict[str, Any]:
    """About what a usage event comes to: 900 bytes."""
    return {
        "customer": "cus_06h0j7z3w2m8k4n5p9q1r6s0t2",
        "event": f"evt_{number:026d}",
        "number": number,
        "padding": _PADDING,
    }


def seconds_of(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def appended(workspace: Any, first: int, count: int) -> float:
    """Append a batch in one transaction; the seconds until it is durable."""
    from mintage.core.canonical import Spelled
    from mintage.trust import audit

    records = [Spelled.of(record_of(first + number)) for number in range(count)]

    def work(connection: Any) -> None:
        audit.append_all(connection, "usage", records)

    return seconds_of(lambda: workspace.database.write(work))


def log_of(workspace: Any) -> Any:
    from mintage.trust.audit import AuditLog
    from mintage.trust.keys import KeyRing

    return AuditLog(workspace.database, KeyRing(workspace.key_folder), ORIGIN, workspace.clock)


def fill(workspace: Any, asked: Any) -> dict[str, Any]:
    for first in range(0, asked.entries, asked.batch):
        appended(workspace, first, min(asked.batch, asked.entries - first))
    return {"signing": seconds_of(log_of(workspace).tree_head)}


def append(workspace: Any, small: Any, asked: Any) -> dict[str, Any]:
    places = {"many": workspace, "few": small}
    sizes = {name: log_of(place).tree_head().size for name, place in places.items()}
    took: dict[str, list[float]] = {name: [] for name in places}
    for name, place in places.items():  # to warm up
        appended(place, 0, asked.batch)
        took[name].clear()
    for number in range(asked.batches):
        order = list(places) if number % 2 else list(reversed(places))
        for name in order:
            took[name].append(appended(places[name], number * asked.batch, asked.batch))
    return {
        name: {
            "entries": sizes[name],
            "seconds": each,
            "rate": asked.batch * len(each) / sum(each),
        }
        for name, each in took.items()
    }


def prove(workspace: Any, asked: Any) -> dict[str, Any]:
    log, chance = log_of(workspace), random.Random(asked.seed)
    size = log.tree_head().size
    log.inclusion(0)  # to warm up
    inclusion = [
        seconds_of(partial(log.inclusion, chance.randrange(size))) for __ in range(asked.proofs)
    ]
    consistency = [
        seconds_of(partial(log.consistency, chance.randrange(1, size)))
        for __ in range(asked.proofs)
    ]
    appended(workspace, size, 1)
    head = seconds_of(log.tree_head)
    verifying = seconds_of(log.check)
    return {
        "entries": size,
        "inclusion": inclusion,
        "consistency": consistency,
        "head": head,
        "verifying": verifying,
    }


def main() -> None:
    asked = arguments(
        __doc__, "home", small=Path(), step="fill", entries=1, batch=500, batches=40, proofs=200
    )
    watch = Stopwatch(asked.started)
    from mintage.store.workspace import Workspace

    with ExitStack() as stack:
        workspace = stack.enter_context(Workspace(asked.home))
        if asked.step == "fill":
            found = fill(workspace, asked)
        elif asked.step == "append":
            small = stack.enter_context(Workspace(asked.small))
            found = append(workspace, small, asked)
        else:
            found = prove(workspace, asked)
    answer(watch, ("mintage", "sqlalchemy"), **found)


if __name__ == "__main__":
    main()
