"""What people read, in English and Chinese.

A sentence is a template with values: ``_("{path} does not exist.", path=path)``. As a string it is
English, so that what is stored, signed or logged does not depend on who ran it; whoever shows it to
a person calls ``told``, which says it in their language. Catalogues are gettext's, kept with Babel
by ``make messages``.
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache, lru_cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self, cast, get_args

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
DOMAIN = "mintage"
LOCALE_FOLDER = Path(__file__).parent / "locale"

_VARIABLES = ("MINTAGE_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
_LONGEST_STORED = 1000
_chosen: ContextVar[Language | None] = ContextVar("language", default=None)


class Message(str):
    """An English sentence that remembers what it was made from.

    Without values the template is the sentence, braces and all; with values it is filled by
    ``str.format``. A value that is a message itself is said in the same language.
    """

    __slots__ = ("template", "values")

    def __new__(cls, template: str, /, **values: Any) -> Self:
        """Fill the template."""
        message = super().__new__(cls, template.format(**values) if values else template)
        message.template = template
        message.values = values
        return message

    template: str
    values: Mapping[str, Any]


_ = Message
"""The usual short name: it also marks what the catalogue must hold."""


def plural(count: int, one: Message, many: Message, /, **values: Any) -> Message:
    """The one of two templates that is said of so many: ``plural(n, _("a file"), _("{n} files"))``.

    Both are in the catalogue; Chinese says the same of one as of many.
    """
    return Message((one if count == 1 else many).template, **values)


def told(text: str, language: Language | None = None) -> str:
    """The text in a language (default: the current one); what has no translation stays English.

    A sentence that was stored, such as a reason on a dataset's card, is recognised by the template
    that it was made from; to be told as a value of another it is wrapped: ``Message(reason)``.
    """
    language = language or current()
    if language == "en" or not text:
        return str(text)
    if not isinstance(text, Message) or not text.values:
        return _retold(str(text), language)
    translated = _catalogue(language).gettext(text.template)
    values = {
        name: told(value, language) if isinstance(value, Message) else value
        for name, value in text.values.items()
    }
    return translated.format(**values)


def current() -> Language:
    """The language chosen by ``speaking`` or ``choose``, else the environment's."""
    return _chosen.get() or from_environment()


def choose(language: Language | None) -> None:
    """Set the language of this context; None goes back to the environment's."""
    _chosen.set(language)


class speaking:  # noqa: N801 - it is used as a function is
    """Another language for a while: ``with speaking("zh"): …``."""

    def __init__(self, language: Language) -> None:
        self._language: Language = language

    def __enter__(self) -> None:
        self._before = _chosen.set(self._language)

    def __exit__(self, *error: object) -> None:
        _chosen.reset(self._before)


def from_environment() -> Language:
    """``MINTAGE_LANG``, else the locale (``LC_ALL``, ``LC_MESSAGES``, ``LANG``), else English."""
    value = next((found for name in _VARIABLES if (found := os.environ.get(name))), "")
    return language_of(value) or "en"


def language_of(tag: str) -> Language | None:
    """The language that a tag such as ``zh_CN.UTF-8`` or ``en-GB`` means, if it is one of ours."""
    primary = re.split("[-_.@]", tag.strip().lower(), maxsplit=1)[0]
    return cast("Language", primary) if primary in LANGUAGES else None


@lru_cache(maxsize=64)
def accepted(header: str) -> Language:
    """The best of ours for an ``Accept-Language`` header (RFC 9110 §12.5.4), else English."""
    best: tuple[float, Language] = (0.0, "en")
    for part in header.split(","):
        tag, *parameters = part.split(";")
        language = language_of(tag)
        weight = weight_of(parameters)
        if language and weight > best[0]:
            best = (weight, language)
    return best[1]


def weight_of(parameters: list[str]) -> float:
    """How much a part of an ``Accept…`` header is wanted, by its ``q``."""
    for parameter in parameters:
        name, __, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, LOCALE_FOLDER, [language], fallback=True)


def _retold(text: str, language: Language, depth: int = 2) -> str:
    """By the template that it was made from; sentences in it likewise, ``depth`` levels down."""
    catalogue = _catalogue(language)
    if (exact := catalogue.gettext(text)) != text:
        return exact
    if depth == 0 or len(text) > _LONGEST_STORED:
        return text
    for pattern, template in _patterns(language):
        if found := pattern.fullmatch(text):
            values = {
                # A single word is a name: a file called image is not to be translated.
                name: _retold(value, language, depth - 1) if " " in value else value
                for name, value in found.groupdict().items()
            }
            return _slots(template, values)
    return text


@cache
def _patterns(language: Language) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Templates with values, as what recognises them; those with the most own words first."""
    known = getattr(_catalogue(language), "_catalog", {})
    found = []
    for template, translated in known.items():
        if not isinstance(template, str) or "{" not in template:
            continue
        try:
            parsed = Formatter().parse(template)
            fields = [(before, name, spec or "") for before, name, spec, __ in parsed]
        except ValueError:  # braces of its own, such as JSON's: not a template
            continue
        own = sum(len(before) for before, _name, _spec in fields)
        names = [name for _before, name, _spec in fields if name is not None]
        usable = all(name.isidentifier() for name in names) and len(names) == len(set(names))
        if own < 4 or not usable:
            continue
        pattern = "".join(
            re.escape(before) + ("" if name is None else f"(?P<{name}>{_value(spec)})")
            for before, name, spec in fields
        )
        order = (-own, template.startswith("{"))
        found.append((order, re.compile(pattern, re.DOTALL), translated))
    found.sort(key=lambda each: each[0])
    return tuple((pattern, translated) for __, pattern, translated in found)


def _value(specification: str) -> str:
    """What a value looks like in a sentence: a number where it was formatted as one."""
    return r"[-+\d.,e]+?%?" if specification[-1:] in {*"deEfFgG%,"} else ".+?"


def _slots(template: str, values: Mapping[str, str]) -> str:
    """Fill by name alone: the values were formatted when the English was made."""
    return "".join(
        before + ("" if name is None else values[name])
        for before, name, __, __ in Formatter().parse(template)
    )
