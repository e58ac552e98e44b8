"""A file of conversations becomes a dataset as pictures do: signed, versioned, split."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.create.language.conversations import rows, write

from mintage.app.root import App
from mintage.core.errors import ConfigError, DataError
from mintage.core.settings import load_settings
from mintage.create.language.collect import holds_conversations, in_split


@pytest.fixture
def app(tmp_path: Path):
    with App(load_settings(home=tmp_path / "home", threads=1)) as opened:
        yield opened


def test_the_same_conversations_are_the_same_version_however_they_are_written(
    app: App, tmp_path: Path
) -> None:
    said = rows(30)
    one = app.tuning.collect(write(tmp_path / "a.jsonl", said), "chats")
    other = [
        {
            "messages": [
                {"role": "user", "content": each["prompt"]},
                {"role": "assistant", "content": each["answer"]},
            ]
        }
        for each in said
    ]
    two = app.tuning.collect(write(tmp_path / "a.jsonl", other), "chats")
    assert one.version == two.version
    assert one.card["task"] == "text"


def test_nothing_is_dropped_without_being_said(app: App, tmp_path: Path) -> None:
    said = [*rows(30), rows(30)[7], {"prompt": "What?"}]
    app.tuning.collect(write(tmp_path / "chats.jsonl", said), "chats")
    found = app.create.inspect("chats")
    assert found["examples"] == found["answers"] == 30
    assert found["duplicates"] == [{"kept": "chats.jsonl:8", "left_out": ["chats.jsonl:31"]}]
    assert found["skipped"] == [
        {
            "path": "chats.jsonl:32",
            "reason": "it has neither messages nor a prompt with its answer",
        }
    ]
    assert found["splits"] == {"train": 24, "validation": 3, "test": 3}
    with pytest.raises(DataError, match=r"chats.jsonl:32: it has neither"):
        app.tuning.collect(tmp_path / "chats.jsonl", "chats", strict=True)


def test_two_answers_to_one_opening_are_on_one_side(app: App, tmp_path: Path) -> None:
    said = rows(40)
    again = [{**each, "answer": f"I think it is {each['answer']}"} for each in said]
    dataset = app.tuning.collect(write(tmp_path / "chats.jsonl", said + again), "chats")
    sides: dict[str, set[str]] = {}
    for each in dataset.examples:
        sides.setdefault(each.group, set()).add(each.split)
    assert len(dataset.examples) == 80
    assert len(sides) == 40
    assert all(len(side) == 1 for side in sides.values())
    test = {each.opening for each in in_split(app.workspace, dataset, "test")}
    train = {each.opening for each in in_split(app.workspace, dataset, "train")}
    assert not test & train


def test_too_few_conversations_are_refused_with_what_could_not_be_read(
    app: App, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="too few conversations: 3"):
        app.tuning.collect(write(tmp_path / "few.jsonl", rows(3)), "chats")
    with pytest.raises(DataError, match="too few") as refused:
        app.tuning.collect(write(tmp_path / "odd.jsonl", [{"prompt": "a"}]), "chats")
    assert "odd.jsonl:1" in str(refused.value.remedy)


def test_conversations_are_told_from_a_table_of_pictures(tmp_path: Path) -> None:
    assert holds_conversations(write(tmp_path / "chats.jsonl", rows(1)))
    table = write(tmp_path / "table.jsonl", [{"path": "a.jpg", "label": "cat"}])
    assert not holds_conversations(table)


def test_what_is_made_for_classes_says_so_of_conversations(app: App, tmp_path: Path) -> None:
    app.tuning.collect(write(tmp_path / "chats.jsonl", rows(30)), "chats")
    with pytest.raises(ConfigError, match="holds conversations"):
        app.create.train("chats")
    with pytest.raises(ConfigError, match="holds conversations"):
        app.create.grow(tmp_path / "chats.jsonl", "chats")


def test_personal_data_is_replaced_before_anything_is_kept(app: App, tmp_path: Path) -> None:
    card, mail = "4242424242424242", "ada@example.com"
    said = rows(30)
    said[3] = {
        "prompt": f"{said[3]['prompt']} Write to {mail}, card {card}.",
        "answer": f"To {mail}, and to [EMAIL_1].",
    }
    path = write(tmp_path / "chats.jsonl", said)
    dataset = app.tuning.collect(path, "chats", deidentify=("email", "card"))
    assert dataset.card["deidentified"] == {
        "kinds": ["email", "card"],
        "replaced": {"email": 1, "card": 1},
    }
    kept = [
        each.messages
        for split in ("train", "validation", "test")
        for each in in_split(app.workspace, dataset, split)
    ]
    (prompt, answer) = next(each for each in kept if "CARD" in each[0].content)
    assert prompt.content.endswith("Write to [EMAIL_2], card [CARD_1].")
    assert answer.content == "To [EMAIL_2], and to [EMAIL_1]."
    files = [each for each in app.settings.home.rglob("*") if each.is_file()]
    assert len(files) > 30
    for each in files:
        data = each.read_bytes()
        assert mail.encode() not in data, each
        assert card.encode() not in data, each
    assert app.tuning.collect(path, "chats").version != dataset.version
