"""What strangers send: from its bytes to the dataset's card, and through what a server runs."""

from __future__ import annotations

import gc
import os
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.corpus.makers import jpeg_of_size, png, png_chunk, raw_zip
from tests.pictures import encoded, jpeg, noise, two_classes

from mintage.core.errors import DataError
from mintage.core.progress import Silent
from mintage.core.registry import modalities
from mintage.core.types import InputSpec
from mintage.create.collect import collect
from mintage.create.dataset import Dataset
from mintage.sources.archive import ZipSource
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

GOOD = 16
NOT_OURS = "not a JPEG, PNG, WebP, BMP or TIFF picture"
SEVERAL = "more than one picture in it; save one of them as JPEG or PNG"
SHORT = "damaged: it has less data than its header says"
CUT = re.compile(r"damaged: image file is truncated.*")  # Pillow's words, which count bytes
OUT = "its name leads out of the archive"

image = modalities().get("image")
FRAMES = [noise(seed) for seed in range(3)]
MORE = {"save_all": True, "append_images": FRAMES[1:]}
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\x80" * 300


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "photos", each=GOOD // 2)


@pytest.fixture
def gather(workspace: Workspace) -> Callable[..., Dataset]:
    def gather(location: Path, **options: object) -> Dataset:
        keys = KeyRing(workspace.key_folder)
        given = {"progress": Silent()} | options
        return collect(workspace, keys, location, "pets", **given)  # type: ignore[arg-type]

    return gather


def skipped(dataset: Dataset) -> dict[str, str]:
    return {item["path"]: item["reason"] for item in dataset.card["quality"]["skipped"]}


