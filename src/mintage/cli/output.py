"""How the command line speaks: results on stdout, words and progress on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from mintage.core.messages import Message, _, told

# In a file or a pipe lines are as long as they are: what is copied from them must be whole.
_WIDTH = None if sys.stdout.isatty() else 200
stdout = Console(highlight=False, soft_wrap=True, width=_WIDTH)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def emit(document: Any) -> None:
    """One JSON document on stdout, and nothing else there."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(document, ensure_ascii=not utf8, indent=2) + "\n")


def say(text: str) -> None:
    """A line for people, on stderr."""
    stderr.print(escape(shown(text)))


def say_renewed() -> None:
    """Say of a document that another key signed it first."""
    say(
        _(
            "The key that signed this first was revoked since; the present one signed the same "
            "again."
        )
    )


def warn(text: str) -> None:
    """A warning for people, on stderr."""
    stderr.print("[yellow]" + told(_("warning: ")) + f"[/]{escape(shown(text))}")


def line(text: str = "") -> None:
    """A line of the result, on stdout."""
    stdout.print(escape(shown(text)))


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
    grid = Table(
        title=title and told(title),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for position, name in enumerate(head):
        numeric = position >= len(head) - numbers
        grid.add_column(
            told(name),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=name in _WHOLE,
        )
    for row in rows:
        grid.add_row(*(escape(shown(cell)) for cell in row))
    stdout.print(grid)


def facts(rows: Iterable[tuple[str, object]]) -> None:
    """Names and what they stand for, a line each, on stdout; the values begin in one column."""
    said = [(told(name), shown(value)) for name, value in rows]
    width = max(cell_len(name) for name, __ in said)
    for name, value in said:
        line(name + " " * (width - cell_len(name) + 2) + value)


_ROOMY = 110
"""Columns of a terminal from which a bar may be long."""

_BESIDE = 34
"""Columns that a title leaves to the share, the time and the first part of a note."""


def _cropped(text: str, columns: int) -> str:
    """As much of it as there is room for."""
    if cell_len(text) <= columns:
        return text
    while text and cell_len(text) >= columns:
        text = text[:-1]
    return text + "…"


def _whole() -> Column:
    return Column(no_wrap=True)


class TerminalProgress:
    """A bar where there is a terminal; elsewhere one line as each stage begins.

    As a context, a stage that is broken off in it leaves its bar as far as it came.
    """

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._room = 0  # columns beside the bar

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *__: object) -> None:
        self._stop()

    def start(self, title: str, total: float | None = None) -> None:
        """Begin a stage."""
        self.finish()
        if not stderr.is_terminal:
            say(title)
            return
        bar = 28 if stderr.width >= _ROOMY else 10
        title = _cropped(shown(title), stderr.width - bar - _BESIDE)
        self._room = stderr.width - cell_len(title) - bar - len(" 100 % 0:00:00 ") - 1
        self._bars = Bars(
            TextColumn("{task.description}", table_column=_whole()),
            BarColumn(bar_width=bar),
            TextColumn("" if total is None else "{task.percentage:>3.0f} %", table_column=_whole()),
            TimeElapsedColumn(table_column=_whole()),
            TextColumn("{task.fields[note]}", table_column=_whole()),
            console=stderr,
        )
        self._task = self._bars.add_task(escape(title), total=total, note="")
        self._bars.start()

    def advance(self, done: float, note: str = "") -> None:
        """Move the bar."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=done, note=escape(self._fitting(shown(note))))

    def _fitting(self, note: str) -> str:
        """As many of its parts, which two spaces divide, as there is room for; one at least."""
        parts = note.split("  ")
        while len(parts) > 1 and cell_len("  ".join(parts)) > self._room:
            parts.pop()
        return "  ".join(parts)

    def finish(self) -> None:
        """End the stage; its last line stays on the screen."""
        if self._bars is not None and self._task is not None:
            total = self._bars.tasks[0].total
            if total is not None and not self._bars.finished:
                self._bars.update(self._task, total=total)
        self._stop()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None

    def say(self, text: str) -> None:
        """One line, kept on the screen."""
        say(text)


# What would move the cursor, change colours or turn the direction of the text: names of files may
# hold anything.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def shown(cell: object) -> str:
    """What is printed of a value: in the reader's language, and harmless to a terminal."""
    text = told(cell) if isinstance(cell, Message) else str(cell)
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
