"""What is held of an invoice: the signed file, its events as they are on the log, what made them.

Each event comes with the very bytes that were logged. The document is ``docs/formats/invoice.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mintage.core.canonical import canonical_json, read_json
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.trust.audit import Place, leaf_of

INVOICE, KEYS, UPSTREAMS = "invoice.json", "keys.json", "upstreams.json"
HEADS = "heads"
EVENTS, PROOFS, RECEIPTS = "events.jsonl", "proofs.jsonl", "receipts.jsonl"
ENTRIES = "entries.jsonl"
SET = "plan.set"
"""The kind of the log's entry that has the terms of a plan."""
SIGNATURE = "signature.json"
BUNDLE_FILES = (SIGNATURE, "bundle.json", "evaluation.json")
DATASET_FILES = (SIGNATURE, "card.json")

_ODD = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What comes of a line that has not the members, or not the types, that it ought to have."""


@dataclass(slots=True)  # not frozen: there may be a million of them
class Event:
    """A usage event: where it is on the log, and which lines of the invoice (from 1) it is of.

    ``record`` and ``salt`` are None where the record is withheld because it says what an upstream
    asks for the answer; then its receipt says the rest. Where the customer was erased there is no
    receipt either: ``erased_by`` is the position of the entry that accounts for it.
    """

    position: int
    lines: Sequence[int]
    leaf_hash: bytes
    record: bytes | None
    salt: bytes | None
    erased_by: int | None = None

    def to_line(self) -> bytes:
        """As ``events.jsonl`` has it."""
        said: dict[str, Any] = {"lines": list(self.lines), "position": self.position}
        if self.record is None or self.salt is None:
            said["leaf_hash"] = self.leaf_hash.hex()
            if self.erased_by is not None:
                said["erased_by"] = self.erased_by
        else:
            said |= {"record": self.record.decode(), "salt": self.salt.hex()}
        return canonical_json(said) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Event:
        """Read one; its leaf is that of its record.

        Raises:
            DataError: it is none.
        """
        record: bytes | None = None
        salt: bytes | None = None
        erased_by: int | None = None
        try:
            said = read_json(line)
            position, lines = said["position"], list(said["lines"])
            if "record" in said:
                record, salt = said["record"].encode(), bytes.fromhex(said["salt"])
                leaf = leaf_of(record, salt)
            else:
                leaf, erased_by = bytes.fromhex(said["leaf_hash"]), said.get("erased_by")
        except _ODD as error:
            raise _not_a_line(EVENTS) from error
        by = [] if erased_by is None else [erased_by]
        if {type(each) for each in (position, *lines, *by)} != {int}:
            raise _not_a_line(EVENTS)
        return cls(position, lines, leaf, record, salt, erased_by)


@dataclass(slots=True)
class Proof:
    """Where the entry at a position is; see ``Place``."""

    position: int
    place: Place

    def said(self) -> dict[str, Any]:
        """Its members."""
        at, path = self.place, self.place.path
        hexadecimal = None if path is None else [each.hex() for each in path]
        return {"index": at.index, "log": at.log, "path": hexadecimal, "position": self.position}

    def to_line(self) -> bytes:
        """As ``proofs.jsonl`` has it."""
        return canonical_json(self.said()) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Proof:
        """Read one.

        Raises:
            DataError: it is none.
        """
        try:
            return cls.of(read_json(line))
        except _ODD as error:
            raise _not_a_line(PROOFS) from error

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Proof:
        """That of its members; raises ValueError, KeyError or TypeError where it has not them."""
        path = None if said["path"] is None else tuple(map(bytes.fromhex, said["path"]))
        position, log, index = numbers = said["position"], said["log"], said["index"]
        if {type(each) for each in numbers} != {int}:
            raise ValueError("a place is three whole numbers")
        return cls(position, Place(log, index, path))


@dataclass(frozen=True)
class Entry:
    """An entry of the log that is no event: a plan's terms, an erasure, or the logs before."""

    proof: Proof
    record: bytes
    salt: bytes

    @property
    def leaf_hash(self) -> bytes:
        """That of its record."""
        return leaf_of(self.record, self.salt)

    def to_line(self) -> bytes:
        """As ``entries.jsonl`` has it."""
        whole = {"record": self.record.decode(), "salt": self.salt.hex()}
        return canonical_json(self.proof.said() | whole) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Entry:
        """Read one.

        Raises:
            DataError: it is none.
        """
        try:
            said = read_json(line)
            record, salt = said["record"].encode(), bytes.fromhex(said["salt"])
            return cls(Proof.of(said), record, salt)
        except _ODD as error:
            raise _not_a_line(ENTRIES) from error


def _not_a_line(name: str) -> DataError:
    return DataError(
        _("A line of {name} cannot be read.", name=name),
        remedy=_("Have the evidence made again: mintage invoice evidence NUMBER --out FILE.zip"),
    )


class Evidence(Protocol):
    """What is held of an invoice; whoever holds less says None of it."""

    @property
    def invoice(self) -> bytes:
        """The file in which the invoice was signed."""
        ...

    @property
    def is_ours(self) -> bool:
        """Whether it is the seller's own workspace, which signs a receipt when it is asked for one.

        Then receipts come unsigned: to check what was signed for that would check nothing.
        """
        ...

    @property
    def heads(self) -> Mapping[int, str]:
        """The signed head of each log, by its number, that the proofs lead to.

        There is none where nothing of the log is held, and none of a log without a good one.
        """
        ...

    @property
    def has_events(self) -> bool:
        """Whether the events of its lines are held."""
        ...

    @property
    def upstreams(self) -> Mapping[str, str]:
        """The models of others that answered, by the digest that events name them with."""
        ...

    def entries(self) -> Iterator[Entry]:
        """What set each plan that a line names, and what erased its customer.

        Where logs were frozen, what began the newest too.
        """
        ...

    def events(self) -> Iterator[Event]:
        """Each event that a line is of, once; each line's in the order of their positions.

        Raises:
            DataError: they are not what this Mintage writes.
        """
        ...

    def proofs(self) -> Iterator[Proof]:
        """The place of each of these events."""
        ...

    def receipts(self) -> Iterator[Mapping[str, Any] | None]:
        """The receipt of each of these events, in an envelope; None of one that was erased."""
        ...

    def plan(self, reference: str) -> bytes | None:
        """The file in which ``gold@2`` was signed."""
        ...

    def bundle(self, digest: str) -> Mapping[str, bytes] | None:
        """``BUNDLE_FILES`` of the bundle of this digest."""
        ...

    def dataset(self, version: str) -> Mapping[str, bytes] | None:
        """``DATASET_FILES`` of the dataset of this version."""
        ...

    def unused(self) -> Sequence[str]:
        """What is held and was not asked for: nothing may lie there that nobody checks."""
        ...
