"""Real files with something done to them: each is read, or refused with a reason."""

from __future__ import annotations

import io
import os
import random
import resource
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from tests.corpus.makers import png, sheet_rows, xlsx
from tests.pictures import encoded, jpeg, noise, two_classes

from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.core.types import InputSpec
from mintage.sources.location import attempt, list_source

ROUNDS = 20 * int(os.environ.get("MINTAGE_ROUNDS", "10"))
image = modalities().get("image")
ROWS = [["path", "label"], *(([f"../photos/{each}/000.jpg", each]) for each in ("dark", "light"))]


def zipped(folder: Path, method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        for path in sorted(folder.rglob("*.jpg")):
            opened.write(path, path.relative_to(folder.parent))
    return stream.getvalue()


def mutated(chance: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for __ in range(chance.choice((1, 1, 2, 4, 8))):
        # A zip is led astray by its end, most others by their beginning.
        at = chance.choice((chance.randrange(len(data)), -1 - chance.randrange(200)))
        at %= len(data)
        match chance.randrange(5):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice(b"\x00\x01\x7f\x80\xff/\\.:\n\"',;")
            case 2:
                del data[at : at + chance.randrange(1, 64)]
            case 3:
                data[at:at] = data[at : at + chance.randrange(1, 64)]
            case _:
                data[at : at + 4] = struct.pack("<I", chance.choice((0, 1, 2**31, 2**32 - 1)))
        if not data:
            return b"x"
    return bytes(data)


@pytest.mark.parametrize("kind", ["zip", "deflated.zip", "csv", "jsonl", "xlsx", "tsv"])
def test_a_mutated_source_is_read_or_refused_and_writes_nothing(kind: str, tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=2, size=(16, 12))
    whole = {
        "zip": lambda: zipped(photos, zipfile.ZIP_STORED),
        "deflated.zip": lambda: zipped(photos, zipfile.ZIP_DEFLATED),
        "csv": lambda: "\n".join(map(",".join, ROWS)).encode(),
        "tsv": lambda: "\n".join(map("\t".join, ROWS)).encode("utf-16"),
        "jsonl": lambda: b'{"path": "../photos/dark/000.jpg", "label": "dark"}\n' * 3,
        "xlsx": lambda: xlsx(sheet_rows(ROWS)),
    }[kind]()
    folder = tmp_path / "in"
    folder.mkdir()
    location, chance = folder / f"given.{kind}", random.Random(kind)
    location.write_bytes(whole)
    assert list_source(location, image, "label")[1].examples
    refused = 0
    for __ in range(ROUNDS):
        location.write_bytes(mutated(chance, whole))
        try:
            __, listing = list_source(location, image, "label")
        except DataError as error:
            refused += bool(error.remedy)
            continue
        for found in listing.examples:
            attempt(found, image.ingest)
    assert refused
    assert [each.name for each in folder.iterdir()] == [location.name]


def test_a_tar_in_a_zip_and_a_zip_in_a_zip_are_named_and_not_looked_into(tmp_path: Path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("../../evil.jpg"))
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as opened_inner:
        opened_inner.writestr("../../evil.jpg", jpeg())
    location = tmp_path / "in" / "photos.zip"
    location.parent.mkdir()
    with zipfile.ZipFile(location, "w") as outer:
        outer.writestr("cats/1.jpg", jpeg())
        outer.writestr("dogs/1.jpg", jpeg(1))
        outer.writestr("dogs/more.zip", inner.getvalue())
        outer.writestr("dogs/more.tar", tar.getvalue())
        outer.writestr("dogs/more.jpg", inner.getvalue())
        outer.writestr("dogs/tar.jpg", tar.getvalue())
    __, listing = list_source(location, image, "label")
    assert {each.path: str(each.reason) for each in listing.skipped} == {
        "dogs/more.zip": "an archive inside; unpack it first",
        "dogs/more.tar": "an archive inside; unpack it first",
    }
    made = {each.path: attempt(each, image.ingest) for each in listing.examples}
    assert "but a zip" in str(made["dogs/more.jpg"])
    assert "but a tar" in str(made["dogs/tar.jpg"])
    assert len(list(tmp_path.rglob("*"))) == 2


def announced(kind: str, width: int, height: int) -> bytes:
    """A small file of this kind whose header says another size than it has."""
    if kind == "PNG":
        return png(width, height, 8, 6, b"\0" * 100)
    data = bytearray(encoded(noise(0, (40, 30)).convert("RGBA" if kind == "WEBP" else "RGB"), kind))
    match kind:
        case "JPEG":
            struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
        case "BMP":
            struct.pack_into("<ii", data, 18, width, height)
        case "TIFF":
            for tag, value in ((256, width), (257, height)):
                at = data.index(struct.pack("<H", tag) + struct.pack("<H", 4))
                struct.pack_into("<I", data, at + 8, value)
        case "WEBP":
            more = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0"
            more += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
            data = data[:12] + more + data[12:]
            struct.pack_into("<I", data, 4, len(data) - 8)
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("size", [(9000, 9000), (16383, 16383), (65000, 65000)])
def test_what_a_header_announces_is_refused_before_it_is_in_memory(
    kind: str, size: tuple[int, int]
) -> None:
    try:
        data = announced(kind, *size)
    except ValueError as error:
        pytest.skip(f"Pillow writes its {kind} otherwise: {error}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError):
        image.decode(data, InputSpec("image", 28))
    with pytest.raises(DataError):
        image.ingest(data)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown} kB for {len(data)} bytes"
