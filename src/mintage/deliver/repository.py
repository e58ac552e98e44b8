"""All SQL of this room."""

from __future__ import annotations

from typing import Any

import sqlalchemy
from sqlalchemy import insert, select, update

from mintage.store.schema import aliases, models, products

Connection = sqlalchemy.Connection  # so that the rest of the room need not import SQLAlchemy
Values = dict[str, Any]


def model_stands(connection: Connection, model: str, version: int) -> bool:
    """Whether this version of the model is here and not removed."""
    same = (models.c.name == model) & (models.c.version == version)
    statement = select(models.c.version).where(same, models.c.removed_at.is_(None))
    return connection.execute(statement).first() is not None


def save_product(connection: Connection, name: str, model: str, plan: str, moment: str) -> None:
    """Make the product, or point the one that exists at another model and plan."""
    values = {"model": model, "plan": plan}
    changed = connection.execute(update(products).where(products.c.name == name).values(values))
    if not changed.rowcount:
        connection.execute(insert(products).values(name=name, created_at=moment, **values))


def save_alias(connection: Connection, values: Values) -> None:
    """Point an alias of a product at a version."""
    same = (aliases.c.product == values["product"]) & (aliases.c.alias == values["alias"])
    changed = connection.execute(update(aliases).where(same).values(values))
    if not changed.rowcount:
        connection.execute(insert(aliases).values(values))


def find_product(connection: Connection, name: str) -> Values | None:
    """The product of this name."""
    row = connection.execute(select(products).where(products.c.name == name)).mappings().first()
    return None if row is None else dict(row)


def all_products(connection: Connection) -> list[Values]:
    """Every product, by name."""
    statement = select(products).order_by(products.c.name)
    return [dict(row) for row in connection.execute(statement).mappings()]


def find_aliases(connection: Connection, alias: str) -> list[Values]:
    """``product, model, version, bundle_digest`` of every product that has this alias."""
    statement = select(aliases).where(aliases.c.alias == alias).order_by(aliases.c.product)
    return [dict(row) for row in connection.execute(statement).mappings()]
