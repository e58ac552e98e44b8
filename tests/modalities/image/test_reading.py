import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.pictures import encoded, jpeg, noise

from mintage.core.errors import DataError
from mintage.core.types import InputSpec
from mintage.modalities.image.modality import ImageModality
from mintage.modalities.image.reading import decode_square, orientation_of

image = ImageModality()
SECRET = b"taken at 47.3769 N by Jane"


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = SECRET.decode()
    return tags


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"comment": SECRET, "quality": 80}),
        ("JPEG", {"progressive": True, "icc_profile": SECRET * 3000}),
        ("PNG", {}),
        ("WEBP", {"lossless": True, "xmp": SECRET, "icc_profile": SECRET}),
    ],
)
def test_metadata_is_gone_and_the_pixels_are_identical(kind: str, options: dict) -> None:
    data = encoded(noise(1, (200, 120)), kind, exif=exif(1), **options) + (
        SECRET if kind == "JPEG" else b""
    )
    assert SECRET in data
    stored = image.ingest(data).data
    assert SECRET not in stored
    assert np.array_equal(pixels(stored), pixels(data))
    assert image.ingest(stored).data == stored


def test_a_png_keeps_only_the_chunks_that_make_the_picture() -> None:
    data = encoded(noise(2), "PNG")
    chunk = b"tEXt" + b"Author\0" + SECRET
    head, tail = data[:33], data[33:]
    laden = (
        head
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + tail
        + SECRET
    )
    assert image.ingest(laden).data == data


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_what_cannot_be_stripped_is_stored_as_png(kind: str) -> None:
    picture = noise(3)
    ingested = image.ingest(encoded(picture, kind))
    assert ingested.data.startswith(b"\x89PNG")
    assert ingested.properties["format"] == kind
    assert np.array_equal(pixels(ingested.data), np.asarray(picture))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_alike_before_and_after_stripping(
    orientation: int, kind: str
) -> None:
    data = encoded(noise(4, (64, 48)), kind, exif=exif(orientation))
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
        assert orientation_of(opened) == (1 if kind == "TIFF" else orientation)
    expected = np.asarray(upright.resize((16, 16), Image.Resampling.BILINEAR), dtype=int)
    ingested = image.ingest(data)
    spec = InputSpec("image", 16)
    for decoded in (
        image.decode(data, spec),
        image.decode(ingested.data, spec, orientation=ingested.properties["orientation"]),
    ):
        assert np.abs(decoded.astype(int) - expected).mean() < 4
    assert np.array_equal(
        image.decode(data, spec),
        image.decode(ingested.data, spec, orientation=ingested.properties["orientation"]),
    )


def test_a_large_jpeg_decoded_at_reduced_scale_looks_like_the_full_one() -> None:
    data = jpeg(5, (1600, 1200))
    full = np.asarray(
        Image.open(io.BytesIO(data)).resize((96, 96), Image.Resampling.BILINEAR), dtype=int
    )
    assert np.abs(decode_square(data, 96).astype(int) - full).mean() < 2


def test_sixteen_bits_transparency_palette_and_cmyk_are_read_right() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    shown = decode_square(encoded(Image.fromarray(ramp), "PNG"), 64)
    assert np.abs(shown[..., 0].astype(int) - (ramp / 257).astype(int)).max() <= 1
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    assert (decode_square(encoded(clear, "PNG"), 8) == 255).all()
    palette = noise(6).quantize(16)
    assert decode_square(encoded(palette, "PNG"), 8).shape == (8, 8, 3)
    cmyk = noise(7).convert("CMYK")
    assert (
        np.abs(
            decode_square(encoded(cmyk, quality=95), 8).astype(int)
            - np.asarray(noise(7).resize((8, 8), Image.Resampling.BILINEAR)).astype(int)
        ).mean()
        < 8
    )


def bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * (1501 * 12000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def animated() -> bytes:
    frames = [noise(seed) for seed in range(3)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"hello, I am text", "not a JPEG"),
        (encoded(noise(), "GIF"), "not a JPEG"),
        (jpeg(0, (300, 200))[:2000], "damaged|cut short|truncated"),
        (jpeg()[:40], "damaged|not a JPEG"),
        (encoded(noise(0, (200, 200)), "PNG")[:-3000], "damaged"),
        (bomb(), "megapixels"),
        (animated(), "3 frames"),
        (b"\xff\xd8\xff\xe0\x00\x00" + b"\0" * 50, "damaged|not a JPEG|impossible"),
    ],
)
def test_what_cannot_be_kept_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        image.ingest(data)


def test_mutated_files_are_read_or_refused_and_never_crash() -> None:
    random = np.random.default_rng(0)
    originals = [
        jpeg(1, (64, 64)),
        encoded(noise(2, (64, 64)), "PNG"),
        encoded(noise(3, (64, 64)), "WEBP"),
        encoded(noise(4), "TIFF"),
        encoded(noise(5), "BMP"),
    ]
    refused = 0
    for round_number in range(300):
        data = bytearray(originals[round_number % len(originals)])
        for position in random.integers(0, len(data), 8):
            data[position] = random.integers(0, 256)
        try:
            image.ingest(bytes(data[: random.integers(1, len(data) + 1)]))
        except DataError:
            refused += 1
    assert 50 < refused < 300
