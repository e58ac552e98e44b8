"""Credits: what a customer paid in advance, or was given; calls and invoices take of it.

In the ledger it is owed to the customer (``credit:CUSTOMER``) until an invoice counts it as paid.
What ends first is taken first. A call of a prepaid plan takes its price with tax when its event is
recorded; other invoices take what is left when they are issued.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from mintage.capture.books import ledger
from mintage.capture.customers import found_customer
from mintage.capture.key_limits import end_of
from mintage.capture.limits import repository
from mintage.core.canonical import sha256_hex
from mintage.core.clock import Clock, timestamp
from mintage.core.currencies import exponent_of
from mintage.core.errors import BooksBroken, RequestError
from mintage.core.ids import new_id
from mintage.core.messages import _
from mintage.core.money import NANOS, Money
from mintage.store.engine import Database
from mintage.trust import audit

Origin = Literal["paid", "given", "returned", "surplus"]
"""``returned`` and ``surplus`` came back from a document, which credit had paid or other ways had:
a surplus can be paid out."""
CREDIT = "credit"
"""The provider of what credit pays of an invoice."""
_LONGEST_REFERENCE = 200
MOST_NANOS = 10**17  # a hundred million, and far from what 64 bits hold


@dataclass(frozen=True)
class Credit:
    """One amount; ``spent_nanos`` of it are taken. Of one that has ``ended_at`` nothing is left."""

    id: str
    customer: str
    origin: Origin
    currency: str
    nanos: int
    spent_nanos: int
    provider: str | None
    reference: str | None
    added_at: str
    expires_at: str | None = None
    ended_at: str | None = None

    @property
    def amount(self) -> Money:
        """What was paid or given."""
        return Money(self.nanos, self.currency)

    def left(self, now: str) -> Money:
        """What can be used of it at a moment."""
        over = self.ended_at is not None or (self.expires_at is not None and self.expires_at <= now)
        return Money(0 if over else self.nanos - self.spent_nanos, self.currency)

    def to_json(self, now: str) -> dict[str, Any]:
        """As lists show it."""
        said = asdict(self)
        for name in ("nanos", "spent_nanos"):
            del said[name]
        return said | {"amount": self.amount.amount, "left": self.left(now).amount}


@dataclass(frozen=True)
class Balance:
    """What a customer has in one currency; ``held`` by calls under way."""

    left: Money
    held: Money

    def to_json(self) -> dict[str, Any]:
        """As lists show it."""
        return {
            "currency": self.left.currency,
            "left": self.left.amount,
            "held": self.held.amount,
        }


@dataclass(frozen=True)
class Share:
    """What credit ``pays`` of an invoice, in whole minor units, and what was ``taken`` for that.

    They differ by less than one minor unit, where no more than that was short: rounding has it.
    """

    pays: Money
    taken: Money


class Credits:
    """The credits of a workspace."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        customer: str,
        amount: Money,
        *,
        provider: str,
        reference: str | None,
        expires: str | None = None,
        action: str | None = None,
    ) -> Credit:
        """Note what a customer paid in advance; without a ``reference`` it is given, for nothing.

        A payment is noted once, by its provider and reference, and what is given once for each
        ``action``, where that has a name. ``expires`` is in a person's words.

        Raises:
            ConfigError: no time to expire at.
            RequestError: no such customer (404), no amount above zero, or a payment or action of
                another customer or amount (409).
        """
        _check_amount(amount, reference)
        moment = self._clock.now()
        expires_at = None if expires is None else end_of(expires, moment)

        def work(connection: repository.Connection) -> Credit:
            now, owner = timestamp(self._clock.now()), found_customer(connection, customer)
            made = replace(
                _made(owner.id, amount, "given", (None, None), now)
                if reference is None
                else _made(owner.id, amount, "paid", (provider, reference), now),
                expires_at=expires_at,
            )
            if reference is not None:
                known = repository.credit_by_reference(connection, provider, reference)
            elif action is not None:
                # Named after it, so that two who give at the same moment cannot both.
                made = replace(made, id=id_of(action))
                known = repository.find_credit(connection, made.id)
            else:
                known = None
            if known is not None:
                return _same_payment(Credit(**known), made)
            against = "given" if reference is None else f"cash:{provider}"
            _added(connection, made, against, now)
            return made

        return self._database.write(work)

    def given_by(self, action: str) -> Credit | None:
        """What was given under the name of an action, if anything was."""
        with self._database.read() as connection:
            row = repository.find_credit(connection, id_of(action))
        return None if row is None else Credit(**row)

    def refund(self, credit: str) -> Credit:
        """Pay back what is left of a credit that was paid; of one that was given, take it back.

        The credit is as it was before, but for its end: its amount less what is spent went back.

        Raises:
            RequestError: there is none (404), or nothing is left of it (409).
        """

        def work(connection: repository.Connection) -> Credit:
            now, found = timestamp(self._clock.now()), _found(connection, credit)
            if found.origin == "returned":
                raise RequestError(
                    _("The credit {id} came back from a document: it is to be used.", id=credit),
                    remedy=_("See what is left: mintage credit list CUSTOMER"),
                    http_status=409,
                )
            left = found.left(now)
            whose = f"{found.customer}/credit/{found.currency}"
            held = repository.held(connection, whose, now)
            all_left = repository.credits_left(connection, found.customer, found.currency, now)
            free = sum(each.nanos for each in all_left)
            if not left.nanos or free - held < left.nanos:
                raise RequestError(
                    _("Nothing of the credit {id} can be paid back now.", id=credit),
                    remedy=_("See what is left: mintage credit list CUSTOMER"),
                    http_status=409,
                )
            against = "given" if found.provider is None else f"cash:{found.provider}"
            _ended(connection, found, against, "credit_refund", now)
            return replace(found, ended_at=now)

        return self._database.write(work)

    def lapse(self) -> int:
        """Put in the books what has expired; how many credits that were."""
        return self._database.write(self._lapse)

    def _lapse(self, connection: repository.Connection) -> int:
        now = timestamp(self._clock.now())
        over = repository.lapsing(connection, now)
        for row in over:
            _ended(connection, Credit(**row), "revenue:expired credit", "credit_lapse", now)
        return len(over)

    def list(self, customer: str | None = None) -> Sequence[Credit]:
        """Credits of a customer or of all, the oldest first.

        Raises:
            RequestError: no such customer (404).
        """
        with self._database.read() as connection:
            owner = None if customer is None else found_customer(connection, customer).id
            return [Credit(**row) for row in repository.all_credits(connection, owner)]

    def balances(self, customer: str) -> Sequence[Balance]:
        """What a customer has, by currency.

        Raises:
            RequestError: no such customer (404).
        """
        now = timestamp(self._clock.now())
        with self._database.read() as connection:
            owner = found_customer(connection, customer).id
            found: dict[str, int] = defaultdict(int)
            for row in repository.all_credits(connection, owner):
                each = Credit(**row)
                found[each.currency] += each.left(now).nanos
            return [
                Balance(
                    Money(nanos, currency),
                    Money(repository.held(connection, f"{owner}/credit/{currency}", now), currency),
                )
                for currency, nanos in sorted(found.items())
            ]

    def check(self) -> None:
        """Hold every customer's credit against what the ledger owes them, at one moment.

        Raises:
            BooksBroken: they differ.
        """
        with self._database.read() as connection:
            owed = {
                (row["account"].partition(":")[2], row["currency"]): -int(row["nanos"])
                for row in repository.credit_accounts(connection)
            }
            _check(connection, owed)


