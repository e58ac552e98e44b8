"""Whether a file can hold as many pixels as its header announces.

Decoders fill what is missing with grey or black and say nothing, as long as the data ends in good
order; and a file of 1 kB that announces 64 megapixels costs as much to decode as one that has them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from mintage.modalities.image import jpeg

_PNG_START = 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column and row of each pass, and the steps between them (W3C PNG, section 8.1).
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
_INFLATED_AT_ONCE = 1 << 20


def is_too_short(kind: str, data: bytes) -> bool:
    """Whether there is certainly less data than pixels; damage of other kinds is not looked for."""
    try:
        if kind == "PNG":
            return _png_is_short(data)
        return kind in ("JPEG", "MPO") and _jpeg_is_short(data)
    except (struct.error, LookupError, ValueError, ArithmeticError, StopIteration, zlib.error):
        return False  # the decoder says it in its own words


def _png_is_short(data: bytes) -> bool:
    chunks = _png_chunks(data)
    __, header = next(chunks)
    width, height, depth, colour, __, __, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _PNG_CHANNELS[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        missing += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    inflate = zlib.decompressobj()
    for kind, body in chunks:
        waiting = body if kind == b"IDAT" else b""
        while waiting and missing > 0:
            missing -= len(inflate.decompress(waiting, _INFLATED_AT_ONCE))
            waiting = inflate.unconsumed_tail
    return missing > 0 and inflate.eof


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = _PNG_START
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def _jpeg_is_short(data: bytes) -> bool:
    frame = jpeg.frame_of(data)
    return frame is not None and frame.needs_more_than(data)
