"""Which of several processes on one socket takes the next connection: one that has the fewest."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctypes import Array, c_int

WAIT_SECONDS = 0.001
"""How long the others have for a connection before one that has more of them takes it."""
_SLACK = 8  # of so many, one more or less is as good


class Turns:
    """One process's place among those that share a socket; it is pickled to a process it begins.

    The system wakes all of them and gives a connection to the first that asks, which is mostly the
    same one: without turns eight connections that stay open are all one process's.
    """

    def __init__(self, held: Array[c_int], own: int) -> None:
        self._held, self._own = held, own
        held[own] = 0  # whoever was here before has died

    def come(self) -> None:
        """One more connection is open here."""
        self._held[self._own] += 1

    def left(self) -> None:
        """One has gone."""
        self._held[self._own] -= 1

    def is_anothers(self, coming: int) -> bool:
        """Whether another process has fewer than this one, with ``coming`` more on their way."""
        fewest: int = min(self._held)
        return bool(self._held[self._own] + coming > fewest + fewest // _SLACK)
