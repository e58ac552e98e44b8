"""All SQL of this room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    true,
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
from mintage.store.sealed import all_rows, closed, first_row
from mintage.trust.repository import opened_leaf

Connection = sqlalchemy.Connection
Values = dict[str, Any]

Counted = tuple[str | None, Sequence[str]]
"""The unit and the products that a line is of; without a unit it is of every event."""

_LIVE = ("draft", "issued", "paid", "credited")


def _sum_of(nanos: ColumnElement[int], wanted: ColumnElement[bool]) -> ColumnElement[int]:
    asked = select(func.coalesce(func.sum(nanos), 0)).where(wanted)
    return asked.correlate(invoices).scalar_subquery()


_note = invoices.alias()
_paid = payments.c.invoice == invoices.c.id
# A document with what its customer's credit and other ways paid of it, and what notes took back.
STANDING = select(
    invoices,
    _sum_of(payments.c.nanos, _paid & (payments.c.provider == "credit")).label("credit_nanos"),
    _sum_of(payments.c.nanos, _paid & (payments.c.provider != "credit")).label("paid_nanos"),
    _sum_of(-_note.c.total_nanos, _note.c.corrects == invoices.c.id).label("credited_nanos"),
)


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
    return _documents(connection, wanted, i.created_at, i.id)


def drafts_in(connection: Connection, customer: str, period: str) -> list[Values]:
    """``id, currency`` of the drafts of a customer's month."""
    i = invoices.c
    wanted = and_(i.customer == customer, i.period == period, i.status == "draft")
    return all_rows(connection, select(i.id, i.currency).where(wanted))


def move_payments(connection: Connection, invoice: str, to: str) -> None:
    """What was paid for an invoice counts for the one that takes its place."""
    connection.execute(update(payments).where(payments.c.invoice == invoice).values(invoice=to))


def customer_of(connection: Connection, customer: str) -> Values:
    """A customer's row."""
    (found,) = all_rows(connection, select(customers).where(customers.c.id == customer))
    return found


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
    return all_rows(connection, asked)


def add_invoice(connection: Connection, values: Values, claimed: Sequence[Values]) -> None:
    """Keep a new document, and what it takes of the usage."""
    connection.execute(insert(invoices).values(closed(connection, invoices, values)))
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
    said = closed(connection, invoices, values | {"id": invoice})
    connection.execute(update(invoices).where(invoices.c.id == invoice).values(said))


def find_invoice(connection: Connection, reference: str) -> Values | None:
    """A document by its id or its number."""
    either = (invoices.c.id == reference) | (invoices.c.number == reference)
    return first_row(connection, STANDING.where(either))


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
    asked = STANDING.order_by(i.created_at, i.id).limit(limit)
    if not drafts:
        asked = asked.where(i.number.is_not(None))
    if after is not None:
        moment, last = after
        later = or_(i.created_at > moment, and_(i.created_at == moment, i.id > last))
        asked = asked.where(later)
    for column, wanted in ((i.customer, customer), (i.period, period), (i.status, status)):
        if wanted is not None:
            asked = asked.where(column == wanted)
    return all_rows(connection, asked)


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
    return first_row(connection, STANDING.where(wanted))


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
    connection: Connection, segment: Values, counted: Sequence[Counted]
) -> list[Values]:
    """The events of a segment that any of these lines is of, in the order of the log.

    A ``segment`` has ``customer, plan, version, sequences, moments, outcomes``; see
    ``drilldown.Segment``.
    """
    asked = select(usage_events).where(_within(narrowed(connection, segment), counted))
    return all_rows(connection, asked.order_by(usage_events.c.sequence))


def logged_within(
    connection: Connection,
    segment: Values,
    counted: Sequence[Counted],
    after: int | None,
    limit: int,
) -> list[Values]:
    """So many of these events, after a sequence, with ``record, salt, leaf_hash`` of the log.

    Those are NULL where there is no leaf. ``lines`` has a bit for each line that an event is of.
    """
    e, leaf = usage_events.c, log_leaves.c
    asked = (
        select(
            usage_events,
            _mask(counted).label("lines"),
            leaf.record,
            leaf.salt,
            leaf.leaf_hash,
        )
        .outerjoin(log_leaves, leaf.position == e.log_position)
        .where(_within(segment, counted))
    )
    if after is not None:
        asked = asked.where(e.sequence > after)
    rows = all_rows(connection, asked.order_by(e.sequence).limit(limit))
    return [_of_log(connection, row) for row in rows]


def positions_within(
    connection: Connection, segment: Values, counted: Sequence[Counted]
) -> list[int]:
    """Where these events are on the log."""
    e = usage_events.c
    asked = select(e.log_position).where(_within(segment, counted)).order_by(e.sequence)
    return list(connection.execute(asked).scalars())


def answered_within(
    connection: Connection, segment: Values, counted: Sequence[Counted]
) -> set[str]:
    """The digests of what answered them."""
    asked = select(usage_events.c.bundle_digest).where(_within(segment, counted)).distinct()
    return set(connection.execute(asked).scalars())


