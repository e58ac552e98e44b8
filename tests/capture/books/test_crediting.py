"""A credit note that is asked for again under its reference is the one that was written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.books.test_invoices import at, euros, use, with_two_lines

from mintage.capture.books import crediting, documents
from mintage.capture.pricing.periods import Period
from mintage.capture.pricing.rating import Line
from mintage.core.errors import RequestError
from mintage.core.money import Money


def test_the_same_reference_again_writes_nothing_and_shows_the_same_note(shop: Any) -> None:
    issued = with_two_lines(shop)
    first = shop.invoices.credit_part(issued.id, 1, euros("5"), "slow", named="ticket 7")
    entries = shop.ledger.check().transactions
    for amount, reason in (("5", "slow"), ("5.00", "slow"), (None, "sent again")):
        taken = None if amount is None else euros(amount)
        again = shop.invoices.credit_part(issued.number, 1, taken, reason, named="ticket 7")
        assert again == first
    assert shop.ledger.check().transactions == entries
    assert shop.invoices.find(issued.id).settled()["credited"] == "5.95"
    assert first.document["asked"] == {"reference": "ticket 7", "line": 1, "anew": False}


def test_all_that_is_left_of_a_line_is_taken_once(shop: Any) -> None:
    issued = with_two_lines(shop)
    first = shop.invoices.credit_part(issued.id, 1, None, "slow", named="a")
    assert shop.invoices.credit_part(issued.id, 1, None, "slow", named="a") == first
    assert shop.invoices.credit_part(issued.id, 1, euros("8"), "slow", named="a") == first


@pytest.mark.parametrize(
    "other",
    [
        lambda shop, of: shop.invoices.credit_part(of, 1, euros("4.99"), "slow", named="a"),
        lambda shop, of: shop.invoices.credit_part(of, 2, euros("0.5"), "slow", named="a"),
        lambda shop, of: shop.invoices.credit_part(of, 2, None, "slow", named="a"),
        lambda shop, of: shop.invoices.credit(of, "slow", named="a"),
        lambda shop, of: shop.invoices.credit(of, "slow", anew=True, named="a"),
    ],
)
def test_the_same_reference_over_something_else_is_refused(
    shop: Any, other: Callable[[Any, str], Any]
) -> None:
    issued = with_two_lines(shop)
    shop.invoices.credit_part(issued.id, 1, euros("5"), "slow", named="a")
    with pytest.raises(RequestError, match="CN-2026-000001 has that reference") as refused:
        other(shop, issued.id)
    assert refused.value.http_status == 409
    assert shop.invoices.find(issued.id).settled()["credited"] == "5.95"


def test_another_reference_none_and_another_invoice_are_further_notes(shop: Any) -> None:
    issued = with_two_lines(shop)
    made = [
        shop.invoices.credit_part(issued.id, 1, euros("1"), "slow", named=named).number
        for named in ("a", "b", None, None)
    ]
    use(shop, 2, "Bob")
    at(shop, "2027-01-03")
    (draft,) = shop.invoices.run(Period(2026, 12), shop.customers.find("Bob").id).drafted
    other = shop.invoices.issue(draft.id)
    made.append(shop.invoices.credit_part(other.id, 1, euros("0.01"), "slow", named="a").number)
    assert len(set(made)) == 5
    note = shop.invoices.find(made[2])
    assert "asked" not in note.document


@pytest.mark.parametrize("anew", [False, True])
def test_a_note_over_all_of_an_invoice_is_shown_again_too(shop: Any, *, anew: bool) -> None:
    issued = with_two_lines(shop)
    first = shop.invoices.credit(issued.id, "wrong", anew=anew, named="a")
    assert shop.invoices.credit(issued.id, "wrong", anew=anew, named="a") == first
    with pytest.raises(RequestError, match="has that reference"):
        shop.invoices.credit(issued.id, "wrong", anew=not anew, named="a")
    with pytest.raises(RequestError, match="has that reference"):
        shop.invoices.credit_part(issued.id, 1, None, "wrong", named="a")
    with pytest.raises(RequestError, match="and once"):
        shop.invoices.credit(issued.id, "wrong", anew=anew)


def test_the_rest_after_a_part_is_another_thing_than_the_part(shop: Any) -> None:
    issued = with_two_lines(shop)
    part = shop.invoices.credit_part(issued.id, 1, euros("4"), "slow", named="a")
    rest = shop.invoices.credit(issued.id, "all", named="b")
    assert shop.invoices.credit(issued.id, "all", named="b") == rest
    assert shop.invoices.credit_part(issued.id, 1, euros("4"), "slow", named="a") == part
    shop.ledger.check()


def test_two_who_ask_at_once_get_one_note(shop: Any) -> None:
    issued = with_two_lines(shop)

    def ask(_number: int) -> str:
        note = shop.invoices.credit_part(issued.id, 1, euros("1"), "slow", named="a")
        return str(note.number)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(16))) == {"CN-2026-000001"}
    assert shop.invoices.find(issued.id).settled()["credited"] == "1.19"


@pytest.mark.parametrize("named", ["", " ", "a\nb", "x" * 201, " a", "mtg_live_abcdefgh"])
def test_what_cannot_be_printed_is_no_reference(shop: Any, named: str) -> None:
    issued = with_two_lines(shop)
    with pytest.raises(RequestError, match="no reference of a credit note"):
        shop.invoices.credit_part(issued.id, 1, euros("1"), "slow", named=named)
    with pytest.raises(RequestError, match="no reference of a credit note"):
        shop.invoices.credit(issued.id, "slow", named=named)
    assert shop.invoices.find(issued.id).settled()["credited"] == "0"


HALVES = st.integers(1, 400).map(lambda halves: Fraction(halves, 200))


@given(
    amounts=st.lists(HALVES, min_size=1, max_size=4),
    off=st.integers(0, 100),
    percent=st.sampled_from(["19", "7", "0", "8.875"]),
    parts=st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), max_size=4),
)
def test_notes_over_lines_at_half_a_cent_come_to_the_invoice(
    amounts: list[Fraction], off: int, percent: str, parts: list[tuple[int, int]]
) -> None:
    lines = [Line("usage", "plain", 1, each, unit="image", units=1) for each in amounts]
    if off:
        lines.append(Line("discount", "plain", 1, -sum(amounts) * off / 100, percent=str(off)))
    found = documents.invoice(
        seller={},
        customer={},
        currency="EUR",
        period="2026-11",
        lines=lines,
        taxes=[{"name": "VAT", "percent": percent}],
        due_days=30,
        rejected=[],
    ) | {"number": "INV-2026-000001"}
    notes: list[Any] = []
    for place, share in parts:
        number = place % len(lines) + 1
        with suppress(RequestError):  # nothing of it is left
            left = crediting.remaining_of(found, notes, number, {})
            amount = Money.rounded(left.exact / share, "EUR")
            notes.append(crediting.part(found, notes, number, amount, "slow", left))
    notes.append(crediting.rest(found, notes, "slow", {}))
    for name in ("net", "total"):
        assert sum(Fraction(note[name]) for note in notes) == -Fraction(found[name])
    for number, line in enumerate(found["lines"], start=1):
        back = [each for note in notes for each in note["lines"] if each["of_line"] == number]
        assert sum(Fraction(each["amount"]) for each in back) == -Fraction(line["amount"])
