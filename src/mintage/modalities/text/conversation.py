"""A conversation, as a line of JSON holds it: who said what, and the answers to learn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError
from mintage.core.messages import _

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
MOST_CHARACTERS: Final = 1_000_000
"""Of one conversation: longer ones are whole books, of which no model learns an answer."""

# The names that the common formats have: chat messages, ShareGPT's, pairs, and Alpaca's.
_MESSAGES = ("messages", "conversations", "conversation")
_PROMPTS = ("prompt", "question", "instruction", "问题", "提问", "指令")
_ANSWERS = ("answer", "completion", "response", "output", "回答", "答案", "输出")
_MORE = ("input", "输入")
_ROLES = {
    SYSTEM: SYSTEM,
    USER: USER,
    "human": USER,
    ASSISTANT: ASSISTANT,
    "gpt": ASSISTANT,
    "model": ASSISTANT,
}


@dataclass(frozen=True)
class Message:
    """What ``system``, ``user`` or ``assistant`` says."""

    role: str
    content: str

    def to_json(self) -> dict[str, str]:
        """As chat templates and the API have it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True)
class Conversation:
    """Messages in turn, the last of them an answer."""

    messages: tuple[Message, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON: the same conversation, however it was written, is the same bytes."""
        return canonical_json({"messages": [each.to_json() for each in self.messages]})

    @classmethod
    def from_bytes(cls, data: bytes) -> Conversation:
        """Read what ``to_bytes`` wrote."""
        return cls(tuple(Message(**each) for each in json.loads(data)["messages"]))

    @property
    def opening(self) -> str:
        """What tells apart those that begin otherwise: the SHA-256 of all before the answer."""
        first = next(i for i, each in enumerate(self.messages) if each.role == ASSISTANT)
        said = [each.to_json() for each in self.messages[:first]]
        return sha256_hex(canonical_json(said))

    @property
    def answers(self) -> int:
        """How many answers it holds."""
        return sum(each.role == ASSISTANT for each in self.messages)

    @property
    def characters(self) -> int:
        """How long it is, in characters."""
        return sum(len(each.content) for each in self.messages)


def is_conversation(row: Mapping[str, Any]) -> bool:
    """Whether a line's members are those of a conversation, whatever stands in them."""
    names = {name.casefold() for name in row}
    return bool(names & {*_MESSAGES}) or bool(names & {*_PROMPTS} and names & {*_ANSWERS})


def read(row: Mapping[str, Any]) -> Conversation:
    """The conversation that a line holds: messages, or one prompt and its answer.

    Raises:
        DataError: it cannot be learned from; the reason is the message.
    """
    by_name = {str(name).casefold(): value for name, value in row.items()}
    name = next((each for each in _MESSAGES if each in by_name), None)
    messages = _pair(by_name) if name is None else _listed(by_name[name])
    if name is not None and by_name.get(SYSTEM):
        messages.insert(0, Message(SYSTEM, _text(by_name[SYSTEM])))
    _check(messages)
    return Conversation(tuple(messages))


def _pair(row: Mapping[str, Any]) -> list[Message]:
    prompt = next((each for each in _PROMPTS if each in row), None)
    answer = next((each for each in _ANSWERS if each in row), None)
    if prompt is None or answer is None:
        raise DataError(_("it has neither messages nor a prompt with its answer"))
    parts = [_text(row[prompt]), *(_text(row[name]) for name in _MORE if row.get(name))]
    messages = [Message(SYSTEM, _text(row[SYSTEM]))] if row.get(SYSTEM) else []
    return [
        *messages,
        Message(USER, "\n\n".join(parts)),
        Message(ASSISTANT, _text(row[answer])),
    ]


def _listed(said: object) -> list[Message]:
    if not isinstance(said, Sequence) or isinstance(said, str) or not said:
        raise DataError(_("its messages are not a list"))
    return [_message(each) for each in said]


def _message(said: object) -> Message:
    if not isinstance(said, Mapping):
        raise DataError(_("a message is not an object"))
    role = said.get("role", said.get("from"))
    if role not in _ROLES:
        raise DataError(_("a message is said by {role!r}", role=role))
    if said.get("tool_calls"):
        raise DataError(_("a message calls tools"))
    return Message(_ROLES[role], _text(said.get("content", said.get("value"))))


def _text(said: object) -> str:
    if isinstance(said, str):
        return said
    if isinstance(said, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in said
    ):
        return "".join(part["text"] for part in said)
    raise DataError(_("what is said is not text"))


def _check(messages: Sequence[Message]) -> None:
    """Raise DataError unless people and model speak in turn, and the model last."""
    spoken = [each for each in messages if each.role != SYSTEM]
    if any(each.role == SYSTEM for each in messages[1:]):
        raise DataError(_("a system message stands elsewhere than at its beginning"))
    if not spoken or spoken[-1].role != ASSISTANT:
        raise DataError(_("it does not end with an answer"))
    for position, each in enumerate(spoken):
        if each.role != (USER, ASSISTANT)[position % 2]:
            raise DataError(_("people and model do not speak in turn"))
    if not all(each.content.strip() for each in spoken):
        raise DataError(_("a message is empty"))
    if sum(len(each.content) for each in messages) > MOST_CHARACTERS:
        raise DataError(_("it is longer than {most:,} characters", most=MOST_CHARACTERS))