def narrowed(connection: Connection, segment: Values) -> Values:
    """The same segment with the fewest sequences that the rollup knows its events to be among.

    A customer's other months are not looked through, then.
    """
    h = usage_hours.c
    (after, until), (begin, end) = segment["sequences"], segment["moments"]
    mine = and_(
        h.customer == segment["customer"],
        h.plan == segment["plan"],
        h.plan_version == segment["version"],
        h.hour >= begin[:13],
        h.hour <= end[:13],
    )
    asked = select(func.min(h.step), func.max(h.step)).where(mine)
    first, last = connection.execute(asked).one()
    if first is None:
        return segment
    before = select(func.max(rollup_steps.c.step)).where(rollup_steps.c.step < first)
    begins = connection.execute(before).scalar() or 0
    return segment | {"sequences": (max(after, begins), min(until, last))}


def _is_counted(line: Counted) -> ColumnElement[bool]:
    unit, products = line
    if unit is None:
        return true()
    e = usage_events.c
    # Canonical JSON has one spelling: what counted a unit has this in it.
    return and_(e.quantities.contains(f'"{unit}":', autoescape=True), e.product.in_(products))


def _mask(counted: Sequence[Counted]) -> ColumnElement[int]:
    bits = [case((_is_counted(line), 1 << n), else_=0) for n, line in enumerate(counted)]
    return sum(bits[1:], bits[0])


def _within(segment: Values, counted: Sequence[Counted]) -> ColumnElement[bool]:
    e = usage_events.c
    (after, until), (begin, end) = segment["sequences"], segment["moments"]
    return and_(
        e.customer == segment["customer"],
        e.plan == segment["plan"],
        e.plan_version == segment["version"],
        e.sequence > after,
        e.sequence <= until,
        e.recorded_at >= begin,
        e.recorded_at < end,
        e.outcome.in_(segment["outcomes"]),
        or_(*map(_is_counted, counted)),
    )


def add_payment(connection: Connection, values: Values) -> None:
    """Keep a payment."""
    connection.execute(insert(payments).values(values))


def payments_named(connection: Connection, provider: str, reference: str) -> list[Values]:
    """What a payment that a provider names so paid, of one invoice or of several."""
    p = payments.c
    wanted = (p.provider == provider) & (p.reference == reference)
    return all_rows(connection, select(payments).where(wanted))


def overdue_invoices(connection: Connection, moment: str) -> list[Values]:
    """Invoices that were due by a moment and are not paid, the longest first."""
    i = invoices.c
    wanted = and_(i.kind == "invoice", i.status == "issued", i.due_at <= moment)
    return all_rows(connection, STANDING.where(wanted).order_by(i.due_at, i.id))


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
    return _documents(connection, i.corrects == invoice, i.created_at, i.number)


def notes_to(connection: Connection, customer: str) -> list[str]:
    """The documents of all credit notes to a customer, the oldest first."""
    i = invoices.c
    wanted = and_(i.customer == customer, i.kind == "credit_note")
    return _documents(connection, wanted, i.created_at, i.number)


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
    return first_row(connection, select(ledger_transactions).where(wanted))


def entries_of(connection: Connection, sequence: int) -> list[Values]:
    """The entries of a transaction, in their order."""
    e = ledger_entries.c
    asked = select(e.account, e.currency, e.nanos).where(e.sequence == sequence).order_by(e.entry)
    return all_rows(connection, asked)


def all_transactions(connection: Connection) -> list[Values]:
    """Every transaction with ``record, salt, leaf_hash`` of the log, in their order."""
    t, leaf = ledger_transactions, log_leaves.c
    asked = (
        select(t, leaf.record, leaf.salt, leaf.leaf_hash)
        .outerjoin(log_leaves, leaf.position == t.c.log_position)
        .order_by(t.c.sequence)
    )
    return [_of_log(connection, row) for row in all_rows(connection, asked)]


def leaves_of(connection: Connection, kind: str) -> int:
    """How many records of a kind are logged."""
    asked = select(func.count()).select_from(log_leaves).where(log_leaves.c.kind == kind)
    return int(connection.execute(asked).scalar_one())


def all_entries(connection: Connection) -> list[Values]:
    """Every entry, in their order."""
    e = ledger_entries.c
    return all_rows(connection, select(ledger_entries).order_by(e.sequence, e.entry))


def _of_log(connection: Connection, row: Values) -> Values:
    """The row with its leaf opened. SQLite keeps in any column what it is given.

    Of an erased one there is neither record nor salt, but ``erased``, the entry.
    """
    if row["record"] is None:
        return row | {"erased": None}
    leaf = opened_leaf(connection, row["log_position"], row["record"], row["salt"])
    leaf_hash = row["leaf_hash"]
    if isinstance(leaf_hash, str):
        leaf_hash = leaf_hash.encode()
    found = {"leaf_hash": leaf_hash, "record": leaf.record, "salt": leaf.salt, "erased": None}
    if leaf.erased:
        found |= {"record": None, "salt": None, "erased": leaf}
    return row | found


def _documents(
    connection: Connection, wanted: ColumnElement[bool], *order: ColumnElement[Any]
) -> list[str]:
    i = invoices.c
    asked = select(i.id, i.document).where(wanted).order_by(*order)
    return [row["document"] for row in all_rows(connection, asked)]
