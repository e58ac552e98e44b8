"""Recipes as files: TOML with every choice made visible, or the JSON that a run leaves.

The format is ``docs/formats/recipe.md``; whoever changes one changes the other.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _, told
from mintage.create.recipe import Candidate, Recipe
from mintage.create.recipe_reader import recipe_of, shown
from mintage.create.recipe_words import ABSENT, comment
from mintage.modalities.image.augment import Augmentation

FORMAT = 1
ENDINGS = (".toml", ".json")
_TABLES = frozenset({"recipe.candidates", "candidate.augmentation"})
_WIDEST = 40
"""Comments begin in one column, but for keys and values that are longer than this."""


def is_file(recipe: str) -> bool:
    """Whether what was given for ``--recipe`` is a file's name and not a recipe's."""
    return recipe.lower().endswith(ENDINGS) and not recipe.startswith("hub:")


def read(path: Path) -> Recipe:
    """The recipe of a ``.toml`` or ``.json`` file.

    Raises:
        ConfigError: it cannot be read, or is no recipe; with the key that is wrong.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            _("The recipe {path} cannot be read: {reason}.", path=path, reason=said_by(error)),
            remedy=_("Write one with: mintage recipe pets --output FILE"),
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            _("{where} is not UTF-8 text.", where=path),
            remedy=_("Save it as UTF-8, or write it with: mintage recipe pets --output FILE"),
        ) from error
    reader = from_json if path.suffix.lower() == ".json" else from_toml
    return reader(text, where=str(path))


def to_toml(recipe: Recipe, *, header: Sequence[str] = ()) -> str:
    """Every key with what it does, in the reader's language; ``header`` are lines to begin with."""
    lines = [f"# {told(each)}" for each in header]
    lines += [*([""] if header else []), f"format = {FORMAT}", *_table(recipe, "recipe")]
    for candidate in recipe.candidates:
        lines += ["", "[[candidates]]", *_table(candidate, "candidate"), ""]
        lines += [f"[candidates.augmentation]  # {comment('candidate.augmentation')}"]
        lines += _table(candidate.augmentation, "augmentation")
    return "\n".join(lines) + "\n"


def from_toml(text: str, *, where: str) -> Recipe:
    """The recipe that ``to_toml`` wrote, or a person; ``where`` names it in errors.

    Raises:
        ConfigError: no TOML (with the line), or a key or value that cannot be (with its table).
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits too
        raise _not_toml(str(error), where) from error
    found = document.pop("format", FORMAT)
    if found != FORMAT or isinstance(found, bool):
        raise ConfigError(
            _(
                "{where} has the format {found}; this Mintage reads format {format}.",
                where=where,
                found=shown(found),
                format=FORMAT,
            ),
            remedy=_("Upgrade with: pip install --upgrade mintage"),
        )
    return recipe_of(document, where)


def from_json(text: str, *, where: str) -> Recipe:
    """The recipe of a run's ``recipe.json``.

    Raises:
        ConfigError: no JSON, or a key or value that cannot be.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            _("{where} is not JSON: {error}.", where=where, error=error),
            remedy=_("Write it anew with: mintage recipe pets --output FILE"),
        ) from error
    return recipe_of(document, where)


def _not_toml(reason: str, where: str) -> ConfigError:
    remedy = _("Each line is: name = value. Text stands in double quotes.")
    if found := re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", reason, re.DOTALL):
        return ConfigError(
            _(
                "{where} is not TOML at line {line}, column {column}: {reason}.",
                where=where,
                line=found[2],
                column=found[3],
                reason=found[1],
            ),
            remedy=remedy,
        )
    return ConfigError(
        _("{where} is not TOML: {reason}.", where=where, reason=reason), remedy=remedy
    )


def _table(values: Recipe | Candidate | Augmentation, kind: str) -> Iterator[str]:
    """``key = value  # what it does``, a line for each key that is no table of its own."""
    keys = [(each.name, f"{kind}.{each.name}") for each in dataclasses.fields(values)]
    rows = [
        (f"{name} = {_written(getattr(values, name), key)}", comment(key))
        for name, key in keys
        if key not in _TABLES
    ]
    width = max(len(row) for row, __ in rows if len(row) <= _WIDEST)
    yield from (f"{row:<{width}}  # {said}" for row, said in rows)


def _written(value: Any, key: str) -> str:
    """A value as TOML."""
    if value is None:
        return _quoted(ABSENT[key])
    if isinstance(value, str):
        # A folder of the very name that stands for nothing is still a folder.
        return _quoted(f"./{value}" if value == ABSENT.get(key) else value)
    if isinstance(value, tuple):
        return f"[{', '.join(_written(each, key) for each in value)}]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    """A basic string; JSON escapes all that TOML wants escaped but DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
