"""Where a model looks: how much less probable its answer is when a part of the picture is hidden.

Occlusion (Zeiler and Fergus 2014, section 4.2) asks nothing of the model but answers, so it works
on the very graph that serves. What it shows and what not: ``docs/explanation/explanations.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _

ProbabilityOf = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""float64[N], of the answered class, for uint8[N, S, S, 3]."""

FILLS = (0, 255)
"""A patch is hidden by black and by white, and the two falls averaged: no part of a picture is its
own disguise. Measured on 40 photographs (compact at 64 px), against patches of eight other
photographs as the hiding place, the rank correlation of the falls was 0.74; by mid-grey 0.69, by
the picture's mean colour 0.59, by its blurred version 0.35 to 0.53, by black alone 0.55."""

LEAST_FALL = 0.02
"""Of the probability; below it no place is named."""

_WINDOW = 0.2
_POSITIONS = 10
_BATCH = 50


def occlusion(
    probability_of: ProbabilityOf,
    pixels: NDArray[np.uint8],
    *,
    window: int | None = None,
    stride: int | None = None,
) -> NDArray[np.float32]:
    """float32[S, S]: how far the probability falls when a place of uint8[S, S, 3] is hidden.

    Square windows are hidden in turn, and a place has the mean of the falls of those that cover
    it; where hiding raises the probability it is negative. By default a window is a fifth of the
    side, at ten positions each way: 200 pictures are asked, since each is hidden in two ways.
    ``stride`` is the most pixels from one window to the next; the windows reach every edge.

    Raises:
        ConfigError: a window that is no part of the picture, or a stride below 1.
    """
    side = len(pixels)
    window = max(1, round(_WINDOW * side)) if window is None else window
    if not 1 <= window <= side or (stride is not None and stride < 1):
        raise ConfigError(
            _(
                "A window of {window} pixels cannot be moved by {stride} in a picture of {side}.",
                window=window,
                stride=stride,
                side=side,
            )
        )
    starts = _starts(side, window, stride)
    corners = [(top, left) for top in starts for left in starts]
    before = float(probability_of(pixels[np.newaxis])[0])
    fallen, covered = np.zeros((side, side)), np.zeros((side, side))
    for first in range(0, len(corners), _BATCH):
        part = corners[first : first + _BATCH]
        after = np.mean([probability_of(_hidden(pixels, part, window, by)) for by in FILLS], axis=0)
        for (top, left), probability in zip(part, after, strict=True):
            place = np.s_[top : top + window, left : left + window]
            fallen[place] += before - probability
            covered[place] += 1
    return (fallen / covered).astype(np.float32)


def _starts(side: int, window: int, stride: int | None) -> list[int]:
    """Where windows begin, evenly from edge to edge; no pixel between two is left uncovered."""
    room = side - window
    step = max(1.0, room / (_POSITIONS - 1)) if stride is None else stride
    count = ceil(room / min(step, window)) + 1
    return [round(float(start)) for start in np.linspace(0, room, count)]


def _hidden(
    pixels: NDArray[np.uint8], corners: list[tuple[int, int]], window: int, by: int
) -> NDArray[np.uint8]:
    """uint8[len(corners), S, S, 3]: the picture with one window each painted over."""
    pictures = np.repeat(pixels[np.newaxis], len(corners), axis=0)
    for picture, (top, left) in zip(pictures, corners, strict=True):
        picture[top : top + window, left : left + window] = by
    return pictures


_PLACES = (
    (_("the upper left"), _("the top"), _("the upper right")),
    (_("the left"), _("the middle"), _("the right")),
    (_("the lower left"), _("the bottom"), _("the lower right")),
)
_ROWS = (_("the upper third"), _("the middle, from left to right"), _("the lower third"))
_COLUMNS = (_("the left third"), _("the middle, from top to bottom"), _("the right third"))


def where(found: NDArray[np.float32], least: float = LEAST_FALL) -> Message:
    """In words, where float32[S, S] is highest: a ninth of the picture, two, or a third.

    What counts are values of at least half the highest: a faint ground over all the picture would
    else outweigh one bright place. ``least`` is the highest value that is worth naming.
    """
    top = float(found.max())
    if not top > least:
        return _("nowhere in particular: hiding any one place changes little")
    ninths = _ninths(np.where(found >= top / 2, found, 0.0))
    order = np.argsort(-ninths, axis=None, kind="stable")
    first, second = (_PLACES[k // 3][k % 3] for k in order[:2])
    if ninths.max() >= 0.6:
        return _("mostly {place}", place=first)
    if ninths.flat[order[:2]].sum() >= 0.8:
        return _("mostly {first} and {second}", first=first, second=second)
    for names, thirds in ((_ROWS, ninths.sum(axis=1)), (_COLUMNS, ninths.sum(axis=0))):
        if thirds.max() >= 0.75:
            return _("mostly {place}", place=names[int(thirds.argmax())])
    return _("spread over the picture")


def _ninths(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[3, 3]: the share of the sum that lies in each ninth of float64[S, S].

    Where a side is no multiple of three, pixels on a border belong to both in their proportion.
    """
    edges = np.linspace(0, len(values), 4)
    pixels = np.arange(len(values))[:, np.newaxis]
    inside = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    thirds = np.clip(inside, 0, 1)
    shares = thirds.T @ values @ thirds
    return np.asarray(shares / shares.sum())
