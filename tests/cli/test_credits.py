"""Limits and credit on the command line."""

from __future__ import annotations

from pathlib import Path

from tests.cli.test_billing import books
from tests.terminal import Terminal

__all__ = ["books"]  # a fixture

LIMITED = """
currency = "EUR"
spend_limit = "50"

[[charges]]
unit = "image"
price = "0.02"
included = 10
hard_limit = 1000
products = ["pets", "cats"]
"""


def test_credit_is_noted_once_listed_and_paid_back(mintage: Terminal, books: Path) -> None:
    at = ("--home", books)
    add = ("credit", "add", "Ada", "50 EUR", "--payment", "bank-1")
    first = mintage.json(*add, *at)
    assert (first["origin"], first["amount"], first["left"]) == ("paid", "50", "50")
    assert mintage.json(*add, *at)["id"] == first["id"]
    gift = mintage.json("credit", "add", "Ada", "5 EUR", "--expires", "30d", *at)
    assert gift["origin"] == "given"
    shown = mintage("credit", "list", "Ada", *at)
    for words in (first["id"], "paid", "given", gift["expires_at"][:16]):
        assert words in shown, words
    assert "Credit: 55 EUR" in mintage("customer", "limits", "Ada", *at)
    for each, said, status in (
        (first, "50 EUR of it was left and is noted as paid back.", 0),
        (gift, "5 EUR of it was left and is taken back.", 0),
        (gift, "can be paid back now", 2),
    ):
        mintage("credit", "refund", each["id"], *at, status=status)
        assert said in mintage.err
    assert mintage.json("ledger", "check", *at)["accounts"]["given"] == {"EUR": "0"}


def test_what_limits_a_customer_is_shown(mintage: Terminal, books: Path, tmp_path: Path) -> None:
    at = ("--home", books)
    path = tmp_path / "limited.toml"
    path.write_text(LIMITED, encoding="utf-8")
    mintage("plan", "set", path, *at)
    assert "Not sold here yet: cats." in mintage.err
    mintage("customer", "begin", "Ada", "limited", *at)
    mintage("key", "add", "Ada", "--name", "ci", "--budget", "10 EUR", *at)
    assert "10 EUR" in mintage("key", "list", "Ada", *at)
    shown = mintage("customer", "limits", "Ada", *at)
    for words in ("limited: image", "limited: EUR", "ci: EUR", "1,000", "50"):
        assert words in shown, words
    said = mintage.json("customer", "limits", "Ada", *at)
    assert (said["limits"][0]["hard_limit"], said["spending"][0]["spend_limit"]) == (1000, "50")
    assert said["budgets"][0]["budget"] == "10"
    mintage("customer", "limits", "王小明", *at)
    assert "Nothing limits 王小明." in mintage.err


def test_a_plan_by_a_unit_that_no_call_counts_is_refused(
    mintage: Terminal, books: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(LIMITED.replace('"image"', '"picture"'), encoding="utf-8")
    mintage("plan", "set", path, "--home", books, status=2)
    assert "No call counts 'picture'" in mintage.err
    assert "explanation, image" in mintage.err
