"""All SQL of this room."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy
from sqlalchemy import and_, func, insert, or_, select, update

from mintage.store.schema import customers, deliveries, notices, webhook_endpoints
from mintage.store.sealed import all_rows, closed, first_row

Connection = sqlalchemy.Connection
Values = dict[str, Any]

_E, _D, _N = webhook_endpoints.c, deliveries.c, notices.c


def add_notice(connection: Connection, values: Values) -> None:
    """Keep a notice."""
    connection.execute(insert(notices).values(closed(connection, notices, values)))


def add_deliveries(connection: Connection, rows: list[Values]) -> None:
    """Keep to whom a notice goes."""
    if rows:
        connection.execute(insert(deliveries), rows)


def last_notice(connection: Connection, type_: str) -> Values | None:
    """The newest notice of a type."""
    asked = select(notices).where(_N.type == type_).order_by(_N.told_at.desc()).limit(1)
    return first_row(connection, asked)


def endpoints_for(connection: Connection, customer: str | None) -> list[Values]:
    """The endpoints that stand and hear of a customer; None: those that hear of all."""
    hears = or_(_E.customer.is_(None), _E.customer == customer)
    return all_rows(connection, select(webhook_endpoints).where(_E.removed_at.is_(None), hears))


def add_endpoint(connection: Connection, values: Values) -> None:
    """Keep a new endpoint."""
    said = closed(connection, webhook_endpoints, values)
    connection.execute(insert(webhook_endpoints).values(said))


def change_endpoint(connection: Connection, endpoint: str, values: Values) -> None:
    """Change what an endpoint is."""
    said = closed(connection, webhook_endpoints, values | {"id": endpoint})
    connection.execute(update(webhook_endpoints).where(_E.id == endpoint).values(said))


def find_endpoint(connection: Connection, endpoint: str) -> Values | None:
    """An endpoint by its id, a removed one too."""
    return first_row(connection, select(webhook_endpoints).where(_E.id == endpoint))


def all_endpoints(connection: Connection) -> list[Values]:
    """The endpoints that stand, the oldest first, with their customer's name as ``name``."""
    asked = (
        select(webhook_endpoints, customers.c.name, customers.c.id.label("customer_id"))
        .outerjoin(customers, customers.c.id == _E.customer)
        .where(_E.removed_at.is_(None))
        .order_by(_E.created_at, _E.id)
    )
    rows = all_rows(connection, asked)
    return [{name: each for name, each in row.items() if name != "customer_id"} for row in rows]


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many deliveries there are, by endpoint and status."""
    asked = select(_D.endpoint, _D.status, func.count()).group_by(_D.endpoint, _D.status)
    return {(row[0], row[1]): int(row[2]) for row in connection.execute(asked)}


def waiting_endpoints(connection: Connection, moment: str) -> list[str]:
    """The endpoints for which something is due that nobody is sending."""
    asked = select(_D.endpoint).where(_is_free(moment), _D.next_at <= moment).distinct()
    return sorted(row[0] for row in connection.execute(asked))


def due(connection: Connection, endpoint: str, moment: str, at_most: int) -> list[str]:
    """The notices that are due at an endpoint and that nobody is sending, the oldest first."""
    asked = (
        select(_D.notice)
        .where(_D.endpoint == endpoint, _is_free(moment), _D.next_at <= moment)
        .order_by(_D.next_at, _D.notice)
        .limit(at_most)
    )
    return [row[0] for row in connection.execute(asked)]


def claim(connection: Connection, notice: str, endpoint: str, values: Values, moment: str) -> bool:
    """Take the lease of a delivery, and count the try; False where another was faster."""
    changed = connection.execute(
        update(deliveries)
        .where(_is(notice, endpoint), _is_free(moment), _D.next_at <= moment)
        .values(tries=_D.tries + 1, **values)
    )
    return changed.rowcount == 1


def settle(connection: Connection, notice: str, endpoint: str, lease: str, values: Values) -> bool:
    """Write what came of a try; False where the lease is another's by now."""
    held = and_(_is(notice, endpoint), _D.lease == lease, _D.status == "waiting")
    given_back: Values = {"lease": None, "lease_until": None}
    changed = connection.execute(update(deliveries).where(held).values(given_back | values))
    return changed.rowcount == 1


def find_delivery(connection: Connection, notice: str, endpoint: str) -> Values | None:
    """A delivery with its notice: ``tries, type, data, told_at`` and the endpoint's row."""
    asked = (
        select(_D.tries, _N.id.label("notice"), _N.type, _N.data, _N.told_at, webhook_endpoints)
        .join(notices, _N.id == _D.notice)
        .join(webhook_endpoints, _E.id == _D.endpoint)
        .where(_is(notice, endpoint))
    )
    return first_row(connection, asked)


def end_deliveries(connection: Connection, endpoint: str, answer: str, moment: str) -> int:
    """What still waits for an endpoint has failed; how many they were."""
    changed = connection.execute(
        update(deliveries)
        .where(_D.endpoint == endpoint, _D.status == "waiting")
        .values(status="failed", answer=answer, ended_at=moment, lease=None, lease_until=None)
    )
    return int(changed.rowcount)


def retry(connection: Connection, notice: str, endpoints: Iterable[str], moment: str) -> int:
    """Have a notice sent anew to endpoints where it failed or waits; to how many that is."""
    wanted = and_(
        _D.notice == notice,
        _D.endpoint.in_(list(endpoints)),
        _D.status != "delivered",
        or_(_D.lease_until.is_(None), _D.lease_until <= moment),
    )
    anew: Values = {"status": "waiting", "tries": 0, "next_at": moment, "ended_at": None}
    return int(connection.execute(update(deliveries).where(wanted).values(anew)).rowcount)


def deliveries_of(connection: Connection, notice: str) -> list[Values]:
    """To whom a notice goes."""
    return all_rows(connection, select(deliveries).where(_D.notice == notice).order_by(_D.endpoint))


def find_notice(connection: Connection, notice: str) -> Values | None:
    """A notice by its id."""
    return first_row(connection, select(notices).where(_N.id == notice))


def all_notices(
    connection: Connection, *, status: str | None, customer: str | None, limit: int
) -> list[Values]:
    """Notices, the newest first; with ``status`` those with such a delivery."""
    asked = select(notices).order_by(_N.told_at.desc(), _N.id.desc()).limit(limit)
    if status is not None:
        asked = asked.where(_N.id.in_(select(_D.notice).where(_D.status == status)))
    if customer is not None:
        asked = asked.where(_N.customer == customer)
    return all_rows(connection, asked)


def _is(notice: str, endpoint: str) -> sqlalchemy.ColumnElement[bool]:
    return and_(_D.notice == notice, _D.endpoint == endpoint)


def _is_free(moment: str) -> sqlalchemy.ColumnElement[bool]:
    unheld = or_(_D.lease_until.is_(None), _D.lease_until <= moment)
    return and_(_D.status == "waiting", unheld)
