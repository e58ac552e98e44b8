"""Files as strangers send them, made byte by byte: no library would write most of these."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
SHEET = "xl/worksheets/sheet1.xml"


def raw_zip(entries: Sequence[tuple[bytes, bytes]], *, flags: int = 0, extra: bytes = b"") -> bytes:
    """A zip of stored entries whose names are exactly these bytes."""
    body, directory = b"", b""
    for name, data in entries:
        shared = struct.pack(
            "<HHHHHIIIHH",
            *(20, flags, 0, 0, 0x21, zlib.crc32(data)),
            *(len(data), len(data), len(name), len(extra)),
        )
        directory += b"PK\1\2\x14\0" + shared + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += name + extra
        body += b"PK\3\4" + shared + name + extra + data
    count = len(entries)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def unicode_path(raw: bytes, name: str) -> bytes:
    """Info-ZIP's Unicode Path field for an entry whose plain name is ``raw``."""
    field = struct.pack("<BL", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


def png(width: int, height: int, depth: int, colour: int, pixels: bytes, *more: bytes) -> bytes:
    """A PNG with this header and this (unfiltered) image data, whether they agree or not."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IDAT", zlib.compress(pixels, 9))
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    return start + b"".join(more) + body + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def jpeg_of_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header says another size than its data have."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def xlsx(rows: str, parts: Mapping[str, str] | None = None) -> bytes:
    """A workbook of one sheet with these rows in SpreadsheetML, or with other parts."""
    written = {
        "[Content_Types].xml": "<Types "
        'xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs count="2">'
        '<xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        SHEET: f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>',
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in (written | dict(parts or {})).items():
            opened.writestr(name, text)
    return stream.getvalue()


def sheet_rows(rows: Sequence[Sequence[str | float]]) -> str:
    """SpreadsheetML of these rows, from A1 on."""
    return "".join(
        f'<row r="{number}">{"".join(map(_cell, row))}</row>' for number, row in enumerate(rows, 1)
    )


def _cell(content: str | float) -> str:
    if isinstance(content, str):
        return f'<c t="inlineStr"><is><t>{content}</t></is></c>'
    return f"<c><v>{content}</v></c>"
