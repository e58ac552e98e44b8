import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.pictures import encoded, jpeg, noise

from mintage.core.errors import DataError
from mintage.core.types import InputSpec
from mintage.modalities.image import strip
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
        (b"hello, I am text", "not a JPEG.*but text"),
        (encoded(noise(), "GIF"), "GIF is not read; convert it"),
        (jpeg(0, (300, 200))[:2000], "damaged|cut short|truncated"),
        (jpeg()[:40], "damaged|not a JPEG"),
        (encoded(noise(0, (200, 200)), "PNG")[:-3000], "damaged"),
        (bomb(), "megapixels"),
        (animated(), "more than one picture in it"),
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


@pytest.mark.parametrize(
    "data",
    [
        jpeg(1, (24, 16), comment=SECRET),
        jpeg(1, (24, 16), progressive=True),
        encoded(noise(2, (24, 16)), "PNG"),
        encoded(noise(3, (24, 16)), "WEBP", xmp=SECRET, exif=exif(6)),
    ],
    ids=["baseline", "progressive", "PNG", "WebP"],
)
def test_a_file_cut_short_at_any_byte_is_kept_or_refused_with_a_reason(data: bytes) -> None:
    kinds = (strip.strip_jpeg, strip.strip_png, strip.strip_webp)
    refused = 0
    for length in range(len(data)):
        for stripped in kinds:
            with contextlib.suppress(DataError):
                stripped(data[:length])
        try:
            image.ingest(data[:length])
        except DataError as error:
            refused += bool(error.message)
    assert refused > 0.9 * len(data)
    image.ingest(data)


@given(st.lists(st.sampled_from([0xFF, 0x00, 0xD0, 0xD7, 0xD8, 0xD9, 0xCF, 0x0A]), max_size=24))
def test_a_scan_ends_at_the_first_marker_that_is_no_restart(codes: list[int]) -> None:
    data = bytes(codes)

    def by_hand(position: int) -> int:
        for place in range(position, len(data) - 1):
            following = data[place + 1]
            if data[place] == 0xFF and following not in {0x00, 0xFF, *range(0xD0, 0xD8)}:
                return place
        return len(data)

    for position in range(len(data) + 1):
        assert strip._end_of_scan(data, position) == by_hand(position)


def test_an_error_of_a_stripper_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from mintage.modalities.image import modality

    for error in (struct.error("needs 2 bytes"), IndexError("out of range")):

        def failing(_: bytes, error: Exception = error) -> bytes:
            raise error

        monkeypatch.setitem(modality._STRIP, "JPEG", failing)
        with pytest.raises(DataError, match="a JPEG that is cut short or damaged"):
            image.ingest(jpeg())


def whole_resize(picture: Image.Image, side: int) -> np.ndarray:
    """The decoder's promise in Pillow's own words: convert all, then resize all."""
    if picture.mode == "I;16":
        scaled = np.asarray(picture, dtype=np.float64) * (255 / 65535)
        picture = Image.fromarray(scaled.astype(np.uint8))
    layer = picture.convert("RGBA")
    shown = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return np.asarray(shown.resize((side, side), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_a_picture_converted_in_bands_has_the_bits_of_one_converted_whole(mode: str) -> None:
    random = np.random.default_rng(8)
    if mode == "I;16":
        picture = Image.fromarray(random.integers(0, 65536, (1300, 1500), dtype=np.uint16))
    else:
        colours = Image.fromarray(random.integers(0, 256, (1300, 1500, 4), dtype=np.uint8))
        picture = colours.convert("RGB").quantize(32) if mode == "P" else colours.convert(mode)
    assert np.array_equal(decode_square(encoded(picture, "PNG"), 48), whole_resize(picture, 48))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_the_largest_pictures_take_less_than_500_mb(tmp_path: Path, mode: str) -> None:
    encoded_picture = encoded(Image.new(mode, (8000, 8000)), "PNG", compress_level=1)
    (tmp_path / "large.png").write_bytes(encoded_picture)
    code = """
import re, sys
from mintage.core.types import InputSpec
from mintage.modalities.image.modality import ImageModality
data = open(sys.argv[1], "rb").read()
kept = ImageModality().ingest(data)
ImageModality().decode(kept.data, InputSpec("image", 112))
# Not ru_maxrss, which a child takes over from whoever started it.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "large.png")], capture_output=True, check=True
    )
    assert int(done.stdout) < 500_000


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_file_without_metadata_is_seen_as_the_upload_was(orientation: int, kind: str) -> None:
    tags = exif(orientation)
    tags[0x010F] = "Secret camera"
    data = encoded(noise(4, (64, 48)), kind, exif=tags)
    ending, alone = image.without_metadata(data)
    kept = kind if kind == "JPEG" or (kind == "WEBP" and orientation == 1) else "PNG"
    assert ending == {"JPEG": ".jpg", "WEBP": ".webp", "PNG": ".png"}[kept]
    assert b"Secret" not in alone
    assert np.array_equal(upright(alone), upright(data))
    with Image.open(io.BytesIO(alone)) as opened:
        assert opened.format == kept
        assert dict(opened.getexif()).keys() <= {0x0112}
    if kind == "JPEG":
        assert image.ingest(alone) == image.ingest(data)  # the compressed pixels are the same


def upright(data: bytes) -> np.ndarray:
    from PIL import ImageOps

    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
