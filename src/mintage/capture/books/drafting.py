"""From a customer's month to drafts by currency: what it comes to, and what came late."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mintage.capture.books import documents, repository
from mintage.capture.books.documents import Document
from mintage.capture.books.months import Month, months_of, total_of
from mintage.capture.customers import Customer
from mintage.capture.details import Details
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Line

Claim = dict[str, Any]


@dataclass
class Draft:
    """An invoice about to be: its lines, and what it takes of which months."""

    currency: str
    lines: list[Line] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)
    due_days: int = 30

    def document(self, seller: Details, customer: Customer, period: Period) -> Document:
        """The draft as a document."""
        return documents.invoice(
            seller=seller.to_json(),
            customer={"id": customer.id, "name": customer.name, **customer.details.to_json()},
            currency=self.currency,
            period=str(period),
            lines=self.lines,
            taxes=[{"name": tax.name, "percent": tax.percent} for tax in customer.details.taxes],
            due_days=self.due_days,
            rejected=self.rejected,
        )


@dataclass(frozen=True)
class Late:
    """Usage of a month that was invoiced before it turned up."""

    period: Period
    month: Month
    until: int  # the step up to which there is usage
    known: int  # the step up to which documents have it
    events: int  # after that
    documents: Sequence[Document]  # that have the others

    @property
    def policy(self) -> str:
        """What its plan does about it."""
        return self.month.plan.terms.late.policy

    def line(self) -> Line:
        """What the month comes to now, less what was billed of it."""
        plan = self.month.plan
        whole = total_of(self.month.lines(self.period))
        billed = documents.billed_for(self.documents, plan.reference, str(self.period))
        return Line(
            "late",
            plan.name,
            plan.version,
            whole - billed,
            units=self.events,
            period=self.period,
            sequences=(self.known, self.until),
        )


def drafts_of(
    connection: repository.Connection, customer: str, period: Period, until: int
) -> dict[str, Draft]:
    """What a customer's month comes to, by currency, with usage up to a step of the rollup."""
    found: dict[str, Draft] = {}
    for month in months_of(connection, customer, period, until):
        lines = month.lines(period)
        if not lines and not month.events:
            continue
        terms = month.plan.terms
        draft = found.setdefault(terms.currency, Draft(terms.currency, due_days=terms.due_days))
        draft.due_days = min(draft.due_days, terms.due_days)
        draft.lines += [_from_events(line, until) for line in lines]
        draft.claims.append(_claim(period, month, until, "billed"))
    for late in late_usage(connection, customer, period, until):
        if late.policy == "credit_note":
            continue
        terms = late.month.plan.terms
        draft = found.setdefault(terms.currency, Draft(terms.currency, due_days=terms.due_days))
        if late.policy == "next_invoice":
            draft.lines.append(late.line())
            draft.claims.append(_claim(late.period, late.month, until, "late"))
        else:
            plan = late.month.plan.reference
            draft.rejected.append({"plan": plan, "period": str(late.period), "events": late.events})
            draft.claims.append(_claim(late.period, late.month, until, "rejected"))
    return found


def late_usage(
    connection: repository.Connection, customer: str, before: Period, until: int
) -> list[Late]:
    """Usage of months before this one that no document took, of plans that some took earlier."""
    taken = _taken(repository.claims(connection, customer), before)
    found = []
    for (text, plan, version), documents_of_it in taken.items():
        period = Period.parse(text)
        known = max(each["until_step"] for each in documents_of_it)
        if known >= until:
            continue
        now, then = (
            _one(months_of(connection, customer, period, step), plan, version)
            for step in (until, known)
        )
        events = (now.events if now else 0) - (then.events if then else 0)
        if now is not None and events:
            papers = [each["document"] for each in documents_of_it]
            found.append(
                Late(period, now, until, known, events, [json.loads(each) for each in papers])
            )
    return found


def _taken(
    claims: Iterable[repository.Values], before: Period
) -> Mapping[tuple[str, str, int], list[repository.Values]]:
    taken: dict[tuple[str, str, int], list[repository.Values]] = defaultdict(list)
    for each in claims:
        if each["period"] < str(before) and each["status"] != "draft":
            taken[each["period"], each["plan"], each["plan_version"]].append(each)
    return taken


def _one(months: Iterable[Month], plan: str, version: int) -> Month | None:
    wanted = (plan, version)
    return next((each for each in months if (each.plan.name, each.plan.version) == wanted), None)


def _from_events(line: Line, until: int) -> Line:
    return replace(line, sequences=(0, until)) if line.kind == "usage" else line


def _claim(period: Period, month: Month, until: int, disposition: str) -> Claim:
    return {
        "period": str(period),
        "plan": month.plan.name,
        "plan_version": month.plan.version,
        "until_step": until,
        "disposition": disposition,
    }
