"""A JSON Lines file of conversations: one a line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import Skipped
from mintage.sources import encoding
from mintage.sources.damage import unreadable
from mintage.sources.listing import well_formed

Made = TypeVar("Made")
ENDINGS = (".jsonl", ".ndjson")
MOST_LINE_BYTES = 64_000_000
"""Of one conversation; a thousand pages have five. A file without line ends is one line."""
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
            for data in islice(_raw(stream), _LOOKED_AT):
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
            for number, data in enumerate(_raw(stream), start=1):
                if data.strip():
                    yield _line(location, number, data)
    except OSError as error:
        raise unreadable(location, error) from error


def _raw(stream: BinaryIO) -> Iterator[bytes]:
    """Each line; of one that is too long its beginning, a byte more than it may have."""
    while data := stream.readline(MOST_LINE_BYTES + 1):
        yield data
        while len(data) > MOST_LINE_BYTES and not data.endswith(b"\n"):
            data = stream.readline(MOST_LINE_BYTES + 1)
            if not data:
                return


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
    if len(data) > MOST_LINE_BYTES:
        return Skipped(place, _("longer than {megabytes} MB", megabytes=MOST_LINE_BYTES // 10**6))
    try:
        row = json.loads(encoding.decode(data.rstrip(b"\r\n"))[0])
    except UnicodeDecodeError:
        return Skipped(place, _("neither UTF-8 nor GB18030"))
    except (ValueError, RecursionError):
        return Skipped(place, _("not JSON"))
    return Line(place, row) if isinstance(row, dict) else Skipped(place, _("not an object"))
