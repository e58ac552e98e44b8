"""Proofs from all leaves, as RFC 9162 writes them down: what those from tiles are held against."""

from __future__ import annotations

from collections.abc import Sequence

from mintage.trust import merkle


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH of RFC 9162, 2.1.3.1: the siblings on the way from a leaf to the root, lowest first."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), merkle.root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), merkle.root(leaves[:split])]


def consistency_proof(leaves: Sequence[bytes], earlier: int, *, known: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 9162, 2.1.4.1; ``known``: the verifier has this subtree's root already."""
    if earlier == len(leaves):
        return [] if known else [merkle.root(leaves)]
    split = _split(len(leaves))
    if earlier <= split:
        return [
            *consistency_proof(leaves[:split], earlier, known=known),
            merkle.root(leaves[split:]),
        ]
    return [
        *consistency_proof(leaves[split:], earlier - split, known=False),
        merkle.root(leaves[:split]),
    ]


def _split(count: int) -> int:
    """The largest power of two below."""
    return 1 << ((count - 1).bit_length() - 1)
