"""Plans, subscriptions, invoices and the ledger on the command line."""

from __future__ import annotations

import csv
import io
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from pypdf import PdfReader
from tests.capture.conftest import Shop
from tests.conftest import ManualClock
from tests.fonts import LATIN, make_font
from tests.terminal import Terminal

from mintage.capture.books import fonts
from mintage.core.types import UNKNOWN_CURRENCY
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing

GOLD = """
currency = "EUR"
fee = "29.00"

[[charges]]
unit = "image"
model = "graduated"
included = 100

[[charges.tiers]]
up_to = 1000
price = "0.02"

[[charges.tiers]]
price = "0.0133"
"""
WANG = """
legal_name = "上海某某科技有限公司"
tax_number = "91310000MA1FL0XX09"
bank = "招商银行上海分行"
language = "zh"
taxes = [{ name = "增值税", percent = "6" }]
"""


@pytest.fixture
def books(tmp_path: Path, mintage: Terminal) -> Path:
    """A workspace with a product, two customers, and usage of October 2026."""
    home = tmp_path / "books"
    clock = ManualClock()
    clock.moment = datetime(2026, 10, 12, 9, tzinfo=UTC)
    with Workspace(home, clock) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        shop.plans.ensure_default()
        shop.sell("pets")
        for customer, count in (("Ada", 97), ("王小明", 9)):
            shop.key_of(customer)
            for __ in range(2):
                clock.moment += timedelta(hours=1)
                usages = [shop.usage(customer) for __ in range(count)]
                shop.meter.record_all(usages).result(10)
    return home


def test_a_plan_is_set_from_a_file_shown_and_tried_out(mintage: Terminal, tmp_path: Path) -> None:
    at = ("--home", tmp_path / "home")
    (tmp_path / "gold.toml").write_text(GOLD)
    mintage("plan", "set", "gold.toml", *at)
    assert mintage.out.strip() == "gold@1"
    mintage("plan", "set", "gold.toml", *at)
    assert mintage.out.strip() == "gold@1"
    shown = mintage("plan", "show", "gold", "--toml", *at)
    (tmp_path / "silver.toml").write_text(shown)
    mintage("plan", "set", "silver.toml", *at)
    gold, silver = mintage.json("plan", "list", *at)
    assert {**gold, "name": "", "created_at": ""} == {**silver, "name": "", "created_at": ""}
    assert "29 a month" in mintage("plan", "list", *at)
    table = mintage("plan", "simulate", "gold", "--units", "100,1100,10_000", *at)
    assert [row.split()[1] for row in table.splitlines()[1:]] == ["29", "49", "167.37"]
    assert "none was recorded" in mintage.err


