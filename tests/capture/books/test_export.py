"""E-invoices by EN 16931's own rules, and rows for 数电票; what cannot be said is named."""

from __future__ import annotations

import csv
import io
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.capture.books import documents, fapiao
from mintage.capture.books.ubl import ubl
from mintage.capture.pricing.charges import Step
from mintage.capture.pricing.rating import Line
from mintage.core.errors import DataError
from mintage.core.money import NANOS

NS = {
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}
SELLER = {
    "legal_name": "Pets & Co. GmbH",
    "address": "Musterweg 1\n10115 Berlin",
    "country": "DE",
    "tax_number": "DE136695976",
    "bank": "Bank",
    "bank_account": "DE02 1203 0000 0000 2020 51",
    "email": "bills@pets.example",
}
ADA = {
    "name": "Ada",
    "legal_name": "Ada <Analytics>",
    "address": "Rue 1\n75001 Paris\nCedex\nBP 9",
    "country": "fr",
    "tax_number": "FR 40 303265045",
}
VAT = [{"name": "VAT", "percent": "19"}]
WANG = {
    "name": "王",
    "legal_name": "上海某某科技有限公司",
    "tax_number": "91310000MA1FL0XX09",
    "address": "上海市世纪大道\n100号",
    "phone": "021-12345678",
    "bank": "招商银行上海分行",
    "bank_account": "6225 8888",
    "country": "CN",
}
VAT6 = [{"name": "增值税", "percent": "6"}]


def usage(units: int, price: str, per: int = 1, **changes: Any) -> Line:
    exact = Fraction(price) * units / per
    said: dict[str, Any] = {"unit": "image", "units": units, "used": {"pets": units}}
    said["steps"] = (Step(units, price, per, "0", exact),)
    return Line("usage", "gold", 1, exact, **said | changes)


def document(lines: Any, currency: str = "EUR", **changes: Any) -> documents.Document:
    said: dict[str, Any] = {
        "seller": SELLER,
        "customer": ADA,
        "currency": currency,
        "period": "2026-11",
        "lines": lines,
        "taxes": VAT,
        "due_days": 30,
        "rejected": [],
    }
    made = documents.invoice(**said | changes)
    dated = {"issued_at": "2026-12-03T09:00:00.000000Z", "due_at": "2027-01-02T09:00:00.000000Z"}
    return made | dated | {"number": "INV-2026-000001"}


LINES = [
    Line("fee", "gold", 1, Fraction(29)),
    usage(1234, "0.0133"),
    Line("discount", "gold", 1, Fraction("-4.5412"), percent="10"),
]


class Read:
    """An e-invoice, read by its elements."""

    def __init__(self, written: bytes) -> None:
        self.root = ET.fromstring(written)

    def all(self, path: str) -> list[str]:
        return [each.text or "" for each in self.root.findall(path, NS)]

    def one(self, path: str) -> str:
        (found,) = self.all(path)
        return found

    def sum(self, path: str) -> Decimal:
        return sum(map(Decimal, self.all(path)), Decimal(0))


