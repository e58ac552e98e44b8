"""Near duplicates: a perceptual hash of 256 bits, compared only where a band of bits agrees.

Measured on 4,000 photographs: a copy cropped by up to 3 %, re-encoded and brightened differs from
its original in 33 bits (median; 95th percentile 58); no two different photographs in fewer than 90.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

ALGORITHM = "dct-256/bands-40x12/v1"
"""Named in a dataset's card, so that a better one does not silently change versions."""

THUMBNAIL_SIDE = 32
_KEPT = 16
_BANDS = 40
_BITS_A_BAND = 12
_MOST_DIFFERENT_BITS = 52
_WINDOW = 64


@cache
def _cosines() -> NDArray[np.float32]:
    """float32[16, 32]: the first rows of the orthonormal DCT-II."""
    position = np.arange(THUMBNAIL_SIDE) + 0.5
    frequency = np.arange(_KEPT)[:, None]
    return np.cos(np.pi * frequency * position / THUMBNAIL_SIDE).astype(np.float32)


def fingerprint(gray: NDArray[np.float32]) -> bytes:
    """32 bytes from float32[32, 32]: which low-frequency DCT coefficients exceed their median.

    A change of brightness, contrast or encoding leaves nearly all of them as they are.
    """
    basis = _cosines()
    coefficients = basis @ gray @ basis.T
    coefficients[0, 0] = 0.0  # brightness
    ordered = np.sort(coefficients, axis=None)  # np.median takes three times as long for so few
    middle = ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1]
    return np.packbits(coefficients > middle.sum() / 2).tobytes()


@cache
def _band_bits() -> NDArray[np.int64]:
    """int64[40, 12]: which bits of the hash make up each band, drawn once for ever."""
    random = np.random.default_rng(1024)
    return np.stack([random.choice(256, _BITS_A_BAND, replace=False) for _ in range(_BANDS)])


def near_duplicates(fingerprints: Sequence[bytes]) -> list[tuple[int, int]]:
    """Pairs (i < j) that differ in at most 52 of 256 bits and share a band of 12 bits.

    A pair that differs in 33 bits shares one of the 40 bands with probability 0.9997, one that
    differs in 52 with 0.92 (locality-sensitive hashing by bit sampling). Only members of one
    bucket are compared; in a crowded bucket each with its next 64 in the order of the whole hash,
    so the work stays near N log N for any data.
    """
    number = len(fingerprints)
    if number < 2:
        return []
    hashes = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(number, -1)
    words = hashes.view(np.uint64)
    by_hash = np.lexsort(hashes.T[::-1])
    found = []
    for columns in _band_bits():
        keys = np.zeros(number, np.int16)
        for place, column in enumerate(columns.tolist()):
            bit = hashes[:, column >> 3] >> (7 - (column & 7)) & 1
            keys |= bit.astype(np.int16) << place
        order = by_hash[np.argsort(keys[by_hash], kind="stable")]
        left, right = _close_neighbours(words, order, keys[order])
        found.append(np.minimum(left, right) * number + np.maximum(left, right))
    pairs = np.unique(np.concatenate(found))
    return list(zip((pairs // number).tolist(), (pairs % number).tolist(), strict=True))


def _close_neighbours(
    words: NDArray[np.uint64], order: NDArray[np.int64], keys: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of one bucket (equal ``keys``, sorted) that are close; words uint64[N, 4]."""
    lefts, rights = [order[:0]], [order[:0]]
    for step in range(1, _WINDOW + 1):
        same = np.flatnonzero(keys[step:] == keys[:-step])
        if not len(same):
            break
        left, right = order[same], order[same + step]
        different = np.bitwise_count(words[left] ^ words[right]).sum(axis=1)
        close = different <= _MOST_DIFFERENT_BITS
        lefts.append(left[close])
        rights.append(right[close])
    return np.concatenate(lefts), np.concatenate(rights)
