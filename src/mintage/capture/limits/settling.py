"""Settling: what calls really used, counted and paid where their events are recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from mintage.capture import notices
from mintage.capture.limits import counters, prepaid, repository
from mintage.capture.limits.bounds import Bounds, crossed
from mintage.capture.limits.counters import Charged, Reached
from mintage.core.clock import timestamp
from mintage.core.money import Money, parse_exact
from mintage.trust import audit


def settle(connection: repository.Connection, charged: Sequence[Charged], moment: datetime) -> None:
    """Count what was used, take what it costs, let go of what was held, and tell of limits.

    To be called in the transaction that recorded the events.
    """
    holds = counters.holds_of(charged)
    if holds:
        repository.release(connection, holds)
    reached = [*counters.count(connection, charged, moment), *_paid(connection, charged, moment)]
    for each in reached:
        _tell(connection, each, timestamp(moment))


def _paid(
    connection: repository.Connection, charged: Sequence[Charged], moment: datetime
) -> Iterator[Reached]:
    owed: Counter[Bounds] = Counter()
    for each in charged:
        if each.bounds.terms.prepaid and not each.bounds.free:
            owed[each.bounds] += each.bounds.gross(parse_exact(each.price))
    for bounds, nanos in owed.items():
        if not nanos:
            continue
        amount, month = Money(nanos, bounds.terms.currency), str(bounds.month(moment))
        now = timestamp(moment)
        before, after, whole = prepaid.draw(connection, bounds.customer, amount, month, now)
        percent = crossed(whole - before, whole - after, whole) if whole else None
        if percent:
            yield Reached(
                customer=bounds.customer,
                limit="credit",
                percent=percent,
                plan=bounds.plan,
                key=None,
                unit=None,
                most=str(Money(whole, amount.currency)),
                month=month,
            )


def _tell(connection: repository.Connection, reached: Reached, now: str) -> None:
    said = {name: value for name, value in vars(reached).items() if value is not None}
    audit.append(connection, "limit.reached", said | {"reached_at": now})
    kind = "balance.threshold" if reached.limit == "credit" else "quota.threshold"
    notices.tell(connection, reached.customer, kind, said, now)