def held_open() -> set[Path]:
    """The files that this process has open."""
    return {Path(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}


def says(found: str, expected: str | re.Pattern[str]) -> bool:
    return found == expected if isinstance(expected, str) else bool(expected.fullmatch(found))


def lab() -> bytes:
    from PIL import ImageCms

    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    turned = ImageCms.buildTransform(*profiles, "RGB", "LAB")
    return encoded(ImageCms.applyTransform(noise(), turned), "TIFF")


REFUSED = {
    "truncated.jpg": (jpeg(0, (300, 200))[:2000], CUT),
    "cut in its header.jpg": (jpeg()[:160], NOT_OURS),
    "cut in a table.jpg": (jpeg()[:30], re.compile("damaged: .*")),
    "truncated.png": (encoded(noise(0, (200, 200)), "PNG")[:-3000], CUT),
    "empty.jpg": (b"", "an empty file"),
    "bomb.png": (
        png(12000, 12000, 1, 0, b"\0" * 1501 * 12000),
        "more than 64 megapixels; save it smaller",
    ),
    "text.jpg": (b"hello", f"{NOT_OURS}, but text"),
    "page.jpg": (
        b"<!DOCTYPE html><html>Not found</html>",
        f"{NOT_OURS}, but a web page; download the picture itself",
    ),
    "pointer.jpg": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        f"{NOT_OURS}, but a pointer of Git LFS; fetch the files with: git lfs pull",
    ),
    "zip.jpg": (raw_zip([(b"cats/1.jpg", jpeg())]), f"{NOT_OURS}, but a zip; unpack it first"),
    "heic.jpg": (HEIC, "HEIC is not read; convert it to JPEG or PNG"),
    "gif.png": (encoded(noise(), "GIF"), "GIF is not read; convert it to JPEG or PNG"),
    "svg.png": (b'<svg xmlns="x"/>', "SVG is not read; convert it to JPEG or PNG"),
    "animated.webp": (encoded(FRAMES[0], "WEBP", **MORE), SEVERAL),
    "animated.png": (encoded(FRAMES[0], "PNG", **MORE), SEVERAL),
    "pages.tiff": (encoded(FRAMES[0], "TIFF", **MORE), SEVERAL),
    "lab.tiff": (lab(), "LAB colours are not read; save it as RGB"),
    "taller than its data.png": (png(40, 400, 8, 2, b"\0" * 121 * 30), SHORT),
    "larger than its data.jpg": (jpeg_of_size(jpeg(), 7000, 7000), SHORT),
    "larger than anything.jpg": (
        jpeg_of_size(jpeg(), 65000, 65000),
        "more than 64 megapixels; save it smaller",
    ),
    "wider than its data.bmp": (
        encoded(noise(), "BMP")[:18] + struct.pack("<I", 4000) + encoded(noise(), "BMP")[22:],
        CUT,
    ),
    "text that unpacks.png": (
        png(4, 4, 8, 0, b"\0" * 20, png_chunk(b"zTXt", b"x\0\0" + zlib.compress(b"x" * 10**8))),
        re.compile("damaged: .*"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_named_with_its_reason_and_the_rest_is_kept(
    gather: Callable[..., Dataset], photos: Path, name: str
) -> None:
    data, reason = REFUSED[name]
    (photos / "dark" / name).write_bytes(data)
    dataset = gather(photos)
    ((path, found),) = skipped(dataset).items()
    assert path == f"dark/{name}"
    assert says(found, reason), found
    assert len(dataset.examples) == GOOD


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_bytes_sent_to_a_server_are_refused_with_a_remedy(name: str) -> None:
    data, reason = REFUSED[name]
    with pytest.raises(DataError) as raised:
        image.decode(data, InputSpec("image", 32))
    assert says(raised.value.message, reason), raised.value.message
    assert raised.value.remedy.endswith(".")


def test_all_of_them_at_once_leave_the_good_ones(
    gather: Callable[..., Dataset], photos: Path
) -> None:
    for name, (data, __) in REFUSED.items():
        (photos / "light" / name).write_bytes(data)
    dataset = gather(photos)
    assert len(skipped(dataset)) + len(dataset.examples) == GOOD + len(REFUSED)
    with pytest.raises(DataError, match=r"^light/.*--strict"):
        gather(photos, strict=True)


def ramp(kind: str) -> bytes:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    if kind == "float.tiff":
        return encoded(Image.fromarray((values / 65535).astype(np.float32)), "TIFF")
    return encoded(Image.fromarray(values.astype(np.uint16)), kind.rpartition(".")[2].upper())


def adobe_cmyk() -> bytes:
    data = encoded(noise(7, (64, 64)).convert("CMYK"), quality=95)
    assert b"Adobe" in data  # whose CMYK is inverted
    return data


def clear_palette() -> tuple[bytes, Image.Image]:
    picture = noise(6, (64, 64)).quantize(8)
    shown = picture.convert("RGB")
    index = picture.getpixel((0, 0))
    shown.paste((255, 255, 255), mask=picture.point([255 * (n == index) for n in range(256)], "L"))
    return encoded(picture, "PNG", transparency=index), shown


def one_bit() -> Image.Image:
    return noise(5, (64, 64)).convert("1")


GREY = np.repeat((np.linspace(0, 255, 64 * 64).reshape(64, 64))[..., None], 3, axis=2)
READ = {
    "cmyk.jpg": (adobe_cmyk(), np.asarray(noise(7, (64, 64))), 6),
    "16 bits.png": (ramp("16 bits.png"), GREY, 1),
    "16 bits.tiff": (ramp("16 bits.tiff"), GREY, 1),
    "float.tiff": (ramp("float.tiff"), GREY, 1),
    "clear palette.png": (clear_palette()[0], np.asarray(clear_palette()[1]), 0),
    "one bit.png": (encoded(one_bit(), "PNG"), np.asarray(one_bit().convert("RGB")), 0),
    "one bit.tiff": (encoded(one_bit(), "TIFF"), np.asarray(one_bit().convert("RGB")), 0),
}


@pytest.mark.parametrize("name", READ)
def test_an_unusual_picture_is_kept_and_looks_as_it_should(
    gather: Callable[..., Dataset], workspace: Workspace, photos: Path, name: str
) -> None:
    data, expected, most = READ[name]
    (photos / "dark" / name).write_bytes(data)
    dataset = gather(photos)
    assert skipped(dataset) == {}
    (example,) = [each for each in dataset.examples if each.path == f"dark/{name}"]
    stored = workspace.blobs_of("pets").get(example.sha256)
    spec = InputSpec("image", 64)
    sent = image.decode(data, spec).astype(int)
    kept = image.decode(stored, spec, orientation=example.orientation)
    assert np.array_equal(sent, kept)
    assert np.abs(sent - expected).mean() <= most


@pytest.mark.parametrize(
    "name", ["a.heic", "a.HEIF", "a.gif", "a.avif", "a.svg", "a.CR2", "a.nef", "a.dng", "a.psd"]
)
@pytest.mark.parametrize("source", ["folder", "zip", "table"])
def test_a_kind_that_is_not_read_is_never_called_stray(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path, name: str, source: str
) -> None:
    (photos / "dark" / name).write_bytes(b"anything")
    location = photos
    files = [path for path in sorted(photos.rglob("*")) if path.is_file()]
    if source == "zip":
        location = tmp_path / "photos.zip"
        with zipfile.ZipFile(location, "w") as opened:
            for path in files:
                opened.write(path, path.relative_to(photos))
    elif source == "table":
        location = photos / "table.csv"
        rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in files]
        location.write_text("\n".join(["path,label", *rows]))
    dataset = gather(location)
    kind = name.partition(".")[2].upper()
    assert skipped(dataset) == {f"dark/{name}": f"{kind} is not read; convert it to JPEG or PNG"}
    assert dataset.card["quality"]["stray"] == 0
    assert len(dataset.examples) == GOOD


def test_what_is_no_ordinary_file_is_named(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(jpeg(99))
    (photos / "dark/link.jpg").symlink_to(outside)
    (photos / "dark/nowhere.jpg").symlink_to(tmp_path / "nothing")
    (photos / "dark/itself.jpg").symlink_to("itself.jpg")
    (photos / "dark/folder").symlink_to(tmp_path)
    os.mkfifo(photos / "dark/pipe.jpg")
    (photos / "dark/huge.jpg").touch()
    os.truncate(photos / "dark/huge.jpg", 10**12)  # sparse: it takes no disk
    (photos / "dark/nested.zip").write_bytes(raw_zip([(b"cats/1.jpg", jpeg())]))
    dataset = gather(photos)
    assert skipped(dataset) == {
        "dark/link.jpg": "a symbolic link that leads out of the folder; copy the file instead",
        "dark/nowhere.jpg": "a symbolic link that leads out of the folder; copy the file instead",
        "dark/itself.jpg": "a symbolic link that leads to itself",
        "dark/folder": "a symbolic link that leads out of the folder; copy the file instead",
        "dark/pipe.jpg": "not a regular file",
        "dark/huge.jpg": "larger than 200 MB; save it smaller",
        "dark/nested.zip": "an archive inside; unpack it first",
    }
    assert len(dataset.examples) == GOOD


def test_a_file_that_vanishes_while_it_is_collected_is_named(
    gather: Callable[..., Dataset], photos: Path
) -> None:
    (photos / "dark/gone.jpg").write_bytes(jpeg(99))

    class Vanishing(Silent):
        def start(self, title: str, total: float | None = None) -> None:
            (photos / "dark/gone.jpg").unlink(missing_ok=True)

    dataset = gather(photos, progress=Vanishing())
    assert skipped(dataset) == {"dark/gone.jpg": "cannot be read: No such file or directory"}
    assert len(dataset.examples) == GOOD


def test_a_folder_and_a_file_that_may_not_be_read_are_named(
    gather: Callable[..., Dataset], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "dark/closed").mkdir()
    (photos / "dark/closed.jpg").write_bytes(jpeg(99))
    scandir, opened = os.scandir, os.open

    # Closed by hand: whoever runs the tests may be allowed to read everything.
    def refuse(path: str | Path) -> None:
        if Path(path).stem == "closed":
            raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as closed:
        closed.setattr(os, "scandir", lambda path: (refuse(path), scandir(path))[1])
        closed.setattr(
            os, "open", lambda path, *mode, **more: (refuse(path), opened(path, *mode, **more))[1]
        )
        dataset = gather(photos)
    assert skipped(dataset) == {
        "dark/closed": "a folder that cannot be read: Permission denied",
        "dark/closed.jpg": "cannot be read: Permission denied",
    }
    assert len(dataset.examples) == GOOD


def entries(photos: Path) -> list[tuple[bytes, bytes]]:
    return [
        (str(path.relative_to(photos)).encode(), path.read_bytes())
        for path in sorted(photos.rglob("*.jpg"))
    ]


ODD_ENTRIES = {
    b"../evil.jpg": OUT,
    b"dark/../../evil.jpg": OUT,
    b"/etc/evil.jpg": OUT,
    b"C:/evil.jpg": OUT,
    b"dark\\evil.jpg": "its name holds a backslash; zip it again with another program",
    b"..\\..\\evil.jpg": "its name holds a backslash; zip it again with another program",
    b"dark/000.jpg": "a second entry of the same name; rename one of them",
    b"dark/nested.zip": "an archive inside; unpack it first",
    b"dark/a\nb.jpg": "its name holds control characters; rename it",
    b"dark/x.jpg\0.txt": None,
    b"dark/" + b"x" * 60_000 + b".heic": "HEIC is not read; convert it to JPEG or PNG",
}


@pytest.mark.parametrize("name", ODD_ENTRIES)
def test_an_odd_entry_of_a_zip_is_named_and_nothing_is_written_by_it(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path, name: bytes
) -> None:
    location = tmp_path / "photos.zip"
    location.write_bytes(raw_zip([*entries(photos), (name, jpeg(99))]))
    dataset = gather(location)
    reason = ODD_ENTRIES[name]
    assert list(skipped(dataset).values()) == ([reason] if reason else [])
    assert len(dataset.examples) == GOOD
    assert not list(tmp_path.rglob("evil*"))
    assert b"\n" not in b"".join(path.encode() for path in skipped(dataset))


def test_entries_of_a_zip_that_share_their_data_are_unpacked_once(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path
) -> None:
    data = bytearray(raw_zip(entries(photos)))
    starts = [found.start() for found in re.finditer(b"PK\1\2", data)]
    first = struct.unpack_from("<I", data, starts[0] + 42)
    for start in starts[1:3]:
        struct.pack_into("<I", data, start + 42, *first)
    (tmp_path / "photos.zip").write_bytes(data)
    dataset = gather(tmp_path / "photos.zip")
    # The last of the three has another name than the data that it points to.
    assert len(skipped(dataset)) == 3
    assert len(dataset.examples) == GOOD - 3
    overlaps = [reason for reason in skipped(dataset).values() if "next entry" in reason]
    assert len(overlaps) == 2


def lying(photos: Path, size: int, of: str) -> bytes:
    """A zip whose first entry says of itself that it has this size, packed or unpacked."""
    data = bytearray(raw_zip(entries(photos)))
    at = {"packed": 18, "unpacked": 22}[of]
    struct.pack_into("<I", data, at, size)
    struct.pack_into("<I", data, data.index(b"PK\1\2") + at + 2, size)
    return bytes(data)


@pytest.mark.parametrize("of", ["packed", "unpacked"])
@pytest.mark.parametrize("size", [0, 10, 100_000, 4_000_000_000])
def test_a_zip_that_lies_about_a_size_loses_that_entry_alone(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path, of: str, size: int
) -> None:
    location = tmp_path / "photos.zip"
    location.write_bytes(lying(photos, size, of))
    dataset = gather(location)
    if skipped(dataset):
        ((path, reason),) = skipped(dataset).items()
        assert path == "dark/000.jpg"
        assert reason.startswith("damaged in the zip") or reason == "an empty file"
    assert len(dataset.examples) + len(skipped(dataset)) == GOOD


def test_a_zip_that_only_garbage_holds_is_closed(photos: Path, tmp_path: Path) -> None:
    location = tmp_path / "photos.zip"
    location.write_bytes(lying(photos, 10, "packed"))
    reading = {"endings": image.endings, "unsupported": image.unsupported}
    listing = ZipSource().list(location, label="", **reading)
    archive: Any = listing.examples[0].read.archive
    archive.circle = archive
    assert location in held_open()
    with warnings.catch_warnings(action="error"):
        del listing, archive
        gc.collect()
    assert location not in held_open()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda good: raw_zip([]), r"holds no class folders.*Zip one folder for each class"),
        (lambda good: raw_zip(good, flags=1), r"is encrypted.*Unpack it with its password"),
        (lambda good: raw_zip([(b"cats.zip", raw_zip(good))]), "holds no class folders"),
        (lambda good: raw_zip([(b"1.jpg", jpeg())]), "holds no class folders"),
        (lambda good: raw_zip([(b"../1.jpg", jpeg())]), OUT),
        (lambda good: raw_zip([(b"cats/1.zip", b"")]), "an archive inside; unpack it first"),
        (
            lambda good: raw_zip(good)[:-200],
            r"is a zip that is cut short or damaged.*Fetch it again",
        ),
        (lambda good: raw_zip([(b"cats/1.heic", HEIC)]), "HEIC is not read; convert it"),
        (lambda good: b"", "is a zip that is cut short or damaged"),
        (lambda good: b"hello", "is a zip that is cut short or damaged"),
    ],
)
def test_a_zip_of_which_nothing_can_be_used_is_a_clear_error(
    gather: Callable[..., Dataset],
    photos: Path,
    tmp_path: Path,
    make: Callable[[list[tuple[bytes, bytes]]], bytes],
    message: str,
) -> None:
    location = tmp_path / "photos.zip"
    location.write_bytes(make(entries(photos)))
    with pytest.raises(DataError, match=message) as raised:
        gather(location)
    assert raised.value.remedy


