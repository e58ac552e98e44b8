"""More pictures than there are: cropped by a few pixels, turned, re-encoded.

A crop alone leaves a near duplicate, which collecting finds and lists; among the eight symmetries
of a rectangle no two have a perceptual hash in common, and so none of these pictures has.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.stopwatch import class_files

_SYMMETRIES = (None, *Image.Transpose)
_MOST_CROPPED = 8
_QUALITY = 85


@dataclass(frozen=True)
class Folders:
    """Folders of class folders, by their number of pictures, and one to warm up with."""

    folders: dict[int, Path]
    warm_up: Path


def make(source: Path, folder: Path, counts: Sequence[int], warm_up: int) -> Folders:
    """Each folder holds what the smaller ones hold; the last has nothing in common with them.

    Raises:
        ValueError: more are wanted than there are symmetries of what there is.
    """
    files = class_files(source)
    random.Random(0).shuffle(files)
    total = max(counts) + warm_up
    if total > len(files) * len(_SYMMETRIES):
        raise ValueError(f"{len(files)} pictures cannot become {total}")
    pool = folder / "pool"
    pool.mkdir(parents=True)

    def one(number: int) -> tuple[Path, str]:
        path, __ = files[number % len(files)]
        made = pool / f"{number:06}.jpg"
        write_variant(path, made, number // len(files), seed=number)
        return made, path.parent.name

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        made = list(workers.map(one, range(total)))
    return Folders(
        {count: _linked(made[:count], folder / str(count)) for count in counts},
        _linked(made[max(counts) :], folder / "warm-up"),
    )


def write_variant(source: Path, target: Path, symmetry: int, seed: int) -> None:
    """1 to 8 pixels off each edge, then one of the eight symmetries, then JPEG."""
    chance = random.Random(seed)
    left, top, right, bottom = (chance.randint(1, _MOST_CROPPED) for __ in range(4))
    with Image.open(source) as image:
        box = (left, top, image.width - right, image.height - bottom)
        changed = image.convert("RGB").crop(box)
    turn = _SYMMETRIES[symmetry]
    (changed if turn is None else changed.transpose(turn)).save(target, "JPEG", quality=_QUALITY)


def _linked(made: Sequence[tuple[Path, str]], folder: Path) -> Path:
    for path, label in made:
        (folder / label).mkdir(parents=True, exist_ok=True)
        os.link(path, folder / label / path.name)
    return folder
