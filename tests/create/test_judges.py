"""The networks that judge labels: what they take for the same picture, and how they are asked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mintage.create.judges import Trainer, by_clock, by_passes, milliseconds

SIDE = 48


def pictures(kind, count=160, seed=0):
    """Two classes that differ in overall light, in which side is lighter, or in nothing."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = chance.integers(60, 160, (count, SIDE, SIDE, 3))
    lighter = 70 * labels[:, None, None, None]
    if kind == "light":
        images = images + lighter
    if kind == "side":
        images[:, :, : SIDE // 2] += lighter
        images[:, :, SIDE // 2 :] += 70 - lighter
    return images.astype(np.uint8), labels


def trainer(tmp_path: Path, kind: str) -> Trainer:
    images, labels = pictures(kind)
    return Trainer(images, labels, 1, 0, tmp_path, lambda: False)


@pytest.fixture
def small():
    return replace(by_passes(100, 20, SIDE, uneven=False), width=1.0)


@pytest.mark.parametrize(
    ("kind", "same"), [("light", "both"), ("side", "vertical"), ("nothing", "none")]
)
def test_mirror_images_are_the_same_where_the_labels_say_so(tmp_path, small, kind, same):
    learned, asked = np.arange(112), np.arange(112, 160)
    found = trainer(tmp_path, kind).same_mirrored(small, learned, asked, passes=8, seconds=None)
    assert found == same


def test_where_mirror_images_are_the_same_a_picture_and_its_mirror_image_get_one_answer(
    tmp_path, small
):
    judge = trainer(tmp_path, "light")
    other = replace(judge, images=judge.images[:, :, ::-1])
    mirroring = replace(small, augmentation=replace(small.augmentation, flips="horizontal"))
    asked = np.arange(64, 96)
    small = replace(small, augmentation=replace(small.augmentation, flips="none"))
    for chosen, alike in ((mirroring, True), (small, False)):
        network = judge.fit(chosen, np.arange(64), f"mirrored-{alike}", passes=1, seconds=None)
        chances, features = judge.ask(network, chosen, asked)
        mirrored, their_features = other.ask(network, chosen, asked)
        assert chances.shape == (32, 2)
        np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
        assert np.allclose(chances, mirrored, atol=2e-3) == alike
        own = slice(features.shape[1] - 40)  # statistics are of the picture alone
        assert np.allclose(features[:, own], their_features[:, own], atol=0.05) == alike


def test_what_is_trained_fits_the_time_the_data_and_the_pictures():
    sides = [by_clock(2000, seconds, 1.0, 144, uneven=False).input_size for seconds in (5, 20, 90)]
    assert sides == sorted(sides)
    assert sides[0] < sides[-1] == by_passes(2000, 30, 144, uneven=False).input_size
    slow = by_clock(2000, 20, 4.0, 144, uneven=False)
    assert milliseconds(slow, 4.0) < milliseconds(by_passes(2000, 30, 144, uneven=False), 4.0)
    assert by_clock(2000, 600, 1.0, 64, uneven=False).input_size <= 64
    smallest = by_passes(2000, 30, 10, uneven=True)
    assert smallest.class_weights == "balanced"
    for chosen in (slow, smallest):  # what is judged chooses no weights
        assert not chosen.restore_best_weights
        assert chosen.early_stopping_patience is None


def test_asking_can_be_stopped(tmp_path, small):
    judge = trainer(tmp_path, "light")
    network = judge.fit(small, np.arange(64), "asked", passes=1, seconds=None)
    stopped = replace(judge, should_stop=lambda: True)
    assert stopped.ask(network, small, np.arange(96)) is None
