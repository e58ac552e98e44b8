"""All SQL of this room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from mintage.store.schema import (
    billed,
    customers,
    invoices,
    ledger_entries,
    ledger_transactions,
    log_leaves,
    numbers,
    payments,
    reminders,
    rollup_steps,
    subscriptions,
    usage_events,
    usage_hours,
)

Connection = sqlalchemy.Connection
Values = dict[str, Any]

_LIVE = ("draft", "issued", "paid", "credited")
_SAME = (
    "customer, substr(recorded_at, 1, 13), product, provider_model, provider_version, plan,"
    " plan_version, outcome, quantities, cost_currency"
)
_SUM_UP = text(
    "INSERT INTO usage_hours (customer, hour, product, provider_model, provider_version, plan,"  # noqa: S608
    " plan_version, outcome, quantities, cost_currency, step, events, compute_seconds, cost_picos)"
    f" SELECT {_SAME}, :step, count(*), sum(compute_seconds), sum(cost_picos)"
    " FROM usage_events WHERE sequence > :after AND sequence <= :step"
    f" GROUP BY {_SAME}"
)


_KEY = [column.name for column in usage_hours.primary_key if column.name != "step"]
# The events of a step summed up again, each sum beside the row that it ought to be.
_AGAIN = (
    "WITH again AS (SELECT customer, substr(recorded_at, 1, 13) AS hour, product, provider_model,"  # noqa: S608
    " provider_version, plan, plan_version, outcome, quantities, cost_currency,"
    " count(*) AS events, sum(compute_seconds) AS seconds, sum(cost_picos) AS picos"
    " FROM usage_events"
    f" WHERE sequence > :after AND sequence <= :step GROUP BY {_SAME})"
)
_BESIDE = " AND ".join(f"h.{name} = again.{name}" for name in _KEY) + " AND h.step = :step"
# Seconds are floats: what the order of adding them may change is far below a microsecond each.
_OTHERWISE = (
    "(h.events IS NULL OR h.events <> again.events OR h.cost_picos <> again.picos"
    " OR abs(h.compute_seconds - again.seconds) > 0.000001 * again.events)"
)
_COUNTED_AGAIN = text(
    f"{_AGAIN} SELECT count(*) AS hours, coalesce(sum(CASE WHEN {_OTHERWISE} THEN 1 ELSE 0 END), 0)"  # noqa: S608
    f" AS otherwise FROM again LEFT JOIN usage_hours AS h ON {_BESIDE}"
)
_SUMMED_OTHERWISE = text(
    f"{_AGAIN} SELECT again.customer, again.hour, again.product FROM again"  # noqa: S608
    f" LEFT JOIN usage_hours AS h ON {_BESIDE} WHERE {_OTHERWISE} LIMIT 1"
)
_NOT_RECORDED = text(
    f"{_AGAIN} SELECT h.customer, h.hour, h.product FROM usage_hours AS h"  # noqa: S608
    f" LEFT JOIN again ON {_BESIDE} WHERE h.step = :step AND again.customer IS NULL LIMIT 1"
)

# Made once: that takes longer than SQLite takes to answer them.
_h = usage_hours.c
_WITHIN = and_(
    _h.customer == bindparam("customer"),
    _h.hour >= bindparam("begin"),
    _h.hour < bindparam("end"),
    _h.step <= bindparam("until"),
)
_UNDER = and_(_WITHIN, _h.plan == bindparam("plan"), _h.plan_version == bindparam("version"))
_PLANS_USED = select(_h.plan, _h.plan_version).where(_WITHIN).distinct()
_USED_ALIKE = (_h.product, _h.outcome, _h.quantities)
_USED_BY_HOUR = (
    select(*_USED_ALIKE, func.sum(_h.events).label("events"), func.max(_h.step).label("newest"))
    .where(_UNDER)
    .group_by(*_USED_ALIKE)
)
_COMPUTED_ALIKE = (
    _h.product,
    _h.provider_model,
    _h.provider_version,
    _h.outcome,
    _h.quantities,
    _h.cost_currency,
)
_COMPUTED_BY_MODEL = (
    select(
        *_COMPUTED_ALIKE,
        func.sum(_h.events).label("events"),
        func.sum(_h.compute_seconds).label("compute_seconds"),
        func.sum(_h.cost_picos).label("cost_picos"),
    )
    .where(_UNDER)
    .group_by(*_COMPUTED_ALIKE)
)
_DAYS_USED = text(
    "SELECT plan, plan_version, substr(hour, 1, 10) AS day, max(step) AS newest FROM usage_hours"
    " WHERE customer = :customer GROUP BY plan, plan_version, substr(hour, 1, 10)"
)


def _sum_of(nanos: ColumnElement[int], wanted: ColumnElement[bool]) -> ColumnElement[int]:
    asked = select(func.coalesce(func.sum(nanos), 0)).where(wanted)
    return asked.correlate(invoices).scalar_subquery()


_note = invoices.alias()
_paid = payments.c.invoice == invoices.c.id
# A document with what its customer's credit and other ways paid of it, and what notes took back.
_STANDING = select(
    invoices,
    _sum_of(payments.c.nanos, _paid & (payments.c.provider == "credit")).label("credit_nanos"),
    _sum_of(payments.c.nanos, _paid & (payments.c.provider != "credit")).label("paid_nanos"),
    _sum_of(-_note.c.total_nanos, _note.c.corrects == invoices.c.id).label("credited_nanos"),
)

_DAYS_CALLED = text(
    "SELECT plan, plan_version, outcome, substr(hour, 1, 10) AS day FROM usage_hours"
    " WHERE customer = :customer AND step <= :until"
    " GROUP BY plan, plan_version, outcome, substr(hour, 1, 10)"
)


def last_step(connection: Connection) -> int:
    """The sequence up to which events are summed up; 0 where none are."""
    return int(connection.execute(select(func.max(rollup_steps.c.step))).scalar() or 0)


def last_event(connection: Connection, after: int, at_most: int) -> int | None:
    """The sequence of the last of so many events after one; None where there are none."""
    next_ones = (
        select(usage_events.c.sequence)
        .where(usage_events.c.sequence > after)
        .order_by(usage_events.c.sequence)
        .limit(at_most)
        .subquery()
    )
    found = connection.execute(select(func.max(next_ones.c.sequence))).scalar()
    return None if found is None else int(found)


def sum_up(connection: Connection, after: int, step: int, moment: str) -> None:
    """Add a step: the events after one sequence, up to and including another, by the hour."""
    connection.execute(_SUM_UP, {"after": after, "step": step})
    connection.execute(insert(rollup_steps).values(step=step, made_at=moment))


def hours_by_step(connection: Connection, until: int) -> dict[int, int]:
    """How many rows each step up to one has; 0 where its step is known and has none."""
    steps = connection.execute(select(rollup_steps.c.step).where(rollup_steps.c.step <= until))
    h = usage_hours.c
    counted = select(h.step, func.count().label("hours")).where(h.step <= until).group_by(h.step)
    rows = connection.execute(counted)
    return {row.step: 0 for row in steps} | {row.step: row.hours for row in rows}


def difference(connection: Connection, after: int, step: int, hours: int) -> Row[Any] | None:
    """``customer, hour, product`` where a step's rows, so many, are not the sums of its events."""
    values = {"after": after, "step": step}
    found = connection.execute(_COUNTED_AGAIN, values).one()
    if found.otherwise:
        return connection.execute(_SUMMED_OTHERWISE, values).first()
    return None if found.hours == hours else connection.execute(_NOT_RECORDED, values).first()


