"""The mistakes that the model was surest of, to be looked at: often the label is what is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from mintage.bundle.occlusion import occlusion, where
from mintage.bundle.overlay import in_proportion, overlay
from mintage.core import registry
from mintage.core.types import Example, InputSpec
from mintage.create.answers import Answers
from mintage.store.workspace import Workspace

SHOWN = 12
SIDE = 128
"""Longest side of a picture in the gallery."""

_QUALITY = 80


def gallery(test: Answers, workspace: Workspace) -> dict[str, Any]:
    """The wrong answers with the highest probability, as JSON, with small pictures as data URIs.

    They stand in the run's record and report alone: a bundle is given to others, and holds none.
    """
    labels = test.manifest.labels
    shown = [
        {
            "path": test.examples[number].path,
            "label": test.examples[number].label,
            "answer": labels[int(test.answered[number])],
            "probability": round(float(test.confidence[number]), 6),
            "unusual": bool(test.unusual[number]),
            "picture": data_uri(_small(test, workspace, number)),
        }
        for number in surest_mistakes(test)
    ]
    return {
        "mistakes": int((~test.correct).sum()),
        "examples": len(test.positions),
        "shown": shown,
    }


def explanations(
    test: Answers, workspace: Workspace, before_each: Callable[[], None] = lambda: None
) -> list[dict[str, str]]:
    """For each picture of the gallery what its answer rests on: an overlay, and where, in words.

    ``before_each`` is called before each of them, and may raise to end it all.
    """
    found = []
    for number in surest_mistakes(test):
        before_each()
        heat = occlusion(test.asking_for(number), test.images[test.positions[number]])
        drawn = overlay(np.asarray(_small(test, workspace, number)), heat)
        found.append({"picture": data_uri(drawn), "where": str(where(heat))})
    return found


def surest_mistakes(test: Answers) -> list[int]:
    """Which of the answers are shown, the surest first."""
    wrong = np.flatnonzero(~test.correct)
    chosen: list[int] = wrong[np.argsort(-test.confidence[wrong], kind="stable")][:SHOWN].tolist()
    return chosen


def _small(test: Answers, workspace: Workspace, number: int) -> Image.Image:
    example = test.examples[number]
    data = workspace.blobs_of(test.dataset.name).get(example.sha256)
    return small_picture(data, example, test.manifest.modality)


def small_picture(data: bytes, example: Example, modality: str) -> Image.Image:
    """In its own proportions, upright, at most ``SIDE`` long; by the one decoder there is."""
    kind = registry.modalities().get(modality)
    square = kind.decode(data, InputSpec(modality, SIDE), orientation=example.orientation)
    size = example.size if example.orientation < 5 else example.size[::-1]
    return Image.fromarray(in_proportion(square, size, SIDE))


def data_uri(picture: Image.Image) -> str:
    """The picture as JPEG, in the page itself."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
