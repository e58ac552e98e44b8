"""The ledger: double entry, only ever added to; every transaction sums to zero.

Accounts are names: what customers owe (``receivable:CUSTOMER``), what was earned
(``revenue:PLAN``), tax to be passed on (``tax:NAME``), what rounding took or gave (``rounding``),
and what was paid (``cash:PROVIDER``). An amount above zero is a debit. What was wrong is reversed
by the very entries that were made, with the other sign.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mintage.capture.books import repository
from mintage.core.canonical import canonical_json
from mintage.core.errors import BooksBroken, RequestError
from mintage.core.messages import _
from mintage.core.money import Money
from mintage.store.engine import Database
from mintage.trust import audit

_KIND = "ledger.posted"
_MOST_NANOS = 2**63 - 1  # what a row's 64 bits hold


@dataclass(frozen=True)
class Entry:
    """One side of a transaction: a debit above zero, a credit below."""

    account: str
    amount: Money

    def reversed(self) -> Entry:
        """The same with the other sign."""
        return Entry(self.account, -self.amount)

    def to_json(self) -> dict[str, Any]:
        """As its row and its leaf hold it; nanos as text, since they may be beyond 2⁵³."""
        return {
            "account": self.account,
            "currency": self.amount.currency,
            "nanos": str(self.amount.nanos),
        }

    def to_row(self) -> repository.Values:
        """As its row holds it."""
        return self.to_json() | {"nanos": self.amount.nanos}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Entry:
        """Read an entry's row."""
        return cls(row["account"], Money(int(row["nanos"]), row["currency"]))


def beyond(entries: Iterable[Entry]) -> Money | None:
    """The greatest amount of some entries, if the ledger cannot hold it; above zero."""
    most = max((entry.amount for entry in entries), key=lambda each: abs(each.nanos), default=None)
    if most is None or abs(most.nanos) <= _MOST_NANOS:
        return None
    return most if most.nanos > 0 else -most


def post(
    connection: repository.Connection,
    kind: str,
    reference: str,
    entries: Iterable[Entry],
    moment: str,
) -> None:
    """Add a transaction, within the caller's; ``reference`` is what it is about.

    A kind of transaction about one thing is posted once: what is posted already stays as it is.

    Raises:
        BooksBroken: the entries do not sum to zero in each currency.
        RequestError: an amount is more than an entry can hold.
    """
    made = [entry for entry in entries if entry.amount.nanos]
    too_much = beyond(made)
    if too_much is not None:
        raise RequestError(
            _("{amount} is more than the ledger can hold.", amount=too_much),
            remedy=_("Nothing was written. Write it as several smaller amounts."),
        )
    wrong = _sums(made)
    if wrong:
        raise BooksBroken(
            _("A transaction about {reference} sums to {sums}.", reference=reference, sums=wrong),
            remedy=_("Nothing was written. Report this."),
        )
    known = repository.find_transaction(connection, kind, reference)
    if known is not None:
        rows = repository.entries_of(connection, known["sequence"])
        if [Entry.from_row(row) for row in rows] != made:
            raise BooksBroken(
                _(
                    "{kind} of {reference} is in the books otherwise.",
                    kind=kind,
                    reference=reference,
                )
            )
        return
    said = {
        "transaction": kind,
        "reference": reference,
        "posted_at": moment,
        "entries": [entry.to_json() for entry in made],
    }
    leaf = audit.append(connection, _KIND, said)
    values = {
        "kind": kind,
        "reference": reference,
        "posted_at": moment,
        "log_position": leaf.position,
    }
    repository.add_transaction(connection, values, [entry.to_row() for entry in made])


def reverse(
    connection: repository.Connection, kind: str, reference: str, by: tuple[str, str], moment: str
) -> None:
    """Take a transaction back by its actual entries; ``by`` is the reversal's kind and reference.

    Raises:
        BooksBroken: there is no such transaction.
    """
    found = repository.find_transaction(connection, kind, reference)
    if found is None:
        raise BooksBroken(
            _("There is no transaction {kind} of {reference}.", kind=kind, reference=reference)
        )
    rows = repository.entries_of(connection, found["sequence"])
    post(connection, *by, [Entry.from_row(row).reversed() for row in rows], moment)


@dataclass(frozen=True)
class Balances:
    """What a ledger comes to: transactions, and each account's balance by currency."""

    transactions: int
    accounts: Mapping[str, Sequence[Money]]

    def to_json(self) -> dict[str, Any]:
        """As ``ledger check --json`` says it."""
        accounts = {
            name: {money.currency: money.amount for money in balances}
            for name, balances in sorted(self.accounts.items())
        }
        return {"transactions": self.transactions, "accounts": accounts}


class Ledger:
    """The ledger of a workspace, to be read and checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self) -> Balances:
        """Add everything up, and hold it against the audit log.

        Raises:
            BooksBroken: a transaction does not sum to zero, or is not what was logged.
        """
        with self._database.read() as connection:
            transactions = repository.all_transactions(connection)
            rows = repository.all_entries(connection)
            logged = repository.leaves_of(connection, _KIND)
        entries: dict[int, list[Entry]] = defaultdict(list)
        for row in rows:
            entries[row["sequence"]].append(Entry.from_row(row))
        for each in transactions:
            _check_one(each, entries.pop(each["sequence"], []))
        if logged != len(transactions):
            raise BooksBroken(
                _(
                    "{logged} transactions are logged, and {count} are in the ledger.",
                    logged=logged,
                    count=len(transactions),
                ),
                remedy=_("Restore the workspace from a backup, or report this."),
            )
        if entries:
            raise BooksBroken(
                _("{count} transactions have entries and are not there.", count=len(entries)),
                remedy=_("Restore the workspace from a backup, or report this."),
            )
        return Balances(len(transactions), _balances(rows))


def _check_one(transaction: repository.Values, entries: Sequence[Entry]) -> None:
    sums = _sums(entries)
    logged = json.loads(transaction["record"]) if _is_logged(transaction) else {}
    logged.pop("actor", None)  # who did it is no part of the books
    said = {
        "kind": _KIND,
        "transaction": transaction["kind"],
        "reference": transaction["reference"],
        "posted_at": transaction["posted_at"],
        "entries": [entry.to_json() for entry in entries],
    }
    if sums or canonical_json(said) != canonical_json(logged):
        reason = _("it sums to {sums}", sums=sums) if sums else _("the audit log has it otherwise")
        raise BooksBroken(
            _(
                "The transaction {kind} of {reference} does not hold: {reason}.",
                kind=transaction["kind"],
                reference=transaction["reference"],
                reason=reason,
            ),
            remedy=_("Restore the workspace from a backup, or report this."),
        )


def _is_logged(transaction: repository.Values) -> bool:
    record, salt = transaction["record"], transaction["salt"]
    return record is not None and audit.leaf_of(record, salt) == transaction["leaf_hash"]


def _sums(entries: Iterable[Entry]) -> dict[str, str]:
    """What is not zero, by currency."""
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        sums[entry.amount.currency] += entry.amount.nanos
    return {currency: Money(nanos, currency).amount for currency, nanos in sums.items() if nanos}


def _balances(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Money]]:
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        sums[row["account"], row["currency"]] += int(row["nanos"])
    found: dict[str, list[Money]] = defaultdict(list)
    for (account, currency), nanos in sorted(sums.items()):
        found[account].append(Money(nanos, currency))
    return dict(found)
