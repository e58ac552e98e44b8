"""What a product costs from now on: what is said now, and for the rest what it cost before."""

from __future__ import annotations

from dataclasses import dataclass

from mintage.capture.plans import DEFAULT_CURRENCY, DEFAULT_PLAN, DEFAULT_PRICE, Plan, Plans
from mintage.capture.trial import TRIAL
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.money import Price
from mintage.core.types import Rate
from mintage.core.units import parse_rate


@dataclass(frozen=True)
class Terms:
    """What is said of prices, as decimal strings; None leaves what there was.

    ``price`` is for one unit, ``explanation`` for one explanation besides; ``rate`` is how many
    calls a customer may make in a while, such as ``600/minute``, or ``none``.
    """

    price: str | None = None
    currency: str | None = None
    explanation: str | None = None
    rate: str | None = None


def agreed(plans: Plans, product: str, terms: Terms, *, plan: str | None, unit: str) -> Plan:
    """The plan that a product is sold under from now on; its own is named after it.

    ``plan`` is the one that it has been sold under, None where it is new: it then gets the default
    plan, unless something is said. Explanations are included until they have a price.

    Raises:
        ConfigError: a currency without a price, a price or a rate that is none, a plan's name of
            our own, or another currency that leaves an explanation's price in the old one.
    """
    if terms.currency is not None and terms.price is None:
        raise ConfigError(
            _("A currency needs a price."), remedy=_("Say both: --price and --currency.")
        )
    if product in (DEFAULT_PLAN, TRIAL):
        raise ConfigError(
            _("{product!r} is the name of a plan of Mintage's own.", product=product),
            remedy=_("Name the product otherwise."),
        )
    if (terms.price, terms.explanation, terms.rate) == (None, None, None):
        return plans.ensure_default() if plan is None else plans.current(plan)
    before = None if plan is None else plans.current(plan)
    price = Price(DEFAULT_PRICE, DEFAULT_CURRENCY) if before is None else before.price
    if terms.price is not None:
        price = Price(terms.price, terms.currency or DEFAULT_CURRENCY)
    return plans.set(
        product,
        price.amount,
        price.currency,
        unit=unit,
        per=price.per,
        explanation=terms.explanation or _explanation(before, price.currency),
        rate=_rate(before, terms.rate),
    )


def _rate(before: Plan | None, said: str | None) -> Rate | None:
    if said is None:
        return None if before is None else before.rate
    return None if said == "none" else parse_rate(said)


def _explanation(before: Plan | None, currency: str) -> str:
    """What an explanation has cost, if that can be said in this currency."""
    if before is None or not before.explanation.times(1):
        return "0"
    if before.explanation.currency != currency:
        raise ConfigError(
            _(
                "An explanation has cost {amount} {currency} so far.",
                amount=before.explanation.amount,
                currency=before.explanation.currency,
            ),
            remedy=_("Say what it costs now: --explanation-price"),
        )
    return before.explanation.amount
