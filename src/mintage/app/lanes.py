"""Downloads that are made while they are sent: one for each customer, and a few in all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock

from mintage.core.errors import Overloaded
from mintage.core.messages import _

_MOST = 8
"""At once, of all customers: each of them waits in a thread of the server's."""
_RETRY_SECONDS = 10


class Lanes:
    """Who is being sent something.

    Making takes a processor for a while, so one portion is made at a time, and answers never wait
    for several. While a customer takes theirs slowly, the others' are made and sent.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._taken: set[str] = set()
        self._lock = Lock()
        self.making = Lock()

    def sent(self, customer: str, begin: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """The portions that ``begin`` makes; whoever goes away makes room.

        Raises:
            Overloaded: this customer is being sent something, or as many as there is room for.
        """
        with self._lock:
            if customer in self._taken:
                raise _busy(_("The evidence of another invoice is being sent to you."))
            if len(self._taken) >= self._most:
                raise _busy(_("The evidence of other invoices is being sent."))
            self._taken.add(customer)
        return _Sent(self, customer, begin)

    def leave(self, customer: str) -> None:
        """Nothing is being sent to this customer any more."""
        with self._lock:
            self._taken.discard(customer)


class _Sent(Iterator[bytes]):
    """Portions of what is made as it is sent."""

    def __init__(self, lanes: Lanes, customer: str, begin: Callable[[], Iterator[bytes]]) -> None:
        self._lanes = lanes
        self._customer: str | None = customer
        self._parts: Iterator[bytes] = iter(())
        try:
            self._parts = begin()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> bytes:
        try:
            with self._lanes.making:
                return next(self._parts)
        except BaseException:  # the end, too
            self.close()
            raise

    def close(self) -> None:
        """Make room."""
        customer, self._customer = self._customer, None
        if customer is not None:
            self._lanes.leave(customer)

    def __del__(self) -> None:
        self.close()


def _busy(what: str) -> Overloaded:
    return Overloaded(what, remedy=_("Ask again in a while."), retry_after_seconds=_RETRY_SECONDS)
