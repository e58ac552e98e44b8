"""Personal data in a text: what is replaced before it leaves, and how much is found at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.sources import encoding
from mintage.tasks.metrics import wilson_interval
from mintage.trust.deidentify.detectors import find
from mintage.trust.deidentify.placeholders import Placeholders
from mintage.trust.deidentify.recall import Recall, recalls
from mintage.trust.deidentify.synthetic import examples

FEWEST_TEXTS = 2_000
"""Fewer would say little of each kind."""


@dataclass(frozen=True)
class Replaced:
    """A text without the personal data found in it, and how many values of each kind those were."""

    text: str
    counts: Mapping[str, int]


def replaced(data: bytes, kinds: Collection[str], *, by_line: bool = False) -> Replaced:
    """The text as an upstream would get it; ``by_line``: each line is a JSON document of its own.

    Raises:
        DataError: it is no text in an encoding of ours.
    """
    try:
        text = encoding.decode(data)[0]
    except UnicodeDecodeError as error:
        raise DataError(
            _("This is no text in UTF-8, UTF-16 or GB18030."),
            remedy=_("Save it as UTF-8, and try again."),
        ) from error
    placeholders = Placeholders(kinds)
    placeholders.keep(text)
    parts = text.splitlines(keepends=True) if by_line else [text]
    return Replaced("".join(map(placeholders.replaced, parts)), placeholders.counts)


@dataclass(frozen=True)
class Measured:
    """How much was found of personal data that was planted in ``texts`` texts, by ``seed``."""

    texts: int
    seed: int
    recalls: list[Recall]

    def to_json(self) -> dict[str, Any]:
        """With the share that was found and its 95 % interval."""
        rows = [
            asdict(each)
            | {"recall": each.found / each.planted, "interval": list(interval_of(each))}
            for each in self.recalls
        ]
        return {"texts": self.texts, "seed": self.seed, "kinds": rows}


def interval_of(recall: Recall) -> tuple[float, float]:
    """Of the share that was found, at 95 % (Wilson)."""
    return wilson_interval(recall.found, recall.planted)


def measured(texts: int, seed: int) -> Measured:
    """Look for what was planted in so many texts that are made by ``seed``."""
    return Measured(texts, seed, recalls(examples(texts, seed), find))
