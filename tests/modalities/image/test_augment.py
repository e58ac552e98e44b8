"""Augmentation: what it may change, what it must not, and that chance comes from one place."""

import math
from dataclasses import replace

import pytest
import torch

from mintage.modalities.image.augment import (
    Augmentation,
    affine_grid,
    affine_maps,
    augment,
    change_colour,
    mix,
)


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
    found = augment(many, replace(Augmentation.none(), flips="horizontal"), seeded())
    mirrored = [torch.equal(each, pixels[0].flip(2)) for each in found]
    same = [torch.equal(each, pixels[0]) for each in found]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 70 < sum(mirrored) < 130


def test_without_flipping_no_map_mirrors(pixels):
    maps = affine_maps(500, replace(Augmentation(), flips="none"), seeded())
    assert (torch.linalg.det(maps[:, :, :2]) > 0).all()
    flipped = (
        torch.linalg.det(
            affine_maps(500, replace(Augmentation(), flips="horizontal"), seeded())[:, :, :2]
        )
        < 0
    )
    assert 200 < flipped.sum() < 300


@pytest.mark.parametrize("name", ["rotation_degrees", "crop", "scale", "translation", "aspect"])
def test_each_movement_stays_within_its_limit_and_comes_near_it(name):
    value = {"rotation_degrees": 30.0}.get(name, 0.2)
    maps = affine_maps(4000, replace(Augmentation.none(), **{name: value}), seeded())
    a, _, x, c, d, y = maps.flatten(1).T
    measured = {
        "rotation_degrees": torch.atan2(c, a) * 180 / math.pi,
        "crop": -torch.log(torch.linalg.det(maps[:, :, :2])) / 2,
        "scale": torch.log(torch.linalg.det(maps[:, :, :2])) / 2,
        "translation": torch.stack([x, y]) / 2,
        "aspect": torch.log(a / d) / 2,
    }[name].abs()
    assert 0.97 * value < measured.max() <= value * 1.0001


def test_zooming_in_looks_at_every_part_of_the_picture_but_not_beyond():
    maps = affine_maps(4000, replace(Augmentation.none(), crop=0.3, scale=0.3), seeded())
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


@pytest.mark.parametrize(("flips", "axes"), [("vertical", {2}), ("both", {2, 3})])
def test_each_kind_of_flip_mirrors_along_its_own_axes(pixels, flips, axes):
    chosen = replace(Augmentation.none(), flips=flips)
    maps = affine_maps(400, replace(chosen, rotation_degrees=1e-9), seeded())
    across, down = (maps[:, 0, 0] < 0).float().mean(), (maps[:, 1, 1] < 0).float().mean()
    for axis, share in ((3, across), (2, down)):
        assert (0.4 < share < 0.6) if axis in axes else share == 0
    found = augment(pixels[:1].expand(200, -1, -1, -1), chosen, seeded())
    wanted = [pixels[0], pixels[0].flip(1)]
    wanted += [pixels[0].flip(2), pixels[0].flip(1, 2)] if flips == "both" else []
    for picture in wanted:
        assert sum(torch.equal(each, picture) for each in found) > 20
    assert all(any(torch.equal(each, picture) for picture in wanted) for each in found)


def test_measure_mirrors_nothing_by_itself(pixels):
    assert torch.equal(
        augment(pixels, replace(Augmentation.none(), flips="measure"), seeded()), pixels
    )


@pytest.mark.parametrize("name", ["brightness", "contrast", "colour"])
def test_each_change_of_colour_does_its_own_thing_alone(name):
    grey = torch.full((300, 3, 4, 4), 80.0)
    tinted = grey.clone()
    tinted[:, 0] += 60
    changed = replace(Augmentation.none(), **{name: 0.2})
    on_grey, on_tint = augment(grey, changed, seeded()), augment(tinted, changed, seeded())
    shift = on_grey - grey
    if name == "brightness":  # every channel alike, at most a fifth of a quarter of the range
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
        assert 11 < shift.abs().max() <= 0.2 * 64
    elif name == "contrast":  # away from and towards the middle, in proportion
        torch.testing.assert_close(
            (on_tint - 117) / (tinted - 117), ((on_grey - 117) / (grey - 117))
        )
        assert 0.19 < ((on_grey - 117) / (80 - 117) - 1).abs().max() <= 0.2
    else:  # white balance moves channels apart, saturation what they differed by
        assert (shift[:, 0] - shift[:, 1]).abs().max() > 4
        spread = (on_tint - on_grey)[:, 0] - (on_tint - on_grey)[:, 1]
        assert 0.35 < (spread / 60 - 1).abs().max() <= 0.4001


