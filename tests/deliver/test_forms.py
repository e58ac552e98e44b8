"""How rows are written: what is read back is what was said, and no spreadsheet computes it."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintage.deliver.forms import CsvForm, Form, JsonLinesForm, Said, Tally, columns
from mintage.sources.listing import well_formed

NAMES = columns(["cats", "dogs"], true_label=True)
FORMS = [CsvForm, JsonLinesForm]


def row(path: str = "a.jpg", label: str | None = "cats", error: str | None = None) -> list[object]:
    known = label is not None
    chances = [0.97, 0.97, 1e-06] if known else [None] * 3
    unusual = None if error else not known
    return [path, label, *chances, unusual, error, "ab" * 32, "pets@1", "dogs"]


def read_csv(form: CsvForm, *rows: list[object]) -> list[dict[str, str]]:
    """By the standard library's reader, not by ours."""
    text = (form.head + b"".join(map(form.encode, rows))).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_the_columns_are_named_and_ordered_and_the_last_is_for_what_is_known() -> None:
    assert NAMES == (
        "path",
        "label",
        "probability",
        "probability_cats",
        "probability_dogs",
        "unusual",
        "error",
        "sha256",
        "model",
        "true_label",
    )
    assert columns(["a"], true_label=False)[-1] == "model"


def test_csv_is_utf_8_without_a_mark_and_ends_its_lines_with_a_line_feed() -> None:
    form = CsvForm(NAMES)
    assert form.head.startswith(b"path,label,")
    line = form.encode(row('猫/1,2 "x".jpg', "cats"))
    assert line.startswith('"猫/1,2 ""x"".jpg",cats,0.97,0.97,1e-06,false,,'.encode())
    assert line.endswith(b",pets@1,dogs\n")


def test_what_is_not_known_is_empty_in_csv_and_null_in_json() -> None:
    [read] = read_csv(CsvForm(NAMES), row(label=None, error="no picture"))
    assert (read["label"], read["probability"], read["unusual"]) == ("", "", "")
    line = json.loads(JsonLinesForm(NAMES).encode(row(label=None, error="no picture")))
    assert (line["label"], line["probability_cats"], line["unusual"]) == (None, None, None)
    assert list(line) == list(NAMES)


@pytest.mark.parametrize("first", "=+-@＝＋－＠")
def test_in_csv_no_text_begins_as_a_formula_does(first: str) -> None:
    [read] = read_csv(CsvForm(NAMES), row(f"{first}1+1.jpg", f"{first}cmd"))
    assert read["path"] == f"'{first}1+1.jpg"
    assert read["label"] == f"'{first}cmd"
    line = json.loads(JsonLinesForm(NAMES).encode(row(f"{first}1+1.jpg")))
    assert line["path"] == f"{first}1+1.jpg"


def test_a_column_of_a_class_is_no_formula_either() -> None:
    assert CsvForm(columns(["=1+1"], true_label=False)).head.split(b",")[3] == b"probability_=1+1"


TEXTS = st.text(max_size=30)


@pytest.mark.parametrize("kind", FORMS)
@given(path=TEXTS, label=st.none() | TEXTS.filter(bool), error=st.none() | TEXTS.filter(bool))
def test_a_line_says_what_the_row_said_whatever_stands_in_it(
    kind: type[Form], path: str, label: str | None, error: str | None
) -> None:
    form = kind(NAMES)
    line = form.encode(row(path, label, error))
    assert line.count(b"\n") == 1
    expected = Said(
        well_formed(path),
        None if label is None else well_formed(label),
        error is None and label is None,
        error is not None,
    )
    assert form.decode(line) == expected
    for end in range(len(line)):
        assert form.decode(line[:end]) is None


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\0" * 40 + b"\n",
        b"a,b\n",
        b"[1]\n",
        b"{}\n",
        b'"a.jpg\n',
        b"\xff\xfe,,,,,,,,,\n",
        b"1" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_line_of_ours_says_nothing(kind: type[Form], line: bytes) -> None:
    assert kind(NAMES).decode(line) is None


def test_a_row_is_counted_once_as_answered_abstained_or_unreadable() -> None:
    tally = Tally()
    for said in (
        Said("a", "dogs", unusual=False, failed=False),
        Said("b", "cats", unusual=False, failed=False),
        Said("c", "cats", unusual=False, failed=False),
        Said("d", None, unusual=True, failed=False),
        Said("e", None, unusual=False, failed=False),
        Said("f", None, unusual=False, failed=True),
    ):
        tally.add(said)
    assert tally.to_json() == {
        "rows": 6,
        "answered": 3,
        "abstained": 2,
        "unusual": 1,
        "unreadable": 1,
        "labels": {"cats": 2, "dogs": 1},
    }
