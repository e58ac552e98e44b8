"""A sealed workspace in which one of two customers was erased, and what can be done to its log."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from mintage.capture.erasing import erasing
from mintage.capture.erasing.erasing import Erased
from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.terms import Terms
from mintage.core.canonical import canonical_json
from mintage.store import data_keys
from mintage.store.sealed import mark_of, sealer_of
from mintage.store.workspace import Workspace
from mintage.trust import repository
from mintage.trust.audit import AuditLog, LogRow, leaf_of
from mintage.trust.erasures import ERASED, GoneEntries
from mintage.trust.keys import KeyRing
from tests.capture.conftest import Shop

ORIGIN = "mintage.example/log"
CALLS = 4


@dataclass
class Dark:
    """Ada and Ben called in turn, Ada was erased, and Ben goes on."""

    shop: Shop
    log: AuditLog
    erased: Erased

    @property
    def workspace(self) -> Workspace:
        return self.shop.workspace

    def rows(self, kind: str | None = None) -> list[LogRow]:
        return [row for row in self.log.entries() if kind in (None, row.kind)]

    def keys_of(self, owner: str) -> list[int]:
        with self.workspace.database.read() as connection:
            return [row.number for row in data_keys.everyone(connection) if row.owner == owner]

    def execute(self, statement: str, **values: Any) -> None:
        self.workspace.database.write(
            lambda connection: connection.execute(text(statement), values) and None
        )

    def put(self, position: int, column: str, value: bytes | str) -> None:
        self.execute(
            f"UPDATE log_leaves SET {column} = :value WHERE position = :position",
            value=value,
            position=position,
        )

    def raw(self, position: int) -> bytes:
        with self.workspace.database.read() as connection:
            asked = text("SELECT record FROM log_leaves WHERE position = :position")
            return bytes(connection.execute(asked, {"position": position}).scalar_one())

    def mark(self, position: int, key: int) -> None:
        """Have an entry look sealed under another key."""
        self.put(position, "record", mark_of(key) + self.raw(position)[5:])

    def destroy(self, owner: str) -> None:
        self.execute(
            "UPDATE data_keys SET wrapped = NULL, destroyed_at = made_at WHERE owner = :owner",
            owner=owner,
        )

    def gone(self, keys: list[int], end: int | None = None) -> dict[str, Any]:
        """What an erasure would say of all that is under these keys."""
        gone = GoneEntries()
        with self.workspace.database.read() as connection:
            for row in repository.read_rows(connection, end=end, keys=keys):
                gone.add(row.position, row.leaf_hash)
        return {"data_keys": keys} | gone.gone().to_json()

    def enlarged(self, *more: int) -> tuple[int, bytes]:
        """Where the erasure is, and its record over what is under its keys by now, and others."""
        (row,) = self.rows(ERASED)
        gone = self.gone([*self.erased.data_keys, *more], row.position)
        return row.position, canonical_json(json.loads(row.record) | gone)

    @property
    def ben(self) -> str:
        return f"customer/{self.shop.customers.find('Ben').id}"


def sell_free(shop: Shop) -> None:
    """Pictures, of which nobody owes anything: who does is not erased."""
    shop.plans.ensure_default()
    shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", "0"),)))
    shop.sell("pets")


def darkened(workspace: Workspace, keys: KeyRing, *, signed: bool) -> Dark:
    """One; ``signed``: a head is over all of it."""
    shop = Shop(workspace, keys)
    sell_free(shop)
    log = AuditLog(workspace.database, keys, ORIGIN, workspace.clock)
    for __ in range(CALLS):
        for who in ("Ada", "Ben"):
            shop.meter.record(shop.usage(who)).result(10)
    erased = erasing.erase(workspace, "Ada")
    shop.meter.record(shop.usage("Ben")).result(10)
    if signed:
        log.tree_head()
    return Dark(shop, log, erased)


def another_customers_key(dark: Dark) -> None:
    dark.destroy(dark.ben)


def the_workspaces_key(dark: Dark) -> None:
    dark.destroy("workspace")


def _of_ben(dark: Dark, number: int) -> LogRow:
    """His calls, in their order; the last is behind the erasure."""
    return [row for row in dark.rows("usage") if not row.erased][number]


def a_call(dark: Dark) -> None:
    dark.mark(_of_ben(dark, 1).position, dark.erased.data_keys[0])


def a_call_as_text(dark: Dark) -> None:
    """SQLite keeps in any column what it is given."""
    row = _of_ben(dark, 1)
    mark = mark_of(dark.erased.data_keys[0]).decode()
    dark.put(row.position, "record", f"{mark} and nothing that was sealed")


def a_call_behind_the_erasure(dark: Dark) -> None:
    dark.mark(_of_ben(dark, -1).position, dark.erased.data_keys[0])


def an_entry_of_the_workspaces(dark: Dark) -> None:
    row = dark.rows("plan.set")[0]
    dark.mark(row.position, dark.erased.data_keys[0])


def an_erased_call_lies_elsewhere(dark: Dark) -> None:
    """What was under a destroyed key goes under one that still opens."""
    row = next(row for row in dark.rows("usage") if row.erased)
    dark.mark(row.position, dark.keys_of(dark.ben)[0])


def the_erasure_is_gone(dark: Dark) -> None:
    dark.execute("DELETE FROM log_leaves WHERE kind = :kind", kind=ERASED)


def the_erasure_is_gone_and_the_gap_closed(dark: Dark) -> None:
    (row,) = dark.rows(ERASED)
    the_erasure_is_gone(dark)
    for position in range(row.position + 1, dark.rows()[-1].position + 1):
        dark.execute(
            "UPDATE log_leaves SET position = position - 1 WHERE position = :at", at=position
        )


def the_erasure_is_hidden(dark: Dark) -> None:
    (row,) = dark.rows(ERASED)
    dark.put(row.position, "kind", "data.erased")


def the_erasure_is_enlarged(dark: Dark) -> None:
    """By whoever has the database alone: what they write lies open."""
    position, record = dark.enlarged(*dark.keys_of(dark.ben))
    salt = b"s" * 16
    for column, value in (("record", record), ("salt", salt), ("leaf_hash", leaf_of(record, salt))):
        dark.put(position, column, value)
    dark.destroy(dark.ben)


def another_erasure_is_made_up(dark: Dark) -> None:
    """Behind all there is, and without the key that seals."""
    at, salt = dark.rows()[-1].position + 1, b"s" * 16
    record = canonical_json({"kind": ERASED} | dark.gone(dark.keys_of(dark.ben)))
    dark.execute(
        "INSERT INTO log_leaves (position, kind, record, salt, leaf_hash)"
        " VALUES (:at, :kind, :record, :salt, :leaf)",
        at=at,
        kind=ERASED,
        record=record,
        salt=salt,
        leaf=leaf_of(record, salt),
    )
    dark.destroy(dark.ben)


def sealed_again(dark: Dark) -> None:
    """By whoever has all keys: a call of Ben's goes dark, and the erasure says so."""
    a_call(dark)
    position, record = dark.enlarged()
    salt = b"s" * 16

    def work(connection: Any) -> bytes:
        sealer = sealer_of(connection)
        assert sealer is not None
        return sealer.seal(connection, "workspace", f"log_leaves/{position}", salt + record)

    dark.put(position, "record", dark.workspace.database.write(work))
    dark.put(position, "leaf_hash", leaf_of(record, salt))


CRIMES: list[Callable[[Dark], None]] = [
    another_customers_key,
    the_workspaces_key,
    a_call,
    a_call_behind_the_erasure,
    an_entry_of_the_workspaces,
    an_erased_call_lies_elsewhere,
    the_erasure_is_gone,
    the_erasure_is_gone_and_the_gap_closed,
    the_erasure_is_hidden,
    the_erasure_is_enlarged,
    another_erasure_is_made_up,
]
"""What whoever has the database, and no key, can do."""
OF_CALLS = (another_customers_key, a_call, a_call_behind_the_erasure, the_erasure_is_enlarged)
"""Those that have usage events say what the log does not."""
