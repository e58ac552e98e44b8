"""What was used: listings, receipts fetched again, and exact totals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mintage.capture import repository
from mintage.capture.events import UsageRecord, is_charged
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.receipts import SIGNING_KEY, check_logged, receipt_of
from mintage.core.clock import timestamp
from mintage.core.errors import RequestError
from mintage.core.messages import _
from mintage.core.money import decimal_text
from mintage.core.types import Receipt
from mintage.store.engine import Database
from mintage.trust import repository as log
from mintage.trust.erasures import Erasures
from mintage.trust.keys import KeyRing


@dataclass(frozen=True)
class UsageTotal:
    """What a customer used of a product in a month, of the calls with one outcome."""

    customer: str
    product: str
    outcome: str
    events: int
    quantities: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """As listings show it."""
        return {**vars(self), "quantities": dict(self.quantities)}


@dataclass(frozen=True)
class UsageSummary:
    """A customer's usage so far: events by outcome, and the exact amount by currency."""

    customer: str
    outcomes: Mapping[str, int]
    totals: Mapping[str, Fraction]

    @property
    def events(self) -> int:
        """How many events there are, free ones too."""
        return sum(self.outcomes.values())

    def to_json(self) -> dict[str, Any]:
        """The summary with decimal strings; an amount that does not end has 18 decimals."""
        return {
            "customer": self.customer,
            "events": self.events,
            "outcomes": dict(self.outcomes),
            "totals": {currency: decimal_text(total) for currency, total in self.totals.items()},
        }


class UsageHistory:
    """What the usage events of a workspace say."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    def list_usage(
        self,
        customer: str | None = None,
        product: str | None = None,
        after: str | None = None,
        limit: int = 100,
        *,
        among: Collection[str] | None = None,
        period: Period | None = None,
    ) -> list[UsageRecord]:
        """Usage events, newest first.

        Args:
            customer: only those of the customer with this id.
            product: only those of this product.
            after: go on after the event with this receipt: the last one of the page before.
            limit: at most so many.
            among: only those of these products.
            period: only those that were recorded in this month, in UTC.

        Raises:
            RequestError: ``limit`` is below 1 (400), or no such receipt (404).
        """
        if limit < 1:
            raise RequestError(
                _("At least 1 event can be listed, not {limit}.", limit=limit),
                remedy=_("Ask for 1 or more."),
            )
        with self._database.read() as connection:
            found = _event(connection, after, customer, among) if after else None
            rows = repository.events(
                connection,
                customer=customer,
                product=product,
                among=among,
                before=None if found is None else found["sequence"],
                limit=limit,
                within=None if period is None else _moments(period),
            )
        return [UsageRecord.from_row(row) for row in rows]

    def totals(
        self,
        period: Period,
        customer: str | None = None,
        *,
        among: Collection[str] | None = None,
    ) -> list[UsageTotal]:
        """What was used in a month, in UTC, by customer, product and outcome, in that order."""
        with self._database.read() as connection:
            rows = repository.used_in(connection, customer, _moments(period), among)
        events: Counter[tuple[str, str, str]] = Counter()
        quantities: dict[tuple[str, str, str], Counter[str]] = {}
        for row in rows:
            key, count = (row["customer"], row["product"], row["outcome"]), int(row["events"])
            events[key] += count
            counted = quantities.setdefault(key, Counter())
            if row["quantity"]:
                counted[row["unit"]] += int(row["quantity"])
        return [
            UsageTotal(*key, events[key], dict(sorted(quantities[key].items())))
            for key in sorted(events)
        ]

    def find_receipt(
        self, receipt: str, customer: str | None, among: Collection[str] | None = None
    ) -> Receipt:
        """The receipt, signed anew; its statement is the one that was first given.

        ``customer`` is the id of who asks and sees only their own; None is the operator. ``among``
        are the products whose receipts may be seen.

        Raises:
            RequestError: no such receipt, or not one of theirs (404, both alike).
            LogForked: the event is not the one that was logged: nothing is signed of it.
        """
        with self._database.read() as connection:
            row = _event(connection, receipt, customer, among)
            logged = log.read_row(connection, row["log_position"])
            if logged is not None and logged.erased:
                Erasures().account(connection, logged)
                raise RequestError(
                    _(
                        "The customer of this receipt was erased, and with them what it would "
                        "prove."
                    ),
                    http_status=410,
                )
        record, signer = UsageRecord.from_row(row), self._keys.signer(SIGNING_KEY)
        salt = None if logged is None else logged.salt
        spelled = check_logged(record, row["log_position"], salt, row["leaf_hash"])
        return receipt_of(record, row["log_position"], row["leaf_hash"], signer, spelled)

    def summary(self, customer: str) -> UsageSummary:
        """Counts and the exact total: quantities times the price of their plan version.

        Nothing is rounded here, so where a price does not end (0.10 for 3) the total is more
        exact than the sum of the receipts.
        """
        with self._database.read() as connection:
            plans = [Plan.from_row(row) for row in repository.all_plans(connection)]
            counts = repository.usage_counts(connection, customer)
        agreed = {(plan.name, plan.version): plan for plan in plans}
        outcomes: Counter[str] = Counter()
        totals: dict[str, Fraction] = {}
        for row in counts:
            outcomes[row["outcome"]] += row["events"]
            terms = agreed[row["plan"], row["plan_version"]].terms
            if is_charged(row["outcome"], charge_abstained=terms.charge_abstained):
                amount = _list_price(agreed[row["plan"], row["plan_version"]], row)
                before = totals.get(terms.currency, Fraction(0))
                totals[terms.currency] = before + amount * row["events"]
        return UsageSummary(customer, outcomes, totals)


def _moments(period: Period) -> tuple[str, str]:
    begin, end = period.bounds("UTC")
    return timestamp(begin), timestamp(end)


def _list_price(plan: Plan, row: repository.Values) -> Fraction:
    prices = plan.prices(row["product"])
    counted = json.loads(row["quantities"])
    charged = (prices[unit].times(n) for unit, n in counted.items() if unit in prices)
    return sum(charged, Fraction(0))


def _event(
    connection: repository.Connection,
    receipt: str,
    customer: str | None,
    among: Collection[str] | None,
) -> repository.Values:
    row = repository.event_by_receipt(connection, receipt)
    if row is None or not repository.is_shown(row, customer, among):
        raise RequestError(
            _("There is no receipt {receipt!r}.", receipt=receipt),
            remedy=_("Name one that your usage lists."),
            http_status=404,
        )
    return row
