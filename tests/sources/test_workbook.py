import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.corpus.makers import SHEET, raw_zip, sheet_rows, xlsx
from tests.pictures import jpeg

from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.core.types import SourceListing
from mintage.sources import workbook
from mintage.sources.archive import ZipSource
from mintage.sources.tables import TableSource

image = modalities().get("image")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("猫/一.jpg", "狗/二.jpg", "3.jpg")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(seed))
    return tmp_path


def listed(location: Path, label: str = "label") -> SourceListing:
    assert not ZipSource().matches(location)
    source = TableSource()
    assert source.matches(location)
    return source.list(location, label=label, endings=image.endings, unsupported=image.unsupported)


def written(folder: Path, data: bytes, name: str = "t.xlsx") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def rows_of(rows: str) -> list[tuple[int, list[str]]]:
    return list(workbook.workbook_rows(Path("t.xlsx"), xlsx(rows)))


@pytest.mark.parametrize("name", ["t.xlsx", "T.XLSX", "t.xlsm", "renamed.csv"])
def test_a_workbook_names_paths_and_labels(photos: Path, name: str) -> None:
    rows = sheet_rows([["路径", "类别"], ["猫/一.jpg", "猫"], ["狗/二.jpg", "狗"]])
    listing = listed(written(photos, xlsx(rows), name), "类别")
    assert [(found.path, found.label) for found in listing.examples] == [
        ("狗/二.jpg", "狗"),
        ("猫/一.jpg", "猫"),
    ]
    assert [found.read() for found in listing.examples] == [jpeg(1), jpeg(0)]


def test_cells_are_shown_as_their_sheet_shows_them() -> None:
    rows = (
        '<row r="3"><c r="B3"><v>1</v></c><c r="C3"><v>1.0</v></c><c r="D3"><v>2.5</v></c>'
        '<c r="E3"><v>0.30000000000000004</v></c><c r="F3" t="b"><v>1</v></c>'
        '<c r="G3" s="1"><v>45413</v></c><c r="H3" s="1"><v>45413.5</v></c>'
        '<c r="I3" t="e"><v>#N/A</v></c><c r="J3" t="inlineStr"><is><t>007</t></is></c></row>'
    )
    assert rows_of(rows) == [
        (
            3,
            ["1", "1", "2.5", "0.3", "TRUE", "2024-05-01", "2024-05-01 12:00:00", "", "007"],
        )
    ]


def test_empty_rows_are_passed_over_and_empty_cells_named(photos: Path) -> None:
    rows = (
        '<row r="2"><c r="B2" t="str"><v>path</v></c><c r="C2" t="str"><v>label</v></c></row>'
        '<row r="4"><c r="B4" t="str"><v>3.jpg</v></c><c r="C4"><v>7</v></c></row>'
        '<row r="6"><c r="B6" t="str"><v>猫/一.jpg</v></c></row>'
        '<row r="9"><c r="B9"/><c r="C9"/></row>'
    )
    listing = listed(written(photos, xlsx(rows)))
    assert [(found.path, found.label) for found in listing.examples] == [("3.jpg", "7")]
    assert [(s.path, s.reason) for s in listing.skipped] == [
        ("猫/一.jpg", "line 6 has no path or no label")
    ]


def test_a_sheet_without_the_column_says_which_there_are(photos: Path) -> None:
    rows = sheet_rows([["path", "kind"], ["3.jpg", "x"]])
    with pytest.raises(DataError, match=r"no column 'label'; it has path, kind.*--label"):
        listed(written(photos, xlsx(rows)))


def test_a_hidden_sheet_is_not_the_first(photos: Path) -> None:
    data = xlsx("")
    with zipfile.ZipFile(written(photos, data)) as opened:
        text = opened.read("xl/workbook.xml").decode()
    hidden = text.replace("<sheet ", '<sheet state="hidden" ')
    with pytest.raises(DataError, match="no visible sheet"):
        listed(written(photos, xlsx("", {"xl/workbook.xml": hidden})))