def test_a_plan_that_cannot_be_is_named_with_what_is_wrong(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    for text, said in (
        (GOLD.replace("fee =", "fees ="), "Did you mean 'fee'?"),
        (GOLD.replace('"29.00"', "29.00"), "Write amounts as texts"),
        (GOLD.replace("EUR", "EURO"), "Not a currency"),
        (GOLD.replace("included", "includes"), "[[charges]] 1 has no 'includes'"),
        ("fee = [", "is not TOML"),
    ):
        (tmp_path / "gold.toml").write_text(text)
        mintage("plan", "set", "gold.toml", *at, status=2)
        assert said in mintage.err
    mintage("plan", "set", "none.toml", *at, status=2)
    assert "No such file" in mintage.err
    (tmp_path / "gold.toml").write_text(GOLD)
    mintage("plan", "set", "gold.toml", *at)
    for reference, said in (("gold@9", "Its newest is 1."), ("gold@x", "Not a version")):
        mintage("plan", "show", reference, *at, status=2)
        assert said in mintage.err
    mintage("plan", "simulate", "gold", "--units", "many", *at, status=2)
    assert "Not numbers of units" in mintage.err


def test_what_answering_costs_is_told_where_an_hour_has_a_price(
    mintage: Terminal, books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    mintage("plan", "simulate", "standard", "--units", "1000", *at)
    assert "A unit computes 7.1 ms." in mintage.err
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 EUR")
    (row,) = mintage.json("plan", "simulate", "standard", "--units", "1000", *at)["rows"]
    assert (row["price"], round(float(row["cost"]), 6)) == ("20", 0.071)
    assert row["margin"] == pytest.approx(1 - 0.071 / 20)
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "dear")
    mintage("plan", "simulate", "standard", *at, status=2)
    assert "MINTAGE_COMPUTE_COST" in mintage.err


def test_a_unit_costs_what_the_answers_that_counted_it_did(
    mintage: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 EUR")
    home = tmp_path / "home"
    at = ("--home", home)
    for product, unit in (("pets", "image"), ("chat", "input_token"), ("other", "input_token")):
        text = f'currency = "EUR"\n[[charges]]\nunit = "{unit}"\n'
        text += f'products = ["{product}"]\nper = 1000000\ntiers = [{{ price = "0.27" }}]\n'
        (tmp_path / f"{product}.toml").write_text(text)
        mintage("plan", "set", f"{product}.toml", *at)
    (tmp_path / "request.toml").write_text(
        'currency = "EUR"\n[[charges]]\nunit = "request"\ntiers = [{ price = "1" }]\n'
    )
    tokens = '[[charges]]\nunit = "input_token"\ntiers = [{ price = "1" }]\n'
    (tmp_path / "any.toml").write_text('currency = "EUR"\n' + tokens)
    (tmp_path / "usd.toml").write_text('currency = "USD"\n' + tokens)

    def each(plan: str, *words: object) -> tuple[float | None, float | None]:
        found = mintage.json("plan", "simulate", plan, "--units", "1000000", *words, *at)
        cost = found["rows"][0]["cost"]
        return None if cost is None else float(cost), found["seconds_each"]

    with Workspace(home, ManualClock()) as workspace:
        shop: Any = Shop(workspace, KeyRing(workspace.key_folder))
        for product in ("pets", "chat", "other"):
            shop.sell(product, product)

        def answer(product: str, **changes: Any) -> None:
            permit = shop.permit("Ada", product)
            shop.meter.record(shop.usage(permit=permit, **changes)).result(10)

        answer("pets", quantities={"image": 3})
        answer("pets", outcome="error", compute_seconds=9.0)
        asked = {"compute_seconds": 0.0, "counted_by": "upstream", "cost_currency": "EUR"}
        counted = {"input_token": 1000, "output_token": 500}
        answer("chat", quantities=counted, cost="0.0005", **asked)
        answer("chat", quantities=counted, cost="0.0007", outcome="partial", **asked)
        answer("chat", quantities=counted, **asked | {"cost_currency": UNKNOWN_CURRENCY})
        answer("other", quantities=counted, cost="0.0024", **asked)
        own = {"input_token": 1000}
        answer("other", quantities=own, compute_seconds=0.36)
    monkeypatch.delenv("MINTAGE_COMPUTE_COST")
    assert each("chat.toml") == (pytest.approx(0.6), 0.0)
    assert each("pets.toml") == (None, pytest.approx(0.0071 / 3))
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 EUR")
    assert each("pets.toml") == (pytest.approx(0.071 / 3 * 1000), pytest.approx(0.0071 / 3))
    assert each("other.toml") == (pytest.approx(3.0), pytest.approx(0.36 / 2000))
    both = (0.0005 + 0.0007 + 0.0024 + 0.0036) / 4000 * 10**6
    assert each("any.toml") == (pytest.approx(both), pytest.approx(0.36 / 4000))
    assert each("any.toml", "--product", "chat")[0] == pytest.approx(0.6)
    assert each("request.toml") == (None, None)
    assert each("usd.toml")[0] is None
    mintage("plan", "simulate", "usd.toml", *at)
    assert "Upstreams ask for it in EUR, so what a unit costs in USD is not known." in " ".join(
        mintage.err.split()
    )


def test_a_month_is_invoiced_paid_and_checked(mintage: Terminal, books: Path) -> None:
    at = ("--home", books)
    ran = mintage.json("invoice", "run", "--period", "2026-10", "--issue", *at)
    assert [each["number"] for each in ran["drafted"]] == ["INV-2026-000001", "INV-2026-000002"]
    again = mintage.json("invoice", "run", "--period", "2026-10", *at)
    assert (again["drafted"], len(again["standing"])) == ([], 2)
    assert "issued  3.88 EUR" in mintage("invoice", "issue", "INV-2026-000001", *at)
    mintage("invoice", "pay", "INV-2026-000001", "--reference", "bank", "--amount", "1.88", *at)
    paid = mintage("invoice", "pay", "INV-2026-000001", "--reference", "bank 2", *at)
    assert "paid" in paid
    shown = mintage("invoice", "show", "INV-2026-000001", *at).splitlines()
    assert [row.split() for row in shown[-2:]] == [
        ["Paid", "-3.88", "EUR"],
        ["To", "be", "paid", "0.00", "EUR"],
    ]
    mintage("invoice", "void", "INV-2026-000001", *at, status=2)
    assert "only what is not paid" in mintage.err
    mintage("invoice", "credit", "INV-2026-000002", "--reason", "a bad day", *at)
    assert "CN-2026-000001" in mintage.out
    mintage("invoice", "void", "CN-2026-000001", *at, status=2)
    assert "a credit note stays as it is" in mintage.err
    listed = mintage("invoice", "list", "--customer", "Ada", *at)
    assert len(listed.splitlines()) == 2
    checked = mintage.json("ledger", "check", *at)
    assert (checked["transactions"], checked["events"]) == (5, 212)
    assert "cash:manual" in mintage("ledger", "check", *at)
    events = mintage.json("invoice", "events", "INV-2026-000001", "1", *at)
    assert len(events) == 194
    mintage("invoice", "show", "INV-2026-000009", *at, status=2)
    assert "There is no invoice" in mintage.err
    mintage("invoice", "run", "--period", "October", *at, status=2)
    assert "Not a month" in mintage.err


def test_one_transfer_pays_two_months_and_what_is_more_is_credit(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    first, second = "INV-2026-000001", "INV-2026-000002"
    transfer = ("--reference", "bank", "--amount")
    mintage("invoice", "pay", first, *transfer, "5", *at, status=2)
    assert "5 EUR was paid, and 3.88 EUR is owed" in mintage.err
    mintage("invoice", "pay", first, second, *transfer, "5", *at, status=2)
    assert "one payment is one customer's" in mintage.err
    mintage("invoice", "pay", first, *at, status=2)
    assert "--reference" in mintage.err
    mintage("invoice", "pay", first, "--credit", "--reference", "x", *at, status=2)
    assert "Leave them out" in mintage.err
    (listed,) = mintage.json("invoice", "list", "--customer", "Ada", *at)
    assert (listed["paid"], listed["to_pay"]) == ("0", "3.88")
    part = mintage("invoice", "pay", first, *transfer, "1", *at)
    assert "issued" in part
    assert "2.88 EUR of it is still to be paid." in mintage.err
    listing = mintage("invoice", "list", "--customer", "Ada", *at)
    assert listing.split()[-4:] == ["3.88", "EUR", "2.88", "EUR"]
    rest = ("--reference", "bank 2", "--amount", "5", "--rest-to-credit")
    assert mintage.json("invoice", "pay", first, *rest, *at)["status"] == "paid"
    (credit,) = mintage.json("credit", "list", "Ada", *at)
    assert (credit["left"], credit["reference"]) == ("2.12", "bank 2")


class Page(HTMLParser):
    """The text of a page, and every address in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_an_invoice_is_a_page_and_rows_in_its_customers_language(
    mintage: Terminal, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    (tmp_path / "wang.toml").write_text(WANG, encoding="utf-8")
    (tmp_path / "me.toml").write_text('legal_name = "<Pets & Co.>"\n')
    monkeypatch.setenv("MINTAGE_SELLER", str(tmp_path / "me.toml"))
    mintage("customer", "set", "王小明", "wang.toml", *at)
    mintage("invoice", "run", "--period", "2026-10", "--customer", "王小明", "--issue", *at)
    show = ("invoice", "show", "INV-2026-000001")
    page = Page(mintage(*show, "--format", "html", *at))
    text = " ".join(page.text)
    assert page.addresses == []
    for said in ("账单", "上海某某科技有限公司", "增值税 6 %", "开户行", "<Pets & Co.>", "0.38"):
        assert said in text
    assert "Invoice" in mintage(*show, "--format", "html", "--lang", "en", *at)
    mintage(*show, "--format", "html", "--output", "invoice.html", *at)
    assert (tmp_path / "invoice.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    rows = list(csv.DictReader(io.StringIO(mintage(*show, "--format", "csv", *at))))
    assert [(row["kind"], row["line"], row["amount"]) for row in rows] == [
        ("invoice", "usage", "0.36"),
        ("invoice", "tax", "0.02"),
    ]
    assert rows[0]["tax_number"] == "91310000MA1FL0XX09"
    assert "18 张图片，套餐 standard@1" in mintage(*show, *at)
    assert "18 × image, plan standard@1" in mintage(*show, "--lang", "en", *at)
    assert mintage.json(*show, *at)["document"]["seller"]["legal_name"] == "<Pets & Co.>"


def test_an_invoice_is_a_pdf_in_its_customers_language(
    mintage: Terminal, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    (tmp_path / "wang.toml").write_text(WANG, encoding="utf-8")
    mintage("customer", "set", "王小明", "wang.toml", *at)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    standing = mintage.json("invoice", "list", *at)
    english, chinese = sorted(standing, key=lambda each: each["document"]["customer"]["language"])
    show = ("invoice", "show", chinese["number"], "--format", "pdf", "--output", "wang.pdf")
    page = Page(mintage("invoice", "show", chinese["number"], "--format", "html", *at))
    font = make_font(tmp_path / "boxes.ttf", LATIN + "".join(page.text) + "第页共，")
    for given in (("--font", font), ()):
        if not given:
            monkeypatch.setenv("MINTAGE_FONT", str(font))
        assert mintage(*show, *given, *at).strip() == "wang.pdf"
        (sheet,) = PdfReader(tmp_path / "wang.pdf").pages
        assert "上海某某科技有限公司" in sheet.extract_text()
    monkeypatch.delenv("MINTAGE_FONT")
    mintage(*show, "--font", "none.ttf", *at, status=2)
    assert "none.ttf cannot be read: No such file" in mintage.err
    monkeypatch.setattr(fonts, "installed_fonts", list)
    mintage(*show, *at, status=2)
    assert "No font on this machine" in mintage.err
    ada = ("invoice", "show", english["number"], "--format", "pdf")
    with monkeypatch.context() as patch:
        patch.setattr(sys.stdout, "isatty", lambda: True)
        mintage(*ada, *at, status=2)
    assert "A PDF is not for a terminal" in mintage.err
    mintage(*ada, "-o", "ada.pdf", *at)
    assert (tmp_path / "ada.pdf").read_bytes().startswith(b"%PDF-")


def test_a_credit_note_that_is_asked_for_again_is_written_once(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    credit = ("invoice", "credit", "INV-2026-000001", "--reason", "slow", "--line", "1")
    named = ("--reference", "ticket 7", *at)
    first = mintage.json(*credit, "--amount", "1", *named)
    assert mintage.json(*credit, "--amount", "1.00", *named) == first
    mintage(*credit, "--amount", "2", *named, status=2)
    assert f"{first['number']} has that reference" in mintage.err
    notes = [each for each in mintage.json("invoice", "list", *at) if each["kind"] != "invoice"]
    assert [each["total"] for each in notes] == ["-1"]
    assert mintage.json("ledger", "check", *at)["transactions"] == 3


def test_a_part_of_an_invoice_is_credited(mintage: Terminal, books: Path) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--customer", "Ada", "--issue", *at)
    credit = ("invoice", "credit", "INV-2026-000001", "--reason", "slow")
    mintage(*credit, "--amount", "1.50", *at, status=2)
    assert "--line 1" in mintage.err
    mintage(*credit, "--line", "1", "--anew", *at, status=2)
    assert "stays invoiced" in mintage.err
    assert "-1.50 EUR" in mintage(*credit, "--line", "1", "--amount", "1.50", *at)
    mintage(*credit, "--line", "1", "--amount", "2.39", *at, status=2)
    assert "2.38 EUR is left of it" in mintage.err
    shown = mintage("invoice", "show", "CN-2026-000001", *at)
    assert "Credited of line 1: 194 × image, plan standard@1" in shown
    rest = mintage.json(*credit, "--line", "1", *at)
    assert (rest["total"], rest["document"]["reason"]) == ("-2.38", "slow")
    listed = mintage.json("invoice", "list", *at)
    assert [each["status"] for each in listed] == ["credited", "issued", "issued"]
    mintage("ledger", "check", *at)


def test_a_month_is_exported_and_what_cannot_be_is_said(
    mintage: Terminal, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    (tmp_path / "me.toml").write_text(
        'legal_name = "Pets & Co."\naddress = "Musterweg 1"\ncountry = "DE"\n'
        'tax_number = "DE136695976"\n'
    )
    (tmp_path / "ada.toml").write_text(
        'country = "FR"\ntaxes = [{ name = "VAT", percent = "19" }]\n'
    )
    monkeypatch.setenv("MINTAGE_SELLER", str(tmp_path / "me.toml"))
    mintage("customer", "set", "Ada", "ada.toml", *at)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    of_ada, of_wang = sorted(
        mintage.json("invoice", "list", *at), key=lambda each: each["document"]["customer"]["name"]
    )
    export = ("invoice", "export", "--period", "2026-10")
    said = mintage.json(*export, "--format", "ubl", "e-invoices", *at)
    assert said["written"] == [of_ada["number"]]
    assert [each["number"] for each in said["left_out"]] == [of_wang["number"]]
    assert "customer's details have no country" in said["left_out"][0]["reason"]
    (written,) = (tmp_path / "e-invoices").iterdir()
    assert written.name == f"{of_ada['number']}.xml"
    root = ET.fromstring(written.read_bytes())
    assert root.findtext("{*}LegalMonetaryTotal/{*}PayableAmount") == "4.62"
    mintage(*export, "--format", "fapiao", "fapiao.csv", *at)
    assert "it is in EUR" in mintage.err
    assert len((tmp_path / "fapiao.csv").read_text(encoding="utf-8-sig").splitlines()) == 1
    mintage("invoice", "void", of_wang["number"], *at)
    mintage(*export, "--format", "csv", "rows.csv", *at)
    assert f"{of_wang['number']} was taken back" in mintage.err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text(encoding="utf-8"))))
    assert [row["number"] for row in rows] == [of_ada["number"]] * 2
    mintage(*export, "--customer", "Bob", "--format", "csv", "x.csv", *at, status=2)
    assert not (tmp_path / "x.csv").exists()


def test_what_makes_pdfs_is_missed_with_the_line_that_installs_it(
    mintage: Terminal, books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    for name in ("mintage.capture.books.pdf", "mintage.capture.books.fonts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "fpdf", None)
    mintage("invoice", "show", "INV-2026-000001", "--format", "pdf", "-o", "a.pdf", *at, status=5)
    assert "pip install 'mintage[pdf]'" in mintage.err


def test_what_a_file_leaves_out_is_told(mintage: Terminal, books: Path, tmp_path: Path) -> None:
    at = ("--home", books)
    (tmp_path / "ada.toml").write_text(
        'email = "ada@example.com"\ntaxes = [{ name = "VAT", percent = "19" }]\n'
    )
    mintage("customer", "set", "Ada", "ada.toml", *at)
    assert "Said no more" not in mintage.err
    (tmp_path / "ada.toml").write_text('legal_name = "Ada & Co."\n')
    mintage("customer", "set", "Ada", "ada.toml", *at)
    assert "leaves it out: email, taxes" in " ".join(mintage.err.split())


def test_a_draft_that_was_voided_is_not_issued(mintage: Terminal, books: Path) -> None:
    at = ("--home", books)
    drafted = mintage.json("invoice", "run", "--period", "2026-10", *at)["drafted"]
    mintage("invoice", "void", drafted[0]["id"], *at)
    mintage("invoice", "issue", drafted[0]["id"], *at, status=2)
    assert "only a draft is to be issued" in mintage.err


def test_details_that_cannot_be_are_named(mintage: Terminal, books: Path, tmp_path: Path) -> None:
    at = ("--home", books)
    for text, said in (
        ('legal = "Ada"', "Did you mean 'legal_name'?"),
        ("legal_name = 3", "legal_name is a text"),
        ('taxes = [{ name = "VAT", rate = "19" }]', "a tax has a name and a percent"),
        ('taxes = [{ name = "VAT", percent = "190" }]', "Not a tax"),
        ('language = "fr"', "en or zh"),
        ('taxes = [{ name = "VAT", percent = 2.3 }]', "Not a tax"),
        ("legal_name", "is not TOML"),
    ):
        (tmp_path / "ada.toml").write_text(text)
        mintage("customer", "set", "Ada", "ada.toml", *at, status=2)
        assert said in mintage.err


def test_a_plan_is_begun_changed_and_cancelled(
    mintage: Terminal, books: Path, tmp_path: Path
) -> None:
    at = ("--home", books)
    (tmp_path / "gold.toml").write_text(GOLD)
    mintage("plan", "set", "gold.toml", *at)
    mintage("customer", "begin", "Ada", "gold", *at)
    (tmp_path / "gold.toml").write_text(GOLD.replace("29.00", "39.00"))
    mintage("plan", "set", "gold.toml", *at)
    assert [each["plan_version"] for each in mintage.json("customer", "plans", "Ada", *at)] == [1]
    mintage("customer", "begin", "Ada", "gold", *at)
    assert "gold@2" in mintage.out
    assert "It takes the place of gold@1." in mintage.err
    mintage("customer", "cancel", "Ada", "gold", "--at-month-end", *at)
    first, second = mintage.json("customer", "plans", "Ada", *at)
    assert (first["ended_by"], second["ended_by"]) == ("change", "cancel")
    mintage("customer", "cancel", "王小明", "gold", *at, status=2)
    assert "has not begun the plan 'gold'" in mintage.err


def test_what_was_earned_and_what_other_plans_would_have_earned(
    mintage: Terminal, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--period", "2026-10", "--home", books)
    mintage("economics", "show", *at)
    assert "Say what an hour of one processor costs you" in mintage.err
    monkeypatch.setenv("MINTAGE_COMPUTE_COST", "36 EUR")
    ada, wang = mintage.json("economics", "show", *at)
    assert (ada["customer"], ada["revenue"], ada["margin"]) == ("Ada", "3.88", 0.99645)
    assert wang["model"] == "pets"
    (pets,) = mintage.json("economics", "show", "--by", "product", *at)
    assert (pets["product"], pets["calls"], pets["customer"]) == ("pets", 212, "")
    mintage("economics", "show", "--by", "colour", *at, status=2)
    assert "'colour'" in mintage.err
    (tmp_path / "gold.toml").write_text(GOLD)
    said = mintage("economics", "replay", "--plans", "gold.toml,standard", *at)
    rows = [row.split() for row in said.splitlines()[1:4]]
    assert [row[-1][0] for row in rows] == ["█"] * 3
    assert rows[1][:4] == ["gold@1", "59.88", "EUR", "100.0%"]
    gold, standard = mintage.json("economics", "replay", "--plans", "gold.toml,standard", *at)
    assert gold["customers"][0]["customer"] == "王小明"
    assert all(each["difference"] == "0" for each in standard["customers"])


def test_usage_of_a_month_is_added_up_by_customer_product_and_outcome(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    shown = mintage("usage", "--period", "2026-10", "--totals", *at)
    rows = [line.split() for line in shown.splitlines()[1:]]
    assert ["Ada", "pets", "ok", "194", "image", "194"] in rows
    assert ["王小明", "pets", "ok", "18", "image", "18"] in rows
    said = mintage.json("usage", "--period", "2026-10", "--totals", "--customer", "Ada", *at)
    assert [each["events"] for each in said["totals"]] == [194]
    assert mintage.json("usage", "--period", "2026-11", *at) == []
    mintage("usage", "--totals", *at, status=2)
    assert "--period 2026-11" in mintage.err


def test_an_operator_is_added_listed_given_a_role_and_a_key_and_revoked(
    mintage: Terminal, tmp_path: Path
) -> None:
    at = ("--home", tmp_path / "home")
    key = mintage("operator", "add", "Ada", "--role", "viewer", *at).strip()
    assert key.startswith("mtg_op_")
    assert "is viewer; the key is shown only now" in mintage.err
    assert mintage("operator", "role", "Ada", "--role", "billing", *at).split() == [
        "Ada",
        "billing",
    ]
    rotated = mintage.json("operator", "rotate", "Ada", "--overlap", "1h", *at)
    assert rotated["key"] != key
    assert rotated["others_until"] > rotated["created_at"]
    shown = mintage("operator", "list", *at)
    assert f"…{key[-4:]}, …{rotated['key'][-4:]}" in shown
    assert key not in shown
    assert mintage("operator", "revoke", "Ada", *at).startswith("Ada is revoked since 20")
    mintage("operator", "add", "Ada", "--role", "admin", *at, status=2)
    assert "already, or there was" in mintage.err
    mintage("operator", "add", "Eve", "--role", "root", *at, status=2)
    assert [each["name"] for each in mintage.json("operator", "list", *at)] == ["Ada"]


def test_a_running_month_is_previewed_and_marked_as_not_final(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    said = mintage("invoice", "preview", "Ada", "--period", "2026-10", *at)
    assert "NOT FINAL: Ada, 2026-10" in said
    assert "Total" in said
    assert "nobody owes this yet" in mintage.err
    found = mintage.json("invoice", "preview", "Ada", "--period", "2026-10", *at)
    assert (found["final"], len(found["documents"])) == (False, 1)
    assert mintage.json("invoice", "list", *at) == []
    mintage("invoice", "preview", "Ada", "--period", "2999-01", *at, status=2)


def spoil(home: Path, statement: str) -> None:
    """What somebody who has the database may do to it."""
    with Workspace(home, ManualClock()) as workspace:
        workspace.database.write(lambda c: c.exec_driver_sql(statement) and None)


def test_a_check_of_the_books_names_every_call_that_is_not_as_it_was_logged(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    mintage("ledger", "check", *at)
    assert "212 calls are as they were logged." in mintage.err
    mintage("ledger", "check", "--since", "2026-10", *at)
    assert "212 calls since 2026-10 are as they were logged." in mintage.err
    mintage("ledger", "check", "--since", "soon", *at, status=2)
    third, fourth, last = (mintage.json("usage", "--limit", "212", *at)[n] for n in (209, 208, 0))
    spoil(books, f"DELETE FROM usage_events WHERE receipt = '{third['receipt']}'")
    spoil(books, f"UPDATE usage_events SET price = '9' WHERE receipt = '{fourth['receipt']}'")
    spoil(books, f"UPDATE usage_events SET receipt = 'rcp_x' WHERE receipt = '{last['receipt']}'")
    mintage("ledger", "check", *at, status=3)
    told = " ".join(mintage.err.split())
    assert f"The call {third['receipt']} was logged at position" in told
    assert f"The call {fourth['receipt']}, logged at position" in told
    assert "was changed: price." in told
    assert "The call rcp_x was not logged at its position" in told
    assert "summed up otherwise than it is recorded" in told
    assert "mintage audit verify" in told
    found = mintage.json("ledger", "check", *at, status=3)
    logged = found["logged"]
    assert [logged[name] for name in ("events", "missing", "extra", "changed")] == [211, 2, 1, 1]
    assert {each["receipt"] for each in logged["first"]} == {
        *(each["receipt"] for each in (third, fourth, last)),
        "rcp_x",
    }
    assert (found["events"], len(found["faults"])) == (None, 5)


def test_a_month_with_a_call_that_was_changed_is_issued_but_for_its_customer(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    spoil(books, "UPDATE usage_events SET latency_seconds = 9 WHERE sequence = 1")
    command = ("invoice", "run", "--period", "2026-10", "--issue", *at)
    mintage(*command, status=3)
    assert "was changed: latency_seconds" in " ".join(mintage.err.split())
    assert len(mintage.json(*command, status=3)["waiting"]) == 1
    listed = mintage.json("invoice", "list", *at)
    assert {each["status"] for each in listed} == {"draft", "issued"}


def test_what_is_wrong_with_a_document_hides_nothing_else(mintage: Terminal, books: Path) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    spoil(books, "UPDATE invoices SET total_nanos = 1 WHERE number = 'INV-2026-000001'")
    spoil(books, "UPDATE ledger_entries SET nanos = 2 * nanos WHERE sequence = 1")
    mintage("ledger", "check", *at, status=3)
    told = " ".join(mintage.err.split())
    assert "INV-2026-000001 is what was issued, and its row says otherwise: total_nanos." in told
    assert "the audit log has it otherwise" in told
    assert "212 calls are as they were logged." in told
    found = mintage.json("ledger", "check", *at, status=3)
    assert (found["transactions"], found["accounts"], len(found["faults"])) == (0, {}, 2)


def test_an_issued_invoice_is_shown_as_it_was_signed_or_not_at_all(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    show = ("invoice", "show", "INV-2026-000001", *at)
    signed = mintage(*show, "--format", "signed")
    assert "cannot be confirmed" not in mintage.err
    spoil(books, "UPDATE invoices SET document = replace(document, '3.88', '2.88')")
    for words in ((), ("--json",), ("--format", "html"), ("--format", "csv"), ("--format", "pdf")):
        mintage(*show, *words, status=3)
        assert "2.88" not in mintage.out
        assert "The document INV-2026-000001 is not what was signed." in mintage.err
    assert mintage(*show, "--format", "signed") == signed
    spoil(books, "DELETE FROM statements WHERE name LIKE 'invoice/%'")
    mintage(*show, status=3)
    assert "is not what was signed" in mintage.err


def test_an_invoice_whose_key_is_not_here_is_shown_with_a_warning(
    mintage: Terminal, books: Path
) -> None:
    at = ("--home", books)
    mintage("invoice", "run", "--period", "2026-10", "--issue", *at)
    (books / "keys" / "receipt.pem").unlink()
    assert "3.88" in mintage("invoice", "show", "INV-2026-000001", *at)
    assert "INV-2026-000001: its signature cannot be confirmed" in mintage.err


def test_who_sells_is_asked_for_and_in_the_eu_it_has_to_be_said(
    mintage: Terminal, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ("--home", books)
    seller = tmp_path / "me.toml"
    run = ("invoice", "run", "--period", "2026-10", *at)
    mintage(*run)
    assert "Who sells is not said in full: address, legal_name." in " ".join(mintage.err.split())
    (tmp_path / "ada.toml").write_text('taxes = [{ name = "VAT", percent = "19" }]\n')
    mintage("customer", "set", "Ada", "ada.toml", *at)
    monkeypatch.setenv("MINTAGE_SELLER", str(seller))
    seller.write_text('legal_name = "Pets & Co."\naddress = "Musterweg 1"\ncountry = "DE"\n')
    ran = mintage.json(*run, "--issue")
    assert [each["document"]["customer"]["name"] for each in ran["drafted"]] == ["王小明"]
    ((who, why),) = ran["waiting"]
    assert who == "Ada"
    assert "an invoice of DE says who sells: MINTAGE_SELLER lacks tax_number" in why
    seller.write_text(seller.read_text() + 'tax_number = "DE136695976"\n')
    mintage(*run, "--issue")
    assert "Who sells" not in mintage.err
    (issued,) = mintage.json("invoice", "list", "--customer", "Ada", *at)
    assert issued["document"]["seller"]["tax_number"] == "DE136695976"


def test_a_month_that_is_not_over_is_said_to_be_so(mintage: Terminal, books: Path) -> None:
    month = datetime.now(UTC).strftime("%Y-%m")
    at = ("--period", month, "--home", books)
    mintage("invoice", "run", *at)
    told = " ".join(mintage.err.split())
    assert f"{month} is not over. Until now: mintage invoice preview CUSTOMER" in told
    assert mintage.json("invoice", "run", *at)["is_over"] is False
    assert not mintage("invoice", "run", "--period", "2026-08", "--home", books)
    assert "Nothing is to be invoiced of 2026-08." in mintage.err