def plans_used(
    connection: Connection, customer: str, begin: str, end: str, until: int
) -> list[tuple[str, int]]:
    """Which versions of plans a customer used between two hours, up to a step."""
    values = {"customer": customer, "begin": begin, "end": end, "until": until}
    rows = connection.execute(_PLANS_USED, values)
    return sorted((row.plan, row.plan_version) for row in rows)


def used_by_hour(
    connection: Connection,
    customer: str,
    plan: str,
    version: int,
    begin: str,
    end: str,
    until: int,
) -> list[Row[Any]]:
    """``product, outcome, quantities, events`` under a plan between two hours, up to a step.

    ``newest`` is the newest step among them.
    """
    values = {"customer": customer, "plan": plan, "version": version}
    values |= {"begin": begin, "end": end, "until": until}
    return list(connection.execute(_USED_BY_HOUR, values))


def days_used(connection: Connection, customer: str) -> list[Row[Any]]:
    """``plan, plan_version, day, newest``: the newest step that has usage of a day, in UTC."""
    return list(connection.execute(_DAYS_USED, {"customer": customer}))


def days_called(connection: Connection, customer: str, until: int) -> list[Row[Any]]:
    """``plan, plan_version, outcome, day`` of a customer's calls up to a step, in UTC."""
    return list(connection.execute(_DAYS_CALLED, {"customer": customer, "until": until}))


