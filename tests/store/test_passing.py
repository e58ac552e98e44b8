"""The committer beside: what may be lost with the power, and nothing that is promised to last."""

from __future__ import annotations

from typing import Any

from tests.databases import database_url

from mintage.store.workspace import Workspace

__all__ = ["database_url"]


def flushed(connection: Any) -> str:
    """What a connection waits for as it commits."""
    if connection.dialect.name == "sqlite":
        return str(connection.exec_driver_sql("PRAGMA synchronous").scalar())
    return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar())


def test_only_what_passes_is_not_flushed(workspace: Workspace) -> None:
    database = workspace.database
    lasting = database.write(flushed)
    assert database.passing.write(flushed) != lasting
    assert lasting in ("2", "on")
    with database.read() as connection:
        assert flushed(connection) == lasting
    assert database.write(flushed) == lasting


def test_both_committers_take_turns(workspace: Workspace) -> None:
    database = workspace.database
    one = "INSERT INTO numbers (series, last) VALUES ('{}', 1)"
    asked = [
        each.submit(lambda c, n=n, kind=kind: c.exec_driver_sql(one.format(f"{kind}{n}")) and None)
        for n in range(200)
        for kind, each in (("a", database), ("b", database.passing))
    ]
    for each in asked:
        each.result(30)
    with database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM numbers").scalar()
    assert found == 400
