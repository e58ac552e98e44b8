"""What it takes to answer one call, known also of one that fails or is given up meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Effort:
    """Seconds of computing for one call.

    While it is computed they are its share of the time until now; when that has ended, what was
    measured. Written by whoever computes, read by whoever records the call.
    """

    _seconds: float = 0.0
    _begun: float | None = field(default=None, repr=False)
    _among: int = 1

    @property
    def seconds(self) -> float:
        """What it took until now."""
        begun = self._begun
        return self._seconds if begun is None else (time.monotonic() - begun) / self._among

    def begins(self, among: int = 1) -> None:
        """It is computed from now on, together with others: ``among`` so many in all."""
        self._among, self._begun = among, time.monotonic()

    def ends(self, seconds: float = 0.0) -> None:
        """It is computed no more, and took so many seconds; none where it was only put off."""
        self._seconds, self._begun = seconds, None
