"""Plots as SVG with text as text: sharp at every size, searchable, no script, no request."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mintage.core.errors import missing_extra
from mintage.core.messages import _, told
from mintage.create.words import VALIDATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, TRAIN, CHOICE = "#33302b", "#8a8378", "#c98a1b", "#0f766e"
FONTS = (
    "system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC','Source Han Sans SC',"
    "'WenQuanYi Micro Hei',sans-serif"
)
"""What a browser looks for: its system's own letters, and Chinese ones on every system."""

# Matplotlib's own letters, by which it measures. Chinese is not among them: see `_extra`.
_MEASURED_BY = "DejaVu Sans"
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mintage",  # a fixed salt and no date: the same figures give the same bytes
    "font.family": [_MEASURED_BY],
}


def _figure(
    width: float, height: float, *, left: float = 0.0, below: float = 0.0
) -> tuple[Figure, Axes]:
    """A drawing of so many inches, and as many more where letters are wider than measured."""
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - 0.6 s, needed only for a report
        from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415
        from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra("Matplotlib", "train") from error
    whole = (width + left, height + below)
    inside = (left / whole[0], below / whole[1], width / whole[0], height / whole[1])
    with rc_context(_SETTINGS):
        figure = NewFigure(figsize=whole, layout=ConstrainedLayoutEngine(rect=inside))
        axes = figure.add_subplot()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.tick_params(colors=MUTED, labelcolor=INK, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    from matplotlib import rc_context  # noqa: PLC0415

    stream = io.StringIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        # The reader's browser has the glyphs that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": told(title)})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(f"'{_MEASURED_BY}'", FONTS)


def _extra(labels: Sequence[str]) -> float:
    """Inches that the longest label takes beyond what was measured.

    At 10 points a Chinese letter or an emoji is as wide as it is high, and the box that stands
    for a missing glyph is 0.6 of that.
    """
    return max(0.4 * 10 / 72 * sum(map(_is_wide, label)) for label in labels)


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _width(label: str) -> float:
    """Inches, about, at 10 points."""
    return sum(1.0 if _is_wide(letter) else 0.6 for letter in label) * 10 / 72


def learning_curves(history: Sequence[Mapping[str, Any]], title: str) -> str:
    """Accuracy while training and on validation data, by epoch."""
    figure, axes = _figure(5.6, 3.2)
    for column, colour, name in (
        ("train_accuracy", TRAIN, _("while training")),
        ("validation_accuracy", CHOICE, VALIDATION),
    ):
        points = [(row["epoch"], row[column]) for row in history if row.get(column) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=told(name), linewidth=2)
    axes.set_xlabel(told(_("epoch")), color=INK)
    axes.set_ylabel(told(_("accuracy")), color=INK)
    axes.yaxis.set_major_formatter(lambda share, __: f"{share:.0%}")
    axes.grid(axis="y", color="#e6e0d4", linewidth=0.8)
    if axes.lines:
        # Above the curves, with room: Chinese words are wider than they are measured.
        axes.legend(
            frameon=False,
            labelcolor=INK,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=2,
            columnspacing=4,
            borderaxespad=0,
        )
    return _svg(figure, title)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> str:
    """Rows are the true classes, columns the answers; shaded by the share of the row."""
    side, extra = min(9.0, 1.8 + 0.75 * len(labels)), _extra(labels)
    cell = (side - 1.0) / len(labels)
    slanted = max(map(_width, labels)) > 0.9 * cell
    figure, axes = _figure(side + 0.6, side, left=extra, below=extra if slanted else 0.0)
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    # Vector cells: an image would be embedded as PNG, which the report's CSP rightly refuses.
    axes.pcolormesh(shares, cmap="BuGn", vmin=0, vmax=1.25, edgecolors="white", linewidth=2)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for i, row in enumerate(matrix):
        for j, count in enumerate(row):
            colour = "white" if shares[i][j] > 0.7 else INK
            axes.text(j + 0.5, i + 0.5, str(count), ha="center", va="center", color=colour)
    centres = [position + 0.5 for position in range(len(labels))]
    # A class's name is not a formula, whatever dollar signs it has.
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(centres, labels, parse_math=False, **(turned if slanted else {}))
    axes.set_yticks(centres, labels, parse_math=False)
    axes.set_xlabel(told(_("answered")), color=INK)
    axes.set_ylabel(told(_("true")), color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _svg(figure, title)
