"""Small pictures for tests, made from a seed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def noise(seed: int = 0, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A smooth random picture: no two seeds look alike, and compression hardly changes it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (14, 14, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(seed: int = 0, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    return encoded(noise(seed, size), **options)


def two_classes(folder: Path, each: int = 20, size: tuple[int, int] = (40, 30)) -> Path:
    """A folder that a network can learn: ``dark`` below, ``light`` above the middle."""
    for label, shift in (("dark", 0.35), ("light", 1.0)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            seed = number + (1000 if label == "light" else 0)
            pixels = np.asarray(noise(seed, size), dtype=np.float64) * shift
            pixels += 60 if label == "light" else 0
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            (folder / label / f"{number:03}.jpg").write_bytes(encoded(image, quality=92))
    return folder
