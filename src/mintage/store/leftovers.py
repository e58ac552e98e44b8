"""What a crash left behind: found and cleared up by whoever opens the workspace alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, select, update

from mintage.core.files import put_back, readable_failures
from mintage.store import schema
from mintage.store.engine import Database


def sweep(home: Path, database: Database) -> None:
    """Undo what was cut short: folders set aside come back, those without a living row go.

    A removal marks the row first and then deletes the folder, so this ends it too. A run that
    still says that it goes on has nobody who goes on with it: it was interrupted.
    """
    for kind in ("datasets", "models"):
        for parent in (home / kind).glob("*/"):
            put_back(parent)
    runs = schema.runs
    unfinished = runs.c.status == "running"
    with database.read() as connection:
        stopped = connection.execute(select(runs.c.id).where(unfinished).limit(1)).first()
    if stopped is not None:
        ended = update(runs).where(unfinished).values(status="interrupted")
        database.write(lambda connection: connection.execute(ended).rowcount)
    for folder in orphans(home, database):
        with readable_failures(folder):
            shutil.rmtree(folder)


def orphans(home: Path, database: Database) -> list[Path]:
    """Folders of datasets, models and runs that have no living row."""
    with database.read() as connection:
        known = {home / path for path in _living(connection)}
    return [folder for folder in _folders(home) if folder not in known]


def _folders(home: Path) -> Iterator[Path]:
    for pattern in ("datasets/*/*", "models/*/*", "runs/*"):
        yield from (path for path in home.glob(pattern) if path.is_dir())


def _living(connection: Connection) -> Iterator[str]:
    """Where what was not removed lies, below the workspace's folder."""
    datasets, models, runs = schema.datasets.c, schema.models.c, schema.runs.c
    alive = select(datasets.name, datasets.version).where(datasets.removed_at.is_(None))
    yield from (f"datasets/{name}/{version}" for name, version in connection.execute(alive))
    alive = select(models.name, models.version).where(models.removed_at.is_(None))
    yield from (f"models/{name}/{version}" for name, version in connection.execute(alive))
    ids = select(runs.id).where(runs.removed_at.is_(None))
    yield from (f"runs/{run}" for run in connection.execute(ids).scalars())
