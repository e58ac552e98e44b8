"""All SQL of this room. What runs on every call is plain text for the driver; the rest is Core."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Row,
    RowMapping,
    Select,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from mintage.core.types import UNKNOWN_CURRENCY
from mintage.store.schema import (
    answers,
    api_keys,
    customers,
    feedback,
    log_leaves,
    operator_keys,
    operators,
    plans,
    rollup_steps,
    subscriptions,
    usage_events,
    usage_hours,
)
from mintage.store.sealed import all_rows, closed, first_row, found_by
from mintage.store.statements import Insertion, Statement

Connection = sqlalchemy.Connection  # so that the rest of the room need not import SQLAlchemy
Values = dict[str, Any]

EVENT_COLUMNS = [column.name for column in usage_events.columns if column.name != "sequence"]
# DO NOTHING instead of an error: a repeated id must not cost its neighbours anything.
_INSERT_EVENTS = Insertion(
    usage_events, EVENT_COLUMNS, " ON CONFLICT (customer, origin, id) DO NOTHING"
)
_KEY_BY_DIGEST = Statement(
    "SELECT id, customer, sha256, scopes, products, networks, expires_at, budget, revoked_at"
    " FROM api_keys WHERE sha256 = :sha256"
)
_OFFER = Statement(
    "SELECT plans.name, plans.version, plans.terms, plans.created_at"
    " FROM products LEFT JOIN plans ON plans.name = products.plan"
    " WHERE products.name = :product ORDER BY plans.version DESC LIMIT 1"
)
_FIRST_DUE = Statement(
    "SELECT number, due_at FROM invoices WHERE customer = :customer AND kind = 'invoice'"
    " AND status = 'issued' ORDER BY due_at LIMIT 1"
)
_NEWEST_UNTIL = Statement(
    "SELECT sequence FROM usage_events WHERE customer = :customer AND recorded_at <= :moment"
    " ORDER BY sequence DESC LIMIT 1"
)
_OUTCOMES_AFTER = Statement(
    "SELECT sequence, recorded_at, outcome FROM usage_events"
    " WHERE customer = :customer AND sequence > :sequence ORDER BY sequence"
)


def key_by_digest(connection: Connection, sha256: str) -> RowMapping | None:
    """``id, customer, sha256``, limits and ``revoked_at`` of the key with this digest."""
    return _KEY_BY_DIGEST.execute(connection, sha256=sha256).mappings().first()


def offer(connection: Connection, product: str) -> Row[Any] | None:
    """The product's plan in its newest version: ``name, version, terms, created_at``.

    All are NULL if that plan was never set; None if there is no such product.
    """
    return _OFFER.execute(connection, product=product).first()


def first_due(connection: Connection, customer: str) -> Row[Any] | None:
    """``number, due_at`` of a customer's invoice that is not paid and was due first."""
    return _FIRST_DUE.execute(connection, customer=customer).first()


