"""A CSV, TSV, JSON Lines or XLSX file that names examples: one column the path, one the label."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mintage.core.errors import DataError, said_by
from mintage.core.messages import _
from mintage.core.types import SourceListing
from mintage.sources import encoding, rows
from mintage.sources.listing import FileAt, ListingBuilder, name_fault, well_formed

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path")
PATH_COLUMNS_ZH = ("路径", "文件", "文件名", "图片", "图像")
ENDINGS = rows.ENDINGS


class TableSource:
    """Paths are relative to the table's own folder, or absolute."""

    name = "table"

    def matches(self, location: Path) -> bool:
        """Whether its ending is that of a table; Excel's "Unicode text" is .txt with a mark."""
        if not location.is_file():
            return False
        ending = location.suffix.lower()
        return ending in ENDINGS or (ending == ".txt" and _is_unicode_text(location))

    def list(
        self,
        location: Path,
        *,
        label: str,
        endings: frozenset[str],
        unsupported: frozenset[str],
        labelled: bool = True,
    ) -> SourceListing:
        """List the examples, with the label from column ``label``.

        Raises:
            DataError: in no encoding or format of ours, or without a column for the path or, if
                labels are wanted, for the label.
        """
        builder = ListingBuilder(endings, unsupported, labelled=labelled)
        table = rows.read_table(location, builder)
        # In JSON Lines each row names its own columns, so no single row decides.
        columns = list(dict.fromkeys(str(name) for __, row in table.rows for name in row))
        if labelled and table.rows:
            _check_label(location, columns, label)
        path_column = _path_column(location, columns, label) if table.rows else ""
        for number, row in table.rows:
            path, target = _text(row.get(path_column)), _text(row.get(label))
            file = _found(location.parent, path, table.encoding)
            named = path and (target or not labelled)
            reason = _why_not(number, target, file) if named else _nameless(number)
            if reason:
                builder.skip(path or _("line {number}", number=number), reason)
                continue
            builder.add_class(target)
            builder.add_example(
                PurePosixPath(path),
                target,
                FileAt(str(file)),
                str(file),
                _others(row, (path_column, label)),
            )
        return builder.listing()


def _is_unicode_text(location: Path) -> bool:
    try:
        with location.open("rb") as stream:
            return encoding.marked(stream.read(4)) == "UTF-16"
    except OSError:
        return False


def _found(folder: Path, path: str, written_in: str) -> Path:
    """The file that a path means; as it is written, where no other spelling of it is there."""
    files = (folder / spelling for spelling in _spellings(path, written_in))
    return next((file for file in files if os.path.lexists(file)), folder / path)


def _spellings(path: str, written_in: str) -> Iterator[str]:
    """How one path may stand on a disk that another system wrote."""
    for slashed in dict.fromkeys((path, path.replace("\\", "/"))):
        yield slashed
        yield unicodedata.normalize("NFC", slashed)
        yield unicodedata.normalize("NFD", slashed)  # macOS
        if written_in == "GB18030":  # a zip from Windows, unpacked byte for byte
            yield os.fsdecode(slashed.encode(written_in, errors="replace"))


def _nameless(number: int) -> str:
    return _("line {number} has no path or no label", number=number)


def _why_not(number: int, target: str, file: Path) -> str:
    if name_fault(target):
        return _("line {number} has a label that cannot be shown", number=number)
    try:
        if not os.path.lexists(file):
            file.stat()
        return "" if file.is_file() else _("not a regular file")
    except FileNotFoundError:
        return _("no such file; paths begin at the table's own folder")
    except OSError as error:  # longer than a name may be, or in a folder that is closed to us
        return _("cannot be read: {reason}", reason=said_by(error))
    except ValueError:
        return _("no such file; paths begin at the table's own folder")


def _others(row: Mapping[str, Any], taken: Collection[str]) -> dict[str, str]:
    """The row's further cells by their columns' names, as they may be stored and shown."""
    return {
        well_formed(str(name)): well_formed(_text(cell))
        for name, cell in row.items()
        if name not in taken and str(name)
    }


def _text(content: Any) -> str:
    return "" if content is None else str(content).strip()


def _check_label(location: Path, columns: Collection[str], label: str) -> None:
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


def _path_column(location: Path, columns: Collection[str], label: str) -> str:
    for name in (*PATH_COLUMNS, *PATH_COLUMNS_ZH):
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
