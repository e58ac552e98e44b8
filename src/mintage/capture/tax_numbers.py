"""Tax numbers: whether one can be what it says, by its check digit or its form."""

from __future__ import annotations

import re

from mintage.core.check_digits import resident_check_digit
from mintage.core.errors import ConfigError
from mintage.core.messages import _

# GB 32100-2015: no I, O, S, V and Z.
_CHINESE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_LENGTH = 18
# Of who registers an organisation, as its first character has it.
_REGISTRARS = "12345679ANY"

_PERSON = re.compile(
    r"[1-8][0-9]{5}(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]"
)

# The forms that VIES publishes, without the country's prefix.
_EUROPEAN = {
    "AT": r"U\d{8}",
    "BE": r"[01]\d{9}",
    "BG": r"\d{9,10}",
    "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}",
    "DE": r"\d{9}",
    "DK": r"\d{8}",
    "EE": r"\d{9}",
    "EL": r"\d{9}",
    "ES": r"[A-Z0-9]\d{7}[A-Z0-9]",
    "FI": r"\d{8}",
    "FR": r"[A-HJ-NP-Z0-9]{2}\d{9}",
    "HR": r"\d{11}",
    "HU": r"\d{8}",
    "IE": r"\d{7}[A-W][A-I]?|\d[A-Z+*]\d{5}[A-W]",
    "IT": r"\d{11}",
    "LT": r"\d{9}|\d{12}",
    "LU": r"\d{8}",
    "LV": r"\d{11}",
    "MT": r"\d{8}",
    "NL": r"[A-Z0-9+*]{9}B\d{2}",
    "PL": r"\d{10}",
    "PT": r"\d{9}",
    "RO": r"\d{2,10}",
    "SE": r"\d{12}",
    "SI": r"\d{8}",
    "SK": r"\d{10}",
    "XI": r"\d{9}|\d{12}|GD\d{3}|HA\d{3}",
}
_PREFIX_OF = {"GR": "EL"}  # Greece's numbers have another prefix than its country


def compact(number: str) -> str:
    """Without the spaces, dots and hyphens that people write it with."""
    return re.sub(r"[\s.\-]", "", number).upper()


def vat_prefix(country: str) -> str | None:
    """What VAT numbers of a country of the EU (ISO 3166-1) begin with; None elsewhere."""
    prefix = _PREFIX_OF.get(country.upper(), country.upper())
    return prefix if prefix in _EUROPEAN else None


def is_vat_number(number: str, country: str) -> bool:
    """Whether it has the form of the country's VAT numbers, its prefix with it."""
    prefix, said = vat_prefix(country), compact(number)
    return prefix is not None and re.fullmatch(f"{prefix}(?:{_EUROPEAN[prefix]})", said) is not None


def check(number: str, country: str) -> None:
    """Refuse a number that cannot be one.

    In China 统一社会信用代码 by its check digit; where no country is said, what looks like one.
    In the EU a VAT number by its form; a number without the country's prefix is a local one.

    Raises:
        ConfigError: it cannot be.
    """
    said, where = compact(number), country.strip().upper()
    if not said:
        return
    if where == "CN" or (not where and _looks_chinese(said)):
        _check_chinese(number, said)
    prefix = vat_prefix(where)
    if prefix is not None and said.startswith(prefix) and not is_vat_number(said, where):
        raise ConfigError(
            _(
                "{number!r} does not have the form of a VAT number of {country}.",
                number=number,
                country=where,
            ),
            remedy=_("Look at the number again; VIES of the European Commission knows them all."),
        )


def _looks_chinese(said: str) -> bool:
    return len(said) == _LENGTH and said[0] in _REGISTRARS and set(said) <= set(_CHINESE)


def _check_chinese(number: str, said: str) -> None:
    if len(said) in {15, 20} and said.isalnum():
        return  # older numbers, without such a check digit, which some still have
    if len(said) != _LENGTH or not set(said[:-1]) <= set(_CHINESE):
        raise ConfigError(
            _(
                "{number!r} is no tax number of China: those have 18 digits and letters, without "
                "I, O, S, V and Z.",
                number=number,
            ),
            remedy=_("Copy it from the business licence."),
        )
    if said[-1] != chinese_check_digit(said) and said[-1] != _person_check_digit(said):
        raise ConfigError(
            _(
                "{number!r} is no tax number of China: its last character does not fit the others.",
                number=number,
            ),
            remedy=_("A character was mistyped; copy it from the business licence."),
        )


def chinese_check_digit(number: str) -> str:
    """The 18th character of 统一社会信用代码 by the 17 before it (GB 32100-2015)."""
    total = sum(_CHINESE.index(each) * pow(3, n, 31) for n, each in enumerate(number[:17]))
    return _CHINESE[-total % 31]


def _person_check_digit(number: str) -> str | None:
    """The same of a person's number, with a date of birth."""
    return None if _PERSON.fullmatch(number) is None else resident_check_digit(number)
