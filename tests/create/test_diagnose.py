import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ManualClock
from tests.create.light_meter import answers_of, light_meter, manifest_for, pixels_of, write_table

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create.answers import Answers
from mintage.create.dataset import Dataset
from mintage.create.diagnose import NO_TIME, PARTS, diagnose, in_split
from mintage.create.evaluate import evaluation_of
from mintage.create.gallery import gallery, small_picture
from mintage.create.robustness import FEWEST, MOST, damaged, robustness
from mintage.create.slices import slices
from mintage.tasks import metrics


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("light")
    table = write_table(folder)
    with App(load_settings(home=folder / "home", threads=1)) as opened:
        opened.create.collect(table, "light", columns=["camera", "hour"])
        yield opened


@pytest.fixture(scope="module")
def dataset(app: App) -> Dataset:
    return app.create.dataset("light")


@pytest.fixture(scope="module")
def held_out(app: App, dataset: Dataset) -> Answers:
    return answers_of(app, dataset)


def diagnosed(app: App, dataset: Dataset, graph: Any = None, **options: Any) -> dict[str, Any]:
    given = {"workspace": app.workspace, "progress": Silent()} | options
    asked = answers_of(app, dataset)
    return diagnose(asked if graph is None else replace(asked, graph=graph), **given)


class Slow:
    """Half a second for each picture."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def run(self, inputs: np.ndarray[Any, Any]) -> Any:
        self.clock.advance(0.5 * len(inputs))
        return light_meter().run(inputs)


@pytest.fixture(scope="module")
def found(app: App, dataset: Dataset) -> dict[str, Any]:
    return diagnosed(app, dataset)


def test_every_part_is_there_and_is_plain_json_that_comes_out_the_same_again(
    app: App, dataset: Dataset, found: dict[str, Any]
) -> None:
    assert set(found) == {"format", "split", *PARTS, "left_out"}
    assert found["left_out"] == []
    text = json.dumps(found, allow_nan=False)
    assert json.dumps(diagnosed(app, dataset)) == text


def test_calibration_before_and_after_is_that_of_the_probabilities(
    held_out: Answers, found: dict[str, Any]
) -> None:
    for name, temperature in (("before", 1.0), ("after", 2.0)):
        said = 1 / (1 + np.exp(-np.abs(held_out.logits[:, 0].astype(float)) / temperature))
        error = metrics.expected_calibration_error(said, held_out.correct)
        part = found["calibration"][name]
        assert part["calibration_error"] == pytest.approx(error)
        assert sum(row["examples"] for row in part["bins"]) == len(said)
        mean = sum(row["examples"] * row["accuracy"] for row in part["bins"]) / len(said)
        assert mean == pytest.approx(held_out.correct.mean())


def test_what_a_promise_leaves_is_counted_on_test_data(
    held_out: Answers, found: dict[str, Any]
) -> None:
    covered = found["coverage"]
    assert covered["curve"][-1]["accuracy"] == pytest.approx(held_out.correct.mean())
    assert covered["area_by_chance"] == pytest.approx(1 - held_out.correct.mean())
    for row in covered["promises"]:
        if row["threshold"] is None:
            assert row["examples_needed"] > 0
        else:
            sure = np.round(held_out.confidence, 6) >= row["threshold"]
            assert row["answered"] == sure.sum()
            assert row["answered_accuracy"] == pytest.approx(held_out.correct[sure].mean())


def test_validation_logits_that_are_at_hand_are_not_asked_for_again(
    app: App, dataset: Dataset, found: dict[str, Any]
) -> None:
    chosen = in_split(dataset, "validation")
    asked = Answers.of(
        light_meter(), manifest_for(dataset), dataset, pixels_of(app, dataset), chosen
    )
    given = diagnosed(app, dataset, validation=(asked.probabilities, asked.targets))
    assert given["coverage"] == found["coverage"]
    shuffled = diagnosed(app, dataset, validation=(asked.probabilities, 1 - asked.targets))
    assert shuffled["coverage"] != found["coverage"]


def test_the_camera_whose_labels_are_wrong_is_named_as_the_worst_slice(
    found: dict[str, Any],
) -> None:
    sliced = found["slices"]
    worst = sliced["slices"][sliced["worst"]]
    assert (worst["property"], worst["column"], worst["value"]) == ("column", "camera", "old")
    assert worst["interval"][1] < sliced["accuracy"]


def test_slices_are_of_size_shape_light_format_and_columns_and_count_what_they_say(
    held_out: Answers, found: dict[str, Any]
) -> None:
    rows = found["slices"]["slices"]
    names = {row["property"] for row in rows}
    assert names == {"brightness", "contrast", "shape", "format", "column"}  # one size alone
    by_value = {row["value"]: row for row in rows if "value" in row}
    assert set(by_value) == {"wide", "upright", "PNG", "JPEG", "old", "new", "phone"}
    formats = [example.path.endswith("png") for example in held_out.examples]
    assert by_value["PNG"]["examples"] == sum(formats)
    assert by_value["PNG"]["accuracy"] == held_out.correct[formats].mean()
    hours = [row for row in rows if row.get("column") == "hour"]
    assert [row["low"] for row in hours] == sorted(row["low"] for row in hours)
    assert sum(row["examples"] for row in hours) == len(held_out.examples)
    dark, __, bright = (row for row in rows if row["property"] == "brightness")
    assert dark["high"] < bright["low"] <= bright["high"] <= 1


def test_chance_alone_hardly_ever_names_a_worst_slice(
    app: App, held_out: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(8)
    named = 0
    for __ in range(30):
        fresh = replace(held_out)
        fresh.__dict__["correct"] = chance.random(len(held_out.positions)) < 0.8
        named += slices(fresh, app.workspace)["worst"] is not None
    assert named <= 4  # 5 % of 30 are 1.5


def test_damage_is_the_same_each_time_and_leaves_the_pictures_as_they_were() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    before = images.copy()
    for kind, strength in (("blur", 0.02), ("noise", 0.1), ("jpeg", 25), ("darker", 0.5)):
        once = damaged(images, kind, strength)
        assert once.shape == images.shape
        assert once.dtype == np.uint8
        assert np.array_equal(once, damaged(images, kind, strength))
        assert not np.array_equal(once, images)
    assert np.array_equal(images, before)


def test_damage_is_what_it_says() -> None:
    grey = np.full((1, 64, 64, 3), 100, np.uint8)
    assert (damaged(grey, "darker", 0.3) == 30).all()
    assert (damaged(grey, "brighter", 3.0) == 255).all()
    noise = damaged(grey, "noise", 0.08).astype(float) - 100
    assert noise.mean() == pytest.approx(0, abs=0.5)
    assert noise.std() == pytest.approx(0.08 * 255, rel=0.05)
    points = np.zeros((1, 64, 64, 3), np.uint8)
    points[:, 32, 32] = 255
    spread = damaged(points, "blur", 0.02)[0, :, :, 0].astype(float)
    rows = np.arange(64) - 32
    deviation = np.sqrt((spread.sum(axis=1) * rows**2).sum() / spread.sum())
    assert deviation == pytest.approx(0.02 * 64, rel=0.2)  # Pillow's is three box filters
    stream = io.BytesIO()
    photo = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(photo).save(stream, "JPEG", quality=10)
    with Image.open(stream) as image:
        assert np.array_equal(damaged(photo[None], "jpeg", 10)[0], np.asarray(image))


def test_less_light_hurts_a_light_meter_most_and_blur_not_at_all(found: dict[str, Any]) -> None:
    robust = found["robustness"]
    assert robust["worst"] in {"darker", "brighter"}
    falls = {(row["kind"], row["strength"]): row["fall"] for row in robust["settings"]}
    assert len(falls) == 15
    assert abs(falls["blur", 0.02]) < 0.03
    assert falls["darker", 0.3] > 0.2
    for row in robust["settings"]:
        assert row["accuracy"] == pytest.approx(robust["accuracy"] - row["fall"])
        low, high = row["fall_interval"]
        assert low <= row["fall"] <= high


def test_of_many_near_duplicates_one_is_damaged(held_out: Answers) -> None:
    fresh = replace(held_out)
    fresh.__dict__["groups"] = [str(number // 8) for number in range(len(held_out.positions))]
    assert robustness(fresh)["examples"] == -(-len(held_out.positions) // 8)


def test_the_gallery_shows_the_mistakes_that_were_surest_first(
    held_out: Answers, found: dict[str, Any]
) -> None:
    shown = found["gallery"]["shown"]
    assert found["gallery"]["mistakes"] == (~held_out.correct).sum()
    chances = [each["probability"] for each in shown]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] == pytest.approx(held_out.confidence[~held_out.correct].max(), abs=1e-6)
    assert len(shown) == min(12, found["gallery"]["mistakes"])
    assert all(each["label"] != each["answer"] for each in shown)
    header, __, data = shown[0]["picture"].partition(",")
    assert header == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert max(image.size) == 128
        assert min(image.size) == 96


def test_beside_each_mistake_stands_what_its_answer_rests_on(found: dict[str, Any]) -> None:
    explained = found["explanations"]
    assert len(explained) == len(found["gallery"]["shown"])
    for each, shown in zip(explained, found["gallery"]["shown"], strict=True):
        assert each["picture"] != shown["picture"]
        assert each["picture"].startswith("data:image/jpeg;base64,")
        assert each["where"]


def test_a_gallery_picture_stands_upright_in_its_own_proportions(dataset: Dataset) -> None:
    stream = io.BytesIO()
    lying = np.zeros((40, 80, 3), np.uint8)
    lying[:, :40] = 255
    Image.fromarray(lying).save(stream, "PNG")
    turned = replace(dataset.examples[0], size=(80, 40), orientation=6)  # a quarter, clockwise
    picture = small_picture(stream.getvalue(), turned, "image")
    assert picture.size == (64, 128)
    assert np.asarray(picture)[10].mean() > 240
    assert np.asarray(picture)[-10].mean() < 15


def test_without_a_mistake_the_gallery_is_empty(app: App, held_out: Answers) -> None:
    fresh = replace(held_out)
    fresh.__dict__["correct"] = np.ones(len(held_out.positions), bool)
    assert gallery(fresh, app.workspace)["shown"] == []


def test_without_time_nothing_is_measured_and_all_of_it_is_named(
    app: App, dataset: Dataset
) -> None:
    nothing = diagnosed(app, dataset, seconds=-1.0)
    assert not set(nothing) & set(PARTS)
    assert [each["part"] for each in nothing["left_out"]] == list(PARTS)
    assert {each["reason"] for each in nothing["left_out"]} == {str(NO_TIME)}


def test_a_part_that_would_take_too_long_is_left_for_the_report(
    app: App, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(app.workspace, "clock", clock)

    many = len(in_split(dataset, "validation"))
    found = diagnosed(app, dataset, graph=Slow(clock), seconds=0.5 * (64 + 1.5 * many))
    assert {"calibration", "coverage", "slices"} <= set(found)
    assert "robustness" in [each["part"] for each in found["left_out"]]
    assert clock.elapsed <= 0.5 * (64 + 1.5 * many)


@pytest.mark.parametrize(("share", "least"), [(0.6, FEWEST), (0.2, 0)])
def test_fewer_examples_are_damaged_where_all_would_take_too_long(
    share: float, least: int, app: App, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(app.workspace, "clock", clock)

    test, validation = (len(in_split(dataset, name)) for name in ("test", "validation"))
    many = min(MOST, test)
    # The trial and validation data, then a share of what damaging all would take.
    seconds = 0.5 * (1 + 64 + 1.2 * validation) + share * many * 15 * 0.61
    found = diagnosed(app, dataset, graph=Slow(clock), seconds=seconds)
    measured = found.get("robustness", {"examples": 0})["examples"]
    assert least <= measured < many
    assert ("robustness" in found) == bool(least)
    assert clock.elapsed <= seconds


def test_a_report_makes_whole_what_there_was_little_time_for(app: App, dataset: Dataset) -> None:
    few = {"robustness": {"examples": FEWEST, "in_full": False}, "calibration": {"mine": 1}}
    made = diagnosed(app, dataset, known=few)
    assert made["robustness"]["in_full"]
    assert made["robustness"]["examples"] > FEWEST
    assert made["calibration"] == {"mine": 1}
    assert diagnosed(app, dataset, known=few, seconds=60.0)["robustness"] == few["robustness"]


def test_a_machine_that_slows_down_does_not_make_it_late(
    app: App, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(app.workspace, "clock", clock)

    class Tiring:
        """Quick at first, then a second for each question."""

        asked = 0

        def run(self, inputs: np.ndarray[Any, Any]) -> Any:
            self.asked += 1
            clock.advance(0.0 if self.asked < 6 else 1.0)
            return light_meter().run(inputs)

    found = diagnosed(app, dataset, graph=Tiring(), seconds=9.0)
    late = [each["part"] for each in found["left_out"] if each["reason"] == str(NO_TIME)]
    assert late == ["robustness", "explanations"]
    assert clock.elapsed <= 10


def test_what_is_known_already_is_not_measured_again(app: App, dataset: Dataset) -> None:
    known = {"calibration": {"mine": 1}, "left_out": [{"part": "slices", "reason": "no time"}]}
    found = diagnosed(app, dataset, known=known)
    assert found["calibration"] == {"mine": 1}
    assert found["left_out"] == []
    assert set(PARTS) <= set(found)


def test_a_blob_that_is_gone_costs_the_parts_that_need_it_and_is_named(
    app: App, dataset: Dataset
) -> None:
    gone = dataset.examples[int(in_split(dataset, "test")[3])]
    pixels_of(app, dataset)  # decoded while it is there, as a run has them
    data = app.workspace.blobs_of("pets").get(gone.sha256)
    app.workspace.blobs_of("pets").remove(gone.sha256)
    try:
        found = diagnosed(app, dataset)
    finally:
        app.workspace.blobs_of("pets").put(gone.sha256, data)
    reasons = {each["part"]: each["reason"] for each in found["left_out"]}
    assert "missing from the workspace" in reasons["slices"]
    assert {"calibration", "coverage", "robustness"} <= set(found)


def test_an_evaluation_says_how_many_get_a_label_and_how_right_those_are(
    app: App, dataset: Dataset, held_out: Answers
) -> None:
    def evaluated(threshold: float | None) -> dict[str, Any]:
        manifest = manifest_for(dataset, abstain_threshold=threshold)
        said = held_out.logits, held_out.unusual, held_out.targets, held_out.groups
        return evaluation_of(manifest, *said)

    plain = evaluated(None)
    assert "answered" not in plain
    assert plain["calibration_error_before"] == pytest.approx(
        metrics.expected_calibration_error(
            held_out.probabilities_at(1.0).max(axis=1), held_out.correct
        )
    )
    sure = held_out.confidence >= 0.9
    found = evaluated(0.9)
    assert 0 < found["answered"] == sure.sum() < len(sure)
    assert found["answered_accuracy"] == pytest.approx(held_out.correct[sure].mean())
    assert found["answered_interval"][0] < found["answered_accuracy"]
    none = evaluated(1.0)
    assert (none["answered"], none["answered_accuracy"]) == (0, None)
