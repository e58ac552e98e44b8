"""That an invoice's amounts follow from what it says: from units by the plan, from its lines."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mintage.capture.pricing.rating import exact_of
from mintage.capture.pricing.terms import Terms
from mintage.core.errors import BooksBroken
from mintage.core.messages import Message, _
from mintage.core.money import Money, parse_exact

_NAMED = ("name", "version", "created_at")
"""What a plan's document says beside its terms."""


def terms_of(plan: Mapping[str, Any]) -> Terms:
    """The terms in a plan's signed document.

    Raises:
        ConfigError: this Mintage cannot read them.
    """
    return Terms.from_json({name: each for name, each in plan.items() if name not in _NAMED})


def is_priced_by(line: Mapping[str, Any], terms: Terms) -> bool:
    """Whether what a line of usage comes to is its units at the plan's prices, step by step."""
    share = Fraction(line.get("share", "1"))
    for charge in terms.charges:
        if charge.unit != line["unit"] or not all(map(charge.is_for, line["products"])):
            continue
        steps = tuple(charge.steps(line["units"], share))
        exact = sum((step.amount for step in steps), Fraction(0))
        if [step.to_json() for step in steps] == line["steps"] and exact == exact_of(line):
            return True
    return False


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
