import struct

import numpy as np
import pytest
from PIL import Image
from tests.corpus.makers import jpeg_of_size, png
from tests.pictures import encoded, jpeg, noise

from mintage.core.errors import DataError
from mintage.core.types import InputSpec
from mintage.modalities.image.extent import is_too_short
from mintage.modalities.image.modality import ImageModality

PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)),
    (1, 0, 2, 1),
)


@pytest.mark.parametrize("seed", range(30))
def test_no_whole_picture_is_too_short(seed: int) -> None:
    width, height = np.random.default_rng(seed).integers(1, 70, 2).tolist()
    for picture in (noise(seed, (width, height)), Image.new("RGB", (width, height))):
        for options in ({"quality": 1}, {"progressive": True}, {"optimize": True}):
            assert not is_too_short("JPEG", encoded(picture, **options))
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
            kind = "JPEG" if mode == "CMYK" else "PNG"
            assert not is_too_short(kind, encoded(picture.convert(mode), kind))


def interlaced(width: int, height: int) -> bytes:
    """An Adam7 PNG of two bits of grey, its passes cut out of the picture by slicing."""
    grey = np.random.default_rng(1).integers(0, 256, (height, width))
    rows = b""
    for top, left, down, across in PASSES:
        for row in grey[top::down, left::across]:
            rows += b"\0" + bytes((len(row) * 2 + 7) // 8) if len(row) else b""
    whole = bytearray(png(width, height, 2, 0, rows))
    import zlib

    whole[28] = 1
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (5, 8), (8, 5), (33, 17)])
def test_an_interlaced_png_is_counted_pass_by_pass(size: tuple[int, int]) -> None:
    data = interlaced(*size)
    assert not is_too_short("PNG", data)
    assert ImageModality().decode(data, InputSpec("image", 8)).shape == (8, 8, 3)
    taller = bytearray(data)
    taller[20:24] = struct.pack(">I", size[1] + 8)
    assert is_too_short("PNG", bytes(taller))


@pytest.mark.parametrize(
    "data",
    [
        png(100, 100, 8, 2, b"\0" * 301 * 99),
        png(100, 100, 1, 0, b""),
        jpeg_of_size(jpeg(), 2000, 2000),
        jpeg_of_size(jpeg(1, quality=95), 7000, 7000),
    ],
)
def test_a_header_that_announces_more_than_there_is_is_refused(data: bytes) -> None:
    image = ImageModality()
    for read in (image.ingest, lambda data: image.decode(data, InputSpec("image", 8))):
        with pytest.raises(DataError, match="less data than its header says") as raised:
            read(data)
        assert raised.value.remedy


def test_any_bytes_are_answered() -> None:
    random = np.random.default_rng(0)
    originals = [jpeg(1), encoded(noise(2), "PNG")]
    for number in range(600):
        data = bytearray(originals[number % 2])
        for position in random.integers(0, 40 if number % 3 else len(data), 4):
            data[position] = random.integers(0, 256)
        for kind in ("PNG", "JPEG"):
            assert is_too_short(kind, bytes(data[: random.integers(0, len(data))])) in (True, False)
