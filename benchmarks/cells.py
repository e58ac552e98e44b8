"""What a program measures: cells, whose sides take turns in a lab that holds what they share.

A cell's sides take turns, seed by seed, so that a machine that grows slower hurts all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from benchmarks.common import Result

L = TypeVar("L")


@dataclass(frozen=True)
class Turn(Generic[L]):
    """One repetition: the seed, and what the sides before it gave with the same seed."""

    lab: L
    seed: int
    earlier: Mapping[str, Result]


@dataclass(frozen=True)
class Side(Generic[L]):
    """One that takes turns; ``seconds`` is about how long it takes on two cores."""

    name: str
    measure: Callable[[Turn[L]], Result]
    seconds: float


@dataclass(frozen=True)
class Cell(Generic[L]):
    """One comparison; ``most_runs`` is for one that is long in itself."""

    name: str
    what: str
    sides: Callable[[L], list[Side[L]]]
    missing: Callable[[], str] = field(default=lambda: "")
    most_runs: int = 3

    def runs(self, asked: int) -> int:
        """How often each side is measured."""
        return min(asked, self.most_runs)
