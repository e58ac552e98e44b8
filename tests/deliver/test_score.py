"""Files in bulk: a row for each, whatever happens in between."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.conftest import ManualClock
from tests.deliver.killed_scorer import is_of
from tests.disks import filled, small_disk
from tests.pictures import jpeg, two_classes

from mintage.app.root import App
from mintage.core.errors import ConfigError, DataError, DependencyDown, NotReady
from mintage.core.machine import available_cores
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.core.types import Answer
from mintage.deliver.score import BATCH, Work, score

ROUNDS = int(os.environ.get("MINTAGE_ROUNDS", "3"))
KILLED = Path(__file__).with_name("killed_scorer.py")
COUNT = 100  # three batches and a part of one
FORMS = ["csv", "jsonl"]
EVERY_FORM = [*FORMS, "parquet"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unsorted pictures; strangers and what cannot be read are among them."""
    folder = tmp_path_factory.mktemp("unsorted")
    sorted_ones = two_classes(tmp_path_factory.mktemp("sorted"), each=COUNT // 2)
    for number, picture in enumerate(sorted(sorted_ones.rglob("*.jpg"))[: COUNT - 4]):
        path = folder / f"{number % 3}/{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg(number) if number % 7 == 0 else picture.read_bytes())
    (folder / "0/broken.jpg").write_bytes(jpeg(7)[:300])
    (folder / "1/no-picture.png").write_text("text")
    (folder / "2/phone.heic").write_bytes(b"not read")
    (folder / "=1+1.jpg").write_bytes(jpeg(500))
    return folder


@pytest.fixture(scope="module")
def app(trained_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    home = shutil.copytree(trained_home, tmp_path_factory.mktemp("scoring") / "home")
    with App(load_settings(home=home, threads=1)) as opened:
        yield opened


def rows_of(table: Path) -> list[dict[str, Any]]:
    if table.suffix == ".csv":
        with table.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream, strict=True))
    if table.suffix == ".jsonl":
        return [json.loads(line) for line in table.read_text("utf-8").splitlines()]
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(table).to_pylist()


def left_beside(table: Path) -> list[str]:
    """What is left of the work on a table."""
    return sorted(path.name for path in table.parent.glob(f"{table.name}?*"))


