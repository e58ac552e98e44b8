"""The rows of data keys and of sealed files' versions: the only statements that touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from mintage.store.schema import data_keys, sealed_files
from mintage.store.statements import Statement, insert_or_change

__all__ = ["Connection"]

_COLUMNS = "number, owner, wrapped, wrapped_by, retired_at, destroyed_at"
_NEWEST = Statement(
    f"SELECT {_COLUMNS} FROM data_keys WHERE owner = :owner ORDER BY number DESC LIMIT 1"  # noqa: S608 - no values
)
_NUMBERED = Statement(f"SELECT {_COLUMNS} FROM data_keys WHERE number = :number")  # noqa: S608
_VERSION = Statement("SELECT version FROM sealed_files WHERE name = :name")


@dataclass(frozen=True)
class KeyRow:
    """A data key as it is kept; ``wrapped`` is None where it was destroyed."""

    number: int
    owner: str
    wrapped: bytes | None
    wrapped_by: str
    retired_at: str | None
    destroyed_at: str | None


def any_of(connection: Connection) -> bool:
    """Whether there ever was one, of anybody."""
    return connection.execute(select(data_keys.c.number).limit(1)).first() is not None


def newest(connection: Connection, owner: str) -> KeyRow | None:
    """The newest key of an owner, retired or destroyed ones too."""
    row = _NEWEST.execute(connection, owner=owner).first()
    return None if row is None else _row(row)


def numbered(connection: Connection, number: int) -> KeyRow | None:
    """The key with this number."""
    row = _NUMBERED.execute(connection, number=number).first()
    return None if row is None else _row(row)


def first_of(connection: Connection, owner: str) -> KeyRow | None:
    """The oldest key of an owner."""
    k = data_keys.c
    asked = _all().where(k.owner == owner).order_by(k.number).limit(1)
    row = connection.execute(asked).first()
    return None if row is None else _row(row)


def everyone(connection: Connection) -> list[KeyRow]:
    """Every key, the oldest first."""
    return [_row(row) for row in connection.execute(_all().order_by(data_keys.c.number))]


def add(connection: Connection, owner: str, moment: str) -> int:
    """Reserve a number for a new key; ``wrap`` it in the same transaction."""
    values = {"owner": owner, "wrapped": None, "wrapped_by": "", "made_at": moment}
    done = connection.execute(insert(data_keys).values(values)).inserted_primary_key
    if done is None:
        raise RuntimeError("a data key got no number")
    return int(done[0])


def wrap(connection: Connection, number: int, wrapped: bytes, wrapped_by: str) -> None:
    """Keep a key as a key-encryption key wraps it now."""
    _change(connection, number, {"wrapped": wrapped, "wrapped_by": wrapped_by})


def retire_all(connection: Connection, moment: str) -> int:
    """Nothing new is sealed under any key that there is; how many that are."""
    k = data_keys.c
    usable = k.retired_at.is_(None) & k.destroyed_at.is_(None)
    retired = update(data_keys).where(usable).values(retired_at=moment)
    return int(connection.execute(retired).rowcount)


def standing(connection: Connection, owner: str) -> list[int]:
    """The numbers of an owner's keys that were not destroyed, in order."""
    k = data_keys.c
    asked = select(k.number).where(k.owner == owner, k.destroyed_at.is_(None)).order_by(k.number)
    return list(connection.execute(asked).scalars())


def destroy(connection: Connection, owner: str, moment: str) -> list[int]:
    """Forget every key of an owner, their bytes overwritten; the numbers of those there were."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    numbers = standing(connection, owner)
    gone = {"wrapped": None, "wrapped_by": "", "destroyed_at": moment}
    connection.execute(update(data_keys).where(data_keys.c.number.in_(numbers)).values(gone))
    return numbers


def version_of(connection: Connection, name: str) -> int:
    """The least version of a sealed file that is taken; 0 where it never was one."""
    return int(_VERSION.execute(connection, name=name).scalar() or 0)


def keep_versions(connection: Connection, versions: Mapping[str, int]) -> None:
    """Take nothing older of these files from now on."""
    for name, version in versions.items():
        row = {"name": name, "version": version}
        insert_or_change(connection, sealed_files, row, {"version": version}, key=["name"])


def all_versions(connection: Connection) -> dict[str, int]:
    """The version of every sealed file, by its name."""
    asked = select(sealed_files.c.name, sealed_files.c.version)
    return {row[0]: int(row[1]) for row in connection.execute(asked)}


def _all() -> Select[Any]:
    k = data_keys.c
    return select(k.number, k.owner, k.wrapped, k.wrapped_by, k.retired_at, k.destroyed_at)


def _change(connection: Connection, number: int, values: Mapping[str, object]) -> None:
    connection.execute(update(data_keys).where(data_keys.c.number == number).values(values))


def _row(row: Row[Any]) -> KeyRow:
    found = KeyRow(**row._mapping)  # noqa: SLF001 - the public way to a row's names
    wrapped = found.wrapped  # a driver may give a view
    return found if wrapped is None else replace(found, wrapped=bytes(wrapped))
