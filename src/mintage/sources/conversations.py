"""A JSON Lines file of conversations: one a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import Skipped
from mintage.sources import encoding
from mintage.sources.damage import unreadable
from mintage.sources.listing import well_formed

Made = TypeVar("Made")
ENDINGS = (".jsonl", ".ndjson")
_LOOKED_AT = 100


@dataclass(frozen=True)
class Line:
    """An object on a line of its own; ``place`` is the file's name and the line's number."""

    place: str
    row: Mapping[str, Any]


def first_row(location: Path) -> Mapping[str, Any] | None:
    """The first object among the first lines of a file; None where there is none."""
    if location.suffix.lower() not in ENDINGS or not location.is_file():
        return None
    try:
        with location.open("rb") as stream:
            for __, data in zip(range(_LOOKED_AT), stream, strict=False):
                found = _line(location, 0, data)
                if isinstance(found, Line):
                    return found.row
    except OSError:
        return None  # whoever reads it says why
    return None


def lines(location: Path) -> Iterator[Line | Skipped]:
    """Every line that holds anything; what is no object comes back with its reason.

    Raises:
        DataError: the file cannot be read, or is in no encoding of ours.
    """
    try:
        with location.open("rb") as stream:
            for number, data in enumerate(stream, start=1):
                if data.strip():
                    yield _line(location, number, data)
    except OSError as error:
        raise unreadable(location, error) from error


def attempt(line: Line | Skipped, make: Callable[[Mapping[str, Any]], Made]) -> Made | Skipped:
    """What is made of a line; what cannot be used comes back with its reason."""
    if isinstance(line, Skipped):
        return line
    try:
        return make(line.row)
    except DataError as error:
        return Skipped(line.place, error.message)


def _line(location: Path, number: int, data: bytes) -> Line | Skipped:
    place = f"{well_formed(location.name)}:{number}"
    try:
        row = json.loads(encoding.decode(data.rstrip(b"\r\n"))[0])
    except UnicodeDecodeError:
        return Skipped(place, _("neither UTF-8 nor GB18030"))
    except (ValueError, RecursionError):
        return Skipped(place, _("not JSON"))
    return Line(place, row) if isinstance(row, dict) else Skipped(place, _("not an object"))
