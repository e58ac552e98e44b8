"""Usage by the hour: events summed up once, in steps that are only ever added."""

from __future__ import annotations

from mintage.capture.hours import repository
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import BooksBroken
from mintage.core.messages import _
from mintage.store.engine import Database

_EVENTS_A_STEP = 200_000
"""A step is one transaction, during which no call can be recorded: about half a second."""


class Rollup:
    """Sums up what was recorded, and shows that the sums are the events."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def catch_up(self) -> int:
        """Sum up all events recorded until now; the last step, which names them all."""
        while self._database.write(self._one_step) is not None:
            continue
        with self._database.read() as connection:
            return repository.last_step(connection)

    def catch_up_within(self, connection: repository.Connection) -> int:
        """The same inside a write, for the few events since the last time."""
        while self._one_step(connection) is not None:
            continue
        return repository.last_step(connection)

    def _one_step(self, connection: repository.Connection) -> int | None:
        after = repository.last_step(connection)
        step = repository.last_event(connection, after, _EVENTS_A_STEP)
        if step is not None:
            repository.sum_up(connection, after, step, timestamp(self._clock.now()))
        return step

    def check(self) -> int:
        """How many events are summed up.

        Raises:
            BooksBroken: an hour is not the sum of its events.
        """
        with self._database.read() as connection:
            until = repository.last_step(connection)
            wrong = _first_difference(connection, until)
        if wrong is not None:
            customer, hour, product = wrong
            raise BooksBroken(
                _(
                    "What {customer} used of {product} in the hour {hour} is summed up otherwise "
                    "than it is recorded.",
                    customer=customer,
                    product=product,
                    hour=hour,
                ),
                remedy=_("Restore the workspace from a backup, or report this."),
            )
        return until


def _first_difference(connection: repository.Connection, until: int) -> tuple[str, str, str] | None:
    """Step by step, so that no more than one step's events are sorted at once."""
    after = 0
    for step, hours in sorted(repository.hours_by_step(connection, until).items()):
        wrong = repository.difference(connection, after, step, hours)
        if wrong is not None:
            return wrong.customer, wrong.hour, wrong.product
        after = step
    return None
