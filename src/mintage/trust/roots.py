"""The root of a Merkle tree whose leaves come one after another, in memory that stays small.

Of a tree of n leaves there are kept the roots of its complete subtrees, at most one of each size,
and less than one part of leaves that wait: RFC 9162 (2.1.1) divides n at the largest power of two
below it, so that joining the subtrees from the right gives the same root as ``merkle.root``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mintage.trust import merkle

_PART = 1 << 12
"""Leaves that are joined at once: level by level takes a third less than one by one."""


class GrowingRoot:
    """The leaves that came so far; ``copy`` goes on from there by itself."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[tuple[int, bytes]] = []  # leaves and root, the largest first
        self._waiting: list[bytes] = []

    def add(self, leaves: Sequence[bytes]) -> None:
        """Take further leaves, each as its hash."""
        self.size += len(leaves)
        self._waiting += leaves
        whole = len(self._waiting) // _PART * _PART
        for start in range(0, whole, _PART):
            self._push(_PART, merkle.root(self._waiting[start : start + _PART]))
        del self._waiting[:whole]

    def _push(self, size: int, root: bytes) -> None:
        while self._subtrees and self._subtrees[-1][0] == size:
            root = merkle.node_hash(self._subtrees.pop()[1], root)
            size *= 2
        self._subtrees.append((size, root))

    def root(self) -> bytes:
        """The tree's root; of an empty one, SHA-256 of nothing."""
        roots = [root for __, root in self._subtrees]
        if self._waiting:
            roots.append(merkle.root(self._waiting))
        if not roots:
            return hashlib.sha256(b"").digest()
        joined = roots.pop()
        while roots:
            joined = merkle.node_hash(roots.pop(), joined)
        return joined

    def copy(self) -> GrowingRoot:
        """The same leaves, to which others can be added."""
        other = GrowingRoot()
        other.size = self.size
        other._subtrees, other._waiting = [*self._subtrees], [*self._waiting]
        return other
