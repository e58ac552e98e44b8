"""What a log gives away as files, checked by whoever holds them: proofs, and all of its entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.core.canonical import read_json
from mintage.core.errors import ConfigError, LogForked
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.trust import merkle
from mintage.trust.erasures import ExportedErasures
from mintage.trust.heads import BEGUN
from mintage.trust.leaves import leaf_of, missing
from mintage.trust.notes import SignedHead
from mintage.trust.roots import GrowingRoot

_TOLD_EVERY = 4096
_REMEDY = _("Have it made again; where that does not help, keep it: it shows what its owner says.")


def is_proof(said: object) -> bool:
    """Whether it looks like one, before anything of it is believed."""
    return isinstance(said, dict) and "path" in said and ("leaf_hash" in said or "from" in said)


def check_inclusion(proof: Mapping[str, Any], head: SignedHead) -> int:
    """The position of the entry that ``mintage audit prove POSITION`` proves to be in the log.

    Where its record is there, that is the one of its leaf.

    Raises:
        LogForked: it does not lead to the head, or says things that cannot be.
    """
    try:
        position, index, size = (_whole(proof[name]) for name in ("position", "index", "size"))
        leaf, path = bytes.fromhex(proof["leaf_hash"]), _path(proof)
        record = proof.get("record")
        found = leaf
        if record is not None:
            found = leaf_of(record.encode(), bytes.fromhex(proof["salt"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_proof() from error
    if found != leaf:
        raise LogForked(_("The record is not the one of this leaf."), remedy=_REMEDY)
    # Only a log that was begun after another counts from elsewhere than its first position.
    is_first = "/" not in head.origin.partition("/")[2]
    if size != head.size or index > position or (is_first and index != position):
        raise LogForked(
            _("The proof's position is not that of its index, or of another head."), remedy=_REMEDY
        )
    merkle.verify_inclusion(index, head.size, leaf, path, head.root)
    return position


def check_growth(proof: Mapping[str, Any], kept: SignedHead, head: SignedHead) -> None:
    """That the log of ``head`` begins with that of ``kept``, as ``--since SIZE`` proves it.

    Raises:
        LogForked: it does not, or the proof is of other heads.
    """
    try:
        sizes, path = (proof["from"], proof["to"]), _path(proof)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _no_proof() from error
    if sizes != (kept.size, head.size) or kept.origin != head.origin:
        raise LogForked(_("The proof is of other heads than these."), remedy=_REMEDY)
    merkle.verify_consistency(kept.size, head.size, kept.root, head.root, path)


@dataclass(frozen=True)
class ExportedLog:
    """A log as it was exported: how many entries, their root, and the sizes of the heads met.

    Of ``erased`` ones the hash alone is there, and an erasure in the export accounts for them.
    """

    origin: str
    size: int
    root: bytes
    met: tuple[int, ...]
    erased: int = 0


def check_export(
    lines: Iterable[bytes], heads: Sequence[SignedHead], progress: Progress
) -> list[ExportedLog]:
    """What ``mintage audit export`` wrote, hashed again entry by entry, and held against heads.

    It is read a line at a time, whatever its size.

    Raises:
        LogForked: an entry is missing or was changed, or a head is of another log.
    """
    found: list[_Log] = []
    erasures = ExportedErasures()
    expected = 0
    progress.start(_("Hashing the records"))
    for number, line in enumerate(lines, start=1):
        said = _read(line, number)
        if "origin" in said:
            _check_not_empty(found)
            found.append(_begun(said, found, expected, heads))
            expected = found[-1].first
            continue
        if not found or said["position"] != expected:
            raise missing(expected)
        try:
            record, leaf = _entry_of(said, erasures)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _no_entry(number) from error
        if len(found) > 1 and not found[-1].size:
            found[-1].good = _good_of_those_before(record, found)
        found[-1].add(leaf)
        found[-1].erased += not record
        expected += 1
        if expected % _TOLD_EVERY == 0:
            progress.advance(expected)
    progress.finish()
    erasures.finish()
    _check_not_empty(found)
    for head in heads:
        if not any(each.has_met(head) for each in found):
            raise LogForked(
                _(
                    "This log does not begin with the {size} entries that {origin} signed.",
                    size=head.size,
                    origin=head.origin,
                ),
                remedy=_REMEDY,
            )
    return [each.checked() for each in found]


def _begun(
    said: Mapping[str, Any], logs: Sequence[_Log], expected: int, heads: Sequence[SignedHead]
) -> _Log:
    """The log that a line announces, behind those that there are."""
    found = _Log(said["origin"], said["first_position"], heads)
    if not logs and found.first:
        raise missing(0)
    if found.first < expected or any(each.origin == found.origin for each in logs):
        raise LogForked(
            _("The log {origin} begins twice, or too early.", origin=found.origin),
            remedy=_REMEDY,
        )
    return found


def _good_of_those_before(record: str, logs: Sequence[_Log]) -> list[int]:
    """How much of each log before the last one is good, as the first entry of that says.

    It names itself and all before it as they are in the export, no more of one as good than is
    there, and of those that were frozen earlier no other part than was said then.

    Raises:
        LogForked: it does not.
    """
    *before, own = logs
    there = [(number, log.origin, log.first) for number, log in enumerate(logs, start=1)]
    try:
        said = read_json(record)
        frozen = said["frozen"]
        named = [(each["log"], each["origin"], each["first_position"]) for each in (*frozen, said)]
        good = [_whole(each["good_size"]) for each in frozen]
        is_begun = said["kind"] == BEGUN and own.origin == f"{before[0].origin}/{len(logs)}"
    except (KeyError, TypeError, ValueError, RecursionError):
        is_begun = False
    if (
        not is_begun
        or named != there
        or good[:-1] != before[-1].good
        or not all(0 <= size <= log.size for size, log in zip(good, before, strict=True))
    ):
        raise _unnamed(own)
    return good


def _check_not_empty(logs: Sequence[_Log]) -> None:
    """The last of several logs has at least the entry that names those before it."""
    if len(logs) > 1 and not logs[-1].size:
        raise _unnamed(logs[-1])


def _unnamed(log: _Log) -> LogForked:
    return LogForked(
        _("{origin} does not say which logs were frozen before it.", origin=log.origin),
        remedy=_REMEDY,
    )


class _Log:
    """One of the logs in an export, while it grows; its root is asked for where a head is due."""

    def __init__(self, origin: str, first: int, heads: Sequence[SignedHead]) -> None:
        self.origin, self.first, self.size, self.erased = origin, first, 0, 0
        self.good: list[int] = []
        """How much of each log before it is good, as it says."""
        self._due = [(each.size, each.root) for each in heads if each.origin == origin]
        self._growing = GrowingRoot()
        self._waiting: list[bytes] = []
        self._met: list[int] = []
        self._compare()

    def add(self, leaf: bytes) -> None:
        self._waiting.append(leaf)
        self.size += 1
        if len(self._waiting) == _TOLD_EVERY:
            self._grow()
        self._compare()

    def _grow(self) -> None:
        self._growing.add(self._waiting)
        self._waiting = []

    def _compare(self) -> None:
        for root in [root for size, root in self._due if size == self.size]:
            self._grow()
            if self._growing.root() != root:
                raise LogForked(
                    _(
                        "The first {size} entries are not those that {origin} signed.",
                        size=self.size,
                        origin=self.origin,
                    ),
                    remedy=_REMEDY,
                )
            self._met.append(self.size)

    def has_met(self, head: SignedHead) -> bool:
        return head.origin == self.origin and head.size in self._met

    def checked(self) -> ExportedLog:
        self._grow()
        root = self._growing.root()
        return ExportedLog(self.origin, self.size, root, tuple(self._met), self.erased)


def _read(line: bytes, number: int) -> Mapping[str, Any]:
    try:
        said = read_json(line)
    except (ValueError, RecursionError) as error:
        raise _no_entry(number) from error
    place = "first_position" if isinstance(said, dict) and "origin" in said else "position"
    if not isinstance(said, dict) or type(said.get(place)) is not int:
        raise _no_entry(number)
    return said


def _entry_of(said: Mapping[str, Any], erasures: ExportedErasures) -> tuple[str, bytes]:
    """Record and leaf hash of an entry; '' is that of an erased one."""
    if "leaf_hash" in said:
        if "record" in said:
            raise ValueError("an entry is erased, or has its record")
        leaf = bytes.fromhex(said["leaf_hash"])
        erasures.take(said["position"], leaf, said.get("erased_by"))
        return "", leaf
    record: str = said["record"]
    erasures.check(said["position"], record)
    return record, leaf_of(record.encode(), bytes.fromhex(said["salt"]))


def _whole(number: object) -> int:
    if type(number) is not int:
        raise TypeError(number)
    return number


def _path(proof: Mapping[str, Any]) -> list[bytes]:
    return [bytes.fromhex(each) for each in proof["path"]]


def _no_entry(number: int) -> LogForked:
    return LogForked(
        _("Line {number} is no entry of a log as Mintage writes it.", number=number), remedy=_REMEDY
    )


def _no_proof() -> ConfigError:
    return ConfigError(
        _("This is no proof as Mintage writes it."),
        remedy=_("It is what mintage audit prove prints."),
    )
