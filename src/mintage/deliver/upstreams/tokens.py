"""Tokens: what an upstream says it counted, and what is counted here where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeGuard

from mintage.core.errors import DataError, missing_extra
from mintage.core.messages import _
from mintage.core.types import (
    CACHED_INPUT_TOKEN,
    INPUT_TOKEN,
    OUTPUT_TOKEN,
    REQUEST,
    CountedBy,
)

_BYTES_A_TOKEN: Final = 4
"""Of text in UTF-8, where nobody counts: English has 4 to 5, Chinese 3."""
_LEAST_BYTES_A_TOKEN: Final = 2
"""What is reserved goes by this, so that no more is used than was held."""
_PICTURE_TOKENS: Final = 1_500
_MESSAGE_TOKENS: Final = 8
_MOST_TOKENS: Final = 2**40
_MOST_HELD: Final = 10**9
_MOST_CHOICES: Final = 10_000


@dataclass(frozen=True)
class Tokens:
    """What one call used; ``cached`` are among those of the prompt."""

    prompt: int
    output: int
    cached: int = 0
    counted_by: CountedBy = "upstream"

    def quantities(self, priced: Mapping[str, object]) -> dict[str, int]:
        """As an event has them: cached tokens apart where they have a price of their own.

        Of what delivered nothing nothing is counted, so that no sum has it.
        """
        if self is NOTHING:
            return {REQUEST: 1}
        apart = self.cached if CACHED_INPUT_TOKEN in priced else 0
        found = {REQUEST: 1, INPUT_TOKEN: self.prompt - apart, OUTPUT_TOKEN: self.output}
        return found | ({CACHED_INPUT_TOKEN: apart} if apart else {})


NOTHING = Tokens(0, 0, counted_by="")


def said_by_upstream(usage: object) -> Tokens | None:
    """What the member ``usage`` of an answer says; None where it says nothing that can be."""
    if not isinstance(usage, Mapping):
        return None
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens", 0)  # as DeepSeek calls it
    if not (_is_count(prompt) and (output is None or _is_count(output))):
        return None
    return Tokens(prompt, output or 0, min(prompt, cached) if _is_count(cached) else 0)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_TOKENS


class Counter:
    """Counts on our side: by a declared ``tokenizer.json``, or else by length."""

    def __init__(self, tokenizer: str) -> None:
        """``tokenizer`` is its path; empty: there is none.

        Raises:
            DataError: there is no tokenizer in it.
            DependencyDown: the library is not installed.
        """
        self._encode = _tokenizer(tokenizer) if tokenizer else None

    @property
    def counted_by(self) -> CountedBy:
        """What an event says of what was counted so."""
        return "length" if self._encode is None else "tokenizer"

    def prompt(self, body: Mapping[str, Any]) -> int:
        """The tokens of a request's prompt."""
        return sum(self._of(each) for each in _parts(body))

    def text(self, text: str) -> int:
        """The tokens of a text."""
        data = text.encode(errors="replace")
        if self._encode is None:
            return len(data) // _BYTES_A_TOKEN
        return len(self._encode(data.decode(), add_special_tokens=False).ids)

    def _of(self, part: str | int) -> int:
        return part if isinstance(part, int) else self.text(part)


def most_prompt(body: Mapping[str, Any]) -> int:
    """More tokens than a request's prompt is likely to have: what is reserved for it."""
    return sum(
        part
        if isinstance(part, int)
        else -(-len(part.encode(errors="replace")) // _LEAST_BYTES_A_TOKEN)
        for part in _parts(body)
    )


def most_output(body: Mapping[str, Any], otherwise: int, *, embeds: bool = False) -> int:
    """How many tokens an answer has at most, by what was asked; for all of its choices."""
    if embeds:
        return 0
    most = bound_of(body)
    return min(_MOST_HELD, (otherwise if most is None else most) * choices_of(body))


def bound_of(body: Mapping[str, Any]) -> int | None:
    """The tokens that a request bounds each choice by; None where it sets no bound."""
    asked = [_counted(body.get(name)) for name in ("max_completion_tokens", "max_tokens")]
    return max((each for each in asked if each is not None), default=None)


def choices_of(body: Mapping[str, Any]) -> int:
    """How many answers are wanted: for each of its prompts as many as it says."""
    each = max(_counted(body.get("n")) or 1, _counted(body.get("best_of")) or 1)
    prompts = body.get("prompt")
    if isinstance(prompts, list) and not all(type(one) is int for one in prompts):
        each *= len(prompts)
    return min(_MOST_CHOICES, each)


def _counted(value: object) -> int | None:
    """A number that a request says, if it does; some servers take it as a text, too."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        value = int(value)
    return value if _is_count(value) else None


def _parts(body: Mapping[str, Any]) -> Iterator[str | int]:
    """The texts of a prompt, and tokens that are known without them."""
    for message in _list(body.get("messages")):
        yield _MESSAGE_TOKENS
        if isinstance(message, Mapping):
            yield from _texts(message.get("content"))
            yield from _texts(message.get("tool_calls"))
    for name in ("prompt", "input", "tools", "functions"):
        yield from _texts(body.get(name))


def _texts(value: object) -> Iterator[str | int]:
    """Every text in it; a list of numbers is one of tokens, and a picture has many."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if value.get("type") in ("image_url", "input_audio", "file"):
            yield _PICTURE_TOKENS
            return
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        if value and all(type(each) is int for each in value):
            yield len(value)
            return
        for each in value:
            yield from _texts(each)


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


@cache
def _tokenizer(path: str) -> Any:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - an extra's
    except ImportError as error:
        raise missing_extra("tokenizers", "text") from error
    try:
        return Tokenizer.from_file(path).encode
    except Exception as error:  # the library raises no other
        raise DataError(_("There is no tokenizer in {path}.", path=path)) from error
