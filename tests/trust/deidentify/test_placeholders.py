"""What stands for personal data is that data again, however the answer is cut and written."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.test_check_digits import CARDS, IBANS

from mintage.trust.deidentify.detectors import KINDS, find
from mintage.trust.deidentify.placeholders import Placeholders, StreamedText

VALUES = (
    "ada@example.com", "müller@bücher.de", "13812345678", "+86 138-1234-5678", "(415) 555-2671",
    "010-12345678", "11010519491231002X", "１３８１２３４５６７８", "078-05-1120", "8.8.8.8",
    "2001:db8::8a2e:370:7334", *CARDS[1:], *IBANS,
)  # fmt: skip
PIECES = (
    "[", "]", "【", "】", "[EMAIL_1]", "[EMAIL_", "_1]", "[phone\\_2]", "[CARD_1", "<EMAIL_1>",
    "\\", "\\n", "\\u7535", '"', "{", "}", "\n", " ", "电话", "，", "\ud800", "1", "-", "x",
)  # fmt: skip
TEXTS = st.lists(
    st.sampled_from(PIECES) | st.text(max_size=8).map(lambda text: f" {text} "), max_size=12
).map("".join)
PLANTED = st.lists(
    st.tuples(TEXTS, st.sampled_from(VALUES)).map(lambda each: f"{each[0]} ; {each[1]} ; "),
    max_size=8,
).map("".join)


def replaced(text: str) -> tuple[Placeholders, str]:
    placeholders = Placeholders(KINDS)
    placeholders.keep(text)
    return placeholders, placeholders.replaced(text)


def streamed(placeholders: Placeholders, text: str, cuts: list[int]) -> str:
    stream, said, place = StreamedText(placeholders), [], 0
    for cut in sorted({each % (len(text) + 1) for each in cuts}):
        said.append(stream.feed(text[place:cut]))
        place = cut
    return "".join([*said, stream.feed(text[place:]), stream.rest()])


@given(PLANTED, TEXTS, st.lists(st.integers(0, 10_000), max_size=60))
def test_nothing_planted_leaves_and_its_echo_is_the_original_however_it_is_cut(
    planted: str, more: str, cuts: list[int]
) -> None:
    text = planted + more
    placeholders, left = replaced(text)
    for value in VALUES:
        assert f" ; {value} ; " not in left
    assert find(left, KINDS) == []
    assert placeholders.restored(left) == text
    assert streamed(placeholders, left, cuts) == text


@given(st.lists(st.sampled_from(VALUES), max_size=6), st.sampled_from([" ", ", ", "、", "\n", "|"]))
def test_none_of_several_side_by_side_leaves(values: list[str], between: str) -> None:
    text = between.join(values)
    placeholders, left = replaced(text)
    assert not any(value in left for value in values)
    assert placeholders.restored(left) == text


@given(PLANTED)
@example("[EMAIL_1] ; ada@example.com ; ")
def test_every_single_cut_gives_the_original(text: str) -> None:
    placeholders, left = replaced(text)
    for cut in range(len(left) + 1):
        assert streamed(placeholders, left, [cut]) == text
    assert streamed(placeholders, left, list(range(len(left)))) == text


@given(PLANTED | TEXTS)
def test_a_value_is_the_same_inside_json_as_outside(text: str) -> None:
    for each in find(text, KINDS):
        value = text[each.start : each.end]
        assert json.dumps(value, ensure_ascii=False) == f'"{value}"'


@given(st.lists(st.sampled_from(VALUES), max_size=6), st.booleans())
def test_json_stays_json_and_what_it_says_comes_back(values: list[str], ascii_only: bool) -> None:
    text = json.dumps({"to": [f"\n{value}\t" for value in values], "n": 1}, ensure_ascii=ascii_only)
    placeholders, left = replaced(text)
    assert not any(value in json.dumps(json.loads(left), ensure_ascii=False) for value in values)
    assert json.loads(placeholders.restored(left)) == json.loads(text)
    if not ascii_only:
        assert placeholders.restored(left) == text


def test_the_same_value_has_the_same_placeholder_and_another_another() -> None:
    placeholders, left = replaced("a@x.org, b@x.org, a@x.org, 13812345678")
    assert left == "[EMAIL_1], [EMAIL_2], [EMAIL_1], [PHONE_1]"
    assert placeholders.replaced("b@x.org") == "[EMAIL_2]"
    assert placeholders.counts == {"email": 2, "phone": 1}


def test_what_stands_in_the_text_already_is_no_values() -> None:
    placeholders, left = replaced("What is [EMAIL_1], [email\\_2]? a@x.org")
    assert left == "What is [EMAIL_1], [email\\_2]? [EMAIL_3]"
    assert placeholders.restored("[EMAIL_1] [EMAIL_2] [EMAIL_3] [EMAIL_4]") == (
        "[EMAIL_1] [EMAIL_2] a@x.org [EMAIL_4]"
    )


@pytest.mark.parametrize(
    "written",
    ["[EMAIL_1]", "[email_1]", "[EMAIL\\_1]", "[EMAIL\\\\_1]", "【EMAIL_1】", "［Email_1］"],
)
def test_a_placeholder_is_known_as_models_write_it(written: str) -> None:
    placeholders, __ = replaced("a@x.org")
    assert placeholders.restored(f"To {written}.") == "To a@x.org."
    for cut in range(len(written)):
        assert streamed(placeholders, f"To {written}.", [3 + cut]) == "To a@x.org."


@pytest.mark.parametrize("text", ["[EMAIL_01]", "[EMAIL_12]", "[EMAIL_1", "EMAIL_1]", "[ EMAIL_1]"])
def test_what_is_no_placeholder_of_this_request_is_left(text: str) -> None:
    placeholders, __ = replaced("a@x.org")
    assert placeholders.restored(text) == text


def test_of_a_stream_only_what_may_begin_a_placeholder_waits() -> None:
    placeholders, __ = replaced("a@x.org")
    stream = StreamedText(placeholders)
    parts = ["See [1] and [", "x], [EM", "AIL_", "1", "] or [EMAIL", "S] or ["]
    assert [stream.feed(part) for part in parts] == [
        "See [1] and ", "[x], ", "", "", "a@x.org or ", "[EMAILS] or ",
    ]  # fmt: skip
    assert (stream.rest(), stream.rest()) == ("[", "")


def test_numbers_of_json_become_strings_so_that_it_stays_json() -> None:
    text = '{"a": -13812345678, "b": [4242424242424242], "c": "4242424242424242", "d": 1.5}'
    __, left = replaced(text)
    assert json.loads(left) == {"a": "[PHONE_1]", "b": ["[CARD_1]"], "c": "[CARD_1]", "d": 1.5}
    __, left = replaced("{13812345678}")  # it is none
    assert left == "{[PHONE_1]}"


def test_no_value_is_in_what_is_said_of_it() -> None:
    placeholders, __ = replaced("a@x.org")
    assert "x.org" not in repr(placeholders)
