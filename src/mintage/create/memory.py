"""Whether a candidate fits into memory: asked before it is trained, not found out by a crash."""

from __future__ import annotations

from mintage.core.machine import memory_free_bytes
from mintage.create.recipe import Candidate

# Measured as growth of the process over two steps: 190 to 240 bytes a pixel of a batch for
# compact in bfloat16 (64 to 128 px, width 1 and 2), 275 to 325 in float32. A vision transformer
# of base size keeps ten times as much.
_BYTES_A_PIXEL = 240
_FLOAT32 = 1.4
_PRETRAINED = 2500
_FIXED = 300_000_000
"""Libraries, kernels and the weights with what the optimiser remembers of them."""


def memory_needed(candidate: Candidate) -> int:
    """Bytes that training the candidate takes at its largest training side, roughly."""
    side = max(candidate.training_sides, default=candidate.input_size)
    pixels = candidate.batch_size * side * side
    if candidate.network == "hub":
        return _FIXED + pixels * _PRETRAINED
    each = _BYTES_A_PIXEL * candidate.width * (0.6 + 0.4 * candidate.depth)
    if candidate.precision == "float32":
        each *= _FLOAT32
    return _FIXED + round(pixels * each)


def memory_left() -> int | None:
    """Bytes this process may still take; None where the system does not say."""
    return memory_free_bytes()
