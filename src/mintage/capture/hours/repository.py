"""All SQL of this room."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Row, TextClause, and_, bindparam, func, insert, select, text

from mintage.store.schema import rollup_steps, usage_events, usage_hours

Connection = sqlalchemy.Connection
Owner = tuple[str, str, int]
"""A customer under a version of a plan."""

# Events alike but in their quantities are summed up first: all calls of a picture have the same.
_ALIKE = (
    "customer, substr(recorded_at, 1, 13) AS hour, product, provider_model, provider_version, plan,"
    " plan_version, outcome, cost_currency"
)
_KEY = _ALIKE.replace("substr(recorded_at, 1, 13) AS hour", "hour")
_EACH = {
    "sqlite": "LEFT JOIN json_each(alike.quantities) AS each ON true",
    "postgresql": (
        "LEFT JOIN LATERAL json_each_text(CAST(alike.quantities AS json)) AS each ON true"
    ),
}
# Of an event with several units the first (canonical JSON sorts them) carries it and its cost.
_FIRST = "each.key IS NULL OR substr(alike.quantities, 3, length(each.key) + 1) = each.key || '\"'"


def _by_unit(events: str) -> dict[str, str]:
    """The beginning of a statement, by dialect, in which ``by_unit`` are sums of these events."""
    return {
        dialect: (
            f"WITH alike AS (SELECT {_ALIKE}, quantities, count(*) AS events,"  # noqa: S608
            " sum(compute_seconds) AS seconds, sum(cost_picos) AS picos, max(sequence) AS newest"
            f" FROM usage_events WHERE {events} GROUP BY {_KEY}, quantities),"
            f" by_unit AS (SELECT {_KEY}, coalesce(each.key, '') AS unit,"
            " sum(coalesce(CAST(each.value AS BIGINT), 0) * events) AS quantity,"
            f" sum(CASE WHEN {_FIRST} THEN events ELSE 0 END) AS events,"
            f" sum(CASE WHEN {_FIRST} THEN seconds ELSE 0.0 END) AS seconds,"
            f" sum(CASE WHEN {_FIRST} THEN picos ELSE 0 END) AS picos, max(newest) AS newest"
            f" FROM alike {each} GROUP BY {_KEY}, coalesce(each.key, ''))"
        )
        for dialect, each in _EACH.items()
    }


class _Statement:
    """A statement that begins otherwise in each dialect; made once."""

    def __init__(self, beginning: dict[str, str], rest: str) -> None:
        self._texts: dict[str, TextClause] = {
            dialect: text(f"{each} {rest}") for dialect, each in beginning.items()
        }

    def execute(self, connection: Connection, **values: Any) -> sqlalchemy.CursorResult[Any]:
        return connection.execute(self._texts[connection.dialect.name], values)


_OF_STEP = _by_unit("sequence > :after AND sequence <= :step")
_INTO = (
    f"INSERT INTO usage_hours ({_KEY}, unit, step, quantity, events, compute_seconds,"  # noqa: S608
    " cost_picos)"
    f" {{}} SELECT {_KEY}, unit, :step, quantity, events, seconds, picos FROM by_unit"
)
_SUM_UP = {dialect: text(_INTO.format(beginning)) for dialect, beginning in _OF_STEP.items()}

# The events of a step summed up again, each sum beside the row that it ought to be.
_BESIDE = (
    " AND ".join(
        f"h.{column.name} = by_unit.{column.name}"
        for column in usage_hours.primary_key
        if column.name != "step"
    )
    + " AND h.step = :step"
)
# Seconds are floats: what the order of adding them may change is far below a microsecond each.
_OTHERWISE = (
    "(h.events IS NULL OR h.events <> by_unit.events OR h.quantity <> by_unit.quantity"
    " OR h.cost_picos <> by_unit.picos"
    " OR abs(h.compute_seconds - by_unit.seconds) > 0.000001 * by_unit.events)"
)
_COUNTED_AGAIN = _Statement(
    _OF_STEP,
    f"SELECT count(*) AS hours, coalesce(sum(CASE WHEN {_OTHERWISE} THEN 1 ELSE 0 END), 0)"  # noqa: S608
    f" AS otherwise FROM by_unit LEFT JOIN usage_hours AS h ON {_BESIDE}",
)
_SUMMED_OTHERWISE = _Statement(
    _OF_STEP,
    "SELECT by_unit.customer, by_unit.hour, by_unit.product FROM by_unit"  # noqa: S608
    f" LEFT JOIN usage_hours AS h ON {_BESIDE} WHERE {_OTHERWISE} LIMIT 1",
)
_NOT_RECORDED = _Statement(
    _OF_STEP,
    "SELECT h.customer, h.hour, h.product FROM usage_hours AS h"  # noqa: S608
    f" LEFT JOIN by_unit ON {_BESIDE} WHERE h.step = :step AND by_unit.customer IS NULL LIMIT 1",
)
_BETWEEN = _Statement(
    _by_unit(
        "customer = :customer AND plan = :plan AND plan_version = :version"
        " AND recorded_at >= :begin AND recorded_at < :end AND sequence <= :until"
    ),
    "SELECT product, outcome, unit, sum(quantity) AS quantity, sum(events) AS events,"
    " max(newest) AS newest FROM by_unit GROUP BY product, outcome, unit",
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
_CALLS = (func.sum(_h.events).label("events"),)
_SUMS = (func.sum(_h.quantity).label("quantity"), *_CALLS)
_SPENT = (
    func.sum(_h.compute_seconds).label("compute_seconds"),
    func.sum(_h.cost_picos).label("cost_picos"),
)
_USED_ALIKE = (_h.product, _h.outcome, _h.unit)
_USED_BY_HOUR = (
    select(*_USED_ALIKE, *_SUMS, func.max(_h.step).label("newest"))
    .where(_UNDER)
    .group_by(*_USED_ALIKE)
)
_COMPUTED_ALIKE = (
    _h.product,
    _h.provider_model,
    _h.provider_version,
    _h.outcome,
    _h.unit,
    _h.cost_currency,
)
_COMPUTED_BY_MODEL = (
    select(*_COMPUTED_ALIKE, *_SUMS, *_SPENT).where(_UNDER).group_by(*_COMPUTED_ALIKE)
)
_DAYS_USED = text(
    "SELECT plan, plan_version, substr(hour, 1, 10) AS day, max(step) AS newest FROM usage_hours"
    " WHERE customer = :customer GROUP BY plan, plan_version, substr(hour, 1, 10)"
)
_DAYS_CALLED = text(
    "SELECT plan, plan_version, outcome, substr(hour, 1, 10) AS day FROM usage_hours"
    " WHERE customer = :customer AND step <= :until"
    " GROUP BY plan, plan_version, outcome, substr(hour, 1, 10)"
)


def last_step(connection: Connection) -> int:
    """The sequence up to which events are summed up; 0 where none are."""
    return int(connection.execute(select(func.max(rollup_steps.c.step))).scalar() or 0)


def last_made(connection: Connection) -> str | None:
    """When events were summed up last; None where they never were."""
    found = connection.execute(select(func.max(rollup_steps.c.made_at))).scalar()
    return None if found is None else str(found)


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
    connection.execute(_SUM_UP[connection.dialect.name], {"after": after, "step": step})
    connection.execute(insert(rollup_steps).values(step=step, made_at=moment))


def hours_by_step(connection: Connection, until: int) -> dict[int, int]:
    """How many rows each step up to one has; 0 where its step is known and has none."""
    steps = connection.execute(select(rollup_steps.c.step).where(rollup_steps.c.step <= until))
    hours = func.count().label("hours")
    counted = select(_h.step, hours).where(_h.step <= until).group_by(_h.step)
    rows = connection.execute(counted)
    return {row.step: 0 for row in steps} | {row.step: row.hours for row in rows}


def difference(connection: Connection, after: int, step: int, hours: int) -> Row[Any] | None:
    """``customer, hour, product`` where a step's rows, so many, are not the sums of its events."""
    values = {"after": after, "step": step}
    found = _COUNTED_AGAIN.execute(connection, **values).one()
    if found.otherwise:
        return _SUMMED_OTHERWISE.execute(connection, **values).first()
    return None if found.hours == hours else _NOT_RECORDED.execute(connection, **values).first()


