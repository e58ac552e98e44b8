"""Whether what limits are held against is what the events come to."""

from __future__ import annotations

from collections.abc import Iterator

from mintage.capture.limits import counters, repository
from mintage.capture.limits.binding import version_of
from mintage.capture.limits.bounds import Counted
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.repository import versions_of_plan
from mintage.core.errors import BooksBroken
from mintage.core.messages import _
from mintage.store.engine import Database


class CountCheck:
    """Counts again what was counted as it was recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self) -> int:
        """How many counts there are.

        Raises:
            BooksBroken: one is not what its events come to.
        """
        with self._database.read() as connection:
            counts = repository.all_counts(connection)
        for row in counts:
            # One at a time: no checkpoint of the database has to wait for all of them.
            with self._database.read() as connection:
                used = repository.used(connection, row["counter"])
                if used is not None and used not in _recounted(connection, row):
                    raise _otherwise(row["counter"], used)
        return len(counts)


def _recounted(connection: repository.Connection, row: repository.Values) -> Iterator[int]:
    """What the events come to; by each version of a plan where a count is of all of them."""
    customer, plan, counter = row["customer"], row["plan"], row["counter"]
    name, __, last = counter.rpartition("/")
    month = Period.parse(last)
    if not plan:
        key, __, currency = name.partition("/")
        yield counters.spent_in(connection, customer, key, currency, month)
        return
    for each in versions_of_plan(connection, plan):
        version = version_of(connection, customer, Plan.from_row(each))
        for charge in version.terms.charges:
            for on_trial, is_alone in ((False, False), (False, True), (True, False), (True, True)):
                counted = Counted(customer, version, charge, on_trial=on_trial, is_alone=is_alone)
                if counted.counter == name:
                    yield counters.recounted(connection, counted, month)


def _otherwise(counter: str, used: int) -> BooksBroken:
    return BooksBroken(
        _(
            "The count {counter}, which limits are held against, is {used}; its calls come to less "
            "or more.",
            counter=counter,
            used=used,
        ),
        remedy=_("Restore the workspace from a backup, or report this."),
    )
