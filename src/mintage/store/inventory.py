"""What stands in a workspace: the rows of all rooms side by side, to list them and clear up."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import Select, delete, func, select

from mintage.core.types import OWN_MODEL
from mintage.store.schema import (
    aliases,
    answers,
    datasets,
    feedback,
    model_audits,
    models,
    plans,
    products,
    runs,
    upstreams,
    usage_events,
)

Connection = sqlalchemy.Connection  # so that other rooms need not import SQLAlchemy
Row = dict[str, Any]


def all_datasets(connection: Connection) -> list[Row]:
    """Every version of every dataset that was not removed, the oldest of a name first."""
    alive = select(datasets).where(datasets.c.removed_at.is_(None))
    return _rows(connection, alive.order_by(datasets.c.name, datasets.c.number))


def all_models(connection: Connection) -> list[Row]:
    """Every version of every model that was not removed."""
    alive = select(models).where(models.c.removed_at.is_(None))
    return _rows(connection, alive.order_by(models.c.name, models.c.version))


def all_runs(connection: Connection) -> list[Row]:
    """Every run that was not removed, the oldest first."""
    alive = select(runs).where(runs.c.removed_at.is_(None))
    return _rows(connection, alive.order_by(runs.c.started_at, runs.c.id))


def all_products(connection: Connection) -> list[Row]:
    """Every product, with ``aliases``, what each points at, and the ``urls`` of its upstreams."""
    found = _rows(connection, select(products).order_by(products.c.name))
    alive = select(upstreams.c.product, upstreams.c.url).where(upstreams.c.removed_at.is_(None))
    answering = _rows(connection, alive.order_by(upstreams.c.sequence))
    pointing = _rows(connection, select(aliases).order_by(aliases.c.product, aliases.c.alias))
    for product in found:
        product["aliases"] = [each for each in pointing if each["product"] == product["name"]]
        product["urls"] = [each["url"] for each in answering if each["product"] == product["name"]]
    return found


def on_sale(connection: Connection) -> list[tuple[str, str, str, int]]:
    """Product, alias, model and version of every version that answers for a product.

    Of a language model of one's own what is called so is its upstream.
    """
    a, u = aliases.c, upstreams.c
    asked = select(a.product, a.alias, a.model, a.version).order_by(a.product, a.alias)
    own = select(u.product, u.name, u.model).where(
        u.removed_at.is_(None), u.url.startswith(OWN_MODEL, autoescape=True)
    )
    found = [(row[0], row[1], row[2], row[3]) for row in connection.execute(asked)]
    for product, name, reference in connection.execute(own.order_by(u.product, u.sequence)):
        model, __, version = reference.partition("@")
        found.append((product, name, model, int(version)))
    return found


def audits_due(connection: Connection) -> list[Row]:
    """Each version that is sold, once: ``model``, ``version``, and its newest audit's own.

    ``audited_at``, ``due_at`` and ``passed`` are None where it never was audited as it is now.
    """
    a, found, any_of_it = aliases.c, model_audits.c, model_audits.alias().c
    newest = (
        select(func.max(any_of_it.id))
        .where(
            any_of_it.model == a.model,
            any_of_it.version == a.version,
            any_of_it.bundle_digest == a.bundle_digest,
        )
        .correlate(aliases)
        .scalar_subquery()
    )
    sold = select(a.model, a.version, found.audited_at, found.due_at, found.passed)
    joined = sold.select_from(aliases.outerjoin(model_audits, found.id == newest)).distinct()
    return _rows(connection, joined.order_by(a.model, a.version))


def models_by_digest(connection: Connection) -> dict[str, tuple[str, int]]:
    """The name and version of every model that was not removed, by its bundle's digest."""
    m = models.c
    asked = select(m.bundle_digest, m.name, m.version).where(m.removed_at.is_(None))
    return {row[0]: (row[1], row[2]) for row in connection.execute(asked)}


def upstreams_by_digest(connection: Connection) -> dict[str, str]:
    """The model of every upstream that ever was declared, by the digest that events name."""
    u = upstreams.c
    return {row[0]: row[1] for row in connection.execute(select(u.digest, u.model))}


def plan_of(connection: Connection, name: str) -> Row | None:
    """The newest version of a plan."""
    newest = select(plans).where(plans.c.name == name).order_by(plans.c.version.desc()).limit(1)
    return next(iter(_rows(connection, newest)), None)


def calls_of(connection: Connection, product: str) -> int:
    """How many calls of a product were recorded."""
    counted = select(func.count()).select_from(usage_events)
    return int(connection.execute(counted.where(usage_events.c.product == product)).scalar_one())


def expired_answers(connection: Connection, now: str) -> tuple[int, int]:
    """How many stored answers are past their time, and their bytes."""
    counted = select(func.count(), func.coalesce(func.sum(func.length(answers.c.answer)), 0))
    count, size = connection.execute(counted.where(answers.c.expires_at <= now)).one()
    return int(count), int(size)


def remove_expired_answers(connection: Connection, now: str) -> None:
    """Forget stored answers that are past their time."""
    connection.execute(delete(answers).where(answers.c.expires_at <= now))


def waiting_files(connection: Connection) -> set[tuple[str, str]]:
    """Customer and SHA-256 of files that came with feedback and wait to be collected."""
    f = feedback.c
    waiting = select(f.customer, f.sha256).where(f.collected_into.is_(None))
    return {(row[0], row[1]) for row in connection.execute(waiting)}


def _rows(connection: Connection, statement: Select[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(statement).mappings()]
