"""A file of conversations: a line each, and every line is accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mintage.core.errors import DataError
from mintage.core.types import Skipped
from mintage.sources import conversations
from mintage.sources.conversations import Line, attempt, first_row, lines


def test_each_line_is_an_object_with_its_place_or_left_out_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n'
        + json.dumps({"prompt": "你好"}, ensure_ascii=False).encode("gb18030")
        + b'\n[1]\n{"prompt": \n'
        + b"[" * 100_000
        + b"\n"
    )
    found = list(lines(path))
    assert found[:2] == [
        Line("chats.jsonl:1", {"prompt": "a"}),
        Line("chats.jsonl:3", {"prompt": "你好"}),
    ]
    assert [(each.path, each.reason) for each in found[2:] if isinstance(each, Skipped)] == [
        ("chats.jsonl:4", "not an object"),
        ("chats.jsonl:5", "not JSON"),
        ("chats.jsonl:6", "not JSON"),
    ]


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_without_end_is_left_out_and_never_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    monkeypatch.setattr(conversations, "MOST_LINE_BYTES", 1000)
    path = tmp_path / "chats.jsonl"
    fits = b'{"p": "' + b"x" * 990 + b'"}'
    path.write_bytes(b"y" * 5000 + b"\n" + fits[:-2] + b'"}\n' + b"z" * 3000 + ending)
    found = list(lines(path))
    assert [each.path for each in found if isinstance(each, Skipped)] == [
        "chats.jsonl:1",
        "chats.jsonl:3",
    ]
    assert all("longer than" in each.reason for each in found if isinstance(each, Skipped))
    assert isinstance(found[1], Line)
    assert first_row(path) == {"p": "x" * 990}


def test_what_cannot_be_used_keeps_its_place() -> None:
    def refuse(_row: object) -> str:
        raise DataError("it is empty")

    assert attempt(Line("a:1", {}), refuse) == Skipped("a:1", "it is empty")
    left_out = Skipped("a:2", "not JSON")
    assert attempt(left_out, refuse) is left_out
    assert attempt(Line("a:3", {"x": 1}), dict) == {"x": 1}


def test_the_first_line_is_read_without_the_others(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    long = json.dumps({"prompt": "x" * 200_000})
    path.write_text(f"{long}\nnot json\n")
    assert first_row(path) == {"prompt": "x" * 200_000}
    path.write_text("[]\n")
    assert first_row(path) is None
    path.write_text('[]\nno json\n\n{"prompt": "a"}\n')
    assert first_row(path) == {"prompt": "a"}
    path.write_bytes(b"\xff\xff\xff\n")
    assert first_row(path) is None
    assert first_row(tmp_path / "none.jsonl") is None
    assert first_row(tmp_path) is None


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        list(lines(tmp_path / "none.jsonl"))
