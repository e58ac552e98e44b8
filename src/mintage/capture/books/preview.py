"""What a month that is not over comes to until now: an invoice to be, that nobody owes yet."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mintage.capture.books import repository
from mintage.capture.books.account import Account
from mintage.capture.books.documents import Document
from mintage.capture.books.drafting import drafts_of
from mintage.capture.customers import found_customer
from mintage.capture.details import NO_DETAILS, Details
from mintage.capture.hours import repository as by_hour
from mintage.capture.hours.rollup import Rollup
from mintage.capture.pricing.periods import Period
from mintage.core.clock import Clock, timestamp
from mintage.store.engine import Database

_AGAIN = timedelta(minutes=1)
"""Usage is summed up anew after so long: each sum is rows that stay."""


class Previews:
    """Draws up what a month comes to, and keeps none of it."""

    def __init__(self, database: Database, clock: Clock, seller: Details = NO_DETAILS) -> None:
        """``seller`` is what documents say of who sells."""
        self._database = database
        self._clock = clock
        self._seller = seller
        self._rollup = Rollup(database, clock)

    def of(self, customer: str, period: Period | None = None) -> list[Document]:
        """What a customer's month comes to, a document for each currency; without one, this month.

        Fees are those of all of the month, as things stand; usage, what came late among it, is
        what there was at the moment ``preview.until``. What is invoiced already is left out.

        Raises:
            RequestError: no such customer (404).
        """
        period = period or Period.containing(self._clock.now(), "UTC")
        until = self._summed_up()
        with self._database.read() as connection:
            who = found_customer(connection, customer)
            made_at = by_hour.last_made(connection) or timestamp(self._clock.now())
            account = Account(connection, who.id, {})
            drafts = drafts_of(account, period, until)
            standing = {
                currency: repository.standing_invoice(connection, who.id, str(period), currency)
                for currency in drafts
            }
        said = {"final": False, "until": made_at}
        return [
            draft.document(self._seller, who, period) | {"preview": said}
            for currency, draft in sorted(drafts.items())
            if (found := standing[currency]) is None or found["status"] == "draft"
        ]

    def shown(self, customer: str, period: Period | None = None) -> dict[str, Any]:
        """The same with whose they are, as it is shown; raises as ``of``."""
        with self._database.read() as connection:
            owner = found_customer(connection, customer).id
        return {"customer": owner, "final": False, "documents": self.of(owner, period)}

    def _summed_up(self) -> int:
        with self._database.read() as connection:
            made_at, step = by_hour.last_made(connection), by_hour.last_step(connection)
        if made_at is not None and made_at > timestamp(self._clock.now() - _AGAIN):
            return step
        return self._rollup.catch_up()