def computed_by_model(
    connection: Connection, owner: tuple[str, str, int], hours: tuple[str, str], until: int
) -> list[Row[Any]]:
    """What a customer used under a plan, by model version, between two hours, up to a step.

    ``product, provider_model, provider_version, outcome, quantities, cost_currency, events,
    compute_seconds, cost_picos``.
    """
    values = dict(zip(("customer", "plan", "version"), owner, strict=True))
    values |= {"begin": hours[0], "end": hours[1], "until": until}
    return list(connection.execute(_COMPUTED_BY_MODEL, values))


def spent_between(connection: Connection, begin: str, end: str, until: int) -> list[Row[Any]]:
    """What all calls between two hours took to answer, by customer and version of a plan.

    ``customer, plan, plan_version, cost_currency, compute_seconds, cost_picos``.
    """
    h = usage_hours.c
    alike = (h.customer, h.plan, h.plan_version, h.cost_currency)
    sums = (
        func.sum(h.compute_seconds).label("compute_seconds"),
        func.sum(h.cost_picos).label("cost_picos"),
    )
    within = and_(h.hour >= begin, h.hour < end, h.step <= until)
    return list(connection.execute(select(*alike, *sums).where(within).group_by(*alike)))


def used_between(
    connection: Connection,
    customer: str,
    plan: str,
    version: int,
    begin: str,
    end: str,
    until: int,
) -> list[Row[Any]]:
    """The same from the events themselves, between two moments; steps are sequences."""
    e = usage_events.c
    alike = (e.product, e.outcome, e.quantities)
    within = and_(
        e.customer == customer,
        e.plan == plan,
        e.plan_version == version,
        e.recorded_at >= begin,
        e.recorded_at < end,
        e.sequence <= until,
    )
    sums = (func.count().label("events"), func.max(e.sequence).label("newest"))
    return list(connection.execute(select(*alike, *sums).where(within).group_by(*alike)))


def confident(
    connection: Connection,
    begin: str,
    end: str,
    until: int,
    confidence: float,
    owner: tuple[str, str, int] | None = None,
) -> list[Row[Any]]:
    """``customer, plan, plan_version, outcome, quantities, events`` of answers at least so sure.

    Between two moments, up to a step; of all customers, or of one under a version of a plan.
    """
    e = usage_events.c
    alike = (e.customer, e.plan, e.plan_version, e.outcome, e.quantities)
    within = and_(
        e.recorded_at >= begin,
        e.recorded_at < end,
        e.sequence <= until,
        e.probability >= confidence,
    )
    if owner is not None:
        customer, plan, version = owner
        within = and_(within, e.customer == customer, e.plan == plan, e.plan_version == version)
    asked = select(*alike, func.count().label("events")).where(within).group_by(*alike)
    return list(connection.execute(asked))


