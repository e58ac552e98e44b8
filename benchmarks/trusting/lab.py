"""What the sides share: workspaces whose audit logs are filled once with many entries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Result, say, script


@dataclass(frozen=True)
class Scale:
    """How much of everything; ``--smoke`` has the smallest that still runs every line."""

    many: int = 1_000_000
    few: int = 10_000
    proofs: int = 200
    batch: int = 500
    batches: int = 40
    dataset_bytes: int = 10**9
    invoice_events: int = 100_000
    pictures: int = 4_000
    epochs: int = 20


SMOKE = Scale(
    many=3_000,
    few=300,
    proofs=10,
    batch=50,
    batches=4,
    dataset_bytes=2_000_000,
    invoice_events=300,
    pictures=120,
    epochs=1,
)


class Lab:
    """Fills a log when it is first wanted; each is there until the program ends."""

    def __init__(self, scratch: Path, scale: Scale) -> None:
        self.scratch, self.scale = scratch, scale
        self.filling: dict[int, Result] = {}
        """What filling each of them came to, and signing it."""

    def log(self, entries: int) -> Path:
        """A workspace whose log has so many entries, all of them under a signed head."""
        home = self.scratch / f"log-{entries}"
        if entries not in self.filling:
            say(f"  filling a log with {entries:,} entries")
            self.filling[entries] = script(
                "ours.audit_log", home=home, step="fill", entries=entries, batch=self.scale.batch
            )
        return home
