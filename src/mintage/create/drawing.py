"""Drawing as SVG with text as text: sharp at every size, searchable, no script, no request."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mintage.core.errors import missing_extra
from mintage.core.messages import told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#33302b", "#8a8378", "#e6e0d4"
TRAIN, CHOICE, ALARM = "#c98a1b", "#0f766e", "#b3261e"
FONTS = (
    "system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC','Source Han Sans SC',"
    "'WenQuanYi Micro Hei',sans-serif"
)
"""What a browser looks for: its system's own letters, and Chinese ones on every system."""

# Matplotlib's own letters, by which it measures. Chinese is not among them: see `extra`.
_MEASURED_BY = "DejaVu Sans"
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mintage",  # a fixed salt and no date: the same figures give the same bytes
    "font.family": [_MEASURED_BY],
}


def new_figure(
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


def as_svg(figure: Figure, title: str) -> str:
    """The drawing as one SVG element, of which ``title`` says what it is."""
    from matplotlib import rc_context  # noqa: PLC0415

    stream = io.StringIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        # The reader's browser has the glyphs that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": told(title)})
    text = stream.getvalue()
    return text[text.index("<svg") :].replace(f"'{_MEASURED_BY}'", FONTS)


def name_axes(axes: Axes, across: str, up: str) -> None:
    """Say what the two directions are, in the reader's language."""
    axes.set_xlabel(told(across), color=INK)
    axes.set_ylabel(told(up), color=INK)


def in_percent(*directions: Any) -> None:
    """Ticks as percentages, whole where they are not close to one another.

    ``directions`` are an axes' ``xaxis`` and ``yaxis``.
    """
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    percent: Callable[[float, int], str] = lambda share, __: f"{round(100 * share, 1):g}%"  # noqa: E731
    for direction in directions:
        direction.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        direction.set_major_formatter(percent)


def add_legend(axes: Axes, columns: int) -> None:
    """Above the drawing, with room: Chinese words are wider than they are measured."""
    axes.legend(
        frameon=False,
        labelcolor=INK,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        columnspacing=4 if columns == 2 else 2.5,
        borderaxespad=0,
    )


def extra(labels: Sequence[str]) -> float:
    """Inches that the longest label takes beyond what was measured.

    At 10 points a Chinese letter or an emoji is as wide as it is high, and the box that stands
    for a missing glyph is 0.6 of that.
    """
    return max(0.4 * 10 / 72 * sum(map(_is_wide, label)) for label in labels)


def width_of(label: str) -> float:
    """Inches, about, at 10 points."""
    return sum(1.0 if _is_wide(letter) else 0.6 for letter in label) * 10 / 72


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"
