"""Maps over pictures: what is drawn where, and that everybody can see it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.pictures import jpeg

from mintage.bundle.overlay import LONGEST, is_ours, overlay, overlay_png, readable
from mintage.core.errors import DataError

ORANGE, BLUE = np.array([213, 94, 0.0]), np.array([0, 114, 178.0])


def drawn(found: NDArray[np.float32], grey: int = 128) -> NDArray[np.float64]:
    pixels = np.full((60, 90, 3), grey, np.uint8)
    return np.asarray(overlay(pixels, found), dtype=float)


def test_orange_lies_where_the_map_is_high_blue_where_it_is_low_and_grey_elsewhere() -> None:
    found = np.zeros((6, 6), np.float32)
    found[0, 0], found[5, 5] = 0.4, -0.4
    colours = drawn(found)
    assert colours.shape == (60, 90, 3)
    np.testing.assert_allclose(colours[0, 0], 0.8 * ORANGE + 0.2 * 128, atol=1)
    np.testing.assert_allclose(colours[-1, -1], 0.8 * BLUE + 0.2 * 128, atol=1)
    np.testing.assert_array_equal(colours[0, -1], [128, 128, 128])


def test_what_hardly_matters_does_not_shine() -> None:
    faint = drawn(np.full((6, 6), 0.001, np.float32))
    assert np.abs(faint - 128).max() < 3


def test_a_pictures_own_colours_are_not_taken_for_the_maps() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 255
    shown = np.asarray(overlay(pixels, np.zeros((4, 4), np.float32)))
    assert (shown == shown[..., :1]).all()


# Machado, Oliveira, Fernandes 2009, severity 1.0, over linear RGB.
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
          [-0.003882, -0.048116, 1.051998]]  # fmt: skip
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
          [-0.011820, 0.042940, 0.968881]]  # fmt: skip
TRITAN = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
          [0.004733, 0.691367, 0.303900]]  # fmt: skip


@pytest.mark.parametrize("vision", [PROTAN, DEUTAN, TRITAN], ids=["protan", "deutan", "tritan"])
def test_the_two_colours_and_grey_stay_apart_in_every_kind_of_colour_vision(
    vision: list[list[float]],
) -> None:
    seen = [
        np.clip(np.array(vision) @ (colour / 255) ** 2.2, 0, 1) ** (1 / 2.2)
        for colour in (ORANGE, BLUE, np.array([128.0] * 3))
    ]
    for one, other, least in ((0, 1, 0.25), (0, 2, 0.15), (1, 2, 0.15)):
        assert np.abs(seen[one] - seen[other]).max() > least


def test_a_drawing_has_the_pictures_proportions_and_a_strip_below() -> None:
    data = jpeg(1, (200, 100))
    pixels = readable(data)
    assert pixels.shape == (LONGEST // 2, LONGEST, 3)
    found = np.zeros((28, 28), np.float32)
    found[10, 10] = 0.34
    made = overlay_png(pixels, found)
    with Image.open(io.BytesIO(made)) as sheet:
        assert sheet.size[0] == LONGEST
        assert LONGEST // 2 < sheet.size[1] < LONGEST // 2 + 60
        strip = np.asarray(sheet)[LONGEST // 2 :].astype(float)
    # From blue to orange, and figures in black.
    assert np.abs(strip - (0.8 * BLUE + 32)).sum(axis=2).min() < 12
    assert np.abs(strip - (0.8 * ORANGE + 32)).sum(axis=2).min() < 12
    assert strip.min() < 40
    assert is_ours(made)
    assert is_ours(made[:256])
    assert not is_ours(data)
    plain = io.BytesIO()
    Image.new("RGB", (9, 9)).save(plain, "PNG")
    assert not is_ours(plain.getvalue())


def test_a_picture_is_drawn_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert readable(jpeg(1, (200, 100), exif=exif)).shape == (LONGEST, LONGEST // 2, 3)


def test_a_sliver_of_a_picture_still_has_room_for_its_figures() -> None:
    sliver = np.full((512, 4, 3), 90, np.uint8)
    with Image.open(io.BytesIO(overlay_png(sliver, np.zeros((28, 28), np.float32)))) as sheet:
        assert sheet.width >= 120


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(DataError):
        readable(b"nonsense")
