"""An explanation map over its picture, with one scale of colours for all of them.

Orange lies where hiding lowers the probability of the answer, blue where it raises it; the picture
beneath is grey, so that no colour of its own is taken for one. The two are those of Okabe and Ito
(2008) that every kind of colour vision tells apart.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from mintage.modalities.image.reading import decode_square, open_picture, orientation_of

LONGEST = 512
"""Longest side, in pixels, of a picture that is to be looked at."""
FULL = 0.1
"""The scale goes to the map's own highest value, but never below this: what hardly matters must
not shine."""

_FOR, _AGAINST = (213, 94, 0), (0, 114, 178)
_STRONGEST = 0.8
_STRIP, _MARGIN, _TEXT = 34, 8, 12
_NARROWEST = 160
_MARK = ("Software", "Mintage: explanation")


def readable(data: bytes, longest: int = LONGEST) -> NDArray[np.uint8]:
    """uint8[H, W, 3]: an upload upright, in its own proportions, ``longest`` on one side.

    Raises:
        DataError: the bytes are no picture that may be read.
    """
    with open_picture(data) as image:
        size = image.size if orientation_of(image) < 5 else image.size[::-1]
    return in_proportion(decode_square(data, longest), size, longest)


def in_proportion(
    square: NDArray[np.uint8], size: tuple[int, int], longest: int
) -> NDArray[np.uint8]:
    """uint8[H, W, 3]: a picture of ``size`` (width, height) that was squeezed into a square."""
    scale = longest / max(size)
    width, height = (max(1, round(scale * length)) for length in size)
    image = Image.fromarray(square).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def overlay(
    pixels: NDArray[np.uint8], found: NDArray[np.float32], full: float | None = None
) -> Image.Image:
    """uint8[H, W, 3] in grey under the colours of float32[S, S], which covers all of it.

    ``full`` is the value with the strongest colour (default: the map's highest, ``FULL`` at least).
    """
    height, width = pixels.shape[:2]
    stretched = Image.fromarray(found.astype(np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    share = np.clip(np.asarray(stretched) / (full or scale_of(found)), -1, 1)
    return _coloured(pixels, share)


def scale_of(found: NDArray[np.float32]) -> float:
    """The value with the strongest colour."""
    return max(FULL, float(np.abs(found).max()))


def overlay_png(pixels: NDArray[np.uint8], found: NDArray[np.float32]) -> bytes:
    """The overlay as PNG, above a strip that says what the colours stand for.

    The figures are the change of the probability when that place is hidden.
    """
    picture = overlay(pixels, found)
    width = max(picture.width, _NARROWEST)
    sheet = Image.new("RGB", (width, picture.height + _STRIP), "white")
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    sheet.paste(_legend(width, scale_of(found)), (0, picture.height))
    mark = PngInfo()
    mark.add_text(*_MARK)
    stream = io.BytesIO()
    sheet.save(stream, "PNG", pnginfo=mark)
    return stream.getvalue()


def is_ours(data: bytes) -> bool:
    """Whether the bytes begin like a PNG that ``overlay_png`` made."""
    keyword, text = (each.encode() for each in _MARK)
    return data.startswith(b"\x89PNG") and keyword + b"\0" + text in data[:256]


def _legend(width: int, full: float) -> Image.Image:
    strip = Image.new("RGB", (width, _STRIP), "white")
    length = width - 2 * _MARGIN
    grey = np.full((_TEXT, length, 3), 160, np.uint8)
    share = np.broadcast_to(np.linspace(-1, 1, length), (_TEXT, length))
    strip.paste(_coloured(grey, share), (_MARGIN, 4))
    font = ImageFont.load_default(_TEXT)
    draw = ImageDraw.Draw(strip)
    row = _TEXT + 5
    draw.text((_MARGIN, row), f"+{full:.2f}", "black", font, anchor="la")
    draw.text((width // 2, row), "0", "black", font, anchor="ma")
    draw.text((width - _MARGIN, row), f"-{full:.2f}", "black", font, anchor="ra")
    return strip


def _coloured(pixels: NDArray[np.uint8], share: NDArray[np.float64]) -> Image.Image:
    """The pixels in grey, mixed with the colour of each share, from -1 to 1."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64)[..., np.newaxis]
    value = share[..., np.newaxis]
    colour = np.where(value > 0, np.array(_FOR, float), np.array(_AGAINST, float))
    alpha = _STRONGEST * np.abs(value)
    return Image.fromarray(((1 - alpha) * grey + alpha * colour).round().astype(np.uint8))
