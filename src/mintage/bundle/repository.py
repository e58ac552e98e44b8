"""The row of a model that was made elsewhere; each change stands in the audit log too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from mintage.store.schema import models
from mintage.store.statements import insert_or_change
from mintage.trust.audit import append


def add_imported(connection: Connection, record: Mapping[str, Any]) -> None:
    """A verified bundle from elsewhere stands in its folder; one that was removed comes back."""
    leaf = append(connection, "model.imported", record)
    row = {name: value for name, value in record.items() if name in models.c}
    row |= {"log_position": leaf.position, "removed_at": None}
    insert_or_change(connection, models, row, row, key=("name", "version"))


def restore(connection: Connection, record: Mapping[str, Any]) -> None:
    """The folder of a model that is known was made whole again from its archive."""
    append(connection, "model.restored", record)
