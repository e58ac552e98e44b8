"""Webhooks over one workspace: who hears of what, and what came of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mintage.app.capturing import Capturing
from mintage.capture.books.overdue import Overdue
from mintage.capture.webhooks.deliveries import Deliveries, Sent
from mintage.capture.webhooks.endpoints import Endpoints, Opened
from mintage.core.background import Rounds, beside
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

_TICK_SECONDS = 1.0
_LOOK_SECONDS = 60.0  # for what is overdue: days pass slowly
_PATIENCE_SECONDS = 5.0


class Notifying:
    """Endpoints, and the outbox behind them."""

    def __init__(
        self, workspace: Workspace, keys: KeyRing, capture: Capturing, overdue: Overdue
    ) -> None:
        database, clock = workspace.database, workspace.clock
        self._overdue = overdue
        self._capture = capture
        self.endpoints = Endpoints(database, keys, clock)
        self.deliveries = Deliveries(database, keys, clock)

    def add(self, url: str, customer: str | None, types: Sequence[str], *, private: bool) -> Opened:
        """Have notices sent to an address; raises as ``Endpoints.add`` does."""
        return self.endpoints.add(url, customer, types, private=private)

    def events(self, status: str | None, customer: str | None, limit: int) -> list[dict[str, Any]]:
        """Notices with their deliveries, the newest first.

        Raises:
            RequestError: no such customer (404).
        """
        owner = None if customer is None else self._capture.customers.find(customer).id
        return self.deliveries.events(status=status, customer=owner, limit=limit)

    def deliver(self) -> list[Sent]:
        """Tell of what is overdue by now, and send what is due."""
        self._overdue.tell()
        return self.deliveries.deliver()

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Deliver beside what is done inside.

        A message that is on its way at the end is waited for a little; should it have left and not
        be noted, it is sent again, under the same id, when the next process has its lease.
        """
        with beside(self.watch, "webhooks", patience_seconds=_PATIENCE_SECONDS):
            yield

    def watch(self, stop: threading.Event) -> None:
        """``deliver`` until ``stop``; what fails is logged, and tried again."""
        look = 0.0

        def step() -> None:
            nonlocal look
            if time.monotonic() >= look:
                self._overdue.tell()
                look = time.monotonic() + _LOOK_SECONDS
            self.deliveries.deliver(stop)

        Rounds("webhooks", step, "Notices cannot be sent").until(stop, _TICK_SECONDS)