def draw(
    connection: repository.Connection, customer: str, amount: Money, period: str, now: str
) -> tuple[int, int, int]:
    """Take the price of calls of a month, as far as credit goes.

    What was left, what is now, and what the credits came to of which something was.
    """
    before, whole = _take(connection, customer, amount, now)
    taken = min(before, amount.nanos)
    if taken:
        repository.draw(connection, customer, amount.currency, period, taken)
    return before, before - taken, whole


def applied(
    connection: repository.Connection,
    customer: str,
    total: Money,
    invoice: tuple[str, str],
    now: str,
) -> Share:
    """What an invoice counts as paid: what calls took, then of what is left.

    ``invoice`` is its id and month. What calls of the month took beyond it, as where its lines are
    rounded down, is the customer's again; so is what is no whole minor unit of what they took.
    """
    reference, period = invoice
    drawn = repository.drawn(connection, customer, total.currency, period)
    left = repository.credits_left(connection, customer, total.currency, now)
    # What calls under way hold is theirs.
    held = repository.held(connection, f"{customer}/credit/{total.currency}", now)
    there = sum(each["drawn_nanos"] - each["applied_nanos"] for each in drawn)
    there += max(0, sum(each.nanos for each in left) - held)
    share = _share(total, there)
    rest = share.taken.nanos
    for each in drawn:
        part = min(rest, each["drawn_nanos"] - each["applied_nanos"])
        if part:
            repository.apply(connection, each, part)
            rest -= part
        beyond = each["drawn_nanos"] - each["applied_nanos"] - part
        if beyond and each["period"] == period:
            repository.draw(connection, customer, total.currency, period, -beyond)
            restore(connection, customer, Money(beyond, total.currency), reference, now)
    _take(connection, customer, Money(rest, total.currency), now)
    return share


