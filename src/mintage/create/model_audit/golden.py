"""Canary inputs: made-up pictures whose answers must stay what they were.

They are made of SHA-256 alone, so that they are the same in every version of every library.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 16
TOLERANCE = 1e-3
"""By so much a probability may differ: another processor adds in another order."""
_COARSE = 4


def golden_inputs(side: int, count: int = COUNT) -> NDArray[np.uint8]:
    """uint8[count, side, side, 3]: half of them noise, half of them sixteen patches of colour."""
    noise = _bytes(b"noise", (count - count // 2) * side * side * 3)
    patches = _bytes(b"patches", (count // 2) * _COARSE * _COARSE * 3)
    coarse = patches.reshape(-1, _COARSE, _COARSE, 3)
    places = np.arange(side) * _COARSE // side
    return np.concatenate([noise.reshape(-1, side, side, 3), coarse[:, places][:, :, places]])


def difference(before: list[list[float]], now: NDArray[np.float64]) -> float | None:
    """By how much the answers differ at most; None where they are of other shapes."""
    kept = np.asarray(before, np.float64)
    if kept.shape != now.shape or not np.isfinite(now).all():
        return None
    return float(np.abs(kept - now).max(initial=0.0))


def answers_json(probabilities: NDArray[np.float64]) -> list[list[float]]:
    """As they are kept: to nine decimals."""
    return [[round(value, 9) for value in row] for row in probabilities.tolist()]


def described(inputs: NDArray[np.uint8]) -> dict[str, Any]:
    """How many there are, and the SHA-256 of their bytes."""
    return {"inputs": len(inputs), "inputs_sha256": hashlib.sha256(inputs.tobytes()).hexdigest()}


def _bytes(name: bytes, count: int) -> NDArray[np.uint8]:
    blocks = -(-count // 32)
    data = b"".join(
        hashlib.sha256(b"mintage golden v1 " + name + block.to_bytes(8, "big")).digest()
        for block in range(blocks)
    )
    return np.frombuffer(data[:count], np.uint8)
