"""What upstreams ask, as a dated file with its source: what nobody states is not guessed."""

from __future__ import annotations

import difflib
import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _
from mintage.deliver.upstreams.declared import Costs

STALE_DAYS: Final = 90
"""After so many days a list is asked to be looked at again."""
_PRICES = ("input", "output", "cached_input", "request")
_HEAD = ("currency", "dated", "source")


def read(path: Path, model: str) -> Costs:
    """What a model costs by a price list in TOML.

    ``currency``, ``dated`` (a day) and ``source`` (a web address) stand at the top, or with a model
    where they differ; ``[models.NAME]`` has ``input`` and ``output``, decimal texts for a million
    tokens, and may have ``cached_input``, and ``request`` for each request.

    Raises:
        ConfigError: no such file, no TOML, a model that is not in it, or what is no price list.
    """
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(
            _("The price list {path} cannot be read: {reason}.", path=path, reason=said_by(error))
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(_("{path} is not TOML: {reason}.", path=path, reason=error)) from error
    where = str(path)
    models = document.pop("models", None)
    if not isinstance(models, dict) or not models:
        raise _wrong(where, _("it has no [models.NAME]"))
    _known(where, document, _HEAD)
    if not isinstance(models.get(model), dict):
        near = difflib.get_close_matches(model, list(models), n=1, cutoff=0.4)
        raise ConfigError(
            _("{path} has no price for {model!r}.", path=where, model=model),
            remedy=_("Did you mean {name!r}?", name=near[0])
            if near
            else _("It has: {names}.", names=", ".join(models)),
        )
    said = models[model]
    _known(where, said, (*_HEAD, *_PRICES))
    return _costs(where, {**document, **said})


def _costs(where: str, said: dict[str, Any]) -> Costs:
    for name in ("currency", "dated", "source", "input", "output"):
        if name not in said:
            raise _wrong(where, _("it does not say {name}", name=name))
    dated, source = said["dated"], said["source"]
    if not isinstance(dated, date) or isinstance(dated, datetime):
        raise _wrong(where, _("dated is a day, such as 2026-11-01"))
    parts = urlsplit(source) if isinstance(source, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise _wrong(where, _("source is where the prices are published: https://…"))
    for name in ("currency", *_PRICES):
        if not isinstance(said.get(name, ""), str):
            raise _wrong(
                where, _('{name} is a text, so that it is exact: {name} = "0.27"', name=name)
            )
    prices = {name: said[name] for name in _PRICES if name in said}
    return Costs(said["currency"], **prices, source=source, dated=dated.isoformat())


def _known(where: str, table: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in table:
        if name not in names:
            raise _wrong(where, _("there is no {name!r}", name=name), names)


def _wrong(where: str, why: object, names: tuple[str, ...] = ()) -> ConfigError:
    return ConfigError(
        _("{path} is no price list: {why}.", path=where, why=why),
        remedy=_("It has: {names}.", names=", ".join(names))
        if names
        else _("It says currency, dated and source, and input and output of each [models.NAME]."),
    )
