"""The audit log: what happened, in a Merkle tree that even its owner cannot rewrite unseen.

A record is canonical JSON. Its leaf is RFC 6962's hash of SHA-256(salt ‖ record): whoever has
record and salt can show that it is there, and a leaf alone says nothing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from mintage.core.canonical import Spelled
from mintage.core.errors import ConfigError, DataError, LogForked
from mintage.core.messages import _
from mintage.store.engine import Database
from mintage.trust import merkle, repository
from mintage.trust.keys import KeyRing
from mintage.trust.notes import SignedHead, sign_head, verify_note

__all__ = [
    "AuditLog",
    "Leaf",
    "Proof",
    "SignedHead",
    "acting",
    "append",
    "append_all",
    "leaf_of",
    "verify_note",
]

_SALT_BYTES = 16
_RESERVED = ("kind", "actor")
_actor: ContextVar[Mapping[str, str] | None] = ContextVar("actor", default=None)
_REMEDY = _(
    "Stop, keep a copy of the workspace, and compare it with a backup and earlier tree heads."
)


@dataclass(frozen=True)
class Leaf:
    """Where a record stands in the log, and what it takes to show that it does."""

    position: int
    leaf_hash: bytes
    salt: bytes


@dataclass(frozen=True)
class Proof:
    """A leaf, the siblings on its way to the root (lowest first), and the signed root."""

    leaf: Leaf
    path: tuple[bytes, ...]
    head: SignedHead

    def verify(self) -> None:
        """Check the path against the head; the head's own signature is ``verify_note``'s.

        Raises:
            LogForked: the path does not lead to the head's root.
        """
        merkle.verify_inclusion(
            self.leaf.position, self.head.size, self.leaf.leaf_hash, self.path, self.head.root
        )


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
    connection: repository.Connection, kind: str, records: Sequence[Spelled]
) -> list[Leaf]:
    """``append`` for several records of one kind, in their order, by two statements.

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
    salts = [secrets.token_bytes(_SALT_BYTES) for __ in data]
    hashes = [leaf_of(each, salt) for each, salt in zip(data, salts, strict=True)]
    rows = [(kind, *row) for row in zip(data, salts, hashes, strict=True)]
    first = repository.add_leaves(connection, rows)
    return [
        Leaf(first + number, *each) for number, each in enumerate(zip(hashes, salts, strict=True))
    ]


def leaf_of(record: bytes, salt: bytes) -> bytes:
    """The leaf's hash: RFC 6962 over SHA-256(salt ‖ record)."""
    return merkle.leaf_hash(hashlib.sha256(salt + record).digest())


class AuditLog:
    """The log as a whole: signed heads, proofs, and the check that nothing was rewritten."""

    def __init__(self, database: Database, keys: KeyRing, origin: str) -> None:
        """``origin`` is the log's name for ever, such as ``example.com/log``."""
        self._database = database
        self._keys = keys
        self._origin = origin

    def tree_head(self) -> SignedHead:
        """Size and root as they now stand, signed."""
        with self._database.read() as connection:
            return self._signed(repository.leaf_hashes(connection))

    def inclusion(self, position: int) -> Proof:
        """Show that the record at a position is in the log.

        Raises:
            ConfigError: there is no such position.
            LogForked: entries are missing, so that positions no longer hold.
        """
        with self._database.read() as connection:
            row = repository.read_row(connection, position)
            leaves = repository.leaf_hashes(connection)
        if row is None:
            raise ConfigError(
                _(
                    "The log has {count} entries, none at position {position}.",
                    count=len(leaves),
                    position=position,
                ),
                remedy=_("Positions are counted from 0."),
            )
        path = merkle.inclusion_proof(leaves, position)
        leaf = Leaf(position, row.leaf_hash, row.salt)
        proof = Proof(leaf, tuple(path), self._signed(leaves))
        proof.verify()
        return proof

    def check(self, *earlier: SignedHead) -> int:
        """Hash every record again; the number of entries, all as they were when logged.

        ``earlier`` are heads that were signed before, and kept where this log's owner cannot
        reach them: only they show a log that was made anew as a whole or cut short.

        Raises:
            LogForked: something was changed, added or removed; the message names the first.
        """
        leaves: list[bytes] = []
        with self._database.read() as connection, closing(repository.read_rows(connection)) as rows:
            for row in rows:
                _check_row(row, len(leaves))
                leaves.append(row.leaf_hash)
        for head in earlier:
            if head.size > len(leaves) or merkle.root(leaves[: head.size]) != head.root:
                raise LogForked(
                    _(
                        "The log's {count} entries do not begin with the {signed} that were "
                        "signed before.",
                        count=len(leaves),
                        signed=head.size,
                    ),
                    remedy=_REMEDY,
                )
        return len(leaves)

    def _signed(self, leaves: list[bytes]) -> SignedHead:
        root = merkle.root(leaves)
        return sign_head(len(leaves), root, self._origin, self._keys.signer("log"))


def _check_row(row: repository.LogRow, expected: int) -> None:
    if row.position != expected:
        what = _("The entry at position {position} is missing from the log.", position=expected)
    elif leaf_of(row.record, row.salt) != row.leaf_hash:
        what = _(
            "The entry at position {position} was changed after it was logged.", position=expected
        )
    elif json.loads(row.record)["kind"] != row.kind:
        what = _(
            "The entry at position {position} is not of the kind {kind!r}.",
            position=expected,
            kind=row.kind,
        )
    else:
        return
    raise LogForked(what, remedy=_REMEDY)
