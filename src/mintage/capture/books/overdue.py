"""What is overdue: told after declared days, each once; and from when calls are refused for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mintage.capture import notices
from mintage.capture.books import repository
from mintage.capture.books.invoice import Invoice
from mintage.core.clock import Clock, timestamp
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Money
from mintage.store.engine import Database

_MOST_DAYS = 3650
_A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class OverdueInvoice:
    """An invoice that is not paid though it was due, by so many whole days."""

    invoice: Invoice
    days: int
    owed: Money
    refused_from: str | None

    def to_json(self) -> dict[str, Any]:
        """As ``invoice overdue --json`` and its notice say it."""
        said = {"days_overdue": self.days, "owed": self.owed.amount}
        return self.invoice.summary() | said | {"refused_from": self.refused_from}


class Overdue:
    """The overdue invoices of a workspace."""

    def __init__(
        self, database: Database, clock: Clock, days: Sequence[int], stop_days: int | None = None
    ) -> None:
        """Told after ``days``; after ``stop_days`` calls are refused, if ever."""
        self._database = database
        self._clock = clock
        self._days = sorted(days)
        self._stop_days = stop_days

    def tell(self) -> list[OverdueInvoice]:
        """Tell of those for which a day has come; each day is told once.

        Where several have come since the last time, as after a halt, the latest is told alone.
        """
        due = [each for each in self.list() if each.days >= min(self._days, default=_MOST_DAYS)]
        with self._database.read() as connection:
            waiting = [each for each in due if self._untold(connection, each)]
        if not waiting:
            return []
        return self._database.write(self._tell)

    def _tell(self, connection: repository.Connection) -> list[OverdueInvoice]:
        now, told = self._clock.now(), []
        for each in self._found(connection, now):
            untold = self._untold(connection, each)
            if not untold:
                continue
            moment, invoice = timestamp(now), each.invoice
            rows = [{"invoice": invoice.id, "days": day, "told_at": moment} for day in untold]
            repository.add_reminders(connection, rows)
            notices.tell(connection, invoice.customer, "invoice.overdue", each.to_json(), moment)
            told.append(each)
        return told

    def _untold(self, connection: repository.Connection, each: OverdueInvoice) -> list[int]:
        known = repository.reminded(connection, each.invoice.id)
        return [day for day in self._days if day <= each.days and day not in known]

    def _found(self, connection: repository.Connection, now: datetime) -> list[OverdueInvoice]:
        found = []
        for row in repository.overdue_invoices(connection, timestamp(now - _A_DAY)):
            invoice, due = Invoice.from_row(row), datetime.fromisoformat(row["due_at"])
            stop = None if self._stop_days is None else due + timedelta(days=self._stop_days)
            found.append(
                OverdueInvoice(
                    invoice,
                    (now - due).days,
                    invoice.to_pay,
                    None if stop is None else timestamp(stop),
                )
            )
        return found

    def list(self) -> list[OverdueInvoice]:
        """Those that are overdue now, the longest first."""
        with self._database.read() as connection:
            return self._found(connection, self._clock.now())


def days_of(text: str) -> list[int]:
    """The days that ``MINTAGE_OVERDUE_DAYS`` says: ``1,7,14``.

    Raises:
        ConfigError: they are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) <= _MOST_DAYS for part in parts):
        raise ConfigError(
            _("MINTAGE_OVERDUE_DAYS: not days: {text!r}.", text=text),
            remedy=_("Write whole days after the due one, such as 1,7,14."),
        )
    return sorted({int(part) for part in parts})
