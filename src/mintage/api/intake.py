"""What one process has in hand: calls, their bodies' bytes, and the actions they carry out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

from mintage.core.errors import Overloaded, RequestError
from mintage.core.messages import _

_MOST_BODY_BYTES = 512_000_000


class Place:
    """One call's share of the bytes, from before its body is read until it ends."""

    def __init__(self, size_bytes: int, intake: Intake | None = None) -> None:
        """Without an intake it is a share of another place's bytes, and counts nothing."""
        self._intake = intake
        self._size_bytes = size_bytes

    def holds(self, size_bytes: int) -> None:
        """Its body turned out to have so many bytes."""
        if self._intake is not None:
            self._intake.body_bytes += size_bytes - self._size_bytes
        self._size_bytes = size_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._intake is not None:
            self._intake.calls -= 1
            self._intake.body_bytes -= self._size_bytes


class Action:
    """One customer's action while it is carried out."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()


class Intake:
    """Counts what is in flight, so that slow uploads cannot fill the memory. For one event loop.

    Attributes:
        calls: calls from their admission to their end.
        body_bytes: what their bodies hold, or may come to hold while they are read.
    """

    def __init__(self, most_body_bytes: int = _MOST_BODY_BYTES) -> None:
        self._most_body_bytes = most_body_bytes
        self.calls = self.body_bytes = 0
        self._actions: set[tuple[str, str]] = set()

    def place(self, size_bytes: int, most_calls: int) -> Place:
        """A place, held from now until its ``with`` ends; a body alone always has one.

        Raises:
            Overloaded: too many calls or bytes are in flight.
        """
        full = self.body_bytes + size_bytes > self._most_body_bytes
        if self.calls >= most_calls or (self.calls and full):
            raise too_many(self.calls)
        self.calls += 1
        self.body_bytes += size_bytes
        return Place(size_bytes, self)

    def action(self, customer: str, event_id: str) -> Action:
        """Be the only call of this process that carries out this customer's action, until its end.

        Raises:
            StillRunning: another is.
        """
        action = customer, event_id
        if action in self._actions:
            raise StillRunning
        self._actions.add(action)
        return Action(partial(self._actions.remove, action))


def too_many(calls: int) -> Overloaded:
    """As many calls are in hand as may be."""
    return Overloaded(
        _("{calls} calls are being read or answered, as many as may.", calls=calls),
        remedy=_("Send it again in a second."),
        retry_after_seconds=1,
    )


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
