import json
from pathlib import Path

import pytest
from tests.create.light_meter import write_table
from tests.pictures import jpeg, two_classes
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.core.errors import DataError
from mintage.core.settings import load_settings


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "data", count=60)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_columns_are_kept_where_they_are_asked_for_and_nowhere_else(
    table: Path, home: Path
) -> None:
    with App(load_settings(home=home)) as app:
        plain = app.create.collect(table, "plain")
        kept = app.create.collect(table, "kept", columns=["camera"])
    assert all(example.columns == {} for example in plain.examples)
    assert b"columns" not in (plain.folder / "manifest.jsonl").read_bytes()
    cameras = {example.path: example.columns for example in kept.examples}
    assert cameras["photos/000.jpeg"] == {"camera": "old"}
    assert cameras["photos/001.png"] == {"camera": "new"}
    assert plain.version != kept.version
    assert [e.split for e in plain.examples] == [e.split for e in kept.examples]


def test_kept_columns_come_back_from_the_signed_manifest(table: Path, home: Path) -> None:
    with App(load_settings(home=home)) as app:
        kept = app.create.collect(table, "kept", columns=["camera", "hour"])
        again = app.create.dataset("kept")
        lines = (again.folder / "manifest.jsonl").read_text().splitlines()
    assert again.examples == kept.examples
    assert set(json.loads(lines[0])["columns"]) == {"camera", "hour"}


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    table: Path, home: Path, tmp_path: Path
) -> None:
    with App(load_settings(home=home)) as app:
        with pytest.raises(DataError, match="no column 'site'") as refused:
            app.create.collect(table, "kept", columns=["site"])
        assert refused.value.remedy == "There are: camera, hour."
        folder = two_classes(tmp_path / "photos", each=6)
        with pytest.raises(DataError, match="no column 'camera'") as refused:
            app.create.collect(folder, "kept", columns=["camera"])
        assert refused.value.remedy == "Only a table has columns besides path and label."


def test_what_is_added_brings_the_columns_that_the_dataset_has(
    table: Path, home: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "a.jpg").write_bytes(jpeg(900))
    (more / "b.jpg").write_bytes(jpeg(901))
    rows = ["path,label,camera,site", "a.jpg,dark,old,north", "b.jpg,light,,south"]
    (more / "more.csv").write_text("\n".join(rows))
    with App(load_settings(home=home)) as app:
        first = app.create.collect(table, "light", columns=["camera"])
        grown = app.create.grow(more / "more.csv", "light").dataset
        with_site = app.create.grow(more / "more.csv", f"light#{first.version}", columns=["site"])
    columns = {example.path: example.columns for example in grown.examples}
    assert columns["a.jpg"] == {"camera": "old"}
    assert columns["b.jpg"] == {"camera": ""}
    assert columns["photos/000.jpeg"] == {"camera": "old"}
    further = {example.path: example.columns for example in with_site.dataset.examples}
    assert further["b.jpg"] == {"camera": "", "site": "south"}


def test_the_command_line_keeps_columns_by_their_names(
    table: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(capsys, monkeypatch)
    where = ("--home", home)
    terminal("collect", table, "--name", "light", "--keep-columns", "camera, hour", *where)
    with App(load_settings(home=home)) as app:
        assert set(app.create.dataset("light").examples[0].columns) == {"camera", "hour"}
    terminal("collect", table, "--name", "x", "--keep-columns", "site", *where, status=2)
    assert "There is no column 'site' to keep." in terminal.err


def test_a_column_of_numbers_or_nothing_in_json_lines_is_kept_as_text(
    home: Path, tmp_path: Path
) -> None:
    folder = two_classes(tmp_path / "photos", each=6)
    files = sorted(folder.glob("*/*.jpg"))
    lines = [
        {"path": str(f), "label": f.parent.name, "dose": None if n == 0 else n * 1.5, "tag\n": "x"}
        for n, f in enumerate(files)
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with App(load_settings(home=home)) as app:
        kept = app.create.collect(tmp_path / "t.jsonl", "doses", columns=["dose", "tag␊"])
    doses = {example.columns["dose"] for example in kept.examples}
    assert {"", "1.5", "3.0"} <= doses
    assert {example.columns["tag␊"] for example in kept.examples} == {"x"}
