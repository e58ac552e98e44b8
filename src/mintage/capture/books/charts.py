"""Charts as SVG, written by hand: sharp at every size, no script, no request, text as text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape

INK, MUTED, GRID, LESS, MORE = "#33302b", "#6f685e", "#e6e0d4", "#0f766e", "#c2570c"
_ROW, _GAP = 26, 12
_LETTER = 8.6
_WIDTH, _LONGEST_LABEL = 720, 26


def bars(rows: Sequence[tuple[str, float, str]], *, title: str) -> str:
    """Rows of a label, a value and its words: to the right where above zero, else to the left."""
    labels = [_cut(row[0]) for row in rows]
    left = max((_length(label) for label in labels), default=0) * _LETTER + _GAP
    words = max((_length(row[2]) for row in rows), default=0) * _LETTER + _GAP
    low = min(0.0, *(row[1] for row in rows)) if rows else 0.0
    high = max(0.0, *(row[1] for row in rows)) if rows else 0.0
    # Words stand at the outer end of each bar.
    inner = max(_WIDTH - left - words * (2 if low < 0 else 1), 120)
    scale = inner / (high - low) if high > low else 0.0
    zero = left + (words if low < 0 else 0) - low * scale
    parts = []
    for place, (label, row) in enumerate(zip(labels, rows, strict=True)):
        value, said = row[1], row[2]
        top, length = place * _ROW + 4, abs(value) * scale
        begin = zero if value >= 0 else zero - length
        end = zero + length + 6 if value >= 0 else zero - length - 6
        side = "start" if value >= 0 else "end"
        parts.append(
            f'<text x="{left - _GAP:.1f}" y="{top + 13}" text-anchor="end">{escape(label)}</text>'
            f'<rect x="{begin:.1f}" y="{top}" width="{max(length, 0.6):.1f}" height="18" rx="2" '
            f'fill="{MORE if value >= 0 and low < 0 else LESS}"/>'
            f'<text x="{end:.1f}" y="{top + 13}" text-anchor="{side}" fill="{MUTED}">'
            f"{escape(said)}</text>"
        )
    height = len(rows) * _ROW + 4
    axis = f'<path d="M{zero:.1f} 0V{height}" stroke="{MUTED}" stroke-width="1"/>'
    return _svg(height, title, "".join(parts) + axis)


def heat(
    rows: Sequence[tuple[str, Sequence[tuple[float, str] | None]]],
    heads: Sequence[str],
    *,
    title: str,
) -> str:
    """A row for each label, a cell for each head; a share from 0 to 1 is how dark it is."""
    left = max((_length(label) for label, __ in rows), default=0) * _LETTER + _GAP
    wide = max(44.0, min(90.0, (_WIDTH - left) / max(1, len(heads))))
    parts = [
        f'<text x="{left + wide * (place + 0.5):.1f}" y="14" text-anchor="middle" fill="{MUTED}">'
        f"{escape(head)}</text>"
        for place, head in enumerate(heads)
    ]
    for line, (label, cells) in enumerate(rows):
        top = 22 + line * _ROW
        parts.append(
            f'<text x="{left - _GAP:.1f}" y="{top + 17}" text-anchor="end">{escape(label)}</text>'
        )
        for place, cell in enumerate(cells):
            if cell is None:
                continue
            share, said = cell
            letters = "#fff" if share > 0.55 else INK
            x = left + wide * place
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{top + 1}" width="{wide - 2:.1f}" height="{_ROW - 2}" '
                f'rx="3" fill="{LESS}" fill-opacity="{0.06 + 0.94 * min(1.0, share):.3f}"/>'
                f'<text x="{x + wide / 2:.1f}" y="{top + 17}" text-anchor="middle" '
                f'fill="{letters}">{escape(said)}</text>'
            )
    return _svg(24 + len(rows) * _ROW, title, "".join(parts), left + wide * len(heads))


def _svg(height: float, title: str, content: str, width: float = _WIDTH) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {max(width, _WIDTH):.0f} '
        f'{height:.0f}" role="img" aria-label="{escape(title)}" font-size="13" fill="{INK}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _length(text: str) -> int:
    """Letters, of which Chinese ones are twice as wide."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _cut(label: str) -> str:
    if _length(label) <= _LONGEST_LABEL:
        return label
    kept = label
    while _length(kept) > _LONGEST_LABEL - 1:
        kept = kept[:-1]
    return f"{kept}…"
