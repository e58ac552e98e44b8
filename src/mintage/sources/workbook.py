"""The rows of an XLSX workbook's first sheet, read only after its guards have looked at it.

A workbook is a zip of XML. The library that reads it lays a sheet out in memory as one rectangle,
so two cells in opposite corners, in a file of 1 kB, would ask for 500 GB and end the process. So
each part is first unpacked and counted, and every cell's place looked at; likewise its text, which
the library copies into each cell that points to it. The library is then given exactly the parts
that were looked at, packed anew.
"""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
from array import array
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
MOST_TEXT = 200_000_000
"""Of all cells, as UTF-8, a shared text once for each cell that shows it."""

_READ_PARTS = (".xml", ".rels")
_SHARED = "sharedstrings.xml"
_ANNOUNCED = {"count", "uniqueCount"}
_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_NUMBER = re.compile("[0-9]{1,8}")
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
            _(
                "{location} is not a readable workbook: {error}.",
                location=location,
                error=_("it is cut short or damaged")
                if isinstance(error, zipfile.BadZipFile)
                else error,
            ),
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
        looking = _Cells(location)
        for name in _shared_first(given.namelist()):
            with given.open(name) as stream:
                part = stream.read(left + 1)
            left -= len(part)
            if left < 0:
                raise _too_large(location)
            looking.parse(part)
            kept.writestr(name, part)
    return packed.getvalue()


def _shared_first(names: list[str]) -> list[str]:
    """The parts that are read, each once; before any cell, the texts that cells point to."""
    read = [name for name in dict.fromkeys(names) if name.lower().endswith(_READ_PARTS)]
    return sorted(read, key=lambda name: not name.lower().endswith(_SHARED))


class _Cells:
    """How far each sheet's cells reach, and how much text all of them show."""

    def __init__(self, location: Path) -> None:
        self._location = location
        self._shared = array("L")
        """The length of each shared text; a cell points to one by its number."""
        self._shown = 0

    def parse(self, part: bytes) -> None:
        """Look at each element of one part."""
        self._rows = self._columns = self._column = 0
        self._before = len(self._shared)
        self._in_shared = self._in_cell = self._points = self._in_number = False
        self._number = ""
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.Parse(part, True)

    def _refuse_doctype(self, *__: object) -> None:
        raise expat.ExpatError("it declares entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        # The library makes room for as many as are announced.
        for announced in _ANNOUNCED & attributes.keys():
            if int(attributes[announced]) > MOST_CELLS:
                raise _too_large(self._location)
        kind = name.rpartition(":")[2]
        if kind == "row":
            self._column = 0
            self._reach(int(attributes.get("r", self._rows + 1)), 0)
        elif kind == "c":
            if self._in_cell:
                raise expat.ExpatError("a cell is in another")
            # A cell that does not say its place follows the one before it.
            place = attributes.get("r")
            row, self._column = _place(place) if place else (0, self._column + 1)
            self._reach(row, self._column)
            self._in_cell, self._points = True, attributes.get("t") == "s"
        elif kind == "v":
            self._in_number = self._in_cell and self._points
        elif kind == "si":
            self._begin_shared()

    def _begin_shared(self) -> None:
        # Two lists, or one text in another, the library might number otherwise than we do.
        if self._before or self._in_shared or self._in_cell:
            raise expat.ExpatError("its shared texts are in disorder")
        if len(self._shared) == MOST_CELLS:
            raise _too_large(self._location)
        self._in_shared = True
        self._shared.append(0)

    def _end(self, name: str) -> None:
        kind = name.rpartition(":")[2]
        if kind == "si":
            self._in_shared = False
        elif kind == "c":
            self._in_cell = False
        elif kind == "v" and self._in_number:
            self._in_number = False
            self._show(self._pointed_at())

    def _text(self, text: str) -> None:
        if self._in_shared:
            self._shared[-1] += len(text.encode())
        elif self._in_number:
            # To the library, +1 is 0, and of pieces (a comment between) one may count alone.
            if self._number or not _NUMBER.fullmatch(text):
                raise expat.ExpatError(f"a cell points to {text[:20]!r}")
            self._number = text
        elif self._in_cell:
            self._show(len(text.encode()))

    def _pointed_at(self) -> int:
        """The length of the text whose number the cell holds."""
        number, self._number = int(self._number or "0"), ""
        if number >= len(self._shared):
            raise expat.ExpatError(f"a cell points to text {number}, which is not there")
        return self._shared[number]

    def _show(self, size: int) -> None:
        self._shown += size
        if self._shown > MOST_TEXT:
            raise _too_large(self._location)

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
            "{location} unpacks to more than {megabytes} MB, {cells:,} cells, "
            "or {text_megabytes} MB of text in them.",
            location=location,
            megabytes=MOST_BYTES // 10**6,
            cells=MOST_CELLS,
            text_megabytes=MOST_TEXT // 10**6,
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
