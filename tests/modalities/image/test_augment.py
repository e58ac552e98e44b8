"""Augmentation: what it may change, what it must not, and that chance comes from one place."""

import math
from dataclasses import replace

import pytest
import torch

from mintage.modalities.image.augment import Augmentation, affine_maps, augment


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pixels():
    return torch.rand(6, 3, 20, 20, generator=seeded(9)) * 255


def test_no_augmentation_changes_nothing(pixels):
    assert torch.equal(augment(pixels, Augmentation.none(), seeded()), pixels)


def test_the_same_generator_gives_the_same_pictures_and_another_seed_others(pixels):
    first = augment(pixels, Augmentation(), seeded(1))
    torch.manual_seed(99)
    assert torch.equal(first, augment(pixels, Augmentation(), seeded(1)))
    assert not torch.equal(first, augment(pixels, Augmentation(), seeded(2)))


def test_the_global_generator_is_not_touched(pixels):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    augment(pixels, Augmentation(), seeded())
    assert torch.equal(torch.rand(3), expected)


def test_flipping_alone_gives_each_picture_or_its_mirror_image_and_both_occur(pixels):
    many = pixels[:1].expand(200, -1, -1, -1)
    found = augment(many, replace(Augmentation.none(), flip=True), seeded())
    mirrored = [torch.equal(each, pixels[0].flip(2)) for each in found]
    same = [torch.equal(each, pixels[0]) for each in found]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130


def test_without_flipping_no_map_mirrors(pixels):
    maps = affine_maps(500, replace(Augmentation(), flip=False), seeded())
    assert (torch.linalg.det(maps[:, :, :2]) > 0).all()
    flipped = torch.linalg.det(affine_maps(500, Augmentation(), seeded())[:, :, :2]) < 0
    assert 200 < flipped.sum() < 300


@pytest.mark.parametrize("name", ["rotation_degrees", "zoom_in", "zoom_out", "shift", "aspect"])
def test_each_movement_stays_within_its_limit_and_comes_near_it(name):
    value = {"rotation_degrees": 30.0}.get(name, 0.2)
    maps = affine_maps(4000, replace(Augmentation.none(), **{name: value}), seeded())
    a, _, x, c, d, y = maps.flatten(1).T
    measured = {
        "rotation_degrees": torch.atan2(c, a) * 180 / math.pi,
        "zoom_in": -torch.log(torch.linalg.det(maps[:, :, :2])) / 2,
        "zoom_out": torch.log(torch.linalg.det(maps[:, :, :2])) / 2,
        "shift": torch.stack([x, y]) / 2,
        "aspect": torch.log(a / d) / 2,
    }[name].abs()
    assert 0.97 * value < measured.max() <= value * 1.0001


def test_zooming_in_looks_at_every_part_of_the_picture_but_not_beyond():
    maps = affine_maps(4000, replace(Augmentation.none(), zoom_in=0.3, zoom_out=0.3), seeded())
    zoomed = maps[maps[:, 0, 0] < 1]
    reach = zoomed[:, 0, 2].abs() + zoomed[:, 0, 0]
    assert 0.95 < reach.max() <= 1.0001
    outward = maps[maps[:, 0, 0] > 1]
    assert not outward[:, :, 2].any()


def test_the_result_has_the_side_that_was_asked_for_and_shows_the_same_picture():
    ramp = torch.linspace(0, 255, 40).expand(1, 3, 40, 40)
    smaller = augment(ramp, Augmentation.none(), seeded(), side=20)
    assert smaller.shape == (1, 3, 20, 20)
    torch.testing.assert_close(
        smaller[0, 0, 5], ramp[0, 0, 5].view(20, 2).mean(1), atol=0.01, rtol=0
    )


def test_colour_changes_whole_pictures_and_each_its_own_way():
    grey = torch.full((50, 3, 4, 4), 100.0)
    found = augment(grey, replace(Augmentation.none(), colour=0.2), seeded())
    torch.testing.assert_close(found, found[:, :, :1, :1].expand_as(found))
    assert found[:, 0, 0, 0].std() > 3
    assert (found - grey).abs().max() < 40
