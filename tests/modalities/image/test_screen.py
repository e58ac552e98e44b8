"""A picture as the labelling page shows it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.pictures import encoded, jpeg, noise

from mintage.core.errors import DataError
from mintage.modalities.image.screen import on_screen


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "shown"),
    [((3000, 1000), (500, 167)), ((40, 30), (40, 30)), ((5, 2000), (1, 500)), ((500, 500),) * 2],
)
def test_a_picture_is_at_most_as_large_as_a_screen_and_never_enlarged(size, shown) -> None:
    found = opened(on_screen(jpeg(1, size), 500))
    assert (found.format, found.size) == ("JPEG", shown)


def test_nothing_but_pixels_is_left() -> None:
    exif = Image.Exif()
    exif[0x010E] = "Home Street 1"
    data = encoded(noise(1, (60, 40)), exif=exif, comment=b"secret", icc_profile=b"x" * 200)
    assert b"Home Street" in data
    shown = on_screen(data)
    assert b"Home Street" not in shown
    assert not {"exif", "comment", "icc_profile"} & opened(shown).info.keys()


def test_a_picture_stands_as_it_was_seen() -> None:
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: left is up
    shown = np.asarray(opened(on_screen(encoded(image, exif=exif, quality=95))).convert("L"))
    assert shown.shape == (40, 20)
    assert shown[:16].min() > 200
    assert shown[24:].max() < 50


def test_transparency_is_on_white_and_sixteen_bits_are_scaled() -> None:
    clear = encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG")
    assert np.asarray(opened(on_screen(clear))).min() > 250
    gray = Image.fromarray(np.full((20, 20), 32768, np.uint16))
    assert np.asarray(opened(on_screen(encoded(gray, "PNG")))).mean() == pytest.approx(128, abs=2)


@pytest.mark.parametrize("data", [b"", b"no picture", jpeg(1)[:200]])
def test_what_is_no_picture_is_refused_with_the_reason(data: bytes) -> None:
    with pytest.raises(DataError) as refused:
        on_screen(data)
    assert refused.value.message
