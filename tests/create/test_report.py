import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core import messages
from mintage.core.errors import DataError
from mintage.core.messages import speaking
from mintage.core.settings import load_settings
from mintage.create import plots
from mintage.create.card import model_card
from mintage.create.report import render

CHINESE = {
    "What was tried": "尝试过的方案",
    "{name} (kept)": "{name}（已选用）",
    "{name} was the only candidate trained.": "只训练了 {name} 这一个候选模型。",
    "training, in {folds} folds": "训练（{folds} 折）",
    "an empty file": "空文件",
    "{path}: {reason}": "{path}：{reason}",
    "answered": "回答",
    "while training": "训练过程中",
}


_LATER = {
    "diagnosis",
    "recipe",
    "search",
    "skipped",
    "flips",
    "ablation",
    "dropped",
    "int8",
    "explanations",
}


def _without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


@pytest.fixture
def _in_chinese(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few translations, whatever the catalogue of today holds."""

    class Catalogue:
        _catalog = CHINESE

        def gettext(self, text: str) -> str:
            return CHINESE.get(text, text)

    messages._patterns.cache_clear()
    monkeypatch.setattr(messages, "_catalogue", lambda _language: Catalogue())
    yield
    messages._patterns.cache_clear()


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of a run over two classes with Chinese names, and one file that is empty."""
    folder = tmp_path_factory.mktemp("chinese")
    photos = two_classes(folder / "photos", each=12)
    for old, new in (("dark", "猫 <b>🐱"), ("light", "狗")):
        shutil.move(photos / old, photos / new)
    (photos / "狗/空.jpg").write_bytes(b"")
    with App(load_settings(home=folder / "workspace", threads=1)) as app:
        app.create.collect(photos, "宠物")
        run = app.create.train("宠物", recipe="seed-cnn", epochs=2)
        return {**run.record, "card": app.create.model("宠物").files["card.md"].decode()}


def test_the_report_is_one_file_that_asks_for_nothing_else(trained_home: Path) -> None:
    with App(load_settings(home=trained_home)) as app:
        html = app.create.report("pets").read_text()
    assert html.startswith('<!doctype html><html lang="en">')
    assert "<script" not in html
    assert not re.findall(r'(?:src|href)="(?!#|data:image/jpeg;base64,)[^"]+"', html)
    assert "url(http" not in html
    policy = re.findall('Content-Security-Policy" content="([^"]+)"', html)
    assert policy == ["default-src 'none';style-src 'unsafe-inline';img-src data:"]
    assert len(html) < 1_500_000
    # accuracy, loss, confusion, reliability, coverage, slices, damage
    assert html.count("<svg") == 7
    for words in (
        *("What was tried", "Quality by class", "The data", "seed-cnn (kept)", "95 %"),
        *("Does it overfit?", "Does a probability mean what it says?", "When it may abstain"),
        *("Is it worse on some kinds of picture?", "What does damage do?"),
    ):
        assert words in html


def test_what_training_had_no_time_for_is_measured_once_and_kept(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        path = app.create.report("pets").with_name("run.json")
        record = json.loads(path.read_text())
        before = record["diagnosis"]
        assert before["left_out"] == []
        del record["diagnosis"]["robustness"]
        before["left_out"] = [{"part": "robustness", "reason": "no time"}]
        before["calibration"]["temperature"] = 7.5
        path.write_text(json.dumps(record))
        html = app.create.report("pets").read_text()
        after = json.loads(path.read_text())["diagnosis"]
    assert after["left_out"] == []
    assert "robustness" in after
    assert after["calibration"]["temperature"] == 7.5
    assert "What was not measured" not in html


@pytest.mark.parametrize("left", [b"", b'{"run": ', b"[1, 2]", b"\xff\xfe"])
def test_a_damaged_record_of_a_run_is_named(home: Path, left: bytes) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        path = app.create.report("pets").with_name("run.json")
        path.write_bytes(left)
        with pytest.raises(DataError, match=r"run\.json of the run .* is missing or damaged"):
            app.create.report("pets")
        with pytest.raises(DataError, match="is missing or damaged"):
            app.create.resume(path.parent.name)


def test_the_report_of_a_model_whose_run_went_on_is_refused_by_name(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        path = app.create.report("pets").with_name("run.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "pets@2"}))
        with pytest.raises(DataError, match="the run went on") as refused:
            app.create.report("pets@1")
    assert "mintage report pets@2" in refused.value.remedy


def test_a_report_without_its_dataset_says_what_could_not_be_measured(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        run = json.loads(app.create.report("pets").with_name("run.json").read_text())
        folder = app.workspace.run_folder(run["run"])
        (folder / "run.json").write_text(json.dumps({**run, "diagnosis": None}))
        dataset = app.create.dataset("pets")
        app.workspace.database.write(
            lambda connection: connection.exec_driver_sql("DELETE FROM datasets")
        )
        html = app.create.report("pets").read_text()
        assert "What was not measured" in html
        assert f"the dataset {dataset.name} is not in this workspace" in html


def test_the_report_of_a_run_from_before_there_was_a_diagnosis_is_still_written(
    record: dict[str, Any],
) -> None:
    old = {key: record[key] for key in record if key not in _LATER}
    html = render({**old, "evaluation": _without(old["evaluation"], "calibration_error_before")})
    assert "Quality by class" in html
    assert "Does a probability mean" not in html
    assert "Nothing was done against it" in html


def test_overfitting_is_said_in_words_with_what_was_done_about_it(record: dict[str, Any]) -> None:
    history = [
        {"epoch": n, "train_loss": 1 / n, "validation_loss": loss, "train_accuracy": 0.9}
        for n, loss in enumerate((0.7, 0.5, 0.6, 0.9), 1)
    ]
    kept = {
        **record["candidates"][0],
        "train_accuracy": 0.99,
        "validation_accuracy": 0.8,
        "history": history,
    }
    recipe = {"candidates": [{"name": kept["name"], "dropout": 0.3, "weight_decay": 0.05}]}
    html = render({**record, "candidates": [kept], "recipe": recipe})
    assert "it overfits: 99.0% of its training examples are right, 80.0% of" in html
    assert "lowest after epoch 2 (0.500) and had risen to 0.900 by epoch 4" in html
    assert "<li>dropout of 30%</li>" in html
    assert "<li>weight decay (L2) of 0.05</li>" in html


def test_scaling_that_did_not_help_is_said(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        record = json.loads(app.create.report("pets").with_name("run.json").read_text())
    found = record["diagnosis"]["calibration"]
    found["before"]["log_loss"], found["after"]["log_loss"] = 0.3, 0.4
    assert "log loss is 0.400 with it and 0.300 without" in render(record)
    found["after"]["log_loss"] = 0.3
    assert "did not help" not in render(record)


def test_a_test_below_what_validation_promised_is_said(record: dict[str, Any]) -> None:
    kept = {**record["candidates"][0], "validation_accuracy": 1.0, "validation_examples": 400}
    shown = {**record["evaluation"], "accuracy": 0.9, "examples": 100}
    html = render({**record, "candidates": [kept], "evaluation": shown})
    assert "The test shows 90.0%, where validation had promised 100.0%" in html


def test_an_ablation_a_search_and_what_was_skipped_are_shown_with_what_did_not_help(
    record: dict[str, Any],
) -> None:
    line = {
        "train_accuracy": 0.9,
        "validation_accuracy": 0.8,
        "validation_interval": [0.7, 0.87],
        "gap": 0.1,
        "epochs": 3,
        "seconds": 4.0,
    }
    rows = [
        {"cure": "none", "helps": None, **line},
        {"cure": "dropout", "helps": False, **line},
        {"cure": "augmentation", "helps": True, **line},
    ]
    search = [
        {"round": 1, "name": name, "score": 0.7, "epochs": 2, "seconds": 3.0, "kept": kept}
        for name, kept in (("small", True), ("large", False))
    ]
    skipped = [{"name": "huge", "reason": "it does not fit"}]
    flips = {"chosen": "horizontal", "because": "it costs nothing"}
    more = {"ablation": rows, "search": search, "skipped": skipped, "flips": flips}
    html = render({**record, **more})
    for words in (
        "<td>dropout</td><td>does harm</td>",
        "<td>augmentation</td><td>helps</td>",
        "<td>large</td><td>left behind</td>",
        "<li>huge: it does not fit</li>",
        "Mirror images were tried on validation data: it costs nothing.",
    ):
        assert words in html
    assert "Each cure by itself" not in render(record)
    uneven = {**record, **more, "chosen_by": "balanced_accuracy"}
    assert "cures are judged by" not in render(uneven)  # of a run whose cures were not
    scored = [{**row, "score": 0.612} for row in rows]
    html = render({**uneven, "ablation": scored})
    assert "cures are judged by balanced accuracy" in html
    assert html.count("<td class=n>61.2%</td>") == len(rows)


def test_the_mistakes_stand_in_the_page_as_pictures_with_their_words_escaped(
    record: dict[str, Any],
) -> None:
    mistake = {
        "path": 'cats/"><script>.jpg',
        "label": "<b>",
        "answer": "dogs",
        "probability": 0.987,
        "unusual": False,
        "picture": "data:image/jpeg;base64,AAAA",
    }
    found = {"mistakes": 1, "examples": 20, "shown": [mistake]}
    explained = [{"picture": "data:image/jpeg;base64,BBBB", "where": "mostly the middle"}]
    bare = {**record, "explanations": []}
    html = render({**bare, "diagnosis": {"gallery": found, "explanations": explained}})
    assert "<script" not in html
    assert 'src="data:image/jpeg;base64,AAAA"' in html
    assert 'src="data:image/jpeg;base64,BBBB"' in html
    assert "labelled &lt;b&gt;, answered dogs with 98.7%" in html
    assert "rests on: mostly the middle" in html
    alone = render({**bare, "diagnosis": {"gallery": found}})
    assert "AAAA" in alone
    assert "rests on" not in alone


def test_what_training_drew_of_its_answers_is_shown_with_its_words(
    record: dict[str, Any],
) -> None:
    drawn = {
        "path": "a.jpg",
        "label": "cats",
        "answer": "cats",
        "probability": 0.9,
        "picture": "data:image/jpeg;base64,CCCC",
        "map": "data:image/jpeg;base64,DDDD",
        "where": "mostly the top",
    }
    html = render({**record, "explanations": [drawn], "diagnosis": {}})
    assert "What its answers rest on" in html
    assert html.index("CCCC") < html.index("DDDD") < html.index("rests on: mostly the top")


def test_int8_is_shown_with_what_it_cost_and_gained_or_why_it_was_refused(
    record: dict[str, Any],
) -> None:
    check = {
        "refused": False,
        "because": None,
        "float_accuracy": 0.91,
        "validation_accuracy": 0.908,
        "float_size_bytes": 7_872_594,
        "size_bytes": 2_100_000,
        "speed_ratio": 1.82,
    }
    html = render({**record, "int8": check})
    for words in ("91.0%", "90.8%", "7,872,594", "2,100,000", "1.8 ×", "that graph"):
        assert words in html
    none = dict.fromkeys(("validation_accuracy", "size_bytes", "speed_ratio"))
    why = {"refused": True, "because": "There are no layers."}
    html = render({**record, "int8": {**check, **none, **why}})
    assert "the float graph is kept: There are no layers." in html
    assert "int8" not in render({**record, "int8": None})


def test_the_card_beside_the_report_says_what_the_diagnosis_found(home: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        card = app.create.report("pets").with_name("card.md").read_text()
        signed = app.create.model("pets").files["card.md"].decode()
        record = json.loads(app.create.report("pets").with_name("run.json").read_text())
    assert card.startswith("# pets\n")
    for words in ("## Looked at more closely", "Overfitting: it ", "Origin: not stated"):
        assert words in card
    assert "## Looked at more closely" in signed
    for name in ("calibration", "coverage", "slices"):
        assert name in record["diagnosis"]
    assert "worse than the whole" in signed
    assert "before scaling" in signed


def test_a_class_with_a_bar_in_its_name_does_not_break_the_cards_table() -> None:
    row = {"precision": 1.0, "recall": 1.0, "f1": 1.0, "examples": 5}
    evaluation = {
        "labels": ["a|b", "c"],
        "interval": [0.5, 1.0],
        "accuracy": 0.9,
        "examples": 10,
        "majority_accuracy": 0.5,
        "per_class": {"a|b": row, "c": row},
    }
    about = {"licence": "", "consent": "", "origin": ""}
    dataset = {"modality": "image", "name": "d", "version": "0", "about": about}
    card = model_card("m", dataset, evaluation, "compact", {}, notes=["by the clock"])
    assert "| a\\|b | 1.000 |" in card
    assert "- by the clock\n" in card
    assert "A classifier of images into 2 classes: a|b, c." in card


def test_folds_are_called_folds_and_no_validation_split_of_zero_is_shown(
    record: dict[str, Any],
) -> None:
    html = render(record)
    assert "<th class=n>training, in 5 folds</th><th class=n>test</th>" in html
    data = {**record["data"], "folds": None}
    assert "<th class=n>validation</th><th class=n>test</th>" in render({**record, "data": data})


def test_a_mean_over_folds_is_said_where_the_curve_is_of_one_of_them(
    record: dict[str, Any],
) -> None:
    assert "mean over" not in render(record)
    candidates = [{**each, "folds": 5} for each in record["candidates"]]
    assert f"of {candidates[0]['name']} in the table are means over 5 folds" in render(
        {**record, "candidates": candidates}
    )


def test_no_table_has_an_empty_head(record: dict[str, Any]) -> None:
    assert not re.search(r"<th[^>]*></th>", render(record))
    assert "<th scope=row>seed</th><td>0</td>" in render(record)


@pytest.mark.usefixtures("_in_chinese")
def test_the_report_speaks_the_readers_language_and_leaves_names_alone(
    record: dict[str, Any],
) -> None:
    html = render(record, "zh")
    assert '<html lang="zh-Hans">' in html
    for words in ("尝试过的方案", "seed-cnn（已选用）", "只训练了 seed-cnn 这一个候选模型。"):
        assert words in html
    assert "训练（5 折）" in html
    assert "狗/空.jpg：空文件" in html
    for words in (">回答</text>", ">训练过程中</text>"):
        assert words in html
    assert "尝试过的方案" not in render(record, "en")


@pytest.mark.usefixtures("_in_chinese")
def test_a_class_that_is_called_like_one_of_our_words_stays_as_it_is(
    record: dict[str, Any],
) -> None:
    named = {"answered": record["data"]["classes"]["狗"]}
    html = render({**record, "data": {**record["data"], "classes": named}}, "zh")
    assert "<td>answered</td>" in html


def test_chinese_names_emoji_and_angle_brackets_stand_right_in_page_and_plot(
    record: dict[str, Any],
) -> None:
    html = render(record)
    assert "<td>狗</td>" in html
    assert "<td>猫 &lt;b&gt;🐱</td>" in html
    assert "<b>" not in html
    assert html.count(">狗</text>") == 2
    assert html.count(">猫 &lt;b&gt;🐱</text>") == 2
    assert "<title>宠物@1</title>" in html
    assert "| 狗 |" in record["card"]
    assert "'Noto Sans CJK SC'" in html
    assert "DejaVu" not in html


def test_the_card_does_not_depend_on_the_readers_language(tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=6)
    digests = set()
    for language in ("en", "zh"):
        with (
            speaking(language),  # type: ignore[arg-type]
            App(load_settings(home=tmp_path / language, threads=1)) as app,
        ):
            app.create.collect(photos, "pets")
            app.create.train("pets", recipe="seed-cnn", epochs=1)
            digests.add(app.create.model("pets").digest)
    assert len(digests) == 1


def test_text_in_plots_stays_text_in_any_script_and_the_same_figures_give_the_same_bytes() -> None:
    labels = ["猫", "<dogs>", "$a_b$"]
    matrix = [[9, 1, 0], [2, 8, 0], [0, 0, 3]]
    first = plots.confusion(matrix, labels, "t & <t>")
    assert ">猫</text>" in first
    assert "&lt;dogs&gt;" in first
    assert ">$a_b$</text>" in first
    assert "t &amp; &lt;t&gt;" in first
    assert "<image" not in first
    assert plots.confusion(matrix, labels, "t & <t>") == first


def test_a_plot_leaves_room_for_letters_that_are_wider_than_they_are_measured() -> None:
    def width(label: str) -> float:
        drawn = plots.confusion([[1, 0], [0, 1]], [label, "b"], "t")
        return float(re.findall(r'width="([\d.]+)pt"', drawn)[0])

    assert width("金毛寻回犬") > width("short") + 15


def test_curves_leave_out_what_was_not_measured() -> None:
    history = [
        {"epoch": 1, "train_accuracy": 0.5, "validation_accuracy": None},
        {"epoch": 2, "train_accuracy": 0.6, "validation_accuracy": 0.55},
    ]
    drawn = plots.learning_curves(history, "t")
    assert ">accuracy</text>" in drawn
    assert ">loss</text>" in plots.learning_curves(history, "t", "loss")
    assert ">while training</text>" in drawn
    assert ">validation</text>" in drawn
    nothing = [{"epoch": 1, "train_accuracy": None, "validation_accuracy": None}]
    assert ">while training</text>" not in plots.learning_curves(nothing, "t")
