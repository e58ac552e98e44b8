"""Invoices and credit notes for people and their programs: HTML to read and print, and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from fractions import Fraction
from html import escape
from typing import Any

from mintage.capture.books.documents import Document
from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.currencies import exponent_of
from mintage.core.messages import Language, Message, _, current, speaking, told
from mintage.core.money import Money

_FONTS = (
    "system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC','Source Han Sans SC',sans-serif"
)
_STYLE = f"""
:root {{ color-scheme: light; }}
body {{ margin: 0 auto; padding: 2.5rem 1.5rem; max-width: 46rem; color: #33302b;
  background: #fff; font: 15px/1.5 {_FONTS}; }}
header {{ display: flex; flex-wrap: wrap; justify-content: space-between; gap: 1rem 2rem; }}
h1 {{ margin: 0; font-size: 1.6rem; }}
.muted {{ color: #6f685e; }}
.parties {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr));
  gap: 1.5rem; margin: 2rem 0; }}
.parties h2 {{ margin: 0 0 .25rem; font-size: .85rem; font-weight: 600; color: #6f685e; }}
.parties p {{ margin: 0; white-space: pre-line; overflow-wrap: anywhere; }}
table {{ width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .5rem .25rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e6e0d4; }}
th:last-child, td:last-child {{ text-align: right; white-space: nowrap; }}
small {{ display: block; color: #6f685e; }}
tfoot td {{ border: 0; padding: .25rem; }}
tfoot tr.total td {{ border-top: 2px solid #33302b; font-weight: 700; font-size: 1.1rem; }}
footer {{ margin-top: 2rem; font-size: .85rem; color: #6f685e; }}
@media print {{ body {{ padding: 0; max-width: none; }} }}
"""


_FORMULA = ("=", "+", "-", "@", "|", "%")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def amount_text(amount: str, currency: str) -> str:
    """An amount with all the decimals of its currency, and its code."""
    return f"{digits(amount, currency)} {currency}"


def digits(amount: str, currency: str) -> str:
    """An amount with all the decimals of its currency."""
    whole, __, part = amount.lstrip("-").partition(".")
    decimals = exponent_of(currency)
    sign = "-" if amount.startswith("-") else ""
    part = part.ljust(decimals, "0")
    return f"{sign}{int(whole):,}.{part}" if part else f"{sign}{int(whole):,}"


def title_of(document: Document) -> Message:
    """What the document calls itself."""
    if document["kind"] == "credit_note":
        return _("Credit note")
    return _("Invoice")


def heading_of(document: Document) -> str:
    """Title and number, in the language that is spoken."""
    return f"{told(title_of(document))} {document['number'] or told(_('(draft)'))}"


def described(line: Mapping[str, Any]) -> Message:
    """What a line is for, in a few words."""
    said = {"plan": line["plan"], "days": _days(line) if "first" in line else ""}
    units = {"units": line.get("units", 0), "period": line.get("period", "")}
    kinds = {
        "fee": _("Fee of the plan {plan}, {days}", **said),
        "fee_back": _("Given back of the fee of the plan {plan}, {days}", **said),
        "usage": _(
            "{units:,} × {unit}, plan {plan}", **units, **said, unit=Message(line.get("unit", ""))
        ),
        "minimum": _("Up to the minimum of the plan {plan}", **said),
        "maximum": _("Above the maximum of the plan {plan}", **said),
        "discount": _("Discount of {percent} %, plan {plan}", **said, percent=line.get("percent")),
        "elsewhere": _("Other invoices already have of it, plan {plan}", **said),
        "late": _(
            "Usage of {period} that was recorded later, plan {plan}: {units:,} calls",
            **units,
            **said,
        ),
    }
    said_of = kinds[line["kind"]]
    if "of_line" in line:
        return _("Credited of line {line}: {what}", line=line["of_line"], what=said_of)
    return said_of


def steps_of(line: Mapping[str, Any]) -> list[Message]:
    """How a line of usage comes about: what is included, and each price with its units."""
    found = []
    if line.get("included"):
        found.append(_("{units:,} included", units=line["included"]))
    for step in line.get("steps", ()):
        said = {"units": step["units"], "price": step["price"], "per": step["per"]}
        each = (
            _("{units:,} at {price}", **said)
            if step["per"] == 1
            else _("{units:,} at {price} for {per:,}", **said)
        )
        flat = step["flat"] != "0"
        found.append(_("{each}, and {flat}", each=each, flat=step["flat"]) if flat else each)
    if "share" in line:
        share = line["share"]
        days = _days_of(line)
        of_a_year = days is not None and days > 31
        found.append(
            _("of the year: {share}", share=share)
            if of_a_year
            else _("of the month: {share}", share=share)
        )
    if "credited" in line:
        found.append(_("less what credit notes gave back: {amount}", amount=line["credited"]))
    if "residue" in line:
        found.append(_("exactly {exact}", exact=line["exact"]))
    return found


def html(document: Document, status: str, language: Language) -> str:
    """One self-contained page, without a script or a request, to read, print and keep."""
    with speaking(language):
        currency = document["currency"]
        rows = "".join(_row(line, currency) for line in document["lines"])
        sums = [(told(_("Net")), document["net"])]
        sums += [
            (f"{each['name']} {each['percent']} %", each["amount"]) for each in document["taxes"]
        ]
        foot = "".join(_sum(name, amount, currency) for name, amount in sums)
        foot += "".join(_exactly(each) for each in document["taxes"] if "residue" in each)
        total = _sum(told(_("Total")), document["total"], currency, kind="total")
        total += "".join(
            _sum(told(name), amount, currency) for name, amount in settled_of(document)
        )
        title = heading_of(document)
        return (
            f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
            f"<header><h1>{escape(title)}</h1><div>{_dates(document, status)}</div></header>"
            f'<section class="parties">{_party(_("From"), document["seller"])}'
            f"{_party(_('To'), document['customer'])}</section>"
            f"<table><thead><tr><th>{escape(told(_('what')))}</th>"
            f"<th>{escape(currency)}</th></tr></thead><tbody>{rows}</tbody>"
            f"<tfoot>{foot}{total}</tfoot></table><footer>{_foot(document)}</footer></body></html>\n"
        )


def csv_text(documents: Iterable[Document]) -> str:
    """A row a line, and one for each tax: what accounting and tax software reads."""
    out = io.StringIO()
    columns = (
        "number",
        "kind",
        "corrects",
        "issued_at",
        "due_at",
        "period",
        "customer",
        "legal_name",
        "tax_number",
        "bank",
        "bank_account",
        "address",
        "line",
        "plan",
        "unit",
        "units",
        "description",
        "exact",
        "amount",
        "currency",
        "total",
    )
    writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    for document in documents:
        customer = document["customer"]
        common = {
            **document,
            **{name: customer.get(name, "") for name in columns if name in customer},
        }
        common |= {"customer": customer["name"], "corrects": document.get("corrects") or ""}
        for line in document["lines"]:
            said = {**line, **common, "line": line["kind"], "description": told(described(line))}
            writer.writerow({name: cell(value) for name, value in said.items()})
        for tax in document["taxes"]:
            named = f"{tax['name']} {tax['percent']} %"
            said = {**tax, **common, "line": "tax", "description": named}
            writer.writerow({name: cell(value) for name, value in said.items()})
    return out.getvalue()


def cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is told to be text."""
    if isinstance(value, str) and value.lstrip()[:1] in _FORMULA and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return "" if value is None else value


def _row(line: Mapping[str, Any], currency: str) -> str:
    steps = "".join(f"<small>{escape(told(step))}</small>" for step in steps_of(line))
    amount = escape(digits(line["amount"], currency))
    return f"<tr><td>{escape(told(described(line)))}{steps}</td><td>{amount}</td></tr>"


def _sum(name: str, amount: str, currency: str, kind: str = "") -> str:
    shown = escape(digits(amount, currency))
    return f'<tr class="{kind}"><td>{escape(name)}</td><td>{shown}</td></tr>'


def _exactly(tax: Mapping[str, Any]) -> str:
    said = told(_("exactly {exact}", exact=tax["exact"]))
    return f'<tr><td colspan="2"><small>{escape(tax["name"])}: {escape(said)}</small></td></tr>'


def dates_of(document: Document) -> list[tuple[Message, str]]:
    """The month and the dates of a document, and what it corrects."""
    rows = [(_("Month"), document["period"])]
    if document["issued_at"]:
        rows.append((_("Date"), document["issued_at"][:10]))
    left = Fraction(document.get("to_pay") or document["total"])
    if document["due_at"] and document["kind"] == "invoice" and left > 0:
        rows.append((_("To be paid by"), document["due_at"][:10]))
    if document.get("corrects"):
        rows.append((_("Corrects"), document["corrects"]))
    return rows


def party_of(party: Mapping[str, Any]) -> list[str]:
    """Who sells or pays, line by line, in the language that is spoken."""
    lines = [party.get("legal_name") or party.get("name", ""), party.get("address", "")]
    for name, label in (
        ("country", None),
        ("tax_number", _("Tax number")),
        ("bank", _("Bank")),
        ("bank_account", _("Account")),
        ("phone", None),
        ("email", None),
    ):
        if party.get(name):
            lines.append(f"{told(label)}: {party[name]}" if label else party[name])
    return "\n".join(line for line in lines if line).splitlines() or ["—"]


def standing(found: Mapping[str, Any]) -> Document:
    """An invoice's document with what was paid and credited until now, from its JSON."""
    document: Document = found["document"]
    sums = {name: found[name] for name in ("credit", "paid", "credited")}
    if all(amount == "0" for amount in sums.values()):
        return document
    return document | sums | {"to_pay": found["to_pay"], "sha256": digest_of(document)}


def digest_of(document: Document) -> str:
    """The SHA-256 of the document as it was issued, which its signature is over."""
    return str(document.get("sha256") or sha256_hex(canonical_json(document)))


def settled_of(document: Document) -> list[tuple[Message, str]]:
    """What was paid of it, by credit or otherwise, what was credited, and what that leaves to pay.

    Of a document alone, when it was issued.
    """
    if "to_pay" not in document:
        return []
    credit = Money.parse(document["credit"], document["currency"])
    by_credit = _("Paid from your credit") if credit.nanos > 0 else _("Added to your credit")
    said = ((by_credit, "credit"), (_("Paid"), "paid"), (_("Credited"), "credited"))
    amounts = ((name, Money.parse(document.get(key, "0"), credit.currency)) for name, key in said)
    rows = [(name, (-paid).amount) for name, paid in amounts if paid.nanos]
    return [*rows, (_("To be paid"), document["to_pay"])]


def notes_of(document: Document) -> list[Message]:
    """What a document says below its sums."""
    said = [_("Each line and each tax is rounded once, halves away from zero.")]
    if document.get("reason"):
        said.insert(0, _("Reason: {reason}", reason=document["reason"]))
    if document["kind"] == "invoice":
        said.append(_("This is a statement of what is owed, not a tax invoice (fapiao)."))
    if document["number"]:
        said.append(_("SHA-256 of this document: {digest}", digest=digest_of(document)))
        said.append(
            _(
                "To check it, ask for the signed file and the public key, and run: "
                "mintage verify {number}.signed.json --key receipt.pub",
                number=document["number"],
            )
        )
    return said


def language_for(document: Document, said: str | None = None) -> Language:
    """The language of a document: the one asked for, the customer's, or the one spoken now."""
    wanted = said or document["customer"].get("language") or current()
    return "zh" if wanted == "zh" else "en"


def _dates(document: Document, status: str) -> str:
    (month, *others) = dates_of(document)
    rows = [month, (_("Status"), told(Message(status))), *others]
    return "".join(
        f'<div><span class="muted">{escape(told(name))}</span> {escape(text)}</div>'
        for name, text in rows
    )


def _party(heading: Message, party: Mapping[str, Any]) -> str:
    said = escape("\n".join(party_of(party)))
    return f"<div><h2>{escape(told(heading))}</h2><p>{said}</p></div>"


def _foot(document: Document) -> str:
    return "<br>".join(escape(told(each)) for each in notes_of(document))


def _days_of(line: Mapping[str, Any]) -> int | None:
    if "first" not in line:
        return None
    return (date.fromisoformat(line["end"]) - date.fromisoformat(line["first"])).days


def _days(line: Mapping[str, Any]) -> str:
    last = date.fromisoformat(line["end"]) - timedelta(days=1)
    return f"{line['first']} – {last.isoformat()}"
