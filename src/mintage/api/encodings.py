"""Bodies that come compressed (RFC 9110, section 8.4.1): bounded by what they become."""

from __future__ import annotations

import zlib

_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
CODINGS = tuple(_WINDOWS)
"""What ``Content-Encoding`` may say, beside ``identity``."""


class TooLarge(Exception):
    """It would become more than it may."""


def decompressed(body: bytes, coding: str, most_bytes: int) -> bytes:
    """What a body of one of the ``CODINGS`` holds; never more than ``most_bytes`` are unpacked.

    Raises:
        TooLarge: it holds more.
        ValueError: it is not of that coding, is cut short, or something follows it.
    """
    unpacker = zlib.decompressobj(_WINDOWS[coding])
    try:
        found = unpacker.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(found) > most_bytes:
        raise TooLarge
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("not one whole stream")
    return found
