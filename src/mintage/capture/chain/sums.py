"""That an invoice adds up: each line, each tax, the total."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mintage.capture.pricing.rating import exact_of
from mintage.core.errors import BooksBroken
from mintage.core.messages import Message, _
from mintage.core.money import Money, parse_exact


def check_sums(document: Mapping[str, Any]) -> None:
    """Add up an invoice or a credit note again: of an invoice each line and tax is rounded once.

    A credit note over a part rounds what several such notes took together.

    Raises:
        BooksBroken: a sum is another.
    """
    currency = document["currency"]
    net = Fraction(0)
    for number, line in enumerate(document["lines"], start=1):
        rounded = Money.rounded(exact_of(line), currency)
        if document["kind"] == "invoice" and rounded.amount != line["amount"]:
            raise _otherwise(_("line {line}", line=number))
        net += Fraction(line["amount"])
    if Money.rounded(net, currency).amount != document["net"]:
        raise _otherwise(_("what is due without tax"))
    total = net
    for tax in document["taxes"]:
        if document["kind"] == "invoice":
            due = Money.rounded(net * parse_exact(tax["percent"]) / 100, currency)
            if due.amount != tax["amount"]:
                raise _otherwise(Message(tax["name"]))
        total += Fraction(tax["amount"])
    if Money.rounded(total, currency).amount != document["total"]:
        raise _otherwise(_("the total"))


def _otherwise(what: str) -> BooksBroken:
    return BooksBroken(
        _("The invoice does not add up: {what} is another sum.", what=what),
        remedy=_("Ask the seller for a credit note, and a new invoice."),
    )
