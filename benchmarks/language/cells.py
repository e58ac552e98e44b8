"""The cells of ``make bench-gateway``: which gateways are loaded beside one another, and how."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

from benchmarks import cells
from benchmarks.common import cores
from benchmarks.language import gateways
from benchmarks.language.lab import Lab
from benchmarks.language.measures import Begin, Load, loaded, memory

Side: TypeAlias = cells.Side[Lab]
Cell: TypeAlias = cells.Cell[Lab]

WHO: dict[str, Begin] = {
    "direct": None,
    "mintage": gateways.mintage,
    "litellm": gateways.litellm,
}
_START_SECONDS = 25.0
_A_SECOND = 600
"""Requests that the memory is estimated by; it takes as long as it takes."""


def _missing() -> str:
    """Why no gateway can be measured here."""
    return "" if cores() > 1 else "gateway and load need a core each, and there is one"


def _sides(lab: Lab, loads: dict[str, list[Load]], seconds: float) -> list[Side]:
    return [
        Side(
            who,
            partial(loaded, begin=begin, loads=loads[who], seconds=seconds),
            _START_SECONDS + 2 * lab.scale.warm_up_seconds + len(loads[who]) * (seconds + 1),
        )
        for who, begin in WHO.items()
    ]


def _throughput(lab: Lab) -> list[Side]:
    return _sides(lab, dict.fromkeys(WHO, _loads(lab)), lab.scale.seconds)


def _latency(lab: Lab) -> list[Side]:
    scale = lab.scale
    common = _loads(lab, scale.pace)
    brisk = [*common, *_loads(lab, scale.brisk)]
    loads = {who: common if who == "litellm" else brisk for who in WHO}
    return _sides(lab, loads, scale.paced_seconds)


def _loads(lab: Lab, rate: float = 0.0) -> list[Load]:
    """Whole answers with each number of connections, and streams with the first."""
    whole = [Load(count, rate) for count in lab.scale.connections]
    return [*whole, Load(lab.scale.connections[0], rate, streams=True)]


def _memory(lab: Lab) -> list[Side]:
    requests, samples = lab.scale.requests, lab.scale.samples
    measure = partial(memory, begin=gateways.mintage, requests=requests, samples=samples)
    return [Side(f"mintage, {requests:,} requests", measure, _START_SECONDS + requests / _A_SECOND)]


CELLS = (
    Cell(
        "gateway-throughput",
        "requests a second on one core, beside LiteLLM's proxy",
        _throughput,
        _missing,
    ),
    Cell("gateway-latency", "what a gateway adds, whole and to a first token", _latency, _missing),
    Cell("gateway-memory", "memory over 200,000 requests", _memory, _missing, most_runs=1),
)
