"""The cells of billing: what is measured, and how."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.billing.lab import Lab
from benchmarks.cells import Cell, Side, Turn
from benchmarks.common import DATA, Result, script
from benchmarks.serving.lab import PRODUCTS

STEPS = [
    "sum-up",
    "check",
    "invoices",
    "issue",
    "again",
    "economics",
    "replay",
    "models",
    "history",
]
KINDS = ("unlimited", "limited", "prepaid")
"""What limits a customer: nothing, a hard limit, or credit."""
PACE = 500
"""Calls a second of all callers together, where they do not call as fast as they can."""
_SECONDS_A_MILLION = 25


def _loop(turn: Turn[Lab], module: str, **more: Any) -> Result:
    scale = turn.lab.scale
    with turn.lab.shop() as home:
        return script(
            module,
            home=home,
            callers=scale.callers,
            seconds=scale.seconds,
            warm_up=scale.warm_up,
            **more,
        )


def metering(__: Lab) -> list[Side[Lab]]:
    """The bare loop, then the meter with one process, with receipts signed, and with two."""
    sides: dict[str, Callable[[Turn[Lab]], Result]] = {
        "bare": partial(_loop, module="peers.bare_sqlite"),
        "mintage": partial(_loop, module="ours.metering"),
        "mintage, signed": partial(_loop, module="ours.metering", signed=1),
        "mintage, 2 processes": partial(_loop, module="ours.metering", processes=2),
    }
    return [Side(name, measure, 20) for name, measure in sides.items()]


def contention(__: Lab) -> list[Side[Lab]]:
    """One customer's calls, by what limits them: as many as go, and so many a second."""
    return [
        Side(
            contender(kind, processes, rate),
            partial(_loop, module="ours.contention", kind=kind, processes=processes, rate=rate),
            20,
        )
        for rate in (0, PACE)
        for processes in (1, 2)
        for kind in KINDS
    ]


def contender(kind: str, processes: int, rate: int) -> str:
    """What a side of ``contention`` is called."""
    words = [kind, *(["2 processes"] if processes == 2 else []), *([f"{rate}/s"] if rate else [])]
    return ", ".join(words)


def share(__: Lab) -> list[Side[Lab]]:
    """Each network with and without the meter."""

    def predicted(turn: Turn[Lab], product: str) -> Result:
        lab = turn.lab
        with lab.serving.shop() as shop:
            return script(
                "ours.metered_predict",
                home=shop.home,
                pictures=lab.serving.picture_folder,
                key=shop.key,
                model=f"{product}@1",
                threads=1,
                seconds=lab.scale.seconds,
                warm_up=lab.scale.warm_up,
            )

    return [Side(each, partial(predicted, product=each), 35) for each in PRODUCTS]


def books(lab: Lab) -> list[Side[Lab]]:
    """A growing number of events, from the first sum to what other plans would earn."""

    def measured(turn: Turn[Lab], events: int) -> Result:
        home = turn.lab.filled(events)
        found = {step: turn.lab.step(home, step) for step in STEPS}
        size = (home / "mintage.db").stat().st_size
        return {"events": events, "steps": found, "size_bytes": size}

    return [
        Side(f"{events}", partial(measured, events=events), 60 + events / 1e6 * _SECONDS_A_MILLION)
        for events in lab.scale.events
    ]


def _pictures_missing() -> str:
    return "" if (DATA / "pets").is_dir() else f"there are no photographs at {DATA / 'pets'}"


CELLS: list[Cell[Lab]] = [
    Cell("metering", "usage recorded durably, beside a bare loop of sqlite3", metering),
    Cell("contention", "limits and credit counted exactly, for one customer's callers", contention),
    Cell("metering-share", "what metering adds to a prediction", share, _pictures_missing),
    Cell("books", "invoices and economics over millions of events", books),
]