def test_erasing_hides_one_rectangle_in_the_share_of_pictures_it_is_given():
    white = torch.full((2000, 3, 32, 32), 255.0)
    found = augment(white, replace(Augmentation.none(), erasing=0.3), seeded())
    hidden = (found != 255).all(dim=1)
    touched = hidden.any(dim=(1, 2))
    assert 0.27 < touched.float().mean() < 0.33
    for each in hidden[touched][:200]:
        rows, columns = each.any(dim=1), each.any(dim=0)
        assert each.sum() == rows.sum() * columns.sum()  # a whole rectangle and nothing else
        assert 0.01 < each.float().mean() < 0.25


def test_mixup_blends_each_picture_with_its_partner_by_the_share_it_says(pixels):
    found = mix(pixels, seeded(4), mixup=1.0, cutmix=0.0)
    expected = found.share * pixels + (1 - found.share) * pixels[found.partner]
    torch.testing.assert_close(found.pixels, expected)
    assert sorted(found.partner.tolist()) == list(range(len(pixels)))


def test_the_shares_of_mixup_follow_their_beta_distribution():
    chance = seeded(2)
    tiny = torch.zeros(2, 3, 2, 2)
    shares = torch.tensor([mix(tiny, chance, mixup=1.0, cutmix=0.0).share for __ in range(4000)])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)): 0.1786 for a = 0.2.
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(0.1786, abs=0.006)


def test_cutmix_puts_in_one_rectangle_of_the_partner_and_says_how_much_is_left():
    ours = torch.arange(8.0).view(8, 1, 1, 1).expand(-1, 3, 20, 20)
    chance = seeded(7)
    for __ in range(50):
        found = mix(ours, chance, mixup=0.0, cutmix=1.0)
        for picture, own, other in zip(found.pixels, range(8), found.partner, strict=True):
            assert set(picture.unique().tolist()) <= {float(own), float(other)}
            if own != other:
                assert (picture == own).float().mean() == pytest.approx(found.share)


def test_batches_are_mixed_as_often_as_the_recipe_says_and_all_else_stays(pixels):
    chance = seeded(1)
    found = [mix(pixels, chance, mixup=0.2, cutmix=0.3) for __ in range(1000)]
    assert 0.45 < sum(each is None for each in found) / 1000 < 0.55


def test_colour_changes_whole_pictures_and_each_its_own_way():
    grey = torch.full((50, 3, 4, 4), 100.0)
    found = augment(
        grey, replace(Augmentation.none(), brightness=0.2, contrast=0.2, colour=0.2), seeded()
    )
    torch.testing.assert_close(found, found[:, :, :1, :1].expand_as(found))
    assert found[:, 0, 0, 0].std() > 3
    assert (found - grey).abs().max() < 40


def test_a_grid_is_that_of_an_affine_map() -> None:
    maps = affine_maps(5, Augmentation(flips="both"), torch.Generator().manual_seed(3))
    expected = torch.nn.functional.affine_grid(maps, [5, 3, 24, 40], align_corners=False)
    assert torch.allclose(affine_grid(maps, (24, 40)), expected, atol=1e-6)


def test_saturation_contrast_and_light_change_one_after_another() -> None:
    pixels = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 255
    changes = Augmentation(brightness=0.4, contrast=0.4, colour=0.3)
    found = change_colour(pixels, changes, torch.Generator().manual_seed(2))
    chance = torch.Generator().manual_seed(2)

    def uniform(limit: float, channels: int = 1) -> torch.Tensor:
        return (torch.rand(6, channels, 1, 1, generator=chance) * 2 - 1) * limit

    saturation, contrast = 1 + uniform(0.6), 1 + uniform(0.4)
    offset = uniform(0.4) + uniform(0.15, channels=3)
    grey = pixels.mean(dim=1, keepdim=True)
    expected = grey + saturation * (pixels - grey)
    expected = (expected - 117) * contrast + 117 + 64 * offset
    assert torch.allclose(found, expected, atol=1e-3)
