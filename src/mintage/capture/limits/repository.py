"""All SQL of this room; what runs on every call is plain text for the driver."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import ColumnElement, Row, and_, case, delete, func, insert, select, update

from mintage.core.clock import timestamp
from mintage.store.schema import (
    api_keys,
    credit_draws,
    customer_credits,
    ledger_entries,
    plans,
    products,
    usage_counters,
    usage_events,
)
from mintage.store.statements import Statement

Connection = sqlalchemy.Connection
Values = dict[str, Any]

MOST_SET_BACK = timedelta(days=2)
"""By so much a clock may have been set back since events were summed up."""

_LAST = Statement("SELECT max(sequence) FROM usage_events")
_LAST_UNTIL = Statement(
    "SELECT sequence, recorded_at FROM usage_events WHERE sequence <= :sequence"
    " ORDER BY sequence DESC LIMIT 1"
)
_FIRST_STEP = Statement(
    "SELECT min(step) FROM usage_hours"
    " WHERE customer = :customer AND hour >= :begin AND hour <= :end"
)
_STEP_BEFORE = Statement("SELECT coalesce(max(step), 0) FROM rollup_steps WHERE step < :step")
_USED = Statement("SELECT used FROM usage_counters WHERE counter = :counter")
_HELD = Statement(
    "SELECT COALESCE(SUM(amount), 0) FROM holds WHERE counter = :counter AND expires_at > :now"
)
_HELD_AND_OVER = Statement(
    "SELECT COALESCE(SUM(CASE WHEN expires_at > :now THEN amount ELSE 0 END), 0) AS held,"
    " COALESCE(SUM(CASE WHEN expires_at > :now THEN 0 ELSE 1 END), 0) AS lapsed"
    " FROM holds WHERE counter = :counter"
)
_RETURN = Statement("DELETE FROM holds WHERE counter = :counter AND expires_at <= :now")
_HOLD = Statement(
    "INSERT INTO holds (id, counter, amount, expires_at)"
    " VALUES (:id, :counter, :amount, :expires_at)"
)
_RELEASE = Statement("DELETE FROM holds WHERE id = :id")
_COUNT = Statement("UPDATE usage_counters SET used = used + :amount WHERE counter = :counter")
_BEGIN = Statement(
    "INSERT INTO usage_counters (counter, customer, plan, used)"
    " VALUES (:counter, :customer, :plan, :used)"
)
_COUNTS = Statement(
    "SELECT counter FROM usage_counters WHERE customer = :customer AND plan = :plan"
)
_FORGET = Statement("DELETE FROM usage_counters WHERE counter = :counter")
_NEWEST = Statement("SELECT max(version) FROM plans WHERE name = :plan")
_LEFT = Statement(
    "SELECT id, nanos - spent_nanos, nanos FROM credits"
    " WHERE customer = :customer AND currency = :currency AND spent_nanos < nanos"
    " AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > :now)"
    " ORDER BY expires_at IS NULL, expires_at, id"
)
_SPEND = Statement("UPDATE credits SET spent_nanos = spent_nanos + :nanos WHERE id = :id")
_DRAW = Statement(
    "INSERT INTO credit_draws (customer, currency, period, drawn_nanos, applied_nanos)"
    " VALUES (:customer, :currency, :period, :nanos, 0)"
    " ON CONFLICT (customer, currency, period)"
    " DO UPDATE SET drawn_nanos = credit_draws.drawn_nanos + excluded.drawn_nanos"
)


class Left(NamedTuple):
    """What is left of a credit, and what it was."""

    credit: str
    nanos: int
    whole: int


def used(connection: Connection, counter: str) -> int | None:
    """What was counted; None where nothing was begun."""
    found = _USED.by_driver(connection, counter=counter).fetchone()
    return None if found is None else int(found[0])


def held(connection: Connection, counter: str, now: str) -> int:
    """What calls under way have reserved; the leases that are over have returned."""
    return int(_HELD.by_driver(connection, counter=counter, now=now).fetchone()[0])


def reserved(connection: Connection, counter: str, now: str) -> int:
    """``held``, for whoever reserves more: leases that are over are forgotten meanwhile."""
    taken, lapsed = _HELD_AND_OVER.by_driver(connection, counter=counter, now=now).fetchone()
    if lapsed:
        _RETURN.by_driver(connection, counter=counter, now=now)
    return int(taken)


def hold(connection: Connection, hold_id: str, amounts: Mapping[str, int], until: str) -> None:
    """Reserve amounts, by counter."""
    for counter, amount in amounts.items():
        _HOLD.by_driver(connection, id=hold_id, counter=counter, amount=amount, expires_at=until)


def release(connection: Connection, holds: Sequence[str]) -> None:
    """Give back what calls had reserved, as far as it is not given back yet."""
    _RELEASE.execute_each(connection, [{"id": each} for each in holds])


def count(connection: Connection, counter: str, amount: int) -> bool:
    """Whether there is such a count, which is so much more now."""
    return bool(_COUNT.by_driver(connection, counter=counter, amount=amount).rowcount > 0)


def begin(
    connection: Connection, counter: str, already: int, *, customer: str, plan: str = ""
) -> None:
    """Begin a count at what was used already; without a plan it is of a key's budget."""
    _BEGIN.execute(connection, counter=counter, customer=customer, plan=plan, used=already)


