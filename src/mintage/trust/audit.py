"""The audit log: what happened, in a Merkle tree that even its owner cannot rewrite unseen.

A record is canonical JSON. Its leaf is RFC 6962's hash of SHA-256(salt ‖ record): whoever has
record and salt can show that it is there, and a leaf alone says nothing. The format is described in
docs/formats/audit-log.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from mintage.core.clock import Clock, SystemClock, timestamp
from mintage.core.errors import ConfigError, LogForked
from mintage.core.messages import _
from mintage.core.progress import Progress, Silent
from mintage.store.engine import Database
from mintage.trust import merkle, repository
from mintage.trust.checking import Checked, examine
from mintage.trust.erasures import Erasures
from mintage.trust.heads import EVERY_SECONDS, Heads
from mintage.trust.inclusions import Inclusions, Place
from mintage.trust.kept_heads import head_from, kept_again, not_as_signed, tiles_of
from mintage.trust.keys import KeyRing
from mintage.trust.leaves import (
    Leaf,
    acting,
    append,
    append_all,
    leaf_of,
    missing,
)
from mintage.trust.notes import SignedHead, verify_note
from mintage.trust.repository import LogRecord, LogRow

__all__ = [
    "AuditLog",
    "Checked",
    "Consistency",
    "Inclusions",
    "Leaf",
    "LogRecord",
    "LogRow",
    "Place",
    "Proof",
    "SignedHead",
    "acting",
    "append",
    "append_all",
    "leaf_of",
    "verify_note",
]


@dataclass(frozen=True)
class Proof:
    """A leaf, the siblings on its way to the root (lowest first), and the signed root."""

    leaf: Leaf
    path: tuple[bytes, ...]
    head: SignedHead
    first_position: int = 0
    """Of the head's log: a leaf's index in its tree is counted from there."""
    record: bytes = field(default=b"", repr=False)
    erased_by: int | None = None
    """Of an entry without a record, the position of the one that accounts for that."""

    @property
    def index(self) -> int:
        """Where the leaf stands in the tree."""
        return self.leaf.position - self.first_position

    def verify(self) -> None:
        """Check the path against the head; the head's own signature is ``verify_note``'s.

        Raises:
            LogForked: the path does not lead to the head's root.
        """
        merkle.verify_inclusion(
            self.index, self.head.size, self.leaf.leaf_hash, self.path, self.head.root
        )

    def to_json(self, *, with_record: bool = False) -> dict[str, Any]:
        """As docs/formats/audit-log.md has it; record and salt are for those who may read it."""
        said: dict[str, Any] = {
            "position": self.leaf.position,
            "index": self.index,
            "size": self.head.size,
            "leaf_hash": self.leaf.leaf_hash.hex(),
            "path": [each.hex() for each in self.path],
            "head": self.head.note,
        }
        if self.erased_by is not None:
            said["erased_by"] = self.erased_by
        elif with_record:
            said |= {"record": self.record.decode(), "salt": self.leaf.salt.hex()}
        return said


@dataclass(frozen=True)
class Consistency:
    """Shows that the log of ``earlier`` entries became that of ``size`` by adding alone."""

    origin: str
    earlier: int
    size: int
    path: tuple[bytes, ...]
    head: SignedHead | None
    """Of ``size``, where one was signed."""

    def verify(self, earlier: SignedHead) -> None:
        """Check it against a head that was kept; the heads' signatures are ``verify_note``'s.

        Raises:
            LogForked: the newer log does not begin with what that head was signed over.
        """
        if self.head is None or earlier.size != self.earlier or earlier.origin != self.origin:
            raise LogForked(_("The proof is of other heads than these."))
        merkle.verify_consistency(
            self.earlier, self.size, earlier.root, self.head.root, list(self.path)
        )

    def to_json(self) -> dict[str, Any]:
        """As docs/formats/audit-log.md has it."""
        return {
            "origin": self.origin,
            "from": self.earlier,
            "to": self.size,
            "path": [each.hex() for each in self.path],
            "head": None if self.head is None else self.head.note,
        }


class AuditLog:
    """The log as a whole: signed heads, proofs, and the check that nothing was rewritten.

    It is one Merkle tree until it is found damaged; then it is frozen and another begun after it,
    and positions go on.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        origin: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        """``origin`` is what a log is called from its first head on, such as ``example.com/log``.

        None: it is named by its key, so that no two have one name. One that has a name keeps it.

        Raises:
            ConfigError: it is no name for a log.
        """
        self._database = database
        self._keys = keys
        self._clock = clock or SystemClock()
        self._heads = Heads(database, keys, origin, self._clock)

    def tree_head(self) -> SignedHead:
        """Size and root as they now stand, signed and kept.

        Nothing is signed that was not read and hashed again. Where that finds entries that are not
        what was logged, the log is frozen, and the head is that of the one begun after it.
        """
        return self._heads.bring_up()

    def latest(self) -> SignedHead | None:
        """The newest head that was signed; None before the first."""
        with self._database.read() as connection:
            number = self._heads.logs(connection)[-1].number
            row = repository.last_head(connection, number)
        return None if row is None else head_from(row)

    def recent(self) -> SignedHead:
        """The newest head; a new one only where none was signed within the last second."""
        return self._heads.bring_up(EVERY_SECONDS)

    def logs(self) -> list[LogRecord]:
        """The logs, the oldest first; all but the last are frozen."""
        with self._database.read() as connection:
            return self._heads.logs(connection)

    def check_key(self) -> None:
        """Check that the key is here that signed the newest head.

        Raises:
            TrustError: it is not.
        """
        self._heads.check()

    @contextmanager
    def signing(self) -> Iterator[None]:
        """Sign what is added beside what is done inside, at most once a second."""
        with self._heads.in_background():
            yield

    def inclusion(self, position: int) -> Proof:
        """Show that the record at a position is in the log, signing a head for it if need be.

        Raises:
            ConfigError: there is no such position.
            LogForked: the entry is not what was logged, or its log was frozen before it was signed.
        """
        proof = self._proved(position)
        if proof is None:
            self.tree_head()
            proof = self._proved(position)
        if proof is None:
            raise missing(position)
        return proof

    def inclusion_so_far(self, position: int) -> Proof | None:
        """``inclusion``, but no head is signed within a second of the last; None: it is too young.

        Raises:
            ConfigError, LogForked: as ``inclusion``.
        """
        proof = self._proved(position)
        if proof is None:
            self.recent()
            proof = self._proved(position)
        return proof

    def _proved(self, position: int) -> Proof | None:
        """The proof by the newest head; None where that is not over it."""
        with self._database.read() as connection:
            known = self._heads.logs(connection)
            log = next((each for each in known[::-1] if each.first_position <= position), known[0])
            last = repository.last_position(connection)
            if not log.first_position <= position <= last:
                raise _no_such(last + 1, position)
            row = repository.read_row(connection, position)
            if row is None:
                raise missing(position)
            frozen = log.frozen_size
            head = _good_head(connection, log)
            index = position - log.first_position
            if head is None or index >= head.size:
                if frozen is not None:
                    raise LogForked(
                        _(
                            "The entry at position {position} is in no head: its log {origin} was "
                            "frozen. {reason}",
                            position=position,
                            origin=log.origin,
                            reason=log.reason or "",
                        )
                    )
                return None
            erasures = Erasures()
            leaf = Leaf(position, erasures.rehashed(connection, row, position), row.salt)
            erased_by = erasures.account(connection, row) if row.erased else None
            path = tiles_of(connection, log).inclusion(index, head.size)
        record = b"" if row.erased else row.record
        proof = Proof(leaf, tuple(path), head_from(head), log.first_position, record, erased_by)
        proof.verify()
        return proof

    def inclusions(self, last: int) -> Inclusions:
        """Proofs of any entries up to a position, by one signed head of each log.

        The newest that there is will do where it is over them: whoever only looks signs nothing.
        """
        found = self._inclusions()
        if not found.reaches(last):
            self.tree_head()
            found = self._inclusions()
        return found

    def _inclusions(self) -> Inclusions:
        with self._database.read() as connection:
            logs = self._heads.logs(connection)
            rows = {log.number: _good_head(connection, log) for log in logs}
        heads = {number: head_from(row) for number, row in rows.items() if row is not None}
        return Inclusions(self._database, logs, heads)

    def consistency(
        self, earlier: int, size: int | None = None, *, log: int | None = None
    ) -> Consistency:
        """Show that the log of ``earlier`` entries is the beginning of that of ``size``.

        ``size`` is the newest head's where none is said, and the log the one that goes on.

        Raises:
            ConfigError: the sizes are not between 1 and the newest head's, or there is no such log.
            LogForked: the kept hashes do not give that head.
        """
        with self._database.read() as connection:
            known = {each.number: each for each in self._heads.logs(connection)}
            asked = known.get(max(known) if log is None else log)
            if asked is None:
                raise ConfigError(
                    _("There is no log {number} here.", number=log),
                    remedy=_("GET /v1/log lists those that there are."),
                )
            newest = repository.last_head(connection, asked.number)
            if asked.frozen_size is not None:
                newest = repository.head_of(connection, asked.number, asked.frozen_size)
            most = 0 if newest is None else newest.size
            wanted = most if size is None else size
            if newest is None or not 1 <= earlier <= wanted <= most:
                raise ConfigError(
                    _("No proof from {earlier} entries to {count}.", earlier=earlier, count=wanted),
                    remedy=_("Both are sizes from 1 to {size}, the newest head's.", size=most),
                )
            tiles = tiles_of(connection, asked)
            if tiles.root(most) != newest.root:
                raise not_as_signed(most, most)
            path = tiles.consistency(earlier, wanted)
            row = repository.head_of(connection, asked.number, wanted)
        head = None if row is None else head_from(row)
        return Consistency(asked.origin, earlier, wanted, tuple(path), head)

    def keep_cosignature(self, head: SignedHead, name: str, line: str) -> bool:
        """Keep what a witness said of a head that our key signed; False: it is not this log's."""
        logs = {log.origin: log for log in self.logs()}
        now = timestamp(self._clock.now())

        def work(connection: repository.Connection) -> bool:
            log = logs.get(head.origin)
            ours = None if log is None else kept_again(connection, log, head, now)
            if ours is None:
                return False
            repository.keep_cosignature(connection, ours, name, line, now)
            record = {"origin": head.origin, "size": head.size, "witness": name}
            append(connection, "head.cosigned", record | {"cosigned_at": now})
            return True

        return self._database.write(work)

    def cosigned(self) -> SignedHead | None:
        """The largest head of the log that goes on which witnesses signed, with their lines."""
        with self._database.read() as connection:
            log = self._heads.logs(connection)[-1]
            size, lines = repository.cosignatures(connection, log.number)
            row = repository.head_of(connection, log.number, size) if lines else None
        return None if row is None else SignedHead(row.size, row.root, row.note + "".join(lines))

    def check(self, *earlier: SignedHead, progress: Progress | None = None) -> int:
        """Hash every record again; the number of entries, all as they were when logged.

        ``earlier`` are heads that were signed before, and kept where this log's owner cannot
        reach them: only they show a log that was made anew as a whole or cut short. What is damaged
        in a log that was frozen for it is known, and no error.

        Raises:
            LogForked: something was changed, added or removed; the message names the first.
            TrustError: all is as the heads say, but the key that signed them is not here.
        """
        found = self.examine(*earlier, progress=progress)
        for each in found:
            if each.fault is not None and not each.is_frozen:
                raise each.fault
        return sum(each.entries for each in found)

    def examine(self, *earlier: SignedHead, progress: Progress | None = None) -> list[Checked]:
        """Hash every record again; what was found of each log, frozen ones too.

        The heads at which the log changed its key, which are kept beside the keys, have to hold as
        ``earlier`` ones do.

        Raises:
            LogForked: one of those heads is of a log that is not here.
        """
        keys = self._keys.public_keys("log")
        with self._database.read() as connection:
            logs = self._heads.logs(connection)
            here = {log.origin for log in logs}
            changed = [
                head
                for number, head in enumerate(self._heads.changed_at())
                if number == 0 or head.origin in here
            ]
            return examine(connection, logs, [*earlier, *changed], progress or Silent(), keys)

    def begin_anew(self, damaged: Checked) -> SignedHead:
        """Freeze a log that was found damaged, begin another after it, and sign its first head."""
        if damaged.fault is not None and not damaged.is_frozen:
            self._heads.begin_anew(damaged.log, damaged.fault, damaged.entries)
        return self.tree_head()

    def entries(
        self,
        first: int | None = None,
        end: int | None = None,
        *,
        kinds: Sequence[str] = (),
        most: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[LogRow]:
        """Entries as they lie in the table, from a position to before ``end``; read all of it.

        ``accounted`` tells them with their erasures.
        """
        with (
            self._database.read() as connection,
            closing(
                repository.read_rows(
                    connection, first, end, most=most, kinds=kinds, newest_first=newest_first
                )
            ) as rows,
        ):
            yield from rows

    def accounted(self, end: int) -> Iterator[tuple[LogRow, int | None]]:
        """Every entry to before ``end``, and which accounts for its erasure, if one does."""
        erasures = Erasures()
        with (
            self._database.read() as connection,
            closing(repository.read_rows(connection, end=end)) as rows,
        ):
            for row in rows:
                yield row, erasures.of(connection, row) if row.erased else None


def _good_head(connection: repository.Connection, log: LogRecord) -> repository.HeadRow | None:
    """The newest head of a log that its entries still lead to, if there is one."""
    if log.frozen_size is None:
        return repository.last_head(connection, log.number)
    return repository.head_of(connection, log.number, log.frozen_size)


def _no_such(count: int, position: int) -> ConfigError:
    return ConfigError(
        _(
            "The log has {count} entries, none at position {position}.",
            count=count,
            position=position,
        ),
        remedy=_("Positions are counted from 0."),
    )