def restore(
    connection: repository.Connection, customer: str, amount: Money, document: str, now: str
) -> None:
    """What credit had paid of a document is the customer's again; the entries are the caller's.

    It goes back to where it came from, what was taken last first. Of credits that have ended
    meanwhile it becomes one of its own, to be used and not to be paid out.
    """
    rest = amount.nanos
    for credit, spent in repository.credits_spent(connection, customer, amount.currency, now):
        part = min(rest, spent)
        if part:
            repository.spend(connection, credit, -part)
            rest -= part
    if rest:
        left, by = Money(rest, amount.currency), ("document", document)
        keep(connection, customer, left, by, now, origin="returned")


def pay_in(
    connection: repository.Connection,
    customer: str,
    amount: Money,
    by: tuple[str, str],
    now: str,
) -> None:
    """What came by a payment beside what it paid is credit; ``by`` are provider and reference.

    Raises:
        RequestError: more than one credit can hold, or no amount above zero.
    """
    _check_amount(amount, by[1])
    made = _made(customer, amount, "paid", by, now)
    _added(connection, made, f"cash:{by[0]}", now)


def paid_in(connection: repository.Connection, provider: str, reference: str) -> Money | None:
    """What a payment added to credit, if it did."""
    row = repository.credit_by_reference(connection, provider, reference)
    return None if row is None else Credit(**row).amount


def keep(
    connection: repository.Connection,
    customer: str,
    amount: Money,
    by: tuple[str, str],
    now: str,
    origin: Origin = "surplus",
) -> None:
    """An amount that a document left to give back is credit; the entries are the caller's.

    ``by`` are the provider that pays it out, where that is wanted, and what it is about.
    """
    made = _made(customer, amount, origin, by, now)
    repository.add_credit(connection, asdict(made))
    audit.append(connection, "credit.added", made.to_json(now))


def _check(connection: repository.Connection, owed: Mapping[tuple[str, str], int]) -> None:
    """``owed`` are 10⁻⁹ by customer and currency."""
    kept: dict[tuple[str, str], int] = defaultdict(int)
    for row in repository.all_credits(connection):
        kept[row["customer"], row["currency"]] += row["nanos"] - row["spent_nanos"]
    for row in repository.all_drawn(connection):
        kept[row["customer"], row["currency"]] += row["drawn_nanos"] - row["applied_nanos"]
    for whose in {*kept, *owed}:
        if kept.get(whose, 0) != owed.get(whose, 0):
            customer, currency = whose
            raise BooksBroken(
                _(
                    "Of {customer}, credit of {kept} is kept and {owed} is in the ledger.",
                    customer=customer,
                    kept=Money(kept.get(whose, 0), currency),
                    owed=Money(owed.get(whose, 0), currency),
                ),
                remedy=_("Restore the workspace from a backup, or report this."),
            )