def newest_version(connection: Connection, plan: str) -> int:
    """The number of a plan's newest version; 0 where there is none."""
    return int(_NEWEST.by_driver(connection, plan=plan).fetchone()[0] or 0)


def versions_since(connection: Connection, plan: str, moment: str) -> list[int]:
    """The versions of a plan that were the newest one at a moment or later."""
    p = plans.c
    asked = select(p.version, p.created_at).where(p.name == plan).order_by(p.version.desc())
    found = []
    for row in connection.execute(asked):
        found.append(int(row.version))
        if row.created_at <= moment:
            break
    return found


def events_under(
    connection: Connection, customer: str, plan: str, since: str, until: str
) -> list[Row[Any]]:
    """``plan_version, product, outcome, quantities, events`` from a moment up to another."""
    e = usage_events.c
    alike = (e.plan_version, e.product, e.outcome, e.quantities)
    within = _between(connection, customer, since, until) & (e.plan == plan)
    asked = select(*alike, func.count().label("events")).where(within).group_by(*alike)
    return list(connection.execute(asked))


def priced_events(
    connection: Connection,
    customer: str,
    keys: Sequence[str],
    currency: str,
    since: str,
    until: str,
) -> list[Row[Any]]:
    """``price, events`` of what was called with some keys in a currency between two moments."""
    e = usage_events.c
    mine = e.api_key.in_(keys) & (e.currency == currency)
    within = _between(connection, customer, since, until) & mine
    return list(
        connection.execute(
            select(e.price, func.count().label("events")).where(within).group_by(e.price)
        )
    )


def last_before(connection: Connection, moment: str) -> int:
    """The sequence of the last event before a moment, found by halving; 0 where there is none.

    Where a clock was set back it is one of those about it: earlier ones were recorded at most
    ``MOST_SET_BACK`` after the moment, later ones at most so long before.
    """
    low, high = 0, int(_LAST.only(connection) or 0)
    while low < high:
        middle = (low + high + 1) // 2
        found = _LAST_UNTIL.by_driver(connection, sequence=middle).fetchone()
        if found is None or found[1] < moment:
            low = middle
        else:
            high = int(found[0]) - 1
    return low


def long_before(moment: str) -> str:
    """A moment before another by as much as a clock may have been set back."""
    return timestamp(datetime.fromisoformat(moment) - MOST_SET_BACK)


def summed_after(connection: Connection, customer: str, since: str, until: str) -> tuple[int, bool]:
    """The step of the rollup after which a customer's summed events between two moments are.

    And whether there are any; where there are none it is the last step. Later ones may be of any
    moment.
    """
    hours = {"begin": since[:13], "end": until[:13]}
    first = _FIRST_STEP.by_driver(connection, customer=customer, **hours).fetchone()[0]
    before = _STEP_BEFORE.by_driver(connection, step=2**62 if first is None else first)
    return int(before.fetchone()[0]), first is not None


def _between(connection: Connection, customer: str, since: str, until: str) -> ColumnElement[bool]:
    """A customer's events between two moments: those of months before are not gone through."""
    e = usage_events.c
    after, any_summed = summed_after(connection, customer, since, until)
    if not any_summed:
        after = max(after, last_before(connection, long_before(since)))
    within = and_(e.recorded_at >= since, e.recorded_at < until)
    return and_(e.customer == customer, e.sequence > after, within)


def all_counts(connection: Connection) -> list[Values]:
    """Every count: ``counter, customer, plan, used``."""
    rows = connection.execute(select(usage_counters).order_by(usage_counters.c.counter))
    return [dict(row) for row in rows.mappings()]


def forget_counts(
    connection: Connection, customer: str | None = None, plan: str | None = None
) -> None:
    """Have counts of plans begin anew at what the events say; None is any customer, or any plan."""
    c = usage_counters.c
    forgotten = c.plan != ""
    for column, wanted in ((c.customer, customer), (c.plan, plan)):
        if wanted is not None:
            forgotten &= column == wanted
    connection.execute(delete(usage_counters).where(forgotten))


def forget_counts_but(
    connection: Connection, customer: str, plan: str, known: Collection[str]
) -> None:
    """Have a customer's counts of a plan begin anew, but for some."""
    found = _COUNTS.by_driver(connection, customer=customer, plan=plan).fetchall()
    others = [{"counter": name} for (name,) in found if name not in known]
    if others:
        _FORGET.execute_each(connection, others)


def line_of(connection: Connection, key: str) -> tuple[str, ...]:
    """A key and those that it was made in place of, the first one last."""
    line = [key]
    while True:
        asked = select(api_keys.c.replaces).where(api_keys.c.id == line[-1])
        before = connection.execute(asked).scalar()
        if before is None:
            return tuple(line)
        line.append(before)


