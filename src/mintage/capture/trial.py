"""The trial: so many calls a day without a key, free, for all visitors together."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from mintage.capture import repository
from mintage.capture.customers import Customer
from mintage.capture.gate import no_product, priced
from mintage.capture.plans import Plan
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import MintageError, QuotaReached
from mintage.core.messages import _
from mintage.core.ports import Gate
from mintage.core.types import (
    FULL_DETAIL,
    RATE_UNITS,
    Allowance,
    Detail,
    Outcome,
    Permit,
    Rate,
)
from mintage.store.buckets import Buckets, Poured
from mintage.store.engine import Database

TRIAL = "trial"
"""The customer that calls without a key are recorded for, and the plan that makes them free."""

_WINDOW = timedelta(hours=24)
_USES: frozenset[Outcome] = frozenset({"ok", "partial", "abstain", "cancelled"})
"""Who left was answered too."""
_EACH_SECONDS = 3600.0  # what a killed process had in hand is given back so long after


class TrialGate:
    """Admits callers without a key as the customer ``trial``; implements ``core.ports.Gate``.

    Those with a key go to the gate behind it. The limit is one for all visitors together, so that
    what a trial can cost is known, behind a proxy too. Whoever comes when it is used up is refused
    here already; ``Tries`` counts the others.
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
        """``most_calls`` are answered in any 24 hours, at the price of ``plan``."""
        self._gate = gate
        self._database = database
        self._day = _Day(database, clock)
        self._customer = customer
        self._plan = plan
        self._most_calls = most_calls

    def authenticate(self, key: str | None, address: str | None = None) -> None:
        """As the gate behind it: what is asked for before it is known is no part of a trial."""
        self._gate.authenticate(key, address)

    def admit(self, key: str | None, product: str, address: str | None = None) -> Permit:
        """The permit for a call; without a key, for one of the trial's.

        Raises:
            QuotaReached: the calls of the last 24 hours are used up.
            RequestError: no such product (404).
            Unauthenticated: a key came that is none.
            NotAllowed: a key came that is not for this.
        """
        if key is not None:
            return self._gate.admit(key, product, address)
        with self._database.read() as connection:
            offer = repository.offer(connection, product)
        if offer is None:
            raise no_product(product)
        used = self._day.used(self._customer.id, self._most_calls)
        if used.calls >= self._most_calls:
            raise used_up(self._most_calls, used.wait_seconds)
        return Permit(
            customer=self._customer.id,
            key_id=TRIAL,
            product=product,
            plan=self._plan.name,
            plan_version=self._plan.version,
            **priced(self._plan, product)
            | {
                "rate": Rate(self._most_calls, RATE_UNITS["day"]),
                # A stranger is told no more of a model than who pays for it.
                "detail": FULL_DETAIL if offer.name is None else _detail(offer),
            },
        )


def _detail(offer: Any) -> Detail:
    return Plan.from_row(offer._asdict()).terms.answers


class Tries:
    """Counts the trial's calls: those answered in the last 24 hours, and those in hand.

    A call is in hand from before its body is read until it has ended: in a bucket, so for all
    processes. It is taken in hand before the answered ones are counted, and recorded before it is
    given back, so at no moment is it in neither, and no more are answered than may be. One that
    nobody answered uses nothing up.
    """

    def __init__(self, database: Database, clock: Clock, buckets: Callable[[], Buckets]) -> None:
        self._day = _Day(database, clock)
        self._clock = clock
        self._buckets = buckets

    def take(self, permit: Permit, rate: Rate) -> Allowance:
        """Take one in hand, if one is left."""
        poured = self._pour(permit, rate, 1)
        try:
            allowance = self._allowance(permit, rate, poured, asked=0)
        except MintageError:
            self._pour(permit, rate, -1)
            raise
        if allowance.refusal is not None and poured.fitted:
            self._pour(permit, rate, -1)
        return allowance

    def look(self, permit: Permit, rate: Rate) -> Allowance:
        """Whether ``take`` would take one now."""
        return self._allowance(permit, rate, self._pour(permit, rate, 0), asked=1)

    def give_back(self, permit: Permit, rate: Rate) -> Allowance:
        """One that was taken has ended; what is left now."""
        return self._allowance(permit, rate, self._pour(permit, rate, -1), asked=0)

    def _pour(self, permit: Permit, rate: Rate, calls: int) -> Poured:
        return self._buckets().pour(
            f"{permit.customer}/{permit.plan}/in hand",
            calls * _EACH_SECONDS,
            room_seconds=rate.calls * _EACH_SECONDS,
            now=self._clock.now().timestamp(),
        )

    def _allowance(self, permit: Permit, rate: Rate, poured: Poured, *, asked: int) -> Allowance:
        """``asked`` are those that are not in hand yet."""
        used = self._day.used(permit.customer, rate.calls)
        in_hand = math.ceil(poured.level_seconds / _EACH_SECONDS - 1e-6)
        left = rate.calls - used.calls - in_hand
        refused = not poured.fitted or left < asked
        return Allowance(
            policy=permit.plan,
            rate=rate,
            remaining=max(0, left),
            reset_seconds=rate.seconds if in_hand else used.reset_seconds,
            refusal=_refusal(used, rate.calls) if refused else None,
        )


@dataclass(frozen=True)
class _Used:
    """What was used up of the last 24 hours' calls."""

    calls: int
    wait_seconds: int
    """Until one more may be made; a moment, where those in hand make the difference."""
    reset_seconds: int
    """Until all of them may be made again."""


class _Day:
    """When calls of the last 24 hours were answered, in all processes.

    What was recorded since the last look is read, and nothing twice: else whoever sends a million
    calls that come to nothing would make each later one slow.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._answered: deque[datetime] = deque()
        self._read_to: int | None = None
        self._mine = Lock()

    def used(self, customer: str, most_calls: int) -> _Used:
        """What of so many calls is used up."""
        since = self._clock.now() - _WINDOW
        with self._mine:
            self._read_on(customer, since)
            answered = self._answered
            while answered and answered[0] <= since:
                answered.popleft()
            full = len(answered) >= most_calls
            wait = _seconds(answered[-most_calls] - since) if full else 1
            return _Used(len(answered), wait, _seconds(answered[-1] - since) if answered else 0)

    def _read_on(self, customer: str, since: datetime) -> None:
        with self._database.read() as connection:
            if self._read_to is None:
                self._read_to = repository.newest_until(connection, customer, timestamp(since))
            for row in repository.outcomes_after(connection, customer, self._read_to):
                self._read_to = row.sequence
                if row.outcome in _USES:
                    self._answered.append(datetime.fromisoformat(row.recorded_at))


def _seconds(span: timedelta) -> int:
    return math.ceil(span.total_seconds())


def _refusal(used: _Used, most_calls: int) -> QuotaReached:
    if used.calls >= most_calls:
        return used_up(most_calls, used.wait_seconds)
    return QuotaReached(
        _("The free calls that are left are being answered at this moment."),
        remedy=_("Send it again in a moment: one that comes to nothing is free again."),
        retry_after_seconds=1,
    )


def used_up(most_calls: int, wait_seconds: int) -> QuotaReached:
    """The trial is over for today."""
    return QuotaReached(
        _("The {most:,} free calls of this day are used up.", most=most_calls),
        remedy=_("Try again later, or with a key: whoever runs this service issues keys."),
        retry_after_seconds=wait_seconds,
    )
