"""Invoices and credit notes as UBL 2.1 by EN 16931, for e-invoicing in the EU.

It is the core of the standard; what a country or a network asks for besides (such as XRechnung's
Leitweg-ID) is not in it. ``BR-…`` are the standard's own rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree as ET

from mintage.capture.books import rendering
from mintage.capture.books.documents import Document
from mintage.capture.pricing.periods import Period
from mintage.capture.tax_numbers import compact, is_vat_number
from mintage.core.currencies import exponent_of
from mintage.core.errors import DataError
from mintage.core.messages import Message, _, told
from mintage.core.money import Money, decimal_text, parse_exact

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CAC = f"{_UBL}CommonAggregateComponents-2"
_CBC = f"{_UBL}CommonBasicComponents-2"
_CORE = "urn:cen.eu:en16931:2017"
_ONE = "C62"  # UN/ECE recommendation 20: one
_CREDIT_TRANSFER = "30"  # UNTDID 4461
_KINDS = {
    # Root, type code (UNTDID 1001), line and quantity.
    "invoice": ("Invoice", "380", "InvoiceLine", "InvoicedQuantity"),
    "credit_note": ("CreditNote", "381", "CreditNoteLine", "CreditedQuantity"),
}
_MOST_DECIMALS = 2  # BR-DEC-09 and its kin
_REASONS = {
    "AE": ("VATEX-EU-AE", "Reverse charge"),
    "E": (None, "Exempt from VAT"),
    "O": ("VATEX-EU-O", "Not subject to VAT"),
}


def ubl(document: Document) -> bytes:
    """An issued document as XML, in UTF-8.

    Raises:
        DataError: the standard cannot say it, or wants what it does not have; that is named.
    """
    category, percent = _category(document)
    _check(document, category)
    return _Writer(document, category, percent).written()


def _category(document: Document) -> tuple[str, str]:
    """The VAT category (UNTDID 5305) of all lines, and its percentage."""
    taxes = document["taxes"]
    if len(taxes) > 1:
        raise _not_possible(
            document, _("EN 16931 knows one tax on a line, and it has {count}", count=len(taxes))
        )
    if not taxes:
        return "O", "0"
    name, percent = taxes[0]["name"].lower(), taxes[0]["percent"]
    if parse_exact(percent):
        return "S", percent
    if "reverse" in name:
        return "AE", "0"
    return ("E" if "exempt" in name else "Z"), "0"


def _check(document: Document, category: str) -> None:
    """What the standard wants of both sides, said by the names that details have for it."""
    if exponent_of(document["currency"]) > _MOST_DECIMALS:
        raise _not_possible(
            document,
            _(
                "EN 16931 has amounts of two decimals, and {currency} has more",
                currency=document["currency"],
            ),
        )
    for name, party in (("seller", document["seller"]), ("customer", document["customer"])):
        if not (party.get("legal_name") or party.get("name")):
            raise _lacks(document, name, "legal_name")
        if not re.fullmatch("[A-Z]{2}", party.get("country", "").strip().upper()):
            raise _lacks(document, name, "country")
    if not document["seller"].get("tax_number"):  # BR-CO-26, BR-S-02
        raise _lacks(document, "seller", "tax_number")
    if category == "AE" and not document["customer"].get("tax_number"):  # BR-AE-02
        raise _lacks(document, "customer", "tax_number")


def _not_possible(document: Document, reason: Message) -> DataError:
    return DataError(
        _("{number} cannot be an e-invoice: {reason}.", number=document["number"], reason=reason)
    )


def _lacks(document: Document, side: str, name: str) -> DataError:
    wanted = _("a code of two letters") if name == "country" else _("a text")
    said = {"name": name, "wanted": wanted}
    return _not_possible(
        document,
        _("the seller's details have no {name}, {wanted}", **said)
        if side == "seller"
        else _("the customer's details have no {name}, {wanted}", **said),
    )


class _Writer:
    """Writes one document, element by element in the order of the schema."""

    def __init__(self, document: Document, category: str, percent: str) -> None:
        self._document = document
        self._category, self._percent = category, percent
        self._currency = document["currency"]
        self._is_note = document["kind"] == "credit_note"
        kind = "invoice" if not self._is_note else "credit_note"
        root, self._code, self._line, self._quantity = _KINDS[kind]
        self._name = root
        namespaces = {"xmlns": f"{_UBL}{root}-2", "xmlns:cac": _CAC, "xmlns:cbc": _CBC}
        self._root = ET.Element(root, namespaces)

    def written(self) -> bytes:
        root, document = self._root, self._document
        self._basic(root, "CustomizationID", _CORE)
        self._basic(root, "ID", document["number"])
        self._basic(root, "IssueDate", document["issued_at"][:10])
        if not self._is_note:
            self._basic(root, "DueDate", document["due_at"][:10])
        self._basic(root, f"{self._name}TypeCode", self._code)
        if document.get("reason"):
            self._basic(root, "Note", document["reason"])
        self._basic(root, "DocumentCurrencyCode", self._currency)
        self._months()
        if document.get("corrects"):
            reference = self._part(self._part(root, "BillingReference"), "InvoiceDocumentReference")
            self._basic(reference, "ID", document["corrects"])
        self._party("AccountingSupplierParty", document["seller"])
        self._party("AccountingCustomerParty", document["customer"])
        self._payment()
        self._taxes()
        self._totals()
        for number, line in enumerate(document["lines"], start=1):
            self._one_line(number, line)
        ET.indent(root)
        text: str = ET.tostring(root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()

    def _months(self) -> None:
        first = Period.parse(self._document["period"])
        period = self._part(self._root, "InvoicePeriod")
        self._basic(period, "StartDate", f"{first}-01")
        last = first.following.bounds("UTC")[0] - timedelta(days=1)
        self._basic(period, "EndDate", last.date().isoformat())

    def _party(self, role: str, said: Mapping[str, Any]) -> None:
        party = self._part(self._part(self._root, role), "Party")
        address = self._part(party, "PostalAddress")
        lines = [each.strip() for each in said.get("address", "").splitlines() if each.strip()]
        for name, text in zip(("StreetName", "AdditionalStreetName"), lines, strict=False):
            self._basic(address, name, text)
        if len(lines) > 2:
            self._basic(self._part(address, "AddressLine"), "Line", ", ".join(lines[2:]))
        country = said["country"].strip().upper()
        self._basic(self._part(address, "Country"), "IdentificationCode", country)
        number = compact(said.get("tax_number", ""))
        scheme = self._scheme_of(number, country, role)
        if scheme:
            taxed = self._part(party, "PartyTaxScheme")
            self._basic(taxed, "CompanyID", number)
            self._basic(self._part(taxed, "TaxScheme"), "ID", scheme)
        entity = self._part(party, "PartyLegalEntity")
        self._basic(entity, "RegistrationName", said.get("legal_name") or said["name"])
        if number and not scheme:
            self._basic(entity, "CompanyID", number)
        if said.get("phone") or said.get("email"):
            contact = self._part(party, "Contact")
            for name, text in (("Telephone", "phone"), ("ElectronicMail", "email")):
                if said.get(text):
                    self._basic(contact, name, said[text])

    def _scheme_of(self, number: str, country: str, role: str) -> str | None:
        """What kind of tax number it is; None: it identifies the company alone."""
        if not number or self._category == "O":  # BR-O-02: no VAT number where no VAT is
            return None
        if is_vat_number(number, country):
            return "VAT"
        return "FC" if role == "AccountingSupplierParty" else None  # BT-32: the tax office's own

    def _payment(self) -> None:
        seller = self._document["seller"]
        if seller.get("bank_account"):
            means = self._part(self._root, "PaymentMeans")
            self._basic(means, "PaymentMeansCode", _CREDIT_TRANSFER)
            self._basic(means, "PaymentID", self._document["number"])
            account = self._part(means, "PayeeFinancialAccount")
            self._basic(account, "ID", compact(seller["bank_account"]))
            if seller.get("bank"):
                self._basic(account, "Name", seller["bank"])
        if self._is_note and self._amount_of(self._document["total"]) > 0:  # BR-CO-25
            terms = told(_("It is set off against what is owed, or paid back."))
            self._basic(self._part(self._root, "PaymentTerms"), "Note", terms)

    def _taxes(self) -> None:
        tax = sum(
            (self._amount_of(each["amount"]) for each in self._document["taxes"]), Fraction(0)
        )
        total = self._part(self._root, "TaxTotal")
        self._amount(total, "TaxAmount", tax)
        subtotal = self._part(total, "TaxSubtotal")
        self._amount(subtotal, "TaxableAmount", self._amount_of(self._document["net"]))
        self._amount(subtotal, "TaxAmount", tax)
        category = self._tax_category(subtotal, "TaxCategory", with_reason=True)
        self._basic(self._part(category, "TaxScheme"), "ID", "VAT")

    def _tax_category(self, parent: ET.Element, name: str, *, with_reason: bool) -> ET.Element:
        category = self._part(parent, name)
        self._basic(category, "ID", self._category)
        if self._category != "O":
            self._basic(category, "Percent", self._percent)
        if with_reason and self._category in _REASONS:
            code, reason = _REASONS[self._category]
            if code:
                self._basic(category, "TaxExemptionReasonCode", code)
            self._basic(category, "TaxExemptionReason", reason)
        return category

    def _totals(self) -> None:
        document = self._document
        net, total = (self._amount_of(document[name]) for name in ("net", "total"))
        sums = self._part(self._root, "LegalMonetaryTotal")
        self._amount(sums, "LineExtensionAmount", net)
        self._amount(sums, "TaxExclusiveAmount", net)
        self._amount(sums, "TaxInclusiveAmount", total)
        paid = Fraction(document.get("credit", 0)) + Fraction(document.get("paid", 0))
        if paid:
            self._amount(sums, "PrepaidAmount", paid)
        self._amount(sums, "PayableAmount", total - paid)

    def _one_line(self, number: int, line: Mapping[str, Any]) -> None:
        amount = self._amount_of(line["amount"])
        quantity, price, per = _quantity_of(line, amount, self._currency)
        found = self._part(self._root, self._line)
        self._basic(found, "ID", str(number))
        self._basic(found, self._quantity, str(quantity), unitCode=_ONE)
        self._amount(found, "LineExtensionAmount", amount)
        item = self._part(found, "Item")
        self._basic(item, "Name", told(rendering.described(line)))
        category = self._tax_category(item, "ClassifiedTaxCategory", with_reason=False)
        self._basic(self._part(category, "TaxScheme"), "ID", "VAT")
        priced = self._part(found, "Price")
        self._basic(priced, "PriceAmount", price, currencyID=self._currency)
        if per != 1:
            self._basic(priced, "BaseQuantity", str(per), unitCode=_ONE)

    def _amount_of(self, text: str) -> Fraction:
        """As the standard has it: what a credit note gives back is above zero."""
        return -Fraction(text) if self._is_note else Fraction(text)

    def _amount(self, parent: ET.Element, name: str, amount: Fraction) -> None:
        text = rendering.digits(decimal_text(amount), self._currency).replace(",", "")
        self._basic(parent, name, text, currencyID=self._currency)

    @staticmethod
    def _part(parent: ET.Element, name: str) -> ET.Element:
        return ET.SubElement(parent, f"cac:{name}")

    @staticmethod
    def _basic(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
        ET.SubElement(parent, f"cbc:{name}", attributes).text = text


def _quantity_of(line: Mapping[str, Any], amount: Fraction, currency: str) -> tuple[int, str, int]:
    """Quantity, price, and for how many: the units where one price was paid for all, else one.

    A price is never below zero (BR-27); what is taken off is a quantity below zero.
    """
    steps = line.get("steps", ())
    if len(steps) == 1 and steps[0]["flat"] == "0" and not line.get("included"):
        units, price, per = steps[0]["units"], steps[0]["price"], steps[0]["per"]
        exact = parse_exact(price) * units / per
        if Money.rounded(exact, currency).exact == abs(amount):
            return (units if amount >= 0 else -units), price, per
    return (1 if amount >= 0 else -1), decimal_text(abs(amount)), 1