def active_customers(connection: Connection, end: str) -> list[str]:
    """Who used anything before an hour, or ever began a plan."""
    using = select(usage_hours.c.customer).where(usage_hours.c.hour < end)
    asked = (using, select(subscriptions.c.customer))
    return sorted({row[0] for each in asked for row in connection.execute(each.distinct())})


def live_documents(connection: Connection, customer: str) -> list[str]:
    """A customer's invoices that stand, drafts not among them."""
    i = invoices.c
    wanted = and_(
        i.customer == customer, i.kind == "invoice", i.status.in_(_LIVE), i.status != "draft"
    )
    asked = select(i.document).where(wanted).order_by(i.created_at, i.id)
    return [row[0] for row in connection.execute(asked)]


def drafts_in(connection: Connection, customer: str, period: str) -> list[Values]:
    """``id, currency`` of the drafts of a customer's month."""
    i = invoices.c
    wanted = and_(i.customer == customer, i.period == period, i.status == "draft")
    return _all(connection, select(i.id, i.currency).where(wanted))


def move_payments(connection: Connection, invoice: str, to: str) -> None:
    """What was paid for an invoice counts for the one that takes its place."""
    connection.execute(update(payments).where(payments.c.invoice == invoice).values(invoice=to))


def customer_of(connection: Connection, customer: str) -> Values:
    """A customer's row."""
    asked = select(customers).where(customers.c.id == customer)
    return dict(connection.execute(asked).mappings().one())


def claims(connection: Connection, customer: str) -> list[Values]:
    """What standing documents took of which months; the earliest step first."""
    b, i = billed.c, invoices.c
    asked = (
        select(
            b.invoice,
            b.period,
            b.plan,
            b.plan_version,
            b.until_step,
            b.disposition,
            i.currency,
            i.status,
            i.period.label("invoice_period"),
        )
        .join(invoices, i.id == b.invoice)
        .where(and_(b.customer == customer, i.status.in_(_LIVE)))
        .order_by(b.until_step)
    )
    return _all(connection, asked)


def add_invoice(connection: Connection, values: Values, claimed: Sequence[Values]) -> None:
    """Keep a new document, and what it takes of the usage."""
    connection.execute(insert(invoices).values(values))
    if claimed:
        connection.execute(insert(billed), list(claimed))


def remove_draft(connection: Connection, invoice: str) -> None:
    """Forget a draft, and what it took; what was paid in advance is kept for who takes its id."""
    connection.execute(delete(billed).where(billed.c.invoice == invoice))
    connection.execute(
        delete(invoices).where((invoices.c.id == invoice) & (invoices.c.status == "draft"))
    )


def taken_until(connection: Connection, invoice: str) -> int:
    """The step of the rollup up to which an invoice took usage."""
    asked = select(func.max(billed.c.until_step)).where(billed.c.invoice == invoice)
    return int(connection.execute(asked).scalar() or 0)


def change_invoice(connection: Connection, invoice: str, values: Values) -> None:
    """Change a document's status, or a draft."""
    connection.execute(update(invoices).where(invoices.c.id == invoice).values(values))


def find_invoice(connection: Connection, reference: str) -> Values | None:
    """A document by its id or its number."""
    either = (invoices.c.id == reference) | (invoices.c.number == reference)
    return _first(connection, _STANDING.where(either))