def holds(written: bytes, line: str = "InvoiceLine", quantity: str = "InvoicedQuantity") -> Read:
    """Every rule of EN 16931 that concerns what is in it."""
    read = Read(written)
    total = "cac:LegalMonetaryTotal/cbc:"
    net = Decimal(read.one(f"{total}LineExtensionAmount"))
    assert read.sum(f"cac:{line}/cbc:LineExtensionAmount") == net  # BR-CO-10
    assert Decimal(read.one(f"{total}TaxExclusiveAmount")) == net  # BR-CO-13
    tax = read.sum("cac:TaxTotal/cac:TaxSubtotal/cbc:TaxAmount")
    assert Decimal(read.one("cac:TaxTotal/cbc:TaxAmount")) == tax  # BR-CO-14
    gross = Decimal(read.one(f"{total}TaxInclusiveAmount"))
    assert gross == net + tax  # BR-CO-15
    paid = read.sum(f"{total}PrepaidAmount")
    assert Decimal(read.one(f"{total}PayableAmount")) == gross - paid  # BR-CO-16
    subtotal = "cac:TaxTotal/cac:TaxSubtotal/"
    base = Decimal(read.one(f"{subtotal}cbc:TaxableAmount"))
    category = read.one(f"{subtotal}cac:TaxCategory/cbc:ID")
    if category != "O":
        rate = Decimal(read.one(f"{subtotal}cac:TaxCategory/cbc:Percent"))
        exact = (base * rate / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert exact == tax  # BR-CO-17
    assert base == net  # BR-S-08 and its kin
    lines = f"cac:{line}/"
    assert set(read.all(f"{lines}cac:Item/cac:ClassifiedTaxCategory/cbc:ID")) == {category}
    prices = read.all(f"{lines}cac:Price/cbc:PriceAmount")
    assert all(Decimal(price) >= 0 for price in prices)  # BR-27
    assert all(read.all(f"{lines}cac:Item/cbc:Name"))  # BR-25
    for each in read.root.findall(f"cac:{line}", NS):
        count = Decimal(each.findtext(f"cbc:{quantity}", "", NS))
        price = Decimal(each.findtext("cac:Price/cbc:PriceAmount", "", NS))
        per = Decimal(each.findtext("cac:Price/cbc:BaseQuantity", "1", NS))
        amount = Decimal(each.findtext("cbc:LineExtensionAmount", "", NS))
        assert (count * price / per).quantize(Decimal("0.01"), ROUND_HALF_UP) == amount
    for path in (
        "cbc:ID",  # BR-02
        "cbc:IssueDate",  # BR-03
        "cbc:DocumentCurrencyCode",  # BR-05
        "cac:AccountingSupplierParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",  # BR-06
        "cac:AccountingCustomerParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName",  # BR-07
        "cac:AccountingSupplierParty/cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode",
        "cac:AccountingCustomerParty/cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode",
    ):
        assert read.one(path)
    assert all(
        len(each.rpartition(".")[2]) <= 2 for each in read.all(".//cbc:TaxAmount") if "." in each
    )
    return read


def test_an_invoice_is_an_e_invoice_by_the_rules_of_the_standard() -> None:
    read = holds(ubl(document(LINES)))
    assert read.root.tag.endswith("Invoice-2}Invoice")
    assert read.one("cbc:CustomizationID") == "urn:cen.eu:en16931:2017"
    assert read.one("cbc:InvoiceTypeCode") == "380"
    assert (read.one("cbc:IssueDate"), read.one("cbc:DueDate")) == ("2026-12-03", "2027-01-02")
    assert read.one("cac:InvoicePeriod/cbc:StartDate") == "2026-11-01"
    assert read.one("cac:InvoicePeriod/cbc:EndDate") == "2026-11-30"
    buyer = "cac:AccountingCustomerParty/cac:Party/"
    assert read.one(f"{buyer}cac:PartyLegalEntity/cbc:RegistrationName") == "Ada <Analytics>"
    assert read.one(f"{buyer}cac:PartyTaxScheme/cbc:CompanyID") == "FR40303265045"
    assert read.one(f"{buyer}cac:PostalAddress/cac:AddressLine/cbc:Line") == "Cedex, BP 9"
    account = "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID"
    assert read.one(account) == "DE02120300000000202051"
    assert read.all("cac:InvoiceLine/cbc:InvoicedQuantity") == ["1", "1234", "-1"]
    assert read.all("cac:InvoiceLine/cac:Price/cbc:PriceAmount")[1] == "0.0133"


def test_what_credit_paid_is_taken_off_what_is_to_be_paid() -> None:
    made = documents.settled(document(LINES), 4 * NANOS, NANOS * 5 // 4)
    read = holds(ubl(made))
    assert read.one("cac:LegalMonetaryTotal/cbc:PrepaidAmount") == "5.25"
    assert read.one("cac:LegalMonetaryTotal/cbc:PayableAmount") == made["to_pay"]


def test_elements_stand_in_the_order_of_the_schema() -> None:
    root = ET.fromstring(ubl(document(LINES)))
    order = [
        *("CustomizationID", "ID", "IssueDate", "DueDate", "InvoiceTypeCode", "Note"),
        *("DocumentCurrencyCode", "InvoicePeriod", "BillingReference"),
        *("AccountingSupplierParty", "AccountingCustomerParty", "PaymentMeans", "PaymentTerms"),
        *("TaxTotal", "LegalMonetaryTotal", "InvoiceLine"),
    ]
    places = [order.index(each.tag.rpartition("}")[2]) for each in root]
    assert places == sorted(places)


def test_a_credit_note_gives_back_what_is_above_zero_and_names_what_it_corrects() -> None:
    note = documents.credit_note(document(LINES), "a day without service")
    note |= {"number": "CN-2026-000001", "issued_at": "2026-12-04T00:00:00Z", "due_at": None}
    read = holds(ubl(note), "CreditNoteLine", "CreditedQuantity")
    assert read.root.tag.endswith("CreditNote-2}CreditNote")
    assert read.one("cbc:CreditNoteTypeCode") == "381"
    reference = "cac:BillingReference/cac:InvoiceDocumentReference/cbc:ID"
    assert read.one(reference) == "INV-2026-000001"
    assert read.one("cbc:Note") == "a day without service"
    assert Decimal(read.one("cac:LegalMonetaryTotal/cbc:PayableAmount")) > 0
    assert read.one("cac:PaymentTerms/cbc:Note")  # BR-CO-25
    assert read.all("cbc:DueDate") == []


@given(
    amounts=st.lists(st.fractions(-100, 1000, max_denominator=700), min_size=1, max_size=6),
    units=st.integers(1, 10**7),
    percent=st.sampled_from(["19", "6", "5.5", "0.1", "100"]),
    currency=st.sampled_from(["EUR", "CNY"]),
)
def test_whatever_is_invoiced_the_sums_of_the_standard_hold(
    amounts: list[Fraction], units: int, percent: str, currency: str
) -> None:
    lines = [Line("minimum", "gold", 1, each) for each in amounts]
    lines.append(usage(units, "0.27", per=1_000_000))
    taxes = [{"name": "VAT", "percent": percent}]
    holds(ubl(document(lines, currency, taxes=taxes)))


@pytest.mark.parametrize(
    ("taxes", "category", "reason"),
    [
        ([], "O", "VATEX-EU-O"),
        ([{"name": "VAT reverse charge", "percent": "0"}], "AE", "VATEX-EU-AE"),
        ([{"name": "VAT exempt", "percent": "0"}], "E", None),
        ([{"name": "VAT", "percent": "0"}], "Z", None),
    ],
)
def test_no_tax_is_said_with_its_reason(taxes: Any, category: str, reason: str | None) -> None:
    read = holds(ubl(document(LINES, taxes=taxes)))
    said = "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:"
    assert read.one(f"{said}ID") == category
    assert read.all(f"{said}TaxExemptionReasonCode") == ([reason] if reason else [])
    assert bool(read.all(f"{said}TaxExemptionReason")) == (category != "Z")  # BR-AE-10, BR-E-10
    numbers = read.all(".//cac:PartyTaxScheme/cbc:CompanyID")
    assert len(numbers) == (0 if category == "O" else 2)  # BR-O-02
    if category == "O":
        seller = "cac:AccountingSupplierParty/cac:Party/cac:PartyLegalEntity/cbc:CompanyID"
        assert read.one(seller) == "DE136695976"  # BR-CO-26


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seller": SELLER | {"country": ""}}, "seller's details have no country"),
        ({"customer": ADA | {"country": "France"}}, "customer's details have no country"),
        ({"seller": SELLER | {"tax_number": ""}}, "seller's details have no tax_number"),
        ({"seller": {}}, "seller's details have no legal_name"),
        (
            {"customer": ADA | {"tax_number": ""}, "taxes": [{"name": "Reverse", "percent": "0"}]},
            "customer's details have no tax_number",
        ),
        ({"taxes": VAT * 2}, "one tax on a line, and it has 2"),
        ({"currency": "KWD"}, "KWD has more"),
    ],
)
def test_what_the_standard_cannot_say_is_refused_with_the_reason(changes: Any, said: str) -> None:
    with pytest.raises(DataError, match=f"INV-2026-000001 cannot be an e-invoice: .*{said}"):
        ubl(document(LINES, **changes))


