"""What is known of one customer within one transaction: each thing is read once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from mintage.capture import plans
from mintage.capture.books import fees, repository
from mintage.capture.books.documents import Document
from mintage.capture.hours import repository as by_hour
from mintage.capture.plans import Plan
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import exact_of
from mintage.capture.repository import subscriptions_of
from mintage.capture.subscriptions import Subscription

if TYPE_CHECKING:
    from mintage.capture.books.months import Month

Reference = tuple[str, int]
"""A plan's name and version."""

_DAY = timedelta(days=1)


class Account:
    """A customer's plans, documents and months; ``agreed`` are plans that a run knows already.

    It holds until a document is issued or taken back: then ``papers_changed``.
    """

    def __init__(
        self,
        connection: repository.Connection,
        customer: str,
        agreed: dict[Reference, Plan] | None = None,
    ) -> None:
        self.connection = connection
        self.customer = customer
        self.months: dict[tuple[Period, int], list[Month]] = {}
        self._agreed = {} if agreed is None else agreed

    def plan(self, name: str, version: int) -> Plan:
        """One version of a plan: it never changes."""
        known = self._agreed.get((name, version))
        if known is None:
            known = self._agreed[name, version] = plans.found(self.connection, name, version)
        return known

    @cached_property
    def begun(self) -> list[Subscription]:
        """What the customer has begun, the oldest first."""
        rows = subscriptions_of(self.connection, self.customer)
        return [Subscription(**row) for row in rows]

    @cached_property
    def claims(self) -> list[repository.Values]:
        """What standing documents took of which months; the earliest step first."""
        return repository.claims(self.connection, self.customer)

    @cached_property
    def papers(self) -> list[Document]:
        """The customer's invoices that stand, drafts not among them."""
        found = repository.live_documents(self.connection, self.customer)
        return [json.loads(each) for each in found]

    @cached_property
    def notes(self) -> list[Document]:
        """The credit notes to the customer, the oldest first."""
        found = repository.notes_to(self.connection, self.customer)
        return [json.loads(each) for each in found]

    @cached_property
    def credited_fees(self) -> Mapping[fees.Year, Fraction]:
        """What credit notes gave back of yearly fees."""
        return fees.credited(self.papers, self.notes)

    @cached_property
    def credited_months(self) -> Mapping[tuple[str, str], Fraction]:
        """What credit notes took of a plan's month, above zero, by plan and month.

        Of an invoice that another took the place of they took nothing.
        """
        found: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
        standing = {paper["number"] for paper in self.papers} if self.notes else set()
        for note in self.notes:
            for line in note["lines"] if note["corrects"] in standing else ():
                found[line["plan"], line.get("period", note["period"])] -= exact_of(line)
        return found

    def papers_changed(self) -> None:
        """Read claims and documents again when they are next wanted."""
        self.months.clear()
        for name in ("claims", "papers", "notes", "credited_fees", "credited_months"):
            self.__dict__.pop(name, None)

    @cached_property
    def days_used(self) -> Mapping[Reference, Mapping[date, int]]:
        """By plan and by day, in UTC, the newest step of the rollup that has usage of it."""
        found: dict[Reference, dict[date, int]] = defaultdict(dict)
        for row in by_hour.days_used(self.connection, self.customer):
            found[row.plan, row.plan_version][date.fromisoformat(row.day)] = row.newest
        return found

    def is_settled(self, period: Period, until: int) -> bool:
        """Whether it is plain that a month's own invoices have all there is of it.

        It is where they stand, name no other document and are named by none, have the newest usage
        of every plan that was used, a day more on either side, and a line of every plan that was
        in force; and no plan ended then: what ends on the day after a month may still change it.
        """
        lines = self._lines_of(str(period))
        if not lines:
            return False
        first, end = period.first - _DAY, period.following.first + _DAY
        for (plan, version), days in self.days_used.items():
            steps = [step for day, step in days.items() if first <= day <= end and step <= until]
            if steps and lines.get(f"{plan}@{version}", 0) < max(steps):
                return False
        for each in self.begun:
            ended = None if each.ended_at is None else date.fromisoformat(each.ended_at[:10])
            if date.fromisoformat(each.started_at[:10]) > end or (ended and ended < first):
                continue
            if (ended and ended <= end) or f"{each.plan}@{each.plan_version}" not in lines:
                return False
        return True

    def _lines_of(self, period: str) -> dict[str, int] | None:
        """By plan, the step up to which a month's own invoices have its usage; 0 without usage.

        None where there is a draft of it, or where one document leaves to another what is due.
        """
        if any(each["invoice_period"] == period for each in self.claims if _is_draft(each)):
            return None
        found: dict[str, int] = {}
        for paper in self.papers:
            for line in paper["lines"]:
                if paper["period"] != period and line.get("period") != period:
                    continue
                if line["kind"] in ("late", "elsewhere"):
                    return None
                known = found.get(line["plan"], 0)
                found[line["plan"]] = max(known, line.get("until", 0))
        return found


def _is_draft(claim: repository.Values) -> bool:
    return bool(claim["status"] == "draft")
