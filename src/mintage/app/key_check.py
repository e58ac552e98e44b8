"""What a diagnosis asks of the keys."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from mintage.app.finding import Finding
from mintage.core.clock import Clock
from mintage.core.errors import TrustError
from mintage.core.messages import _
from mintage.trust.key_list import KeyList
from mintage.trust.keys import KeyRing, SigningRole

OLD_DAYS = 365
"""From which age of a signing key on a successor is advised: a leak unnoticed ends with the key."""


def examine_keys(folder: Path, clock: Clock) -> Iterator[Finding]:
    """Whether private keys are their owner's alone, and none is old, revoked or out of place."""
    private = sorted(folder.glob("*.pem"))
    open_ones = [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077]
    closed = [path for path in private if not os.access(path, os.R_OK)]
    for path in open_ones:
        yield Finding(
            _("keys"),
            "problem",
            _("{path} can be read by others", path=path),
            _("Close it with: chmod 600 {path}", path=shlex.quote(str(path))),
        )
    for path in closed:
        yield Finding(
            _("keys"),
            "problem",
            _("{path} cannot be read", path=path),
            _("Run as the user who owns the workspace."),
        )
    if closed:
        return
    doubts = [*doubts_of(KeyRing(folder, clock), clock)]
    yield from doubts
    if not doubts and not open_ones:
        yield Finding(
            _("keys"), "ok", _("{count}, readable by their owner alone", count=len(private))
        )


def doubts_of(keys: KeyRing, clock: Clock) -> Iterator[Finding]:
    """What is wrong with the keys themselves, whoever can read their files."""
    try:
        yield from _doubts(keys, clock)
    except TrustError as error:
        yield Finding(
            _("keys"), "problem", error.message, error.remedy, ("key.unreadable", "critical")
        )


def _doubts(keys: KeyRing, clock: Clock) -> Iterator[Finding]:
    if keys.path("root").exists():
        yield Finding(
            _("keys"),
            "warning",
            _("the private root key lies here: {path}", path=keys.path("root")),
            _("Move it to where no server is; mintage signing-key publish takes --root-key FILE."),
            ("key.root_here", "medium"),
        )
    for role in get_args(SigningRole):
        yield from _of_role(keys, role, clock.now())
    revoked = {
        each.key.key_id
        for listed in (*_own(keys), *(found for __, found in keys.lists()))
        for each in listed.keys
        if each.revoked_at is not None
    }
    for file in keys.trusted()[0]:
        if file.key.key_id in revoked:
            yield Finding(
                _("keys"),
                "warning",
                _("{path} holds a key that was revoked", path=file.path),
                _("Remove it: mintage trust remove {key_id}", key_id=file.key.key_id[:16]),
                ("key.revoked", "high"),
            )


def _of_role(keys: KeyRing, role: SigningRole, now: datetime) -> Iterator[Finding]:
    if keys.next_path(role).exists():
        yield Finding(
            _("keys"),
            "warning",
            _("a rotation of the role {role} was cut short", role=role),
            _("Run it again: mintage signing-key rotate {role}", role=role),
            ("key.half_rotated", "low"),
        )
    if not keys.path(role).exists():
        return
    current = next((found.current(role) for found in _own(keys)), None)
    if current is None:
        made = datetime.fromtimestamp(keys.path(role).stat().st_mtime, UTC)
    else:
        made = datetime.fromisoformat(current.valid_from)
    days = (now - made).days
    if days > OLD_DAYS:
        yield Finding(
            _("keys"),
            "warning",
            _("the key of the role {role} is {days} days old", role=role, days=days),
            _("Rotate it: mintage signing-key rotate {role}", role=role),
            ("key.old", "medium"),
        )


def _own(keys: KeyRing) -> Iterator[KeyList]:
    record = keys.record()
    if record is not None:
        yield record.keys
