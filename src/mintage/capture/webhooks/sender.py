"""One message to one address: what came of it, in words that hold no secret.

It stands on the standard library's HTTP client for the same reason as ``sources.https``: the
connection goes to the very address that was checked, and no redirect is followed.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

from mintage.capture.webhooks.target import Target
from mintage.core.errors import MintageError
from mintage.core.version import __version__
from mintage.core.waiting import asked_to_wait
from mintage.sources.guard import Guard, Pace

_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 15.0
MOST_SECONDS = 90.0
"""Longer than this no message takes: names, four addresses, TLS and the answer together."""
_MOST_WORDS = 200


@dataclass(frozen=True)
class Came:
    """What came of a try: a status, or why there is none."""

    status: int | None
    said: str
    wait_seconds: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether it was taken: 2xx (Standard Webhooks)."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether no further try is wanted (410)."""
        return self.status == HTTPStatus.GONE


@dataclass(frozen=True)
class Sender:
    """Posts messages."""

    guard: Guard = field(default_factory=Guard)

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Came:
        """Send it once; every way in which that fails is an answer, too."""
        try:
            return self._post(target, body, headers)
        except MintageError as error:  # a closed address, an unknown name, a certificate
            return Came(None, str(error.message)[:_MOST_WORDS])
        except TimeoutError:
            return Came(None, "no answer in time")
        except (OSError, HTTPException) as error:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Came(None, said[:_MOST_WORDS])

    def _post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Came:
        address = target.address
        with closing(HTTPConnection(address.host, address.port)) as connection:
            connection.sock = self._connected(target)
            always = {
                "Host": target.authority,
                "User-Agent": f"mintage/{__version__}",
                "Content-Type": "application/json",
                "Connection": "close",
            }
            connection.request("POST", address.target, body=body, headers=always | dict(headers))
            with closing(connection.getresponse()) as answer:
                wait = asked_to_wait(answer.headers.get("Retry-After"))
                return Came(answer.status, f"HTTP {answer.status}", wait)

    def _connected(self, target: Target) -> socket.socket:
        guard = target.guard(self.guard)
        if not target.plain:
            return guard.connect(
                target.address, seconds=_CONNECT_SECONDS, pace=Pace(_ANSWER_SECONDS, 1)
            )
        last: OSError | None = None
        for each in guard.addresses(target.address):
            try:
                found = socket.create_connection((str(each), target.address.port), _CONNECT_SECONDS)
            except OSError as error:
                last = error
            else:
                found.settimeout(_ANSWER_SECONDS)
                return found
        raise last or OSError("no address")
