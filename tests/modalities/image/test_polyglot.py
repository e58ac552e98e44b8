"""Files that are a picture and something else at once: what is kept of them is a picture alone."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image
from tests.corpus.makers import png_chunk
from tests.pictures import encoded, jpeg, noise

from mintage.core.registry import modalities
from mintage.modalities.image.screen import on_screen

HIDDEN = b"<script>alert(document.domain)</script>"
image = modalities().get("image")


def packed() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("index.html", HIDDEN)
    return stream.getvalue()


def webp() -> bytes:
    """A chunk of nobody's, and a zip behind what the header says is the end."""
    data = encoded(noise(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    more = b"HIDE" + struct.pack("<I", len(HIDDEN) + len(HIDDEN) % 2) + HIDDEN
    more += b"\0" * (len(HIDDEN) % 2)
    size = struct.unpack_from("<I", data, 4)[0] + len(more)
    return data[:4] + struct.pack("<I", size) + data[8:] + more + packed()


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(data: bytes) -> bytes:
    adobe = b"Adobe\0\x64\0\0\0\0\x01"
    hidden = segment(0xE7, HIDDEN) + segment(0xFE, HIDDEN)
    return data[:2] + segment(0xEE, adobe + HIDDEN) + segment(0xEE, HIDDEN) + hidden + data[2:]


FILES = {
    "a JPEG with a zip behind it": jpeg(0, (300, 200)) + packed(),
    "a JPEG with a page in its segments": with_segments(jpeg()),
    "a PNG with a zip behind it": encoded(noise(), "PNG") + packed(),
    "a PNG with a page in a chunk of its own": encoded(noise(), "PNG")[:33]
    + png_chunk(b"hiDe", HIDDEN)
    + png_chunk(b"tEXt", b"page\0" + HIDDEN)
    + encoded(noise(), "PNG")[33:],
    "a WebP with both": webp(),
    "a BMP with a zip behind it": encoded(noise(), "BMP") + packed(),
    "a TIFF with a zip behind it": encoded(noise(), "TIFF") + packed(),
}


def is_clean(data: bytes) -> bool:
    return HIDDEN not in data and b"PK\5\6" not in data and not zipfile.is_zipfile(io.BytesIO(data))


@pytest.mark.parametrize("what", FILES)
def test_what_is_stored_of_a_file_of_two_kinds_is_of_one(what: str) -> None:
    given = FILES[what]
    assert not is_clean(given)
    found = image.ingest(given)
    assert is_clean(found.data)
    with Image.open(io.BytesIO(given)) as before, Image.open(io.BytesIO(found.data)) as after:
        assert (np.asarray(before.convert("RGB")) == np.asarray(after.convert("RGB"))).all()


@pytest.mark.parametrize("what", FILES)
def test_what_is_shown_of_it_is_fresh_pixels(what: str) -> None:
    shown = on_screen(FILES[what])
    assert is_clean(shown)
    with Image.open(io.BytesIO(shown)) as seen:
        assert seen.format == "JPEG"