@pytest.mark.parametrize("name", ["t.xls", "t.xlsb", "t.ods", "t.et", "t.numbers"])
def test_a_workbook_of_another_kind_is_named_with_its_remedy(photos: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"a kind that is not read.*save it as XLSX"):
        listed(written(photos, b"\xd0\xcf\x11\xe0" + b"\0" * 600, name))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "a kind that is not read.*without a password"),
        (b"path,label\n", "is not a workbook"),
        (b"", "is not a workbook"),
        (xlsx("")[:-40], "not a readable workbook: it is cut short or damaged"),
        (xlsx("<row>"), "not a readable workbook"),
        (xlsx('<row><c r="?"/></row>'), "not a readable workbook"),
        (raw_zip([(b"cats/1.jpg", jpeg())]), "not a readable workbook"),
        (xlsx("", {SHEET: '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'}), "it declares entities"),
    ],
)
def test_what_is_no_workbook_is_a_clear_error(photos: Path, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        listed(written(photos, data))
    assert "XLSX" in raised.value.remedy


BOMBS = {
    "two corners": xlsx(
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"/></row>'
    ),
    "rows without a place": xlsx('<row r="1048575"><c r="XFC1"/><c/></row><row><c/></row>'),
    "announced strings": xlsx("", {"xl/sharedStrings.xml": '<sst uniqueCount="4294967295"/>'}),
    "announced styles": xlsx("", {"xl/styles.xml": '<styleSheet count="4294967295"/>'}),
    "zeros": xlsx("", {"xl/media.xml": " " * 400_000_000}),
}


def pointing(cells: int, texts: str, cell: str = '<c t="s"><v>0</v></c>') -> bytes:
    """A workbook of so many cells that all point to the first of these texts."""
    rows = f"<row>{cell}</row>" * cells
    return xlsx(rows, {"xl/sharedStrings.xml": f"<sst>{texts}</sst>"})


BOMBS["a text in every cell"] = pointing(20_000, f"<si><t>{'x' * 5_000_000}</t></si>")
BOMBS["a text of two runs in every cell"] = pointing(
    20_000, f"<si><r><t>{'x' * 10**6}</t></r><r><t>{'猫' * 10**6}</t></r></si>"
)


def test_shared_texts_are_read_and_their_cells_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pointing(3, "<si><t>猫狗</t></si><si/>")
    monkeypatch.setattr(workbook, "MOST_TEXT", 18)
    assert [cells for __, cells in workbook.workbook_rows(Path("t"), data)] == [["猫狗"]] * 3
    monkeypatch.setattr(workbook, "MOST_TEXT", 17)
    with pytest.raises(DataError, match="MB of text in them"):
        list(workbook.workbook_rows(Path("t"), data))


def test_a_formula_whose_result_is_shared_is_read() -> None:
    data = pointing(1, "<si><t>cat</t></si>", '<c t="s"><f>A2</f><v>0</v></c>')
    assert list(workbook.workbook_rows(Path("t"), data)) == [(1, ["cat"])]


TEXTS = "<si/><si><t>x</t></si>"


@pytest.mark.parametrize(
    "data",
    [
        pointing(1, TEXTS, '<c t="s"><v><![CDATA[1]]>0</v></c>'),
        pointing(1, TEXTS, '<c t="s"><v>1<!-- -->0</v></c>'),
        pointing(1, TEXTS, '<c t="s"><c/><v>1</v></c>'),
        pointing(1, TEXTS, '<c t="s"><v><si>1</si></v></c>'),
        pointing(1, TEXTS, '<c t="s"><v>2</v></c>'),
        *(
            pointing(1, TEXTS, f'<c t="s"><v>{number}</v></c>')
            for number in ("-1", "+1", " 1", "1 ", "１", "1_0", "1.0", "9" * 20, " ")
        ),
        pointing(1, "<si><si><t>x</t></si></si>"),
        xlsx("", {"xl/sharedStrings.xml": f"<a>{TEXTS}</a>", "xl/SharedStrings.xml": TEXTS[:5]}),
    ],
)
def test_shared_texts_that_could_be_numbered_in_two_ways_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="not a readable workbook"):
        list(workbook.workbook_rows(Path("t"), data))


@pytest.mark.parametrize("name", BOMBS)
def test_a_workbook_that_would_fill_the_memory_is_refused(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, BOMBS[name])
    code = """
import sys
from pathlib import Path
from mintage.core.errors import DataError
from mintage.sources.workbook import workbook_rows
try:
    list(workbook_rows(Path("t.xlsx"), Path(sys.argv[1]).read_bytes()))
except DataError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
    )
    assert "unpacks to more than 300 MB, 10,000,000 cells, or 200 MB of text" in done.stdout


def test_a_mutated_workbook_is_read_or_refused() -> None:
    random_ = random.Random(0)
    rows = sheet_rows([["path", "label"], ["a.jpg", 1], ["b.jpg", 2.5]])
    text = f"<worksheet><sheetData>{rows}</sheetData></worksheet>"
    remedies = []
    for __ in range(400):
        mutated = list(text)
        for __ in range(random_.randint(1, 3)):
            mutated[random_.randrange(len(mutated))] = random_.choice('<>/"=r9AZ ')
        try:
            list(workbook.workbook_rows(Path("t"), xlsx("", {SHEET: "".join(mutated)})))
        except DataError as error:
            remedies.append(error.remedy)
    assert all(remedies)
    assert 50 < len(remedies) < 400


@pytest.mark.parametrize("name", ["t.docx", "t.pptx", "workbook.zip"])
def test_a_document_is_not_taken_for_a_zip_of_class_folders(tmp_path: Path, name: str) -> None:
    location = written(tmp_path, xlsx(""), name)
    assert ZipSource().matches(location)
    with pytest.raises(DataError, match=r"is a document, not a zip of class folders"):
        ZipSource().list(location, label="", endings=image.endings, unsupported=image.unsupported)
