import re
from pathlib import Path

from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.create import plots


def test_the_report_is_one_file_that_asks_for_nothing_else(trained_home: Path) -> None:
    with App(load_settings(home=trained_home)) as app:
        html = app.create.report("pets").read_text()
    assert html.startswith("<!doctype html>")
    assert "<script" not in html
    assert not re.findall(r'(?:src|href)="(?!#)[^"]+"', html)
    assert "data:image" not in html
    assert html.count("<svg") == 2
    for words in ("What was tried", "Quality by class", "The data", "seed-cnn (kept)", "95 %"):
        assert words in html


def test_text_in_plots_stays_text_in_any_script_and_the_same_figures_give_the_same_bytes() -> None:
    labels = ["猫", "<dogs>"]
    first = plots.confusion([[9, 1], [2, 8]], labels, "t")
    assert ">猫</text>" in first
    assert "&lt;dogs&gt;" in first
    assert "<image" not in first
    assert plots.confusion([[9, 1], [2, 8]], labels, "t") == first


def test_curves_leave_out_what_was_not_measured() -> None:
    history = [
        {"epoch": 1, "train_accuracy": 0.5, "validation_accuracy": None},
        {"epoch": 2, "train_accuracy": 0.6, "validation_accuracy": 0.55},
    ]
    assert "training" in plots.learning_curves(history, "t")
