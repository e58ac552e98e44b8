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
_SEGMENTS = frozenset({*range(0xC0, 0xFF)} - {*range(0xD0, 0xDA)})
"""Markers that a length follows. Restarts, SOI and EOI have none, nor has 0xFF, which fills up."""
_FRAMES = range(0xC0, 0xD0)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)  # Huffman tables, reserved, arithmetic conditioning
_FEWEST_BITS = {0xC0: 2, 0xC1: 2, 0xC2: 1}
"""Of a block of 8 × 8, by the kind of frame that cameras write (baseline, extended, progressive,
all with Huffman codes): one for its first coefficient, and where the others are in the same scan,
one that ends them (ITU-T T.81, F.1.2)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands before the first scan of a JPEG (ITU-T T.81, B.2.2).

    ``sampling`` has a byte a component, ``position`` is where the frame's own segment begins,
    ``tagged`` says whether there is any metadata from which Pillow might read an orientation, and
    ``complete`` whether a scan follows.
    """

    kind: int
    precision: int
    width: int
    height: int
    sampling: tuple[int, ...]
    position: int
    tagged: bool
    complete: bool

    @property
    def is_grey(self) -> bool:
        """Whether there is one component alone."""
        return len(self.sampling) == 1

    @property
    def is_ordinary(self) -> bool:
        """Whether it is what cameras write: eight bits, grey or three colours, Huffman codes."""
        return (
            self.complete
            and self.kind in _FEWEST_BITS
            and self.precision == 8
            and len(self.sampling) in (1, 3)
            and min(self.width, self.height) > 0
        )

    def needs_more_than(self, data: bytes) -> bool:
        """Whether these bytes are certainly too few for the blocks that are announced."""
        each = _FEWEST_BITS.get(self.kind, 0)
        return self._blocks() * each > 8 * (len(data) - self.position)

    def _blocks(self) -> int:
        """Blocks of 8 × 8 in all components (ITU-T T.81, A.1.1)."""
        widest = max((each >> 4 for each in self.sampling), default=0)
        tallest = max((each & 15 for each in self.sampling), default=0)
        if not widest or not tallest:
            return 0  # the decoder says it in its own words
        return sum(
            -(-self.width * (each >> 4) // (8 * widest))
            * -(-self.height * (each & 15) // (8 * tallest))
            for each in self.sampling
        )


def frame_of(data: bytes) -> Frame | None:
    """The frame that these bytes announce; None where they are no JPEG or announce none."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    position, start, tagged, complete = 2, 0, False, False
    try:
        while data[position] == 0xFF and not complete:
            marker, length = data[position + 1], data[position + 2] << 8 | data[position + 3]
            if marker not in _SEGMENTS or length < 2:
                break  # libjpeg would go on elsewhere: what comes next is not what it would read
            complete = marker == _START_OF_SCAN
            tagged |= marker == _APP1
            if not start and marker in _FRAMES and marker not in _NO_FRAMES:
                start = position
            position += 2 + length
    except IndexError:
        pass  # what was found so far says enough of a file that is cut short
    if not start:
        return None
    try:
        precision, height, width, count = struct.unpack_from(">BHHB", data, start + 4)
        sampling = tuple(data[start + 11 + 3 * number] for number in range(count))
    except (struct.error, IndexError):
        return None
    return Frame(data[start + 1], precision, width, height, sampling, start, tagged, complete)


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
