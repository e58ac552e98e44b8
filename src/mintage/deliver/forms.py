"""A table of scores: its columns, and each row as a line of CSV or of JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from mintage.sources.listing import well_formed

Cell = str | float | bool | None

_FORMULA = tuple("=+-@＝＋－＠")
"""What a spreadsheet takes for a formula's beginning (OWASP, CSV Injection)."""
_QUOTE = "'"


def columns(labels: Sequence[str], *, true_label: bool) -> tuple[str, ...]:
    """The columns for a model's labels; the last only where the source says what pictures are."""
    chances = (f"probability_{label}" for label in labels)
    known = ("true_label",) if true_label else ()
    return (
        *("path", "label", "probability"),
        *chances,
        *("unusual", "error", "sha256", "model"),
        *known,
    )


class Said(NamedTuple):
    """What a line says that its reader has to know: of which picture, and how it was answered."""

    path: str
    label: str | None
    unusual: bool
    failed: bool


class Form(Protocol):
    """How rows are written: a line each, none of them over two lines."""

    head: bytes

    def encode(self, cells: Sequence[Cell]) -> bytes:
        """A row as a line with its end."""
        ...

    def decode(self, line: bytes) -> Said | None:
        """What a line says; None for one that is not whole."""
        ...


class CsvForm:
    """RFC 4180 in UTF-8, lines ended by a line feed; nothing in it becomes a formula.

    A text that a spreadsheet would compute has a ``'`` before it, and so has one that begins with
    that, so that what was there can be told.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self.head = _line(names)

    def encode(self, cells: Sequence[Cell]) -> bytes:
        """A row as a line with its end."""
        return _line([_harmless(cell) for cell in cells])

    def decode(self, line: bytes) -> Said | None:
        """What a line says; None for one that is not whole."""
        try:
            (cells,) = csv.reader([line.decode()], strict=True)
        except (ValueError, csv.Error):
            return None
        if len(cells) != len(self._names) or not line.endswith(b"\n"):
            return None
        said = dict(zip(self._names, map(_as_it_was, cells), strict=True))
        return Said(
            said["path"], said["label"] or None, said["unusual"] == "true", said["error"] != ""
        )


class JsonLinesForm:
    """One JSON object a line, in UTF-8, its keys in the order of the columns."""

    head = b""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    def encode(self, cells: Sequence[Cell]) -> bytes:
        """A row as a line with its end."""
        row = dict(zip(self._names, map(_clean, cells), strict=True))
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    def decode(self, line: bytes) -> Said | None:
        """What a line says; None for one that is not whole."""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return None
        whole = isinstance(row, dict) and tuple(row) == self._names and line.endswith(b"\n")
        return (
            Said(row["path"], row["label"], row["unusual"] is True, bool(row["error"]))
            if whole
            else None
        )


@dataclass
class Tally:
    """What came of the rows so far."""

    rows: int = 0
    abstained: int = 0
    unusual: int = 0
    unreadable: int = 0
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, said: Said) -> None:
        """Count one more row."""
        self.rows += 1
        self.unusual += said.unusual
        if said.failed:
            self.unreadable += 1
        elif said.label is None:
            self.abstained += 1
        else:
            self.labels[said.label] += 1

    def to_json(self) -> dict[str, Any]:
        """The counts; a row is answered, abstained from or unreadable."""
        return {
            "rows": self.rows,
            "answered": self.labels.total(),
            "abstained": self.abstained,
            "unusual": self.unusual,
            "unreadable": self.unreadable,
            "labels": dict(sorted(self.labels.items())),
        }


def _clean(cell: Cell) -> Cell:
    """A text without what would break a line or is no character."""
    return well_formed(cell) if isinstance(cell, str) else cell


def _harmless(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    text = _clean(cell)
    if isinstance(text, str) and text.startswith((*_FORMULA, _QUOTE)):
        return _QUOTE + text
    return text


def _as_it_was(cell: str) -> str:
    return cell.removeprefix(_QUOTE)


def _line(cells: Sequence[Cell]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue().encode()
