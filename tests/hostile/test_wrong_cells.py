"""SQLite keeps in any column what it is given: whatever lies there is named, and nothing breaks."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.sold import Sold, opened, sold

from mintage.app.auditing import Wanted
from mintage.app.root import App
from mintage.core.errors import MintageError

__all__ = ["sold"]  # a fixture

VALUES = {
    "text that is none": "CAST(x'7bff' AS TEXT)",
    "text": "'{}'",
    "a number": "7",
    "bytes": "x'7b7d'",
}
CELLS = [
    *(f"log_leaves.{name} position=3" for name in ("kind", "record", "salt", "leaf_hash")),
    *(f"log_heads.{name} size=:most" for name in ("size", "root", "note", "signed_at")),
    *(f"logs.{name} number=1" for name in ("origin", "first_position", "begun_at", "frozen_at")),
    *(f"statements.{name} name='plan/standard@1'" for name in ("envelope", "number")),
]
WITHOUT_EFFECT = {"log_heads.signed_at", "logs.begun_at"}
"""What nothing follows from."""


def verify(app: App) -> None:
    faults = [each.fault for each in app.auditing.verify() if each.fault is not None]
    if faults:
        raise faults[0]


COMMANDS: Mapping[str, Callable[[App], object]] = {
    "audit verify": verify,
    "audit show": lambda app: [*app.auditing.show(Wanted())],
    "audit prove": lambda app: app.auditing.prove("3"),
    "audit export": lambda app: app.auditing.export(app.workspace.home / "log.jsonl"),
    "ledger check": lambda app: app.billing.check(),
    "invoice evidence": lambda app: [
        *app.billing.evidence(app.billing.listed()[0].number or "").archived()
    ],
    "trust": lambda app: [app.keys.public_keys(role) for role in ("log", "bundle")],
    "audit prove --since": lambda app: app.auditing.prove_since("2"),
    "audit head": lambda app: app.auditing.head(),  # the last: it may freeze the log
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_of_another_type_is_refused_by_name_wherever_it_is_read(
    sold: Sold, tmp_path: Path, cell: str, value: str
) -> None:
    home = Path(shutil.copytree(sold.home, tmp_path / "home"))
    column, __, where = cell.partition(" ")
    table, __, name = column.partition(".")
    with closing(sqlite3.connect(home / "mintage.db")) as connection:
        where = where.replace(":most", "(SELECT max(size) FROM log_heads)")
        statement = f"UPDATE {table} SET {name} = {value} WHERE {where}"
        assert connection.execute(statement).rowcount == 1
        connection.commit()
    found: dict[str, MintageError] = {}
    with opened(home) as app:
        for command, act in COMMANDS.items():
            try:
                act(app)
            except MintageError as error:
                found[command] = error
    assert {command: error for command, error in found.items() if error.exit_status != 3} == {}
    if table == "log_leaves":
        assert "position 3" in found["audit verify"].message
    elif table != "statements" and column not in WITHOUT_EFFECT:
        assert "audit verify" in found
