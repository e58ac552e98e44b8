"""Holds: a call reserves what it will use before it is answered, so that limits are exact.

Whoever reserves is alone in the database: what was counted and what others hold is read and the
hold written before anybody else does either, in this process or another. A hold has a lease: if
its process dies, it returns by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial

from mintage.capture.limits import counters, repository
from mintage.capture.limits.bounds import Bounds, Counted, in_nanos, price_of_units
from mintage.capture.pricing.periods import Period
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import (
    AccountError,
    MintageError,
    NotAllowed,
    PaymentDue,
    QuotaReached,
)
from mintage.core.ids import new_id
from mintage.core.messages import Message, _
from mintage.core.money import Money, parse_exact
from mintage.core.types import Permit
from mintage.store.engine import Database

_log = logging.getLogger(__name__)


class Holds:
    """Reserves and releases; implements ``core.ports.Reserve``. The Meter settles."""

    def __init__(self, database: Database, clock: Clock, lease_seconds: float) -> None:
        """``lease_seconds`` is longer than any call can take."""
        self._database = database
        self._clock = clock
        self._lease = timedelta(seconds=lease_seconds)

    def reserve(
        self, permit: Permit, quantities: Mapping[str, int], seconds: float | None = None
    ) -> Future[str]:
        """The hold's id, once what a call will use at most is reserved.

        ``seconds`` is how long it is held where that may be longer than for most calls. The
        future fails with QuotaReached (429) where a limit would be passed, and with PaymentDue
        (402) where the customer's credit does not suffice.

        Raises:
            ServiceError: it cannot be reserved now, so the call may not be answered.
        """
        bounds = _bounds(permit)
        lease = self._lease if seconds is None else max(self._lease, timedelta(seconds=seconds))
        price = price_of_units(permit.prices, quantities)

        def work(connection: repository.Connection) -> str | AccountError:
            moment = self._clock.now()
            until, amounts = moment + lease, dict[str, int]()
            try:
                # A call under way at a month's end may be counted in either.
                for each in _months(bounds, moment, until):
                    wanted = _Wanted(
                        connection, bounds.at(timestamp(each)), each, timestamp(moment)
                    )
                    amounts |= wanted.amounts(permit.product, quantities, price)
            except AccountError as refusal:
                return refusal  # raised here, it would take back the counts that were begun
            hold = new_id("hld")
            repository.hold(connection, hold, amounts, timestamp(until))
            return hold

        promised: Future[str] = Future()
        promised.set_running_or_notify_cancel()
        self._database.passing.submit(work, only_adds=True).add_done_callback(
            partial(_told, promised)
        )
        return promised

    def release(self, hold: str) -> None:
        """Give back what was reserved for a call that used nothing; nobody waits for it."""
        try:
            done = self._database.passing.submit(
                lambda connection: repository.release(connection, [hold]), only_adds=True
            )
        except MintageError as error:
            _unreleased(error)
        else:
            done.add_done_callback(lambda each: _unreleased(each.exception()))


def _told(promised: Future[str], done: Future[str | AccountError]) -> None:
    error = done.exception()
    found = error if error is not None else done.result()
    if isinstance(found, BaseException):
        promised.set_exception(found)
    else:
        promised.set_result(found)


def _months(bounds: Bounds, moment: datetime, until: datetime) -> list[datetime]:
    """A moment in each month, the plan's or a budget's, that a call may be recorded in.

    And before and after the end of a trial: what is used on it is counted apart.
    """
    same = bounds.month(moment) == bounds.month(until)
    same = same and bounds.at(timestamp(until)).free == bounds.free
    both = same and Period.containing(moment, "UTC") == Period.containing(until, "UTC")
    return [moment] if both else [moment, until]


def _unreleased(error: BaseException | None) -> None:
    if error is not None:  # it returns with its lease
        _log.warning("A hold was not released: %s", type(error).__name__)


def _bounds(permit: Permit) -> Bounds:
    if not isinstance(permit.bounds, Bounds):
        raise TypeError("a call that nothing limits reserves nothing")
    return permit.bounds


class _Wanted:
    """What one call wants to reserve, against what was counted and what others hold."""

    def __init__(
        self, connection: repository.Connection, bounds: Bounds, moment: datetime, now: str
    ) -> None:
        """``moment`` is in the month that it is for."""
        self._connection = connection
        self._bounds = bounds
        self._moment = moment
        self._now = now

    def amounts(
        self, product: str, quantities: Mapping[str, int], price: Fraction
    ) -> dict[str, int]:
        """What to hold, by counter.

        Raises:
            QuotaReached: a limit would be passed.
            PaymentDue: the credit does not suffice.
            NotAllowed: the key's budget is in another currency.
        """
        bounds, amounts = self._bounds, dict[str, int]()
        month = bounds.month(self._moment)
        for each, more in bounds.moved(product, quantities):
            amounts[each.in_month(month)] = more
            if each.most is not None and self._units(each, month) + more > each.most:
                raise self._full(_units(each.most, each.charge.unit), str(month))
        limit = bounds.terms.spend_limit
        if limit is not None and not bounds.free:
            spent = bounds.spent(
                lambda each: self._units(each, month) + amounts.get(each.in_month(month), 0), month
            )
            if spent > parse_exact(limit):
                raise self._full(_money(limit, bounds.terms.currency), str(month))
        if bounds.budget is not None:
            counter, more = self._budgeted(bounds.budget, price)
            amounts[counter] = more
        if bounds.terms.prepaid and not bounds.free:
            amounts[bounds.balance] = self._paid(bounds.gross(price))
        return amounts

    def _units(self, counted: Counted, month: Period) -> int:
        """What was used, and what calls under way hold."""
        used = counters.used(self._connection, counted, month)
        return used + repository.reserved(self._connection, counted.in_month(month), self._now)

    def _budgeted(self, budget: Money, price: Fraction) -> tuple[str, int]:
        bounds = self._bounds
        if budget.currency != bounds.terms.currency:
            raise NotAllowed(
                _(
                    "This key has a budget in {currency}, and this product is paid in {paid}.",
                    currency=budget.currency,
                    paid=bounds.terms.currency,
                ),
                remedy=_("Ask whoever runs this service for another key."),
            )
        currency = bounds.terms.currency
        counter = counters.budget_counter(bounds.keys, currency, self._moment)
        more = in_nanos(price)
        used = counters.spent_with_key(self._connection, bounds, counter, self._moment)
        if used + repository.reserved(self._connection, counter, self._now) + more > budget.nanos:
            raise self._full(
                _("this key's budget of {budget}", budget=budget), counter.rpartition("/")[2]
            )
        return counter, more

    def _paid(self, amount: int) -> int:
        bounds, currency = self._bounds, self._bounds.terms.currency
        left = repository.credits_left(self._connection, bounds.customer, currency, self._now)
        free = sum(each.nanos for each in left)
        free -= repository.reserved(self._connection, bounds.balance, self._now)
        if free < amount or (amount and free <= 0):
            raise PaymentDue(
                _(
                    "Credit of {left} is left, and this call may cost up to {price} with tax.",
                    left=Money(max(0, free), currency),
                    price=Money(amount, currency),
                ),
                remedy=_("Add credit, or ask for less, then send it again."),
            )
        return amount

    def _full(self, limit: Message, month: str) -> QuotaReached:
        return QuotaReached(
            _("For {month}, {limit} leaves no room for this call.", month=month, limit=limit),
            remedy=_(
                "It begins anew with the next month, or with a higher limit; a call that asks for "
                "less may still fit."
            ),
        )


def _units(most: int, unit: str) -> Message:
    return _("the limit of {most} × {unit}", most=most, unit=Message(unit))


def _money(amount: str, currency: str) -> Message:
    return _("the limit of {amount} {currency}", amount=amount, currency=currency)
