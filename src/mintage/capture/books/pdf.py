"""Invoices and credit notes as PDF. Here alone is fpdf2 used, which the plain install lacks.

The same document, font and version of the library give the same bytes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mintage.capture.books import rendering
from mintage.capture.books.documents import Document
from mintage.capture.books.fonts import check_writable, font_for
from mintage.core.errors import missing_extra
from mintage.core.messages import Language, Message, _, speaking, told

try:
    from fpdf import FPDF
    from fpdf.enums import XPos, YPos
except ImportError as error:
    raise missing_extra("fpdf2", "pdf") from error

_MARGIN, _WIDTH, _HEIGHT = 20.0, 210.0, 297.0  # A4 in millimetres
_INNER = _WIDTH - 2 * _MARGIN
_BOTTOM = _HEIGHT - 24.0  # below it are the number of the document and of the page
_AMOUNT = 42.0  # the width of the column of amounts
_INK, _MUTED, _RULE = (51, 48, 43), (111, 104, 94), (230, 224, 212)
_LATIN = "cp1252"  # what a PDF's own fonts have
_NEVER_FIRST = frozenset("，。、；：！？）》」』】”’…—,.;:!?)]}%")
_STANDS = frozenset({"issued", "paid", "credited", "replaced"})


@dataclass(frozen=True)
class _Row:
    """One line of the table: what it is for, how it comes about, and its amount."""

    text: str
    small: tuple[str, ...]
    amount: str
    is_total: bool = False


@dataclass(frozen=True)
class _Page:
    """All that is written, in the language that is spoken, before it is known how it is set."""

    title: str
    status: str
    dates: Sequence[tuple[str, str]]
    parties: Sequence[tuple[str, Sequence[str]]]
    head: tuple[str, str]
    rows: Sequence[_Row]
    sums: Sequence[_Row]
    notes: Sequence[str]
    page: str

    def text(self) -> str:
        """Every character of it."""
        said = [self.title, self.status, *self.head, *self.notes, self.page, "0123456789"]
        said += [each for pair in self.dates for each in pair]
        said += [each for heading, lines in self.parties for each in (heading, *lines)]
        said += [part for row in (*self.rows, *self.sums) for part in (row.text, *row.small)]
        return "".join([*said, *(row.amount for row in (*self.rows, *self.sums))])


def pdf(document: Document, status: str, language: Language, font: Path | None = None) -> bytes:
    """The document on A4. ``font`` is embedded, as far as it is used; None finds one if need be.

    Raises:
        ConfigError: no font has all characters, or they cannot be set from left to right.
    """
    with speaking(language):
        page = _page(document, status)
    text = page.text()
    check_writable(text)
    sheet = _Sheet(page)
    if font is not None or not _is_latin(text):
        found = font_for(text, font)
        sheet.add_font("document", "", found.path, collection_font_number=found.number)
        sheet.family, sheet.bold = "document", ""
    sheet.set_title(page.title)
    sheet.set_author(page.parties[0][1][0])
    sheet.set_subject(f"{document['period']} {document['currency']}")
    sheet.set_creator("Mintage")
    sheet.set_lang("zh-CN" if language == "zh" else language)
    sheet.set_creation_date(_moment(document))
    sheet.compose()
    return bytes(sheet.output())


def _moment(document: Document) -> datetime:
    """When it was issued; of a draft, which has no date, the beginning of its month."""
    said = document["issued_at"] or f"{document['period']}-01T00:00:00+00:00"
    return datetime.fromisoformat(said).astimezone(UTC)


def _is_latin(text: str) -> bool:
    try:
        text.encode(_LATIN)
    except UnicodeEncodeError:
        return False
    return True


def _page(document: Document, status: str) -> _Page:
    currency = document["currency"]
    rows = [
        _Row(
            _said(rendering.described(line)),
            tuple(map(_said, rendering.steps_of(line))),
            rendering.digits(line["amount"], currency),
        )
        for line in document["lines"]
    ]
    sums = [_Row(_said(_("Net")), (), rendering.digits(document["net"], currency))]
    for tax in document["taxes"]:
        exactly = (_said(_("exactly {exact}", exact=tax["exact"])),) if "residue" in tax else ()
        rate = _clean(f"{tax['name']} {tax['percent']} %")
        sums.append(_Row(rate, exactly, rendering.digits(tax["amount"], currency)))
    total = rendering.amount_text(document["total"], currency)
    sums.append(_Row(_said(_("Total")), (), total, is_total=True))
    for name, amount in rendering.settled_of(document):
        sums.append(_Row(_said(name), (), rendering.digits(amount, currency)))
    parties = [
        (_said(heading), [_clean(line) for line in rendering.party_of(document[name])])
        for heading, name in ((_("From"), "seller"), (_("To"), "customer"))
    ]
    return _Page(
        title=_clean(rendering.heading_of(document)),
        # What was issued is the same for ever, so it says nothing of having been paid since.
        status="" if status in _STANDS else _said(Message(status)),
        dates=[(_said(name), _clean(said)) for name, said in rendering.dates_of(document)],
        parties=parties,
        head=(_said(_("what")), currency),
        rows=rows,
        sums=sums,
        notes=[_said(each) for each in rendering.notes_of(document)],
        page=_said(_("Page {page} of {pages}", page="{page}", pages="{pages}")),
    )


def _said(message: Message) -> str:
    return _clean(told(message))


def _clean(text: str) -> str:
    """Letters with their accents as one character, which fonts have; one kind of space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


