"""A picture for people to look at: upright, no larger than a screen, without its metadata."""

from __future__ import annotations

import io

from PIL import Image

from mintage.modalities.image.reading import open_picture, orientation_of, oriented, rgb_strips

MEDIA_TYPE = "image/jpeg"
SIDE = 2048
"""The longest side in pixels: a sharp screen's, so that a fine scratch is still seen."""


def on_screen(data: bytes, side: int = SIDE) -> bytes:
    """A JPEG of fresh pixels, at most ``side`` wide and high.

    Raises:
        DataError: the bytes are no picture that may be read; the message is the reason.
    """
    with open_picture(data) as image:
        turn = orientation_of(image)
        scale = min(1.0, side / max(image.size))
        width, height = (max(1, round(length * scale)) for length in image.size)
        image.draft("RGB", (width, height))
        # A band of rows at a time, as everywhere: the whole in RGB may be hundreds of megabytes.
        narrow = Image.new("RGB", (width, image.height))
        for row, strip in rgb_strips(image):
            narrow.paste(_resized(strip, (width, strip.height)), (0, row))
        seen = oriented(_resized(narrow, (width, height)), turn)
    stream = io.BytesIO()
    # Without chroma subsampling, which would blur thin coloured lines.
    seen.save(stream, "JPEG", quality=90, subsampling=0)
    return stream.getvalue()


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
