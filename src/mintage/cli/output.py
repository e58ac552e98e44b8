"""How the command line speaks: results on stdout, words and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from mintage.core.messages import Message, _, told

# In a file or a pipe lines are as long as they are: what is copied from them must be whole.
_WIDTH = None if sys.stdout.isatty() else 200
stdout = Console(highlight=False, soft_wrap=True, width=_WIDTH)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(document: Any) -> None:
    """One JSON document on stdout, and nothing else there."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def say(text: str) -> None:
    """A line for people, on stderr."""
    stderr.print(escape(told(text)))


def warn(text: str) -> None:
    """A warning for people, on stderr."""
    stderr.print(f"[yellow]{told(_('warning:'))}[/] {escape(told(text))}")


def line(text: str = "") -> None:
    """A line of the result, on stdout."""
    stdout.print(escape(told(text)))


_WHOLE = {"id", "key", "receipt"}
"""Columns whose values are copied: never broken over two lines."""


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: int = 0,
    title: str | None = None,
) -> None:
    """A table on stdout; the last ``numbers`` columns are aligned as numbers."""
    shown = Table(
        title=title and told(title),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for position, name in enumerate(head):
        numeric = position >= len(head) - numbers
        shown.add_column(
            told(name),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=name in _WHOLE,
        )
    for row in rows:
        shown.add_row(*(escape(_shown(cell)) for cell in row))
    stdout.print(shown)


class TerminalProgress:
    """A bar where there is a terminal; elsewhere one line as each stage begins."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None

    def start(self, title: str, total: float | None = None) -> None:
        """Begin a stage."""
        self.finish()
        if not stderr.is_terminal:
            say(title)
            return
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("" if total is None else "{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=stderr,
        )
        self._task = self._bars.add_task(escape(told(title)), total=total, note="")
        self._bars.start()

    def advance(self, done: float, note: str = "") -> None:
        """Move the bar."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, note=told(note))

    def finish(self) -> None:
        """End the stage; its last line stays on the screen."""
        if self._bars is not None and self._task is not None:
            total = self._bars.tasks[0].total
            if total is not None and not self._bars.finished:
                self._bars.update(self._task, total=total)
            self._bars.stop()
        self._bars = self._task = None

    def say(self, text: str) -> None:
        """One line, kept on the screen."""
        say(text)


def _shown(cell: object) -> str:
    return told(cell) if isinstance(cell, Message) else str(cell)
