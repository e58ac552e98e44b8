"""Whatever happens, in whatever order: the books balance, and what is billed is what was used.

What is due is worked out a second time, day by day and unit by unit, from the events alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import text
from tests.capture.conftest import Shop
from tests.conftest import ManualClock

from mintage.capture.checking.documents import DocumentCheck
from mintage.capture.checking.usage import UsageCheck
from mintage.capture.limits.prepaid import Credits
from mintage.capture.limits.repository import drawn
from mintage.capture.metering import DuplicateEvent
from mintage.capture.payments.desk import Desk
from mintage.capture.pricing.charges import Charge, Tier
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import exact_of
from mintage.capture.pricing.terms import Late, Terms
from mintage.core.clock import timestamp
from mintage.core.errors import RequestError
from mintage.core.money import Money
from mintage.core.types import Payment
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

CUSTOMERS = st.sampled_from(["Ada", "Bob"])
PLANS = st.sampled_from(["plain", "tiered", "advance"])
FIRST = Period(2027, 1)
REJECTING = "tiered@1"
Event = tuple[str, str, str, bool]  # of whom, under which plan, in which month, whether charged
Closed = tuple[str, str]  # a customer's month


class Books(RuleBasedStateMachine):
    """A shop, and everything that may happen to what is owed."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.clock.moment = datetime(2027, 1, 5, 12, tzinfo=UTC)
        self.workspace = Workspace(self.folder / "workspace", self.clock)
        self.shop: Any = Shop(self.workspace, KeyRing(self.workspace.key_folder))
        self.payments = 0
        self.collected = self.sent_back = 0
        self.named: set[tuple[str, int]] = set()
        self.gave: Counter[str] = Counter()  # by customer, what came less what went back
        self.lapsed: Counter[str] = Counter()  # by customer, of that what expired
        self.events: list[Event] = []  # in the order in which they were recorded
        self.closed: dict[Closed, int] = {}  # how many there were when a month was first invoiced
        self.reopened: set[Closed] = set()  # months whose invoice was taken back

    def teardown(self) -> None:
        self.settle()
        self.workspace.close()
        shutil.rmtree(self.folder)

    @initialize(
        begun=st.tuples(*[st.sampled_from([None, "plain", "tiered", "tiered", "advance"])] * 2)
    )
    def open_shop(self, begun: tuple[str | None, ...]) -> None:
        late, anew, never = (
            Late(policy, 0) for policy in ("next_invoice", "credit_note", "reject")
        )
        plain = Terms("EUR", (Charge.plain("image", "0.013"),), fee="31", late=anew)
        tiers = Charge("image", (Tier("0.1", 5), Tier("0.07")), "graduated", included=2)
        shop = self.shop
        shop.plans.agree("standard", Terms("EUR", (Charge.plain("image", "0.02"),), late=late))
        shop.plans.agree("plain", plain)
        shop.plans.agree("tiered", Terms("EUR", (tiers,), fee="10", minimum="0.3", late=never))
        each = (Charge.plain("image", "0.0137"),)
        shop.plans.agree("advance", Terms("EUR", each, prepaid=True, late=late))
        shop.sell("pets")
        for customer, plan in zip(("Ada", "Bob"), begun, strict=True):
            shop.key_of(customer)
            if plan is not None:
                shop.subscriptions.begin(customer, plan)

    @rule(
        customer=CUSTOMERS, count=st.integers(1, 6), outcome=st.sampled_from(["ok", "ok", "error"])
    )
    def use(self, customer: str, count: int, outcome: str) -> None:
        usages = [self.shop.usage(customer, outcome=outcome) for __ in range(count)]
        self.shop.meter.record_all(usages).result(10)
        self.note(*usages)

    @rule(customer=CUSTOMERS, name=st.integers(0, 5))
    def use_by_name(self, customer: str, name: int) -> None:
        """A caller who has no answer sends it again: it is recorded, and owed, once."""
        usage = self.shop.usage(customer, origin="client", event_id=f"action-{name}")
        if (customer, name) in self.named:
            with pytest.raises(DuplicateEvent):
                self.shop.meter.record(usage).result(10)
        else:
            self.shop.meter.record(usage).result(10)
            self.note(usage)
        self.named.add((customer, name))

    def note(self, *usages: Any) -> None:
        for usage in usages:
            plan = f"{usage.permit.plan}@{usage.permit.plan_version}"
            month = timestamp(self.clock.moment)[:7]
            self.events.append((usage.permit.customer, plan, month, usage.outcome == "ok"))

    @rule(customer=CUSTOMERS, days=st.integers(1, 60), count=st.integers(1, 8))
    def use_late(self, customer: str, days: int, count: int) -> None:
        now = self.clock.moment
        permit = self.shop.permit(customer)
        self.clock.moment = max(now - timedelta(days=days), datetime(2027, 1, 5, tzinfo=UTC))
        usages = [self.shop.usage(customer, permit=permit) for __ in range(count)]
        self.shop.meter.record_all(usages).result(10)
        self.note(*usages)
        self.clock.moment = now

    @rule(days=st.integers(1, 25), hours=st.integers(0, 23))
    def wait(self, days: int, hours: int) -> None:
        self.clock.moment += timedelta(days=days, hours=hours)

    @rule(customer=CUSTOMERS, plan=PLANS)
    def begin(self, customer: str, plan: str) -> None:
        self.shop.subscriptions.begin(customer, plan)

    @rule(customer=CUSTOMERS, at_month_end=st.booleans())
    def cancel(self, customer: str, at_month_end: bool) -> None:
        now = timestamp(self.clock.moment)
        for each in self.shop.subscriptions.list(customer):
            if each.is_open(now):
                self.shop.subscriptions.cancel(customer, each.plan, at_month_end=at_month_end)

    @rule(issue=st.sampled_from([True, True, False]), month_passes=st.booleans())
    def invoice(self, issue: bool, month_passes: bool) -> None:
        if month_passes:
            following = Period.containing(self.clock.moment, "UTC").following
            self.clock.moment = following.bounds("UTC")[0] + timedelta(hours=36)
        period = Period.containing(self.clock.moment, "UTC").preceding
        if period >= FIRST:
            self.run_month(period, issue=issue)

    @rule(customer=CUSTOMERS, count=st.integers(1, 8))
    def turn_up(self, customer: str, count: int) -> None:
        """A month is invoiced, and then there is more of it."""
        self.invoice(issue=True, month_passes=True)
        self.use_late(customer, days=3, count=count)

    def run_month(self, period: Period, *, issue: bool = True) -> None:
        ran = self.shop.invoices.run(period)
        self.reopened |= {(note.customer, note.period) for note in ran.credited}
        for each in self.shop.invoices.issue_all(ran.drafted) if issue else ():
            self.closed.setdefault((each.customer, each.period), len(self.events))

    @rule(
        customer=CUSTOMERS,
        cents=st.integers(1, 4000),
        is_given=st.booleans(),
        days=st.sampled_from([None, None, 2, 20, 50]),
    )
    def pay_in_advance(self, customer: str, cents: int, is_given: bool, days: int | None) -> None:
        self.payments += 1
        reference = None if is_given else f"advance {self.payments}"
        for __ in range(2):  # the bank says it twice, and so does whoever gives
            added = self.credits.add(
                customer,
                Money(cents * 10**7, "EUR"),
                provider="manual",
                reference=reference,
                expires=None if days is None else f"{days}d",
                action=f"gift {self.payments}",
            )
        self.gave[added.customer] += added.nanos

    @rule()
    def lapse(self) -> None:
        """What has expired goes into the books; until then it is nobody's to use."""
        over = self.expired()
        for customer, nanos in over.items():
            self.lapsed[customer] += nanos
        self.credits.lapse()
        assert not any(self.expired().values())

    def expired(self) -> Counter[str]:
        """By customer, what was left of credits when they expired that are not in the books yet."""
        now, found = timestamp(self.clock.moment), Counter[str]()
        for each in self.credits.list():
            if each.ended_at is None and each.expires_at is not None and each.expires_at <= now:
                found[each.customer] += each.nanos - each.spent_nanos
        return found

    def taken_by_calls(self, customer: str, until: str) -> int:
        """What calls up to a month took of credit, and no invoice counts yet."""
        with self.shop.database.read() as connection:
            rows = drawn(connection, customer, "EUR", until)
        return sum(int(each["drawn_nanos"]) - int(each["applied_nanos"]) for each in rows)

    @rule(chosen=st.integers(0, 99))
    def pay_by_credit(self, chosen: int) -> None:
        waiting = self.waiting()
        if not waiting:
            return
        invoice = waiting[chosen % len(waiting)]
        owed, customer = self.owed(invoice).nanos, invoice.customer
        there = self.credit_of(customer) + self.taken_by_calls(customer, invoice.period)
        # Whole cents, unless no more than a part of one is short.
        pays = owed if owed - there < 10**7 else there - there % 10**7
        if not pays:
            with pytest.raises(RequestError):
                self.shop.invoices.pay_by_credit(invoice.id)
            return
        paid = self.shop.invoices.pay_by_credit(invoice.id)
        assert self.owed(paid).nanos == owed - pays
        left = self.credit_of(customer) + self.taken_by_calls(customer, invoice.period)
        assert left == max(0, there - pays)

    @rule(customer=CUSTOMERS, chosen=st.integers(0, 9))
    def refund(self, customer: str, chosen: int) -> None:
        found = self.credits.list(customer)
        if found:
            credit = found[chosen % len(found)]
            left = credit.left(timestamp(self.clock.moment)).nanos
            if credit.origin == "returned" or not left:
                with pytest.raises(RequestError):
                    self.credits.refund(credit.id)
            else:
                self.credits.refund(credit.id)
                self.gave[credit.customer] -= left
                self.sent_back += left if credit.provider == "stripe" else 0

    @property
    def credits(self) -> Credits:
        return Credits(self.shop.database, self.clock)

    def credit_of(self, customer: str) -> int:
        name = next(each.name for each in self.shop.customers.list() if each.id == customer)
        return sum(each.left.nanos for each in self.credits.balances(name))

    @rule(chosen=st.integers(0, 99), share=st.integers(1, 3))
    def pay(self, chosen: int, share: int) -> None:
        waiting = self.waiting()
        if waiting:
            invoice = waiting[chosen % len(waiting)]
            self.payments += 1
            owed = self.owed(invoice)
            paid = max(Money.rounded(owed.exact / share, "EUR").nanos, 10_000_000)
            paid = Money(min(paid, owed.nanos), "EUR")
            for __ in range(2):  # the bank says it twice
                self.shop.invoices.pay(invoice.id, paid, "manual", f"transfer {self.payments}")
            self.gave[invoice.customer] += paid.nanos

    @rule(chosen=st.integers(0, 99), cents=st.integers(1, 6000))
    def collect(self, chosen: int, cents: int) -> None:
        """A provider took an amount for any invoice that ever had a number."""
        listed = self.shop.invoices.list()
        asked = [each for each in listed if each.kind == "invoice" and each.number]
        if asked:
            self.collected += cents
            amount = Money(cents * 10_000_000, "EUR")
            invoice = asked[chosen % len(asked)]
            self.gave[invoice.customer] += amount.nanos
            payment = Payment(f"in_{self.collected}", invoice.number, amount)
            desk = Desk(self.shop.database, self.clock)
            assert desk.received("stripe", payment).status in ("paid", "part", "credited")
            assert desk.received("stripe", payment).status == "known"  # it says it twice

    @rule(chosen=st.integers(0, 99), way=st.sampled_from(["void", "credit", "replace"]))
    def take_back(self, chosen: int, way: str) -> None:
        waiting = self.waiting()
        if not waiting:
            return
        invoice = waiting[chosen % len(waiting)]
        if way == "void" and self.owed(invoice) == invoice.total:
            self.shop.invoices.void(invoice.id)
            self.reopened.add((invoice.customer, invoice.period))
        elif way != "void":
            anew = way == "replace" and not self.credited(invoice)
            self.shop.invoices.credit(invoice.id, "asked for", anew=anew)
            if anew:
                self.reopened.add((invoice.customer, invoice.period))

    @rule(chosen=st.integers(0, 99), line=st.integers(0, 9), share=st.integers(1, 4))
    def credit_part(self, chosen: int, line: int, share: int) -> None:
        standing = [
            each
            for status in ("issued", "paid")
            for each in self.shop.invoices.list(status=status)
            if each.kind == "invoice"
        ]
        if not standing:
            return
        invoice = standing[chosen % len(standing)]
        number = line % len(invoice.document["lines"]) + 1
        notes = [each for each in self.shop.invoices.list() if each.corrects == invoice.id]
        said = invoice.document["lines"][number - 1]["amount"]
        left = Fraction(said) + sum(
            Fraction(each["amount"])
            for note in notes
            for each in note.document["lines"]
            if each["of_line"] == number
        )
        net = sum((Fraction(note.document["net"]) for note in notes), Fraction(0))
        left = min(left, Fraction(invoice.document["net"]) + net)
        amount = Money.rounded(left / share, "EUR")
        if amount.nanos > 0:
            self.shop.invoices.credit_part(invoice.id, number, amount, "asked for")
        if share == 1:  # now nothing is left of it
            with pytest.raises(RequestError):
                self.shop.invoices.credit_part(invoice.id, number, Money(10_000_000, "EUR"), "more")

    def waiting(self) -> list[Any]:
        """Invoices that are not paid; a credit note is issued, and waits for nothing."""
        issued = self.shop.invoices.list(status="issued")
        return [each for each in issued if each.kind == "invoice"]

    def owed(self, invoice: Any) -> Money:
        with self.shop.database.read() as connection:
            paid = connection.execute(
                text("SELECT coalesce(sum(nanos), 0) FROM payments WHERE invoice = :id"),
                {"id": invoice.id},
            ).scalar_one()
        return Money(invoice.total.nanos - paid - self.credited(invoice), "EUR")

    def credited(self, invoice: Any) -> int:
        notes = [each for each in self.shop.invoices.list() if each.corrects == invoice.id]
        return -sum(each.total.nanos for each in notes)

    @invariant()
    def what_customers_owe_is_what_documents_say(self) -> None:
        owed: Counter[str] = Counter()
        for each in self.shop.invoices.list():
            if each.number and each.status != "void":
                owed[each.customer] += each.total.nanos
        with self.shop.database.read() as connection:
            for row in connection.execute(
                text(
                    "SELECT i.customer, p.nanos FROM payments p JOIN invoices i ON i.id = p.invoice"
                )
            ):
                owed[row[0]] -= row[1]
        to_pay: Counter[str] = Counter()
        for each in self.shop.invoices.list():
            assert each.to_pay.nanos >= 0
            # What was paid of an invoice that is drawn up anew is its draft's meanwhile.
            moved = -each.credit_nanos - each.paid_nanos
            to_pay[each.customer] += each.to_pay.nanos if each.number else moved
        accounts = self.shop.ledger.check().accounts
        self.credits.check()
        for customer in self.shop.customers.list():
            balance = accounts.get(f"receivable:{customer.id}", [Money(0, "EUR")])
            assert balance == [Money(owed[customer.id], "EUR")]
            assert owed[customer.id] == to_pay[customer.id]  # what is too much is credit

    @invariant()
    def what_customers_gave_pays_documents_or_is_their_credit(self) -> None:
        kept: Counter[str] = Counter()
        with self.shop.database.read() as connection:
            for row in connection.execute(
                text(
                    "SELECT i.customer, p.nanos FROM payments p JOIN invoices i ON i.id = p.invoice"
                )
            ):
                kept[row[0]] += row[1]
            rounded = connection.execute(
                text(
                    "SELECT coalesce(sum(e.nanos), 0) FROM ledger_entries e"
                    " JOIN ledger_transactions t ON t.sequence = e.sequence"
                    " WHERE e.account = 'rounding' AND t.kind = 'payment'"
                )
            ).scalar_one()
        expired, beyond = self.expired(), 0
        for customer in self.shop.customers.list():
            used = kept[customer.id] + self.credit_of(customer.id)
            used += self.taken_by_calls(customer.id, "9998-12")
            used += self.lapsed[customer.id] + expired[customer.id]
            more = used - self.gave[customer.id]
            assert more >= 0
            beyond += more
        assert beyond == rounded  # where less than a cent was short of an invoice

    @invariant()
    def the_ledger_balances(self) -> None:
        sums: Counter[str] = Counter()
        for balances in self.shop.ledger.check().accounts.values():
            for money in balances:
                sums[money.currency] += money.nanos
        assert not any(sums.values())

    @invariant()
    def all_that_providers_took_is_in_the_books_or_went_back(self) -> None:
        accounts = self.shop.ledger.check().accounts
        (cash,) = accounts.get("cash:stripe", [Money(0, "EUR")])
        assert cash == Money(self.collected * 10_000_000 - self.sent_back, "EUR")

    def settle(self) -> None:
        """Invoice all that is left, and hold it against what was used."""
        self.clock.moment += timedelta(days=70)  # so that late usage meets a month of its own
        last = Period.containing(self.clock.moment, "UTC").preceding
        for period in self.months_until(last):
            self.run_month(period)
        for period in self.months_until(last):
            assert list(self.shop.invoices.run(period).drafted) == []
        self.shop.rollup.check()
        DocumentCheck(self.shop.database).check()
        assert not UsageCheck(self.shop.database).check().faults
        self.the_ledger_balances()
        self.numbers_have_no_gap()
        assert len(self.shop.history.list_usage(limit=100_000)) == len(self.events)
        billed, most = self.billed(), self.due(str(last), self.events)
        in_time = [
            event
            for number, event in enumerate(self.events)
            if event[1] != REJECTING or number < self.closed.get((event[0], event[2]), number + 1)
        ]
        least = self.due(str(last), in_time)
        for key in {*billed, *least, *most}:
            customer, __, month = key
            if (customer, month) in self.reopened:  # it may have taken what had come late before
                assert least.get(key, 0) <= billed.get(key, 0) <= most.get(key, 0)
            else:
                assert billed.get(key, 0) == least.get(key, 0)

    def months_until(self, last: Period) -> list[Period]:
        months = [FIRST]
        while months[-1] < last:
            months.append(months[-1].following)
        return months

    def numbers_have_no_gap(self) -> None:
        given = defaultdict(list)
        for each in self.shop.invoices.list():
            if each.number:
                series, __, number = each.number.rpartition("-")
                given[series].append(int(number))
        for numbers in given.values():
            assert sorted(numbers) == list(range(1, len(numbers) + 1))

    def billed(self) -> dict[tuple[str, str, str], Fraction]:
        """By customer, plan and month, what standing invoices have, late usage in its own month."""
        found: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
        for each in self.shop.invoices.list():
            if each.kind == "invoice" and each.status in ("issued", "paid", "credited"):
                for line in each.document["lines"]:
                    month = line.get("period", each.period)
                    found[each.customer, line["plan"], month] += exact_of(line)
        return {key: amount for key, amount in found.items() if amount}

    def due(self, last: str, events: list[Event]) -> dict[tuple[str, str, str], Fraction]:
        """The same from events and subscriptions, for all months up to the last."""
        found: dict[tuple[str, str, str], Fraction] = {}
        used: Counter[tuple[str, str, str]] = Counter()
        for *key, is_charged in events:
            used[key[0], key[1], key[2]] += is_charged
        for customer in self.shop.customers.list():
            days = self.days_of(customer.name)
            plans = {"standard@1", "plain@1", "advance@1", REJECTING}
            months = {key[2] for key in (*used, *days)}
            for plan in plans:
                for month in months:
                    key = (customer.id, plan, month)
                    amount = amount_of(plan, month, used[key], days[plan, month, month])
                    if amount and month <= last:
                        found[key] = amount
        return found

    def days_of(self, customer: str) -> Counter[tuple[str, str, str]]:
        """How many days of each month each plan was in force, no day twice."""
        days: Counter[tuple[str, str, str]] = Counter()
        day = date(2027, 1, 1)
        while day <= self.clock.moment.date():
            holders = [each for each in self.shop.subscriptions.list(customer) if holds(each, day)]
            assert len(holders) <= 1
            for each in holders:
                month = day.isoformat()[:7]
                days[f"{each.plan}@{each.plan_version}", month, month] += 1
            day += timedelta(days=1)
        return days


def holds(subscription: Any, day: date) -> bool:
    started = datetime.fromisoformat(subscription.started_at).date()
    if day < started or subscription.ended_at is None:
        return day >= started
    ended = datetime.fromisoformat(subscription.ended_at)
    if subscription.ended_by == "change":
        return day < ended.date()
    return day <= (ended - timedelta(microseconds=1)).date()


def amount_of(plan: str, month: str, used: int, days: int) -> Fraction:
    length = Period.parse(month).days
    if plan == "standard@1":
        return Fraction("0.02") * used
    if plan == "advance@1":
        return Fraction("0.0137") * used
    fee = Fraction(31 if plan == "plain@1" else 10) * days / length
    if plan == "plain@1":
        return fee + Fraction("0.013") * used
    share = Fraction(max(days, 1), length)
    charged = max(0, used - ceil(2 * share))
    dearer = min(charged, ceil(5 * share))
    usage = Fraction("0.1") * dearer + Fraction("0.07") * (charged - dearer)
    return fee + (max(usage, Fraction("0.3") * share) if days else usage)


Books.TestCase.settings = settings(
    max_examples=int(os.environ.get("MINTAGE_ROUNDS", "10")),
    stateful_step_count=35,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
TestBooks = Books.TestCase
