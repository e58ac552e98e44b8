import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core import messages
from mintage.core.messages import speaking
from mintage.core.settings import load_settings
from mintage.create import plots
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
    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', html)
    assert "data:image" not in html
    assert "url(http" not in html
    assert html.count("<svg") == 2
    for words in ("What was tried", "Quality by class", "The data", "seed-cnn (kept)", "95 %"):
        assert words in html


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
    assert "is the mean over 5 folds" in render({**record, "candidates": candidates})


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
    assert ">while training</text>" in drawn
    assert ">validation</text>" in drawn
    nothing = [{"epoch": 1, "train_accuracy": None, "validation_accuracy": None}]
    assert ">while training</text>" not in plots.learning_curves(nothing, "t")
