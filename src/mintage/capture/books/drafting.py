"""From a customer's month to drafts by currency: what it comes to, and what came late."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from mintage.capture.books import documents, repository
from mintage.capture.books.account import Account
from mintage.capture.books.documents import Document
from mintage.capture.books.months import Month, months_of, total_of
from mintage.capture.customers import Customer
from mintage.capture.details import Details
from mintage.capture.plans import Plan
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

    @property
    def is_owed(self) -> bool:
        """Whether anything is."""
        return any(line.amount for line in self.lines)

    def claims_of(self, invoice: str, customer: str) -> list[Claim]:
        """What an invoice takes."""
        return [each | {"invoice": invoice, "customer": customer} for each in self.claims]

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
    """What a month that was invoiced comes to besides: usage that turned up later, or a change."""

    period: Period
    month: Month
    amount: Fraction
    known: int  # the step up to which documents have its usage
    until: int  # the step up to which there is usage now
    calls: int  # that are charged, after the one and up to the other
    is_credited: bool  # the month's invoice was taken back, or a part, and its usage stays taken

    @property
    def policy(self) -> str:
        """What its plan does about it."""
        return self.month.plan.terms.late.policy

    @property
    def replaces(self) -> bool:
        """Whether the month's invoice is taken back and written anew for it."""
        return self.policy == "credit_note" and not self.is_credited

    def line(self) -> Line:
        """What is due besides."""
        return Line(
            "late",
            self.month.plan.name,
            self.month.plan.version,
            self.amount,
            units=self.calls,
            period=self.period,
            sequences=(self.known, self.until),
            since=self.month.since,
        )


def drafts_of(
    account: Account, period: Period, until: int, *, with_late: bool = True
) -> dict[str, Draft]:
    """What a customer's month comes to, by currency, with usage up to a step of the rollup.

    What other documents have of it already is taken off.
    """
    found: dict[str, Draft] = {}
    papers = account.papers
    for month in months_of(account, period, until):
        frozen = _frozen(papers, month, period, until)
        taken = _at(account, period, frozen, month)
        lines = [_from_events(line, frozen, month.since) for line in taken.lines(period)]
        plan = month.plan
        elsewhere = documents.billed_for(papers, plan.reference, str(period))
        if elsewhere:
            lines.append(Line("elsewhere", plan.name, plan.version, -elsewhere, period=period))
        if lines or month.events:
            draft = _draft(found, plan)
            draft.lines += lines
            draft.claims.append(_claim(period, month, until, "billed"))
    for late in late_usage(account, period, until) if with_late else ():
        if late.replaces:
            continue
        draft = _draft(found, late.month.plan)
        if late.amount:
            draft.lines.append(late.line())
        disposition = "late"
        if late.policy == "reject" and late.calls:
            disposition = "rejected"
            draft.rejected.append(
                {
                    "plan": late.month.plan.reference,
                    "period": str(late.period),
                    "events": late.calls,
                    "after": late.known,
                }
            )
        draft.claims.append(_claim(late.period, late.month, until, disposition))
    return found


def late_usage(account: Account, before: Period, until: int) -> list[Late]:
    """What months before this one, that were invoiced, come to besides what documents have."""
    found = []
    claims, papers = account.claims, account.papers
    in_part = repository.credited_in_part(account.connection, account.customer)
    for text, standing in _standing(claims, before).items():
        period = Period.parse(text)
        if account.is_settled(period, until):
            continue
        for month in months_of(account, period, until):
            plan = month.plan
            if plan.terms.currency not in standing:
                continue
            known = _known(claims, text, plan.name, plan.version)
            then = _at(account, period, known, month)
            taken = month
            if plan.terms.late.policy == "reject":
                counted = _frozen(papers, month, period, known)
                taken = _at(account, period, counted, month)
            billed = documents.billed_for(papers, plan.reference, text)
            amount = total_of(taken.lines(period)) - billed
            calls = month.charged - then.charged
            if amount or (calls and plan.terms.late.policy == "reject"):
                currency = plan.terms.currency
                credited = standing[currency] == "credited" or (text, currency) in in_part
                found.append(Late(period, month, amount, known, until, calls, credited))
    return found


def _standing(claims: Iterable[repository.Values], before: Period) -> dict[str, dict[str, str]]:
    """Months that were invoiced, with the status of the invoice in each currency.

    One that has no more than late usage of other months has taken its own month's place, too.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for each in claims:
        if each["status"] != "draft" and each["invoice_period"] < str(before):
            found[each["invoice_period"]][each["currency"]] = each["status"]
    return dict(sorted(found.items()))


def _known(claims: Iterable[repository.Values], period: str, plan: str, version: int) -> int:
    """The step up to which documents have the usage of a plan's month."""
    wanted = (period, plan, version)
    steps: Iterator[int] = (
        each["until_step"]
        for each in claims
        if (each["period"], each["plan"], each["plan_version"]) == wanted
        and each["status"] != "draft"
    )
    return max(steps, default=0)


def _frozen(papers: Iterable[Document], month: Month, period: Period, until: int) -> int:
    """The step up to which usage counts: what a document says was refused stays refused."""
    after: list[int] = [
        each["after"]
        for paper in papers
        for each in paper["rejected"]
        if (each["plan"], each["period"]) == (month.plan.reference, str(period))
    ]
    return min([until, *after])


def _at(account: Account, period: Period, step: int, month: Month) -> Month:
    """The same plan's month with usage up to another step."""
    if month.newest <= step:
        return month
    wanted = (month.plan.name, month.plan.version)
    for each in months_of(account, period, step):
        if (each.plan.name, each.plan.version) == wanted:
            return each
    return replace(month, part=replace(month.part, usage={}), events=0, charged=0, newest=0)


def _draft(found: dict[str, Draft], plan: Plan) -> Draft:
    currency, days = plan.terms.currency, plan.terms.due_days
    draft = found.setdefault(currency, Draft(currency, due_days=days))
    draft.due_days = min(draft.due_days, days)
    return draft


def _from_events(line: Line, until: int, since: str | None) -> Line:
    return replace(line, sequences=(0, until), since=since) if line.kind == "usage" else line


def _claim(period: Period, month: Month, until: int, disposition: str) -> Claim:
    return {
        "period": str(period),
        "plan": month.plan.name,
        "plan_version": month.plan.version,
        "until_step": until,
        "disposition": disposition,
    }
