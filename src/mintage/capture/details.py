"""What an invoice says of a customer: names, addresses, tax numbers, and the taxes that are due."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mintage.capture import tax_numbers
from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _
from mintage.core.money import parse_exact

_LONGEST = 400
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_MOST_TAXES = 5


def _is_text(value: str) -> bool:
    return len(value) <= _LONGEST and all(each.isprintable() or each == "\n" for each in value)


@dataclass(frozen=True)
class Tax:
    """A tax by its name, such as VAT or 增值税, and its percentage, a decimal string."""

    name: str
    percent: str

    def __post_init__(self) -> None:
        """Refuse what is no tax.

        Raises:
            ConfigError: no name, or no percentage from 0 to 100.
        """
        said: tuple[object, ...] = (self.name, self.percent)  # as a file may have it
        if (
            not all(isinstance(each, str) for each in said)
            or not 1 <= len(self.name) <= 40
            or not 0 <= parse_exact(self.percent) <= 100
        ):
            raise ConfigError(
                _("Not a tax: {name!r}, {percent!r}.", name=self.name, percent=self.percent),
                remedy=_(
                    "Write both as texts, the percentage from 0 to 100: {example}.",
                    example='{name = "VAT", percent = "19"}',
                ),
            )


@dataclass(frozen=True)
class Details:
    """The invoicing details of a customer; all may be empty.

    In China ``legal_name`` is 发票抬头, ``tax_number`` 纳税人识别号, ``bank`` 开户行 and
    ``bank_account`` 账号.
    """

    legal_name: str = ""
    address: str = ""
    country: str = ""
    tax_number: str = ""
    bank: str = ""
    bank_account: str = ""
    phone: str = ""
    email: str = ""
    language: str = ""
    taxes: tuple[Tax, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what no document could hold.

        Raises:
            ConfigError: a text that is too long or not printable, no country, address or language,
                or too many taxes.
        """
        for name, value in asdict(self).items():
            if isinstance(value, str) and not _is_text(value):
                raise ConfigError(
                    _("{name} cannot be {value!r}.", name=name, value=value[:50]),
                    remedy=_("Use up to {most} printable characters.", most=_LONGEST),
                )
        if self.country and not _COUNTRY.fullmatch(self.country):
            raise ConfigError(
                _("Not a country: {country!r}.", country=self.country),
                remedy=_("Write its two letters (ISO 3166-1): DE, FR or CN."),
            )
        if self.email and not _EMAIL.fullmatch(self.email):
            raise ConfigError(_("Not an e-mail address: {email!r}.", email=self.email))
        if self.language not in ("", "en", "zh"):
            raise ConfigError(_("Invoices are in en or zh, not {lang!r}.", lang=self.language))
        if len(self.taxes) > _MOST_TAXES:
            raise ConfigError(_("There are at most {most} taxes.", most=_MOST_TAXES))

    def to_json(self) -> dict[str, Any]:
        """As its row, a document and the audit log hold them."""
        return asdict(self) | {"taxes": [asdict(tax) for tax in self.taxes]}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], where: str = "") -> Details:
        """Read them; ``where`` names the file in errors.

        Raises:
            ConfigError: an unknown name, or a value that cannot be.
        """
        names = [each.name for each in fields(cls)]
        for name, value in said.items():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
                raise ConfigError(
                    _("{where}: there is no {name!r}.", where=where, name=name),
                    remedy=_("Did you mean {name!r}?", name=near[0])
                    if near
                    else _("There are: {names}.", names=", ".join(names)),
                )
            if name != "taxes" and not isinstance(value, str):
                raise ConfigError(_("{where}: {name} is a text.", where=where, name=name))
        try:
            taxes = tuple(Tax(**each) for each in said.get("taxes", ()))
        except TypeError as error:
            raise ConfigError(
                _("{where}: a tax has a name and a percent.", where=where),
                remedy=_("Write it as {example}.", example='{name = "VAT", percent = "19"}'),
            ) from error
        return cls(**dict(said) | {"taxes": taxes})

    @classmethod
    def parse(cls, text: str) -> Details:
        """Read what a row holds."""
        return cls.from_json(json.loads(text))


NO_DETAILS = Details()


def read(path: Path) -> Details:
    """The details that a TOML file holds.

    Raises:
        ConfigError: no such file, no TOML, or details that cannot be, such as a tax number whose
            check digit is wrong.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            _("{path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(_("{path} is not TOML: {reason}.", path=path, reason=error)) from error
    found = Details.from_json(document, str(path))
    tax_numbers.check(found.tax_number, found.country)
    return found
