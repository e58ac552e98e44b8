"""All SQL of this room."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Table, delete, func, or_, select, update

from mintage.store.schema import (
    answers,
    api_keys,
    customers,
    deliveries,
    feedback,
    invoices,
    notices,
    subscriptions,
    usage_events,
    webhook_endpoints,
)

Connection = sqlalchemy.Connection


def files_of(connection: Connection, customer: str) -> list[str]:
    """The SHA-256 of each picture that a customer sent with feedback and that still waits."""
    f = feedback.c
    waiting = (f.customer == customer) & f.collected_into.is_(None)
    return list(connection.execute(select(f.sha256).where(waiting).distinct()).scalars())


def datasets_with(connection: Connection, customer: str) -> list[str]:
    """The datasets, ``name#version``, that pictures of a customer became part of."""
    f = feedback.c
    used = (f.customer == customer) & f.collected_into.is_not(None)
    return sorted(connection.execute(select(f.collected_into).where(used).distinct()).scalars())


def drafts_of(connection: Connection, customer: str) -> int:
    """How many invoices to a customer are not issued yet."""
    return _count(connection, invoices, customer, invoices.c.status == "draft")


def unpaid_by(connection: Connection, customer: str) -> list[str]:
    """The numbers of a customer's invoices of which something is still to be paid."""
    i = invoices.c
    owed = (i.customer == customer) & (i.kind == "invoice") & (i.status == "issued")
    return list(connection.execute(select(i.number).where(owed).order_by(i.number)).scalars())


def remove(connection: Connection, customer: str, moment: str) -> dict[str, int]:
    """Remove what need not be kept, and end what goes on; how many of each there were."""
    receipts = select(usage_events.c.receipt).where(usage_events.c.customer == customer)
    told = select(notices.c.id).where(notices.c.customer == customer)
    e, k, s = webhook_endpoints.c, api_keys.c, subscriptions.c
    ours = select(e.id).where(e.customer == customer)
    sent = or_(deliveries.c.notice.in_(told), deliveries.c.endpoint.in_(ours))
    done = {
        "feedback": delete(feedback).where(feedback.c.customer == customer),
        "answers": delete(answers).where(answers.c.receipt.in_(receipts)),
        "deliveries": delete(deliveries).where(sent),
        "notices": delete(notices).where(notices.c.customer == customer),
        "webhooks": delete(webhook_endpoints).where(e.customer == customer),
        "keys": update(api_keys)
        .where(k.customer == customer, k.revoked_at.is_(None))
        .values(revoked_at=moment),
        "subscriptions": update(subscriptions)
        .where(s.customer == customer, s.ended_at.is_(None))
        .values(ended_at=moment, ended_by="cancel"),
    }
    counts = {name: int(connection.execute(each).rowcount) for name, each in done.items()}
    gone = {"name_key": customer, "erased_at": moment}
    connection.execute(update(customers).where(customers.c.id == customer).values(gone))
    return counts


def remaining(connection: Connection, customer: str) -> dict[str, int]:
    """How much the law has a seller keep of a customer."""
    i = invoices.c
    return {
        "invoices": _count(connection, invoices, customer, i.kind == "invoice"),
        "credit_notes": _count(connection, invoices, customer, i.kind == "credit_note"),
        "usage_events": _count(connection, usage_events, customer),
    }


def _count(connection: Connection, table: Table, customer: str, *wanted: Any) -> int:
    asked = select(func.count()).select_from(table).where(table.c.customer == customer, *wanted)
    return int(connection.execute(asked).scalar_one())
