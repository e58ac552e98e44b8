"""The rows of an XLSX workbook's first sheet, read only after its guards have looked at it.

A workbook is a zip of XML. The library that reads it lays a sheet out in memory as one rectangle,
so two cells in opposite corners, in a file of 1 kB, would ask for 500 GB and end the process. So
each part is first unpacked and counted, and every cell's place looked at; the library is then given
exactly the parts that were looked at, packed anew.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from mintage.core.errors import DataError
from mintage.core.messages import _
from mintage.sources import damage

MOST_BYTES = 300_000_000
"""Of a workbook's parts, unpacked."""
MOST_CELLS = 10_000_000
"""Of a sheet's rectangle: 320 MB in the library."""

_READ_PARTS = (".xml", ".rels")
_ANNOUNCED = {"count", "uniqueCount"}
_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_SIGNIFICANT = ".15g"  # what Excel keeps of a number; 1.0 is written 1


def workbook_rows(location: Path, data: bytes) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells, as text, of each row of the first visible sheet that has any.

    Raises:
        DataError: no workbook, a damaged one, or one that would not fit into memory.
    """
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(_looked_at(location, data)))
        sheet = _first(workbook)
        if sheet is None:
            raise DataError(
                _("{location} has no visible sheet.", location=location),
                remedy=_("Put the table into its first sheet."),
            )
        # The rows that the library passes over stand before ``start``.
        first = sheet.start[0] + 1 if sheet.start else 1
        for number, row in enumerate(sheet.to_python(), first):
            yield number, [_shown(cell) for cell in row]
    except (*damage.ZIP, CalamineError, expat.ExpatError) as error:
        raise DataError(
            _("{location} is not a readable workbook: {error}.", location=location, error=error),
            remedy=_("Open it, and save it as XLSX or as CSV UTF-8."),
        ) from error


def _first(workbook: CalamineWorkbook) -> CalamineSheet | None:
    for position, sheet in enumerate(workbook.sheets_metadata):
        if sheet.typ == SheetTypeEnum.WorkSheet and sheet.visible == SheetVisibleEnum.Visible:
            return workbook.get_sheet_by_index(position)
    return None


def _looked_at(location: Path, data: bytes) -> bytes:
    """The same workbook of those parts alone that were unpacked, counted and parsed here."""
    packed = io.BytesIO()
    left = MOST_BYTES
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(packed, "w") as kept:
        for name in dict.fromkeys(given.namelist()):
            if not name.lower().endswith(_READ_PARTS):
                continue
            with given.open(name) as stream:
                part = stream.read(left + 1)
            left -= len(part)
            if left < 0:
                raise _too_large(location)
            _Cells(location).parse(part)
            kept.writestr(name, part)
    return packed.getvalue()


class _Cells:
    """How far a sheet's cells reach; other parts have none."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._rows = self._columns = self._column = 0

    def parse(self, part: bytes) -> None:
        """Look at each element of one part."""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._element
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.Parse(part, True)

    def _refuse_doctype(self, *__: object) -> None:
        raise expat.ExpatError("it declares entities")

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        # The library makes room for as many as are announced.
        for announced in _ANNOUNCED & attributes.keys():
            if int(attributes[announced]) > MOST_CELLS:
                raise _too_large(self._location)
        kind = name.rpartition(":")[2]
        if kind == "row":
            self._column = 0
            self._reach(int(attributes.get("r", self._rows + 1)), 0)
        elif kind == "c":
            # A cell that does not say its place follows the one before it.
            place = attributes.get("r")
            row, self._column = _place(place) if place else (0, self._column + 1)
            self._reach(row, self._column)

    def _reach(self, row: int, column: int) -> None:
        self._rows = max(self._rows, row)
        self._columns = max(self._columns, column)
        if self._rows * self._columns > MOST_CELLS:
            raise _too_large(self._location)


def _place(reference: str) -> tuple[int, int]:
    """Row and column, from 1, of ``B7``."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(f"a cell at {reference[:20]!r}")
    column = 0
    for letter in found[1].upper():
        column = column * 26 + ord(letter) - ord("A") + 1
    return int(found[2]), column


def _too_large(location: Path) -> DataError:
    return DataError(
        _(
            "{location} unpacks to more than {megabytes} MB or {cells:,} cells.",
            location=location,
            megabytes=MOST_BYTES // 10**6,
            cells=MOST_CELLS,
        ),
        remedy=_("Save the table's rows and columns alone, as CSV UTF-8."),
    )


def _shown(cell: object) -> str:
    """A cell as its sheet shows it: 1 and not 1.0, a day without midnight."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, int | float):
        return format(cell, _SIGNIFICANT)
    if isinstance(cell, dt.datetime):
        midnight = cell.time() == dt.time()
        return str(cell.date()) if midnight else str(cell)
    return str(cell)
