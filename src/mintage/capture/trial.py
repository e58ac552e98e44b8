"""The trial: so many calls a day without a key, free, for all visitors together."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime, timedelta

from mintage.capture import repository
from mintage.capture.customers import Customer
from mintage.capture.gate import no_product
from mintage.capture.plans import Plan
from mintage.core.clock import Clock
from mintage.core.errors import QuotaReached
from mintage.core.messages import _
from mintage.core.ports import Gate
from mintage.core.types import RATE_UNITS, Permit, Rate
from mintage.store.engine import Database

TRIAL = "trial"
"""The customer that calls without a key are recorded for, and the plan that makes them free."""

_WINDOW = timedelta(hours=24)


class TrialGate:
    """Admits callers without a key as the customer ``trial``; implements ``core.ports.Gate``.

    Those with a key go to the gate behind it. The limit is one for all visitors together, so that
    what a trial can cost is known, behind a proxy too. It holds across processes and restarts,
    since recorded events count; calls of this process count from their admission, and those of all
    processes, until they are recorded, by the permit's rate.
    """

    def __init__(
        self,
        gate: Gate,
        database: Database,
        clock: Clock,
        *,
        customer: Customer,
        plan: Plan,
        most_calls: int,
    ) -> None:
        """``most_calls`` are admitted in any 24 hours, at the price of ``plan``."""
        self._gate = gate
        self._database = database
        self._clock = clock
        self._customer = customer
        self._plan = plan
        self._most_calls = most_calls
        self._admitted: deque[datetime] = deque(maxlen=most_calls)

    def admit(self, key: str | None, product: str) -> Permit:
        """The permit for a call; without a key, for one of the trial's.

        Raises:
            QuotaReached: the calls of the last 24 hours are used up.
            RequestError: no such product (404).
            Unauthenticated: a key came that is none.
        """
        if key is not None:
            return self._gate.admit(key, product)
        now = self._clock.now()
        with self._database.read() as connection:
            if repository.offer(connection, product) is None:
                raise no_product(product)
            recorded = repository.nth_newest_event(connection, self._customer.id, self._most_calls)
        self._check_limit(now, recorded)
        self._admitted.append(now)
        return Permit(
            customer=self._customer.id,
            key_id=TRIAL,
            product=product,
            plan=self._plan.name,
            plan_version=self._plan.version,
            unit=self._plan.unit,
            price=self._plan.price,
            rate=Rate(self._most_calls, RATE_UNITS["day"]),
        )

    def _check_limit(self, now: datetime, recorded: str | None) -> None:
        """Whether the call that would have to be older than a day is so."""
        moments = [] if recorded is None else [datetime.fromisoformat(recorded)]
        if len(self._admitted) == self._most_calls:
            moments.append(self._admitted[0])
        free_at = max(moments, default=now - _WINDOW) + _WINDOW
        if free_at <= now:
            return
        raise used_up(self._most_calls, math.ceil((free_at - now).total_seconds()))


def used_up(most_calls: int, wait_seconds: int) -> QuotaReached:
    """The trial is over for today."""
    return QuotaReached(
        _("The {most:,} free calls of this day are used up.", most=most_calls),
        remedy=_("Try again later, or with a key: whoever runs this service issues keys."),
        retry_after_seconds=wait_seconds,
    )
