"""Parts of the test data that share something: whether the model is worse on any of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mintage.create.answers import Answers
from mintage.modalities.image.reading import open_picture
from mintage.store.workspace import Workspace
from mintage.tasks.metrics import chance_of_so_few, share_interval

FEWEST = 5
"""Fewer examples than these say nothing, and are no slice."""

MOST_VALUES = 8
"""Of a property in words or of few numbers: the most frequent ones."""

_SQUARE = 1.1
_LUMINANCE = np.array([0.299, 0.587, 0.114]) / 255  # ITU-R BT.601


@dataclass(frozen=True)
class _Slice:
    """``says`` is how JSON describes it; ``members`` are bool[N]."""

    says: dict[str, Any]
    members: NDArray[np.bool_]


def slices(test: Answers, workspace: Workspace) -> dict[str, Any]:
    """Accuracy by size, shape, brightness, contrast, file format and kept columns, as JSON.

    ``worst`` is the position of the least accurate slice of those that chance alone would hardly
    make so much worse than all (an exact binomial test, at 2.5 % over as many comparisons as are
    made, for of 20 slices one would seem worse by chance), or None. Intervals are of 95 %.
    """
    found = [*_of_numbers(test), *_of_words(test, workspace), *_of_columns(test)]
    overall = float(test.correct.mean())
    strict = 0.025 / max(1, len(found))
    listed, worse = [], []
    for number, each in enumerate(found):
        accuracy = float(test.correct[each.members].mean())
        groups = [g for g, inside in zip(test.groups, each.members, strict=True) if inside]
        interval = list(share_interval(accuracy, groups))
        listed.append(
            each.says | {"examples": len(groups), "accuracy": accuracy, "interval": interval}
        )
        if interval[1] < overall and chance_of_so_few(accuracy, groups, overall) < strict:
            worse.append((accuracy, number))
    return {"accuracy": overall, "slices": listed, "worst": min(worse)[1] if worse else None}


def _of_numbers(test: Answers) -> Iterator[_Slice]:
    sides = np.array([min(example.size) for example in test.examples], np.float64)
    light = np.array([_light(test.images[position]) for position in test.positions.tolist()])
    for name, values in (
        ("shorter_side", sides),
        ("brightness", light[:, 0]),
        ("contrast", light[:, 1]),
    ):
        yield from _thirds({"property": name}, values)


def _light(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and deviation of luminance, both in parts of the whole range."""
    luminance = pixels @ _LUMINANCE
    return float(luminance.mean()), float(luminance.std())


def _of_words(test: Answers, workspace: Workspace) -> Iterator[_Slice]:
    blobs, shapes, formats = workspace.blobs_of(test.dataset.name), [], []
    for example in test.examples:
        shapes.append(_shape(example.size, example.orientation))
        with open_picture(blobs.get(example.sha256)) as image:
            formats.append("JPEG" if image.format == "MPO" else str(image.format))
    yield from _values({"property": "shape"}, shapes)
    yield from _values({"property": "format"}, formats)


def _shape(size: tuple[int, int], orientation: int) -> str:
    width, height = size if orientation < 5 else size[::-1]  # from 5 on EXIF turns it
    if width > _SQUARE * height:
        return "wide"
    return "upright" if height > _SQUARE * width else "square"


def _of_columns(test: Answers) -> Iterator[_Slice]:
    """What a table said of its examples besides their labels, where it was kept."""
    names = dict.fromkeys(name for example in test.examples for name in example.columns)
    for name in names:
        says = {"property": "column", "column": name}
        values = [example.columns.get(name, "") for example in test.examples]
        numbers = [_number(value) for value in values]
        known = [number for number in numbers if number is not None]
        if len(known) == len(values) and len(set(known)) > MOST_VALUES:
            yield from _thirds(says, np.array(known))
        else:
            yield from _values(says, values)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _thirds(says: dict[str, Any], values: NDArray[np.float64]) -> Iterator[_Slice]:
    """Three parts of about one size, by rising values; fewer where many values are the same."""
    third = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")
    parts = [third == number for number in range(3)]
    if sum(part.any() for part in parts) < 2:
        return
    for part in parts:
        if part.sum() >= FEWEST:
            low, high = float(values[part].min()), float(values[part].max())
            yield _Slice(says | {"low": low, "high": high}, part)


def _values(says: dict[str, Any], values: Sequence[str]) -> Iterator[_Slice]:
    """The most frequent values; none, where there is only one."""
    counted = Counter(values)
    if len(counted) < 2:
        return
    # By falling count, then by name: which ones are looked at depends on nothing else.
    for value, count in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]:
        if count >= FEWEST:
            yield _Slice(says | {"value": value}, np.array([each == value for each in values]))
