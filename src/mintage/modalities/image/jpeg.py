"""JPEG by the shortest way: from the file's bytes to pixels, at the smallest eighth that will do.

libjpeg-turbo reads the bytes where they lie and writes an array, where Pillow opens a stream and
decodes it piece by piece into an image: a fifth to a third less time for a photograph. Pillow as it
is published decodes by libjpeg-turbo too, so that the pixels are the same; whatever is out of the
ordinary is left to it, since it knows what to say of that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

_SCALES = (8, 4, 2, 1)
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_FRAMES = range(0xC0, 0xD0)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # Huffman tables, reserved, arithmetic conditioning
_ORDINARY = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive: all with Huffman codes


@dataclass(frozen=True)
class Frame:
    """What stands before the first scan of a JPEG (ITU-T T.81, B.2.2).

    ``sampling`` has a byte a component, ``position`` is where the frame's own segment begins, and
    ``tagged`` says whether there is any metadata from which Pillow might read an orientation.
    """

    kind: int
    precision: int
    width: int
    height: int
    sampling: tuple[int, ...]
    position: int
    tagged: bool

    @property
    def is_grey(self) -> bool:
        """Whether there is one component alone."""
        return len(self.sampling) == 1

    @property
    def is_ordinary(self) -> bool:
        """Whether it is what cameras write: eight bits, grey or three colours, Huffman codes."""
        return (
            self.kind in _ORDINARY
            and self.precision == 8
            and len(self.sampling) in (1, 3)
            and min(self.width, self.height) > 0
        )


def frame_of(data: bytes) -> Frame | None:
    """The frame that these bytes announce; None where they are no JPEG or are damaged."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    position, tagged, found = 2, False, None
    try:
        while data[position] == 0xFF and data[position + 1] != _START_OF_SCAN:
            marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
            tagged |= marker == _APP1
            if found is None and marker in _FRAMES and marker not in _NO_FRAMES:
                found = (marker, position)
            position += 2 + length
        if found is None or data[position] != 0xFF:
            return None
        marker, start = found
        precision, height, width, count = struct.unpack_from(">BHHB", data, start + 4)
        sampling = tuple(data[start + 11 + 3 * number] for number in range(count))
    except (struct.error, IndexError):
        return None
    return Frame(marker, precision, width, height, sampling, start, tagged)


def scale_for(width: int, height: int, least: float) -> int:
    """The largest of 8, 4, 2 and 1 by which both sides may be divided and be ``least`` or more."""
    shorter = min(width, height)
    return next((scale for scale in _SCALES if shorter >= least * scale), 1)


def pixels(data: bytes, frame: Frame, least: float, *, grey: bool) -> NDArray[np.uint8] | None:
    """uint8[H, W, 3], or [H, W] in grey; None where the decoder has anything to complain of."""
    scale = scale_for(frame.width, frame.height, least)
    try:
        found: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            "GRAY" if grey else "RGB",
            min_height=-(-frame.height // scale),
            min_width=-(-frame.width // scale),
        )
    except ValueError:
        return None
    return found[:, :, 0] if grey else found
