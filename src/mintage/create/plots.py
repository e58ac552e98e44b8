"""The report's plots; what each one says is in ``docs/explanation/evaluation.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mintage.core.messages import _, told
from mintage.create.drawing import (
    ALARM,
    CHOICE,
    GRID,
    INK,
    MUTED,
    TRAIN,
    add_legend,
    as_svg,
    extra,
    in_percent,
    name_axes,
    new_figure,
    width_of,
)
from mintage.create.words import LEVELS, VALIDATION, damage_name, slice_name

Row = Mapping[str, Any]
_WIDTH, _HEIGHT = 4.6, 3.1
"""Inches; 442 pixels, so that letters stay readable on a phone 390 wide."""


def learning_curves(history: Sequence[Row], title: str, measure: str = "accuracy") -> str:
    """``accuracy`` or ``loss`` while training and on validation data, by epoch."""
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    for column, colour, name in (
        (f"train_{measure}", TRAIN, _("while training")),
        (f"validation_{measure}", CHOICE, VALIDATION),
    ):
        points = [(row["epoch"], row[column]) for row in history if row.get(column) is not None]
        if points:
            marker = "o" if len(points) == 1 else None
            across, up = zip(*points, strict=True)
            axes.plot(across, up, color=colour, label=told(name), linewidth=2, marker=marker)
    name_axes(axes, _("epoch"), _("accuracy") if measure == "accuracy" else _("loss"))
    if measure == "accuracy":
        in_percent(axes.yaxis)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    if axes.lines:
        add_legend(axes, 2)
    return as_svg(figure, title)


def confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> str:
    """Rows are the true classes, columns the answers; shaded by the share of the row."""
    side, more = min(9.0, 1.8 + 0.75 * len(labels)), extra(labels)
    cell = (side - 1.0) / len(labels)
    slanted = max(map(width_of, labels)) > 0.9 * cell
    figure, axes = new_figure(side + 0.6, side, left=more, below=more if slanted else 0.0)
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    # Vector cells: an image would be embedded as PNG, and its numbers could not be searched.
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
    name_axes(axes, _("answered"), _("true"))
    for spine in axes.spines.values():
        spine.set_visible(False)
    return as_svg(figure, title)


def reliability(before: Sequence[Row], after: Sequence[Row], title: str) -> str:
    """How right answers of each confidence are; on the dotted line they are what they say."""
    figure, axes = new_figure(_WIDTH, _HEIGHT + 0.6)
    lowest = min(row["confidence"] for row in (*before, *after))
    axes.plot([lowest, 1], [lowest, 1], color=MUTED, linewidth=1, linestyle=":")
    for rows, colour, name, size in (
        (before, TRAIN, _("before scaling"), 3),
        (after, CHOICE, _("after scaling"), 5),
    ):
        across, up = zip(*((row["confidence"], row["accuracy"]) for row in rows), strict=True)
        axes.plot(across, up, color=colour, label=told(name), linewidth=0, marker="o", ms=size)
    for row in after:
        axes.plot([row["confidence"]] * 2, row["interval"], color=CHOICE, linewidth=1, alpha=0.5)
    name_axes(axes, _("probability of the answer"), _("share of right answers"))
    in_percent(axes.xaxis, axes.yaxis)
    axes.grid(color=GRID, linewidth=0.8)
    add_legend(axes, 2)
    return as_svg(figure, title)


def coverage(curve: Sequence[Row], threshold: float | None, title: str) -> str:
    """How right the surest answers are, by their share; shaded are the intervals."""
    figure, axes = new_figure(_WIDTH, _HEIGHT)
    across = [row["coverage"] for row in curve]
    low, high = zip(*(row["interval"] for row in curve), strict=True)
    axes.fill_between(across, low, high, color=CHOICE, alpha=0.15, linewidth=0)
    axes.plot(across, [row["accuracy"] for row in curve], color=CHOICE, linewidth=2)
    if threshold is not None:
        answered = max(
            (row["coverage"] for row in curve if row["threshold"] >= threshold), default=0
        )
        axes.axvline(answered, color=MUTED, linewidth=1, linestyle=":")
    name_axes(axes, _("share that is answered, the surest first"), _("share of right answers"))
    in_percent(axes.xaxis, axes.yaxis)
    axes.set_xlim(0, 1)
    axes.grid(color=GRID, linewidth=0.8)
    return as_svg(figure, title)


def slices(rows: Sequence[Row], overall: float, worst: int | None, title: str) -> str:
    """Accuracy of each slice with its interval; the line is the accuracy of all."""
    names = [told(slice_name(row)) for row in rows]
    figure, axes = new_figure(_WIDTH + 1.2, 0.9 + 0.3 * len(rows), left=extra(names))
    axes.axvline(overall, color=MUTED, linewidth=1, linestyle=":")
    for position, row in enumerate(rows):
        colour = ALARM if position == worst else CHOICE
        axes.plot(row["interval"], [position] * 2, color=colour, linewidth=1.5, alpha=0.6)
        axes.plot(row["accuracy"], position, color=colour, marker="o", ms=6)
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(told(_("share of right answers")), color=INK)
    in_percent(axes.xaxis)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return as_svg(figure, title)


def robustness(settings: Sequence[Row], accuracy: float, title: str) -> str:
    """Accuracy as each kind of damage grows; where the lines begin, nothing is damaged."""
    figure, axes = new_figure(_WIDTH, _HEIGHT + 0.7)
    kinds = list(dict.fromkeys(row["kind"] for row in settings))
    styles = zip(("#0f766e", "#c98a1b", "#4f46a5", "#33302b", "#b3261e"), "osD^v", strict=True)
    for kind, (colour, marker) in zip(kinds, styles, strict=False):
        up = [accuracy, *(row["accuracy"] for row in settings if row["kind"] == kind)]
        name = told(damage_name(kind))
        axes.plot(range(len(up)), up, color=colour, label=name, marker=marker, ms=4)
    axes.set_xticks(range(len(LEVELS)), [told(level) for level in LEVELS])
    axes.set_ylabel(told(_("share of right answers")), color=INK)
    in_percent(axes.yaxis)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    add_legend(axes, 2)
    return as_svg(figure, title)
