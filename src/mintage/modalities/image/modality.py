"""Pictures behind the protocol that every kind of data follows."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import Ingested, InputSpec
from mintage.modalities.image import foreign, similarity, strip
from mintage.modalities.image.reading import (
    REMEDY_DAMAGED,
    decode_square,
    encode_png,
    open_picture,
    orientation_of,
    plain_jpeg,
    thumbnail_gray,
    turn_of,
)
from mintage.modalities.image.strangers import strangers

_STRIP = {
    "JPEG": strip.strip_jpeg,
    "MPO": strip.strip_jpeg,
    "PNG": strip.strip_png,
    "WEBP": strip.strip_webp,
}
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


class ImageModality:
    """JPEG, PNG, WebP, BMP and TIFF."""

    name = "image"
    unit = "image"
    endings = frozenset(
        {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"}
    )
    unsupported = foreign.ENDINGS
    duplicate_algorithm = similarity.ALGORITHM

    def ingest(self, data: bytes, *, fingerprint: bool = True) -> Ingested:
        """Check, strip, and decode once at low scale: for the fingerprint, and to find damage.

        Without the fingerprint nothing is decoded, unless it cannot be stripped otherwise.

        Raises:
            DataError: the reason why these bytes cannot be kept.
        """
        frame = plain_jpeg(data)
        if frame is not None:
            kind, orientation = "JPEG", turn_of(data, frame)
            stored, size = _stripped(kind, data), (frame.width, frame.height)
        else:
            kind, orientation, stored, size = _by_pillow(data)
        return Ingested(
            data=stored,
            properties={
                "width": size[0],
                "height": size[1],
                "orientation": orientation,
                "format": "JPEG" if kind == "MPO" else kind,
            },
            fingerprint=self.fingerprint(stored, orientation=orientation) if fingerprint else b"",
        )

    def without_metadata(self, data: bytes) -> tuple[str, bytes]:
        """``.jpg``, ``.png`` or ``.webp``, and the stored bytes with how they are held.

        A JPEG keeps its compressed pixels and gets an orientation of its own; what else is held
        otherwise than upright is encoded anew, as PNG.

        Raises:
            DataError: the reason why these bytes cannot be kept.
        """
        found = self.ingest(data, fingerprint=False)
        kind, orientation = found.properties["format"], found.properties["orientation"]
        if orientation == 1:
            return _ENDINGS.get(kind, ".png"), found.data
        if kind == "JPEG":
            return ".jpg", strip.turned_jpeg(found.data, orientation)
        with open_picture(data) as image:
            return ".png", encode_png(image)

    def fingerprint(self, data: bytes, *, orientation: int | None = None) -> bytes:
        """The perceptual hash of one picture, upright.

        Raises:
            DataError: the bytes are no picture that may be read.
        """
        gray = thumbnail_gray(data, similarity.THUMBNAIL_SIDE, orientation)
        return similarity.fingerprint(gray)

    def decode(
        self, data: bytes, spec: InputSpec, *, orientation: int | None = None
    ) -> NDArray[np.uint8]:
        """uint8[side, side, 3] for one picture.

        Raises:
            DataError: the bytes are no picture that may be read.
        """
        return decode_square(data, spec.side, orientation)

    def strangers(self, spec: InputSpec) -> Sequence[NDArray[np.uint8]]:
        """Scenes, drawings, gradients and noise, made from a seed; no photograph is shipped."""
        return strangers(spec.side)

    def near_duplicates(self, fingerprints: Sequence[bytes]) -> list[tuple[int, int]]:
        """Pairs of positions of pictures that are nearly the same."""
        return similarity.near_duplicates(fingerprints)


def _by_pillow(data: bytes) -> tuple[str, int, bytes, tuple[int, int]]:
    """Kind, orientation, the bytes to store and the size of a picture."""
    with open_picture(data) as image:
        kind = image.format or ""
        orientation = orientation_of(image)
        if kind not in _STRIP:
            stored, orientation = encode_png(image), 1
    if kind in _STRIP:
        stored = _stripped(kind, data)
    with open_picture(stored) as image:
        return kind, orientation, stored, image.size


def _stripped(kind: str, data: bytes) -> bytes:
    try:
        return _STRIP[kind](data)
    except (struct.error, IndexError) as error:
        raise DataError(
            _("a {kind} that is cut short or damaged", kind=kind), remedy=REMEDY_DAMAGED
        ) from error
