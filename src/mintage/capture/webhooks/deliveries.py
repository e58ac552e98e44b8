"""The outbox: every notice goes to each of its endpoints at least once, or is said to have failed.

Whoever sends one takes its lease first, in one guarded statement, so that of several processes one
does. If that one is killed, even after the message left and before that was written, the lease
ends by itself and another sends the message again, under the same ``webhook-id``.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from mintage.capture.webhooks import repository
from mintage.capture.webhooks.endpoints import Endpoint, found_endpoint
from mintage.capture.webhooks.sender import MOST_SECONDS, Came, Sender
from mintage.capture.webhooks.signature import Secret, headers
from mintage.capture.webhooks.target import Target
from mintage.core.canonical import canonical_json
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError, RequestError, TrustError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust.keys import KeyRing

_MINUTE, _HOUR = 60, 3600
WAITS = (5, 5 * _MINUTE, 30 * _MINUTE, *(hours * _HOUR for hours in (2, 5, 10, 14, 20, 24)))
"""Seconds before each try after the first, as Standard Webhooks proposes; then it has failed."""
MOST_TRIES = len(WAITS) + 1
_JITTER = 0.1  # of a wait: those who failed together do not all come again together
_LEASE_SECONDS = 2 * MOST_SECONDS
_AT_ONCE = 8  # endpoints
_PAGE = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sent:
    """What came of one try."""

    notice: str
    endpoint: str
    status: str
    answer: str


class Deliveries:
    """Sends what is due, by any number of processes at once."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        clock: Clock,
        *,
        sender: Sender | None = None,
        chance: random.Random | None = None,
    ) -> None:
        """``chance`` spreads the waiting."""
        self._database = database
        self._keys = keys
        self._clock = clock
        self._sender = sender or Sender()
        self._chance = chance or random.Random()  # noqa: S311 - it keeps no secret

    def deliver(self, stop: threading.Event | None = None) -> list[Sent]:
        """Send everything that is due now; what came of each.

        Endpoints are served side by side. One that does not take a message is left alone until the
        next pass: while it is down, not all that waits for it uses up a try.
        """
        with self._database.read() as connection:
            waiting = repository.waiting_endpoints(connection, timestamp(self._clock.now()))
        if not waiting:
            return []
        serve = partial(self._serve, stop=stop or threading.Event())
        with ThreadPoolExecutor(min(_AT_ONCE, len(waiting)), "webhooks") as threads:
            return [sent for each in threads.map(serve, waiting) for sent in each]

    def _serve(self, endpoint: str, stop: threading.Event) -> list[Sent]:
        done: list[Sent] = []
        for notice in self._due(endpoint):
            if stop.is_set():
                break
            sent = self._send(notice, endpoint)
            if sent is not None:
                done.append(sent)
                if sent.status != "delivered":
                    break
        return done

    def _due(self, endpoint: str) -> Iterator[str]:
        """What is due at an endpoint, page by page; each once."""
        seen: set[str] = set()
        while True:
            with self._database.read() as connection:
                moment = timestamp(self._clock.now())
                found = repository.due(connection, endpoint, moment, _PAGE)
            fresh = [notice for notice in found if notice not in seen]
            if not fresh:
                return
            seen.update(fresh)
            yield from fresh

    def _send(self, notice: str, endpoint: str) -> Sent | None:
        """One try; None where another process has the message."""
        lease, now = new_id("lease"), self._clock.now()
        taken = self._write(lambda connection: _claim(connection, notice, endpoint, lease, now))
        if taken is None:
            return None
        began = self._clock.monotonic()
        came = self._tried(notice, taken)
        if self._clock.monotonic() - began > _LEASE_SECONDS:
            _log.warning("A webhook to %s took longer than its lease.", endpoint)
        values = self._settled(came, taken["tries"])
        self._write(
            lambda connection: repository.settle(connection, notice, endpoint, lease, values)
        )
        if values["status"] == "failed":
            _log.error("The notice %s to %s failed: %s", notice, endpoint, came.said)
        return Sent(notice, endpoint, values["status"], came.said)

    def _tried(self, notice: str, taken: repository.Values) -> Came:
        row = {name: taken[name] for name in Endpoint.__dataclass_fields__ if name in taken}
        endpoint, body = Endpoint.from_row(row), body_of(taken)
        try:
            secrets = self._secrets(endpoint)
            target = Target.parse(endpoint.url, private=endpoint.private)
        except (ConfigError, TrustError) as error:
            return Came(None, str(error.message)[:200])
        seconds = int(self._clock.now().timestamp())
        return self._sender.post(target, body, headers(secrets, notice, seconds, body))

    def _secrets(self, endpoint: Endpoint) -> list[Secret]:
        root, number = self._keys.root_secret(), endpoint.generation
        newest = Secret.derived(root, endpoint.id, number)
        if newest.sha256 != endpoint.secret_sha256:
            raise TrustError(
                _("The secret of the webhook {id} was made of another key.", id=endpoint.id),
                remedy=_(
                    "Restore the workspace's keys, or: mintage webhook rotate {id}", id=endpoint.id
                ),
            )
        if endpoint.previous_until is None or endpoint.previous_until <= timestamp(
            self._clock.now()
        ):
            return [newest]
        return [newest, Secret.derived(root, endpoint.id, number - 1)]

    def _settled(self, came: Came, tries: int) -> repository.Values:
        now = self._clock.now()
        ended = {"answer": came.said, "ended_at": timestamp(now)}
        if came.is_taken:
            return ended | {"status": "delivered"}
        if came.is_gone or tries >= MOST_TRIES:
            return ended | {"status": "failed"}
        wait = max(WAITS[tries - 1], min(came.wait_seconds or 0, WAITS[-1]))
        spread = wait * (1 + self._chance.uniform(0, _JITTER))
        next_at = timestamp(now + timedelta(seconds=spread))
        return {"status": "waiting", "answer": came.said, "next_at": next_at}

    def retry(self, notice: str, endpoint: str | None = None) -> int:
        """Send a notice anew, from the first try on, where it was not taken; to how many that is.

        Raises:
            RequestError: no such notice, or no such endpoint (404), or all have taken it (409).
        """

        def work(connection: repository.Connection) -> int:
            if repository.find_notice(connection, notice) is None:
                raise _no_notice(notice)
            if endpoint is not None:
                found_endpoint(connection, endpoint)
            rows = repository.deliveries_of(connection, notice)
            standing = {each["id"] for each in repository.all_endpoints(connection)}
            wanted = [
                row["endpoint"]
                for row in rows
                if endpoint in (None, row["endpoint"]) and row["endpoint"] in standing
            ]
            moment = timestamp(self._clock.now())
            count = repository.retry(connection, notice, wanted, moment)
            if not count:
                raise RequestError(
                    _("Nothing of {notice} is to be sent again.", notice=notice),
                    remedy=_("See what came of it: mintage webhook events"),
                    http_status=409,
                )
            return count

        return self._database.write(work)

    def events(
        self, *, status: str | None = None, customer: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Notices with their deliveries, the newest first; ``customer`` is an id."""
        with self._database.read() as connection:
            found = repository.all_notices(
                connection, status=status, customer=customer, limit=limit
            )
            return [
                each
                | {"data": json.loads(each["data"])}
                | {
                    "deliveries": [
                        _shown(row) for row in repository.deliveries_of(connection, each["id"])
                    ]
                }
                for each in found
            ]

    def _write(self, work: Callable[[repository.Connection], Any]) -> Any:
        # Nobody keeps deliveries in memory: what was read of keys and plans stays good.
        return self._database.submit(work, only_adds=True).result()


def body_of(notice: repository.Values) -> bytes:
    """What is sent, the same bytes in every try: type, time and data."""
    said = {"type": notice["type"], "timestamp": notice["told_at"]}
    return canonical_json(said | {"data": json.loads(notice["data"])})


def _claim(
    connection: repository.Connection, notice: str, endpoint: str, lease: str, now: datetime
) -> repository.Values | None:
    until = timestamp(now + timedelta(seconds=_LEASE_SECONDS))
    values = {"lease": lease, "lease_until": until}
    if not repository.claim(connection, notice, endpoint, values, timestamp(now)):
        return None
    return repository.find_delivery(connection, notice, endpoint)


def _shown(row: repository.Values) -> dict[str, Any]:
    hidden = ("notice", "lease", "lease_until")
    return {key: value for key, value in row.items() if key not in hidden}


def _no_notice(notice: str) -> RequestError:
    return RequestError(
        _("There is no notice {notice!r}.", notice=notice),
        remedy=_("Name one by its id: mintage webhook events"),
        http_status=404,
    )
