"""Money: an integer count of 10⁻⁹ of a currency's major unit. Float never touches it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from fractions import Fraction

from mintage.core.currencies import exponent_of
from mintage.core.errors import ConfigError
from mintage.core.messages import _

NANOS = 10**9
_MOST_DIGITS = 60  # before or after the point: nothing is worth more


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
        raise ConfigError(
            _("Not an amount: {text!r}.", text=text), remedy=_("Write a decimal such as 0.02.")
        )
    return value


def parse_exact(text: str) -> Fraction:
    """The number that a decimal string says.

    Raises:
        ConfigError: it says none.
    """
    return Fraction(_decimal(text))


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimal_text(exact: Fraction) -> str:
    """An exact amount as a decimal string, or to 18 decimals where it does not end."""
    with localcontext(prec=60):
        value = Decimal(exact.numerator) / Decimal(exact.denominator)
        return _plain(value.quantize(Decimal(1).scaleb(-18)))


@dataclass(frozen=True)
class Money:
    """An amount that is held: exact, in one currency."""

    nanos: int
    currency: str

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """Read a decimal string.

        Raises:
            ConfigError: not a number, or finer than 10⁻⁹ of the unit.
        """
        nanos = Fraction(_decimal(text)) * NANOS
        if nanos.denominator != 1:
            raise ConfigError(
                _("{text} {currency} is finer than 0.000000001.", text=text, currency=currency),
                remedy=_("Use at most 9 decimals."),
            )
        return cls(int(nanos), currency)

    @property
    def amount(self) -> str:
        """The amount as a plain decimal string: no exponent, no trailing zeros."""
        with localcontext(prec=60):
            return _plain(Decimal(self.nanos) / NANOS)

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @classmethod
    def rounded(cls, exact: Fraction, currency: str) -> Money:
        """The nearest amount that a document can say, in whole minor units; halves away from 0.

        Raises:
            ConfigError: no currency that goods are priced in.
        """
        minor = 10 ** exponent_of(currency)
        twice = abs(exact) * minor * 2 + 1
        whole = twice.numerator // (2 * twice.denominator)
        return cls((whole if exact >= 0 else -whole) * NANOS // minor, currency)

    @property
    def exact(self) -> Fraction:
        """The amount in major units."""
        return Fraction(self.nanos, NANOS)

    def __neg__(self) -> Money:
        return Money(-self.nanos, self.currency)

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ConfigError(
                _(
                    "Cannot add {currency} to {currency2}.",
                    currency=other.currency,
                    currency2=self.currency,
                )
            )
        return Money(self.nanos + other.nanos, self.currency)


def said_money(text: str) -> Money:
    """An amount and its currency in a person's words, such as ``50 EUR``.

    Raises:
        ConfigError: it says none.
    """
    amount, __, currency = text.strip().partition(" ")
    try:
        exponent_of(currency.strip())
        return Money.parse(amount, currency.strip())
    except ConfigError as error:
        raise ConfigError(
            _("Not an amount of money: {text!r}. {reason}", text=text[:50], reason=error.message),
            remedy=_("Write it as '50 EUR'."),
        ) from error


@dataclass(frozen=True)
class Price:
    """A decimal string for a stated quantity: ``0.27`` for 1,000,000 tokens."""

    amount: str
    currency: str
    per: int = 1

    def __post_init__(self) -> None:
        """Check once, so that no later multiplication can fail."""
        if _decimal(self.amount) < 0:
            raise ConfigError(_("A price cannot be negative: {amount}.", amount=self.amount))
        if self.per < 1:
            raise ConfigError(_("A price is for at least 1 unit, not {per}.", per=self.per))

    def times(self, quantity: int) -> Fraction:
        """The exact amount for a quantity, in major units; rounding belongs to documents."""
        return Fraction(_decimal(self.amount)) * quantity / self.per

    def text_for(self, quantity: int) -> str:
        """The exact amount as a decimal string, or to 18 decimals where it does not end."""
        return decimal_text(self.times(quantity))
