"""From tables of names and values to a recipe; what is wrong is named with its table."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from mintage.core.errors import ConfigError
from mintage.core.messages import Message, _
from mintage.create.recipe import Candidate, Recipe
from mintage.create.recipe_words import ABSENT
from mintage.modalities.image.augment import Augmentation

_KINDS: Mapping[Any, str] = {
    Recipe: "recipe",
    Candidate: "candidate",
    Augmentation: "augmentation",
}
_LONGEST_SHOWN = 60


def recipe_of(document: object, where: str) -> Recipe:
    """The recipe that a document describes; ``where`` names its file in errors.

    What the document leaves out has its default; a key without a value is null, or the word that
    ``recipe_words.ABSENT`` has for it.

    Raises:
        ConfigError: an unknown or missing key, a value of a wrong kind or out of its range.
    """
    place = _Place(where, ())
    if not isinstance(document, dict):
        raise place.wants("recipe", _("a table"), document)
    recipe: Recipe = _table(Recipe, document, place)
    return recipe


@dataclass(frozen=True)
class _Place:
    """Where in the file: the names of the tables and the numbers of those that are many."""

    where: str
    path: tuple[str | int, ...]

    def within(self, *path: str | int) -> _Place:
        return _Place(self.where, (*self.path, *path))

    @property
    def table(self) -> str:
        """As the file itself heads it, with its number."""
        match self.path:
            case ("candidates", int(number)):
                return f"[[candidates]] {number}"
            case ("candidates", int(number), "augmentation"):
                return f"[candidates.augmentation] {number}"
        return _("the top of the file")

    def wants(self, key: str, wanted: Message, given: Any) -> ConfigError:
        return ConfigError(
            _(
                "{where}: {table}: {key} must be {wanted}; it is {given}.",
                where=self.where,
                table=self.table,
                key=key,
                wanted=wanted,
                given=shown(given),
            )
        )


def shown(given: Any) -> str:
    """A value as it may stand in a file, cut where it is long."""
    try:
        text = json.dumps(given, ensure_ascii=False)
    except TypeError:  # TOML has dates
        text = str(given)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _table(kind: Any, document: Mapping[str, Any], place: _Place) -> Any:
    """The dataclass that a table holds."""
    fields = {each.name: each for each in dataclasses.fields(kind)}
    for key in document:
        if key not in fields:
            raise _unknown(key, kind, place)
    for name, each in fields.items():
        defaults = {each.default, each.default_factory}
        if name not in document and defaults == {dataclasses.MISSING}:
            raise ConfigError(
                _(
                    "{where}: {table} lacks {name}.",
                    where=place.where,
                    table=place.table,
                    name=name,
                ),
                remedy=_("Add it: {name} = …", name=name),
            )
    hints = get_type_hints(kind)
    values = {
        key: _value(hints[key], given, f"{_KINDS[kind]}.{key}", place)
        for key, given in document.items()
    }
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(
            _("{where}: {reason}", where=place.where, reason=error.message), remedy=error.remedy
        ) from error


def _value(hint: Any, given: Any, key: str, place: _Place) -> Any:
    name = key.partition(".")[2]
    if get_origin(hint) in {Union, types.UnionType}:
        if given is None or given == ABSENT[key]:
            return None
        kind = next(each for each in get_args(hint) if each is not types.NoneType)
        wanted = _('{kind}, or "{absent}"', kind=_wanted(kind), absent=ABSENT[key])
        return _plain(kind, given, wanted, given, name, place)
    if get_origin(hint) is tuple:
        return _many(get_args(hint), given, name, place)
    if hint in _KINDS:
        if not isinstance(given, dict):
            raise place.wants(name, _("a table"), given)
        return _table(hint, given, place.within(name))
    return _plain(hint, given, _wanted(hint), given, name, place)


def _many(hints: tuple[Any, ...], given: Any, name: str, place: _Place) -> tuple[Any, ...]:
    any_number, kind = hints[-1] is Ellipsis, hints[0]
    if kind in _KINDS:
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise place.wants(name, _("one table or more: [[{name}]]", name=name), given)
        numbered = enumerate(given, start=1)
        return tuple(_table(kind, each, place.within(name, number)) for number, each in numbered)
    wanted = _("a list, each {kind}", kind=_wanted(kind))
    if not any_number:
        wanted = _("a list of {count}, each {kind}", count=len(hints), kind=_wanted(kind))
    if not isinstance(given, list) or not (any_number or len(given) == len(hints)):
        raise place.wants(name, wanted, given)
    return tuple(_plain(kind, each, wanted, given, name, place) for each in given)


def _plain(
    kind: type[Any], given: Any, wanted: Message, whole: Any, name: str, place: _Place
) -> Any:
    """One text, truth value or number; a whole number may stand for any. ``whole`` is shown."""
    right: tuple[type[Any], ...] = (int, float) if kind is float else (kind,)
    if not isinstance(given, right) or (isinstance(given, bool) and kind is not bool):
        raise place.wants(name, wanted, whole)
    try:
        value = kind(given)
    except OverflowError as error:  # a whole number beyond all others
        raise place.wants(name, wanted, whole) from error
    if kind is float and not math.isfinite(value):
        raise place.wants(name, wanted, whole)
    return value


def _wanted(kind: type[Any]) -> Message:
    return {
        str: _("a text in quotes"),
        bool: _("true or false"),
        int: _("a whole number"),
        float: _("a number"),
    }[kind]


def _unknown(key: str, kind: Any, place: _Place) -> ConfigError:
    """Name the table that the key belongs to, or the nearest right key."""
    homes: dict[Any, str] = {
        Recipe: _("the top of the file"),
        Candidate: "[[candidates]]",
        Augmentation: "[candidates.augmentation]",
    }
    names = {each: [field.name for field in dataclasses.fields(each)] for each in homes}
    home = next((homes[each] for each in homes if key in names[each]), None)
    near = difflib.get_close_matches(key, names[kind], n=1, cutoff=0.5)
    elsewhere = [
        (name, homes[each])
        for each in homes
        for name in difflib.get_close_matches(key, names[each], n=1, cutoff=0.8)
    ]
    if home is not None:
        remedy = _("It belongs to {table}.", table=home)
    elif near:
        remedy = _("Did you mean {name!r}?", name=near[0])
    elif elsewhere:
        name, table = elsewhere[0]
        remedy = _("Did you mean {name!r}, of {table}?", name=name, table=table)
    else:
        remedy = _("It has: {names}.", names=", ".join(names[kind]))
    return ConfigError(
        _("{where}: {table} has no {key!r}.", where=place.where, table=place.table, key=key),
        remedy=remedy,
    )
