"""The rows of datasets, runs, models and their audits; each change stands in the audit log too.

What was removed keeps its row, so that no number is given twice; only what is alive is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import func, select, update

from mintage.store.schema import datasets, model_audits, models, runs
from mintage.store.statements import insert_or_change
from mintage.trust.audit import append

Connection = sqlalchemy.Connection  # so that other rooms need not import SQLAlchemy
_TABLES = {"dataset": datasets, "model": models, "run": runs}


def add_dataset(connection: Connection, record: Mapping[str, Any]) -> None:
    """Make a version the newest of its name; one that is there, or was, becomes it again."""
    number = connection.execute(
        select(func.coalesce(func.max(datasets.c.number), 0) + 1).where(
            datasets.c.name == record["name"]
        )
    ).scalar_one()
    leaf = append(connection, "dataset.collected", record)
    row = {key: value for key, value in record.items() if key in datasets.c}
    newest = {"number": number, "log_position": leaf.position}
    changes = newest | {"removed_at": None}
    insert_or_change(connection, datasets, row | newest, changes, key=("name", "version"))


def dataset_version(connection: Connection, name: str, prefix: str | None) -> str | None:
    """The newest version, or the newest that begins with ``prefix``."""
    alive = datasets.c.removed_at.is_(None)
    statement = select(datasets.c.version).where(datasets.c.name == name, alive)
    if prefix:
        statement = statement.where(datasets.c.version.startswith(prefix, autoescape=True))
    return connection.execute(statement.order_by(datasets.c.number.desc()).limit(1)).scalar()


def begin_run(
    connection: Connection, run: str, dataset: tuple[str, str], moment: str, *, resumed: bool
) -> None:
    """A run on a dataset's ``(name, version)`` begins, or goes on."""
    if resumed:
        _change_run(connection, run, {"status": "running", "ended_at": None})
        return
    name, version = dataset
    row = {"id": run, "dataset": name, "dataset_version": version, "status": "running"}
    connection.execute(runs.insert(), {**row, "started_at": moment})


def end_run(
    connection: Connection, run: str, status: str, moment: str, model: tuple[str, int] | None
) -> None:
    """A run has ended, one way or another; it signed ``(name, version)``, or nothing."""
    name, version = model or (None, None)
    changes = {"status": status, "ended_at": moment, "model": name, "model_version": version}
    _change_run(connection, run, changes)


def _change_run(connection: Connection, run: str, changes: Mapping[str, Any]) -> None:
    connection.execute(update(runs).where(runs.c.id == run).values(**changes))


def find_run(connection: Connection, run: str) -> Mapping[str, Any] | None:
    """A run's row, by its whole id."""
    alive = select(runs).where(runs.c.id == run, runs.c.removed_at.is_(None))
    row = connection.execute(alive).mappings().first()
    return None if row is None else dict(row)


def unfinished_runs(connection: Connection) -> list[str]:
    """The runs that can be resumed, the newest first."""
    statement = select(runs.c.id).where(runs.c.status != "finished", runs.c.removed_at.is_(None))
    return list(connection.execute(statement.order_by(runs.c.started_at.desc())).scalars())


def model_of(connection: Connection, run: str, digest: str) -> int | None:
    """The version under which a run has signed this very bundle already."""
    statement = select(models.c.version).where(
        models.c.run == run, models.c.bundle_digest == digest, models.c.removed_at.is_(None)
    )
    return connection.execute(statement).scalar()


def names(connection: Connection, table: Literal["datasets", "models"]) -> list[str]:
    """Every name of what is alive in one of the two tables, once."""
    columns = {"datasets": datasets, "models": models}[table].c
    statement = select(columns.name).where(columns.removed_at.is_(None)).distinct()
    return list(connection.execute(statement.order_by(columns.name)).scalars())


def next_model_version(connection: Connection, name: str) -> int:
    """The number that the next model of this name gets; those removed count too."""
    statement = select(func.coalesce(func.max(models.c.version), 0) + 1)
    return int(connection.execute(statement.where(models.c.name == name)).scalar_one())


def add_model(connection: Connection, record: Mapping[str, Any]) -> None:
    """A bundle was signed and stands in its folder."""
    leaf = append(connection, "model.signed", record)
    connection.execute(models.insert(), {**record, "log_position": leaf.position})


def find_model(connection: Connection, name: str, version: int | None) -> Mapping[str, Any] | None:
    """A model's row; the newest of its name where no version is given."""
    statement = select(models).where(models.c.name == name, models.c.removed_at.is_(None))
    if version is not None:
        statement = statement.where(models.c.version == version)
    newest = statement.order_by(models.c.version.desc()).limit(1)
    row = connection.execute(newest).mappings().first()
    return None if row is None else dict(row)


def add_audit(connection: Connection, record: Mapping[str, Any], model: tuple[str, int]) -> None:
    """A model, by name and version, was looked over again."""
    append(connection, "model.audited", record)
    row = {name: value for name, value in record.items() if name in model_audits.c}
    row |= {"model": model[0], "version": model[1]}
    connection.execute(model_audits.insert(), row)


def audits_of(connection: Connection, digest: str) -> list[Mapping[str, Any]]:
    """The audits of a bundle, the oldest first."""
    asked = select(model_audits).where(model_audits.c.bundle_digest == digest)
    rows = connection.execute(asked.order_by(model_audits.c.id)).mappings()
    return [dict(row) for row in rows]


def remove(connection: Connection, kind: str, row: Mapping[str, Any], moment: str) -> None:
    """Mark a ``dataset``'s version, a ``model``'s version or a ``run`` as removed."""
    table = _TABLES[kind]
    same = [table.c[column.name] == row[column.name] for column in table.primary_key]
    append(connection, f"{kind}.removed", {**row, "removed_at": moment})
    connection.execute(update(table).where(*same).values(removed_at=moment))