def line_from(connection: Connection, key: str) -> tuple[str, ...]:
    """A key and those that were made in its place, one after the other."""
    line = [key]
    while True:
        asked = select(api_keys.c.id).where(api_keys.c.replaces == line[-1])
        after = connection.execute(asked).scalar()
        if after is None:
            return tuple(line)
        line.append(after)


def products_sold(connection: Connection) -> list[str]:
    """The names of all products."""
    return list(connection.execute(select(products.c.name).order_by(products.c.name)).scalars())


def credits_left(connection: Connection, customer: str, currency: str, now: str) -> list[Left]:
    """Each credit of which something is left; what ends first comes first."""
    found = _LEFT.by_driver(connection, customer=customer, currency=currency, now=now)
    return [Left(each, int(left), int(of)) for each, left, of in found.fetchall()]


def credits_spent(
    connection: Connection, customer: str, currency: str, now: str
) -> list[tuple[str, int]]:
    """Each credit that lasts and was taken of, and how much; what was taken last comes first."""
    c = customer_credits.c
    lasts = c.ended_at.is_(None) & (c.expires_at.is_(None) | (c.expires_at > now))
    mine = and_(c.customer == customer, c.currency == currency, c.spent_nanos > 0, lasts)
    never, last = case((c.expires_at.is_(None), 0), else_=1), c.expires_at.desc()
    asked = select(c.id, c.spent_nanos).where(mine).order_by(never, last, c.id.desc())
    return [(row.id, int(row.spent_nanos)) for row in connection.execute(asked)]


def credit_accounts(connection: Connection) -> list[Values]:
    """``account, currency, nanos`` of what the ledger owes customers as credit."""
    e = ledger_entries.c
    asked = select(e.account, e.currency, func.sum(e.nanos).label("nanos"))
    mine = e.account.like("credit:%")
    rows = connection.execute(asked.where(mine).group_by(e.account, e.currency))
    return [dict(row) for row in rows.mappings()]


def spend(connection: Connection, credit: str, nanos: int) -> None:
    """Take so much of a credit; below zero it is given back."""
    _SPEND.execute(connection, id=credit, nanos=nanos)


def draw(connection: Connection, customer: str, currency: str, period: str, nanos: int) -> None:
    """Note what calls of a month took."""
    _DRAW.execute(connection, customer=customer, currency=currency, period=period, nanos=nanos)


def drawn(connection: Connection, customer: str, currency: str, until: str) -> list[Values]:
    """What calls took and no invoice has counted yet, up to a month, the oldest first."""
    d = credit_draws.c
    within = and_(d.customer == customer, d.currency == currency, d.period <= until)
    asked = select(credit_draws).where(within & (d.applied_nanos < d.drawn_nanos))
    return [dict(row) for row in connection.execute(asked.order_by(d.period)).mappings()]


def all_drawn(connection: Connection) -> list[Values]:
    """Everything that calls ever took, by month."""
    return [dict(row) for row in connection.execute(select(credit_draws)).mappings()]


def apply(connection: Connection, draw: Values, nanos: int) -> None:
    """Note that an invoice counts so much of a month's as paid."""
    d = credit_draws.c
    same = and_(
        d.customer == draw["customer"],
        d.currency == draw["currency"],
        d.period == draw["period"],
    )
    changes = {"applied_nanos": d.applied_nanos + nanos}
    connection.execute(update(credit_draws).where(same).values(changes))


def add_credit(connection: Connection, values: Values) -> None:
    """Keep a new credit."""
    connection.execute(insert(customer_credits).values(values))


def find_credit(connection: Connection, credit: str) -> Values | None:
    """A credit by its id."""
    return _first(connection, customer_credits.c.id == credit)


def credit_by_reference(connection: Connection, provider: str, reference: str) -> Values | None:
    """The credit that a payment was for."""
    return _first(
        connection,
        (customer_credits.c.provider == provider) & (customer_credits.c.reference == reference),
    )


def end_credit(connection: Connection, credit: str, moment: str) -> None:
    """Nothing of it can be used from now on."""
    connection.execute(
        update(customer_credits).where(customer_credits.c.id == credit).values(ended_at=moment)
    )


def all_credits(connection: Connection, customer: str | None = None) -> list[Values]:
    """Credits of a customer or of all, the oldest first."""
    asked = select(customer_credits).order_by(customer_credits.c.added_at, customer_credits.c.id)
    if customer is not None:
        asked = asked.where(customer_credits.c.customer == customer)
    return [dict(row) for row in connection.execute(asked).mappings()]


def lapsing(connection: Connection, now: str) -> list[Values]:
    """Credits whose time is over and that were not ended yet."""
    c = customer_credits.c
    over = and_(c.expires_at <= now, c.ended_at.is_(None))
    return [
        dict(row) for row in connection.execute(select(customer_credits).where(over)).mappings()
    ]


def _first(connection: Connection, condition: Any) -> Values | None:
    row = connection.execute(select(customer_credits).where(condition).limit(1)).mappings().first()
    return None if row is None else dict(row)
