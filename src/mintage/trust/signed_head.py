"""A tree head as its note says it, and where one head stands to another of the same owner."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from mintage.trust.encoding import strict_base64

_ROOT_BYTES = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_NUMBER = re.compile(r"[2-9]|[1-9][0-9]{1,8}")


@dataclass(frozen=True)
class SignedHead:
    """What the log says of itself: its size, its root, and the note that signs both."""

    size: int
    root: bytes
    note: str

    @property
    def origin(self) -> str:
        """Which log says it."""
        return self.note.partition("\n")[0]

    @classmethod
    def unconfirmed(cls, note: str) -> Self:
        """What a note says, whoever signed it.

        Raises:
            ValueError: it is no tree head.
        """
        origin, size, root, *more = note.rpartition("\n\n")[0].split("\n")
        found = cls(int(size), strict_base64(root), note)
        if not origin or "" in more or not _SIZE.fullmatch(size) or len(found.root) != _ROOT_BYTES:
            raise ValueError(note)
        return found

    def is_before(self, origin: str) -> bool | None:
        """Whether it is of a log that was frozen before the log ``origin``; None: of another's.

        Logs that follow one another are called after the first, with their number.
        """
        for first in (self.origin, self.origin.rpartition("/")[0]):
            own, other = _number(self.origin, first), _number(origin, first)
            if own and other:
                return own < other
        return None

    def admits(self, other: Self) -> bool:
        """Whether the other may have been signed no later than this: in no later log, nor larger.

        Of the same log and size it is the very same.
        """
        if other.origin == self.origin:
            return other.size < self.size or (other.size, other.root) == (self.size, self.root)
        return self.is_before(other.origin) is False


def _number(origin: str, first: str) -> int:
    """Which one a log is of those that are called after a first; 0 where it is none of them."""
    if origin == first:
        return 1
    number = origin.removeprefix(f"{first}/")
    return int(number) if number != origin and _NUMBER.fullmatch(number) else 0
