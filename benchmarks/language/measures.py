"""What each cell of ``make bench-gateway`` does: an upstream, a gateway before it, and its load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from benchmarks import cells
from benchmarks.common import Result, script
from benchmarks.language import gateways
from benchmarks.language.lab import Lab, Shop, conversations
from benchmarks.serving.measures import load_cores, server_cores
from benchmarks.serving.servers import Server, Start, running

Turn: TypeAlias = cells.Turn[Lab]
Begin: TypeAlias = Callable[[Lab, Shop], Start] | None
"""How a gateway is started; None: there is none, and the upstream is asked itself."""


@dataclass(frozen=True)
class Load:
    """So many connections, that ask without a pause, or so often a second together."""

    connections: int
    rate: float = 0.0
    streams: bool = False

    @property
    def name(self) -> str:
        """What its result is called."""
        kind = "streams" if self.streams else "whole"
        pace = f"{self.rate:g}/s" if self.rate else "no pause"
        return f"{kind}, {self.connections} connections, {pace}"


@contextmanager
def gateway(turn: Turn, begin: Begin) -> Iterator[Server]:
    """A warm gateway on cores of its own, in a workspace of its own."""
    lab, bodies = turn.lab, conversations()
    with lab.shop() as shop, running(gateways.upstream(lab), bodies, load_cores()) as upstream:
        if begin is None:
            yield upstream
            return
        with running(begin(lab, shop), bodies, server_cores()) as server:
            for streams in (False, True):
                _asked(server, Load(16, streams=streams), seconds=lab.scale.warm_up_seconds)
            yield server


def _asked(server: Server, load: Load, *, seconds: float = 0.0, requests: int = 0) -> Result:
    """What a load's customers saw, and what the server's processes used meanwhile."""
    kind = "streams" if load.streams else "whole"
    folder: Path = server.messages[0].parent.with_name(kind)
    if not folder.exists():
        bodies = conversations(streams=load.streams)
        server.start.asking.write(bodies, server.start.port, folder)
    used = server.processor_seconds()
    found = script(
        "language.load",
        threads=1,
        on=load_cores(),
        messages=folder,
        port=server.start.port,
        connections=load.connections,
        seconds=float(seconds),
        requests=requests,
        rate=float(load.rate),
        streams=int(load.streams),
    )
    used = server.processor_seconds() - used
    by_processor = round(found["requests"] / max(used, 0.01), 2)
    return {**found, "busy": round(used, 2), "processor_rate": by_processor}


def loaded(turn: Turn, *, begin: Begin, loads: Sequence[Load], seconds: float) -> Result:
    """What each load gave, one after another, of the same server."""
    with gateway(turn, begin) as server:
        found = {load.name: _asked(server, load, seconds=seconds) for load in loads}
        return {"loads": found, "versions": dict(server.start.versions)}


def memory(turn: Turn, *, begin: Begin, requests: int, samples: int) -> Result:
    """Bytes of all the gateway's processes after each part of so many requests."""
    each, load = requests // samples, Load(16)
    with gateway(turn, begin) as server:
        resident, found = [server.resident()], []
        for __ in range(samples):
            found.append(_asked(server, load, requests=each))
            resident.append(server.resident())
        return {
            "requests": each * samples,
            "failures": sum(one["failures"] for one in found),
            "rate": round(requests / sum(one["seconds"] for one in found), 2),
            "resident": resident,
            "highest": server.highest(),
            "descriptors": server.descriptors(),
        }
