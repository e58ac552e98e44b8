"""Invoices as rows for 数电票: what a batch import of China's e-fapiao wants of each.

The tax authority's own template has the same columns under these names; its codes of goods
(商品和服务税收编码) are the operator's to choose. Mintage issues no 发票.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from mintage.capture.books import rendering
from mintage.capture.books.documents import Document
from mintage.core.errors import DataError
from mintage.core.messages import Message, _, speaking, told
from mintage.core.money import Money, decimal_text, parse_exact

COLUMNS = (
    "发票流水号",
    "发票类型",
    "购买方名称",
    "购买方纳税人识别号",
    "购买方地址电话",
    "购买方开户行及账号",
    "项目名称",
    "规格型号",
    "单位",
    "数量",
    "单价",
    "金额",
    "税率",
    "税额",
    "备注",
)
_ORDINARY = "电子发票（普通发票）"
_CURRENCY = "CNY"
_UNITS = {"image": "张"}


def fapiao_csv(documents: Iterable[Document]) -> str:
    """A row a line; rows of one invoice have its number in common. A file for spreadsheets."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    for document in documents:
        for row in rows_of(document):
            writer.writerow({name: rendering.cell(value) for name, value in row.items()})
    return "\ufeff" + out.getvalue()  # without this mark Excel takes UTF-8 for GBK


def rows_of(document: Document) -> list[dict[str, str]]:
    """The rows of one invoice: without tax, and the tax of each so that they sum to its own.

    Raises:
        DataError: it is a credit note, not in CNY, of more than one tax, or nothing is owed.
    """
    _check(document)
    customer, taxes = document["customer"], document["taxes"]
    rate = parse_exact(taxes[0]["percent"]) / 100 if taxes else Fraction(0)
    tax = Fraction(taxes[0]["amount"]) if taxes else Fraction(0)
    common = {
        "发票流水号": document["number"],
        "发票类型": _ORDINARY,
        "购买方名称": customer.get("legal_name") or customer["name"],
        "购买方纳税人识别号": customer.get("tax_number", ""),
        "购买方地址电话": _joined(customer, "address", "phone"),
        "购买方开户行及账号": _joined(customer, "bank", "bank_account"),
        "税率": decimal_text(rate),
        "备注": f"{document['number']} {document['period']}",
    }
    with speaking("zh"):
        items = _items(document)
    shares = _shared([Fraction(item["金额"]) for item in items], tax)
    return [
        common | item | {"税额": rendering.digits(decimal_text(share), _CURRENCY).replace(",", "")}
        for item, share in zip(items, shares, strict=True)
    ]


def _check(document: Document) -> None:
    reasons = {
        _("it takes another back, for which 红字发票 are applied for one by one"): document["kind"]
        != "invoice",
        _("发票 are in CNY, and it is in {currency}", currency=document["currency"]): document[
            "currency"
        ]
        != _CURRENCY,
        _("it has {count} taxes, and a row has one", count=len(document["taxes"])): len(
            document["taxes"]
        )
        > 1,
        _("nothing is owed"): Fraction(document["net"]) <= 0,
    }
    for reason, holds in reasons.items():
        if holds:
            raise DataError(
                _(
                    "There can be no 发票 of {number}: {reason}.",
                    number=document["number"],
                    reason=reason,
                )
            )


def _items(document: Document) -> list[dict[str, str]]:
    """A row each; one for all where some line is below zero, which no 发票 has by itself."""
    lines = [line for line in document["lines"] if Fraction(line["amount"])]
    if any(Fraction(line["amount"]) < 0 for line in lines):
        name = told(_("Usage and fees of {period}", period=document["period"]))
        return [{"项目名称": name, "金额": _amount(document["net"])}]
    return [_item(line) for line in lines]


def _item(line: Mapping[str, Any]) -> dict[str, str]:
    said: Message = rendering.described(line)
    item = {"项目名称": told(said), "金额": _amount(line["amount"])}
    steps = line.get("steps", ())
    if len(steps) == 1 and steps[0]["flat"] == "0" and not line.get("included"):
        units, exact = steps[0]["units"], parse_exact(steps[0]["price"]) / steps[0]["per"]
        whole = Money.rounded(exact * units, _CURRENCY).exact == Fraction(line["amount"])
        if units and whole and Fraction(decimal_text(exact)) == exact:
            unit = _UNITS.get(line["unit"], told(Message(line["unit"])))
            item |= {"单位": unit, "数量": str(units), "单价": decimal_text(exact)}
    return item


def _shared(amounts: Sequence[Fraction], tax: Fraction) -> list[Fraction]:
    """The tax of each, in whole 分, that sum to all of it: each running sum is rounded."""
    net, shares, given, until = sum(amounts, Fraction(0)), [], Fraction(0), Fraction(0)
    for amount in amounts:
        until += amount
        share = Money.rounded(tax * until / net, _CURRENCY).exact - given
        shares.append(share)
        given += share
    return shares


def _amount(text: str) -> str:
    return rendering.digits(text, _CURRENCY).replace(",", "")


def _joined(customer: Mapping[str, Any], *names: str) -> str:
    parts = (customer.get(name, "") for name in names)
    return " ".join(" ".join(part.split()) for part in parts if part)
