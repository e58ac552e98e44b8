"""The labels file: what people said of pictures, one decision a line, never changed afterwards.

``docs/formats/labels.md`` describes it. Reading it from its first line to its last is all that is
needed to know what stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.sources.book import Book
from mintage.sources.damage import unreadable
from mintage.sources.decisions import VERSION, Header, header_version, json_object, parse_line

ENDING = ".jsonl"
_BEGINNING = b'{"mintage": "labels", '
_MOST_HEADER_BYTES = 1_000_000


@dataclass(frozen=True)
class Labels:
    """What a labels file says.

    ``faults`` are lines that say nothing, by their number; ``whole_bytes`` is where its last whole
    line ends: what comes behind is the last fault.
    """

    header: Header
    book: Book
    faults: tuple[tuple[int, str], ...]
    whole_bytes: int


def is_labels(location: Path) -> bool:
    """Whether a file is one of ours: by its ending and its first line."""
    if location.suffix.lower() != ENDING or not location.is_file():
        return False
    try:
        with location.open("rb") as stream:
            first = stream.readline(_MOST_HEADER_BYTES)
    except OSError:
        return False
    return first.endswith(b"\n") and isinstance(header_version(json_object(first)), int)


def read_labels(location: Path) -> Labels:
    """Read a labels file.

    Raises:
        DataError: it may not be read, is none of ours, or was made by a newer Mintage.
    """
    try:
        data = location.read_bytes()
    except OSError as error:
        raise unreadable(location, error) from error
    return parse_labels(data, location)


def parse_labels(data: bytes, location: Path) -> Labels:
    """What the bytes of a labels file say; ``location`` is for messages.

    A last line without its end was being written when the power or the process ended; it counts
    if it is whole all the same, as an editor may have taken the line feed away.

    Raises:
        DataError: they are not a labels file's, or a newer Mintage's.
    """
    lines = data.split(b"\n")
    tail = lines.pop()
    whole_bytes = len(data) - len(tail)
    if tail and parse_line(tail) is not None:
        lines.append(tail)
        whole_bytes, tail = len(data), b""
    header: Header | None = None
    book, faults = Book(), []
    for number, line in enumerate(lines, 1):
        found = parse_line(line)
        if number > 1 and not line.strip():
            continue
        if number == 1 and not isinstance(found, Header):
            raise _not_ours(line, location)
        if isinstance(found, Header):
            header = found
        elif found is None:
            faults.append((number, _("line {number} is not a decision", number=number)))
        elif not book.add(found):
            faults.append((number, _("line {number} undoes nothing", number=number)))
    if tail:
        number = len(lines) + 1
        faults.append((number, _("line {number} is cut short", number=number)))
    if header is None:
        raise _not_ours(b"", location)
    in_use = [label for label in book.used() if label not in header.classes]
    header = Header((*header.classes, *in_use), header.overlap, header.folder)
    return Labels(header, book, tuple(faults), whole_bytes)


def begins_like_ours(data: bytes) -> bool:
    """Whether bytes without a whole line may be the beginning of a labels file."""
    return data.startswith(_BEGINNING) or _BEGINNING.startswith(data)


def _not_ours(first: bytes, location: Path) -> DataError:
    if (header_version(json_object(first)) or 0) > VERSION:
        return DataError(
            _("{location} was made by a newer Mintage.", location=location),
            remedy=_("Upgrade with: pip install --upgrade mintage"),
        )
    return DataError(
        _("{location} is not a labels file of Mintage.", location=location),
        remedy=_("Name another file with --out."),
    )
