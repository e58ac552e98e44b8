"""What SQLite and the disk under it refuse."""

import errno
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, select

from mintage.core.errors import DependencyDown
from mintage.store.engine import Database
from mintage.store.schema import customers
from mintage.store.workspace import Workspace


@pytest.fixture
def database_url() -> None:
    """In a file."""


def add(name: str):
    def work(connection: Connection) -> str:
        connection.execute(customers.insert(), {"id": name, "name": name, "created_at": "now"})
        return name

    return work


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(customers.c.id)).scalars())


def page_limit(database: Database, extra: int) -> None:
    """Make SQLite say that the disk is full: only this many pages more may be written."""

    @event.listens_for(database._engine, "begin")
    def limit(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
        most = min(pages + extra, getattr(limit, "most", pages + extra))
        limit.most = most  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")


def much(connection: Connection) -> str:
    row = {"id": "much", "name": "m" * 2_000_000, "created_at": "now"}
    connection.execute(customers.insert(), row)
    return "much"


def test_a_full_disk_is_said_and_takes_nobody_elses_write_along_unsaid(tmp_path: Path) -> None:
    """SQLite then takes the whole transaction back, and a COMMIT after that succeeds."""
    with Workspace(tmp_path) as opened:
        page_limit(opened.database, 3)
        started, gate = threading.Event(), threading.Event()
        blocked = opened.database.submit(lambda _: (started.set(), gate.wait(5))[1])
        started.wait(5)
        works = [add("before"), much, add("after")]
        futures = [opened.database.submit(work) for work in works]
        gate.set()
        assert blocked.result() is True
        with pytest.raises(DependencyDown, match=r"full.*Make room"):
            futures[1].result()
        kept = {future.result() for future in futures if future.exception() is None}
        assert set(names(opened.database)) == kept
        assert opened.database.write(add("next")) == "next"


def test_a_commit_that_the_disk_refuses_fails_every_write_in_it(tmp_path: Path) -> None:
    with Workspace(tmp_path) as opened:

        def full(_connection: Connection) -> None:
            raise sqlite3_error(sqlite3.SQLITE_FULL, "database or disk is full")

        event.listen(opened.database._engine, "commit", full)
        with pytest.raises(DependencyDown, match=r"disk is full.*Make room"):
            opened.database.write(add("a"))
        event.remove(opened.database._engine, "commit", full)
        opened.database.write(add("b"))
        assert names(opened.database) == ["b"]


def sqlite3_error(code: int, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "Writing .* failed", "Make room"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "cannot be used", "Make room"),
        (sqlite3.SQLITE_READONLY, "cannot be used", "permissions"),
        (sqlite3.SQLITE_NOTADB, "damaged", "backup"),
        (sqlite3.SQLITE_BUSY, "Another program", "End that program"),
    ],
)
def test_what_sqlite_refuses_says_what_to_do(
    workspace: Workspace, code: int, message: str, remedy: str
) -> None:
    def refused(_connection: Connection) -> None:
        raise sqlite3_error(code, "refused")

    with pytest.raises(DependencyDown, match=rf"{message}.*refused.*{remedy}"):
        workspace.database.write(refused)
    with pytest.raises(DependencyDown, match=message), workspace.database.read() as connection:
        refused(connection)


def test_a_lock_file_that_cannot_be_made_is_no_bug(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(DependencyDown, match="Make room"):
            workspace.database.write(add("a"))
    assert workspace.database.write(add("b")) == "b"
