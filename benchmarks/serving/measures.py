"""What each cell of ``make bench-serve`` does: a server, its load, and what is counted."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

from benchmarks import cells
from benchmarks.common import Failed, Result, script
from benchmarks.common import mintage as verb
from benchmarks.serving import servers
from benchmarks.serving.crowd import BROKEN
from benchmarks.serving.lab import Lab, Shop
from benchmarks.serving.servers import Server, Start, has, running
from benchmarks.serving.wrk import Wrk

Turn: TypeAlias = cells.Turn[Lab]

OPEN_LOOP_CONNECTIONS = 4000
SPARE_DESCRIPTORS = 1000
_LOAD_CONNECTIONS = 4
_SWITCH_SECONDS = 30.0
_WHOLE_DAY = 86_400.0
_OF_A_SLICE = ("rate", "failures", "p50", "p99")


def server_cores(workers: int = 1) -> list[int]:
    """The first cores of those we may use, one for each worker."""
    return sorted(os.sched_getaffinity(0))[:workers]


def load_cores() -> list[int]:
    """The last one, for whoever loads the server."""
    return sorted(os.sched_getaffinity(0))[-1:]


@contextmanager
def loaded(
    turn: Turn, start: Callable[[Shop], Start], workers: int = 1
) -> Iterator[tuple[Server, Shop]]:
    """A warm server in a workspace of its own."""
    lab = turn.lab
    with lab.shop() as shop, running(start(shop), lab.pictures, server_cores(workers)) as server:
        with _wrk(server, lab, lab.scale.warm_up_seconds) as load:
            load.result()
        yield server, shop


def _wrk(server: Server, lab: Lab, seconds: float, connections: int = 0) -> Wrk:
    """A load of wrk that has just begun."""
    return Wrk(
        server.messages,
        server.start.port,
        seconds=seconds,
        connections=connections or lab.scale.connections,
        cores=load_cores(),
    )


def in_process(turn: Turn, *, product: str) -> Result:
    """Decode and infer in a loop, on the core that the servers get."""
    lab = turn.lab
    with lab.shop() as shop:
        return script(
            "ours.in_process",
            threads=1,
            on=server_cores(),
            home=shop.home,
            pictures=lab.picture_folder,
            model=f"{product}@1",
            seconds=float(lab.scale.seconds),
        )


def served(
    turn: Turn,
    *,
    start: Callable[[Shop, str], Start],
    product: str,
    workers: int = 1,
    connections: Sequence[int] = (),
) -> Result:
    """What wrk counts, with the number of connections at which it counts most answers.

    ``processor_rate`` is the answers for each second of the processor, of all the server's
    processes, and says more than the rate where others are busy; ``rates`` has each number's rate.
    """
    with loaded(turn, lambda shop: start(shop, product), workers) as (server, __):
        found = [
            _counted(turn, server, number)
            for number in connections or (turn.lab.scale.connections,)
        ]
        versions = dict(server.start.versions)
    best = max(found, key=lambda one: float(one["rate"]))
    rates = {str(one["connections"]): one["rate"] for one in found}
    failures = sum(one["failures"] for one in found)
    return {**best, "failures": failures, "rates": rates, "versions": versions}


def _counted(turn: Turn, server: Server, connections: int) -> Result:
    used = server.processor_seconds()
    with _wrk(server, turn.lab, turn.lab.scale.seconds, connections) as load:
        found = load.result()
    used = server.processor_seconds() - used
    by_processor = round(found["rate"] * found["seconds"] / max(used, 0.01), 2)
    return {**found, "connections": connections, "processor_rate": by_processor}


def arrivals(turn: Turn, *, product: str, times: float) -> Result:
    """An open loop at a multiple of what wrk got just before, with the same seed."""
    asked = times * turn.earlier[f"{product}: peak"]["rate"]
    seconds = float(turn.lab.scale.seconds)
    load = partial(script, "serving.arrivals", rate=float(asked), seconds=seconds)
    return {**_crowded(turn, product, load, OPEN_LOOP_CONNECTIONS), "asked": round(asked, 2)}


def crowd(turn: Turn, *, product: str) -> Result:
    """Connections that are all open before each posts once."""
    return _crowded(turn, product, partial(script, "serving.at_once"), turn.lab.scale.crowd)


def _crowded(turn: Turn, product: str, load: Callable[..., Result], most: int) -> Result:
    """What a script of ours counts at up to so many connections, and the server's memory."""
    with (
        descriptors(most + SPARE_DESCRIPTORS),
        loaded(turn, lambda shop: servers.mintage(shop, product)) as (server, __),
    ):
        before = server.resident()
        found = load(
            threads=1,
            on=load_cores(),
            messages=server.messages[0].parent,
            port=server.start.port,
            connections=most,
        )
        memory = {"before": before, "after": server.resident(), "highest": server.highest()}
    return {**found, "memory": memory}


@contextmanager
def descriptors(needed: int) -> Iterator[None]:
    """Let processes that are started now open so many files at least."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def versions(turn: Turn, *, product: str, cycles: int) -> Result:
    """The second version and back, so many times, while a few connections never stop asking.

    A cycle ends when the first version answers again; memory is read after each.
    """
    memory, asked, switches = [], [], []
    with (
        loaded(turn, lambda shop: servers.mintage(shop, product)) as (server, shop),
        _wrk(server, turn.lab, _WHOLE_DAY, _LOAD_CONNECTIONS) as load,
    ):
        for __ in range(cycles):
            for version in ("2", "1"):
                _point(shop, product, version)
                began = time.monotonic()
                asked += _until(server, version)
                switches.append(time.monotonic() - began)
            memory.append(server.resident())
        load.stop()
        found = load.result()
    return {
        **found,
        "cycles": cycles,
        "probes": len(asked),
        "probes_failed": sum(status != 200 for status in asked),
        "longest_switch": round(max(switches), 3),
        "memory": memory,
    }


def _point(shop: Shop, product: str, version: str) -> None:
    """Publish the version, or go back to it where there is a verb for that."""
    if version == "1" and has("rollback"):
        verb(shop.home, "rollback", product)
    else:
        verb(shop.home, "publish", f"{product}@{version}", "--product", product)


def _until(server: Server, version: str) -> list[int]:
    """Ask until this version answers: the statuses of all that was asked."""
    statuses: list[int] = []
    end = time.monotonic() + _SWITCH_SECONDS
    while time.monotonic() < end:
        try:
            status, answer = server.ask()
        except OSError:
            status, answer = BROKEN, None
        statuses.append(status)
        if status == 200 and str(answer["model_version"]) == version:
            return statuses
        time.sleep(0.05)
    raise Failed(f"Version {version} did not answer within {_SWITCH_SECONDS:.0f} s of its turn.")


def steady(turn: Turn, *, product: str, slices: int, slice_seconds: float) -> Result:
    """The same load, slice after slice, each looked at in its middle."""
    found = []
    with loaded(turn, lambda shop: servers.mintage(shop, product)) as (server, __):
        for ___ in range(slices):
            with _wrk(server, turn.lab, slice_seconds) as load:
                time.sleep(slice_seconds / 2)
                seen = {"memory": server.resident(), "descriptors": server.descriptors()}
                counted = load.result()
            found.append({name: counted[name] for name in _OF_A_SLICE} | seen)
    return {"slices": found, "slice_seconds": slice_seconds}