@pytest.fixture(scope="module")
def whole(
    app: App, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The table of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")

    def table(ending: str) -> Path:
        if ending == "parquet":
            pytest.importorskip("pyarrow")
        path = folder / f"table.{ending}"
        if not path.exists():
            app.deliver.score(pictures, "pets", path)
        return path

    return table


def test_each_picture_has_a_row_in_the_order_of_the_paths_and_none_is_dropped(
    app: App, pictures: Path, tmp_path: Path
) -> None:
    table = tmp_path / "scores.jsonl"
    done = app.deliver.score(pictures, "pets@latest", table)
    rows = rows_of(table)
    files = sorted(p.relative_to(pictures).as_posix() for p in pictures.rglob("*") if p.is_file())
    assert [row["path"] for row in rows] == files
    assert len(rows) == COUNT
    assert {row["model"] for row in rows} == {"pets@1"}
    assert "true_label" not in rows[0]  # the folders 0, 1, 2 are no classes of this model
    errors = {row["path"]: row["error"] for row in rows if row["error"]}
    assert errors == {
        "0/broken.jpg": errors["0/broken.jpg"],
        "1/no-picture.png": "not a JPEG, PNG, WebP, BMP or TIFF picture, but text",
        "2/phone.heic": "HEIC is not read; convert it to JPEG or PNG",
    }
    for row in rows:
        if row["path"] != "2/phone.heic":
            digest = hashlib.sha256((pictures / row["path"]).read_bytes()).hexdigest()
            assert row["sha256"] == digest
        if row["error"]:
            assert (row["label"], row["probability"], row["unusual"]) == (None, None, None)
    counted = {key: done[key] for key in ("rows", "unreadable", "resumed", "hidden", "stray")}
    assert counted == {"rows": COUNT, "unreadable": 3, "resumed": 0, "hidden": 0, "stray": 0}
    assert done["answered"] + done["abstained"] == COUNT - 3
    assert left_beside(table) == []


def test_a_row_says_what_predict_says(app: App, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "scores.jsonl"
    app.deliver.score(pictures, "pets", table)
    rows = [row for row in rows_of(table) if not row["error"]]
    answers = app.create.predict("pets", [pictures / row["path"] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        output = answer["output"]
        assert (row["label"], row["unusual"]) == (output["label"], output["unusual"])
        for label in ("dark", "light"):
            said = (output["probabilities"] or {}).get(label)
            # A batch adds up in another order than a picture alone.
            assert row[f"probability_{label}"] == (
                None if said is None else pytest.approx(said, abs=2e-6)
            )
    assert {row["unusual"] for row in rows} == {True, False}


@pytest.mark.parametrize("ending", EVERY_FORM)
def test_every_form_has_the_same_rows(whole: Callable[[str], Path], ending: str) -> None:
    expected = rows_of(whole("jsonl"))
    found = rows_of(whole(ending))
    if ending == "csv":
        found = [{name: text.removeprefix("'") for name, text in row.items()} for row in found]
        shown = {True: "true", False: "false", None: ""}
        expected = [
            {name: str(shown.get(cell, cell)) for name, cell in row.items()} for row in expected
        ]
    assert found == expected


def test_a_parquet_table_has_types_that_its_readers_need_not_guess(
    whole: Callable[[str], Path],
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    schema = parquet.read_schema(whole("parquet"))
    assert {field.name: str(field.type) for field in schema} == {
        "path": "string",
        "label": "string",
        "probability": "double",
        "probability_dark": "double",
        "probability_light": "double",
        "unusual": "bool",
        "error": "string",
        "sha256": "string",
        "model": "string",
    }


def test_a_folder_of_class_folders_says_the_true_label(
    app: App, trained_home: Path, tmp_path: Path
) -> None:
    photos = shutil.copytree(trained_home.parent / "photos", tmp_path / "photos")
    (photos / "birds").mkdir()  # a class that the model does not know is no less true
    (photos / "birds/1.jpg").write_bytes(jpeg(1))
    (photos / "0.jpg").write_bytes(jpeg(2))
    app.deliver.score(photos, "pets", tmp_path / "scores.jsonl")
    said = {row["path"]: row["true_label"] for row in rows_of(tmp_path / "scores.jsonl")}
    assert said["dark/000.jpg"] == "dark"
    assert said["birds/1.jpg"] == "birds"
    assert said["0.jpg"] is None


def test_a_tables_column_says_the_true_label_and_one_that_is_not_there_is_refused(
    app: App, pictures: Path, tmp_path: Path
) -> None:
    source = pictures.parent / "table.csv"
    source.write_text(f"path,truth\n{pictures.name}/0/000.jpg,Nacht\n{pictures.name}/0/003.jpg,\n")
    app.deliver.score(source, "pets", tmp_path / "scores.jsonl", label="truth")
    rows = rows_of(tmp_path / "scores.jsonl")
    assert [row["true_label"] for row in rows] == ["Nacht", None]
    with pytest.raises(DataError, match="no label in a column 'true'"):
        app.deliver.score(source, "pets", tmp_path / "other.jsonl", label="true")


def test_a_zip_gives_the_rows_of_its_folder(
    app: App, pictures: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    source = shutil.make_archive(str(tmp_path / "pictures"), "zip", pictures)
    app.deliver.score(source, "pets", tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_bytes() == whole("csv").read_bytes()


def test_nothing_to_score_is_said_and_nothing_is_written(app: App, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("no picture")
    with pytest.raises(DataError, match="Nothing readable"):
        app.deliver.score(tmp_path / "empty", "pets", tmp_path / "scores.csv")
    with pytest.raises(DataError, match="does not exist"):
        app.deliver.score(tmp_path / "nowhere", "pets", tmp_path / "scores.csv")
    assert list(tmp_path.glob("scores*")) == []


class Slow:
    """A provider that says how many pictures are decoded and not yet answered."""

    def __init__(self, app: App) -> None:
        self.real = app.create.predictor("pets")
        self.info = self.real.info
        self.lock = threading.Lock()
        self.decoded = self.answered = self.most = 0
        self.batches: list[int] = []
        self.fault: BaseException | None = None

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        pixels = self.real.decode(data)
        with self.lock:
            self.decoded += 1
            self.most = max(self.most, self.decoded - self.answered)
        return pixels

    def infer(self, inputs: NDArray[np.uint8]) -> list[Answer]:
        if self.fault is not None and len(self.batches) == 2:
            raise self.fault
        self.batches.append(len(inputs))
        with self.lock:
            self.answered += len(inputs)
        return self.real.infer(inputs)

    def score(self, source: Path, table: Path, **options: Any) -> dict[str, Any]:
        work = Work(self, ("dark", "light"), source)
        given = {"force": False, "progress": Silent(), "clock": ManualClock()} | options
        return score(work, table, **given)


@pytest.mark.parametrize("count", [200, 1600])
def test_what_is_in_flight_is_bounded_whatever_the_number_of_pictures(
    app: App, tmp_path: Path, count: int
) -> None:
    """By what every core may have ahead, and the batch that is being answered."""
    source = tmp_path / "many"
    source.mkdir()
    (source / "0.jpg").write_bytes(jpeg(1))
    for number in range(1, count):
        os.link(source / "0.jpg", source / f"{number}.jpg")
    slow = Slow(app)
    assert slow.score(source, tmp_path / "scores.csv")["rows"] == count
    assert slow.batches == [BATCH] * (count // BATCH) + [count % BATCH] * bool(count % BATCH)
    assert slow.most <= available_cores() * 8 * 4 + 2 * BATCH


@pytest.mark.parametrize("ending", EVERY_FORM)
@pytest.mark.parametrize("how", ["step", "write", "rename"])
def test_a_run_killed_at_any_moment_goes_on_to_the_table_of_one_that_was_not(
    app: App, pictures: Path, whole: Callable[[str], Path], tmp_path: Path, ending: str, how: str
) -> None:
    expected = whole(ending)
    chance = random.Random(f"{ending} {how}")
    most = {"step": COUNT // 8, "write": COUNT // BATCH + 1, "rename": 1}[how]
    for round_number in range(ROUNDS if how != "rename" else 1):
        table = tmp_path / f"{round_number}.{ending}"
        words = [app.workspace.home, pictures, table, how, chance.randint(1, most)]
        command = [sys.executable, str(KILLED), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == -9, done.stderr
        assert not table.exists()
        begun = (table.parent / f"{table.name}.part").exists()
        told = app.deliver.score(pictures, "pets", table)
        assert told["resumed"] % BATCH == 0 or told["resumed"] == COUNT
        assert begun or told["resumed"] == 0
        assert told == app.deliver.score(pictures, "pets", table, force=True) | {
            "resumed": told["resumed"]
        }
        assert left_beside(table) == []
        if ending == "parquet":
            assert rows_of(table) == rows_of(expected)
        else:
            assert table.read_bytes() == expected.read_bytes()


def broken_off(app: App, pictures: Path, table: Path) -> Slow:
    """Two batches are there when the third fails."""
    slow = Slow(app)
    slow.fault = ArithmeticError("the third batch")
    with pytest.raises(ArithmeticError):
        slow.score(pictures, table)
    assert left_beside(table) == [f"{table.name}.part", f"{table.name}.part.json"]
    return slow


def test_a_run_goes_on_without_asking_again_for_what_is_there(
    app: App, pictures: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    broken_off(app, pictures, table)
    slow = Slow(app)
    assert slow.score(pictures, table)["resumed"] == 2 * BATCH
    assert slow.answered == COUNT - 3 - 2 * BATCH + 1  # one of the first two batches is unreadable
    assert table.read_bytes() == whole("csv").read_bytes()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b"0/half",
        lambda data: data[:-1],
        lambda data: data[:-200] + bytes(200),
        lambda data: data.replace(b"0/006.jpg", b"0/600.jpg"),
        lambda data: data[40:],
        lambda data: b"\0" * len(data),
    ],
)
@pytest.mark.parametrize("ending", FORMS)
def test_rows_that_the_power_took_are_made_again(
    app: App,
    pictures: Path,
    whole: Callable[[str], Path],
    tmp_path: Path,
    ending: str,
    spoil: Callable[[bytes], bytes],
) -> None:
    table = tmp_path / f"table.{ending}"
    broken_off(app, pictures, table)
    part = tmp_path / f"table.{ending}.part"
    part.write_bytes(spoil(part.read_bytes()))
    app.deliver.score(pictures, "pets", table)
    assert table.read_bytes() == whole(ending).read_bytes()


def touched(folder: Path) -> None:
    os.utime(folder / "0/003.jpg", (1, 1))


@pytest.mark.parametrize(
    "change",
    [
        touched,
        lambda folder: (folder / "0/003.jpg").unlink(),
        lambda folder: (folder / "2/zzz.jpg").write_bytes(jpeg(3)),
        lambda folder: (folder / "0/003.jpg").write_bytes(jpeg(3)),
        lambda folder: (folder / "0/003.jpg").rename(folder / "0/004.jpg"),
    ],
)
def test_rows_of_a_source_that_changed_are_refused_and_begun_anew_with_force(
    app: App, pictures: Path, tmp_path: Path, change: Callable[[Path], Any]
) -> None:
    source = shutil.copytree(pictures, tmp_path / "source")
    table = tmp_path / "table.csv"
    broken_off(app, source, table)
    before = (tmp_path / "table.csv.part").read_bytes()
    change(source)
    with pytest.raises(ConfigError, match="the source has changed") as refused:
        app.deliver.score(source, "pets", table)
    assert "--force" in refused.value.remedy
    assert (tmp_path / "table.csv.part").read_bytes() == before
    said: list[str] = []
    progress = Silent()
    progress.say = said.append  # type: ignore[method-assign, assignment]
    done = app.deliver.score(source, "pets", table, force=True, progress=progress)
    assert done["resumed"] == 0
    assert "begins anew: the source has changed" in said[0]
    app.deliver.score(source, "pets", tmp_path / "again.csv")
    assert table.read_bytes() == (tmp_path / "again.csv").read_bytes()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("model", "pets@7", "it was begun with pets@7, this is pets@1"),
        ("bundle", "0" * 64, "it was begun with pets@1"),
        ("columns", ["path"], "other columns"),
        ("mintage", "0.0.1", "Mintage 0.0.1 began it"),
        ("format", 2, "is not known"),
    ],
)
def test_rows_of_another_model_version_or_form_are_refused(
    app: App, pictures: Path, tmp_path: Path, field: str, value: object, reason: str
) -> None:
    table = tmp_path / "table.csv"
    broken_off(app, pictures, table)
    notes = tmp_path / "table.csv.part.json"
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {field: value}))
    with pytest.raises(ConfigError, match=reason):
        app.deliver.score(pictures, "pets", table)


def test_rows_without_their_notes_are_nobodys(app: App, pictures: Path, tmp_path: Path) -> None:
    broken_off(app, pictures, tmp_path / "table.csv")
    (tmp_path / "table.csv.part.json").unlink()
    with pytest.raises(ConfigError, match="is not known"):
        app.deliver.score(pictures, "pets", tmp_path / "table.csv")


def test_a_table_that_is_there_is_replaced_only_with_force_and_only_by_a_whole_one(
    app: App, pictures: Path, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("somebody's own\n")
    with pytest.raises(ConfigError, match="is there already") as refused:
        app.deliver.score(pictures, "pets", table)
    assert "--force" in refused.value.remedy
    slow = Slow(app)
    slow.fault = ArithmeticError("the third batch")
    with pytest.raises(ArithmeticError):
        slow.score(pictures, table, force=True)
    assert table.read_text() == "somebody's own\n"
    told = app.deliver.score(pictures, "pets", table, force=True)  # the same command goes on
    assert told["resumed"] == 2 * BATCH
    assert table.read_bytes() == whole("csv").read_bytes()


@pytest.mark.parametrize("name", ["scores.txt", "scores", "scores.xlsx", "scores.csv.gz"])
def test_a_table_of_another_kind_is_refused_with_those_there_are(
    app: App, pictures: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match="no name for a table") as refused:
        app.deliver.score(pictures, "pets", tmp_path / name)
    assert ".csv, .jsonl or .parquet" in refused.value.remedy


def test_what_cannot_be_a_table_is_refused_before_anything_is_read(
    app: App, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="not a regular file"):
        app.deliver.score(pictures, "pets", tmp_path / "folder.csv", force=True)
    with pytest.raises(ConfigError, match="There is no folder"):
        app.deliver.score(pictures, "pets", tmp_path / "nowhere/scores.csv")


def test_two_at_once_do_not_write_the_same_table(app: App, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    first, held = Slow(app), threading.Event()
    begun = threading.Event()
    real = first.infer

    def waiting(inputs: NDArray[np.uint8]) -> list[Answer]:
        begun.set()
        held.wait(30)
        return real(inputs)

    first.infer = waiting  # type: ignore[method-assign]
    thread = threading.Thread(target=first.score, args=(pictures, table))
    thread.start()
    try:
        assert begun.wait(30)
        with pytest.raises(NotReady, match="another process"):
            Slow(app).score(pictures, table)
    finally:
        held.set()
        thread.join(30)
    assert len(rows_of(table)) == COUNT


@pytest.mark.parametrize("ending", EVERY_FORM)
@pytest.mark.parametrize("leaving", [0, 8_000])
def test_a_full_disk_is_said_and_the_same_command_goes_on_once_there_is_room(
    app: App,
    pictures: Path,
    whole: Callable[[str], Path],
    tmp_path: Path,
    ending: str,
    leaving: int,
) -> None:
    expected = whole(ending)
    with small_disk(tmp_path / "disk", 4) as disk:
        table = disk / f"table.{ending}"
        with filled(disk, leaving), pytest.raises(DependencyDown, match="No space left") as full:
            app.deliver.score(pictures, "pets", table)
        assert "Make room" in full.value.remedy
        assert not table.exists()
        app.deliver.score(pictures, "pets", table)
        assert left_beside(table) == []
        assert rows_of(table) == rows_of(expected)


def test_a_write_that_fails_half_way_leaves_whole_rows_alone(
    app: App,
    pictures: Path,
    whole: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Played, for those who may not mount a disk."""
    import errno

    written: list[int] = []

    def half(descriptor: int, data: Any) -> int:
        if not is_of(descriptor, tmp_path / "table.csv.part"):
            return write(descriptor, data)
        written.append(len(data))
        if len(written) == 3:
            return write(descriptor, bytes(data)[:100])
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    write, table = os.write, tmp_path / "table.csv"
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(DependencyDown, match="No space left"):
        app.deliver.score(pictures, "pets", table)
    monkeypatch.undo()
    assert (tmp_path / "table.csv.part").read_bytes().count(b"\n") == 2 * BATCH + 1
    assert app.deliver.score(pictures, "pets", table)["resumed"] == 2 * BATCH
    assert table.read_bytes() == whole("csv").read_bytes()


def test_a_model_that_says_no_more_than_it_must_is_scored_too(
    app: App, pictures: Path, tmp_path: Path
) -> None:
    """A task's output may lack what others have."""
    slow = Slow(app)
    infer = slow.infer
    slow.infer = lambda inputs: [  # type: ignore[method-assign]
        replace(answer, output={"label": answer.output["label"]}) for answer in infer(inputs)
    ]
    slow.score(pictures, tmp_path / "scores.jsonl")
    rows = [row for row in rows_of(tmp_path / "scores.jsonl") if row["label"]]
    assert rows
    assert {(row["probability"], row["unusual"]) for row in rows} == {(None, None)}


def test_scoring_loads_no_torch_and_for_csv_no_pyarrow(
    app: App, pictures: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['pyarrow'] = None\n"
        "from pathlib import Path; import mintage; from mintage.core.errors import DependencyDown\n"
        "home, source, out = sys.argv[1:]\n"
        "print(mintage.score(source, model='pets', out=out + '/a.csv', home=home)['rows'])\n"
        "try: mintage.score(source, model='pets', out=out + '/a.parquet', home=home)\n"
        "except DependencyDown as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(app.workspace.home), str(pictures), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, refused = done.stdout.splitlines()
    assert rows == str(COUNT)
    assert "pip install 'mintage[parquet]'" in refused
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
