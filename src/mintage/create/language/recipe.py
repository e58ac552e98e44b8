"""How a language model is fine-tuned: the frozen, complete description."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from mintage.core.errors import ConfigError, said_by
from mintage.core.messages import _

HUB = "hub:"
KIND = "language"
"""What a run's recipe says of itself, where it is of this kind."""
DEFAULT_EPOCHS = 3


@dataclass(frozen=True)
class LanguageRecipe:
    """Low-rank adaptation (Hu et al. 2021, "LoRA") of ``base``, the weights to begin from.

    Beside every linear layer two thin matrices of ``rank`` are learned, whose product counts
    ``alpha / rank`` times; the layer itself stays. A batch holds ``batch_tokens`` tokens, padding
    among them (left open: by the data); a conversation of more than ``longest`` is left out. The
    rate rises over the share ``warmup`` of the training and falls to zero as a cosine. Validation
    data is looked at ``looks`` times; after ``patience`` looks that were no better, training ends,
    and the best weights are kept. It lasts ``epochs``, or ``seconds`` from the start to the signed
    model.
    """

    base: str
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    learning_rate: float = 2e-4
    weight_decay: float = 0.01
    warmup: float = 0.05
    batch_tokens: int | None = None
    longest: int = 2048
    looks: int = 12
    patience: int = 4
    epochs: int | None = None
    seconds: float | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: a value is out of its range.
        """
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is None and name in _OPEN:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise ConfigError(_("{name} is a number, not {value!r}.", name=name, value=value))
            if name not in _SHARES and not isinstance(value, int):
                raise ConfigError(
                    _("{name} is a whole number, not {value!r}.", name=name, value=value)
                )
            if not least <= value <= most:
                raise ConfigError(
                    _(
                        "{name} is {least:g} to {most:g}, not {value:g}.",
                        name=name,
                        least=least,
                        most=most,
                        value=value,
                    )
                )

    def for_data(self, tokens: int) -> Self:
        """With batches that fit so many tokens to learn from: some thirty steps a pass, or more."""
        if self.batch_tokens is not None:
            return self
        return replace(self, batch_tokens=min(_MOST_BATCH, max(_LEAST_BATCH, tokens // _STEPS)))

    @classmethod
    def read(cls, path: Path) -> Self:
        """The recipe of a TOML file, flat: what is left out has its default.

        Raises:
            ConfigError: it cannot be read, or a key or value cannot be.
        """
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(
                _("The recipe {path} cannot be read: {reason}.", path=path, reason=said_by(error))
            ) from error
        except ValueError as error:  # no UTF-8, or no TOML
            raise ConfigError(
                _("The recipe {path} is no TOML: {reason}.", path=path, reason=error)
            ) from error
        if not isinstance(said.get("base"), str):
            raise ConfigError(
                _("The recipe {path} does not say its base.", path=path),
                remedy=_('Write base = "Qwen/Qwen3-0.6B", or a folder.'),
            )
        return cls.from_json(said)

    def to_json(self) -> dict[str, Any]:
        """As the bundle and the run's folder hold it."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: a member is unknown.
        """
        known = {each.name for each in fields(cls)}
        if unknown := sorted(said.keys() - known):
            near = difflib.get_close_matches(unknown[0], sorted(known), n=1)
            raise ConfigError(
                _("{name!r} is not known in a recipe of this kind.", name=unknown[0]),
                remedy=_("Did you mean {near!r}?", near=near[0])
                if near
                else _("There are: {names}.", names=", ".join(sorted(known))),
            )
        return cls(**said)


_OPEN = ("batch_tokens", "epochs", "seconds")
_SHARES = ("dropout", "learning_rate", "weight_decay", "warmup", "seconds")
_LEAST_BATCH, _MOST_BATCH, _STEPS = 512, 4096, 30
_RANGES = (
    ("rank", 1, 1024),
    ("alpha", 1, 4096),
    ("dropout", 0, 0.9),
    ("learning_rate", 1e-7, 1),
    ("weight_decay", 0, 1),
    ("warmup", 0, 0.5),
    ("batch_tokens", 64, 1_000_000),
    ("longest", 16, 1_000_000),
    ("looks", 1, 1000),
    ("patience", 1, 1000),
    ("epochs", 1, 10_000),
    ("seconds", 1, 10**8),
    ("seed", 0, 2**32 - 1),
    ("threads", 1, 1024),
)
