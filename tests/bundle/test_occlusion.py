"""Occlusion, against callables whose answer is known to come from one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mintage.bundle.occlusion import occlusion, where
from mintage.core.errors import ConfigError
from mintage.core.messages import told

SIDE = 40


def picture(seed: int = 0, side: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def likeness(wanted: NDArray[np.uint8], place: tuple[slice, slice]) -> Any:
    """A probability that depends on how like ``wanted`` one place is, and on nothing else."""

    def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
        apart = np.abs(inputs[:, *place].astype(float) - wanted[place]).mean(axis=(1, 2, 3))
        return np.asarray(1 - apart / 255)

    return probability_of


@pytest.mark.parametrize("grey", [None, 0, 127, 255])
def test_the_map_lies_where_the_answer_comes_from_whatever_its_colour(grey: int | None) -> None:
    pixels, place = picture(), np.s_[24:32, 4:12]
    if grey is not None:
        pixels[place] = grey
    found = occlusion(likeness(pixels, place), pixels)
    assert found.shape == (SIDE, SIDE)
    assert found.dtype == np.float32
    assert found.min() >= 0
    # Windows of 8 pixels that touch the place reach 7 beyond it; all of the map is in there.
    near = found[17:39, :19]
    assert near.sum() == pytest.approx(found.sum())
    assert found[place].mean() > 5 * found.mean()
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 22 <= row < 34
    assert 2 <= column < 14


def test_each_place_has_the_mean_fall_of_the_windows_that_cover_it() -> None:
    pixels = picture(3, side=12)
    weights = np.random.default_rng(4).normal(size=pixels.shape)

    def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray((inputs * weights).sum(axis=(1, 2, 3)))

    # By hand: of a linear function a window takes away its own weighted pixels, less the fill's.
    starts = [0, 3, 5, 8]  # evenly over the 8 pixels of room: 0, 2.67, 5.33, 8
    by_pixel: dict[tuple[int, int], list[float]] = {}
    for top in starts:
        for left in starts:
            place = np.s_[top : top + 4, left : left + 4]
            fall = (weights[place] * (pixels[place] - 127.5)).sum()
            for row in range(top, top + 4):
                for column in range(left, left + 4):
                    by_pixel.setdefault((row, column), []).append(float(fall))
    expected = np.array([[np.mean(by_pixel[r, c]) for c in range(12)] for r in range(12)])
    found = occlusion(probability_of, pixels, window=4, stride=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


def test_what_raises_the_probability_when_hidden_is_negative() -> None:
    pixels, place = picture(), np.s_[0:8, 0:8]
    alike = likeness(pixels, place)
    found = occlusion(lambda inputs: 1 - alike(inputs), pixels)
    assert found[place].max() < 0
    assert found[20:, 20:].max() == 0


@pytest.mark.parametrize("side", [2, 5, 28, 32, 64, 97, 112, 224])
def test_about_two_hundred_pictures_are_asked_at_any_size(side: int) -> None:
    asked = []

    def probability_of(inputs: NDArray[np.uint8]) -> NDArray[np.float64]:
        assert inputs.dtype == np.uint8
        asked.append(len(inputs))
        return np.full(len(inputs), 0.5)

    pixels = picture(side=side)
    before = pixels.copy()
    found = occlusion(probability_of, pixels)
    assert np.array_equal(found, np.zeros((side, side)))  # nothing is left undivided by nought
    assert np.array_equal(pixels, before)
    assert max(asked) <= 50
    assert sum(asked) <= 201
    if side >= 28:
        assert sum(asked) >= 100


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 41}, {"stride": 0}])
def test_a_window_that_cannot_be_moved_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="window"):
        occlusion(lambda inputs: np.zeros(len(inputs)), picture(), **options)


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ([(0, 0)], "mostly the upper left"),
        ([(1, 1)], "mostly the middle"),
        ([(2, 1)], "mostly the bottom"),
        ([(0, 0), (0, 1), (0, 2)], "mostly the upper third"),
        ([(0, 2), (1, 2), (2, 2)], "mostly the right third"),
        ([(1, 0), (1, 1), (1, 2)], "mostly the middle, from left to right"),
        ([(0, 0), (2, 2), (0, 2), (2, 0)], "spread over the picture"),
    ],
)
@pytest.mark.parametrize("side", [28, 40, 112])
def test_a_place_is_named_in_words(places: list[tuple[int, int]], words: str, side: int) -> None:
    found = np.full((side, side), 0.01, np.float32)
    third = side / 3
    for row, column in places:
        rows = slice(round(row * third), round((row + 1) * third))
        found[rows, round(column * third) : round((column + 1) * third)] = 0.3
    assert where(found) == words
    assert told(where(found), "zh") != words


def test_two_places_are_named_where_one_has_little_more_than_the_other() -> None:
    found = np.zeros((30, 30), np.float32)
    found[2:8, 2:8] = 0.4
    found[22:28, 12:18] = 0.42
    assert where(found) == "mostly the bottom and the upper left"


def test_no_place_is_named_where_hiding_changes_little() -> None:
    found = np.zeros((28, 28), np.float32)
    found[:5, :5] = 0.015
    assert where(found).startswith("nowhere in particular")
    assert where(found - 1).startswith("nowhere in particular")
    assert where(found, least=0.01) == "mostly the upper left"
