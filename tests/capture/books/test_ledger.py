"""The ledger: every transaction sums to zero, and is what the audit log has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books import documents, ledger
from mintage.capture.pricing.rating import Line
from mintage.core.errors import BooksBroken
from mintage.core.money import Money

NOW = "2026-11-23T12:00:00.000000Z"


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def post(shop: Any, *sides: tuple[str, str], kind: str = "invoice", about: str = "inv_1") -> None:
    entries = [ledger.Entry(account, euros(amount)) for account, amount in sides]
    shop.database.write(lambda connection: ledger.post(connection, kind, about, entries, NOW))


def spoil(shop: Any, statement: str) -> None:
    shop.database.write(lambda connection: connection.exec_driver_sql(statement) and None)


def test_what_does_not_sum_to_zero_is_refused_and_leaves_nothing(shop: Any) -> None:
    with pytest.raises(BooksBroken, match=r"0\.01"):
        post(shop, ("receivable:1", "1"), ("revenue", "-0.99"))
    assert shop.ledger.check().transactions == 0
    assert shop.leaves("ledger.posted") == []


def test_a_transaction_about_one_thing_is_posted_once(shop: Any) -> None:
    for __ in range(2):
        post(shop, ("receivable:1", "1"), ("revenue", "-1"))
    found = shop.ledger.check()
    assert (found.transactions, found.accounts["revenue"]) == (1, [euros("-1")])


def test_a_reversal_is_of_the_entries_that_were_made(shop: Any) -> None:
    post(shop, ("receivable:1", "1.19"), ("revenue", "-1"), ("tax", "-0.19"))
    by = ("void", "inv_1")
    shop.database.write(lambda c: ledger.reverse(c, "invoice", "inv_1", by, NOW))
    assert {money.amount for each in shop.ledger.check().accounts.values() for money in each} == {
        "0"
    }
    with pytest.raises(BooksBroken, match="no transaction"):
        shop.database.write(lambda c: ledger.reverse(c, "invoice", "inv_2", by, NOW))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET nanos = nanos + 1 WHERE entry = 0",
        "UPDATE ledger_entries SET nanos = 2 * nanos",
        "UPDATE ledger_entries SET account = 'revenue:mine' WHERE entry = 1",
        "UPDATE ledger_transactions SET reference = 'inv_9'",
        "DELETE FROM ledger_entries",
        "DELETE FROM ledger_transactions",
    ],
)
def test_what_was_changed_afterwards_is_found(shop: Any, statement: str) -> None:
    post(shop, ("receivable:1", "1"), ("revenue", "-1"))
    spoil(shop, statement)
    with pytest.raises(BooksBroken):
        shop.ledger.check()


@given(
    amounts=st.lists(st.fractions(min_value=-(10**6), max_value=10**6), max_size=6),
    taxes=st.lists(st.decimals(0, 100, places=2).map(str), max_size=3),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_whatever_its_lines_the_two_sides_of_an_invoice_are_equal(
    amounts: list[Any], taxes: list[str], currency: str
) -> None:
    document = documents.invoice(
        seller={},
        customer={},
        currency=currency,
        period="2026-11",
        lines=[Line("usage", "gold", 1, amount, unit="image") for amount in amounts],
        taxes=[{"name": f"tax {n}", "percent": percent} for n, percent in enumerate(taxes)],
        due_days=30,
        rejected=[],
    )
    entries = documents.entries(document, "cus_1")
    assert sum(entry.amount.nanos for entry in entries) == 0
    assert entries[0].amount == documents.total_of(document)
    note = documents.credit_note(document, "wrong")
    assert documents.total_of(note) == -documents.total_of(document)
