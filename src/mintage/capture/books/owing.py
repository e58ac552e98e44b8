"""What of a customer's months no document has yet."""

from __future__ import annotations

from datetime import datetime, timedelta

from mintage.capture.books import repository
from mintage.capture.books.account import Account
from mintage.capture.books.drafting import Late, drafts_of, late_usage
from mintage.capture.pricing.periods import Period
from mintage.core.clock import timestamp

_AHEAD = timedelta(hours=15)
"""By so much a zone's calendar may be ahead of UTC."""


def months_before(account: Account, period: Period, now: datetime) -> list[Period]:
    """Months before one in which something may be due, the earliest first."""
    used = {Period(day.year, day.month) for days in account.days_used.values() for day in days}
    months = {near for each in used for near in (each.preceding, each, each.following)}
    for row in account.begun:
        month = Period.containing(datetime.fromisoformat(row.started_at), "UTC").preceding
        end = row.ended_at or timestamp(now)
        while str(month) <= end[:7]:
            months.add(month)
            month = month.following
    return sorted(month for month in months if month < period)


def first_uninvoiced(account: Account, until: int, now: datetime) -> Period | None:
    """The first month whose invoice is still to be drawn up, that of late usage among them.

    With usage up to a step of the rollup; None where documents have all there is until now.
    """
    after = Period.containing(now + _AHEAD, "UTC").following
    found = [
        period
        for period in months_before(account, after, now)
        if not account.is_settled(period, until) and _is_owed(account, period, until)
    ]
    found += [
        late.period if late.replaces else _next_open(account, late)
        for late in late_usage(account, after, until)
        if late.amount
    ]
    return min(found, default=None)


def _is_owed(account: Account, period: Period, until: int) -> bool:
    drafts = drafts_of(account, period, until, with_late=False)
    return any(
        draft.is_owed and not _is_invoiced(account, period, currency)
        for currency, draft in drafts.items()
    )


def _is_invoiced(account: Account, period: Period, currency: str) -> bool:
    asked = (account.customer, str(period), currency)
    return repository.standing_invoice(account.connection, *asked) is not None


def _next_open(account: Account, late: Late) -> Period:
    """The month whose invoice will have late usage: the first one after its own without one."""
    month = late.period.following
    while _is_invoiced(account, month, late.month.plan.terms.currency):
        month = month.following
    return month
