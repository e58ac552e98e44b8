"""Whether an upstream is asked: a circuit breaker for each, in each process."""

from __future__ import annotations

from mintage.core.clock import Clock

_FAILURES = 5
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 60.0


class Breaker:
    """After five failures in a row nobody is sent there for a while; then one call tries it.

    Each try that fails makes the while twice as long, up to a minute; one that succeeds ends it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._rests_until: float | None = None
        self._seconds = _FIRST_SECONDS
        self._tried_until = 0.0

    @property
    def rests_seconds(self) -> float:
        """How long nobody is sent there yet; 0 where somebody may be."""
        if self._rests_until is None:
            return 0.0
        now = self._clock.monotonic()
        return max(0.0, self._rests_until - now, self._tried_until - now)

    def begin(self) -> bool:
        """Whether a call may be sent; after a rest it is the only one until it ends."""
        if self.rests_seconds > 0:
            return False
        if self._rests_until is not None:
            # Should it never tell how it ended, another may try after as long again.
            self._tried_until = self._clock.monotonic() + self._seconds
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures, self._rests_until, self._seconds = 0, None, _FIRST_SECONDS
        self._tried_until = 0.0

    def failed(self) -> None:
        """A call was not."""
        self._failures += 1
        if self._rests_until is not None:
            self._seconds = min(_MOST_SECONDS, 2 * self._seconds)
        elif self._failures < _FAILURES:
            return
        self._rests_until = self._clock.monotonic() + self._seconds
        self._tried_until = 0.0
