"""What is said at the door to calls beyond those that may be in hand."""

from __future__ import annotations

import asyncio
import logging
import re
from functools import lru_cache

from mintage.api.intake import too_many
from mintage.api.metrics import UNKNOWN
from mintage.api.middleware import request_id_of
from mintage.api.problems import problem
from mintage.api.service import Service
from mintage.core.ids import new_id
from mintage.core.messages import speaking

CALL = b"POST "
"""How a request begins that may be turned away: not a page, nor whether the server lives."""
LEAVE_SECONDS = 0.25
"""How long a connection whose whole call was turned away stays open, for that to be read."""
_ID = new_id("req")
_SAY_SECONDS = 1.0
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})\r\n", re.IGNORECASE)
_log = logging.getLogger(__name__)


def size_of(data: bytes) -> int | None:
    """Bytes of the request that begins so, its head included; None where it does not say."""
    end = data.find(b"\r\n\r\n")
    length = _LENGTH.search(data, 0, end + 2) if end > 0 else None
    return None if length is None else end + 4 + int(length[1])


class Overload:
    """When a service is full, and what it answers then; ``Door`` asks both."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._most = service.settings.max_queue
        self.begun = 0
        """Calls whose heads were read and that have not ended: not all have got a place yet."""
        self._turned_away = 0

    def ended(self, _task: object) -> None:
        """One of those that had begun."""
        self.begun -= 1

    def is_full(self) -> bool:
        """Whether as many calls are in hand as may be."""
        intake = self._service.intake
        return self.begun - intake.late >= self._most or intake.calls >= self._most

    def refusal(self, *, keep_alive: bool = False) -> bytes:
        """The whole answer, counted as given.

        Nobody has read which language is asked for: it is English, like the log.
        """
        if not self._turned_away:
            asyncio.get_running_loop().call_later(_SAY_SECONDS, self._say)
        self._turned_away += 1
        self._service.metrics.call(UNKNOWN, UNKNOWN, "shed")
        return _answer(self._most, keep_alive).replace(_ID.encode(), request_id_of("").encode())

    def _say(self) -> None:
        _log.warning("%s calls were turned away in a second: overload.", self._turned_away)
        self._turned_away = 0


@lru_cache
def _answer(calls: int, keep_alive: bool) -> bytes:
    with speaking("en"):
        answer = problem(too_many(calls), _ID).at("/v2/")  # whoever asks there reads no other text
    answer.headers.update({"X-Request-Id": _ID, "Cache-Control": "no-store"})
    if not keep_alive:
        answer.headers["Connection"] = "close"
    lines = [b"%b: %b\r\n" % pair for pair in answer.raw_headers]
    body = bytes(answer.body)
    return b"".join((b"HTTP/1.1 503 Service Unavailable\r\n", *lines, b"\r\n", body))