def test_a_number_that_is_not_of_vat_is_the_tax_offices_own() -> None:
    read = holds(ubl(document(LINES, seller=SELLER | {"tax_number": "12/345/67890"})))
    assert read.all(".//cac:PartyTaxScheme/cac:TaxScheme/cbc:ID") == ["FC", "VAT"]


def fapiao_rows(*made: documents.Document) -> list[dict[str, str]]:
    text = fapiao.fapiao_csv(made)
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_rows_for_a_batch_import_have_the_buyers_details_and_each_lines_tax() -> None:
    lines = [Line("fee", "gold", 1, Fraction("0.05")) for __ in range(3)] + [usage(3, "0.15")]
    made = document(lines, "CNY", customer=WANG, taxes=VAT6)
    rows = fapiao_rows(made)
    assert [row["金额"] for row in rows] == ["0.05", "0.05", "0.05", "0.45"]
    assert sum(Fraction(row["税额"]) for row in rows) == Fraction(made["taxes"][0]["amount"])
    assert {row["税率"] for row in rows} == {"0.06"}
    assert {row["发票流水号"] for row in rows} == {"INV-2026-000001"}
    assert rows[0]["购买方名称"] == "上海某某科技有限公司"
    assert rows[0]["购买方纳税人识别号"] == "91310000MA1FL0XX09"
    assert rows[0]["购买方地址电话"] == "上海市世纪大道 100号 021-12345678"
    assert rows[0]["购买方开户行及账号"] == "招商银行上海分行 6225 8888"
    assert [(row["单位"], row["数量"], row["单价"]) for row in rows][-2:] == [
        ("", "", ""),
        ("张", "3", "0.15"),
    ]


