"""The tables as PostgreSQL has them, and two of its own for what SQLite keeps in files."""

from __future__ import annotations

from sqlalchemy import BigInteger, Connection, Integer, MetaData, String, Text, text

from mintage.store.schema import metadata

_OF_ITS_OWN = (
    # One row, which each change of what others keep in memory raises in its own transaction.
    "CREATE TABLE changes (number bigint NOT NULL)",
    "INSERT INTO changes VALUES (0)",
    # Not logged: after a crash of the server limits are counted anew, and a call costs no flush.
    (
        'CREATE UNLOGGED TABLE rate_buckets (name text COLLATE "C" PRIMARY KEY,'
        " empty_at double precision NOT NULL, fitted boolean NOT NULL) WITH (fillfactor = 50)"
    ),
)


def make_tables(connection: Connection) -> None:
    """Make every table."""
    _as_sqlite_has_them().create_all(connection)
    for statement in _OF_ITS_OWN:
        connection.execute(text(statement))


def _as_sqlite_has_them() -> MetaData:
    """Text of any length, sorted by its bytes whatever the server's locale; integers of 64 bits."""
    copied = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        for column in table.to_metadata(copied).columns:
            if isinstance(column.type, String):
                column.type = Text(collation="C")
            elif isinstance(column.type, Integer):
                column.type = BigInteger()
    return copied
