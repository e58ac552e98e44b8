"""What a crash left behind: found and cleared up by whoever opens the workspace alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Table, select, update

from mintage.core.files import put_back, readable_failures
from mintage.store import schema
from mintage.store.engine import Database


def sweep(home: Path, database: Database) -> None:
    """Undo what was cut short: folders set aside come back, those of removed rows go.

    A removal marks the row first and then deletes the folder, so this ends it too. A folder
    without any row is not there for anybody, and stays until somebody asks for ``gc``: were the
    database the wrong one, deleting it would be a loss. A run that still says that it goes on has
    nobody who goes on with it: it was interrupted.
    """
    for kind in ("datasets", "models"):
        for parent in (home / kind).glob("*/"):
            put_back(parent)
            for begun in parent.iterdir():  # and never finished: nobody else is inside
                if begun.name.startswith(".") and begun.is_dir():
                    shutil.rmtree(begun, ignore_errors=True)
    runs = schema.runs
    unfinished = runs.c.status == "running"
    with database.read() as connection:
        stopped = connection.execute(select(runs.c.id).where(unfinished).limit(1)).first()
    if stopped is not None:
        ended = update(runs).where(unfinished).values(status="interrupted")
        database.write(lambda connection: connection.execute(ended).rowcount)
    with database.read() as connection:
        removed = {home / path for path in _paths(connection, living=False)}
    for folder in folders(home):
        if folder in removed:
            with readable_failures(folder):
                shutil.rmtree(folder)


def orphans(home: Path, database: Database) -> list[Path]:
    """Folders of datasets, models and runs that have no living row."""
    with database.read() as connection:
        known = {home / path for path in _paths(connection, living=True)}
    return [folder for folder in folders(home) if folder not in known]


def folders(home: Path) -> Iterator[Path]:
    """Every folder of a dataset's or a model's version and of a run; not those being written."""
    for pattern in ("datasets/*/*", "models/*/*", "runs/*"):
        for path in home.glob(pattern):
            if path.is_dir() and not path.name.startswith("."):
                yield path


def _paths(connection: Connection, *, living: bool) -> Iterator[str]:
    """Where what was not removed lies, or what was, below the workspace's folder."""

    def wanted(table: Table) -> ColumnElement[bool]:
        return table.c.removed_at.is_(None) if living else table.c.removed_at.is_not(None)

    for kind, table in (("datasets", schema.datasets), ("models", schema.models)):
        rows = connection.execute(select(table.c.name, table.c.version).where(wanted(table)))
        yield from (f"{kind}/{name}/{version}" for name, version in rows)
    ids = connection.execute(select(schema.runs.c.id).where(wanted(schema.runs))).scalars()
    yield from (f"runs/{run}" for run in ids)
