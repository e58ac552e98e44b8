"""What stands in a labels file, decision by decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mintage.core.errors import DataError
from mintage.sources.book import Book
from mintage.sources.decisions import Decision, Header, parse_line
from mintage.sources.labels import is_labels, parse_labels, read_labels

SHA = {name: f"{number:064x}" for number, name in enumerate(["a.jpg", "b.jpg", "new"], 1)}
FILE = Path("labels.jsonl")


def said(
    labeller: str, path: str, label: str | None = None, action: str = "", sha256: str = ""
) -> Decision:
    action = action or ("skip" if label is None else "label")
    moment = "2026-11-23T12:00:00.000000Z"
    return Decision(action, path, sha256 or SHA[path], labeller, moment, 1.5, label)  # type: ignore[arg-type]


def book(*decisions: Decision) -> Book:
    found = Book()
    for decision in decisions:
        assert found.add(decision)
    return found


def file(*decisions: Decision, classes: tuple[str, ...] = ("good", "bad")) -> bytes:
    return b"".join(line.to_line() for line in (Header(classes), *decisions))


def test_what_is_written_is_read_again() -> None:
    lines = [
        Header(("好", "划痕"), 0.2, "/照片"),
        said("Ada", "a.jpg", "好"),
        said("Ada", "b.jpg"),
        said("Ada", "b.jpg", action="undo"),
        said("Ben", "a.jpg", "划痕", "resolve"),
    ]
    for line in lines:
        assert line.to_line().endswith(b"}\n")
        assert line.to_line().count(b"\n") == 1
        assert parse_line(line.to_line()) == line
    assert "label" not in json.loads(lines[2].to_line())


def test_the_most_frequent_label_wins_and_an_even_split_gives_none() -> None:
    one = book(said("ada", "a.jpg", "good"))
    assert one.final("a.jpg").label == "good"  # type: ignore[union-attr]
    even = book(said("ada", "a.jpg", "good"), said("ben", "a.jpg", "bad"))
    final = even.final("a.jpg")
    assert final is not None
    assert final.label is None
    assert "ada: good, ben: bad" in final.reason
    even.add(said("cleo", "a.jpg", "bad"))
    assert even.final("a.jpg").label == "bad"  # type: ignore[union-attr]
    assert even.is_disputed("a.jpg")


def test_a_resolution_wins_over_any_majority_and_the_latest_over_others() -> None:
    found = book(*(said(name, "a.jpg", "bad") for name in ("ada", "ben")))
    found.add(said("cleo", "a.jpg", "good", "resolve"))
    assert found.final("a.jpg").label == "good"  # type: ignore[union-attr]
    assert not found.is_disputed("a.jpg")
    found.add(said("ben", "a.jpg", "bad", "resolve"))
    assert found.final("a.jpg").label == "bad"  # type: ignore[union-attr]
    assert found.labels("a.jpg") == {"ada": "bad", "ben": "bad"}  # opinions stay independent
    found.add(said("ben", "a.jpg", action="undo"))
    assert found.final("a.jpg").label == "good"  # type: ignore[union-attr]


def test_an_undo_takes_back_the_labellers_own_last_decision() -> None:
    found = book(said("ada", "a.jpg", "good"), said("ben", "a.jpg", "bad"), said("ada", "b.jpg"))
    last = found.last("ada")
    assert last is not None
    assert last.path == "b.jpg"
    assert found.add(said("ada", "b.jpg", action="undo"))
    assert found.final("b.jpg") is None
    assert found.last("ada").path == "a.jpg"  # type: ignore[union-attr]
    assert found.add(said("ada", "a.jpg", action="undo"))
    assert found.last("ada") is None
    assert found.labels("a.jpg") == {"ben": "bad"}
    assert not found.add(said("ada", "a.jpg", action="undo"))


def test_a_skip_is_no_label_and_says_whose() -> None:
    found = book(said("ada", "a.jpg"), said("ben", "a.jpg"))
    final = found.final("a.jpg")
    assert final is not None
    assert (final.label, final.reason) == (None, "skipped by ada, ben")
    found.add(said("cleo", "a.jpg", "good"))
    assert found.final("a.jpg").label == "good"  # type: ignore[union-attr]


def test_what_was_said_of_other_bytes_does_not_count() -> None:
    found = book(said("ada", "a.jpg", "good"), said("ben", "a.jpg", "bad", sha256=SHA["new"]))
    assert found.sha256("a.jpg") == SHA["new"]
    assert found.labels("a.jpg") == {"ben": "bad"}
    assert found.last("ada") is None
    assert not found.add(said("ada", "a.jpg", action="undo"))


def test_lines_that_say_nothing_are_named_and_the_others_count() -> None:
    data = file(said("ada", "a.jpg", "good")) + b"".join(
        [
            b"not json\n",
            b'{"action": "label", "path": "b.jpg"}\n',
            said("ada", "b.jpg", action="label").to_line(),  # without a label
            said("ada", "b.jpg", "good", "skip").to_line(),  # with one
            said("ada", "b.jpg", "go\u202eod").to_line(),
            said("ada", "b.jpg", action="undo").to_line(),
            b"\n",
            said("ada", "b.jpg", "bad").to_line(),
        ]
    )
    found = parse_labels(data, FILE)
    assert [number for number, __ in found.faults] == [3, 4, 5, 6, 7, 8]
    assert "undoes nothing" in found.faults[-1][1]
    assert found.book.final("b.jpg").label == "bad"  # type: ignore[union-attr]


def test_cut_at_any_byte_every_whole_line_counts_and_no_other() -> None:
    decisions = [said("ada", "a.jpg", "good"), said("ada", "b.jpg"), said("ben", "a.jpg", "bad")]
    data = file(*decisions)
    first = data.index(b"\n") + 1
    for cut in range(first, len(data) + 1):
        found = parse_labels(data[:cut], FILE)
        whole = data[:cut].count(b"\n") - 1
        if data[cut : cut + 1] == b"\n":  # whole but for its line feed: an editor's doing
            whole += 1
        wanted = book(*decisions[:whole])
        assert [*found.book] == [*wanted]
        assert [found.book.opinions(path) for path in wanted] == [
            wanted.opinions(path) for path in wanted
        ]
        assert found.whole_bytes <= cut
        assert bool(found.faults) is (found.whole_bytes < cut)


def test_the_last_header_counts_and_a_class_in_use_is_never_lost() -> None:
    data = file(said("ada", "a.jpg", "bad")) + Header(("good", "dent"), 0.5).to_line()
    header = parse_labels(data, FILE).header
    assert header == Header(("good", "dent", "bad"), 0.5)


def test_two_labellers_files_make_one_when_they_are_put_together() -> None:
    ada, ben = file(said("ada", "a.jpg", "good")), file(said("ben", "a.jpg", "bad"))
    found = parse_labels(ada + ben, FILE)
    assert found.faults == ()
    assert found.book.labels("a.jpg") == {"ada": "good", "ben": "bad"}


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 50, b'{"path": "a.jpg", "label": "good"}\n', b'{"mintage": "labels"}\n']
)
def test_another_file_is_not_taken_for_one(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(data)
    assert not is_labels(path)
    with pytest.raises(DataError, match="not a labels file"):
        read_labels(path)


def test_a_file_of_a_newer_mintage_says_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b'{"mintage": "labels", "version": 2, "classes": ["a", "b"]}\n')
    assert is_labels(path)
    with pytest.raises(DataError, match="newer Mintage"):
        read_labels(path)


def test_a_file_from_windows_with_a_mark_and_its_line_ends_is_read(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + file(said("ada", "a.jpg", "good")).replace(b"\n", b"\r\n")
    assert parse_labels(data, FILE).book.labels("a.jpg") == {"ada": "good"}
