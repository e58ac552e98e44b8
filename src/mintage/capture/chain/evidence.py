"""What shows that an invoice is right: its events, their places on the log, and what made them.

Each event comes with the very bytes that were logged. The document is ``docs/formats/invoice.md``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.trust.audit import leaf_of

INVOICE, HEAD, KEYS, UPSTREAMS = "invoice.json", "head.txt", "keys.json", "upstreams.json"
EVENTS, PROOFS, RECEIPTS = "events.jsonl", "proofs.jsonl", "receipts.jsonl"
SIGNATURE = "signature.json"
BUNDLE_FILES = (SIGNATURE, "bundle.json", "evaluation.json")
DATASET_FILES = (SIGNATURE, "card.json")

Path = tuple[bytes, ...]
"""The siblings on the way from a leaf to the root, lowest first."""


@dataclass(slots=True)  # not frozen: there may be a million of them
class Event:
    """A usage event: where it is on the log, and which lines of the invoice (from 1) it is of.

    ``record`` and ``salt`` are None where the record is withheld because it says what an upstream
    asks for the answer; then its receipt says the rest.
    """

    position: int
    lines: Sequence[int]
    leaf_hash: bytes
    record: bytes | None
    salt: bytes | None

    def to_line(self) -> bytes:
        """As ``events.jsonl`` has it."""
        said: dict[str, Any] = {"lines": list(self.lines), "position": self.position}
        if self.record is None or self.salt is None:
            said["leaf_hash"] = self.leaf_hash.hex()
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
        try:
            said = json.loads(line.decode())
            position, lines = said["position"], list(said["lines"])
            if "record" in said:
                record, salt = said["record"].encode(), bytes.fromhex(said["salt"])
                leaf = leaf_of(record, salt)
            else:
                leaf = bytes.fromhex(said["leaf_hash"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _not_a_line(EVENTS) from error
        if {type(each) for each in (position, *lines)} != {int}:
            raise _not_a_line(EVENTS)
        return cls(position, lines, leaf, record, salt)


def proof_line(position: int, path: Path) -> bytes:
    """A proof as ``proofs.jsonl`` has it."""
    return canonical_json({"path": [each.hex() for each in path], "position": position}) + b"\n"


def proof_of(line: bytes) -> tuple[int, Path]:
    """Read one.

    Raises:
        DataError: it is none.
    """
    try:
        said = json.loads(line.decode())
        position, path = said["position"], tuple(map(bytes.fromhex, said["path"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_a_line(PROOFS) from error
    if type(position) is not int:
        raise _not_a_line(PROOFS)
    return position, path


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
    def head(self) -> str | None:
        """The log's signed head that the proofs lead to; None where no events are held."""
        ...

    @property
    def upstreams(self) -> Mapping[str, str]:
        """The models of others that answered, by the digest that events name them with."""
        ...

    def events(self) -> Iterator[Event]:
        """Each event that a line is of, once; each line's in the order of their positions.

        Raises:
            DataError: they are not what this Mintage writes.
        """
        ...

    def proofs(self) -> Iterator[tuple[int, Path]]:
        """The position of each of these events, and its path to the head's root."""
        ...

    def receipts(self) -> Iterator[Mapping[str, Any]]:
        """The receipt of each of these events, in an envelope."""
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
