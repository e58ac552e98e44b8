"""What was asked of a training beside its recipe: kept in its folder, so that it can be resumed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError
from mintage.core.files import read_whole, write_atomic
from mintage.core.messages import _
from mintage.core.units import format_duration

FILE = "request.json"


@dataclass(frozen=True)
class Request:
    """``dataset`` is ``name#version``, ``seconds`` the time from start to signed bundle.

    ``dropped`` are digests of the examples that ``drop_suspect`` leaves out, once they are known;
    ``sure`` is how often an answer has to be right for a label to be given, ``speed`` the machine's
    where it was measured. Without ``report`` the model is signed and not looked at from all sides.
    ``used_seconds`` is what the run had taken of its time when it last began.
    """

    dataset: str
    model: str
    seconds: float | None = None
    drop_suspect: bool = False
    dropped: tuple[str, ...] | None = None
    int8: bool = False
    sure: float | None = None
    ablate: bool = False
    speed: float | None = None
    report: bool = True
    used_seconds: float = 0.0

    def write(self, folder: Path) -> None:
        """Keep it in the run's folder."""
        write_atomic(folder / FILE, canonical_json(dataclasses.asdict(self)))

    @classmethod
    def read(cls, folder: Path) -> Request:
        """What ``write`` kept.

        Raises:
            DataError: the run has none, or it cannot be read.
        """
        try:
            document: dict[str, Any] = json.loads(read_whole(folder / FILE))
            if document["dropped"] is not None:
                document["dropped"] = tuple(document["dropped"])
            return cls(**document)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                _(
                    "The run {run} cannot be resumed: {file} is missing or damaged.",
                    run=folder.name,
                    file=FILE,
                ),
                remedy=_("Train again: what it had learned is lost."),
            ) from error


def check_seconds(seconds: float, shortest: float) -> None:
    """Refuse a time in which no model can be made.

    Raises:
        ConfigError: it is shorter than the shortest that works.
    """
    if seconds < shortest:
        raise ConfigError(
            _(
                "{seconds} is too short to train, evaluate and sign a model.",
                seconds=format_duration(seconds),
            ),
            remedy=_(
                "The shortest that works is --time {shortest_seconds:.0f}s.",
                shortest_seconds=shortest,
            ),
        )
