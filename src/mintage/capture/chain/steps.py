"""A walk as a tree: each link that was looked at, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from mintage.core.errors import BooksBroken, TrustError
from mintage.core.messages import Message, _

Mark = Literal["holds", "open", "broken"]
"""``open``: it could not be checked, since what shows it is not held."""

BY_SELLER = _("Ask the seller for the evidence anew, and about this line.")


@dataclass
class Step:
    """One link: what was looked at, whether it holds, and what hangs on it."""

    said: Message
    mark: Mark = "holds"
    steps: list[Step] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As ``verify --json`` says it, in English."""
        below = [each.to_json() for each in self.steps]
        return {"said": str(self.said), "mark": self.mark, "steps": below}

    def open(self) -> Iterator[Step]:
        """Every link here and below that could not be checked."""
        if self.mark == "open":
            yield self
        for each in self.steps:
            yield from each.open()

    def leave_open(self, said: Message) -> None:
        """Say what could not be checked here."""
        self.steps.append(Step(said, "open"))

    @contextmanager
    def walking(self, step: Step) -> Iterator[Step]:
        """Go on to a link below: what is raised within marks it as broken."""
        self.steps.append(step)
        with step.holding():
            yield step

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What is raised within marks this link as broken."""
        try:
            yield
        except TrustError:
            self.mark = "broken"
            raise


def broken(said: Message) -> BooksBroken:
    """Why an invoice does not hold."""
    return BooksBroken(said, remedy=BY_SELLER)


def broken_line(number: int, what: Message) -> BooksBroken:
    """Why a line of it does not."""
    return broken(_("Line {line} does not hold: {what}.", line=number, what=what))
