"""What each customer did in every month, as far as it is recorded: what cohorts are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction

from mintage.capture.books import repository
from mintage.capture.books.account import Account, Reference
from mintage.capture.books.cohorts import Active
from mintage.capture.books.months import latest_hour, months_of
from mintage.capture.events import is_charged
from mintage.capture.hours import repository as by_hour
from mintage.capture.hours.rollup import Rollup
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.core.clock import Clock
from mintage.store.engine import Database

ByMonth = dict[Period, Active]


@dataclass(frozen=True)
class _Days:
    """Days with calls that are charged for as such, by plan and month, in UTC."""

    days: Mapping[tuple[Reference, Period], set[date]]

    def of(self, plan: Plan, period: Period) -> set[date]:
        return self.days.get(((plan.name, plan.version), period), set())


class Histories:
    """Reads customers' months from the rollup."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rollup = Rollup(database, clock)

    def until(self, period: Period) -> dict[str, dict[str, ByMonth]]:
        """By currency and customer, every month up to and including one."""
        step = self._rollup.catch_up()
        found: dict[str, dict[str, ByMonth]] = defaultdict(dict)
        agreed: dict[Reference, Plan] = {}
        with self._database.read() as connection:
            for customer in repository.active_customers(connection, latest_hour(period)):
                account = Account(connection, customer, agreed)
                name = repository.customer_of(connection, customer)["name"]
                for currency, months in _history(account, period, step).items():
                    found[currency][name] = months
        return dict(found)


def _history(account: Account, last: Period, step: int) -> dict[str, ByMonth]:
    days = _days(account, step)
    found: dict[str, ByMonth] = defaultdict(dict)
    period = _first(account)
    while period <= last:
        for month in months_of(account, period, step):
            called = days.of(month.plan, period) if month.charged else set()
            months = found[month.plan.terms.currency]
            known = months.get(period, Active(0, Fraction(0), frozenset()))
            months[period] = Active(
                known.charged_calls + month.charged,
                known.revenue + month.revenue(period),
                # By its own calendar a plan may have a call on what is another month's day in UTC.
                known.days | (called or ({period.first} if month.charged else set())),
            )
        period = period.following
    return found


def _first(account: Account) -> Period:
    """The month before the first in which the customer did or began anything, in UTC."""
    moments = [min(days) for days in account.days_used.values()]
    moments += [datetime.fromisoformat(each.started_at).date() for each in account.begun]
    first = min(moments)
    return Period(first.year, first.month).preceding


def _days(account: Account, step: int) -> _Days:
    found: dict[tuple[Reference, Period], set[date]] = defaultdict(set)
    for row in by_hour.days_called(account.connection, account.customer, step):
        plan = account.plan(row.plan, row.plan_version)
        if is_charged(row.outcome, charge_abstained=plan.terms.charge_abstained):
            day = date.fromisoformat(row.day)
            found[(row.plan, row.plan_version), Period(day.year, day.month)].add(day)
    return _Days(found)
