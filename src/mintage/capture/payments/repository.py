"""All SQL of this room: what providers were asked to collect, and what they took otherwise."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Select, insert, select, update

from mintage.store.schema import invoices, payment_mismatches, payment_requests
from mintage.store.statements import insert_or_change

Connection = sqlalchemy.Connection
Values = dict[str, Any]


def payer_of(connection: Connection, provider: str, customer: str) -> str | None:
    """What a provider calls a customer, where it was asked to collect from them before."""
    r = payment_requests.c
    asked = (
        select(r.payer)
        .join(invoices, invoices.c.id == r.invoice)
        .where(r.provider == provider, invoices.c.customer == customer, r.payer.is_not(None))
        .order_by(r.pushed_at.desc())
    )
    return connection.execute(asked.limit(1)).scalar()


def keep_request(connection: Connection, values: Values) -> None:
    """Keep what a provider was asked to collect; what was known of it gives way."""
    key = ("provider", "invoice")
    changes = {name: value for name, value in values.items() if name not in key}
    insert_or_change(connection, payment_requests, values, changes, key=key)


def find_request(connection: Connection, provider: str, invoice: str) -> Values | None:
    """What a provider was asked to collect for an invoice."""
    r = payment_requests.c
    wanted = (r.provider == provider) & (r.invoice == invoice)
    return _first(connection, select(payment_requests).where(wanted))


def open_requests(connection: Connection, provider: str | None) -> list[Values]:
    """What providers were asked to collect for invoices that are not paid yet, with its number."""
    r = payment_requests.c
    asked = (
        select(payment_requests, invoices.c.number)
        .join(invoices, invoices.c.id == r.invoice)
        .where(invoices.c.status == "issued")
        .order_by(r.pushed_at, r.invoice)
    )
    return _all(connection, asked if provider is None else asked.where(r.provider == provider))


def add_mismatch(connection: Connection, values: Values) -> None:
    """Keep a payment that is not what is owed."""
    connection.execute(insert(payment_mismatches).values(values))


def find_mismatch(connection: Connection, provider: str, reference: str) -> Values | None:
    """The payment that a provider names so, where it was not what is owed."""
    m = payment_mismatches.c
    wanted = (m.provider == provider) & (m.reference == reference)
    return _first(connection, select(payment_mismatches).where(wanted))


def mismatches(connection: Connection, reference: str | None = None) -> list[Values]:
    """Payments that are not what is owed, nor set right, the oldest first; or those named so."""
    m = payment_mismatches.c
    wanted = m.dismissed_at.is_(None) if reference is None else m.reference == reference
    ordered = select(payment_mismatches).where(wanted).order_by(m.received_at, m.reference)
    return _all(connection, ordered)


def dismiss_mismatch(
    connection: Connection, provider: str, reference: str, reason: str, now: str
) -> None:
    """Note that a payment was set right otherwise."""
    m = payment_mismatches.c
    named = (m.provider == provider) & (m.reference == reference)
    said = {"dismissed_at": now, "dismissed_reason": reason}
    connection.execute(update(payment_mismatches).where(named).values(said))


def _all(connection: Connection, statement: Select[Any]) -> list[Values]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _first(connection: Connection, statement: Select[Any]) -> Values | None:
    row = connection.execute(statement.limit(1)).mappings().first()
    return None if row is None else dict(row)