def all_invoices(
    connection: Connection,
    *,
    customer: str | None = None,
    period: str | None = None,
    status: str | None = None,
    drafts: bool = True,
    after: tuple[str, str] | None = None,
    limit: int | None = None,
) -> list[Values]:
    """Documents, the oldest first; ``after`` is when another was made, and its id."""
    i = invoices.c
    asked = _STANDING.order_by(i.created_at, i.id).limit(limit)
    if not drafts:
        asked = asked.where(i.number.is_not(None))
    if after is not None:
        moment, last = after
        later = or_(i.created_at > moment, and_(i.created_at == moment, i.id > last))
        asked = asked.where(later)
    for column, wanted in ((i.customer, customer), (i.period, period), (i.status, status)):
        if wanted is not None:
            asked = asked.where(column == wanted)
    return _all(connection, asked)


def standing_invoice(
    connection: Connection, customer: str, period: str, currency: str
) -> Values | None:
    """The invoice of a month that stands: a draft, issued, paid or credited."""
    i = invoices.c
    wanted = and_(
        i.customer == customer,
        i.period == period,
        i.currency == currency,
        i.kind == "invoice",
        i.status.in_(_LIVE),
    )
    return _first(connection, _STANDING.where(wanted))


def attempts(connection: Connection, customer: str, period: str, currency: str, kind: str) -> int:
    """How many documents of a kind there ever were of a customer's month."""
    i = invoices.c
    wanted = and_(
        i.customer == customer, i.period == period, i.currency == currency, i.kind == kind
    )
    return int(
        connection.execute(select(func.count()).select_from(invoices).where(wanted)).scalar_one()
    )


def next_number(connection: Connection, series: str) -> int:
    """The next number of a series, without gaps: it is given with the document, or not at all."""
    changed = connection.execute(
        update(numbers).where(numbers.c.series == series).values(last=numbers.c.last + 1)
    )
    if changed.rowcount == 0:
        connection.execute(insert(numbers).values(series=series, last=1))
    asked = select(numbers.c.last).where(numbers.c.series == series)
    return int(connection.execute(asked).scalar_one())


def events_within(
    connection: Connection,
    owner: tuple[str, str, int],
    sequences: tuple[int, int],
    moments: tuple[str, ...],
) -> list[Values]:
    """The events of a customer under a version of a plan, in a month, that a document took."""
    e = usage_events.c
    (customer, plan, version), (after, until), (begin, end) = owner, sequences, moments
    wanted = and_(
        e.customer == customer,
        e.plan == plan,
        e.plan_version == version,
        e.sequence > after,
        e.sequence <= until,
        e.recorded_at >= begin,
        e.recorded_at < end,
    )
    return _all(connection, select(usage_events).where(wanted).order_by(e.sequence))


def add_payment(connection: Connection, values: Values) -> None:
    """Keep a payment."""
    connection.execute(insert(payments).values(values))


def payments_named(connection: Connection, provider: str, reference: str) -> list[Values]:
    """What a payment that a provider names so paid, of one invoice or of several."""
    p = payments.c
    wanted = (p.provider == provider) & (p.reference == reference)
    return _all(connection, select(payments).where(wanted))


def overdue_invoices(connection: Connection, moment: str) -> list[Values]:
    """Invoices that were due by a moment and are not paid, the longest first."""
    i = invoices.c
    wanted = and_(i.kind == "invoice", i.status == "issued", i.due_at <= moment)
    return _all(connection, _STANDING.where(wanted).order_by(i.due_at, i.id))


def reminded(connection: Connection, invoice: str) -> set[int]:
    """The days after which an invoice was told of as overdue."""
    r = reminders.c
    found = connection.execute(select(r.days).where(r.invoice == invoice))
    return {int(row[0]) for row in found}


def add_reminders(connection: Connection, rows: Sequence[Values]) -> None:
    """Keep that an invoice was told of as overdue."""
    connection.execute(insert(reminders), list(rows))


def paid_by(connection: Connection, invoice: str) -> dict[str, int]:
    """How much of an invoice is paid by each provider; who paid last is first."""
    p = payments.c
    asked = (
        select(p.provider, func.sum(p.nanos))
        .where(p.invoice == invoice)
        .group_by(p.provider)
        .order_by(func.max(p.received_at).desc(), p.provider)
    )
    return {row[0]: int(row[1]) for row in connection.execute(asked)}


