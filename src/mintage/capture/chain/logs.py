"""The logs that the events of an invoice are in, and whether each is where it is said to be.

There is one, unless a log was frozen: then the newest begins with an entry that names all before
it, where each began and how much of it its last good head is over. So one proof binds them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.capture.chain.evidence import Entry, Proof
from mintage.capture.chain.steps import BY_SELLER
from mintage.core.canonical import read_json
from mintage.core.errors import LogForked
from mintage.core.messages import Message, _, plural
from mintage.trust import merkle
from mintage.trust.heads import BEGUN
from mintage.trust.keys import PublicKey
from mintage.trust.notes import SignedHead, opened_by, verify_by_any


@dataclass(frozen=True)
class _Log:
    """One of them: its positions from ``first`` to before ``end``, None where it goes on."""

    first: int
    size: int
    end: int | None = None
    head: SignedHead | None = None


class Logs:
    """Each log, by its number, with the head that proofs in it lead to."""

    def __init__(self, logs: Mapping[int, _Log]) -> None:
        """``opened`` makes one."""
        self._logs = logs

    @classmethod
    def opened(
        cls, notes: Mapping[int, str], begun: Entry | None, keys: Sequence[PublicKey]
    ) -> Logs:
        """Those whose heads these are; ``begun`` is the newest one's first entry.

        Raises:
            SignatureMismatch: a head was signed by none of these keys.
            LogForked: the newest does not name those before it as their heads do.
        """
        newest = max(notes)
        head = opened_by(notes[newest], keys)[0]
        if begun is None and newest == 1:
            return cls({1: _Log(0, head.size, head=head)})
        if begun is None:
            raise _forked(_("{origin} does not say which logs were before it", origin=head.origin))
        said = read_json(begun.record)
        goes_on = _Log(said["first_position"], head.size, head=head)
        found, place = cls({newest: goes_on}), begun.proof.place
        is_first = (said["kind"], place.log, place.index) == (BEGUN, newest, 0)
        if not is_first or not found.has(begun.proof, begun.proof.position, begun.leaf_hash):
            raise _forked(_("{origin} does not begin as it is said to", origin=head.origin))
        frozen: list[Mapping[str, Any]] = said["frozen"]
        origins = [*(each["origin"] for each in frozen), head.origin]
        if origins != _origins(origins[0], newest):
            raise _forked(_("{origin} names other logs before it", origin=head.origin))
        ends = [*(each["first_position"] for each in frozen[1:]), goes_on.first]
        named = enumerate(zip(frozen, ends, strict=True), start=1)
        before = {
            number: _frozen(each, end, notes.get(number), keys) for number, (each, end) in named
        }
        if before[1].first != 0:
            raise _forked(_("{origin} names other logs before it", origin=head.origin))
        return cls(before | {newest: goes_on})

    def has(self, proof: Proof, position: int, leaf: bytes) -> bool:
        """Whether a leaf is proved to be at a position; False: it is in no head that still holds.

        That is so only in a log that was frozen, behind what its last good head is over.

        Raises:
            LogForked: it is not there, or its proof is missing.
        """
        place, log = proof.place, self._logs.get(proof.place.log)
        if proof.position != position:
            raise _forked(_("the proof for position {position} is of another", position=position))
        is_there = (
            log is not None
            and place.index == position - log.first
            and place.index >= 0
            and (log.end is None or position < log.end)
        )
        if log is None or not is_there:
            raise _forked(
                _("position {position} is not in the log that is named", position=position)
            )
        if place.path is None and log.end is not None and place.index >= log.size:
            return False
        if place.path is None or log.head is None:
            raise _forked(_("the proof for position {position} is missing", position=position))
        merkle.verify_inclusion(place.index, log.size, leaf, place.path, log.head.root)
        return True

    def said(self) -> list[Message]:
        """What there is to say of each, the oldest first."""
        return [_shown(each) for __, each in sorted(self._logs.items())]


def _shown(log: _Log) -> Message:
    if log.head is None:
        return _("a log of which no good head is left: it was frozen")
    size, origin = log.size, log.head.origin
    if log.end is None:
        one = _("the log: one entry, signed by {origin}")
        many = _("the log: {count} entries, signed by {origin}")
    else:
        one = _("{origin}: frozen, good up to one entry")
        many = _("{origin}: frozen, good up to {count} entries")
    return plural(size, one, many, count=size, origin=origin)


def _origins(first: str, newest: int) -> list[str]:
    """What the logs of one workspace are called."""
    return [first, *(f"{first}/{number}" for number in range(2, newest + 1))]


def _frozen(
    named: Mapping[str, Any], end: int, note: str | None, keys: Sequence[PublicKey]
) -> _Log:
    """A log before the newest; a head that the newest names holds though its key was revoked."""
    origin, first, size = named["origin"], named["first_position"], named["good_size"]
    head = None
    if note is not None:
        is_named = note == named["head"]
        head = verify_by_any(note, keys, origin) if is_named else opened_by(note, keys)[0]
    if head is not None and (head.origin, head.size) != (origin, size):
        raise _forked(_("the head of {origin} is not the one that holds", origin=origin))
    if not 0 <= size <= end - first:
        raise _forked(_("{origin} cannot have been so long", origin=origin))
    return _Log(first, size, end, head)


def _forked(what: Message) -> LogForked:
    return LogForked(_("The log does not hold: {what}.", what=what), remedy=BY_SELLER)
