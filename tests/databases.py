"""The fixture that has a test run on SQLite and on PostgreSQL; imported by a folder's conftest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from tests.postgres import Server

sqlite_alone = pytest.mark.parametrize("database_url", [None], ids=["sqlite"])
"""Marks what is told of SQLite's own files."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SecretStr | None]:
    """Where the facts of the test's workspaces are; None: in SQLite."""
    if request.param == "sqlite":
        yield None
        return
    server: Server = request.getfixturevalue("postgres")
    address = server.new_database()
    monkeypatch.setenv("MINTAGE_DATABASE_URL", address.get_secret_value())  # for other processes
    yield address
    server.give_back(address)
