"""The Square Attack against models whose weakness is known, and its own bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mintage.create.model_audit.square import Pixels, margin, noisy, square_attack, window
from mintage.tasks.classification import Classification

SIDE, EPS = 12, 8


class Template:
    """Sees by one pattern how bright it is: what moves every value a little moves it much."""

    def __init__(self) -> None:
        chance = np.random.default_rng(3)
        coarse = chance.choice([-1.0, 1.0], (3, 3, 3))
        self.pattern = np.kron(coarse, np.ones((4, 4, 1)))
        self.questions = 0

    def __call__(self, images: Pixels) -> NDArray[np.float64]:
        self.questions += len(images)
        seen = ((images.astype(float) - 128) * self.pattern).mean(axis=(1, 2, 3))
        return Classification().probabilities(seen[:, None].astype(np.float32), 1.0)


def pictures(model: Template, count: int = 40) -> tuple[Pixels, NDArray[np.int64]]:
    chance = np.random.default_rng(5)
    images = chance.integers(100, 156, (count, SIDE, SIDE, 3)).astype(np.uint8)
    leaning = chance.choice([-1, 1], count)
    images = np.clip(images + 3 * leaning[:, None, None, None] * model.pattern, 0, 255)
    images = images.astype(np.uint8)
    return images, model(images).argmax(axis=1)


def test_it_finds_what_noise_of_the_same_size_does_not() -> None:
    model = Template()
    images, targets = pictures(model)
    attacked = square_attack(model, images, targets, eps=EPS, queries=600, seed=0)
    assert attacked.wrong.all()
    control = model(noisy(images, EPS, 0)).argmax(axis=1) == targets
    assert control.all()
    assert (model(attacked.images).argmax(axis=1) != targets)[attacked.wrong].all()


def test_no_value_moves_further_than_eps() -> None:
    model = Template()
    images, targets = pictures(model)
    images[0, 0], images[0, 1] = 0, 255
    for changed in (
        square_attack(model, images, targets, eps=EPS, queries=60, seed=1).images,
        noisy(images, EPS, 1),
    ):
        moved = np.abs(changed.astype(int) - images)
        assert moved.max() <= EPS
        assert changed.dtype == np.uint8


def test_a_model_that_looks_at_nothing_cannot_be_attacked() -> None:
    def same(images: Pixels) -> NDArray[np.float64]:
        return np.tile([0.2, 0.8], (len(images), 1))

    images = np.zeros((3, SIDE, SIDE, 3), np.uint8)
    attacked = square_attack(same, images, np.array([1, 1, 0]), eps=EPS, queries=20, seed=0)
    assert attacked.wrong.tolist() == [False, False, True]
    assert attacked.queries.tolist() == [20, 20, 1]


def test_what_is_wrong_already_is_asked_once_and_left_as_it_is() -> None:
    model = Template()
    images, targets = pictures(model, 4)
    before = model.questions
    attacked = square_attack(model, images, 1 - targets, eps=EPS, queries=50, seed=0)
    assert attacked.wrong.all()
    assert model.questions - before == 4
    assert (attacked.images == images).all()


def test_a_seed_gives_the_same_again_and_no_picture_is_asked_more_often_than_said() -> None:
    model = Template()
    images, targets = pictures(model)
    first, again, other = (
        square_attack(model, images, targets, eps=2, queries=25, seed=seed) for seed in (7, 7, 8)
    )
    assert (first.images == again.images).all()
    assert (first.images != other.images).any()
    assert first.queries.max() <= 25
    told: list[int] = []
    square_attack(model, images, targets, eps=2, queries=25, seed=7, advance=told.append)
    assert told == sorted(told)
    assert told[-1] == 25


@given(query=st.integers(1, 999), queries=st.integers(2, 1000), side=st.integers(1, 300))
def test_the_square_fits_and_never_grows(query: int, queries: int, side: int) -> None:
    assert 1 <= window(query, queries, side) <= side
    assert window(query, queries, side) <= window(max(1, query - 1), queries, side)


@pytest.mark.parametrize(("query", "side"), [(1, 89), (100, 45), (900, 4)])
def test_the_square_is_as_large_as_the_papers_schedule_has_it(query: int, side: int) -> None:
    # of 10,000: 10 (80 %), 1000 (80/16 %), 9000 (80/512 %); the side is the root of the area
    assert window(query, 10_000 // 10, 100) == pytest.approx(side, abs=23)
    shares = {1: 0.8, 100: 0.8 / 16, 900: 0.8 / 512}
    assert window(query, 1000, 100) == max(1, round(100 * shares[query] ** 0.5))


def test_the_margin_is_that_of_the_true_label_before_the_next() -> None:
    chances = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
    found = margin(chances, np.array([0, 1, 0]))
    assert found[0] == pytest.approx(np.log(0.5 / 0.3))
    assert found[1] == pytest.approx(np.log(0.2 / 0.7))
    assert np.isfinite(found[2])
    assert found[2] > 0
