"""How the audits of what is sold stand: when each was, and when the next is due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mintage.app.finding import Finding
from mintage.core.messages import Message, _


@dataclass(frozen=True)
class Due:
    """A version that is sold, and its newest audit; all None where there was none."""

    model: str
    audited_at: str | None
    due_at: str | None
    passed: bool | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Due:
        """Of a row of ``inventory.audits_due``."""
        passed = row["passed"]
        return cls(
            f"{row['model']}@{row['version']}",
            row["audited_at"],
            row["due_at"],
            None if passed is None else bool(passed),
        )

    def is_overdue(self, now: str) -> bool:
        """Whether an audit should have been by now, or none ever was."""
        return self.due_at is None or self.due_at <= now

    def in_words(self, now: str) -> Message:
        """How it stands."""
        if self.due_at is None or self.audited_at is None:
            return _("{model} is sold and never was audited", model=self.model)
        if not self.passed:
            return _(
                "{model} did not pass its audit of {day}",
                model=self.model,
                day=self.audited_at[:10],
            )
        if self.is_overdue(now):
            return _(
                "the audit of {model} was due on {day}", model=self.model, day=self.due_at[:10]
            )
        return _("the audit of {model} is due on {day}", model=self.model, day=self.due_at[:10])


def doubts(standing: Iterable[Due], now: str) -> Iterator[Finding]:
    """What ``doctor`` says of them: a warning for each that is overdue or was not passed."""
    whole, count = True, 0
    for each in standing:
        count += 1
        remedy = _("Look it over: mintage audit run {model}", model=each.model)
        if each.passed is False:
            whole = False
            said = each.in_words(now)
            yield Finding(_("audits"), "problem", said, remedy, ("audit.failed", "high"))
        elif each.is_overdue(now):
            whole = False
            code = "audit.never" if each.due_at is None else "audit.overdue"
            said = each.in_words(now)
            yield Finding(_("audits"), "warning", said, remedy, (code, "medium"))
    if whole and count:
        found = _("{count} models that are sold, none overdue", count=count)
        yield Finding(_("audits"), "ok", found)
