"""Whether all that money rests on holds together; a part that does not hides no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from mintage.capture.books.ledger import Balances, Ledger
from mintage.capture.checking.counts import CountCheck
from mintage.capture.checking.documents import DocumentCheck
from mintage.capture.checking.usage import CheckedUsage, UsageCheck
from mintage.capture.hours.rollup import Rollup
from mintage.capture.limits.prepaid import Credits
from mintage.capture.pricing.periods import Period
from mintage.core.errors import BooksBroken
from mintage.core.messages import _
from mintage.core.progress import Progress
from mintage.store.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class CheckedBooks:
    """What the ledger comes to, and what was found wrong; None is what does not hold.

    ``summed`` is how many events are summed up by the hour as they are recorded.
    """

    balances: Balances | None
    summed: int | None
    usage: CheckedUsage
    faults: Sequence[BooksBroken]

    def to_json(self) -> dict[str, Any]:
        """As ``ledger check --json`` says it."""
        balances = Balances(0, {}) if self.balances is None else self.balances
        return {
            **balances.to_json(),
            "events": self.summed,
            "logged": self.usage.to_json(),
            "faults": [str(fault.message) for fault in self.faults],
        }


def check_books(
    workspace: Workspace, since: Period | None = None, progress: Progress | None = None
) -> CheckedBooks:
    """Add up the ledger and the usage behind it, and hold both against the audit log.

    ``since`` is the first month whose events are held against it; None is all of them.
    """
    database, clock = workspace.database, workspace.clock
    faults: list[BooksBroken] = []

    def held(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except BooksBroken as fault:
            faults.append(fault)
            return None

    rollup = Rollup(database, clock)
    rollup.catch_up()
    balances = held(Ledger(database).check)
    held(DocumentCheck(database).check)
    held(Credits(database, clock).check)
    held(CountCheck(database).check)
    summed = held(rollup.check)
    usage = UsageCheck(database).check(since, progress)
    faults += [
        BooksBroken(
            fault.said(),
            remedy=_("Stop, keep a copy of the workspace, and run: mintage audit verify"),
        )
        for fault in usage.named
    ]
    return CheckedBooks(balances, summed, usage, faults)
