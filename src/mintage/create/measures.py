"""What can be measured of a picture without knowing what it shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mintage.core import registry
from mintage.core.messages import _
from mintage.core.parallel import in_order
from mintage.core.progress import Progress
from mintage.core.types import Example, InputSpec
from mintage.create import arrays
from mintage.create.dataset import Dataset
from mintage.modalities.image.reading import open_picture
from mintage.modalities.image.similarity import fingerprint
from mintage.store.workspace import Workspace

_ALGORITHM = "measures-v2"
_SIDE = 32
_SEEMS_BLANK, _CLOSER = 0.03, 512  # fine grain is not seen at 32 px: such pictures are seen larger
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class Measures:
    """Of N pictures, in the order of the dataset; light is in parts of its whole range."""

    width: NDArray[np.int64]  # [N] pixels, as the picture is seen upright
    height: NDArray[np.int64]  # [N]
    brightness: NDArray[np.float32]  # [N] mean of luminance, 0 to 1
    contrast: NDArray[np.float32]  # [N] its standard deviation, where low that of fine grain too
    size_bytes: NDArray[np.int64]  # [N]
    formats: NDArray[np.str_]  # [N]
    marks: NDArray[np.uint8]  # [N, 32] what near duplicates share
    mirrored: NDArray[np.uint8]  # [N, 32] the same of the mirror image


def measured(workspace: Workspace, dataset: Dataset, progress: Progress) -> Measures | None:
    """Read every picture once; None where the dataset holds no pictures.

    Raises:
        SignatureMismatch: a stored picture is not what its name says.
    """
    if dataset.card["modality"] != "image":
        return None
    path = arrays.place(workspace, dataset, _ALGORITHM)
    found = arrays.read(path)
    if found is None or len(found.get("brightness", ())) != len(dataset.examples):
        found = _computed(workspace, dataset, progress)
        if workspace.refusal is None:
            arrays.write(path, found)
    sides = np.array([upright(example) for example in dataset.examples], dtype=np.int64)
    return Measures(width=sides[:, 0], height=sides[:, 1], **found)  # type: ignore[arg-type]


def upright(example: Example) -> tuple[int, int]:
    """Width and height as the picture is seen: from 5 on EXIF's orientation turns it."""
    width, height = example.size
    return (width, height) if example.orientation < 5 else (height, width)


def _computed(workspace: Workspace, dataset: Dataset, progress: Progress) -> arrays.Arrays:
    kind = registry.modalities().get("image")
    spec, large = InputSpec("image", _SIDE), InputSpec("image", _CLOSER)
    count = len(dataset.examples)
    light = np.zeros((count, 2), dtype=np.float32)
    sizes = np.zeros(count, dtype=np.int64)
    marks = np.zeros((2, count, 32), dtype=np.uint8)
    formats = [""] * count

    blobs = workspace.blobs_of(dataset.name)

    def look(position: int) -> None:
        example = dataset.examples[position]
        data = blobs.get(example.sha256)
        with open_picture(data) as image:
            formats[position] = "JPEG" if image.format == "MPO" else str(image.format)
        gray = kind.decode(data, spec, orientation=example.orientation) @ _LUMINANCE
        spread = gray.std() / 255
        if spread < _SEEMS_BLANK:
            closer = kind.decode(data, large, orientation=example.orientation) @ _LUMINANCE
            spread = max(spread, closer.std() / 255)
        light[position] = gray.mean() / 255, spread
        sizes[position] = len(data)
        for mirrored, seen in enumerate((gray, gray[:, ::-1])):
            marks[mirrored, position] = np.frombuffer(fingerprint(seen), np.uint8)

    for __ in in_order(_("Looking at the pictures"), range(count), look, progress):
        pass
    return {
        "brightness": light[:, 0],
        "contrast": light[:, 1],
        "size_bytes": sizes,
        "formats": np.array(formats),
        "marks": marks[0],
        "mirrored": marks[1],
    }
