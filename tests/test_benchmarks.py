"""The programs that measure cannot rot: they list, resume, judge and render, on small numbers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from benchmarks import common, more_pictures, neighbours, page, program, train, training_page
from benchmarks.contests import CELLS, Cell, Lab, Scale, Side, Turn
from benchmarks.figures import at_least, at_most, seconds, share
from benchmarks.kept import Kept

from mintage.modalities.image.modality import ImageModality
from tests.kept_results import MACHINE, page_of
from tests.pictures import two_classes


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "waiting", lambda: 0.0)


def _cell(measured: list[str], stops_at: int | None = None) -> Cell:
    def measure(turn: Turn, name: str) -> dict[str, Any]:
        if len(measured) == stops_at:
            raise KeyboardInterrupt
        measured.append(f"{name} {turn.seed}")
        return {"earlier": sorted(turn.earlier)}

    sides = [Side(name, partial(measure, name=name), 1) for name in ("ours", "theirs")]
    return Cell("a-cell", "two sides", lambda __: sides)


def test_every_cell_is_listed_with_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    train.PROGRAM.run(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [cell.name for cell in CELLS]


def test_every_cell_has_a_section_on_the_page() -> None:
    assert {cell.name for cell in CELLS} == set(training_page.CHAPTER.sections)


def test_a_cell_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SystemExit, match="loading"):
        train.PROGRAM.run(["--only", "laoding"])


@pytest.mark.usefixtures("_at_once")
def test_sides_take_turns_seed_by_seed(tmp_path: Path) -> None:
    measured: list[str] = []
    kept = Kept.begin(tmp_path / "a-cell.json", MACHINE)
    program.measure(_cell(measured), kept, Lab(tmp_path, Scale()), runs=2)
    assert measured == ["ours 0", "theirs 0", "ours 1", "theirs 1"]
    assert [each["earlier"] for each in kept.of("theirs")] == [["ours"], ["ours"]]


@pytest.mark.usefixtures("_at_once")
def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path, lab = tmp_path / "a-cell.json", Lab(tmp_path, Scale())
    measured: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        program.measure(_cell(measured, stops_at=3), Kept.begin(path, MACHINE), lab, runs=2)
    assert len(json.loads(path.read_text())["repetitions"]) == 3
    program.measure(_cell(measured), Kept.begin(path, MACHINE), lab, runs=2)
    assert measured == ["ours 0", "theirs 0", "ours 1", "theirs 1"]


@pytest.mark.usefixtures("_at_once")
def test_a_process_that_fails_ends_its_cell_alone(tmp_path: Path) -> None:
    def fails(__: Turn) -> dict[str, Any]:
        return common.script("no_such_script")

    kept = Kept.begin(tmp_path / "a-cell.json", MACHINE)
    cell = Cell("a-cell", "one side", lambda __: [Side("ours", fails, 1)])
    assert not program.measured(cell, kept, Lab(tmp_path, Scale()), runs=1)
    assert kept.repetitions == []


@pytest.mark.usefixtures("_at_once")
def test_a_cell_that_is_long_in_itself_is_measured_once(tmp_path: Path) -> None:
    measured: list[str] = []
    cell = replace(_cell(measured), most_runs=1)
    kept = Kept.begin(tmp_path / "a-cell.json", MACHINE)
    program.measure(cell, kept, Lab(tmp_path, Scale()), runs=3)
    assert measured == ["ours 0", "theirs 0"]


@pytest.mark.usefixtures("_at_once")
def test_results_that_are_kept_elsewhere_leave_the_page_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "DATA", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    tried = program.Program("", [_cell([])], lambda *__: Lab(tmp_path, Scale()), lambda: MACHINE)
    tried.run(["--quick", "--results", str(tmp_path / "elsewhere")])
    kept = Kept.read(tmp_path / "elsewhere" / "a-cell.json")
    assert kept.sides == ["ours", "theirs"]
    assert not (tmp_path / "page.md").exists()


def test_results_of_another_machine_are_not_continued(tmp_path: Path) -> None:
    kept = Kept.begin(tmp_path / "a-cell.json", MACHINE)
    kept.add({"side": "ours", "seed": 0, "result": {}})
    with pytest.raises(SystemExit, match="another machine"):
        Kept.begin(kept.path, {**MACHINE, "cores": 64})


def test_a_busy_machine_is_recorded_as_one() -> None:
    before = neighbours.Usage(wall=10.0, everybody=100.0, ours=5.0)
    after = neighbours.Usage(wall=20.0, everybody=125.0, ours=20.0)
    assert neighbours.others(before, after) == pytest.approx(1.0)
    assert "1.00 meanwhile" in neighbours.warning(0.0, neighbours.others(before, after))
    assert neighbours.warning(0.1, 0.1) == ""


def test_a_target_is_reached_by_the_median() -> None:
    assert at_most("a ratio", [0.5, 0.61, 0.9], seconds, 0.6).reached is False
    assert at_most("a ratio", [0.5, 0.59, 0.9], seconds, 0.6).reached is True
    assert at_least("a share", [0.7, 0.75, 0.8], share, 0.75).reached is True
    row = at_least("a share", [0.7, 0.75, 0.8], share, 0.75).row()
    assert row == "| a share | 3 | 75.0% (70.0% to 80.0%) | at least 75.0% | reached |"


def _step(each: float, pictures: int, memory: float) -> dict[str, Any]:
    peak = {"anonymous": memory, "resident": 2 * memory}
    return {"seconds": each * pictures, "examples": pictures, "peak": peak}


def _grown(pictures: int, each: float, memory: float) -> dict[str, Any]:
    index = _step(0.0, pictures, 50e6 + 700 * pictures)
    steps = {name: _step(each, pictures, memory) for name in ("collect", "prepare", "train")}
    return {**steps, "index": index}


def _script(wall: float, accuracy: float, **more: Any) -> dict[str, Any]:
    phases = {"import": 2.0, "fit": wall - 3}
    return {"wall": wall, "done": wall - 0.5, "phases": phases, "accuracy": accuracy, **more}


SAMPLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "same-network": {
        "mintage": [
            _script(10, 0.72, stages={"train: Training": 4.0}),
            _script(11, 0.73, stages={}),
        ],
        "keras": [_script(20, 0.71), _script(20, 0.72)],
    },
    "time-to-accuracy": {
        "mintage 2 s": [_script(5, 0.73)],  # by chance: what trained longer has less
        "mintage 3 s": [_script(6, 0.70)],
        "mintage 4 s": [_script(9, 0.75)],
        "keras": [_script(20, 0.72)],
    },
    "equal-time": {
        "keras": [_script(18, 0.72)],
        "mintage": [_script(17.5, 0.82)],
        "mintage train --time": [{"skipped": "18.0 s is less than --time takes"}],
    },
    "five-minutes": {
        "mintage": [_script(299, 0.94, promised=300, collecting=4.0)],
        "resnet18": [_script(301, 0.80, epochs=5.0)],
        "keras xception": [_script(295, 0.52, epochs=0.4)],
    },
    "twenty-minutes": {"mintage": [_script(1300, 0.95, promised=1200, collecting=4.0)]},
    "loading": {
        "mintage and pillow": [
            {
                "rates": {
                    "28": {"mintage": 3300, "pillow": 1000},
                    "96": {"mintage": 1700, "pillow": 900},
                }
            }
        ],
        "keras": [{"rates": {"28": {"keras": 2000}, "96": {"keras": 1800}}}],
    },
    "growth": {
        "1000": [_grown(1000, 0.001, 100e6)],
        "16000": [_grown(16_000, 0.0012, 109e6)],
    },
    "suspects": {
        "mintage": [{"found_share": 0.8, "seconds": 200.0, "n_flipped": 200, "list_share": 0.1}]
    },
}


@pytest.fixture
def rendered(tmp_path: Path) -> str:
    return page_of(tmp_path, SAMPLES)


@pytest.mark.parametrize(
    ("what", "n", "found", "verdict"),
    [
        (
            "wall-clock of the process, Mintage / Keras",
            2,
            "0.53 × (0.50 × to 0.55 ×)",
            "at most 0.60 × | reached",
        ),
        (
            "accuracy, Mintage less Keras",
            2,
            "+1.0 points (+1.0 points to +1.0 points)",
            "within 2 points | reached",
        ),
        (
            "the first to reach 72.0% and stay there (4 s), Mintage / Keras",
            1,
            "0.45 ×",
            "at most 0.33 × | **not reached**",
        ),
        (
            "accuracy, Mintage less Keras",
            1,
            "+10.0 points",
            "at least +9.0 points; aim 12 | reached",
        ),
        (
            "accuracy of `mintage train --time 5m`",
            1,
            "94.0%",
            "mean at least 93%; aim 95 | reached",
        ),
        ("wall-clock / promise", 1, "1.08 ×", "never above 1.05 × | **not reached**"),
        ("28 px, Mintage / Pillow", 1, "3.30 ×", "at least 3.00 × | reached"),
        ("96 px, Mintage / Keras", 1, "0.94 ×", "at least 1.00 × | **not reached**"),
        (
            "collecting: time per picture, 16,000 / 1,000",
            1,
            "1.20 ×",
            "at most 1.10 × | **not reached**",
        ),
        (
            "collecting: peak memory, bytes for each picture more",
            1,
            "600 B",
            "at most 700 B | reached",
        ),
        (
            "of 200 flipped labels, found among the first 10% of the list",
            1,
            "80.0%",
            "at least 75.0% | reached",
        ),
    ],
)
def test_the_page_says_what_was_measured_and_whether_it_is_enough(
    rendered: str, what: str, n: int, found: str, verdict: str
) -> None:
    assert f"| {what} | {n} | {found} | {verdict} |" in rendered.splitlines()


def test_the_page_names_the_machine_and_what_disturbed_it(rendered: str) -> None:
    assert "2 cores of a processor, 8 GB, Linux x86_64; python 3.11, torch 2.13" in rendered
    assert "3 of 3 repetitions were disturbed" in rendered
    assert "`mintage train --time` was left out: 18.0 s is less" in rendered


def test_the_published_page_is_what_the_results_say() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(common.RESULTS), (
        "run: make bench, bench-train or bench-serve"
    )


def test_more_pictures_are_neither_copies_nor_near_duplicates(tmp_path: Path) -> None:
    source = two_classes(tmp_path / "source", each=3, size=(90, 70))
    made = more_pictures.make(source, tmp_path / "more", [8, 24], warm_up=6)
    files = sorted(made.folders[24].rglob("*.jpg"))
    small = {path.name for path in made.folders[8].rglob("*.jpg")}
    assert len(files) == 24
    assert len(small) == 8
    assert small <= {path.name for path in files}
    data = [path.read_bytes() for path in [*files, *made.warm_up.rglob("*.jpg")]]
    assert len({hashlib.sha256(each).digest() for each in data}) == 30
    image = ImageModality()
    assert image.near_duplicates([image.fingerprint(each) for each in data]) == []


def test_more_pictures_than_symmetries_are_refused(tmp_path: Path) -> None:
    source = two_classes(tmp_path / "source", each=1)
    with pytest.raises(ValueError, match="2 pictures cannot become 17"):
        more_pictures.make(source, tmp_path / "more", [16], warm_up=1)


def test_peak_memory_is_that_of_the_process_and_not_of_files() -> None:
    taken = "import time; kept = bytearray(b'1') * 90_000_000; time.sleep(0.2)"
    with subprocess.Popen([sys.executable, "-c", taken]) as process:
        peak = common._peak_memory(process)
    assert 90e6 < peak["anonymous"] < 130e6
    assert peak["resident"] >= peak["anonymous"]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    two_classes(folder / "train", each=40)
    two_classes(folder / "held-out", each=12)
    return folder


def _loading(folder: Path, __: Path) -> dict[str, Any]:
    return common.script("ours.loading", train=folder / "train", pictures=20, passes=1, cores=1)


def _clocked(folder: Path, scratch: Path) -> dict[str, Any]:
    return common.script(
        "ours.clocked",
        threads=1,
        train=folder / "train",
        held_out=folder / "held-out",
        scratch=scratch,
        fit_seconds=1.0,
        side=48,
    )


def _growth(folder: Path, scratch: Path) -> dict[str, Any]:
    options = {"pictures": folder / "train", "warm_up": folder / "held-out"}
    return common.script(
        "ours.growth", watch_memory=True, step="collect", home=scratch / "home", **options
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("measure", "key"),
    [(_loading, "rates"), (_clocked, "trained"), (_growth, "peak")],
)
def test_a_script_of_ours_runs_in_a_process_of_its_own(
    measure: Callable[[Path, Path], dict[str, Any]], key: str, pictures: Path, tmp_path: Path
) -> None:
    result = measure(pictures, tmp_path)
    assert result[key]
    assert 0 < result["done"] < result["wall"]
