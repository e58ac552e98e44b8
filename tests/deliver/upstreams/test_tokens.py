"""What is counted, by whom, and what is held before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mintage.core.errors import DataError
from mintage.deliver.upstreams.tokens import (
    NOTHING,
    Counter,
    Tokens,
    most_output,
    most_prompt,
    said_by_upstream,
)

CHAT = {"messages": [{"role": "user", "content": "four words of text"}]}


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 3}, Tokens(9, 3)),
        ({"prompt_tokens": 9}, Tokens(9, 0)),
        ({"prompt_tokens": 9, "completion_tokens": None}, Tokens(9, 0)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
            Tokens(9, 3, 4),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 5},
            Tokens(9, 3, 5),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 50},
            Tokens(9, 3, 9),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None}, Tokens(9, 3)),
        ({"prompt_tokens": -1, "completion_tokens": 3}, None),
        ({"prompt_tokens": 9.5, "completion_tokens": 3}, None),
        ({"prompt_tokens": True, "completion_tokens": 3}, None),
        ({"prompt_tokens": "9"}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_what_the_upstream_says_is_believed_where_it_can_be(
    usage: object, tokens: Tokens | None
) -> None:
    assert said_by_upstream(usage) == tokens


def test_cached_tokens_are_apart_where_they_have_a_price() -> None:
    tokens = Tokens(12, 5, 4)
    assert tokens.quantities({"input_token": 1, "output_token": 1}) == {
        "request": 1,
        "input_token": 12,
        "output_token": 5,
    }
    assert tokens.quantities({"cached_input_token": 1}) == {
        "request": 1,
        "input_token": 8,
        "cached_input_token": 4,
        "output_token": 5,
    }
    assert NOTHING.quantities({}) == {"request": 1}


@pytest.mark.parametrize(
    ("body", "least"),
    [
        (CHAT, len("four words of text") // 4),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}]}]}, 100),
        (
            {
                "messages": [
                    {"content": [{"type": "image_url", "image_url": {"url": "data:" + "x" * 9999}}]}
                ]
            },
            1000,
        ),
        ({"prompt": "x" * 400}, 100),
        ({"prompt": [1, 2, 3]}, 3),
        ({"prompt": ["x" * 40, "y" * 40]}, 20),
        ({"input": ["x" * 400]}, 100),
        ({"messages": "not a list"}, 0),
        ({"messages": [None, 1, "x"]}, 0),
    ],
)
def test_more_is_held_than_is_counted_by_length(body: dict[str, Any], least: int) -> None:
    assert most_prompt(body) >= Counter("").prompt(body) >= least
    assert Counter("").counted_by == "length"
    assert most_prompt(body) < 3000  # a picture is not counted by its bytes


def test_an_answer_is_held_by_what_was_asked() -> None:
    assert most_output({"max_tokens": 7}, 100) == 7
    assert most_output({"max_completion_tokens": 5, "max_tokens": 7}, 100) == 7
    assert most_output({"max_completion_tokens": None, "max_tokens": 7000}, 100) == 7000
    assert most_output({"n": "4", "best_of": 2, "max_tokens": "7"}, 100) == 28
    assert most_output({"prompt": ["a", "b", "c"], "max_tokens": 7}, 100) == 21
    assert most_output({"prompt": [1, 2, 3], "max_tokens": 7}, 100) == 7
    assert most_output({"max_tokens": 2**40, "n": 2**40}, 100) == 10**9
    assert most_output({"input": "x"}, 100) == 100
    assert most_output({"n": 3, "max_tokens": 7}, 100) == 21
    assert most_output({}, 100) == 100
    assert most_output({"max_tokens": "many", "n": 0}, 100) == 100
    assert most_output({"input": "x"}, 100, embeds=True) == 0


def test_a_declared_tokenizer_counts(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    made.save(str(path))
    counter = Counter(str(path))
    assert (counter.text("one two three"), counter.counted_by) == (3, "tokenizer")
    assert counter.prompt({"prompt": [[1, 2, 3], [4]]}) == 4
    path.with_name("other.json").write_text("{}")
    with pytest.raises(DataError):
        Counter(str(path.with_name("other.json")))