def insert_events(connection: Connection, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether all of them are new, of ``EVENT_COLUMNS``; where one is not, none may stay."""
    return _INSERT_EVENTS.execute(connection, rows) == len(rows)


def newest_until(connection: Connection, customer: str, moment: str) -> int:
    """The sequence of the customer's newest event that was recorded by then; 0 if there is none."""
    found = _NEWEST_UNTIL.execute(connection, customer=customer, moment=moment)
    return int(found.scalar() or 0)


def outcomes_after(connection: Connection, customer: str, sequence: int) -> Iterable[Row[Any]]:
    """``sequence, recorded_at, outcome`` of the customer's later events, the oldest first."""
    return _OUTCOMES_AFTER.execute(connection, customer=customer, sequence=sequence)


def event_receipt(connection: Connection, customer: str, origin: str, event: str) -> str | None:
    """The receipt of the event that has this identity."""
    e = usage_events.c
    found = and_(e.customer == customer, e.origin == origin, e.id == event)
    return connection.execute(select(e.receipt).where(found)).scalar()


def events(
    connection: Connection,
    *,
    customer: str | None,
    product: str | None,
    among: Collection[str] | None,
    before: int | None,
    limit: int,
    within: tuple[str, str] | None = None,
) -> list[Values]:
    """Usage events, newest first; ``among`` are products, ``before`` is a sequence number.

    ``within`` are the moments that they were recorded from, and before.
    """
    statement = select(usage_events).order_by(usage_events.c.sequence.desc()).limit(limit)
    if within is not None:
        statement = statement.where(_recorded(*within))
    if customer is not None:
        statement = statement.where(usage_events.c.customer == customer)
    if product is not None:
        statement = statement.where(usage_events.c.product == product)
    if among is not None:
        statement = statement.where(usage_events.c.product.in_(among))
    if before is not None:
        statement = statement.where(usage_events.c.sequence < before)
    return all_rows(connection, statement)


def used_in(
    connection: Connection,
    customer: str | None,
    moments: tuple[str, str],
    among: Collection[str] | None,
) -> list[Values]:
    """``customer, product, outcome, unit, quantity, events`` of what was used, between full hours.

    What is summed up by the hour already is read from there, and the rest from the events; of those
    with several units the first carries how many there are.
    """
    last = connection.execute(select(func.max(rollup_steps.c.step))).scalar() or 0
    h, e = usage_hours.c, usage_events.c
    begin, end = (moment[:13] for moment in moments)

    def asked(of: Any, alike: Any, within: ColumnElement[bool], *sums: Any) -> list[Values]:
        key = (of.customer, of.product, of.outcome, alike)
        mine = select(*key, *sums).where(within).group_by(*key)
        if customer is not None:
            mine = mine.where(of.customer == customer)
        if among is not None:
            mine = mine.where(of.product.in_(among))
        return all_rows(connection, mine)

    sums = (func.sum(h.quantity).label("quantity"), func.sum(h.events).label("events"))
    summed = asked(h, h.unit, and_(h.hour >= begin, h.hour < end), *sums)
    since = and_(e.sequence > last, _recorded(*moments))
    later = asked(e, e.quantities, since, func.count().label("events"))
    return [*summed, *(unit for row in later for unit in _by_unit(row))]


def _by_unit(row: Values) -> list[Values]:
    """Events of the same quantities as ``capture.hours`` sums them up."""
    quantities = json.loads(row["quantities"]) or {"": 0}
    return [
        row | {"unit": unit, "quantity": each * row["events"], "events": 0 if n else row["events"]}
        for n, (unit, each) in enumerate(quantities.items())
    ]


def _recorded(begin: str, end: str) -> ColumnElement[bool]:
    e = usage_events.c
    return and_(e.recorded_at >= begin, e.recorded_at < end)


def is_shown(row: Values, customer: str | None, among: Collection[str] | None) -> bool:
    """Whether a record is this customer's and of one of these products; None is any."""
    return customer in (None, row["customer"]) and (among is None or row["product"] in among)


def event_by_receipt(connection: Connection, receipt: str) -> Values | None:
    """The event with this receipt, and the ``leaf_hash`` at its position."""
    statement = (
        select(usage_events, log_leaves.c.leaf_hash)
        .join(log_leaves, log_leaves.c.position == usage_events.c.log_position)
        .where(usage_events.c.receipt == receipt)
    )
    return first_row(connection, statement)


def event_by_id(connection: Connection, customer: str, origin: str, event: str) -> Values | None:
    """The event that has this identity, its ``leaf_hash``, and ``answer, expires_at`` if kept."""
    e = usage_events.c
    statement = (
        select(
            usage_events,
            log_leaves.c.leaf_hash,
            answers.c.answer,
            answers.c.expires_at,
            answers.c.receipt.label("answered"),
        )
        .join(log_leaves, log_leaves.c.position == e.log_position)
        .outerjoin(answers, answers.c.receipt == e.receipt)
        .where(and_(e.customer == customer, e.origin == origin, e.id == event))
    )
    return first_row(connection, statement)


def insert_answer(
    connection: Connection, customer: str, receipt: str, answer: bytes, expires_at: str
) -> None:
    """Keep what a repetition of this event's action is answered with."""
    values = {"receipt": receipt, "answer": answer, "expires_at": expires_at}
    said = closed(connection, answers, values | {"customer": customer})
    connection.execute(insert(answers).values(said))


def remove_expired_answers(connection: Connection, now: str, at_most: int) -> None:
    """Forget answers whose time is over, the oldest first."""
    oldest = select(answers.c.receipt).where(answers.c.expires_at <= now)
    oldest = oldest.order_by(answers.c.expires_at).limit(at_most)
    connection.execute(delete(answers).where(answers.c.receipt.in_(oldest)))


def save_feedback(connection: Connection, values: Values) -> None:
    """Keep what was said of one answer, in place of what was said of it before."""
    connection.execute(delete(feedback).where(feedback.c.receipt == values["receipt"]))
    connection.execute(insert(feedback).values(closed(connection, feedback, values)))


def find_feedback(connection: Connection, receipt: str) -> Values | None:
    """What was said of the answer with this receipt."""
    return first_row(connection, select(feedback).where(feedback.c.receipt == receipt))


def all_feedback(connection: Connection, product: str | None, *, waiting: bool) -> list[Values]:
    """What was said, the oldest first; ``waiting`` leaves out what is part of a dataset."""
    statement = select(feedback).order_by(feedback.c.given_at, feedback.c.receipt)
    if product is not None:
        statement = statement.where(feedback.c.product == product)
    if waiting:
        statement = statement.where(feedback.c.collected_into.is_(None))
    return all_rows(connection, statement)


def waiting_feedback(connection: Connection, but: str) -> list[Values]:
    """``customer, count, size_bytes`` of what waits to be collected, but for one receipt's."""
    f = feedback.c
    counted = (f.customer, func.count().label("count"), func.sum(f.size_bytes).label("size_bytes"))
    others = f.collected_into.is_(None) & (f.receipt != but)
    return all_rows(connection, select(*counted).where(others).group_by(f.customer))


def mark_collected(connection: Connection, receipts: Sequence[str], dataset: str) -> None:
    """What was said of these answers is part of a dataset now."""
    for receipt in receipts:
        same = feedback.c.receipt == receipt
        connection.execute(update(feedback).where(same).values(collected_into=dataset))


def remove_feedback(connection: Connection, receipt: str) -> None:
    """Forget what was said of one answer."""
    connection.execute(delete(feedback).where(feedback.c.receipt == receipt))


def waiting_customers(connection: Connection, sha256: str) -> list[str]:
    """Whose feedback with this file waits to be collected."""
    wanted = (feedback.c.sha256 == sha256) & feedback.c.collected_into.is_(None)
    asked = select(feedback.c.customer).where(wanted).distinct()
    return list(connection.execute(asked).scalars())


def usage_counts(connection: Connection, customer: str) -> list[Values]:
    """How many events share outcome, product, plan version and quantities."""
    e = usage_events.c
    alike = (e.outcome, e.product, e.plan, e.plan_version, e.quantities)
    statement = select(*alike, func.count().label("events")).group_by(*alike)
    return all_rows(connection, statement.where(e.customer == customer))


# Core has no words for both databases' JSON in a text.
_UNIT_OF = {
    "sqlite": "json_each(e.quantities)",
    "postgresql": "LATERAL json_each_text(CAST(e.quantities AS json))",
}
_ANSWERED_AT_KNOWN_COST = (
    "e.outcome IN ('ok', 'abstain', 'partial') AND e.cost_currency <> :unknown"
)
_SPENT_ON_UNIT = (
    "SELECT e.cost_currency, count(*) AS events, sum(e.compute_seconds) AS compute_seconds,"  # noqa: S608 - no values
    " sum(e.cost_picos) AS cost_picos, sum(CAST(each.value AS BIGINT)) AS quantity"
    " FROM usage_events AS e JOIN {each} AS each ON each.key = :unit"
    f" WHERE {_ANSWERED_AT_KNOWN_COST} {{product}} GROUP BY e.cost_currency"
)
_COUNTED_WITH = (
    "SELECT other.key AS unit, sum(CAST(other.value AS BIGINT)) AS quantity"  # noqa: S608 - no values
    " FROM usage_events AS e JOIN {each} AS each ON each.key = :unit JOIN {each} AS other ON true"
    f" WHERE {_ANSWERED_AT_KNOWN_COST} {{product}} GROUP BY other.key"
)


def spent_on_unit(connection: Connection, unit: str, product: str | None) -> list[Row[Any]]:
    """What answers that counted a unit took, of this product or of all, where that is known.

    ``cost_currency, events, compute_seconds, cost_picos, quantity``, a row for each currency that
    is asked in ("" where it was computed here). The quantity is of that unit alone, the rest is of
    the answers, whatever else they counted.
    """
    return _of_unit(connection, _SPENT_ON_UNIT, unit, product)


def counted_with(connection: Connection, unit: str, product: str | None) -> dict[str, int]:
    """What answers that counted a unit counted in all, by unit: those of ``spent_on_unit``."""
    rows = _of_unit(connection, _COUNTED_WITH, unit, product)
    return {row.unit: int(row.quantity) for row in rows}


def _of_unit(
    connection: Connection, statement: str, unit: str, product: str | None
) -> list[Row[Any]]:
    values = {"unit": unit, "unknown": UNKNOWN_CURRENCY}
    statement = statement.format(
        each=_UNIT_OF[connection.dialect.name],
        product="" if product is None else "AND e.product = :product",
    )
    if product is not None:
        values["product"] = product
    return list(connection.execute(text(statement), values))


def add_customer(connection: Connection, values: Values) -> None:
    """Keep a new customer."""
    connection.execute(insert(customers).values(closed(connection, customers, values)))


def change_customer(connection: Connection, customer: str, values: Values) -> None:
    """Change what is kept of a customer."""
    said = closed(connection, customers, values | {"id": customer})
    connection.execute(update(customers).where(customers.c.id == customer).values(said))


def find_customer(connection: Connection, name_or_id: str) -> Values | None:
    """The customer of this id or this name."""
    named = found_by(connection, customers, "name", name_or_id)
    either = (customers.c.id == name_or_id) | (customers.c.name_key == named)
    return first_row(connection, select(customers).where(either))


def all_customers(
    connection: Connection, after: str | None = None, limit: int | None = None
) -> list[Values]:
    """Every customer, by name; with ``after`` those whose names come later, ``limit`` at most.

    Where names are sealed they come in an order of their own, always the same.
    """
    by = customers.c.name_key
    asked = select(customers).order_by(by).limit(limit)
    if after is not None:
        asked = asked.where(by > select(by).where(customers.c.id == after).scalar_subquery())
    return all_rows(connection, asked)


def add_key(connection: Connection, values: Values) -> None:
    """Keep what may be kept of a new key."""
    connection.execute(insert(api_keys).values(closed(connection, api_keys, values)))


def find_key(connection: Connection, key_id: str) -> Values | None:
    """What is kept of a key."""
    return first_row(connection, _key_columns().where(api_keys.c.id == key_id))


def keys_of(connection: Connection, customer: str) -> list[Values]:
    """A customer's keys, oldest first."""
    statement = _key_columns().where(api_keys.c.customer == customer).order_by(api_keys.c.id)
    return all_rows(connection, statement)


def key_that_replaces(connection: Connection, key_id: str) -> str | None:
    """The id of the key that was made in place of this one."""
    wanted = select(api_keys.c.id).where(api_keys.c.replaces == key_id)
    return connection.execute(wanted).scalar()


def expire_key(connection: Connection, key_id: str, moment: str) -> None:
    """Have a key expire at another moment."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(expires_at=moment))


def expired_keys(connection: Connection, moment: str) -> list[Values]:
    """The keys whose time is over and that nobody revoked."""
    k = api_keys.c
    over = k.revoked_at.is_(None) & (k.expires_at <= moment)
    return all_rows(connection, _key_columns().where(over).order_by(k.id))


def revoke_key(connection: Connection, key_id: str, moment: str) -> None:
    """Mark a key as revoked."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=moment))


def add_plan(connection: Connection, values: Values) -> None:
    """Keep a new version of a plan."""
    connection.execute(insert(plans).values(values))


def current_plan(connection: Connection, name: str) -> Values | None:
    """The newest version of a plan."""
    return first_row(
        connection, select(plans).where(plans.c.name == name).order_by(plans.c.version.desc())
    )


def plan_version(connection: Connection, name: str, version: int) -> Values | None:
    """One version of a plan."""
    wanted = (plans.c.name == name) & (plans.c.version == version)
    return first_row(connection, select(plans).where(wanted))


def versions_of_plan(connection: Connection, name: str) -> list[Values]:
    """Every version of a plan, the newest first."""
    asked = select(plans).where(plans.c.name == name)
    return all_rows(connection, asked.order_by(plans.c.version.desc()))


def all_plans(connection: Connection) -> list[Values]:
    """Every version of every plan."""
    return all_rows(connection, select(plans).order_by(plans.c.name, plans.c.version))


def add_subscription(connection: Connection, values: Values) -> None:
    """Keep what a customer has begun."""
    connection.execute(insert(subscriptions).values(values))


def change_subscription(connection: Connection, subscription: str, values: Values) -> None:
    """Say when it ended, and by what."""
    connection.execute(
        update(subscriptions).where(subscriptions.c.id == subscription).values(values)
    )


def subscriptions_of(connection: Connection, customer: str) -> list[Values]:
    """What a customer has ever begun, the oldest first."""
    s = subscriptions.c
    asked = select(subscriptions).where(s.customer == customer).order_by(s.started_at, s.id)
    return all_rows(connection, asked)


def add_operator(connection: Connection, values: Values) -> None:
    """Keep a new operator."""
    connection.execute(insert(operators).values(closed(connection, operators, values)))


def find_operator(connection: Connection, operator: str) -> Values | None:
    """The operator of this name or id."""
    o = operators.c
    named = o.name_key == found_by(connection, operators, "name", operator)
    return first_row(connection, _operators().where(or_(o.id == operator, named)))


def all_operators(connection: Connection) -> list[Values]:
    """Every operator, by name."""
    return all_rows(connection, _operators().order_by(operators.c.name_key))


def change_operator(connection: Connection, operator: str, values: Values) -> None:
    """Say what is otherwise of an operator."""
    said = closed(connection, operators, values | {"id": operator})
    connection.execute(update(operators).where(operators.c.id == operator).values(said))


def add_operator_key(connection: Connection, values: Values) -> None:
    """Keep the digest of an operator's new key."""
    connection.execute(insert(operator_keys).values(values))


def operator_key_by_digest(connection: Connection, sha256: str) -> Values | None:
    """``sha256, expires_at`` of the key with this digest, and its operator's own columns."""
    k = operator_keys.c
    asked = _operators(k.sha256, k.expires_at).join(operator_keys, operators.c.id == k.operator)
    return first_row(connection, asked.where(k.sha256 == sha256))


def operator_keys_of(connection: Connection, operator: str) -> list[Values]:
    """``last4, created_at, expires_at`` of an operator's keys, the oldest first."""
    k = operator_keys.c
    asked = select(k.last4, k.created_at, k.expires_at).where(k.operator == operator)
    return all_rows(connection, asked.order_by(k.created_at, k.sha256))


def expire_operator_keys(connection: Connection, operator: str, moment: str) -> None:
    """Have the keys that an operator has end by then, if they do not sooner."""
    k = operator_keys.c
    longer = or_(k.expires_at.is_(None), k.expires_at > moment)
    connection.execute(
        update(operator_keys).where(k.operator == operator, longer).values(expires_at=moment)
    )


def _operators(*more: ColumnElement[Any]) -> Select[Any]:
    return select(*(column for column in operators.columns if column.name != "name_key"), *more)


def _key_columns() -> Select[Any]:
    return select(*(column for column in api_keys.columns if column.name != "sha256"))
