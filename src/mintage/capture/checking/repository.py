"""All SQL of this room."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy
from sqlalchemy import and_, func, select

from mintage.capture.books.repository import STANDING
from mintage.capture.limits.repository import last_before, long_before
from mintage.capture.logged.repository import USAGE
from mintage.store.schema import (
    billed,
    invoices,
    ledger_entries,
    ledger_transactions,
    log_leaves,
    payments,
    usage_events,
)
from mintage.store.sealed import opened
from mintage.trust.repository import opened_leaf

Connection = sqlalchemy.Connection
Values = dict[str, Any]


def ends(connection: Connection) -> tuple[int, int]:
    """The last sequence of an event and the last position of the log; 0 and -1 without any."""
    last = connection.execute(select(func.max(usage_events.c.sequence))).scalar()
    position = connection.execute(select(func.max(log_leaves.c.position))).scalar()
    return last or 0, -1 if position is None else position


def before(connection: Connection, moment: str, last: int) -> tuple[int, int]:
    """The sequence and the log's position of the event before the first one from a moment on.

    0 and -1 if there is none.
    """
    e = usage_events.c
    near = last_before(connection, long_before(moment))
    later = select(func.min(e.sequence)).where(e.sequence > near, e.recorded_at >= moment)
    first = connection.execute(later).scalar()
    asked = select(e.sequence, e.log_position).order_by(e.sequence.desc()).limit(1)
    found = connection.execute(asked.where(e.sequence < (first or last + 1))).first()
    return (0, -1) if found is None else (found.sequence, found.log_position)


def leaves_between(connection: Connection, after: int, until: int) -> int:
    """How many leaves of usage there are after a position, up to and including another."""
    asked = select(func.count()).select_from(log_leaves).where(_usage(after, until))
    return int(connection.execute(asked).scalar_one())


def leaves_but(
    connection: Connection, after: int, until: int, known: Collection[int]
) -> Iterator[tuple[int, Any]]:
    """``position, record`` of those of them that are not among the known ones, in order."""
    leaf = log_leaves.c
    asked = select(leaf.position, leaf.record).where(_usage(after, until)).order_by(leaf.position)
    for row in _streamed(connection, asked):
        if row["position"] not in known:
            yield row["position"], opened_leaf(connection, row["position"], row["record"]).record


def _usage(after: int, until: int) -> sqlalchemy.ColumnElement[bool]:
    leaf = log_leaves.c
    return and_(leaf.kind == USAGE, leaf.position > after, leaf.position <= until)


def logged_as(connection: Connection, kind: str) -> Iterator[Values]:
    """``record, salt, leaf_hash`` of the leaves of a kind, in their order."""
    leaf = log_leaves.c
    columns = (leaf.position, leaf.record, leaf.salt, leaf.leaf_hash)
    asked = select(*columns).where(leaf.kind == kind).order_by(leaf.position)
    for row in _streamed(connection, asked):
        found = opened_leaf(connection, row["position"], row["record"], row["salt"])
        yield row | {"record": found.record, "salt": found.salt}


def issued(connection: Connection) -> Iterator[Values]:
    """What was issued, the oldest first, with its ``credit_nanos, paid_nanos, credited_nanos``."""
    i = invoices.c
    asked = STANDING.where(i.number.is_not(None))
    return _streamed(connection, asked.order_by(i.issued_at, i.number))


def taken(connection: Connection) -> dict[str, list[Values]]:
    """By document, what it took of which months, as ``billed`` has it."""
    found: dict[str, list[Values]] = defaultdict(list)
    for row in connection.execute(select(billed)).mappings():
        found[row["invoice"]].append(dict(row))
    return found


def voided(connection: Connection) -> set[str]:
    """The ids of invoices that the ledger has taken back."""
    t = ledger_transactions.c
    return set(connection.execute(select(t.reference).where(t.kind == "void")).scalars())


def paid(connection: Connection) -> Iterator[Values]:
    """``id, currency, nanos`` of payments, with the ``booked`` that the ledger has of each.

    That is what the customer owes less for it; NULL where the ledger has nothing.
    """
    p, booked = payments.c, _booked()
    asked = select(p.id, p.currency, p.nanos, booked.c.nanos.label("booked"))
    beside = and_(booked.c.reference == p.id, booked.c.currency == p.currency)
    return _streamed(connection, asked.outerjoin(booked, beside).order_by(p.id))


def booked_alone(connection: Connection) -> str | None:
    """A payment that the ledger has and that is nowhere else, if there is one."""
    booked = _booked().c
    known = select(payments.c.id).where(payments.c.id == booked.reference).exists()
    return connection.execute(select(booked.reference).where(~known).limit(1)).scalar()


def _booked() -> sqlalchemy.Subquery:
    t, e = ledger_transactions.c, ledger_entries.c
    asked = select(t.reference, e.currency, (-func.sum(e.nanos)).label("nanos"))
    asked = asked.join(ledger_entries, e.sequence == t.sequence)
    asked = asked.where(t.kind == "payment", e.account.startswith("receivable:", autoescape=True))
    return asked.group_by(t.reference, e.currency).subquery()


def _streamed(connection: Connection, asked: sqlalchemy.Select[Any]) -> Iterator[Values]:
    """Not all in memory at once."""
    with connection.execute(asked, execution_options={"yield_per": 500}) as rows:
        yield from opened(connection, asked, map(dict, rows.mappings()))
