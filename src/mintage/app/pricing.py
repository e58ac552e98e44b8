"""What a product costs from now on: what is said now, and for the rest what it cost before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mintage.capture.plans import DEFAULT_CURRENCY, DEFAULT_PLAN, DEFAULT_PRICE, Plan, Plans
from mintage.capture.trial import TRIAL
from mintage.core.errors import ConfigError
from mintage.core.messages import _
from mintage.core.types import Rate
from mintage.core.units import parse_rate


@dataclass(frozen=True)
class Asked:
    """What is said of prices, as decimal strings; None leaves what there was.

    ``price`` is for one unit, ``explanation`` for one explanation besides; ``rate`` is how many
    calls a customer may make in a while, such as ``600/minute``, or ``none``.
    """

    price: str | None = None
    currency: str | None = None
    explanation: str | None = None
    rate: str | None = None


def agreed(plans: Plans, product: str, asked: Asked, *, plan: str | None, unit: str) -> Plan:
    """The plan that a product is sold under from now on; its own is named after it.

    ``plan`` is the one that it has been sold under, None where it is new: it then gets the default
    plan, unless something is said. Explanations are included until they have a price.

    Raises:
        ConfigError: a currency without a price, a price or a rate that is none, a plan's name of
            our own, or another currency that leaves an explanation's price in the old one.
    """
    if asked.currency is not None and asked.price is None:
        raise ConfigError(
            _("A currency needs a price."), remedy=_("Say both: --price and --currency.")
        )
    check_free(product)
    if (asked.price, asked.explanation, asked.rate) == (None, None, None):
        return plans.ensure_default() if plan is None else plans.current(plan)
    before = None if plan is None else plans.current(plan)
    if before is not None and not before.terms.is_per_unit:
        raise ConfigError(
            _("The plan {plan} is more than a price for each unit.", plan=before.reference),
            remedy=_("Change it as a file: mintage plan show {plan} --toml", plan=before.name),
        )
    standing = None if before is None else before.offer(product)
    amount, currency, per = DEFAULT_PRICE, DEFAULT_CURRENCY, 1
    if standing is not None:
        amount, currency, per = standing["price"], standing["currency"], standing["per"]
    if asked.price is not None:
        amount, currency, per = asked.price, asked.currency or DEFAULT_CURRENCY, 1
    return plans.set(
        product,
        amount,
        currency,
        unit=unit,
        per=per,
        explanation=asked.explanation or _explanation(standing, currency),
        rate=_rate(before, asked.rate),
    )


def check_free(product: str) -> None:
    """Refuse a product whose plan would be one of our own.

    Raises:
        ConfigError: it is called as that is.
    """
    if product in (DEFAULT_PLAN, TRIAL):
        raise ConfigError(
            _("{product!r} is the name of a plan of Mintage's own.", product=product),
            remedy=_("Name the product otherwise."),
        )


def _rate(before: Plan | None, said: str | None) -> Rate | None:
    if said is None:
        return None if before is None else before.rate
    return None if said == "none" else parse_rate(said)


def _explanation(standing: Mapping[str, Any] | None, currency: str) -> str:
    """What an explanation has cost, if that can be said in this currency."""
    if standing is None or standing["explanation_price"] == "0":
        return "0"
    if standing["currency"] != currency:
        raise ConfigError(
            _(
                "An explanation has cost {amount} {currency} so far.",
                amount=standing["explanation_price"],
                currency=standing["currency"],
            ),
            remedy=_("Say what it costs now: --explanation-price"),
        )
    return str(standing["explanation_price"])
