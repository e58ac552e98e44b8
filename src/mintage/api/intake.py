"""What one process has in hand: calls, their bodies' bytes, and the actions they carry out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mintage.core.errors import Overloaded, RequestError
from mintage.core.messages import _

_MOST_BODY_BYTES = 512_000_000


class Place:
    """One call's share of the bytes, from before its body is read until it ends."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes


class Intake:
    """Counts what is in flight, so that slow uploads cannot fill the memory. For one event loop."""

    def __init__(self, most_body_bytes: int = _MOST_BODY_BYTES) -> None:
        self._most_body_bytes = most_body_bytes
        self._places: set[Place] = set()
        self._actions: set[tuple[str, str]] = set()

    @property
    def calls(self) -> int:
        """Calls from their admission to their end."""
        return len(self._places)

    @property
    def body_bytes(self) -> int:
        """What their bodies hold, or may come to hold while they are read."""
        return sum(place.size_bytes for place in self._places)

    @contextmanager
    def place(self, size_bytes: int, most_calls: int) -> Iterator[Place]:
        """Hold a place for a body of at most ``size_bytes``; a body alone always has one.

        Raises:
            Overloaded: too many calls or bytes are in flight.
        """
        full = self.body_bytes + size_bytes > self._most_body_bytes
        if self.calls >= most_calls or (self._places and full):
            raise Overloaded(
                _("{calls} calls are being read or answered, as many as may.", calls=self.calls),
                remedy=_("Send it again in a second."),
                retry_after_seconds=1,
            )
        place = Place(size_bytes)
        self._places.add(place)
        try:
            yield place
        finally:
            self._places.remove(place)

    @contextmanager
    def action(self, customer: str, event_id: str) -> Iterator[None]:
        """Be the only call of this process that carries out this customer's action.

        Raises:
            StillRunning: another is.
        """
        action = customer, event_id
        if action in self._actions:
            raise StillRunning
        self._actions.add(action)
        try:
            yield
        finally:
            self._actions.remove(action)


class StillRunning(RequestError):
    """The first call with this Idempotency-Key has not ended."""

    code = "still_running"
    default_http_status = 409

    def __init__(self) -> None:
        super().__init__(
            _("The first call with this Idempotency-Key is still running."),
            remedy=_("Send it again in a moment, with the same key."),
            retry_after_seconds=1,
        )