def plans_used(
    connection: Connection, customer: str, begin: str, end: str, until: int
) -> list[tuple[str, int]]:
    """Which versions of plans a customer used between two hours, up to a step."""
    values = {"customer": customer, "begin": begin, "end": end, "until": until}
    rows = connection.execute(_PLANS_USED, values)
    return sorted((row.plan, row.plan_version) for row in rows)


def used_by_hour(
    connection: Connection, owner: Owner, hours: tuple[str, str], until: int
) -> list[Row[Any]]:
    """``product, outcome, unit, quantity, events`` between two hours, up to a step.

    ``newest`` is the newest step among them.
    """
    return list(connection.execute(_USED_BY_HOUR, _asked(owner, hours, until)))


def used_between(
    connection: Connection, owner: Owner, moments: tuple[str, str], until: int
) -> list[Row[Any]]:
    """``used_by_hour`` of the events themselves, between two moments; steps are sequences."""
    return list(_BETWEEN.execute(connection, **_asked(owner, moments, until)))


def days_used(connection: Connection, customer: str) -> list[Row[Any]]:
    """``plan, plan_version, day, newest``: the newest step that has usage of a day, in UTC."""
    return list(connection.execute(_DAYS_USED, {"customer": customer}))


def days_called(connection: Connection, customer: str, until: int) -> list[Row[Any]]:
    """``plan, plan_version, outcome, day`` of a customer's calls up to a step, in UTC."""
    return list(connection.execute(_DAYS_CALLED, {"customer": customer, "until": until}))


def computed_by_model(
    connection: Connection, owner: Owner, hours: tuple[str, str], until: int
) -> list[Row[Any]]:
    """What a customer used under a plan, by model version, between two hours, up to a step.

    ``product, provider_model, provider_version, outcome, unit, cost_currency, quantity, events,
    compute_seconds, cost_picos``.
    """
    return list(connection.execute(_COMPUTED_BY_MODEL, _asked(owner, hours, until)))


def _asked(owner: Owner, between: tuple[str, str], until: int) -> dict[str, Any]:
    values: dict[str, Any] = dict(zip(("customer", "plan", "version"), owner, strict=True))
    return values | {"begin": between[0], "end": between[1], "until": until}


def spent_between(connection: Connection, begin: str, end: str, until: int) -> list[Row[Any]]:
    """What all calls between two hours took to answer, by customer and version of a plan.

    ``customer, plan, plan_version, cost_currency, events, compute_seconds, cost_picos``.
    """
    alike = (_h.customer, _h.plan, _h.plan_version, _h.cost_currency)
    within = and_(_h.hour >= begin, _h.hour < end, _h.step <= until)
    return list(connection.execute(select(*alike, *_CALLS, *_SPENT).where(within).group_by(*alike)))
