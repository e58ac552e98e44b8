"""The moments of the books that are measured: months that are over, whatever the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

BEGINS = datetime(2026, 8, 1, tzinfo=UTC)
MONTHS = ("2026-08", "2026-09", "2026-10")
ENDS = datetime(2026, 11, 1, tzinfo=UTC)


class StillClock:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Where it was put."""
        return self.moment

    def monotonic(self) -> float:
        """The machine's."""
        return time.monotonic()
