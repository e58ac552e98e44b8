"""The rows of a table file, whatever it is written in: CSV, TSV, JSON Lines or XLSX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.sources import encoding
from mintage.sources.damage import unreadable
from mintage.sources.listing import ListingBuilder
from mintage.sources.workbook import workbook_rows

MOST_BYTES = 300_000_000
"""Of a table's file; a row of 100 bytes makes three million."""

_ZIP_MAGIC = b"PK\x03\x04"
_OLE_MAGIC = b"\xd0\xcf\x11\xe0"  # [MS-CFB]: workbooks before 2007, and encrypted ones of today
_WORKBOOK_ENDINGS = (".xlsx", ".xlsm")
_NOT_READ = (".xls", ".xlsb", ".ods", ".et", ".numbers")
_SAVE_AS = _("Open it, and save it as XLSX without a password, or as CSV UTF-8.")

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", *_WORKBOOK_ENDINGS, *_NOT_READ)

Row = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """Rows with the lines they stand on, and the encoding that the text was in."""

    rows: list[Row]
    encoding: str


def read_table(location: Path, builder: ListingBuilder) -> Table:
    """All rows that hold anything, by the names of their columns.

    What is written in a file decides, not its ending: people rename workbooks to .csv.

    Raises:
        DataError: it may not be read, is too large, names a column twice, or is nothing of ours.
    """
    data = _read(location)
    ending = location.suffix.lower()
    if ending in _NOT_READ or data.startswith(_OLE_MAGIC):
        raise DataError(
            _("{location} is a workbook of a kind that is not read.", location=location),
            remedy=_SAVE_AS,
        )
    if data.startswith(_ZIP_MAGIC):
        rows = _named(workbook_rows(location, data), builder)
        return Table(list(rows), "UTF-8")
    if ending in _WORKBOOK_ENDINGS:
        raise DataError(_("{location} is not a workbook.", location=location), remedy=_SAVE_AS)
    text, name = _text(location, data)
    if ending in (".jsonl", ".ndjson"):
        return Table(list(_json_rows(text, builder)), name)
    return Table(list(_named(_lines(location, text), builder)), name)


def _read(location: Path) -> bytes:
    try:
        with location.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(location, error) from error
    if len(data) > MOST_BYTES:
        raise DataError(
            _(
                "The table {location} is larger than {megabytes} MB.",
                location=location,
                megabytes=MOST_BYTES // 10**6,
            ),
            remedy=_("Split it; collect one part, and add the others with --into."),
        )
    return data


def _text(location: Path, data: bytes) -> tuple[str, str]:
    try:
        text, name = encoding.decode(data)
    except UnicodeDecodeError as error:
        raise DataError(
            _(
                "{location} is neither UTF-8 nor GB18030 (byte {position}).",
                location=location,
                position=error.start,
            )
            if not encoding.marked(data)
            else _(
                "{location} says that it is {name}, but is not (byte {position}).",
                location=location,
                name=encoding.marked(data),
                position=error.start,
            ),
            remedy=_("Save it as UTF-8; in Excel and WPS: CSV UTF-8."),
        ) from error
    if "\0" in text:
        raise DataError(
            _(
                "{location} is not text (byte {position}).",
                location=location,
                position=data.find(0),
            ),
            remedy=_("Save it as CSV UTF-8."),
        )
    return text, name


def _lines(location: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    first = text.lstrip().partition("\n")[0]
    tab = location.suffix.lower() == ".tsv" or "\t" in first
    delimiter = "\t" if tab else ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    whole = 0
    try:
        for cells in reader:
            whole = reader.line_num
            yield whole, cells
    except csv.Error as error:
        raise DataError(
            _(
                "{location} cannot be read from line {whole} on: {error}.",
                location=location,
                whole=whole + 1,
                # All that this reader ever refuses; its own words have no translation.
                error=_("a cell is longer than {most:,} characters", most=csv.field_size_limit()),
            ),
            remedy=_("Look there for a quotation mark that is never closed."),
        ) from error


def _named(lines: Iterator[tuple[int, list[str]]], builder: ListingBuilder) -> Iterator[Row]:
    """The cells by the names in the first row that holds any; empty rows say nothing.

    Raises:
        DataError: two columns have the same name.
    """
    names: list[str] = []
    for number, cells in lines:
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if not names:
            names = _once_each(values)
        elif any(values[len(names) :]):
            builder.skip(
                _("line {number}", number=number),
                _("line {number} has more cells than there are columns", number=number),
            )
        else:
            yield number, dict(zip(names, values, strict=False))


def _once_each(names: list[str]) -> list[str]:
    """The header, in which of two equal columns one would be lost."""
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            _("The header of the table names the column {name!r} twice.", name=twice),
            remedy=_("Give each column a name of its own, or remove one of them."),
        )
    return names


def _json_rows(text: str, builder: ListingBuilder) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield number, row
        else:
            builder.skip(
                _("line {number}", number=number),
                _("line {number} is not a JSON object", number=number),
            )
