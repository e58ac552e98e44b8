"""What one process has in hand: calls, their bodies' bytes, and the actions they carry out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

from mintage.core.errors import Overloaded, RequestError
from mintage.core.messages import _

PLACE = "place"
"""Under this name a request's state holds its place, which its body grows into."""
_ASSUMED_BYTES = 1_000_000
"""At most so much is set aside for a body before it comes; whatever it announces is a claim."""
_PATIENCE_SECONDS = 0.25


class Place:
    """One call's share of the calls and bytes, from before its body is read until it ends."""

    def __init__(self, size_bytes: int, intake: Intake | None = None, most_calls: int = 1) -> None:
        """Without an intake it is a share of another place's bytes, and counts nothing."""
        self.given_up = False
        self._intake = intake
        self._most_calls = most_calls
        self._size_bytes = size_bytes

    def holds(self, size_bytes: int) -> None:
        """Its body turned out to have so many bytes."""
        if self._intake is not None:
            self._intake.body_bytes += size_bytes - self._size_bytes
        self._size_bytes = size_bytes

    def grows(self, size_bytes: int) -> None:
        """So many bytes of its body are here.

        Raises:
            Overloaded: with them there are more than may be.
        """
        more = size_bytes - self._size_bytes
        if more > 0 and self._intake is not None:
            alone = self._intake.calls + self._intake.late == 1
            if not (alone or self._intake.has_room(more)):
                raise too_many(self._intake.calls)
            self.holds(size_bytes)

    @contextlib.contextmanager
    def on_its_way(self, limit: asyncio.Timeout) -> Iterator[None]:
        """While the body comes, within ``limit``.

        After a moment it is late: it leaves its place to whoever is ready, and takes one again
        when it is here. Of too many that are late the one that came first is given up.

        Raises:
            Overloaded: it was late, and there is no place now.
        """
        intake = self._intake
        if intake is None:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(_PATIENCE_SECONDS, intake.leave, self, limit, self._most_calls)
        try:
            yield
        finally:
            timer.cancel()
        intake.come_back(self, self._most_calls)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._intake is not None:
            self._intake.end(self)
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
        calls: calls from their admission to their end, but for those that are late.
        body_bytes: what their bodies hold, or are about to.
    """

    def __init__(self, most_body_bytes: int) -> None:
        self._most_body_bytes = most_body_bytes
        self.calls = self.body_bytes = 0
        self._late: dict[Place, asyncio.Timeout] = {}
        self._actions: set[tuple[str, str]] = set()

    @property
    def late(self) -> int:
        """Calls whose bodies are awaited for longer than most need."""
        return len(self._late)

    def has_room(self, size_bytes: int) -> bool:
        """Whether so many more bytes may be held."""
        return self.body_bytes + size_bytes <= self._most_body_bytes

    def place(self, size_bytes: int, most_calls: int) -> Place:
        """A place for a body that announces so much, held from now until its ``with`` ends.

        A body alone has one, whatever its size.

        Raises:
            Overloaded: too many calls or bytes are in flight.
        """
        size_bytes = min(size_bytes, _ASSUMED_BYTES)
        alone = not (self.calls or self._late)
        if self.calls >= most_calls or not (alone or self.has_room(size_bytes)):
            raise too_many(self.calls)
        self.calls += 1
        self.body_bytes += size_bytes
        return Place(size_bytes, self, most_calls)

    def leave(self, place: Place, limit: asyncio.Timeout, most_late: int) -> None:
        """This one is late; ``limit`` ends it should others be so after it."""
        self.calls -= 1
        self._late[place] = limit
        if len(self._late) > most_late:
            first = next(iter(self._late))
            first.given_up = True
            self._late[first].reschedule(asyncio.get_running_loop().time())

    def come_back(self, place: Place, most_calls: int) -> None:
        """If this one was late, it is here now.

        Raises:
            Overloaded: there is no place for it.
        """
        if place not in self._late:
            return
        if self.calls >= most_calls:
            raise too_many(self.calls)
        del self._late[place]
        self.calls += 1

    def end(self, place: Place) -> None:
        """This one has ended."""
        if self._late.pop(place, None) is None:
            self.calls -= 1

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


def too_slow() -> Overloaded:
    """So many bodies come slowly that this one, the first of them, is waited for no longer."""
    return Overloaded(
        _("Too many uploads are as slow as this one, which came first."),
        remedy=_("Send it again in a moment, or over a faster line."),
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
