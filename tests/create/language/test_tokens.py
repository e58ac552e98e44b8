"""What a network learns of a conversation: the answers, their ends, and nothing that people say."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny_language_model as tiny

from mintage.core.errors import ConfigError, DataError
from mintage.create.language.tokens import TEMPLATE, Encoded, batches, encode, prepare
from mintage.modalities.hub import transformers
from mintage.modalities.text.conversation import Conversation, Message


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("base"))


@pytest.fixture
def tokenizer(folder: Path) -> Any:
    return transformers().AutoTokenizer.from_pretrained(str(folder))


def spoken(*said: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(
        tuple(Message(roles[position % 2], text) for position, text in enumerate(said))
    )


def learned(tokenizer: Any, encoded: Encoded) -> str:
    chosen = [
        each for each, is_learned in zip(encoded.ids, encoded.learned, strict=True) if is_learned
    ]
    return str(tokenizer.decode(chosen))


def test_every_answer_is_learned_with_its_end_and_no_question(tokenizer: Any) -> None:
    prepare(tokenizer, "tiny")
    encoded = encode(tokenizer, spoken("What are cats?", "No dogs.", "And dogs?", "No cats."))
    assert learned(tokenizer, encoded) == "No dogs.<|over|>\nNo cats.<|over|>\n"
    whole = str(tokenizer.decode(list(encoded.ids)))
    assert "What are cats?" in whole
    assert len(encoded.ids) == len(encoded.learned)
    assert encoded.answers < len(encoded.ids)


def test_a_tokenizer_without_a_template_gets_ours_that_ends_answers(tokenizer: Any) -> None:
    tokenizer.chat_template = None
    prepare(tokenizer, "tiny")
    assert tokenizer.chat_template == TEMPLATE
    encoded = encode(tokenizer, spoken("What are cats?", "No dogs."))
    assert learned(tokenizer, encoded) == "No dogs.<|end|>\n"


def test_of_a_template_that_rewrites_what_came_before_the_last_answer_is_learned(
    tokenizer: Any,
) -> None:
    prepare(tokenizer, "tiny")
    # As those that drop earlier thoughts: the first answer stands otherwise once it goes on.
    tokenizer.chat_template = (
        "{{ messages | length }}:{% for m in messages %}{{ m['content'] }}|{% endfor %}"
    )
    encoded = encode(tokenizer, spoken("What?", "No dogs.", "And?", "No cats."))
    assert learned(tokenizer, encoded).endswith("No cats.|")
    assert encoded.answers >= 1


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.system('touch it-ran') }}",
        "{% include '/etc/passwd' %}",
        "{{ 1 / 0 }}",
        "{% for i in range(10 ** 9) %}{{ i }}{% endfor %}",
        "{{ messages[99]['content'] }}",
        "{{ messages + 1 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ unclosed",
    ],
)
def test_a_template_that_reaches_out_or_fails_is_a_reason_and_runs_nothing(
    tokenizer: Any, template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tokenizer, "tiny")
    tokenizer.chat_template = template
    with pytest.raises(DataError):
        encode(tokenizer, spoken("What are cats?", "No dogs."))
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_cannot_end_an_answer_is_refused(tokenizer: Any) -> None:
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="ends an answer"):
        prepare(tokenizer, "tiny")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(20, 200))
def test_batches_hold_every_conversation_once_and_no_more_than_they_may(
    lengths: list[int], most: int
) -> None:
    examples = [Encoded((0,) * each, (True,) * each, str(at)) for at, each in enumerate(lengths)]
    for chance in (None, random.Random(1)):
        made = list(batches(examples, most, chance))
        assert sorted(each.group for batch in made for each in batch) == sorted(
            each.group for each in examples
        )
        for batch in made:
            padded = len(batch) * max(len(each.ids) for each in batch)
            assert padded <= most or len(batch) == 1
