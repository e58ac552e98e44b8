"""Plans as TOML files: every term by its name, amounts in quotes; and back again."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mintage.capture.pricing.charges import Charge, Model, Tier
from mintage.capture.pricing.terms import FeeEvery, Late, LatePolicy, Prorate, Terms
from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import Message, _
from mintage.core.types import Detail


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TierTable(_Table):
    """``[[charges.tiers]]``."""

    price: str
    up_to: int | None = None
    flat: str = "0"


class ChargeTable(_Table):
    """``[[charges]]``: with one ``price``, or with tiers."""

    unit: str
    model: Model = "unit"
    price: str | None = None
    tiers: list[TierTable] | None = None
    per: int = 1
    included: int = 0
    products: list[str] = []
    soft_limit: int | None = None
    hard_limit: int | None = None

    def charge(self) -> Charge:
        """What the table says.

        Raises:
            ConfigError: a price and tiers, neither, or tiers that cannot be.
        """
        if (self.price is None) == (self.tiers is None):
            raise ConfigError(
                _("The price of {unit} is either one price or tiers.", unit=self.unit),
                remedy=_('Write price = "0.02", or [[charges.tiers]] with a price each.'),
            )
        tiers = self.tiers or [TierTable(price=self.price or "0")]
        return Charge(
            self.unit,
            tuple(Tier(each.price, each.up_to, each.flat) for each in tiers),
            self.model,
            self.per,
            self.included,
            tuple(self.products),
            self.soft_limit,
            self.hard_limit,
        )


class LateTable(_Table):
    """``[late]``."""

    policy: LatePolicy = "next_invoice"
    grace_days: int = 1


class AnswersTable(_Table):
    """``[answers]``."""

    decimals: int | None = None
    top: int | None = None


class TermsTable(_Table):
    """The top of the file; what it leaves out is as ``Terms`` has it."""

    currency: str
    charges: list[ChargeTable] = []
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
    late: LateTable = LateTable()
    rate: str | None = None
    token_rate: str | None = None
    soft_spend_limit: str | None = None
    spend_limit: str | None = None
    prepaid: bool = False
    answers: AnswersTable = AnswersTable()

    def terms(self) -> Terms:
        """What the file says.

        Raises:
            ConfigError: terms that no invoice could follow.
        """
        said = {name: getattr(self, name) for name in type(self).model_fields}
        said["charges"] = tuple(each.charge() for each in self.charges)
        said["late"] = Late(self.late.policy, self.late.grace_days)
        said["answers"] = Detail(self.answers.decimals, self.answers.top)
        return Terms(**said).plainly()


_TABLES: Mapping[str, type[_Table]] = {
    "charges": ChargeTable,
    "tiers": TierTable,
    "late": LateTable,
    "answers": AnswersTable,
}


def read(path: Path) -> Terms:
    """The terms that a TOML file holds.

    Raises:
        ConfigError: no such file, no TOML, an unknown key, or terms that cannot be.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            _("The plan {path} cannot be read: {reason}.", path=path, reason=said_by(error)),
            remedy=_(
                'Write at least currency = "EUR", and [[charges]] with unit = "image" and '
                'price = "0.02"; or write out one that stands: mintage plan show NAME --toml'
            ),
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            _("{path} is not TOML: {reason}.", path=path, reason=error),
            remedy=_("See: mintage plan show NAME --toml"),
        ) from error
    return parse(document, str(path))


def parse(document: object, where: str) -> Terms:
    """The terms of a document as JSON and TOML have them; ``where`` names it in errors.

    Raises:
        ConfigError: an unknown or missing key, a value of a wrong kind, or terms that cannot be.
    """
    try:
        return TermsTable.model_validate(document).terms()
    except ValidationError as error:
        raise _explained(error, where) from error
    except ConfigError as error:
        raise ConfigError(
            _("{where}: {reason}", where=where, reason=error.message), remedy=error.remedy
        ) from error


def written(terms: Terms) -> str:
    """The terms as a TOML file that ``read`` reads back."""
    said = terms.to_json()
    charges, tables = said.pop("charges"), {name: said.pop(name) for name in ("late", "answers")}
    lines = [_assignment(name, value) for name, value in said.items() if value is not None]
    for name, table in tables.items():
        given = [_assignment(key, value) for key, value in table.items() if value is not None]
        lines += ["", f"[{name}]", *given] if given else []
    for charge in charges:
        lines += ["", "[[charges]]"]
        tiers = charge.pop("tiers")
        single = charge["model"] in ("unit", "package") and tiers[0]["flat"] == "0"
        lines += [_assignment(n, value) for n, value in charge.items() if value is not None]
        if single:
            lines.append(_assignment("price", tiers[0]["price"]))
            continue
        for tier in tiers:
            lines.append("[[charges.tiers]]")
            lines += [_assignment(n, value) for n, value in tier.items() if value is not None]
    return "\n".join(lines) + "\n"


def _assignment(name: str, value: Any) -> str:
    # JSON's texts, numbers, truth values and lists of texts are TOML's.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def _explained(error: ValidationError, where: str) -> ConfigError:
    """The first mistake, as a person would say it."""
    mistakes = error.errors()
    # Of a misspelt key both are said: that it is unknown, and that the right one is missing.
    first = next((each for each in mistakes if each["type"] == "extra_forbidden"), mistakes[0])
    *above, key = first["loc"] or ("",)
    names = [each for each in above if isinstance(each, str)]
    table = _TABLES[names[-1]] if names else TermsTable
    place = Message(_heading(above)) if names else _("the top of the file")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(key), table.model_fields, n=1, cutoff=0.5)
        remedy = (
            _("Did you mean {name!r}?", name=near[0])
            if near
            else _("It has: {names}.", names=", ".join(table.model_fields))
        )
        return ConfigError(
            _("{where}: {table} has no {key!r}.", where=where, table=place, key=key),
            remedy=remedy,
        )
    if first["type"] == "missing":
        return ConfigError(
            _("{where}: {table} lacks {name}.", where=where, table=place, name=key),
            remedy=_("Add it: {name} = …", name=key),
        )
    amount = first["type"] == "string_type" and isinstance(first["input"], int | float)
    if amount:
        remedy = _('Write amounts as texts, so that they are exact: "0.02".')
    elif first["type"] == "literal_error":
        words = str(first["ctx"]["expected"]).replace("' or '", "', '").replace("'", '"')
        remedy = _("It is one of: {words}.", words=words)
    else:
        remedy = _("See: mintage plan show NAME --toml")
    return ConfigError(
        _(
            "{where}: {table}: {key} cannot be {given}.",
            where=where,
            table=place,
            key=key or _("the file"),
            given=_shown(first["input"]),
        ),
        remedy=remedy,
    )


def _heading(above: list[int | str]) -> str:
    """As the file heads the table, with its number."""
    names = ".".join(each for each in above if isinstance(each, str))
    numbers = [each + 1 for each in above if isinstance(each, int)]
    return f"[[{names}]] {'.'.join(map(str, numbers))}" if numbers else f"[{names}]"


def _shown(given: Any) -> str:
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"
