"""Our own signing keys as they are: what was recorded of them, and those that never were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from mintage.core.clock import timestamp
from mintage.trust.key_list import KeyList, ListedKey
from mintage.trust.key_record import KeyRecord
from mintage.trust.keys import KeyRing, SigningRole


def recorded(keys: KeyRing, now: str) -> KeyRecord:
    """The record, with the keys that lie here and were never recorded.

    A key that is found in another's place was laid there by hand: the other is a former one.

    Raises:
        TrustError: a file is not its owner's alone, or damaged.
    """
    record = keys.record() or KeyRecord(KeyList(0, now, ()))
    listed = [*record.keys.keys]
    for role in get_args(SigningRole):
        found = keys.own(role)
        if found is None or any(each.key.key_id == found.key_id for each in listed):
            continue
        made = _made(keys.path(role), now)
        listed = [each.ended(made) if each.role == role else each for each in listed]
        listed.append(ListedKey(role, found, made))
    return replace(record, keys=replace(record.keys, keys=tuple(listed)))


def _made(path: Path, now: str) -> str:
    """When a key was made that nobody recorded: as its file says."""
    return min(timestamp(datetime.fromtimestamp(path.stat().st_mtime, UTC)), now)
