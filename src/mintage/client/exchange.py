"""One call from its first try to its end: what to send, how long to wait, when to give up.

It sends nothing and waits for nothing itself. It is a generator that says what is to be done, so
that a client that blocks and one that does not do the same.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import httpx

from mintage.client.answers import document_of, not_ours, problem_of, unanswered
from mintage.client.calls import Call
from mintage.core.clock import Clock
from mintage.core.errors import ConfigError, MintageError
from mintage.core.messages import _
from mintage.core.waiting import asked_to_wait, backoff

T = TypeVar("T")

_AGAIN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,  # a proxy in front of a server that restarts
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_RUNNING = "still_running"
_LOST = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""The call may have been answered, and the answer was lost: the same key finds it."""


@dataclass(frozen=True)
class Try:
    """Wait for so long, then send the request; give back its response, or httpx's error."""

    wait_seconds: float
    timeout_seconds: float


@dataclass(frozen=True)
class Patience:
    """How often a call is sent again (``retries``), and for how long.

    ``timeout_seconds`` is how long a try waits for the server to connect, to take more or to send
    more; after ``deadline_seconds`` no further one is begun. ``chance`` spreads the waiting.
    """

    retries: int
    timeout_seconds: float
    deadline_seconds: float
    clock: Clock
    chance: random.Random

    def __post_init__(self) -> None:
        """Refuse what no call could be made with.

        Raises:
            ConfigError: a number that is too small.
        """
        if self.retries < 0 or min(self.timeout_seconds, self.deadline_seconds) <= 0:
            raise ConfigError(
                _("A client needs time to wait, and retries are 0 or more."),
                remedy=_("Give larger numbers, or leave them out."),
            )


def exchange(
    call: Call[T], address: object, patience: Patience
) -> Generator[Try, httpx.Response | httpx.RequestError, T]:
    """The tries of one call to the server at ``address``; what they return is its result.

    After lost connections, 429, 502, 503 and 504 there is another: when ``Retry-After`` says, else
    later each time. While the action's first try is still running there (409), it is waited for.

    Raises:
        MintageError: what the server says, or that it says nothing.
    """
    ends = patience.clock.monotonic() + patience.deadline_seconds
    wait, failures = 0.0, 0
    while True:
        left = ends - patience.clock.monotonic() - wait
        outcome = yield Try(wait, min(patience.timeout_seconds, left))
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return _read(call, outcome)
        failure = _failure(outcome, address, patience.clock)
        failures += not failure.running
        wait = backoff(max(1, failures), failure.asked_seconds, patience.chance)
        late = patience.clock.monotonic() + wait >= ends
        if late or not failure.again or failures > patience.retries:
            raise failure.error


@dataclass(frozen=True)
class _Failure:
    """Why there is no answer, and whether there may be one ``again``."""

    error: MintageError
    again: bool
    running: bool = False
    asked_seconds: float | None = None


def _read(call: Call[T], response: httpx.Response) -> T:
    try:
        return call.read(document_of(response))
    except (KeyError, TypeError, ValueError) as error:
        raise not_ours(response) from error


def _failure(
    outcome: httpx.Response | httpx.RequestError, address: object, clock: Clock
) -> _Failure:
    if isinstance(outcome, httpx.RequestError):
        error = unanswered(address, outcome)
        error.__cause__ = outcome
        return _Failure(error, isinstance(outcome, _LOST))
    document = document_of(outcome)
    running = document.get("code") == _RUNNING
    return _Failure(
        problem_of(outcome, document),
        running or outcome.status_code in _AGAIN,
        running,
        asked_to_wait(outcome.headers.get("Retry-After"), clock),
    )
