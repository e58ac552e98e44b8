"""The cells of ``make bench-serve``: which servers are loaded beside one another, how often."""

from __future__ import annotations

import resource
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from benchmarks import cells
from benchmarks.common import cores
from benchmarks.serving import servers, wrk
from benchmarks.serving.lab import PRODUCTS, Lab, Scale, Shop
from benchmarks.serving.measures import (
    OPEN_LOOP_CONNECTIONS,
    SPARE_DESCRIPTORS,
    arrivals,
    crowd,
    in_process,
    served,
    steady,
    versions,
)
from benchmarks.serving.servers import Start, has

Side: TypeAlias = cells.Side[Lab]
Cell: TypeAlias = cells.Cell[Lab]

_START_SECONDS = 8.0


def _missing() -> str:
    """Why no server can be measured here."""
    if cores() < 2:
        return "server and load need a core each, and there is one"
    return wrk.missing()


def _missing_for(connections: int) -> str:
    """Why so many connections cannot be had here."""
    needed = connections + SPARE_DESCRIPTORS
    __, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = hard != resource.RLIM_INFINITY and hard < needed
    return _missing() or (f"a process may open {hard:,} files, not {needed:,}" if few else "")


WHO: dict[str, Callable[[Shop, str], Start]] = {
    "mintage": servers.mintage,
    "mintage, unmetered": servers.unmetered,
    "starlette": servers.starlette,
    "litserve": servers.litserve,
    "litserve, batches": partial(servers.litserve, batches=True),
    "bentoml": servers.bentoml,
    "bentoml, batches": partial(servers.bentoml, batches=True),
}
"""The servers of the first cell, by the names that they have in it."""


def _throughput(lab: Lab) -> list[Side]:
    scale = lab.scale
    at_each = scale.saturating
    seconds = _START_SECONDS + scale.warm_up_seconds + len(at_each) * scale.seconds
    found = []
    for product in PRODUCTS:
        loop = partial(in_process, product=product)
        found.append(Side(f"{product}: in-process", loop, 3.3 * scale.seconds + 4))
        found += [
            Side(
                f"{product}: {name}",
                partial(served, start=start, product=product, connections=at_each),
                seconds,
            )
            for name, start in WHO.items()
        ]
    return found


def _latency(lab: Lab) -> list[Side]:
    scale = lab.scale
    seconds = _START_SECONDS + scale.warm_up_seconds + scale.seconds
    counts: Sequence[int] = (1, 2) if has("serve", "--workers") else (1,)
    return [
        Side(
            f"{product}: {workers}",
            partial(
                served,
                start=partial(servers.mintage, workers=workers),
                product=product,
                workers=workers,
            ),
            seconds,
        )
        for product in PRODUCTS
        for workers in counts
    ]


def _overload(lab: Lab) -> list[Side]:
    scale = lab.scale
    seconds = _START_SECONDS + scale.warm_up_seconds + scale.seconds
    found = []
    for product in PRODUCTS:
        peak = partial(served, start=servers.mintage, product=product)
        found.append(Side(f"{product}: peak", peak, seconds))
        found += [
            Side(f"{product}: {times}", partial(arrivals, product=product, times=times), seconds)
            for times in (1, 2, 10)
        ]
    return found


def _connections(lab: Lab) -> list[Side]:
    seconds = _START_SECONDS + lab.scale.warm_up_seconds + lab.scale.crowd / 500
    return [Side(product, partial(crowd, product=product), seconds) for product in PRODUCTS]


def _versions(lab: Lab) -> list[Side]:
    cycles = lab.scale.cycles
    return [
        Side(
            f"{product}: {cycles} cycles",
            partial(versions, product=product, cycles=cycles),
            _START_SECONDS + 6 * cycles,
        )
        for product in PRODUCTS
    ]


def _steady(lab: Lab) -> list[Side]:
    slices, seconds = lab.scale.slices, lab.scale.slice_seconds
    return [
        Side(
            f"{product}: {slices} × {seconds:g} s",
            partial(steady, product=product, slices=slices, slice_seconds=seconds),
            _START_SECONDS + slices * seconds,
        )
        for product in PRODUCTS
    ]


CELLS = (
    Cell(
        "throughput",
        "answers a second on one core, beside LitServe, BentoML and Starlette",
        _throughput,
        _missing,
    ),
    Cell("latency", "p50 and p99 at 16 connections, one worker and two", _latency, _missing),
    Cell(
        "overload",
        "once, twice and ten times what it can answer",
        _overload,
        partial(_missing_for, OPEN_LOOP_CONNECTIONS),
    ),
    Cell(
        "connections", "10,000 that post at once", _connections, partial(_missing_for, Scale.crowd)
    ),
    Cell("versions", "published and rolled back under load", _versions, _missing, most_runs=1),
    Cell("steady", "ten minutes of the same load", _steady, _missing, most_runs=1),
)
