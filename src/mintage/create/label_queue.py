"""Whose turn a picture is: what one labeller has done, has to do, and in which order."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from mintage.sources.book import Book

_RANKS = 2.0**64


def rank_of(path: str) -> float:
    """Where a picture stands in the drawn order, from 0 to 1: the same for everybody, for ever.

    Pictures below ``overlap`` are everybody's, so those come first, and raising it later takes
    none of them back.
    """
    composed = unicodedata.normalize("NFC", path).encode(errors="surrogatepass")
    digest = hashlib.sha256(b"mintage label:" + composed).digest()
    return int.from_bytes(digest[:8], "big") / _RANKS


def ranked(paths: Iterable[str]) -> list[str]:
    """Paths in the drawn order: neighbours in a folder are not neighbours here."""
    return sorted(paths, key=lambda path: (rank_of(path), path))


class LabelQueue:
    """Pictures by their position in ``paths``, sorted by what ``book`` says of them."""

    def __init__(self, paths: Sequence[str], book: Book, labeller: str, overlap: float) -> None:
        self._paths = paths
        self._book = book
        self._labeller = labeller
        self._everybodys = sum(rank_of(path) < overlap for path in paths)
        self._order = list(range(len(paths)))
        self._known = 0
        self._labelled: set[int] = set()
        self._skipped: set[int] = set()
        self._left: set[int] = set()
        self.disputed: set[int] = set()
        self.shared: dict[int, dict[str, str]] = {}
        """The labels of pictures that several labelled."""
        self.unreadable: dict[int, str] = {}
        """Why a picture cannot be shown."""
        for number in self._order:
            self.update(number)

    def update(self, number: int) -> bool:
        """Look anew at a picture; whether it is, or was, one that several labelled."""
        path = self._paths[number]
        opinions = self._book.opinions(path)
        labels = self._book.labels(path)
        for group in (self._labelled, self._skipped, self._left, self.disputed):
            group.discard(number)
        if self._labeller in opinions:
            (self._labelled if self._labeller in labels else self._skipped).add(number)
        elif self._is_left(number, labels):
            self._left.add(number)
        if self._book.is_disputed(path):
            self.disputed.add(number)
        was_shared = self.shared.pop(number, None) is not None
        if len(labels) > 1:
            self.shared[number] = labels
        return was_shared or len(labels) > 1

    def _is_left(self, number: int, labels: dict[str, str]) -> bool:
        """Whether nobody labelled it, or it is everybody's; what is resolved is done with."""
        if number in self.unreadable or self._book.resolution(self._paths[number]) is not None:
            return False
        return not labels or number < self._everybodys

    def refuse(self, number: int, reason: str) -> None:
        """A picture that cannot be shown is nobody's turn any more."""
        self.unreadable[number] = reason
        self._left.discard(number)

    def reorder(self, doubt: Callable[[int], float], known: int) -> None:
        """Put the highest doubt first, if more than before is known; the rest stays as drawn."""
        if known != self._known:
            self._known = known
            self._order.sort(key=lambda number: (-doubt(number), number))

    def upcoming(self, count: int | None = None) -> list[int]:
        """The next pictures, or all that are left."""
        return list(islice((number for number in self._order if number in self._left), count))

    def __contains__(self, number: object) -> bool:
        """Whether it is this labeller's turn at a picture."""
        return number in self._left

    def counts(self) -> dict[str, int]:
        """How many pictures this labeller has labelled, skipped, and has left."""
        found = {"labelled": self._labelled, "skipped": self._skipped, "left": self._left}
        return {name: len(numbers) for name, numbers in found.items()}
