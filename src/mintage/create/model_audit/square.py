"""The Square Attack: pictures changed by at most eps a value until the answer turns wrong.

It asks the model and looks at its scores, nothing else: no gradients, no inside. Squares of random
colours are laid over the picture, smaller and smaller, and each that lowers the margin of the true
label stays.

Source: Andriushchenko et al. 2020 (ECCV), "Square Attack: a query-efficient black-box adversarial
attack via random search", for the norm L-infinity; its schedule for 10,000 queries is stretched to
as many as are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Ask = Callable[[Pixels], Floats]
"""Probabilities float[N, classes] of uint8[N, S, S, 3]."""

_FIRST_SHARE = 0.8
_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_OF_QUERIES = 10_000
_SMALLEST = 1e-300


@dataclass(frozen=True)
class Attacked:
    """``images`` as they were left, which are answered wrong, and how often each was asked."""

    images: Pixels
    wrong: NDArray[np.bool_]
    queries: NDArray[np.int64]


def square_attack(
    ask: Ask,
    images: Pixels,
    targets: NDArray[np.int64],
    *,
    eps: int,
    queries: int,
    seed: int,
    advance: Callable[[int], None] = lambda _done: None,
) -> Attacked:
    """Attack uint8[N, S, S, 3] all together; each until it is answered wrong.

    ``eps`` is in 255ths of the range, ``queries`` how often a picture may be asked about, the first
    time as it is. ``advance`` is told how many rounds of them are over.
    """
    chance = np.random.default_rng(seed)
    low, high = (_moved(images, np.int16(sign * eps)) for sign in (-1, 1))
    best, margins = images.copy(), margin(ask(images), targets)
    asked = np.ones(len(images), np.int64)
    for query in range(1, queries):
        advance(query)
        left = np.flatnonzero(margins > 0)
        if not len(left):
            break
        if query == 1:
            tried = _striped(low[left], high[left], chance)
        else:
            side = window(query, queries, images.shape[1])
            tried = _with_squares(best[left], low[left], high[left], side, chance)
        found = margin(ask(tried), targets[left])
        asked[left] += 1
        # The stripes are where the search begins, whether they help or not.
        better = found < margins[left] if query > 1 else np.ones(len(left), bool)
        best[left[better]], margins[left[better]] = tried[better], found[better]
    advance(queries)
    return Attacked(best, margins <= 0, asked)


def margin(probabilities: Floats, targets: NDArray[np.int64]) -> Floats:
    """float[N]: by how much, in logarithms, the true label leads; 0 or less is a wrong answer."""
    rows = np.arange(len(targets))
    logs = np.log(np.maximum(probabilities, _SMALLEST))
    own = logs[rows, targets]
    logs[rows, targets] = -np.inf
    return np.asarray(own - logs.max(axis=1))


def window(query: int, queries: int, side: int) -> int:
    """The side of the square that is laid in this round: 80 % of the area first, then ever less."""
    at = query / queries * _OF_QUERIES
    share = _FIRST_SHARE / 2 ** sum(at > bar for bar in _HALVED_AT)
    return min(side, max(1, round(sqrt(share) * side)))


def noisy(images: Pixels, eps: int, seed: int) -> Pixels:
    """The control: each value moved by eps up or down, as chance has it."""
    up = np.random.default_rng(seed).integers(0, 2, images.shape, np.int8)
    return _moved(images, np.int16(eps) * (2 * up.astype(np.int16) - 1))


def _moved(images: Pixels, by: NDArray[np.int16] | np.int16) -> Pixels:
    return np.asarray(np.clip(images.astype(np.int16) + by, 0, 255), np.uint8)


def _striped(low: Pixels, high: Pixels, chance: np.random.Generator) -> Pixels:
    count, __, side, colours = low.shape
    up = chance.integers(0, 2, (count, 1, side, colours)) == 1
    return np.asarray(np.where(up, high, low))


def _with_squares(
    best: Pixels, low: Pixels, high: Pixels, side: int, chance: np.random.Generator
) -> Pixels:
    """A square of one random colour each, at a random place; ``best`` is written over."""
    count, whole = len(best), best.shape[1]
    tops, lefts = chance.integers(0, whole - side + 1, (2, count)).tolist()
    up = chance.integers(0, 2, (count, 1, 1, best.shape[3])) == 1
    for number, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        place = number, slice(top, top + side), slice(left, left + side)
        best[place] = np.where(up[number], high[place], low[place])
    return best
