"""Small fonts, drawn for a test: each of their characters is a box as wide as an em."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTCollection, TTFont

_EM = 1000
_MADE = 3_900_000_000  # seconds since 1904
LATIN = "".join(map(chr, range(0x20, 0x7F))) + "–—×"


def make_font(path: Path, characters: str, name: str = "Boxes") -> Path:
    """A TrueType font, or one with PostScript outlines where the name ends in ``otf``."""
    _built(characters, name, outlines=path.suffix == ".otf").save(path)
    return path


def make_collection(path: Path, faces: dict[str, str]) -> Path:
    """Several fonts in one file, by name, each with its characters."""
    collection = TTCollection()
    collection.fonts = [_built(characters, name) for name, characters in faces.items()]
    collection.save(path)
    return path


def _built(characters: str, name: str, *, outlines: bool = False) -> TTFont:
    letters = sorted(set(characters))
    glyphs = [".notdef", *(f"u{ord(each):05X}" for each in letters)]
    builder = FontBuilder(_EM, isTTF=not outlines)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(each): f"u{ord(each):05X}" for each in letters})
    if outlines:
        charstrings = {glyph: _box(T2CharStringPen(_EM, None)).getCharString() for glyph in glyphs}
        builder.setupCFF(name, {"FullName": name}, charstrings, {})
    else:
        builder.setupGlyf({glyph: _box(TTGlyphPen(None)).glyph() for glyph in glyphs})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (_EM, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": name, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = _MADE
    return builder.font


def _box(pen: Any) -> Any:
    for n, point in enumerate(((100, 0), (900, 0), (900, 700), (100, 700))):
        (pen.lineTo if n else pen.moveTo)(point)
    pen.closePath()
    return pen
