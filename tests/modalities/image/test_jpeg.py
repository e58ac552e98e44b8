"""The short way for JPEG gives the pixels that Pillow gives, and leaves to it what is unusual."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from mintage.core.errors import DataError
from mintage.modalities.image import jpeg, reading
from mintage.modalities.image.modality import ImageModality


def scene(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth colours with edges and some noise: what cameras see."""
    chance = np.random.default_rng(seed)
    coarse = chance.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), dtype=int)
    noisy = smooth + chance.integers(-12, 13, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def by_pillow(data: bytes, side: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    with monkeypatch.context() as patched:
        patched.setattr(reading, "plain_jpeg", lambda __: None)
        return np.concatenate(
            [
                reading.decode_square(data, side).ravel().astype(np.float32),
                reading.thumbnail_gray(data, side).ravel(),
            ]
        )


def directly(data: bytes, side: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Pillow decoded it")

    with monkeypatch.context() as patched:
        patched.setattr(JpegImageFile, "load", refuse)
        return np.concatenate(
            [
                reading.decode_square(data, side).ravel().astype(np.float32),
                reading.thumbnail_gray(data, side).ravel(),
            ]
        )


@pytest.mark.parametrize("side", [28, 96, 112])
@pytest.mark.parametrize("size", [(640, 480), (501, 373), (97, 333), (40, 31), (8, 9)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsampling": 0},
        {"subsampling": 1},
        {"progressive": True},
        {"keep_rgb": True},
        {"restart_marker_blocks": 3},
        {"quality": 12},
        {"optimize": True},
    ],
    ids=str,
)
def test_pixels_are_those_of_pillow(
    side: int, size: tuple[int, int], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in (scene(1, size), scene(2, size).convert("L")):
        data = encoded(picture, **options)
        assert np.array_equal(directly(data, side, monkeypatch), by_pillow(data, side, monkeypatch))


@pytest.mark.parametrize("side", [28, 64, 96, 112])
def test_pixels_of_photographs_are_those_of_pillow(
    side: int, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted((shared_data / "pets").glob("*/*"))[::100]:
        data = path.read_bytes()
        assert np.array_equal(directly(data, side, monkeypatch), by_pillow(data, side, monkeypatch))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_only_where_there_may_be_one(
    orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(3, (90, 60)), exif=exif.tobytes())
    frame = jpeg.frame_of(data)
    assert frame is not None
    assert frame.tagged
    assert not jpeg.frame_of(encoded(scene(3, (90, 60)))).tagged  # type: ignore[union-attr]
    assert np.array_equal(directly(data, 32, monkeypatch), by_pillow(data, 32, monkeypatch))


def test_what_is_damaged_or_unusual_is_left_to_pillow() -> None:
    whole = encoded(scene(4, (320, 240)))
    frame = jpeg.frame_of(whole)
    assert frame is not None
    cut = whole[: len(whole) * 2 // 3]
    assert jpeg.pixels(cut, frame, 28, grey=False) is None
    with pytest.raises(DataError, match="damaged"):
        reading.decode_square(cut, 28)
    assert reading.plain_jpeg(encoded(scene(5, (64, 64)).convert("CMYK"))) is None
    assert reading.plain_jpeg(b"\xff\xd8\xff") is None
    assert reading.plain_jpeg(b"\x89PNG") is None
    assert reading.plain_jpeg(whole[: frame.position + 6]) is None


def test_a_header_that_is_cut_off_behind_its_frame_still_says_what_it_announces() -> None:
    whole = encoded(scene(4, (320, 240)))
    frame = jpeg.frame_of(whole)
    assert frame is not None
    assert frame.complete
    assert frame.is_ordinary
    assert not frame.needs_more_than(whole)
    broken = whole[: frame.position + 19] + b"no marker stands here" * 3
    rest = jpeg.frame_of(broken)
    assert rest is not None
    assert (rest.width, rest.height) == (320, 240)
    assert not rest.complete
    assert not rest.is_ordinary
    assert rest.needs_more_than(broken)


def test_bytes_that_fill_up_before_a_marker_are_read_by_pillow() -> None:
    whole = encoded(scene(7, (120, 80)))
    filled = whole[:2] + b"\xff" * 3 + whole[2:]  # ITU-T T.81, B.1.1.2
    assert reading.plain_jpeg(filled) is None
    assert np.array_equal(reading.decode_square(filled, 28), reading.decode_square(whole, 28))
    kept = ImageModality().ingest(filled)
    assert kept.data == ImageModality().ingest(whole).data


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body


def frame_segment(marker: int, side: int) -> bytes:
    body = struct.pack(">BHHB", 8, side, side, 3) + b"\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    return segment(marker, body)


@pytest.mark.parametrize(
    "between", [b"\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xd7", b"\xff\xd8", b"\xff\x02"]
)
def test_no_bytes_between_segments_hide_a_larger_frame(
    between: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes what follows for a length goes on behind the frame that libjpeg reads."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    true_frame = frame_segment(0xC2, 65_500)
    small = frame_segment(0xC0, 64) + segment(0xDA, b"\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00")
    filler = b"\xff\xc0" * 20 + small * 1500  # wherever a walk lands, it meets a small frame soon
    data = b"\xff\xd8" + between + true_frame + segment(0xEF, filler[:60_000]) + small + b"\0" * 9
    frame = jpeg.frame_of(data)
    assert frame is None or frame.width == 65_500 or not frame.is_ordinary
    with pytest.raises(DataError):
        reading.decode_square(data, 28)


def test_a_segment_shorter_than_its_own_length_ends_the_walk() -> None:
    whole = encoded(scene(4, (32, 24)))
    for length in (0, 1):
        data = whole[:2] + struct.pack(">BBH", 0xFF, 0xE5, length) + whole[2:]
        assert jpeg.frame_of(data) is None


def test_of_a_phones_two_pictures_in_one_file_the_first_is_kept() -> None:
    stream = io.BytesIO()
    first, second = scene(8, (200, 160)), scene(9, (100, 80))
    first.save(stream, "MPO", save_all=True, append_images=[second])
    kept = ImageModality().ingest(stream.getvalue())
    assert (kept.properties["width"], kept.properties["height"]) == (200, 160)
    assert kept.properties["format"] == "JPEG"
    alone = ImageModality().ingest(encoded(first))
    assert np.array_equal(
        reading.decode_square(kept.data, 64), reading.decode_square(alone.data, 64)
    )


def test_without_a_fingerprint_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    data = encoded(scene(6, (64, 64)))
    whole = ImageModality().ingest(data)
    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    kept = ImageModality().ingest(data, fingerprint=False)
    assert (kept.data, kept.properties, kept.fingerprint) == (whole.data, whole.properties, b"")


def test_the_cap_on_pixels_holds_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = bytearray(encoded(scene(6, (64, 64))))
    frame = jpeg.frame_of(bytes(data))
    assert frame is not None
    struct.pack_into(">HH", data, frame.position + 5, 12_000, 12_000)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    with pytest.raises(DataError, match="megapixels"):
        reading.decode_square(bytes(data), 28)


@pytest.mark.parametrize(
    ("size", "least", "scale"),
    [((375, 500), 96, 2), ((375, 500), 93.12, 4), ((4000, 3000), 112, 8), ((90, 300), 96, 1)],
)
def test_a_scale_leaves_both_sides_what_is_needed(
    size: tuple[int, int], least: float, scale: int
) -> None:
    assert jpeg.scale_for(*size, least) == scale
