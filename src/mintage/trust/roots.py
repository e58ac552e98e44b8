"""A Merkle tree whose leaves come one after another, in memory that stays small.

Of a tree of n leaves there are kept the roots of its complete subtrees, at most one of each size:
RFC 9162 (2.1.1) divides n at the largest power of two below it, so that joining the subtrees from
the right gives the same root as ``merkle.root``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

from mintage.trust import merkle

HEIGHT = 8
"""Of a tile: a node of one level stands for 2**HEIGHT of the level below."""


@dataclass(frozen=True)
class Node:
    """The root of a complete subtree: the ``number``-th over 256**level leaves."""

    level: int
    number: int
    hash: bytes


@dataclass(eq=False)
class GrowingRoot:
    """The leaves that came so far; ``copy`` goes on from there by itself."""

    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    """The roots of the complete subtrees, the largest first."""
    nodes: list[Node] = field(default_factory=list)
    """What was completed since, one for 256 leaves; whoever keeps it takes it away."""

    def add(self, leaves: Iterable[bytes]) -> None:
        """Take further leaves, each as its hash; one takes two hashes on average."""
        for leaf in leaves:
            height, number, above = 0, self.size, leaf
            while number & 1:
                above = merkle.node_hash(self.parts.pop(), above)
                height, number = height + 1, number >> 1
                if height % HEIGHT == 0:
                    self.nodes.append(Node(height // HEIGHT, number, above))
            self.parts.append(above)
            self.size += 1

    def root(self) -> bytes:
        """The tree's root; of an empty one, SHA-256 of nothing."""
        return joined(self.parts) if self.parts else merkle.root([])

    def copy(self) -> GrowingRoot:
        """The same leaves, to which others can be added."""
        return GrowingRoot(self.size, [*self.parts])


def joined(parts: Sequence[bytes]) -> bytes:
    """The root over neighbouring subtrees, each larger than the next."""
    *others, last = parts
    return reduce(lambda right, left: merkle.node_hash(left, right), reversed(others), last)