def _share(total: Money, there: int) -> Share:
    """What so much credit, in 10⁻⁹, pays of an amount.

    Nobody can pay a part of a minor unit: where that alone is short, all of the amount is paid;
    else credit pays whole ones, and what it has beyond them stays.
    """
    owed, minor = max(0, total.nanos), NANOS // 10 ** exponent_of(total.currency)
    if owed - there < minor:
        pays, taken = owed, min(owed, there)
    else:
        pays = taken = there - there % minor
    return Share(Money(pays, total.currency), Money(taken, total.currency))


def _take(
    connection: repository.Connection, customer: str, amount: Money, now: str
) -> tuple[int, int]:
    """Take an amount, as far as it goes; how much there was, and of what."""
    rest, before, whole = amount.nanos, 0, 0
    for each in repository.credits_left(connection, customer, amount.currency, now):
        before += each.nanos
        whole += each.whole
        part = min(rest, each.nanos)
        if part:
            repository.spend(connection, each.credit, part)
            rest -= part
    return before, whole


def _added(connection: repository.Connection, made: Credit, against: str, now: str) -> None:
    repository.add_credit(connection, asdict(made))
    sides = [
        ledger.Entry(against, made.amount),
        ledger.Entry(f"credit:{made.customer}", -made.amount),
    ]
    ledger.post(connection, "credit", made.id, sides, now)
    audit.append(connection, "credit.added", made.to_json(now))


def _ended(connection: repository.Connection, found: Credit, to: str, kind: str, now: str) -> None:
    left = Money(found.nanos - found.spent_nanos, found.currency)
    repository.spend(connection, found.id, left.nanos)
    repository.end_credit(connection, found.id, now)
    if left.nanos:
        sides = [ledger.Entry(f"credit:{found.customer}", left), ledger.Entry(to, -left)]
        ledger.post(connection, kind, found.id, sides, now)
    audit.append(connection, "credit.ended", {"id": found.id, "by": kind, "left": left.amount})


def id_of(action: str) -> str:
    """The id of the credit that is given by an action of this name."""
    return f"crd_{sha256_hex(action.encode())[:26]}"


def _made(
    customer: str, amount: Money, origin: Origin, by: tuple[str | None, str | None], now: str
) -> Credit:
    provider, reference = by
    return Credit(
        id=new_id("crd"),
        customer=customer,
        origin=origin,
        currency=amount.currency,
        nanos=amount.nanos,
        spent_nanos=0,
        provider=provider,
        reference=reference,
        added_at=now,
    )


def _found(connection: repository.Connection, credit: str) -> Credit:
    row = repository.find_credit(connection, credit)
    if row is None:
        raise RequestError(
            _("There is no credit {credit!r}.", credit=credit),
            remedy=_("See: mintage credit list CUSTOMER"),
            http_status=404,
        )
    return Credit(**row)


def _check_amount(amount: Money, reference: str | None) -> None:
    if amount.nanos > MOST_NANOS:
        raise RequestError(
            _("{amount} is more than one credit can hold.", amount=amount),
            remedy=_("Add it in several amounts."),
        )
    if amount.nanos <= 0 or Money.rounded(amount.exact, amount.currency) != amount:
        raise RequestError(
            _("Credit is above zero, to the currency's last decimal: not {amount}.", amount=amount),
            remedy=_("Write it as '50 EUR'."),
        )
    if reference is not None and not 1 <= len(reference.strip()) <= _LONGEST_REFERENCE:
        raise RequestError(
            _("A payment has a reference of 1 to {most} characters.", most=_LONGEST_REFERENCE),
            remedy=_("Give what tells it from others, such as the bank's own reference."),
        )


def _same_payment(known: Credit, made: Credit) -> Credit:
    if (known.customer, known.amount) != (made.customer, made.amount):
        if known.reference is None:
            raise RequestError(
                _(
                    "{amount} was given to {customer} under this Idempotency-Key.",
                    amount=known.amount,
                    customer=known.customer,
                ),
                remedy=_("Use one key for one action, such as a new UUID."),
                http_status=409,
            )
        raise RequestError(
            _(
                "The payment {reference} is noted already, as {amount} of {customer}.",
                reference=known.reference,
                amount=known.amount,
                customer=known.customer,
            ),
            remedy=_("Give this one the reference that it has."),
            http_status=409,
        )
    return known