class _Sheet(FPDF):
    """Sets a document, page by page."""

    def __init__(self, page: _Page) -> None:
        super().__init__(format="A4")
        self._page = page
        self.family, self.bold = "helvetica", "B"
        self.core_fonts_encoding = _LATIN
        self.set_margin(_MARGIN)
        self.set_auto_page_break(auto=False)
        self.c_margin = 0.0

    def compose(self) -> None:
        """Set all of it; what a page has no room for goes on the next one."""
        self.add_page()
        self._heading()
        self._parties()
        self._table_head()
        for row in self._page.rows:
            self._row(row)
        self._rule(_RULE)
        self.ln(1.5)
        for row in self._page.sums:
            self._row(row)
        self.ln(6)
        for note in self._page.notes:
            for line in self._wrapped(note, _INNER, 8.5):
                self._make_room(4.2, with_head=False)
                self._line(line, 8.5, colour=_MUTED, height=4.2)
        self._number_pages()

    def _heading(self) -> None:
        top = self.get_y()
        dates = [*self._page.dates]
        half = _INNER * 0.6
        for line in self._wrapped(self._page.title, half - 4, 18, bold=True):
            self._line(line, 18, bold=True, height=9)
        if self._page.status:
            self._line(self._page.status, 11, colour=_MUTED, height=6)
        below = self.get_y()
        self.set_y(top + 1)
        for name, value in dates:
            self.set_x(_MARGIN + half)
            self._line(f"{name}  {value}", 9.5, height=5, width=_INNER - half, align="R")
        self.set_y(max(below, self.get_y()) + 8)

    def _parties(self) -> None:
        top, width = self.get_y(), _INNER / 2
        below = top
        for n, (heading, lines) in enumerate(self._page.parties):
            self.set_y(top)
            left = _MARGIN + n * width
            self.set_x(left)
            self._line(heading, 8.5, colour=_MUTED, height=5, width=width)
            for text in lines:
                for line in self._wrapped(text, width - 6, 10):
                    self.set_x(left)
                    self._line(line, 10, height=5, width=width)
            below = max(below, self.get_y())
        self.set_y(below + 8)

    def _table_head(self) -> None:
        what, currency = self._page.head
        self._pair(what, currency, 8.5, colour=_MUTED, height=6)
        self._rule(_RULE)
        self.ln(1.5)

    def _row(self, row: _Row) -> None:
        size, height = (12.0, 7.0) if row.is_total else (10.0, 5.2)
        amounts = self._wrapped(row.amount, _AMOUNT, size, bold=row.is_total)
        texts = self._wrapped(row.text, _INNER - _AMOUNT - 4, size, bold=row.is_total)
        small = [line for each in row.small for line in self._wrapped(each, _INNER - _AMOUNT, 8.5)]
        together = height * max(len(amounts), len(texts)) + (4.2 if small else 0)
        self._make_room(together + 1.5, with_head=not row.is_total)
        if row.is_total:
            self._rule(_INK)
            self.ln(1.5)
        for n in range(max(len(amounts), len(texts))):
            text, amount = (lines[n] if n < len(lines) else "" for lines in (texts, amounts))
            self._pair(text, amount, size, bold=row.is_total, height=height)
        for line in small:
            self._make_room(4.2)
            self._line(line, 8.5, colour=_MUTED, height=4.2)
        self.ln(1.5)

    def _make_room(self, height: float, *, with_head: bool = True) -> None:
        if self.get_y() + height > _BOTTOM:
            self.add_page()
            if with_head:
                self._table_head()

    def _number_pages(self) -> None:
        """At the foot of each page what it belongs to, and which of how many it is."""
        pages = self.pages_count
        for page in range(1, pages + 1):
            self.page = page
            self._restore_font_on(page)
            said = self._page.page.format(page=page, pages=pages)
            self.set_y(_HEIGHT - 17)
            self._pair(self._page.title if pages > 1 else "", said, 8.5, colour=_MUTED, height=5)

    def _restore_font_on(self, page: int) -> None:
        """Have the font written anew: what was set last was set on another page."""
        self.page = page
        self.font_family = ""

    def _rule(self, colour: tuple[int, int, int]) -> None:
        self.set_draw_color(*colour)
        self.line(_MARGIN, self.get_y(), _WIDTH - _MARGIN, self.get_y())

    def _pair(
        self,
        text: str,
        amount: str,
        size: float,
        *,
        bold: bool = False,
        colour: tuple[int, int, int] = _INK,
        height: float,
    ) -> None:
        top = self.get_y()
        self._line(text, size, bold=bold, colour=colour, height=height, width=_INNER - _AMOUNT)
        self.set_xy(_WIDTH - _MARGIN - _AMOUNT, top)
        self._line(amount, size, bold=bold, colour=colour, height=height, width=_AMOUNT, align="R")

    def _line(
        self,
        text: str,
        size: float,
        *,
        bold: bool = False,
        colour: tuple[int, int, int] = _INK,
        height: float,
        width: float = _INNER,
        align: str = "L",
    ) -> None:
        self.set_font(self.family, self.bold if bold else "", size)
        self.set_text_color(*colour)
        self.cell(width, height, text, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _wrapped(self, text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
        """A text in lines that fit, broken at spaces, hyphens and between Chinese characters."""
        self.set_font(self.family, self.bold if bold else "", size)
        lines, line = [], ""
        for piece in _pieces(text):
            if line and self.get_string_width((line + piece).rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
            while self.get_string_width(line.rstrip()) > width and len(line) > 1:
                fits = self._fitting(line, width)
                lines.append(line[:fits])
                line = line[fits:]
        return [*lines, line.rstrip()] if line.strip() or not lines else lines

    def _fitting(self, word: str, width: float) -> int:
        """How many characters of a word that is longer than a line fit in one, at least one."""
        count = 1
        while self.get_string_width(word[: count + 1]) <= width:
            count += 1
        return count


def _pieces(text: str) -> Iterator[str]:
    """The smallest parts between which a line may end."""
    piece = ""
    for n, character in enumerate(text):
        piece += character
        following = text[n + 1 : n + 2]
        may_end = character in " -/" or _is_wide(character) or _is_wide(following)
        if may_end and following not in _NEVER_FIRST and following != " ":
            yield piece
            piece = ""
    if piece:
        yield piece


def _is_wide(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in {"W", "F"}
