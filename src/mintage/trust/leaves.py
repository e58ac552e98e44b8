"""Leaves of the audit log: how a record becomes one, and whether one is still what it was."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from mintage.core.canonical import Spelled
from mintage.core.errors import DataError, LogForked
from mintage.core.messages import _
from mintage.trust import merkle, repository

_RESERVED = ("kind", "actor")
_actor: ContextVar[Mapping[str, str] | None] = ContextVar("actor", default=None)
REMEDY = _(
    "Stop, keep a copy of the workspace, and compare it with a backup and earlier tree heads."
)


@dataclass(frozen=True)
class Leaf:
    """Where a record stands in the log, and what it takes to show that it does."""

    position: int
    leaf_hash: bytes
    salt: bytes


@contextmanager
def acting(actor: Mapping[str, str]) -> Iterator[None]:
    """Have what is logged meanwhile, in this context, say who did it: its member ``actor``.

    What is done without one was done by the service itself, or on its own machine.
    """
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def append(connection: repository.Connection, kind: str, record: Mapping[str, Any]) -> Leaf:
    """Log a record inside the caller's write, so that fact and leaf are one transaction.

    ``kind`` becomes a member of the record, so that the leaf vouches for it too; so does the
    ``actor``, if somebody is ``acting``.

    Raises:
        DataError: the record holds what canonical JSON cannot say, or one of these of its own.
    """
    return append_all(connection, kind, [Spelled.of(record)])[0]


def append_all(
    connection: repository.Connection,
    kind: str,
    records: Sequence[Spelled],
    *,
    at: int | None = None,
) -> list[Leaf]:
    """``append`` for several records of one kind, in their order, by two statements.

    ``at`` is the first one's position, where it is not to be the next.

    Raises:
        DataError: as ``append``; nothing was logged.
    """
    for name in _RESERVED:
        if any(name in record for record in records):
            raise DataError(
                _("A record of the log cannot have a member called {name!r}.", name=name)
            )
    actor = _actor.get()
    more = Spelled.of({"kind": kind} if actor is None else {"kind": kind, "actor": actor})
    data = [(record | more).encode() for record in records]
    salts = [secrets.token_bytes(repository.SALT_BYTES) for __ in data]
    hashes = [leaf_of(each, salt) for each, salt in zip(data, salts, strict=True)]
    rows = [(kind, *row) for row in zip(data, salts, hashes, strict=True)]
    first = repository.add_leaves(connection, rows, at)
    return [
        Leaf(first + number, *each) for number, each in enumerate(zip(hashes, salts, strict=True))
    ]


def leaf_of(record: bytes, salt: bytes) -> bytes:
    """The leaf's hash: RFC 6962 over SHA-256(salt ‖ record)."""
    return merkle.leaf_hash(hashlib.sha256(salt + record).digest())


def rehashed(row: repository.LogRow, expected: int) -> bytes:
    """The leaf's hash, worked out anew from the record, once it is the one that was logged there.

    Of an entry whose record was erased, ``Erasures.rehashed`` finds out whether that may be so.

    Raises:
        LogForked: it is another entry than the one expected next, or it was changed.
    """
    if row.position != expected:
        raise missing(expected)
    found = leaf_of(row.record, row.salt)
    if found != row.leaf_hash or row.broken:
        raise LogForked(
            _(
                "The entry at position {position} was changed after it was logged.",
                position=expected,
            ),
            remedy=REMEDY,
        )
    if _kind_of(row.record) != row.kind:
        raise LogForked(
            _(
                "The entry at position {position} is not of the kind {kind!r}.",
                position=expected,
                kind=row.kind,
            ),
            remedy=REMEDY,
        )
    return found


def missing(position: int) -> LogForked:
    """There is none at a position where one belongs."""
    return LogForked(
        _("The entry at position {position} is missing from the log.", position=position),
        remedy=REMEDY,
    )


def _kind_of(record: bytes) -> object:
    try:
        return json.loads(record)["kind"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # it is no record of ours
