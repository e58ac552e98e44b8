"""What accounting software reads, and what a spreadsheet must not take for a formula."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from mintage.capture.books import documents, rendering
from mintage.capture.pricing.rating import Line
from mintage.core.canonical import canonical_json, sha256_hex


def document(**changes: Any) -> documents.Document:
    said: dict[str, Any] = {
        "seller": {},
        "customer": {"name": "Ada"},
        "currency": "JPY",
        "period": "2026-11",
        "lines": [Line("minimum", "gold", 1, amount=3)],  # type: ignore[arg-type]
        "taxes": [],
        "due_days": 30,
        "rejected": [],
    }
    return documents.invoice(**said | changes)


@pytest.mark.parametrize("name", ["=1+1", " =1+1", "-2+3+cmd|' /C calc'!A0", "+1", "@SUM(A1)"])
def test_no_name_is_taken_for_a_formula(name: str) -> None:
    written = rendering.csv_text([document(customer={"name": name, "legal_name": name})])
    (row,) = csv.DictReader(io.StringIO(written))
    assert (row["customer"], row["legal_name"]) == (f"'{name}", f"'{name}")
    assert row["amount"] == "3"


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("-1234.5", "EUR", "-1,234.50 EUR"),
        ("1234", "JPY", "1,234 JPY"),
        ("-0.4", "JPY", "-0.4 JPY"),
        ("1.5", "KWD", "1.500 KWD"),
        ("0.0046", "EUR", "0.0046 EUR"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency_and_loses_none(
    amount: str, currency: str, shown: str
) -> None:
    assert rendering.amount_text(amount, currency) == shown


def test_a_page_prints_the_digest_of_what_was_issued_whatever_was_paid_since() -> None:
    issued = document() | {"number": "INV-2026-000001"}
    digest = sha256_hex(canonical_json(issued))
    sums = {"credit": "0", "paid": "1", "credited": "0", "to_pay": "2"}
    for language in ("en", "zh"):
        now = rendering.standing({"document": issued, **sums})
        assert digest in rendering.html(now, "issued", language)
        assert "mintage verify INV-2026-000001.signed.json" in rendering.html(
            now, "issued", language
        )
    assert "SHA-256" not in rendering.html(document(), "draft", "en")


def test_names_cannot_break_out_of_the_page() -> None:
    page = rendering.html(document(customer={"name": "<script>alert(1)</script>"}), "draft", "en")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
