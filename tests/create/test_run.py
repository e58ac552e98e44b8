import json
from pathlib import Path

import numpy as np
import pytest
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.errors import DataError
from mintage.core.settings import load_settings
from mintage.create import run as runs
from mintage.create.design import Recipe
from mintage.create.trials import Budget
from mintage.create.words import gap_in_words


def opened(home: Path) -> App:
    return App(load_settings(home=home, threads=1))


def test_wrong_labels_are_among_those_that_the_model_doubts(tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=80)
    moved = []
    for number in (5, 21, 47):
        source = photos / f"dark/{number:03}.jpg"
        target = photos / f"light/dark-{number:03}.jpg"
        source.rename(target)
        moved.append(target.relative_to(photos).as_posix())
    with opened(tmp_path / "home") as app:
        app.create.collect(photos, "pets")
        result = app.create.train("pets", recipe="seed-cnn", epochs=6)
    doubted = [suspect["path"] for suspect in result.record["suspects"]]
    assert set(moved) <= set(doubted[:5])


def test_a_run_that_fails_is_recorded_as_failed_and_leaves_no_model(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> float:
        raise DataError("The exported model differs from the trained one.")

    monkeypatch.setattr(runs, "check_parity", broken)
    with opened(home) as app:
        with pytest.raises(DataError, match="differs"):
            app.create.train("pets", recipe="seed-cnn", epochs=1)
        with app.workspace.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT status FROM runs ORDER BY started_at")
            assert [status for (status,) in rows] == ["finished", "failed"]
        assert app.create.model("pets").subject == "pets@1"
    assert [path.name for path in (home / "models/pets").iterdir()] == ["1"]


def test_the_recipe_of_a_run_is_in_its_bundle_and_readable(home: Path) -> None:
    with opened(home) as app:
        manifest = app.create.model("pets").manifest
        recipe = Recipe.from_json(manifest.recipe)
        assert recipe.candidates[0].initialisation == "glorot_uniform"
        assert recipe.seed == 0
        assert manifest.dataset["version"] == app.create.dataset("pets").version
        assert "seconds" not in json.dumps(manifest.metrics)


def test_a_budget_keeps_back_what_the_end_needs_and_counts_from_the_start() -> None:
    now = [100.0]
    budget = Budget(60.0, 90.0, lambda: now[0])
    assert budget.left == 50.0
    assert 35 < budget.for_training() < 47
    now[0] = 151.0
    assert budget.left == -1.0


@pytest.mark.parametrize(
    ("train", "validation", "words"),
    [
        (0.99, 0.7, "overfits"),
        (0.95, 0.9, "a little"),
        (0.55, 0.55, "underfits"),
        (0.9, 0.9, "as well"),
    ],
)
def test_the_gap_is_said_in_words(train: float, validation: float, words: str) -> None:
    assert words in gap_in_words(train, validation)


def test_the_model_with_the_best_validation_is_kept_whatever_the_order(home: Path) -> None:
    with opened(home) as app:
        result = app.create.train("pets", recipe="compact,seed-cnn", epochs=3)
    scores = {c["name"]: c["validation_accuracy"] for c in result.record["candidates"]}
    assert scores[result.record["candidate"]] == max(scores.values())
    assert len(scores) == 2
    assert np.isfinite(list(scores.values())).all()


def test_five_folds_are_named_only_where_five_folds_chose(home: Path) -> None:
    with opened(home) as app:
        timed = app.create.train("pets", recipe="compact,seed-cnn", seconds=20)
        counted = app.create.train("pets", recipe="compact,seed-cnn", epochs=1)
    assert "five folds" in counted.record["why_kept"]
    assert "five folds" not in timed.record["why_kept"]
