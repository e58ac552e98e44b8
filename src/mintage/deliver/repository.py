"""All SQL of this room."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import delete, func, insert, select, update

from mintage.store.schema import aliases, models, products, publications, upstreams

Connection = sqlalchemy.Connection  # so that the rest of the room need not import SQLAlchemy
Values = dict[str, Any]


def model_stands(connection: Connection, model: str, version: int) -> bool:
    """Whether this version of the model is here and not removed."""
    same = (models.c.name == model) & (models.c.version == version)
    statement = select(models.c.version).where(same, models.c.removed_at.is_(None))
    return connection.execute(statement).first() is not None


def save_product(connection: Connection, name: str, model: str, plan: str, moment: str) -> None:
    """Make the product, or give the one that exists another model and plan."""
    values = {"model": model, "plan": plan}
    changed = connection.execute(update(products).where(products.c.name == name).values(values))
    if not changed.rowcount:
        connection.execute(insert(products).values(name=name, created_at=moment, **values))


def add_publication(connection: Connection, values: Values) -> None:
    """Keep that an alias of a product was pointed at a version."""
    connection.execute(insert(publications).values(values))


def standing_publications(connection: Connection, product: str) -> list[Values]:
    """A product's publications that were not undone, the newest first."""
    p = publications.c
    statement = select(publications).where(p.product == product, p.undone_at.is_(None))
    rows = connection.execute(statement.order_by(p.sequence.desc())).mappings()
    return [dict(row) for row in rows]


def newest_published(connection: Connection, model: str, product: str | None = None) -> int | None:
    """The highest version of a model that was ever published, undone or not; of one product."""
    p = publications.c
    statement = select(func.max(p.version)).where(p.model == model)
    if product is not None:
        statement = statement.where(p.product == product)
    return connection.execute(statement).scalar()


def first_publications(connection: Connection) -> list[Values]:
    """``product, model, version, published_at`` of each version's first publication of all."""
    p = publications.c
    rows = connection.execute(
        select(p.product, p.model, p.version, p.published_at).order_by(p.sequence)
    ).mappings()
    found: dict[tuple[str, int], Values] = {}
    for row in rows:
        found.setdefault((row["model"], row["version"]), dict(row))
    return list(found.values())


def undo_publication(connection: Connection, sequence: int, moment: str) -> None:
    """Take a publication back."""
    same = publications.c.sequence == sequence
    connection.execute(update(publications).where(same).values(undone_at=moment))


def set_aliases(connection: Connection, product: str, rows: list[Values]) -> None:
    """Make these the product's aliases, and no others."""
    connection.execute(delete(aliases).where(aliases.c.product == product))
    connection.execute(insert(aliases).values(rows))


def find_product(connection: Connection, name: str) -> Values | None:
    """The product of this name."""
    row = connection.execute(select(products).where(products.c.name == name)).mappings().first()
    return None if row is None else dict(row)


def all_products(connection: Connection) -> list[Values]:
    """Every product, by name."""
    statement = select(products).order_by(products.c.name)
    return [dict(row) for row in connection.execute(statement).mappings()]


def all_aliases(connection: Connection) -> list[Values]:
    """Every alias of every product."""
    statement = select(aliases).order_by(aliases.c.product, aliases.c.alias)
    return [dict(row) for row in connection.execute(statement).mappings()]


def add_upstream(connection: Connection, values: Values) -> None:
    """Keep an upstream that answers from now on."""
    connection.execute(insert(upstreams).values(values))


def declared_models(connection: Connection, name: str, product: str | None = None) -> list[str]:
    """What each upstream of a name ever answered with, removed ones too; of one product."""
    u = upstreams.c
    statement = select(u.model).where(u.name == name)
    if product is not None:
        statement = statement.where(u.product == product)
    return list(connection.execute(statement.distinct()).scalars())


def remove_upstream(connection: Connection, product: str, name: str, moment: str) -> bool:
    """Whether there was an upstream of this name, which answers no more."""
    u = upstreams.c
    same = (u.product == product) & (u.name == name) & u.removed_at.is_(None)
    return bool(
        connection.execute(update(upstreams).where(same).values(removed_at=moment)).rowcount
    )


def standing_upstreams(connection: Connection) -> list[Values]:
    """Every upstream that answers, those of a product in the order in which they are asked."""
    u = upstreams.c
    statement = select(upstreams).where(u.removed_at.is_(None))
    rows = connection.execute(statement.order_by(u.product, u.place, u.sequence)).mappings()
    return [dict(row) for row in rows]
