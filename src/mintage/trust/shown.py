"""What of the things a revoked key signed is believed: what our own audit log had before.

The thief of a key can sign anything, and date it as they like. What they cannot do is put it into
our log before the moment of their theft.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.audit import leaf_of
from mintage.trust.signing import files_digest

_DATED = {
    "model.signed": "created_at",
    "model.imported": "created_at",
    "model.restored": "created_at",
    "dataset.collected": "created_at",
    "plan.set": "created_at",
    "model.audited": "audited_at",
}
"""Entries of what is signed that say when they were made, and in which member."""
_UNDATED = ("invoice.issued", "evaluation.measured")
"""Those that do not: they were made before what stands behind them."""
_CLOCK = {**_DATED, "usage": "recorded_at"}


_TAKEN_IN = ("model.imported", "model.restored")
"""Those of what somebody brought here, whatever key they say signed it."""


def made_here(database: Database, now: str) -> list[str]:
    """What the log has until ``now`` of what was made here, each as ``digest name``."""
    kinds = [kind for kind in (*_DATED, *_UNDATED) if kind not in _TAKEN_IN]
    return _logged(database, now, kinds, is_now=True)


def logged_before(database: Database, moment: str, *, is_now: bool = False) -> list[str]:
    """What stood in the log before a moment, each as ``digest name``.

    It stops at the first dated entry from that moment on: along the log time never runs backwards,
    so an entry behind it with an earlier date was made up. ``is_now``: the moment is the present.
    """
    return _logged(database, moment, (*_DATED, *_UNDATED), is_now=is_now)


def _logged(database: Database, moment: str, kinds: Sequence[str], *, is_now: bool) -> list[str]:
    found: dict[str, None] = {}
    with (
        database.read() as connection,
        closing(repository.read_rows(connection, kinds=kinds)) as rows,
    ):
        last = None if is_now else _last_before(connection, moment)
        for row in rows:
            if leaf_of(row.record, row.salt) != row.leaf_hash:
                continue  # `mintage audit verify` names it; here it shows nothing
            record = json.loads(row.record)
            if row.kind in _DATED:
                if record[_DATED[row.kind]] >= moment:
                    break
            elif not is_now and (last is None or row.position > last):
                continue
            found |= dict.fromkeys(_lines(row.kind, record))
    return [*found]


def _last_before(connection: repository.Connection, moment: str) -> int | None:
    """The last position of which a date shows that it was taken before a moment."""
    with closing(repository.read_rows(connection, newest_first=True, kinds=(*_CLOCK,))) as rows:
        for row in rows:
            whole = leaf_of(row.record, row.salt) == row.leaf_hash
            if whole and json.loads(row.record)[_CLOCK[row.kind]] < moment:
                return row.position
    return None


def _lines(kind: str, record: Mapping[str, Any]) -> Iterator[str]:
    """What a signed statement of the same thing would come to, as ``key_record`` looks for it."""
    if kind == "invoice.issued":
        for name in ("invoice", "credit-note"):
            yield f"{record['sha256']} {name}/{record['number']}"
    elif kind == "evaluation.measured":
        yield f"{record['sha256']} evaluation/{record['id']}"
    elif kind == "model.audited":
        yield f"{record['sha256']} audit/{record['id']}"
    elif kind == "plan.set":
        plan = {name: said for name, said in record.items() if name not in ("kind", "actor")}
        digest = sha256_hex(canonical_json(plan))
        yield f"{digest} plan/{record['name']}@{record['version']}"
    elif kind == "dataset.collected":
        version = record["version"]
        digest = files_digest({"manifest.jsonl": version, "card.json": record["card_sha256"]})
        yield f"{digest} {record['name']}#{version}"
    else:
        yield f"{record['bundle_digest']} {record['name']}@{record['version']}"
