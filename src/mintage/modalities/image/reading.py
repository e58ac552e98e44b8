"""Reading pictures: one decoder for training, benchmarks and serving, and its guards."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mintage.core.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MOST_PIXELS = 64_000_000
"""The cap before decoding: above every phone's photograph, below what exhausts a server."""

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


@contextmanager
def open_picture(data: bytes) -> Iterator[Image.Image]:
    """Open by the allow-list and check the header, before any pixel is decoded.

    Raises:
        DataError: the message is the reason, fit to stand behind a file's name.
    """
    if not data:
        raise DataError("an empty file")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image)
            yield image
    except UnidentifiedImageError as error:
        raise DataError("not a JPEG, PNG, WebP, BMP or TIFF picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"more than {MOST_PIXELS // 10**6} megapixels") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        # Pillow's plug-ins raise any of these for damaged data; DataError is none of them.
        raise DataError(f"damaged: {_one_line(error)}") from error


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise DataError(f"{width} × {height} pixels, more than {MOST_PIXELS // 10**6} megapixels")
    # A phone's MPO holds a second picture behind the first; only the first is read.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{frames} frames; only single pictures are read")


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


def to_rgb(image: Image.Image) -> Image.Image:
    """Eight bits of red, green and blue; 16-bit values are scaled, transparency is on white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if image.mode != "F" else max(1.0, float(values.max(initial=0.0)))
        image = Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def decode_square(data: bytes, side: int, orientation: int | None = None) -> NDArray[np.uint8]:
    """uint8[side, side, 3]: the whole picture stretched to a square.

    JPEG is decoded at the smallest eighth-scale that is still at least ``side`` (Pillow's
    ``draft``): 2 to 3 times faster than full size. ``orientation`` None reads it from the data.

    Raises:
        DataError: the bytes are no picture that may be read.
    """
    with open_picture(data) as image:
        turn = orientation_of(image) if orientation is None else orientation
        image.draft("RGB", (side, side))
        small = to_rgb(image).resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(oriented(small, turn))


def thumbnail_gray(image: Image.Image, orientation: int, side: int) -> NDArray[np.float32]:
    """float32[side, side] of luminance in 0 to 255; decodes every byte, so damage is found."""
    image.draft("L", (side, side))
    gray = to_rgb(image).convert("L") if image.mode != "L" else image
    small = gray.resize((side, side), Image.Resampling.BOX)
    return np.asarray(oriented(small, orientation), dtype=np.float32)


def encode_png(image: Image.Image) -> bytes:
    """Fresh pixels and nothing else."""
    stream = io.BytesIO()
    fresh = Image.new("RGB", image.size)
    fresh.paste(to_rgb(ImageOps.exif_transpose(image)))
    fresh.save(stream, "PNG")
    return stream.getvalue()
