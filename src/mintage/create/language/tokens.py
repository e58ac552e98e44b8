"""Conversations as token ids, and which of the tokens are answers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jinja2

from mintage.core.errors import ConfigError, DataError
from mintage.core.messages import _
from mintage.modalities.text.conversation import ASSISTANT, Conversation

# For weights whose tokenizer has no template of its own. What ends a message is the token that ends
# an answer, so that the server knows where to stop.
TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ message['role'] + ':\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}"
)


# A template is a program of its maker's, if one in a sandbox: what it can raise is anything.
_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Encoded:
    """A conversation's token ids, and of which of them the network learns to be the next."""

    ids: tuple[int, ...]
    learned: tuple[bool, ...]
    group: str

    @property
    def answers(self) -> int:
        """How many tokens are learned."""
        return sum(self.learned)


def prepare(tokenizer: Any, base: str) -> None:
    """Give a tokenizer what it lacks: a template, and something to pad with.

    Raises:
        ConfigError: it has no token that ends an answer.
    """
    if tokenizer.eos_token is None:
        raise ConfigError(
            _("The tokenizer of {base} has no token that ends an answer.", base=base),
            remedy=_("Choose other weights."),
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if isinstance(tokenizer.chat_template, dict):  # several, by name
        named = tokenizer.chat_template
        tokenizer.chat_template = named.get("default") or next(iter(named.values()), None)
    if not tokenizer.chat_template:
        tokenizer.chat_template = TEMPLATE


def encode(tokenizer: Any, conversation: Conversation) -> Encoded:
    """Every answer is learned, and the token that ends it; what people say is not.

    Where a template writes the beginning of a conversation otherwise once it goes on, its last
    answer alone is learned.

    Raises:
        DataError: the weights' template refuses such a conversation: of some no system message.
    """
    messages = [each.to_json() for each in conversation.messages]
    ids = _ids(tokenizer, messages)
    learned = [False] * len(ids)
    for position, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        before = _ids(tokenizer, messages[:position], answer=True)
        until = _ids(tokenizer, messages[: position + 1])
        if ids[: len(until)] == until and until[: len(before)] == before:
            learned[len(before) : len(until)] = [True] * (len(until) - len(before))
    if not any(learned):
        start = _common(ids, _ids(tokenizer, messages[:-1], answer=True))
        learned[start:] = [True] * (len(ids) - start)
    return Encoded(tuple(ids), tuple(learned), conversation.opening)


def _ids(tokenizer: Any, messages: Sequence[dict[str, str]], *, answer: bool = False) -> list[int]:
    try:
        found: list[int] = tokenizer.apply_chat_template(
            messages, tokenize=True, add_generation_prompt=answer, return_dict=False
        )
    except jinja2.TemplateError as error:
        raise DataError(str(error)) from error
    except _FAULTS as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise DataError(_("the weights' chat template fails: {reason}", reason=reason)) from error
    return found


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with; at least one is left."""
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(other))
    return min(same, len(one) - 1)


def batches(
    examples: Sequence[Encoded], batch_tokens: int, chance: random.Random | None = None
) -> Iterator[list[Encoded]]:
    """Batches of at most so many tokens, padding among them; at least one conversation each.

    Conversations of like length are together, so that little is padded; with ``chance`` both those
    and the batches come in an order of its own, else in theirs.
    """
    order = list(range(len(examples)))
    if chance is not None:
        chance.shuffle(order)
    order.sort(key=lambda position: len(examples[position].ids))
    made: list[list[Encoded]] = []
    for position in order:
        each = examples[position]
        if made and (len(made[-1]) + 1) * len(each.ids) <= batch_tokens:
            made[-1].append(each)
        else:
            made.append([each])
    if chance is not None:
        chance.shuffle(made)
    yield from made