def test_a_zip_without_its_ending_that_is_cut_short_is_known_by_its_first_bytes(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path
) -> None:
    location = tmp_path / "photos.download"
    location.write_bytes(raw_zip(entries(photos))[:-200])
    with pytest.raises(DataError, match="is a zip that is cut short or damaged"):
        gather(location)


def test_what_is_none_of_ours_is_told_which_formats_are(
    gather: Callable[..., Dataset], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="or a CSV, TSV, JSONL or XLSX table"):
        gather(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"gone does not exist.*Check the path"),
        ("gone\0", "does not exist"),
        ("notes.txt/x", "does not exist"),
        ("x" * 300, r"xxx cannot be read: File name too long.*Check the path"),
        ("round", "round cannot be read: Too many levels of symbolic links"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_clear_error(
    gather: Callable[..., Dataset], tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(DataError, match=message):
        gather(tmp_path / name)


def test_a_zip_of_which_one_entry_is_encrypted_keeps_the_others(
    gather: Callable[..., Dataset], photos: Path, tmp_path: Path
) -> None:
    data = bytearray(raw_zip(entries(photos)))
    for start, at in ((0, 6), (data.index(b"PK\1\2"), 8)):
        data[start + at] |= 1
    (tmp_path / "photos.zip").write_bytes(data)
    dataset = gather(tmp_path / "photos.zip")
    assert skipped(dataset) == {"dark/000.jpg": "it is encrypted; unpack it with its password"}
    assert len(dataset.examples) == GOOD - 1
