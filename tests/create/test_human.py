"""People's answers: every way of writing them down, and nothing of them lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.errors import DataError
from mintage.create.human import Matched, Picture, Said, Sheet, match, read_sheet

LABELS = ("cats", "dogs")


def said(location: Path) -> set[tuple[str, str, str]]:
    return {(each.picture, each.person, each.answer) for each in read_sheet(location).said}


WANTED = {
    ("cats/1.jpg", "Ada", "cats"),
    ("cats/1.jpg", "王芳", "dogs"),
    ("dogs/2.jpg", "Ada", ""),
    ("dogs/2.jpg", "王芳", "dogs"),
}
WIDE = "path{0}Ada{0}王芳\ncats/1.jpg{0}cats{0}dogs\ndogs/2.jpg{0}{0}dogs\n"
LONG = (
    "person,image,answer\nAda,cats/1.jpg,cats\n王芳,cats/1.jpg,dogs\nAda,dogs/2.jpg,\n"
    "王芳,dogs/2.jpg,dogs\n"
)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("wide.csv", WIDE.format(",").encode()),
        ("wide-excel.csv", WIDE.format(";").encode("utf-8-sig")),
        ("wide.tsv", WIDE.format("\t").encode()),
        ("wide-chinese-windows.csv", WIDE.format(",").replace("path", "路径").encode("gb18030")),
        ("long.csv", LONG.encode()),
        ("long-capitals.csv", LONG.replace("person,image", "Person,Image").encode()),
        ("long-chinese.csv", LONG.replace("person,image,answer", "标注者,图片,答案").encode()),
    ],
)
def test_wide_and_long_tables_say_the_same(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert said(tmp_path / name) == WANTED


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"path": "cats/1.jpg", "Ada": "cats", "王芳": "dogs"},
        {"path": "dogs/2.jpg", "Ada": None, "王芳": "dogs"},
    ]
    (tmp_path / "wide.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert said(tmp_path / "wide.jsonl") == WANTED


def test_what_mintage_label_wrote_is_one_such_file(tmp_path: Path) -> None:
    from mintage.sources.decisions import Decision, Header

    header = Header(classes=("cats", "dogs"))
    lines = [header.to_line()]
    for path, person, label in sorted(WANTED):
        decision = Decision(
            action="label" if label else "skip",
            path=path,
            sha256="0" * 64,
            labeller=person,
            time="2026-11-23T12:00:00Z",
            label=label or None,
        )
        lines.append(decision.to_line())
    (tmp_path / "labels.jsonl").write_bytes(b"".join(lines) + b"torn")
    assert said(tmp_path / "labels.jsonl") == WANTED
    assert "cut short" in read_sheet(tmp_path / "labels.jsonl").skipped[0].reason


def test_lines_that_say_nothing_of_a_picture_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,Ada,\ncats/1.jpg,cats,dogs\n,cats,\n1,2,3,4\n")
    sheet = read_sheet(tmp_path / "a.csv")
    assert [each.answer for each in sheet.said] == ["cats"]
    assert sorted(each.reason for each in sheet.skipped) == [
        "line 2: a column without a name",
        "line 3 names no picture",
        "line 4 has more cells than there are columns",
    ]
    (tmp_path / "b.csv").write_text("path,person,answer\n1.jpg,,cats\n,Ada,cats\n2.jpg,Ada,cats\n")
    sheet = read_sheet(tmp_path / "b.csv")
    assert len(sheet.said) == 1
    assert [each.path for each in sheet.skipped] == ["1.jpg", "line 3"]


def test_two_columns_of_one_name_are_refused_since_one_would_be_lost(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,Ada, Ada\ncats/1.jpg,cats,dogs\n")
    with pytest.raises(DataError, match="names the column 'Ada' twice"):
        read_sheet(tmp_path / "a.csv")


def test_a_table_without_a_picture_is_refused_with_the_names_it_may_have(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("who,what\nAda,cats\n")
    with pytest.raises(DataError, match="who, what") as raised:
        read_sheet(tmp_path / "a.csv")
    assert "sha256" in raised.value.remedy
    with pytest.raises(DataError):
        read_sheet(tmp_path / "missing.csv")


PICTURES = (
    Picture(("cats/1.jpg", "cats/copy of 1.jpg"), "a" * 64, "cats", "a"),
    Picture(("cats/2.jpg",), "b" * 64, "cats", "b"),
    Picture(("dogs/2.jpg",), "c" * 64, "dogs", "c"),
    Picture(("dogs/3.jpg",), "d" * 64, "dogs", "d", unfit="it was learned"),
    Picture(("dogs/café.jpg",), "e" * 64, "dogs", "e"),
)


def matched(*rows: tuple[str, str, str]) -> Matched:
    return match(Sheet("a.csv", tuple(Said(*row) for row in rows)), PICTURES, LABELS)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("cats/1.jpg", 0),
        ("cats/copy of 1.jpg", 0),
        ("A" * 64, 0),
        (r"dogs\2.jpg", 2),
        ("./dogs/2.jpg", 2),
        ("/home/ada/photos/dogs/2.jpg", 2),
        ("1.jpg", 0),
        ("dogs/cafe\u0301.jpg", 4),
    ],
)
def test_a_picture_is_found_by_digest_by_path_and_by_the_end_of_one(
    written: str, place: int
) -> None:
    found = matched((written, "Ada", "dogs"))
    assert [bool(answers) for answers in found.answers] == [n == place for n in range(5)]
    assert found.skipped == []


@pytest.mark.parametrize(
    ("written", "kind", "reason"),
    [
        ("2.jpg", "unknown_picture", "several pictures end like that"),
        ("birds/1.jpg", "unknown_picture", "no such picture"),
        ("jpg", "unknown_picture", "no such picture"),
        ("/", "unknown_picture", "no such picture"),
        ("f" * 64, "unknown_picture", "no such picture"),
        ("dogs/3.jpg", "unfit", "it was learned"),
    ],
)
def test_a_picture_that_cannot_be_meant_is_counted_once_and_listed(
    written: str, kind: str, reason: str
) -> None:
    found = matched((written, "Ada", "dogs"), (written, "Bo", "cats"))
    assert not any(found.answers)
    assert found.left_out[kind] == 1
    assert [(each.path, each.reason) for each in found.skipped] == [(written, reason)]


def test_answers_that_do_not_count_are_counted_and_listed() -> None:
    found = matched(
        ("cats/1.jpg", "Ada", "Cats"),  # however they write capitals
        ("cats/2.jpg", "Ada", ""),
        ("dogs/2.jpg", "Ada", "wolf"),
        ("cats/1.jpg", "Bo", "cats"),
        ("1.jpg", "Bo", "dogs"),
        ("cats/2.jpg", "Bo", "cats"),
        ("cats/2.jpg", "Bo", "cats"),
        ("cats/2.jpg", "notes", "blurred"),
        ("cats/1.jpg", "notes", ""),
    )
    assert found.answers[:3] == [{"Ada": "cats"}, {"Bo": "cats"}, {}]
    assert {kind: count for kind, count in found.left_out.items() if count} == {
        "not_a_person": 1,
        "empty": 1,
        "unknown_class": 1,
        "contradictory": 1,
    }
    assert {each.path for each in found.skipped} == {
        "notes",
        "cats/2.jpg",
        "dogs/2.jpg",
        "cats/1.jpg",
    }


def test_labels_that_differ_in_capitals_alone_are_told_apart() -> None:
    sheet = Sheet("a.csv", (Said("cats/1.jpg", "Ada", "A"), Said("cats/2.jpg", "Ada", "a")))
    found = match(sheet, PICTURES, ("A", "a"))
    assert found.answers[:2] == [{"Ada": "A"}, {"Ada": "a"}]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cats/1.jpg", "1.jpg", "2.jpg", "dogs/3.jpg", "x.jpg", "b" * 64]),
            st.sampled_from(["Ada", "Bo", "notes"]),
            st.sampled_from(["cats", "dogs", "DOGS", "", "wolf"]),
        )
    )
)
def test_each_answer_is_used_or_listed(rows: list[tuple[str, str, str]]) -> None:
    found = matched(*rows)
    listed = {each.path for each in found.skipped}
    used = {
        (name, person)
        for picture, answers in zip(PICTURES, found.answers, strict=True)
        for name in (*picture.names, picture.sha256, "1.jpg")
        for person in answers
        if name != "1.jpg" or "cats/1.jpg" in picture.names
    }
    # What contradicts itself is listed under its picture's own name, whatever it was called.
    own = {
        name: picture.names[0] for picture in PICTURES for name in (*picture.names, picture.sha256)
    }
    for written, person, __ in rows:
        kept = (written, person) in used
        named = {written, own.get(written), "cats/1.jpg"} & listed
        assert kept or person in listed or named
    assert len(found.skipped) == sum(found.left_out.values())


def test_a_file_of_a_header_alone_is_told_that_rows_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "human.csv"
    path.write_text("path,Ada,Bo\n")
    with pytest.raises(DataError, match="no row beneath its header"):
        read_sheet(path)
