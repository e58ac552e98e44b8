"""Progress of long work: a protocol, so that no room knows how it is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Shows how far a long job is; the terminal draws a bar, tests and servers nothing."""

    def start(self, title: str, total: float | None = None) -> None:
        """Begin a stage of ``total`` units (None: not known)."""
        ...

    def advance(self, done: float, note: str = "") -> None:
        """``done`` units of the stage are finished; ``note`` is what to say beside the bar.

        Where there is little room its last parts, which two spaces divide, are left out first.
        """
        ...

    def finish(self) -> None:
        """End the stage."""
        ...

    def say(self, text: str) -> None:
        """One line for people, kept on the screen."""
        ...


class Silent:
    """Shows nothing."""

    def start(self, title: str, total: float | None = None) -> None:
        """Show nothing."""

    def advance(self, done: float, note: str = "") -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""
