"""Metadata removed from a picture's file with the compressed pixels left as they are.

Photographs carry places, names, thumbnails and colour profiles. What is kept is only what a
decoder needs; whatever cannot be cut out so is re-encoded to PNG by the caller.
"""

from __future__ import annotations

import re
import struct

from mintage.core.errors import DataError
from mintage.core.messages import _

_MARKER_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_WEBP_KEPT = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH"}
_APP14, _ADOBE = 0xEE, b"Adobe"
_ADOBE_BYTES = 12  # its version, two flags and the colour transform; more would be a hiding place
_WEBP_FLAGS_DROPPED = 0x20 | 0x08 | 0x04  # ICC profile, EXIF, XMP (WebP container, VP8X)


def strip_jpeg(data: bytes) -> bytes:
    """Without APPn but APP14 (it says which colour transform), COM, and what follows EOI.

    Source: ITU-T T.81, annex B.
    """
    kept = [b"\xff\xd8"]
    position = 2
    while position < len(data):
        marker, start = _next_marker(data, position)
        if marker == 0xD9:
            kept.append(b"\xff\xd9")
            return b"".join(kept)
        (length,) = struct.unpack_from(">H", data, start)
        if length < 2:
            raise DataError(_("a JPEG segment with an impossible length"))
        end = start + length
        if marker == 0xDA:
            end = _end_of_scan(data, end)
        if marker == _APP14:
            kept.append(_adobe(data[start + 2 : end]))
        elif not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[start - 2 : end])
        position = end
    # No EOI: the file is cut short; the decoder says so in its own words.
    return b"".join(kept)


def _adobe(body: bytes) -> bytes:
    if not body.startswith(_ADOBE) or len(body) < _ADOBE_BYTES:
        return b""
    return b"\xff\xee" + struct.pack(">H", _ADOBE_BYTES + 2) + body[:_ADOBE_BYTES]


def _next_marker(data: bytes, position: int) -> tuple[int, int]:
    if data[position] != 0xFF:
        raise DataError(_("a JPEG with a damaged segment"))
    while position < len(data) and data[position] == 0xFF:
        position += 1
    # Behind a marker stand two bytes of length; behind EOI nothing.
    if position + 3 > len(data) and data[position : position + 1] != b"\xd9":
        raise DataError(_("a JPEG that is cut short"))
    return data[position], position + 1


def _end_of_scan(data: bytes, position: int) -> int:
    """Where the next marker begins; inside a scan 0xFF is followed by 0 or a restart marker."""
    found = _MARKER_AFTER_SCAN.search(data, position)
    return found.start() if found else len(data)


def turned_jpeg(data: bytes, orientation: int) -> bytes:
    """A stripped JPEG with an EXIF segment that says how it is held, and nothing else.

    Source: CIPA DC-008 (Exif 2.32), sections 4.5 and 4.6.
    """
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def strip_png(data: bytes) -> bytes:
    """Only the chunks that make the picture.

    Source: W3C PNG specification, third edition, section 5.
    """
    kept = [_PNG_SIGNATURE]
    position = len(_PNG_SIGNATURE)
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if kind in _PNG_KEPT:
            kept.append(data[position:end])
        position = end
        if kind == b"IEND":
            break
    return b"".join(kept)


def strip_webp(data: bytes) -> bytes:
    """Only the chunks that make the picture, without the flags that announce any other.

    Source: RFC 9649, section 2.
    """
    kept = []
    position, last = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= last:
        kind = data[position : position + 4]
        (length,) = struct.unpack_from("<I", data, position + 4)
        end = position + 8 + length + (length & 1)
        if kind == b"VP8X" and length >= 10 and end <= len(data):
            flags = data[position + 8] & ~_WEBP_FLAGS_DROPPED
            kept.append(data[position : position + 8] + bytes([flags]) + data[position + 9 : end])
        elif kind in _WEBP_KEPT:
            kept.append(data[position:end])
        position = end
    body = b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
