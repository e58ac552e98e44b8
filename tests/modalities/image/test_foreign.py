import struct

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from tests.corpus.makers import raw_zip
from tests.pictures import encoded, jpeg, noise

from mintage.core.errors import DataError
from mintage.core.types import InputSpec
from mintage.modalities.image.modality import ImageModality

image = ImageModality()
NOT_OURS = "not a JPEG, PNG, WebP, BMP or TIFF picture"


def boxed(major: bytes, *others: bytes) -> bytes:
    """The beginning of a file of ISO/IEC 14496-12 with these brands."""
    brands = major + b"\0\0\0\0" + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x10mdat" + b"\x80" * 50


def tiff(tag: int, content: int | bytes) -> bytes:
    tags = ImageFileDirectory_v2()
    tags[tag] = content
    return encoded(noise(), "TIFF", tiffinfo=tags)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (encoded(noise(), "GIF"), "GIF"),
        (b"GIF87a" + b"\0" * 40, "GIF"),
        (boxed(b"heic", b"mif1", b"heic"), "HEIC"),
        (boxed(b"mif1", b"heic", b"heix"), "HEIC"),
        (boxed(b"mif1", b"miaf", b"avif"), "AVIF"),
        (boxed(b"crx ", b"isom"), "RAW"),
        (encoded(noise(), "JPEG2000"), "JPEG 2000"),
        (encoded(noise(), "JPEG2000", no_jp2=True), "JPEG 2000"),
        (b"\xff\x0a" + b"\x80" * 40, "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\x80" * 40, "JPEG XL"),
        (b"8BPS\0\1" + b"\0" * 40, "PSD"),
        (encoded(noise(0, (32, 32)), "ICO"), "ICO"),
        (encoded(noise(), "PDF"), "PDF"),
        (encoded(noise(), "EPS"), "EPS"),
        (b'<?xml version="1.0"?>\n<!-- \xe7\x8c\xab --><svg xmlns="x"></svg>', "SVG"),
        (b"\0" * 128 + b"DICM" + b"\0" * 40, "DICOM"),
        (b"II*\0\x10\0\0\0CR\2\0" + b"\0" * 40, "RAW"),
        (b"FUJIFILMCCD-RAW 0201" + b"\0" * 40, "RAW"),
        (tiff(254, 1), "RAW"),
        (tiff(50706, b"\1\4\0\0"), "RAW"),
    ],
    # Not the bytes: a PDF holds the time at which it was made.
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_a_picture_of_another_kind_is_named_whatever_its_ending(data: bytes, name: str) -> None:
    for read in (image.ingest, lambda data: image.decode(data, InputSpec("image", 8))):
        with pytest.raises(DataError) as raised:
            read(data)
        assert raised.value.message == f"{name} is not read; convert it to JPEG or PNG"
        assert "Send a JPEG" in raised.value.remedy


def test_an_avif_that_pillow_could_read_is_refused_like_any() -> None:
    from PIL import features

    if not features.check("avif"):
        pytest.skip("this Pillow writes no AVIF")
    with pytest.raises(DataError, match="AVIF is not read"):
        image.ingest(encoded(noise(), "AVIF"))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"hello, I am text\n", "text"),
        ("你好".encode() * 1000, "text"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page; download the picture"),
        (b"\n\n<HTML>", "a web page; download the picture"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
        (raw_zip([(b"a", b"b")]), "a zip; unpack it first"),
        (boxed(b"qt  "), "a video; save single pictures"),
        (boxed(b"isom", b"mp42"), "a video; save single pictures"),
    ],
)
def test_what_is_easily_seen_to_be_no_picture_is_said(data: bytes, what: str) -> None:
    with pytest.raises(DataError) as raised:
        image.ingest(data)
    assert raised.value.message.startswith(f"{NOT_OURS}, but {what}")


@pytest.mark.parametrize("data", [bytes(range(256)), b"\0" * 2000, jpeg()[:160], b"\xff\xd8"])
def test_what_is_nothing_known_is_only_said_not_to_be_ours(data: bytes) -> None:
    with pytest.raises(DataError) as raised:
        image.ingest(data)
    assert raised.value.message == NOT_OURS


def test_an_ordinary_tiff_is_no_raw() -> None:
    assert image.ingest(tiff(254, 0)).properties["format"] == "TIFF"
    assert image.ingest(tiff(254, 2)).properties["format"] == "TIFF"


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF"])
def test_a_file_of_several_pictures_is_refused_not_guessed(kind: str) -> None:
    frames = [noise(seed) for seed in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="more than one picture in it; save one of them"):
        image.ingest(data)


def test_a_tiff_of_many_pages_costs_no_more_than_one_of_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from PIL.TiffImagePlugin import TiffImageFile

    visited = []
    seek = TiffImageFile._seek
    monkeypatch.setattr(
        TiffImageFile, "_seek", lambda self, frame: (visited.append(frame), seek(self, frame))[1]
    )
    frames = [noise(seed, (8, 8)) for seed in range(40)]
    data = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    visited.clear()
    with pytest.raises(DataError, match="more than one picture"):
        image.ingest(data)
    assert visited == [0]


def test_values_of_thirty_two_bits_are_scaled_and_not_clipped_to_white() -> None:
    ramp = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    expected = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    infinite = ramp.copy()
    infinite[0, 0], infinite[0, 1] = np.inf, np.nan
    for picture in (ramp, ramp * 9000, infinite, (ramp * 2e9).astype(np.int32)):
        shown = image.decode(encoded(Image.fromarray(picture), "TIFF"), InputSpec("image", 64))
        assert np.abs(shown[1:, :, 0].astype(int) - expected[1:]).max() <= 1