def notes_of(connection: Connection, invoice: str) -> list[str]:
    """The documents of the credit notes over an invoice, the oldest first."""
    i = invoices.c
    asked = select(i.document).where(i.corrects == invoice).order_by(i.created_at, i.number)
    return [row[0] for row in connection.execute(asked)]


def notes_to(connection: Connection, customer: str) -> list[str]:
    """The documents of all credit notes to a customer, the oldest first."""
    i = invoices.c
    wanted = and_(i.customer == customer, i.kind == "credit_note")
    asked = select(i.document).where(wanted).order_by(i.created_at, i.number)
    return [row[0] for row in connection.execute(asked)]


def credited_in_part(connection: Connection, customer: str) -> set[tuple[str, str]]:
    """Months and currencies whose standing invoice a credit note took a part of."""
    i, note = invoices.c, invoices.alias()
    asked = select(i.period, i.currency).where(
        and_(
            i.customer == customer,
            i.status.in_(("issued", "paid")),
            i.id.in_(select(note.c.corrects).where(note.c.customer == customer)),
        )
    )
    return {(row[0], row[1]) for row in connection.execute(asked)}


def add_transaction(connection: Connection, values: Values, entries: Sequence[Values]) -> int:
    """Keep a transaction with its entries; its sequence."""
    sequence = connection.execute(insert(ledger_transactions).values(values)).inserted_primary_key
    if sequence is None:
        raise RuntimeError("a transaction got no sequence")
    rows = [{**entry, "sequence": sequence[0], "entry": n} for n, entry in enumerate(entries)]
    if rows:
        connection.execute(insert(ledger_entries), rows)
    return int(sequence[0])


def find_transaction(connection: Connection, kind: str, reference: str) -> Values | None:
    """The transaction of a kind about something."""
    t = ledger_transactions.c
    wanted = (t.kind == kind) & (t.reference == reference)
    return _first(connection, select(ledger_transactions).where(wanted))


def entries_of(connection: Connection, sequence: int) -> list[Values]:
    """The entries of a transaction, in their order."""
    e = ledger_entries.c
    asked = select(e.account, e.currency, e.nanos).where(e.sequence == sequence).order_by(e.entry)
    return _all(connection, asked)


def all_transactions(connection: Connection) -> list[Values]:
    """Every transaction with the record of its leaf, in their order."""
    t = ledger_transactions
    asked = (
        select(t, log_leaves.c.record)
        .outerjoin(log_leaves, log_leaves.c.position == t.c.log_position)
        .order_by(t.c.sequence)
    )
    return _all(connection, asked)


def leaves_of(connection: Connection, kind: str) -> int:
    """How many records of a kind are logged."""
    asked = select(func.count()).select_from(log_leaves).where(log_leaves.c.kind == kind)
    return int(connection.execute(asked).scalar_one())


def leaf_records(connection: Connection, kind: str) -> list[bytes]:
    """The records of a kind, in their order."""
    leaf = log_leaves.c
    asked = select(leaf.record).where(leaf.kind == kind).order_by(leaf.position)
    return [row[0] for row in connection.execute(asked)]


def issued_documents(connection: Connection) -> dict[str, str]:
    """The documents that were issued, by id."""
    i = invoices.c
    asked = select(i.id, i.document).where(i.number.is_not(None))
    return {row.id: row.document for row in connection.execute(asked)}


def all_entries(connection: Connection) -> list[Values]:
    """Every entry, in their order."""
    e = ledger_entries.c
    return _all(connection, select(ledger_entries).order_by(e.sequence, e.entry))


def _all(connection: Connection, statement: Select[Any]) -> list[Values]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _first(connection: Connection, statement: Select[Any]) -> Values | None:
    row = connection.execute(statement.limit(1)).mappings().first()
    return None if row is None else dict(row)
