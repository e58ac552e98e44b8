"""What ordinary damage does to the answers: blur, noise, compression, too much or little light.

Pictures are damaged at the size that the network takes, so a blur is one of the picture as a
whole, whatever its size was. The kinds are those of Hendrycks and Dietterich 2019 ("Benchmarking
neural network robustness to common corruptions"), at strengths that cameras and messengers cause.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mintage.core import registry
from mintage.create.answers import Answers, ask
from mintage.tasks.metrics import paired_interval, wilson_interval

MOST, FEWEST = 200, 50
"""Test examples that are damaged, spread evenly over their groups, whose names are digests."""

Pixels = NDArray[np.uint8]


def blurred(images: Pixels, radius: float) -> Pixels:
    """A Gaussian blur; ``radius`` is its deviation in parts of the side."""
    change = ImageFilter.GaussianBlur(radius * images.shape[1])
    return np.stack([np.asarray(Image.fromarray(each).filter(change)) for each in images])


def noisy(images: Pixels, deviation: float) -> Pixels:
    """Gaussian noise of a deviation in parts of the whole range, for each value by itself."""
    chance = np.random.default_rng(0)  # one picture after another: noise takes four times its place
    changed = np.empty_like(images)
    for each, pixels in zip(changed, images, strict=True):
        noise = chance.standard_normal(pixels.shape, np.float32) * (255 * deviation)
        each[...] = np.clip(np.rint(pixels + noise), 0, 255)
    return changed


def compressed(images: Pixels, quality: float) -> Pixels:
    """Saved as JPEG and read again."""
    return np.stack([_through_jpeg(each, int(quality)) for each in images])


def _through_jpeg(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream, formats=["JPEG"]) as image:
        return np.asarray(image)


def lit(images: Pixels, factor: float) -> Pixels:
    """As with so many times the light; what would be brighter than white is white."""
    levels = np.clip(np.rint(np.arange(256) * factor), 0, 255).astype(np.uint8)
    return np.asarray(levels[images])


_KINDS: dict[str, tuple[Callable[[Pixels, float], Pixels], list[float]]] = {
    "blur": (blurred, [0.005, 0.01, 0.02]),
    "noise": (noisy, [0.04, 0.08, 0.16]),
    "jpeg": (compressed, [50, 25, 10]),
    "darker": (lit, [0.7, 0.5, 0.3]),
    "brighter": (lit, [1.4, 2.0, 3.0]),
}
SETTINGS = [(kind, strength) for kind, (__, strengths) in _KINDS.items() for strength in strengths]
"""Each kind with its strengths, the mildest first."""


def damaged(images: Pixels, kind: str, strength: float) -> Pixels:
    """uint8[N, S, S, 3] of which each is damaged; the same each time."""
    return _KINDS[kind][0](images, strength)


def robustness(
    test: Answers, most: int = MOST, before_each: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Accuracy, and the share that would get no label, under each kind of damage, as JSON.

    At ``most`` so many test examples are damaged; ``in_full`` says whether those are as many as
    there would be with time enough.

    ``fall`` is the accuracy lost, with Tango's interval for pairs. ``worst`` is the kind with the
    largest mean fall over its strengths, or None where no fall is more than chance explains
    (intervals as wide as so many comparisons ask for; Bonferroni). ``before_each`` is called
    before each setting, and may raise to end it all.
    """
    __, first = np.unique(test.groups, return_index=True)  # of near duplicates one counts
    meant = min(MOST, len(first))
    chosen = first[np.unique(np.linspace(0, len(first) - 1, most).astype(np.intp))]
    images = test.images[test.positions[chosen]]
    targets, correct = test.targets[chosen], test.correct[chosen]
    strict = NormalDist().inv_cdf(1 - 0.025 / len(SETTINGS))
    task = registry.tasks().get(test.manifest.task)
    rows, falls, certain = [], dict.fromkeys(_KINDS, 0.0), set()
    for kind, strength in SETTINGS:
        before_each()
        logits, unusual = ask(test.graph, test.manifest, damaged(images, kind, strength))
        right = task.probabilities(logits, test.manifest.temperature).argmax(axis=1) == targets
        lost, won = int((correct & ~right).sum()), int((right & ~correct).sum())
        fall = (lost - won) / len(chosen)
        falls[kind] += fall
        if paired_interval(lost, won, len(chosen), strict)[0] > 0:
            certain.add(kind)
        rows.append(
            {
                "kind": kind,
                "strength": strength,
                "accuracy": float(right.mean()),
                "interval": list(wilson_interval(int(right.sum()), len(right))),
                "fall": fall,
                "fall_interval": list(paired_interval(lost, won, len(chosen))),
                "unusual": float(unusual.mean()),
            }
        )
    return {
        "examples": len(chosen),
        "in_full": len(chosen) >= meant,
        "accuracy": float(correct.mean()),
        "interval": list(wilson_interval(int(correct.sum()), len(correct))),
        "unusual": float(test.unusual[chosen].mean()),
        "settings": rows,
        "worst": max(certain, key=lambda kind: (falls[kind], kind), default=None),
    }
