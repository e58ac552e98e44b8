"""Conversations are read in the forms that people have them in, and nothing is guessed."""

from __future__ import annotations

import pytest

from mintage.core.errors import DataError
from mintage.modalities.text.conversation import (
    MOST_CHARACTERS,
    Conversation,
    is_conversation,
    read,
)

HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day"}]


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(each.role, each.content) for each in conversation.messages]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": HELLO},
        {"Messages": HELLO, "id": 7},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}, HELLO[1]]},
        {
            "conversations": [
                {"from": "human", "value": "Hello"},
                {"from": "gpt", "value": "Good day"},
            ]
        },
        {"prompt": "Hello", "completion": "Good day"},
        {"question": "Hello", "answer": "Good day", "source": "desk"},
        {"instruction": "Hello", "input": "", "output": "Good day"},
        {"问题": "Hello", "回答": "Good day"},
    ],
)
def test_every_form_of_one_conversation_is_the_same_conversation(row: dict[str, object]) -> None:
    assert is_conversation(row)
    found = read(row)
    assert said(found) == [("user", "Hello"), ("assistant", "Good day")]
    assert found.to_bytes() == read({"messages": HELLO}).to_bytes()
    assert Conversation.from_bytes(found.to_bytes()) == found


def test_a_system_message_and_an_input_are_kept() -> None:
    row = {"system": "Be brief.", "instruction": "Translate", "input": "猫", "output": "cat"}
    assert said(read(row)) == [
        ("system", "Be brief."),
        ("user", "Translate\n\n猫"),
        ("assistant", "cat"),
    ]
    assert said(read({"system": "Be brief.", "messages": HELLO}))[0] == ("system", "Be brief.")


def test_the_opening_is_all_before_the_first_answer() -> None:
    one = read({"prompt": "Hello", "answer": "Good day"})
    other = read({"prompt": "Hello", "answer": "Hi"})
    third = read({"system": "Be brief.", "prompt": "Hello", "answer": "Hi"})
    assert one.opening == other.opening != third.opening
    assert one.answers == 1
    assert one.characters == len("HelloGood day")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Hello"}, "neither messages nor a prompt"),
        ({"messages": "Hello"}, "not a list"),
        ({"messages": []}, "not a list"),
        ({"messages": ["Hello"]}, "not an object"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "said by 'tool'"),
        ({"messages": HELLO[:1]}, "does not end with an answer"),
        ({"messages": [*HELLO, HELLO[1]]}, "in turn"),
        ({"messages": HELLO[1:]}, "in turn"),
        ({"messages": [*HELLO, {"role": "system", "content": "x"}, *HELLO]}, "system message"),
        ({"messages": [{"role": "user", "content": " "}, HELLO[1]]}, "empty"),
        ({"prompt": 7, "answer": "x"}, "not text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, HELLO[1]]},
            "not text",
        ),
        (
            {"messages": [HELLO[0], {"role": "assistant", "content": "", "tool_calls": [{}]}]},
            "calls tools",
        ),
        ({"prompt": "x" * MOST_CHARACTERS, "answer": "y"}, "longer than"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_its_reason(
    row: dict[str, object], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        read(row)


def test_a_table_of_pictures_is_no_conversation() -> None:
    assert not is_conversation({"path": "a.jpg", "label": "cat"})
    assert not is_conversation({"prompt": "a", "image": "b"})