@given(
    amounts=st.lists(st.integers(1, 10**6), min_size=1, max_size=8),
    percent=st.sampled_from(["13", "6", "3", "1", "0"]),
)
def test_the_tax_of_the_rows_is_the_invoices_and_within_a_fen_of_each(
    amounts: list[int], percent: str
) -> None:
    lines = [Line("minimum", "gold", 1, Fraction(each, 100)) for each in amounts]
    taxes = [{"name": "增值税", "percent": percent}]
    made = document(lines, "CNY", customer=WANG, taxes=taxes)
    rows = fapiao_rows(made)
    assert sum(Fraction(row["金额"]) for row in rows) == Fraction(made["net"])
    assert sum(Fraction(row["税额"]) for row in rows) == Fraction(made["taxes"][0]["amount"])
    for row in rows:
        exact = Fraction(row["金额"]) * Fraction(percent) / 100
        assert abs(Fraction(row["税额"]) - exact) <= Fraction("0.015")


def test_a_line_below_zero_makes_one_row_of_all() -> None:
    made = document(LINES, "CNY", customer=WANG, taxes=VAT6)
    (row,) = fapiao_rows(made)
    assert (row["金额"], row["税额"]) == (made["net"], made["taxes"][0]["amount"])


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "@SUM(A1)", "+1"])
def test_no_name_of_a_buyer_is_a_formula(name: str) -> None:
    (row,) = fapiao_rows(document([usage(1, "1")], "CNY", customer=WANG | {"legal_name": name}))
    assert row["购买方名称"] == f"'{name}"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (document(LINES), "it is in EUR"),
        (document(LINES, "CNY", taxes=VAT * 2), "2 taxes"),
        (document([Line("fee", "gold", 1, Fraction(-1))], "CNY"), "nothing is owed"),
        (documents.credit_note(document(LINES, "CNY"), "why"), "红字"),
    ],
)
def test_what_can_be_no_fapiao_is_refused_with_the_reason(made: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fapiao.rows_of(made)
