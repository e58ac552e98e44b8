"""A CSV, TSV or JSON Lines file that names examples: one column is the path, one the label."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources.listing import ListingBuilder

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson")


class TableSource:
    """Paths are relative to the table's own folder, or absolute."""

    name = "table"

    def matches(self, location: Path) -> bool:
        """Whether its ending is that of a table."""
        return location.is_file() and location.suffix.lower() in _ENDINGS

    def list(
        self, location: Path, *, label: str, endings: frozenset[str], unsupported: frozenset[str]
    ) -> SourceListing:
        """List the examples, with the label from column ``label``.

        Raises:
            DataError: not UTF-8, or without one of the two columns.
        """
        builder = ListingBuilder(endings, unsupported)
        rows = list(_rows(location, builder))
        # In JSON Lines each row names its own columns, so no single row decides.
        columns = list(dict.fromkeys(str(name) for __, row in rows for name in row))
        path_column = _path_column(location, columns, label) if rows else ""
        for number, row in rows:
            path, target = _text(row.get(path_column)), _text(row.get(label))
            if not path or not target:
                builder.skip(
                    path or f"line {number}",
                    _("line {number} has no path or no label", number=number),
                )
                continue
            file = location.parent / path
            if reason := _why_not(file):
                builder.skip(path, reason)
                continue
            builder.add_class(target)
            builder.add_example(PurePosixPath(path), target, file.read_bytes)
        return builder.listing()


def _why_not(file: Path) -> str:
    try:
        return "" if file.is_file() else "no such file"
    except OSError as error:  # longer than a name may be, or in a folder that is closed to us
        return f"cannot be read: {error.strerror}"
    except ValueError:
        return "no such file"


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _rows(location: Path, builder: ListingBuilder) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = location.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            _("{location} is not UTF-8 (byte {start}).", location=location, start=error.start),
            remedy=_("Save it as UTF-8."),
        ) from error
    except OSError as error:
        raise DataError(
            _("{location} cannot be read: {reason}.", location=location, reason=error.strerror),
            remedy=_("Check who may read it."),
        ) from error
    if location.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_rows(text, builder)
        return
    first = text.partition("\n")[0]
    tab = location.suffix.lower() == ".tsv" or "\t" in first
    delimiter = "\t" if tab else ";" if first.count(";") > first.count(",") else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    whole = 0
    try:
        for row in reader:
            whole = reader.line_num
            yield whole, row
    except csv.Error as error:
        raise DataError(
            _(
                "{location} cannot be read from line {whole} on: {error}.",
                location=location,
                whole=whole + 1,
                error=error,
            ),
            remedy=_("Look there for a quotation mark that is never closed."),
        ) from error


def _json_rows(text: str, builder: ListingBuilder) -> Iterator[tuple[int, dict[str, Any]]]:
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
            builder.skip(f"line {number}", _("line {number} is not a JSON object", number=number))


def _path_column(location: Path, columns: Collection[str], label: str) -> str:
    if label not in columns:
        raise DataError(
            _(
                "{location} has no column {label!r}; it has {columns}.",
                location=location,
                label=label,
                columns=", ".join(columns),
            ),
            remedy=_("Name the column that holds the label with --label."),
        )
    for name in PATH_COLUMNS:
        if name in columns and name != label:
            return name
    raise DataError(
        _(
            "{location} has no column for the path; it has {columns}.",
            location=location,
            columns=", ".join(columns),
        ),
        remedy=_("Name it one of: {path_columns}.", path_columns=", ".join(PATH_COLUMNS)),
    )
