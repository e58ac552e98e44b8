"""Whether a file can hold as many pixels as its header announces.

Decoders fill what is missing with grey or black and say nothing, as long as the data ends in good
order; and a file of 1 kB that announces 64 megapixels costs as much to decode as one that has them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_PNG_START = 8
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Adam7: first column and row of each pass, and the steps between them (W3C PNG, section 8.1).
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)
_INFLATED_AT_ONCE = 1 << 20
_FEWEST_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
"""Of a block in a JPEG with Huffman codes, by its kind: one for its first coefficient, and where
the others are in the same scan, one that ends them (ITU-T T.81, F.1.2)."""


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
    position = 2
    while data[position] == 0xFF and data[position + 1] != 0xDA:
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        if marker in _FEWEST_BITS:
            blocks = _jpeg_blocks(data, position + 4)
            return blocks * _FEWEST_BITS[marker] > 8 * (len(data) - position)
        position += 2 + length
    return False


def _jpeg_blocks(data: bytes, frame: int) -> int:
    """Blocks of 8 × 8 in all components (ITU-T T.81, A.1.1 and B.2.2)."""
    height, width, components = struct.unpack_from(">HHB", data, frame + 1)
    sampling = [data[frame + 7 + 3 * number] for number in range(components)]
    widest, tallest = max(each >> 4 for each in sampling), max(each & 15 for each in sampling)
    return sum(
        -(-width * (each >> 4) // (8 * widest)) * -(-height * (each & 15) // (8 * tallest))
        for each in sampling
    )
