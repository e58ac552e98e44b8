"""Plots as SVG with text as text: sharp at every size, searchable, no script, no request."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mintage.core.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, TRAIN, VALIDATION = "#33302b", "#8a8378", "#c98a1b", "#0f766e"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - 0.6 s, needed only for a report
        from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415
        from matplotlib.ticker import MaxNLocator  # noqa: PLC0415
    except ImportError as error:
        raise missing_extra("Matplotlib", "train") from error
    with rc_context({"svg.fonttype": "none"}):
        figure = NewFigure(figsize=(width, height), layout="constrained")
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
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "mintage", "font.family": "sans-serif"}
    with rc_context(settings), warnings.catch_warnings():
        # The reader's browser has the glyphs that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # A fixed salt and no date: the same figures give the same bytes.
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": title})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def learning_curves(history: Sequence[Mapping[str, Any]], title: str) -> str:
    """Accuracy on training and validation data by epoch."""
    figure, axes = _figure(5.6, 3.0)
    for column, colour, name in (
        ("train_accuracy", TRAIN, "training"),
        ("validation_accuracy", VALIDATION, "validation"),
    ):
        points = [(row["epoch"], row[column]) for row in history if row.get(column) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, label=name, linewidth=2)
    axes.set_xlabel("epoch", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(axis="y", color="#e6e0d4", linewidth=0.8)
    axes.legend(frameon=False, labelcolor=INK)
    return _svg(figure, title)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> str:
    """Rows are the true classes, columns the answers; shaded by the share of the row."""
    side = min(9.0, 1.8 + 0.75 * len(labels))
    figure, axes = _figure(side + 0.6, side)
    shares = [[cell / max(1, sum(row)) for cell in row] for row in matrix]
    # Vector cells: an image would be embedded as PNG, which the report's CSP rightly refuses.
    axes.pcolormesh(shares, cmap="BuGn", vmin=0, vmax=1.25, edgecolors="white", linewidth=2)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for i, row in enumerate(matrix):
        for j, cell in enumerate(row):
            colour = "white" if shares[i][j] > 0.7 else INK
            axes.text(j + 0.5, i + 0.5, str(cell), ha="center", va="center", color=colour)
    centres = [position + 0.5 for position in range(len(labels))]
    axes.set_xticks(centres, labels, rotation=0 if len(labels) < 5 else 45)
    axes.set_yticks(centres, labels)
    axes.set_xlabel("answered", color=INK)
    axes.set_ylabel("true", color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _svg(figure, title)
