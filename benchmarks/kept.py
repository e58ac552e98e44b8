"""What was measured: one file a cell, written anew after every single repetition."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import Result, write_json


@dataclass
class Kept:
    """The repetitions of one cell; each has a side, a seed, the machine's load and a result."""

    path: Path
    machine: Mapping[str, Any]
    repetitions: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Kept:
        """What the file holds."""
        document = json.loads(path.read_text(encoding="utf-8"))
        return cls(path, document["machine"], document["repetitions"])

    @classmethod
    def begin(cls, path: Path, machine: Mapping[str, Any]) -> Kept:
        """Go on where an earlier run of the program was interrupted, on the same machine."""
        if not path.exists():
            return cls(path, machine)
        kept = cls.read(path)
        if kept.repetitions and kept.machine != machine:
            sys.exit(
                f"{path} was measured on another machine or with other versions:\n"
                f"  {kept.machine}\n  {dict(machine)}\nRemove it to measure it anew."
            )
        return kept

    def add(self, repetition: dict[str, Any]) -> None:
        """Keep one more, at once."""
        self.repetitions.append(repetition)
        write_json(self.path, {"machine": self.machine, "repetitions": self.repetitions})

    def result(self, side: str, seed: int) -> Result | None:
        """What one repetition gave, if it was done."""
        for each in self.repetitions:
            if (each["side"], each["seed"]) == (side, seed):
                found: Result = each["result"]
                return found
        return None

    def of(self, side: str) -> list[Result]:
        """Results of one side, by seed."""
        chosen = [each for each in self.repetitions if each["side"] == side]
        return [each["result"] for each in sorted(chosen, key=lambda each: int(each["seed"]))]

    def both(self, first: str, second: str) -> list[tuple[Result, Result]]:
        """Pairs of results of the same seed."""
        seeds = sorted({each["seed"] for each in self.repetitions})
        pairs = [(self.result(first, seed), self.result(second, seed)) for seed in seeds]
        return [(left, right) for left, right in pairs if left is not None and right is not None]

    @property
    def sides(self) -> list[str]:
        """In the order in which they were first measured."""
        return list(dict.fromkeys(each["side"] for each in self.repetitions))
