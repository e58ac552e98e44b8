"""The Merkle tree over hashes that are kept: roots and proofs without reading all leaves.

Beside the leaves' hashes those of complete subtrees are kept, by levels: level k has the roots over
256**k leaves each, and level 0 is the leaves themselves. A root or a proof then takes at most two
runs of 256 hashes of each level. The proofs are RFC 9162's, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mintage.core.errors import ConfigError, LogForked
from mintage.core.messages import _
from mintage.trust import merkle
from mintage.trust.roots import HEIGHT, GrowingRoot, joined

WIDTH = 1 << HEIGHT

_MOST_TILES, _MOST_KNOWN = 1_000, 100_000
"""That are held at once: 20 MB each."""

Read = Callable[[int, int, int], Sequence[bytes]]
"""``read(level, first, count)``: so many hashes of a level from the number ``first`` on, in order;
fewer where there are no more."""


class Tiles:
    """Answers from kept hashes; what neighbouring leaves share is read and hashed once."""

    def __init__(self, read: Read) -> None:
        """``read`` gives hashes as they are kept; all that are complete in a size are there."""
        self._read = read
        self._tiles: dict[tuple[int, int], Sequence[bytes]] = {}
        self._known: dict[tuple[int, int], bytes] = {}

    def root(self, size: int) -> bytes:
        """The hash of the tree of the first ``size`` leaves.

        Raises:
            LogForked: a hash that it takes is not there.
        """
        return self.growing(size).root()

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The siblings on the way from a leaf to the root, lowest first (RFC 9162, 2.1.3.1).

        Raises:
            ConfigError: there is no leaf of that index.
            LogForked: a hash that it takes is not there.
        """
        if not 0 <= index < size:
            raise ConfigError(
                _(
                    "The log has {count} entries, none at position {index}.",
                    count=size,
                    index=index,
                )
            )
        begin, end, path = 0, size, []
        while end - begin > 1:
            split = begin + _left(end - begin)
            if index < split:
                path.append(self._over(split, end))
                end = split
            else:
                path.append(self._over(begin, split))
                begin = split
        return path[::-1]

    def consistency(self, earlier: int, size: int) -> list[bytes]:
        """Shows that the tree of ``earlier`` leaves became that of ``size`` by adding alone.

        Source: RFC 9162, 2.1.4.1.

        Raises:
            ConfigError: the earlier tree is empty or the larger one.
            LogForked: a hash that it takes is not there.
        """
        if not 1 <= earlier <= size:
            raise ConfigError(
                _("No proof from {earlier} entries to {count}.", earlier=earlier, count=size)
            )
        begin, end, path = 0, size, []
        while earlier < end:
            split = begin + _left(end - begin)
            if earlier <= split:
                path.append(self._over(split, end))
                end = split
            else:
                path.append(self._over(begin, split))
                begin = split
        if begin:  # else it is the whole earlier tree, whose root the verifier has
            path.append(self._over(begin, end))
        return path[::-1]

    def growing(self, size: int) -> GrowingRoot:
        """The tree of the first ``size`` leaves, for more to be added.

        Raises:
            LogForked: a hash that it takes is not there.
        """
        return GrowingRoot(size, [self._complete(*each) for each in _parts(0, size)])

    def _over(self, begin: int, end: int) -> bytes:
        """The root over some leaves; ``begin`` is where the RFC would divide."""
        return joined([self._complete(*each) for each in _parts(begin, end)])

    def _complete(self, height: int, number: int) -> bytes:
        """The root of the ``number``-th subtree over 2**height leaves."""
        level, rest = divmod(height, HEIGHT)
        if not rest:
            return self._kept(level, number)
        known = self._known.get((height, number))
        if known is None:
            left, right = (self._complete(height - 1, 2 * number + side) for side in (0, 1))
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[height, number] = merkle.node_hash(left, right)
        return known

    def _kept(self, level: int, number: int) -> bytes:
        tile, offset = divmod(number, WIDTH)
        if (level, tile) not in self._tiles:
            if len(self._tiles) >= _MOST_TILES:
                self._tiles.clear()
            self._tiles[level, tile] = self._read(level, tile * WIDTH, WIDTH)
        hashes = self._tiles[level, tile]
        if offset >= len(hashes):
            raise LogForked(
                _(
                    "The tree's hash {number} of level {level} is missing.",
                    level=level,
                    number=number,
                )
            )
        return hashes[offset]


def complete_nodes(size: int) -> Iterator[tuple[int, int]]:
    """``level, count`` of the kept hashes above the leaves that a tree of this size has."""
    level, count = 1, size >> HEIGHT
    while count:
        yield level, count
        level, count = level + 1, count >> HEIGHT


def _left(count: int) -> int:
    """How many of several leaves are in the left subtree: the largest power of two below."""
    return 1 << ((count - 1).bit_length() - 1)


def _parts(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """``height, number`` of the complete subtrees that leaves make up, the largest first."""
    while begin < end:
        height = (end - begin).bit_length() - 1
        yield height, begin >> height
        begin += 1 << height
