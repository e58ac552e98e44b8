"""Reading pictures: one decoder for training, benchmarks and serving, and its guards."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.modalities.image import extent, foreign, jpeg

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MOST_PIXELS = 64_000_000
"""The cap before decoding: above every phone's photograph, below what exhausts a server."""
NEARLY = 0.97
"""Of the side asked for, what a JPEG may be decoded at: photographs of 375×500 need not be decoded
four times as large for a side of 96, of which a quarter of them is 94."""

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow's plug-ins raise for damaged data; DataError is none of them."""

_STRIP_PIXELS = 1_000_000

REMEDY_KIND = _("Send a JPEG, PNG, WebP, BMP or TIFF picture.")
REMEDY_DAMAGED = _("Export or copy it again from where it came from.")
_NEW_SUBFILE_TYPE = 254
_DNG_VERSION = 50706


@contextmanager
def open_picture(data: bytes) -> Iterator[Image.Image]:
    """Open by the allow-list and check the header, before any pixel is decoded.

    Raises:
        DataError: the message is the reason, fit to stand behind a file's name.
    """
    if not data:
        raise DataError(_("an empty file"), remedy=REMEDY_DAMAGED)
    # Before Pillow: it takes some for a TIFF, and would show their thumbnail.
    if name := foreign.picture_kind(data):
        raise DataError(foreign.not_read(name), remedy=REMEDY_KIND)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image)
            if extent.is_too_short(image.format or "", data):
                raise DataError(
                    _("damaged: it has less data than its header says"), remedy=REMEDY_DAMAGED
                )
            yield image
    except UnidentifiedImageError as error:
        raise DataError(foreign.why_not(data), remedy=REMEDY_KIND) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels() from error
    except _DAMAGE as error:
        raise DataError(
            _("damaged: {error}", error=_one_line(error)), remedy=REMEDY_DAMAGED
        ) from error


def _too_many_pixels() -> DataError:
    return DataError(
        _("more than {megapixels} megapixels; save it smaller", megapixels=MOST_PIXELS // 10**6),
        remedy=_("Save it at a smaller size."),
    )


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _too_many_pixels()
    if _is_preview(image):
        raise DataError(foreign.not_read("RAW"), remedy=REMEDY_KIND)
    # A phone's MPO holds a second picture behind the first; only the first is read. Frames are not
    # counted: a TIFF of a few megabytes can have a hundred thousand, each visited for the count.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise DataError(
            _("more than one picture in it; save one of them as JPEG or PNG"),
            remedy=_("Send one picture at a time."),
        )
    if image.mode == "LAB":
        raise DataError(_("LAB colours are not read; save it as RGB"), remedy=REMEDY_KIND)


def _is_preview(image: Image.Image) -> bool:
    """Whether a TIFF begins with a small copy of itself, as a camera's RAW does (NEF, ARW, DNG)."""
    if not isinstance(image, TiffImageFile):
        return False
    tags = image.tag_v2
    return _DNG_VERSION in tags or tags.get(_NEW_SUBFILE_TYPE) == 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or it makes no sense.

    Pillow turns a TIFF by itself when it is loaded, so its orientation is already 1.
    """
    if image.format == "TIFF":
        return 1
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def oriented(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as it was seen when it was taken."""
    return image.transpose(_TRANSPOSE[orientation]) if orientation in _TRANSPOSE else image


def rgb_strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Bands of rows with the row they begin at, as eight bits of red, green and blue.

    16-bit values are scaled, transparency is on white. A band at a time, because the whole of a
    64-megapixel picture in double precision would take half a gigabyte for each copy.
    """
    image.load()
    top = 65535.0
    if image.mode in ("I", "F"):  # 32 bits: what is white is not said, so the highest value is
        __, highest = cast("tuple[float, float]", image.getextrema())
        least = 1.0 if image.mode == "F" else top
        top = max(least, highest) if math.isfinite(highest) else least
    height = max(1, _STRIP_PIXELS // image.width)
    for row in range(0, image.height, height):
        box = (0, row, image.width, min(row + height, image.height))
        yield row, _to_rgb(image.crop(box), top)


def _to_rgb(image: Image.Image, top: float) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # a float picture may hold what is no number
            image = Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _squeezed(
    image: Image.Image, side: int, resampling: Image.Resampling, mode: str
) -> Image.Image:
    """The whole picture as a square in ``mode``, with the bits of one conversion and one resize.

    Pillow resizes rows first, then columns, so the rows can be done a band at a time.
    """
    if image.mode == mode and (mode == "L" or "transparency" not in image.info):
        return image.resize((side, side), resampling)
    narrow = Image.new(mode, (side, image.height))
    for row, strip in rgb_strips(image):
        band = strip if mode == "RGB" else strip.convert(mode)
        narrow.paste(band.resize((side, band.height), resampling), (0, row))
    return narrow.resize((side, side), resampling)


def plain_jpeg(data: bytes) -> jpeg.Frame | None:
    """The frame of an ordinary JPEG that may be read; None sends everything else to Pillow."""
    frame = jpeg.frame_of(data)
    if frame is None or not frame.is_ordinary or frame.width * frame.height > MOST_PIXELS:
        return None
    return None if frame.needs_more_than(data) else frame


def turn_of(data: bytes, frame: jpeg.Frame) -> int:
    """EXIF orientation, 1 to 8, of an ordinary JPEG: most have nothing that says one."""
    if not frame.tagged:
        return 1
    with open_picture(data) as image:
        return orientation_of(image)


def decode_square(data: bytes, side: int, orientation: int | None = None) -> NDArray[np.uint8]:
    """uint8[side, side, 3]: the whole picture stretched to a square.

    JPEG is decoded at the smallest eighth-scale that is still nearly ``side``: 2 to 3 times faster
    than full size. ``orientation`` None reads it from the data.

    Raises:
        DataError: the bytes are no picture that may be read.
    """
    least = NEARLY * side
    return np.asarray(_small(data, side, orientation, least, Image.Resampling.BILINEAR, "RGB"))


def thumbnail_gray(data: bytes, side: int, orientation: int | None = None) -> NDArray[np.float32]:
    """float32[side, side] of luminance in 0 to 255; decodes every byte, so damage is found.

    Raises:
        DataError: the bytes are no picture that may be read.
    """
    small = _small(data, side, orientation, side, Image.Resampling.BOX, "L")
    return np.asarray(small, dtype=np.float32)


def _small(
    data: bytes,
    side: int,
    orientation: int | None,
    least: float,
    resampling: Image.Resampling,
    mode: str,
) -> Image.Image:
    """The picture upright as a square, a JPEG decoded no larger than ``least`` demands."""
    if frame := plain_jpeg(data):
        turn = turn_of(data, frame) if orientation is None else orientation
        pixels = jpeg.pixels(data, frame, least, grey=mode == "L" or frame.is_grey)
        if pixels is not None:
            return oriented(_squeezed(Image.fromarray(pixels), side, resampling, mode), turn)
    with open_picture(data) as image:
        turn = orientation_of(image) if orientation is None else orientation
        scale = jpeg.scale_for(*image.size, least)
        image.draft(mode, (image.width // scale, image.height // scale))
        return oriented(_squeezed(image, side, resampling, mode), turn)


def encode_png(image: Image.Image) -> bytes:
    """Fresh pixels and nothing else."""
    stream = io.BytesIO()
    ImageOps.exif_transpose(image, in_place=True)
    fresh = Image.new("RGB", image.size)
    for row, strip in rgb_strips(image):
        fresh.paste(strip, (0, row))
    fresh.save(stream, "PNG")
    return stream.getvalue()
