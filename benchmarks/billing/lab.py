"""What the sides share: empty shops, and workspaces that are filled once with many events."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.common import Failed, Result, say, script
from benchmarks.serving import lab as serving

BYTES_EACH = 1900
"""Disk for each event, with its leaf, its hours, the invoices, and what SQLite keeps beside."""


@dataclass(frozen=True)
class Scale:
    """How much of everything; ``--smoke`` has the smallest that still runs every line."""

    callers: int = 64
    seconds: float = 10
    warm_up: float = 2
    events: tuple[int, ...] = (1_000_000, 10_000_000)
    customers: int = 1_000
    serving: serving.Scale = field(default_factory=serving.Scale)


SMOKE = Scale(
    callers=4,
    seconds=1,
    warm_up=0.2,
    events=(2_000, 20_000),
    customers=20,
    serving=serving.SMOKE,
)


class Lab:
    """Fills a workspace when it is first wanted; each is there until the program ends."""

    def __init__(self, scratch: Path, scale: Scale) -> None:
        self.scratch, self.scale = scratch, scale
        self._filled: dict[int, Path] = {}

    @cached_property
    def serving(self) -> serving.Lab:
        """The pictures and networks of the benchmarks of serving."""
        scratch = self.scratch / "serving"
        scratch.mkdir()
        return serving.Lab(scratch, self.scale.serving)

    @contextmanager
    def shop(self) -> Iterator[Path]:
        """A workspace with a customer and products, where nothing was used; gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as name:
            home = Path(name) / "shop"
            script("ours.filling", home=home, events=0, customers=1)
            yield home

    def filled(self, events: int) -> Path:
        """A workspace with so many events, in which nothing was summed up or invoiced.

        Raises:
            Failed: the disk has no room for it.
        """
        home = self._filled.get(events)
        if home is None:
            free = shutil.disk_usage(self.scratch).free
            if free < events * BYTES_EACH:
                raise Failed(f"{events:,} events take {events * BYTES_EACH / 1e9:.0f} GB of disk.")
            home = self._filled[events] = self.scratch / f"books-{events}"
            say(f"  filling a workspace with {events:,} events, not measured")
            script("ours.filling", home=home, events=events, customers=self.scale.customers)
        self.step(home, "forget")
        return home

    def step(self, home: Path, step: str) -> Result:
        """One step in a process of its own, with its peak memory."""
        return script("ours.books", watch_memory=True, home=home, step=step)
