"""``mintage deidentify``: a text as an upstream gets it, and how much is found at all."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.trust.deidentify.detectors import KINDS


def test_a_text_is_printed_without_what_was_found_in_it(mintage: Terminal) -> None:
    Path("a.txt").write_text(
        "王伟，手机13812345678，车牌京A12345；13812345678\n", encoding="gb18030"
    )
    assert mintage("deidentify", "a.txt") == "王伟，手机[PHONE_1]，车牌[PLATE_1]；[PHONE_1]\n"
    assert "phone 1, plate 1" in mintage.err
    assert mintage.json("deidentify", "a.txt", "--kinds", "plate") == {
        "text": "王伟，手机13812345678，车牌[PLATE_1]；13812345678\n",
        "replaced": {"plate": 1},
    }


def test_lines_of_json_stay_json_and_a_value_is_the_same_in_each(mintage: Terminal) -> None:
    rows = [{"card": 4242424242424242}, {"say": "ada@example.com"}, {"to": "ada@example.com"}]
    Path("a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    printed = [json.loads(each) for each in mintage("deidentify", "a.jsonl").splitlines()]
    assert printed == [{"card": "[CARD_1]"}, {"say": "[EMAIL_1]"}, {"to": "[EMAIL_1]"}]


def test_standard_input_is_read_and_where_nothing_is_found_it_says_so(
    mintage: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nothing here")))
    assert mintage("deidentify", "-") == "nothing here"
    assert "nothing was found" in mintage.err


def test_what_cannot_be_done_is_refused(mintage: Terminal) -> None:
    Path("a.txt").write_bytes(b"\xff\xfe\x00")
    for words, said in (
        (["a.txt"], "no text in UTF-8"),
        (["missing.txt"], "missing.txt cannot be read"),
        ([], "Name a file, or say --recall"),
        (["a.txt", "--recall"], "Name a file, or say --recall"),
        (["a.txt", "--kinds", "name"], "No kind of personal data"),
    ):
        mintage("deidentify", *words, status=2)
        assert said in mintage.err


def test_the_measurement_has_each_kind_in_both_languages_with_its_interval(
    mintage: Terminal,
) -> None:
    found = mintage.json("deidentify", "--recall", "--texts", 2000, "--seed", 5)
    assert (found["texts"], found["seed"]) == (2000, 5)
    assert {(each["kind"], each["language"]) for each in found["kinds"]} == {
        (kind, language) for kind in KINDS for language in ("en", "zh")
    }
    for each in found["kinds"]:
        low, high = each["interval"]
        assert low <= each["recall"] == each["found"] / each["planted"] <= high
    said = mintage("deidentify", "--recall", "--texts", 2000, "--seed", 5)
    assert "In 2,000 texts that were made for this (seed 5)" in said
    assert "It says nothing of other ways" in mintage.err


def test_conversations_are_collected_without_personal_data_and_pictures_need_none(
    mintage: Terminal, tmp_path: Path
) -> None:
    said = [{"prompt": f"Call 1381234567{n}, {n}?", "answer": f"Yes, {n}."} for n in range(10)]
    Path("chats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in said))
    words = ("collect", "chats.jsonl", "--name", "chats", "--home", tmp_path / "home")
    found = mintage.json(*words, "--deidentify", "phone")
    assert found["deidentified"] == {"kinds": ["phone"], "replaced": {"phone": 10}}
    assert "personal data replaced: phone 10" in mintage(*words, "--deidentify", "all")
    assert "none was found" in mintage(*words, "--deidentify", "email")
    assert "personal data" not in mintage(*words)
    mintage(*words, "--deidentify", "names", status=2)
    assert "No kind of personal data" in mintage.err
    Path("photos").mkdir()
    mintage("collect", "photos", "--name", "pets", "--deidentify", "all", status=2)
    assert "--deidentify is for conversations" in mintage.err
