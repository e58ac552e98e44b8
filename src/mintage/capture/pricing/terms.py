"""The terms of a plan: all that two parties agree about money, as one frozen value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from mintage.capture.pricing.charges import Charge
from mintage.capture.pricing.periods import zone_of
from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.core.money import decimal_text, parse_exact
from mintage.core.types import EXPLANATION, FULL_DETAIL, INPUT_TOKEN, OUTPUT_TOKEN, Detail
from mintage.core.units import parse_rate

FeeEvery = Literal["month", "year"]
Prorate = bool | Literal["second"]
LatePolicy = Literal["next_invoice", "credit_note", "reject"]
_UNIT = re.compile(r"[a-z][a-z_]{0,19}")
_HIGHEST_AMOUNT = 10**12  # so that every product with a quantity has an exact decimal string
_MOST_DECIMALS = 18
_MOST_ANSWERED_DECIMALS, _MOST_TOP = 6, 1000


@dataclass(frozen=True)
class Late:
    """What becomes of usage that turns up after its month was invoiced.

    ``grace_days`` after the month's end no invoice is issued yet; what comes later goes on the
    next invoice, replaces the issued one by a credit note and a new invoice, or is not charged.
    """

    policy: LatePolicy = "next_invoice"
    grace_days: int = 1

    def to_json(self) -> dict[str, Any]:
        """As a plan holds it."""
        return {"policy": self.policy, "grace_days": self.grace_days}


@dataclass(frozen=True)
class Terms:
    """What is agreed; amounts are decimal strings in major units of ``currency``.

    ``fee`` is due for each month or year of a subscription, whatever is used. What a month's usage
    comes to is at least ``minimum`` and at most ``maximum``, and ``discount_percent`` less, as the
    fee is. In the first ``trial_days`` of a subscription nothing is charged. Where a month is
    shared with another plan, ``prorate`` says whether fee, minimum, maximum, included units and
    tiers are shared by the day, or by the ``second``. ``charge_abstained`` says whether an answer
    that gives no label is charged as others are. ``due_days`` after its issue an invoice is to be
    paid. Of more than ``soft_spend_limit`` of usage in a month the customer is told, and no call is
    answered that would come to more than ``spend_limit``; both are without fee, discount and tax.
    ``prepaid`` calls are answered as long as the customer's credit lasts. ``answers`` is how much
    of their probabilities answers tell.
    """

    currency: str
    charges: tuple[Charge, ...]
    timezone: str = "UTC"
    fee: str = "0"
    fee_every: FeeEvery = "month"
    minimum: str | None = None
    maximum: str | None = None
    discount_percent: str = "0"
    trial_days: int = 0
    prorate: Prorate = True
    charge_abstained: bool = False
    due_days: int = 30
    late: Late = Late()
    rate: str | None = None
    token_rate: str | None = None
    soft_spend_limit: str | None = None
    spend_limit: str | None = None
    prepaid: bool = False
    answers: Detail = FULL_DETAIL

    def __post_init__(self) -> None:
        """Refuse terms that no invoice could follow.

        Raises:
            ConfigError: an unknown currency, zone or word, or a number out of its range.
        """
        exponent_of(self.currency)
        zone_of(self.timezone)
        if self.fee_every not in get_args(FeeEvery):
            raise _no_word("fee_every", self.fee_every, get_args(FeeEvery))
        if self.prorate not in (True, False, "second"):
            raise _no_word("prorate", self.prorate, ("true", "false", "second"))
        if self.late.policy not in get_args(LatePolicy):
            raise _no_word(_("the policy of late usage"), self.late.policy, get_args(LatePolicy))
        for rate in (self.rate, self.token_rate):
            if rate is not None:
                parse_rate(rate)
        if self.token_rate is not None and not any(
            charge.unit in (INPUT_TOKEN, OUTPUT_TOKEN) for charge in self.charges
        ):
            raise ConfigError(
                _("token_rate is for plans with a price for tokens, and this one has none."),
                remedy=_("Leave it out, or add charges for input_token and output_token."),
            )
        self._check_numbers()
        self._check_charges()

    def _check_numbers(self) -> None:
        for name, count, lowest, highest in (
            ("trial_days", self.trial_days, 0, 3650),
            ("due_days", self.due_days, 0, 365),
            ("grace_days", self.late.grace_days, 0, 60),
            ("decimals", self.answers.decimals, 1, _MOST_ANSWERED_DECIMALS),
            ("top", self.answers.top, 1, _MOST_TOP),
        ):
            if count is not None and not lowest <= count <= highest:
                raise ConfigError(
                    _(
                        "{name} is {least} to {most}, not {count}.",
                        name=name,
                        least=lowest,
                        most=highest,
                        count=count,
                    )
                )
        if not 0 <= parse_exact(self.discount_percent) <= 100:
            raise ConfigError(
                _("A discount is 0 to 100 percent, not {percent}.", percent=self.discount_percent)
            )
        least, most_amount = (
            None if each is None else parse_exact(each) for each in (self.minimum, self.maximum)
        )
        if least is not None and most_amount is not None and least > most_amount:
            raise ConfigError(
                _(
                    "The minimum {minimum} is above the maximum {maximum}.",
                    minimum=self.minimum,
                    maximum=self.maximum,
                )
            )
        limits = (self.soft_spend_limit, self.spend_limit)
        bounds = (self.fee, self.minimum, self.maximum, *limits)
        for amount in (*bounds, *self._charged_amounts()):
            if amount is not None:
                _check_amount(amount)
        soft, hard = (None if each is None else parse_exact(each) for each in limits)
        if soft == 0 or hard == 0:
            raise ConfigError(
                _("A spend limit is above zero."),
                remedy=_("Leave it out for none; end a plan with: mintage customer cancel"),
            )
        if soft is not None and hard is not None and soft > hard:
            raise ConfigError(
                _(
                    "The soft spend limit {soft} is above the spend limit {hard}.",
                    soft=self.soft_spend_limit,
                    hard=self.spend_limit,
                )
            )

    def _charged_amounts(self) -> list[str]:
        tiers = [tier for charge in self.charges for tier in charge.tiers]
        return [amount for tier in tiers for amount in (tier.price, tier.flat)]

    def _check_charges(self) -> None:
        bounded = self.minimum is not None or self.maximum is not None or self.discount
        if self.prepaid and (bounded or not all(charge.is_plain for charge in self.charges)):
            raise ConfigError(
                _(
                    "A prepaid plan has one price for each unit, and no included ones, bounds or "
                    "discount."
                ),
                remedy=_("A call is paid as it is answered, so that nothing later may change it."),
            )
        for charge in self.charges:
            if not _UNIT.fullmatch(charge.unit):
                raise ConfigError(
                    _("Not a unit: {unit!r}.", unit=charge.unit),
                    remedy=_("Write it as image or input_token."),
                )
        for position, charge in enumerate(self.charges):
            for other in self.charges[:position]:
                both = set(charge.products) & set(other.products)
                if charge.unit == other.unit and (
                    both or not charge.products or not other.products
                ):
                    raise ConfigError(
                        _(
                            "Two prices are for the unit {unit!r} of the same product.",
                            unit=charge.unit,
                        ),
                        remedy=_("Name the products of each, and each product once."),
                    )

    @classmethod
    def per_unit(
        cls,
        unit: str,
        price: str,
        currency: str,
        *,
        per: int = 1,
        explanation: str = "0",
        rate: str | None = None,
    ) -> Terms:
        """Every unit at one price, and every explanation at another unless it is included."""
        charges = [Charge.plain(unit, price, per=per)]
        if parse_exact(explanation):
            charges.append(Charge.plain(EXPLANATION, explanation))
        return cls(currency, tuple(charges), rate=rate)

    def charges_of(self, product: str) -> dict[str, Charge]:
        """What is charged for this product, by unit."""
        return {charge.unit: charge for charge in self.charges if charge.is_for(product)}

    @property
    def is_per_unit(self) -> bool:
        """Whether they are no more than a price for each unit, and a rate."""
        plain = (
            Charge.plain(each.unit, each.tiers[0].price, per=each.per) for each in self.charges
        )
        return self == Terms(self.currency, tuple(plain), rate=self.rate)

    @property
    def needs_subscription(self) -> bool:
        """Whether they speak of time: then a customer has to begin them."""
        amounts = (self.fee, self.minimum or "0")
        return any(parse_exact(each) > 0 for each in amounts) or self.trial_days > 0

    def is_final(self, product: str) -> bool:
        """Whether what a call costs is known when it is answered, whatever else is used."""
        plain = all(charge.is_plain for charge in self.charges_of(product).values())
        bounded = self.minimum is not None or self.maximum is not None
        return plain and not bounded and not self.trial_days and not self.discount

    @property
    def discount(self) -> Fraction:
        """The share that is taken off."""
        return parse_exact(self.discount_percent) / 100

    def plainly(self) -> Terms:
        """The same with one spelling of each amount, so that the same terms are equal."""
        return Terms.from_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The terms as a plan's row, its leaf on the log and its file hold them."""
        return {
            "currency": self.currency,
            "timezone": self.timezone,
            "fee": _spelled(self.fee),
            "fee_every": self.fee_every,
            "minimum": _spelled_if(self.minimum),
            "maximum": _spelled_if(self.maximum),
            "discount_percent": _spelled(self.discount_percent),
            "trial_days": self.trial_days,
            "prorate": self.prorate,
            "charge_abstained": self.charge_abstained,
            "due_days": self.due_days,
            "late": self.late.to_json(),
            "rate": self.rate,
            "token_rate": self.token_rate,
            "soft_spend_limit": _spelled_if(self.soft_spend_limit),
            "spend_limit": _spelled_if(self.spend_limit),
            "prepaid": self.prepaid,
            "answers": self.answers.to_json(),
            "charges": [_spelled_charge(charge.to_json()) for charge in self.charges],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Terms:
        """Read what ``to_json`` wrote."""
        charges = tuple(Charge.from_json(charge) for charge in value["charges"])
        parts = {"charges": charges, "late": Late(**value["late"])}
        return cls(**dict(value) | parts | {"answers": Detail(**value.get("answers", {}))})


def _spelled(amount: str) -> str:
    return decimal_text(parse_exact(amount))


def _spelled_if(amount: str | None) -> str | None:
    return None if amount is None else _spelled(amount)


def _spelled_charge(charge: dict[str, Any]) -> dict[str, Any]:
    tiers = [
        tier | {"price": _spelled(tier["price"]), "flat": _spelled(tier["flat"])}
        for tier in charge["tiers"]
    ]
    return charge | {"tiers": tiers}


def _check_amount(amount: str) -> None:
    exact = parse_exact(amount)
    if exact < 0:
        raise ConfigError(_("A price cannot be negative: {amount}.", amount=amount))
    if exact >= _HIGHEST_AMOUNT:
        raise ConfigError(
            _(
                "A price is below {highest_price:,}, not {amount}.",
                highest_price=_HIGHEST_AMOUNT,
                amount=amount,
            ),
            remedy=_("Write it in major units, such as 0.02."),
        )
    if (exact * 10**_MOST_DECIMALS).denominator != 1:
        raise ConfigError(
            _("A price has at most 18 decimals: {amount}.", amount=amount),
            remedy=_("State it for a larger quantity: 0.27 for 1,000,000."),
        )


def _no_word(what: Message | str, given: object, words: tuple[str, ...]) -> ConfigError:
    return ConfigError(
        _(
            "{what} is one of {words}, not {given!r}.",
            what=what,
            words=", ".join(words),
            given=given,
        )
    )
