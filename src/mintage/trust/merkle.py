"""The Merkle tree of RFC 6962 (RFC 9162, section 2.1): its hashes, and proofs verified.

Everywhere a leaf is given as its hash, 32 bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from mintage.core.errors import LogForked
from mintage.core.messages import _


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash of the tree; of an empty one, SHA-256 of nothing."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Check that a leaf stands at ``index`` in the tree of that size and root (2.1.3.2).

    Raises:
        LogForked: the proof does not show it.
    """
    if not 0 <= index < size:
        raise LogForked(
            _("Position {index} does not exist in a log of {size} entries.", index=index, size=size)
        )
    if len(leaf) != hashlib.sha256().digest_size:
        raise LogForked(_("A leaf's hash has 32 bytes, not {count}.", count=len(leaf)))
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise LogForked(_("The inclusion proof is too long."))
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            position, last = _skip_lone(position, last)
        else:
            computed = node_hash(computed, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or computed != root_hash:
        raise LogForked(
            _("The entry at position {index} is not in the log of this root.", index=index)
        )


def verify_consistency(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the larger tree begins with the smaller one (2.1.4.2).

    Raises:
        LogForked: the proof does not show it, or the smaller tree is empty and shows nothing.
    """
    if not 1 <= size1 <= size2:
        raise LogForked(
            _("A log of {size2} entries cannot continue one of {size1}.", size2=size2, size1=size1)
        )
    if size1 == size2:
        if proof or root1 != root2:
            raise LogForked(_("Two logs of {size1} entries have different roots.", size1=size1))
        return
    hashes = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    if not hashes or not proof:
        raise LogForked(_("The consistency proof is empty."))
    position, last = size1 - 1, size2 - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise LogForked(_("The consistency proof is too long."))
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            position, last = _skip_lone(position, last)
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or first != root1 or second != root2:
        raise LogForked(
            _(
                "The log of {size2} entries does not continue that of {size1}.",
                size2=size2,
                size1=size1,
            )
        )


def _level_above(level: list[bytes]) -> list[bytes]:
    """Pairs joined; a lone last node rises as it is, which gives RFC 6962's tree."""
    joined = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return joined + level[-1:] if len(level) % 2 else joined


def _skip_lone(position: int, last: int) -> tuple[int, int]:
    """Go up past the levels where the node had no sibling."""
    while position and not position & 1:
        position, last = position >> 1, last >> 1
    return position, last
