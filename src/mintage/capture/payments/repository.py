"""All SQL of this room: what providers were asked to collect, and what is in nobody's books."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import exists, insert, select, update

from mintage.store.schema import invoices, payment_mismatches, payment_requests, payments
from mintage.store.sealed import all_rows, first_row
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
    return first_row(connection, select(payment_requests).where(wanted))


def open_requests(connection: Connection, provider: str | None, since: str) -> list[Values]:
    """What providers were asked to collect and may still be told of as paid, with its number.

    For invoices that are not paid yet, and those closed since a moment but by that provider.
    """
    r, i, p = payment_requests.c, invoices.c, payments.c
    paid_there = exists().where((p.invoice == r.invoice) & (p.provider == r.provider))
    asked = (
        select(payment_requests, i.number)
        .join(invoices, i.id == r.invoice)
        .where((i.status == "issued") | ((i.closed_at > since) & ~paid_there))
        .order_by(r.pushed_at, r.invoice)
    )
    return all_rows(connection, asked if provider is None else asked.where(r.provider == provider))


def add_mismatch(connection: Connection, values: Values) -> None:
    """Keep a payment that the books cannot say."""
    connection.execute(insert(payment_mismatches).values(values))


def find_mismatch(connection: Connection, provider: str, reference: str) -> Values | None:
    """The payment that a provider names so, where the books cannot say it."""
    m = payment_mismatches.c
    wanted = (m.provider == provider) & (m.reference == reference)
    return first_row(connection, select(payment_mismatches).where(wanted))


def mismatches(connection: Connection, reference: str | None = None) -> list[Values]:
    """Payments that are in nobody's books nor set right, the oldest first; or those named so."""
    m = payment_mismatches.c
    wanted = m.dismissed_at.is_(None) if reference is None else m.reference == reference
    ordered = select(payment_mismatches).where(wanted).order_by(m.received_at, m.reference)
    return all_rows(connection, ordered)


def dismiss_mismatch(
    connection: Connection, provider: str, reference: str, reason: str, now: str
) -> None:
    """Note that a payment was set right otherwise."""
    m = payment_mismatches.c
    named = (m.provider == provider) & (m.reference == reference)
    said = {"dismissed_at": now, "dismissed_reason": reason}
    connection.execute(update(payment_mismatches).where(named).values(said))
