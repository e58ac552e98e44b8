"""What of the things a revoked key signed is believed: what our own audit log had before.

The thief of a key can sign anything, and date it as they like. What they cannot do is put it into
our log before the moment of their theft.
"""

from __future__ import annotations

import json
from contextlib import closing

from mintage.store.engine import Database
from mintage.trust import repository
from mintage.trust.audit import leaf_of
from mintage.trust.signing import files_digest

_MODELS = ("model.signed", "model.imported", "model.restored")
_DATASETS = ("dataset.collected",)


def logged_before(database: Database, moment: str) -> list[str]:
    """What stood in the log before a moment, each as ``digest name@version``.

    It stops at the first entry from that moment on: along the log time never runs backwards, so an
    entry behind it with an earlier date was made up.
    """
    found: dict[str, None] = {}
    kinds = (*_MODELS, *_DATASETS)
    with (
        database.read() as connection,
        closing(repository.read_rows(connection, kinds=kinds)) as rows,
    ):
        for row in rows:
            if leaf_of(row.record, row.salt) != row.leaf_hash:
                continue  # `mintage audit verify` names it; here it shows nothing
            record = json.loads(row.record)
            if record["created_at"] >= moment:
                break
            found[_line(row.kind, record)] = None
    return [*found]


def _line(kind: str, record: dict[str, str]) -> str:
    if kind in _MODELS:
        return f"{record['bundle_digest']} {record['name']}@{record['version']}"
    version = record["version"]
    digest = files_digest({"manifest.jsonl": version, "card.json": record["card_sha256"]})
    return f"{digest} {record['name']}#{version}"
