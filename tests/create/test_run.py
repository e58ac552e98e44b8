import dataclasses
import itertools
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.clock import SystemClock
from mintage.core.errors import ConfigError, DataError, DependencyDown, RequestError
from mintage.core.messages import Message, _
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create import checkpoint, minting, repository, suspects, trials
from mintage.create import run as runs
from mintage.create.ablation import (
    CURES,
    OF_PICTURES,
    TRAININGS,
    _balanced,
    alone,
    judged,
    together,
    without,
)
from mintage.create.cures import cures
from mintage.create.design import compact, seed_cnn
from mintage.create.recipe import Recipe
from mintage.create.trials import Budget
from mintage.create.words import (
    balanced_in_words,
    curve_in_words,
    gap_in_words,
    no_better_in_words,
    points_between,
    promise_in_words,
    skipped_in_words,
)
from mintage.modalities.image import modality
from mintage.modalities.image.augment import Augmentation


@dataclass
class Found:
    """What looking for suspects came to, as far as a run asks."""

    why_not: Message | None


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

    monkeypatch.setattr(minting, "check_parity", broken)
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
    assert 45 < budget.for_training() < 48
    now[0] = 151.0
    assert budget.left == -1.0
    whole, plain = (Budget(300.0, 0.0, lambda: 0.0, looks=looks) for looks in (True, False))
    assert plain.for_training() - whole.for_training() == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("train", "validation", "examples", "words"),
    [
        (0.99, 0.7, None, "by heart"),
        (0.99, 0.7, 400, "by heart"),
        (0.7, 0.55, 400, "overfits: what it learned"),
        (0.7, 0.55, 20, "may overfit: 20 validation examples cannot tell"),
        (1.0, 0.9, 30, "overfits a little"),
        (0.95, 0.9, 1000, "a little"),
        (0.55, 0.55, 400, "may underfit, since"),
        (0.9, 0.9, 400, "as well"),
    ],
)
def test_the_gap_is_said_in_words(
    train: float, validation: float, examples: int | None, words: str
) -> None:
    figures = {"train_accuracy": train, "validation_accuracy": validation}
    more = {} if examples is None else {"validation_examples": examples}
    assert words in gap_in_words({**figures, **more})


@pytest.mark.parametrize(
    ("promised", "asked", "shown", "tested", "broken"),
    [
        (0.99, 400, 0.94, 200, True),
        (0.96, 400, 0.945, 200, False),  # chance
        (0.90, 400, 0.99, 200, False),  # better
        (1.0, 40, 0.90, 20, True),
        (1.0, 40, 0.95, 20, False),
        (0.5, 400, 0.5, 200, False),
        (1.0, None, 0.5, 200, False),  # an older record
    ],
)
def test_a_test_below_what_validation_promised_is_said_where_chance_does_not_explain_it(
    promised, asked, shown, tested, broken
) -> None:
    candidate = {"validation_accuracy": promised, "validation_examples": asked}
    said = promise_in_words(candidate, {"accuracy": shown, "examples": tested})
    assert (said is not None) is broken
    assert said is None or f"{shown:.1%}" in said


def test_with_uneven_classes_accuracies_are_of_examples_and_balanced_accuracy_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = two_classes(tmp_path / "photos", each=60)
    for number in range(45):
        (photos / f"light/{number:03}.jpg").unlink()
    fit, results = trials.fit, []

    def watched(*given: Any, **options: Any) -> Any:
        results.append((given[0].name, fit(*given, **options)))
        return results[-1][1]

    monkeypatch.setattr(trials, "fit", watched)
    with opened(tmp_path / "home") as app:
        app.create.collect(photos, "pets")
        record = app.create.train("pets", recipe="seed-cnn,compact", epochs=1).record
    assert record["chosen_by"] == "balanced_accuracy"
    assert "balanced accuracy" in record["why_kept"]
    for each in record["candidates"]:
        own = [result for name, result in results if name == each["name"]]
        assert len(own) == each["folds"] == 5
        for key in ("train_accuracy", "validation_accuracy"):
            assert each[key] == pytest.approx(np.mean([getattr(one, key) for one in own]))
        balanced = np.mean([one.validation_balanced_accuracy for one in own])
        assert each["score"] == pytest.approx(balanced)
        assert each["majority_accuracy"] > 0.7
    kept = max(record["candidates"], key=lambda each: each["score"])
    assert kept["name"] == record["candidate"]
    assert any(each["score"] != each["validation_accuracy"] for each in record["candidates"])


def test_a_rise_of_validation_loss_names_the_epoch_that_was_kept() -> None:
    history = [
        {"epoch": number, "validation_loss": loss}
        for number, loss in enumerate((0.7, 0.5, 0.6, 0.9), 1)
    ]
    restored = curve_in_words({"history": history, "best_epoch": 3})
    assert "risen to 0.900 by epoch 4; the weights of epoch 3 are the ones kept" in restored
    assert "surer than it was right" in curve_in_words({"history": history, "best_epoch": 4})
    assert "surer than it was right" in curve_in_words({"history": history})  # an older record
    level = [{**each, "validation_loss": min(each["validation_loss"], 0.51)} for each in history]
    said = curve_in_words({"history": level, "best_epoch": 4})
    assert "hardly rose again; the weights of epoch 4 are the ones kept" in said
    assert "hardly rose again." in curve_in_words({"history": level, "best_epoch": 2})


def test_a_gap_is_what_whoever_subtracts_the_shown_shares_has() -> None:
    assert points_between(0.9214, 0.7838) == 13.7  # 92.1 - 78.4
    assert points_between(0.5, 0.5004) == 0.0


def test_a_mean_over_classes_far_from_the_share_of_all_is_said() -> None:
    assert balanced_in_words({"accuracy": 0.9, "balanced_accuracy": 0.895}) is None
    assert "is 58.8%" in balanced_in_words({"accuracy": 0.73, "balanced_accuracy": 0.588})
    assert balanced_in_words({"accuracy": 0.9}) is None  # an older record


def test_a_model_no_better_than_always_the_same_answer_is_called_that() -> None:
    assert no_better_in_words({"interval": [0.6, 0.8], "majority_accuracy": 0.55}) is None
    said = no_better_in_words({"interval": [0.5, 0.8], "majority_accuracy": 0.55})
    assert "would be right 55.0% of the time" in said


def test_what_was_skipped_for_one_reason_is_said_once() -> None:
    skipped = [
        {"name": "small", "reason": "no time."},
        {"name": "large", "reason": "no memory."},
        {"name": "middle", "reason": "no time."},
    ]
    said = skipped_in_words(skipped)
    assert said == ["small, middle: no time.", "large: no memory."]


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


class Ticking(SystemClock):
    """The system's clock, and what a test lets pass besides."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Standing(SystemClock):
    """A clock that stands but for what a test lets pass: the machine's own pace is no matter."""

    ahead = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.ahead


class Stopwatch:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_where_the_start_was_slow_more_is_kept_back_for_the_end() -> None:
    quick, usual, waited, slow = (
        Budget(100.0, 0.0, Stopwatch(), start_seconds=seconds, start_work=work)
        for seconds, work in ((0.0, 0.0), (2.0, 2.0), (6.0, 2.0), (6.0, 6.0))
    )
    assert quick.for_training() == usual.for_training()
    for late in (waited, slow):
        assert usual.for_training() - late.for_training() == pytest.approx(4.8)
        assert usual.for_training(int8=True) - late.for_training(int8=True) == pytest.approx(6.8)


def test_what_is_kept_back_follows_how_long_work_waits_just_before_training() -> None:
    budget = Budget(100.0, 0.0, Stopwatch(), start_seconds=6.0, start_work=2.0)
    beside_nobody, beside_four = (budget.for_training(waiting=each) for each in (0.98, 2.5))
    assert beside_nobody - beside_four == pytest.approx(3.6)
    assert beside_nobody > budget.for_training()


def test_strangers_are_made_before_training_and_show_how_long_work_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, made, waiting = trials.fit, modality.strangers, []

    def slow(side: int) -> Any:
        time.sleep(1.0)  # as beside others' work
        return made(side, count=24)

    def watched(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(modality, "strangers", lambda _: pytest.fail("made again"))
        return fit(*args, **options | {"seconds": None, "epochs": 1})

    def left(_budget: Budget, **options: Any) -> float:
        waiting.append(options.get("waiting"))
        return 30.0

    monkeypatch.setattr(modality, "strangers", slow)
    monkeypatch.setattr(trials, "fit", watched)
    monkeypatch.setattr(Budget, "for_training", left)
    with opened(home) as app:
        app.create.train("pets", recipe="seed-cnn", seconds=60)
    assert waiting[0] is None
    assert waiting[-1] > 2


def test_what_looking_for_suspects_takes_is_not_taken_for_a_slow_start(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Standing()
    given: list[float] = []
    fit = trials.fit

    def slow(*_: object, seconds: float, **__: object) -> Found:
        assert seconds <= 0.3 * 600
        clock.ahead += 150
        return Found(Message("none of them"))

    def watched(*args: Any, **options: Any) -> Any:
        given.append(options["seconds"])
        return fit(*args, **options | {"seconds": None, "epochs": 1})

    monkeypatch.setattr(suspects, "find", slow)
    monkeypatch.setattr(trials, "fit", watched)
    with App(load_settings(home=home, threads=1), clock) as app:
        app.create.train("pets", recipe="seed-cnn", seconds=600, drop_suspect=True)
    assert given[0] == pytest.approx(600 - 150 - 2.0 - 0.045 * 600, abs=10)


def test_where_no_time_is_left_for_it_nobody_looks_for_suspects(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "find", lambda *_, **__: pytest.fail("looked"))
    clock = Ticking()
    with App(load_settings(home=home, threads=1), clock) as app:
        begun = clock.monotonic() - 9  # a slow start: the end needs most of what is left
        result = app.create.train(
            "pets", recipe="seed-cnn", seconds=30, started=begun, drop_suspect=True, int8=True
        )
    assert result.record["dropped"] == []


@pytest.mark.parametrize(("minutes", "search"), [(14.9, False), (15, True)])
def test_from_fifteen_minutes_on_of_the_time_that_is_given_candidates_compete(
    home: Path, minutes: float, search: bool
) -> None:
    with opened(home) as app:
        assert app.create.recipe("pets", seconds=60 * minutes).search is search


def test_a_search_halves_the_candidates_and_trains_the_last_for_the_rest(home: Path) -> None:
    with opened(home) as app:
        result = app.create.train("pets", recipe="compact", epochs=4, search=True)
        validated = sum(each.fold == 0 for each in app.create.dataset("pets").examples)
    table = result.record["search"]
    rounds = sorted({row["round"] for row in table})
    counts = [sum(row["round"] == number for row in table) for number in rounds]
    assert counts[0] >= 5
    assert all(after <= -(-before // 2) for before, after in itertools.pairwise(counts))
    for number in rounds:
        here = [row for row in table if row["round"] == number]
        kept = {row["name"] for row in here if row["kept"]}
        best = max(row["score"] for row in here)
        by_chance = 1.01 * math.sqrt(best * (1 - best) / validated)
        assert max(row["score"] for row in here if row["name"] in kept) >= best - by_chance
        later = {row["name"] for row in table if row["round"] == number + 1}
        assert later <= kept
    (winner,) = result.record["candidates"]
    assert winner["name"] in {row["name"] for row in table if row["round"] == rounds[-1]}
    assert winner["epochs"] == 4
    assert "search" in result.record["why_kept"]


def test_a_time_too_short_for_a_search_is_called_that(home: Path) -> None:
    with opened(home) as app:
        result = app.create.train("pets", recipe="compact", seconds=20, search=True)
    if not result.record["search"]:  # a quick machine compares even in so little
        assert "too short for a search" in result.record["why_kept"]
        assert len({each["reason"] for each in result.record["skipped"]}) == 1


def test_the_time_left_is_of_all_trainings_and_no_bar_goes_back(home: Path) -> None:
    class Watched(Silent):
        def __init__(self) -> None:
            self.stages: list[tuple[str, list[float]]] = []
            self.said: list[str] = []

        def start(self, title: str, total: float | None = None) -> None:
            self.stages.append((title, []))

        def advance(self, done: float, note: str = "") -> None:
            self.stages[-1][1].append(done)

        def say(self, text: str) -> None:
            self.said.append(text)

    seen, timed = Watched(), Watched()
    with opened(home) as app:
        app.create.train("pets", recipe="seed-cnn,compact", epochs=1, progress=seen)
        app.create.train("pets", recipe="seed-cnn", seconds=20, progress=timed)
    assert "2 networks are compared over 5 folds: 10 trainings." in seen.said
    titles = [title for title, __ in seen.stages if title.startswith("Training")]
    assert titles[0] == "Training seed-cnn, fold 1 of 5"
    assert titles[-1] == "Training compact, fold 5 of 5"
    for __, done in (*seen.stages, *timed.stages):
        assert done == sorted(done)


def test_what_does_not_fit_into_memory_is_skipped_with_its_reason(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"compact": 10**12, "seed-cnn": 10**6}
    monkeypatch.setattr(
        "mintage.create.trials.memory_needed", lambda candidate: needed[candidate.network]
    )
    with opened(home) as app:
        result = app.create.train("pets", recipe="seed-cnn,compact", epochs=1)
        with pytest.raises(ConfigError, match="memory"):
            app.create.train("pets", recipe="compact", epochs=1)
    assert result.record["candidate"] == "seed-cnn"
    (skipped,) = result.record["skipped"]
    assert skipped["name"] == "compact"
    assert "memory" in skipped["reason"]


def test_an_ablation_trains_without_cures_with_each_alone_and_with_all(home: Path) -> None:
    with opened(home) as app:
        result = app.create.train("pets", recipe="seed-cnn", epochs=2, ablate=True)
    rows = {row["cure"]: row for row in result.record["ablation"]}
    assert list(rows) == ["none", *CURES, "all", "recipe"]
    assert len(rows) == TRAININGS
    for row in rows.values():
        assert row["gap"] == pytest.approx(row["train_accuracy"] - row["validation_accuracy"])
        assert row["epochs"] == 2
    assert rows["none"]["helps"] is None
    (kept,) = result.record["candidates"]
    assert kept["validation_accuracy"] == rows["recipe"]["validation_accuracy"]


def test_an_ablation_of_two_candidates_is_refused(home: Path) -> None:
    with opened(home) as app, pytest.raises(ConfigError, match="one candidate"):
        app.create.train("pets", recipe="seed-cnn,compact", epochs=1, ablate=True)


def test_each_variant_of_an_ablation_has_its_one_cure_and_no_other() -> None:
    given = compact(examples=3600, typical_side=300, seconds=300)
    bare = without(given)
    assert cures(bare_json := dataclasses.asdict(bare)) == [], bare_json
    for cure in CURES:
        one = alone(given, cure)
        of_pictures = cure in OF_PICTURES
        first, second = (one.augmentation, bare.augmentation) if of_pictures else (one, bare)
        changed = {key for key in vars(first) if getattr(first, key) != getattr(second, key)}
        assert changed - {"name"}
        assert changed - {"name"} <= set(CURES[cure])
        assert of_pictures or one.augmentation == bare.augmentation


def test_with_all_means_every_cure_there_is() -> None:
    for given in (seed_cnn(), compact(examples=3600, typical_side=300, seconds=300)):
        everything = together(given)
        bare = without(given)
        for cure, usual in CURES.items():
            first, second = everything, bare
            if cure in OF_PICTURES:
                first, second = everything.augmentation, bare.augmentation
            assert any(getattr(first, each) != getattr(second, each) for each in usual), cure


def test_a_cure_alone_is_as_strong_as_the_recipe_has_it() -> None:
    given = dataclasses.replace(
        seed_cnn(), dropout=0.7, augmentation=Augmentation(flips="both", brightness=0.4, colour=0)
    )
    assert alone(given, "dropout").dropout == 0.7
    assert alone(given, "flips").augmentation.flips == "both"
    light = alone(given, "light").augmentation
    assert (light.brightness, light.contrast, light.colour) == (0.4, 0.15, 0)
    assert alone(given, "erasing").augmentation.erasing == CURES["erasing"]["erasing"]


def _rights(*wrong: tuple[int, int]) -> NDArray[np.bool_]:
    """Of 200 answers those from the first to the second of each pair are wrong."""
    right = np.ones(200, dtype=bool)
    for first, last in wrong:
        right[first:last] = False
    return right


def test_a_cure_helps_only_by_more_than_chance_would() -> None:
    right = {
        "none": _rights((0, 40)),
        "l1": _rights((0, 36)),  # two points better, which four answers make
        "mixup": _rights((0, 15)),
        "all": _rights((0, 40), (150, 180)),
    }
    rows = judged([{"cure": cure, "helps": None} for cure in right], right)
    assert [row["helps"] for row in rows] == [None, None, True, False]


def test_with_uneven_classes_a_cure_is_judged_by_what_it_does_to_each() -> None:
    weights = _balanced(np.array([0] * 160 + [1] * 40))
    assert weights.sum() == pytest.approx(1)
    assert weights[:160].sum() == pytest.approx(weights[160:].sum())
    right = {
        "none": _rights((165, 200)),  # always the frequent class, nearly
        "mixup": _rights((0, 25), (195, 200)),  # far more of the rare class is right
        "l1": _rights((0, 1), (166, 200)),
    }
    rows = [{"cure": cure, "helps": None} for cure in right]
    assert [row["helps"] for row in judged(rows, right)][1] is None
    assert [row["helps"] for row in judged(rows, right, weights)] == [None, True, None]


@pytest.mark.parametrize("weights", [None, _balanced(np.array([0] * 150 + [1] * 50))])
def test_of_equal_cures_hardly_one_is_called_better_or_worse(
    weights: NDArray[np.float64] | None,
) -> None:
    chance = np.random.default_rng(0)
    called = 0
    for __ in range(200):
        right = {cure: chance.random(200) < 0.8 for cure in ["none", *CURES]}
        rows = judged([{"cure": cure, "helps": None} for cure in right], right, weights)
        called += any(row["helps"] is not None for row in rows)
    assert called <= 0.1 * 200


def test_a_run_killed_in_mid_training_is_resumed_to_the_same_bundle(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real kill is in tests/e2e/test_resume.py; here the same run is broken off at its end."""
    with opened(home) as app:
        through = app.create.train("pets", recipe="seed-cnn,compact", epochs=2, seed=5)

        def broken(*_: object) -> float:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(minting, "check_parity", broken)
            with pytest.raises(KeyboardInterrupt):
                app.create.train("pets", recipe="seed-cnn,compact", epochs=2, seed=5)
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
        resumed = app.create.resume(run)
        assert resumed.record["bundle_digest"] == through.record["bundle_digest"]
        assert resumed.version == through.version + 1
        assert app.create.resume(run).version == resumed.version
        with pytest.raises(RequestError, match="no run"):
            app.create.resume("run_elsewhere")


def test_a_state_of_another_version_is_trained_anew_and_that_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    def broken(*_: object) -> float:
        raise KeyboardInterrupt

    said: list[str] = []
    with opened(home) as app:
        with monkeypatch.context() as patched:
            patched.setattr(minting, "check_parity", broken)
            patched.setattr(checkpoint, "_FORMAT", 0)
            with pytest.raises(KeyboardInterrupt):
                app.create.train("pets", recipe="seed-cnn", epochs=1)
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
        app.create.resume(run, progress=Told())
    assert any("trained anew" in text for text in said)


def test_doubtful_labels_are_left_out_of_training_and_of_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[int]] = []
    fit = trials.fit

    def watched(*given: Any, **options: Any) -> Any:
        seen.append({*map(int, given[3]), *map(int, given[4])})
        return fit(*given, **options)

    with opened(home) as app:
        dataset = app.create.dataset("pets")
        doubted = [
            position
            for position, example in enumerate(dataset.examples)
            if example.split == "train" and example.fold != 0
        ][:3]
        monkeypatch.setattr(suspects, "find", lambda *_, **__: Found(None))
        monkeypatch.setattr(suspects, "positions_to_drop", lambda _: np.array(doubted))
        monkeypatch.setattr(trials, "fit", watched)
        result = app.create.train("pets", recipe="seed-cnn", epochs=1, drop_suspect=True)
    tested = {p for p, example in enumerate(dataset.examples) if example.split == "test"}
    assert seen == [set(range(len(dataset.examples))) - tested - set(doubted)]
    assert result.record["dropped"] == [dataset.examples[p].sha256 for p in doubted]


def test_where_no_label_could_be_judged_that_is_said_and_a_resume_tries_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Told(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    def broken(*_: object) -> float:
        raise KeyboardInterrupt

    reason = _("it was stopped before every label was judged")
    with opened(home) as app:
        with monkeypatch.context() as patched:
            patched.setattr(suspects, "find", lambda *_, **__: Found(reason))
            patched.setattr(minting, "check_parity", broken)
            with pytest.raises(KeyboardInterrupt):
                app.create.train(
                    "pets", recipe="seed-cnn", epochs=1, drop_suspect=True, progress=Told()
                )
        assert any("No doubtful label is left out: it was stopped" in text for text in said)
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
        assert any(f"--resume {run}" in text for text in said)
        with monkeypatch.context() as patched:
            patched.setattr(suspects, "find", lambda *_, **__: Found(reason))
            told = app.create.train("pets", recipe="seed-cnn", epochs=1, drop_suspect=True)
        assert "it was stopped" in (told.folder / "report.html").read_text(encoding="utf-8")
        monkeypatch.setattr(suspects, "find", lambda *_, **__: Found(None))
        monkeypatch.setattr(suspects, "positions_to_drop", lambda _: np.array([0]))
        resumed = app.create.resume(run).record
        assert len(resumed["dropped"]) == 1
        assert resumed["none_left_out"] is None


def test_a_disk_too_full_to_write_down_how_a_run_ended_still_says_how_to_go_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Told(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    def full(*_: object) -> None:
        raise DependencyDown("The disk is full.")

    monkeypatch.setattr(minting, "check_parity", full)
    monkeypatch.setattr(repository, "end_run", full)
    with opened(home) as app:
        with pytest.raises(DependencyDown, match="full"):
            app.create.train("pets", recipe="seed-cnn", epochs=1, progress=Told())
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
    assert any(f"--resume {run}" in text for text in said)


def test_a_run_resumed_twice_has_the_time_that_none_of_its_beginnings_used(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def broken(self: runs.Run) -> None:
        given.append(self.budget.seconds)  # type: ignore[union-attr]
        later = time.time() + 25  # as if it had trained so long
        (self.folder / "log.jsonl").touch()
        os.utime(self.folder / "log.jsonl", (later, later))
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.Run, "_train", broken)
    with opened(home) as app:
        with pytest.raises(KeyboardInterrupt):
            app.create.train("pets", recipe="seed-cnn", seconds=120)
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
        for _round in range(2):
            with pytest.raises(KeyboardInterrupt):
                app.create.resume(run)
    first, second, third = given
    assert first == 120
    assert second <= first - 25
    assert third <= second - 25


def test_time_that_is_up_ends_an_ablation_and_says_what_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit, fitted = trials.fit, []

    def watched(*given: Any, **options: Any) -> Any:
        fitted.append(given[0].name)
        return fit(*given, **options)

    def left(*_given: object, **_options: object) -> float:
        return -1.0 if fitted else 3.0

    monkeypatch.setattr(trials, "fit", watched)
    monkeypatch.setattr(Budget, "for_training", left)
    with opened(home) as app:
        result = app.create.train("pets", seconds=60, ablate=True)  # auto: of two the larger
    assert [row["cure"] for row in result.record["ablation"]] == ["recipe"]
    assert len(fitted) == 1
    skipped = {each["name"]: each["reason"] for each in result.record["skipped"]}
    assert len(skipped) == TRAININGS - 1
    assert set(skipped.values()) == {"no time is left for it."}


def test_a_variant_that_gets_to_no_step_does_not_cost_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = trials.fit

    def hurried(candidate: Any, *given: Any, **options: Any) -> Any:
        if candidate.name == "only-l1":
            raise ConfigError("Training ended before its first step.")
        return fit(candidate, *given, **options)

    monkeypatch.setattr(trials, "fit", hurried)
    with opened(home) as app:
        result = app.create.train("pets", recipe="seed-cnn", epochs=1, ablate=True)
    assert [each["name"] for each in result.record["skipped"]] == ["only-l1"]
    cures = [row["cure"] for row in result.record["ablation"]]
    assert cures == ["none", *(cure for cure in CURES if cure != "l1"), "all", "recipe"]


def test_ctrl_c_as_a_second_candidate_begins_signs_the_first(home: Path) -> None:
    begun: list[str] = []

    class Watched(Silent):
        def start(self, title: str, total: float | None = None) -> None:
            begun.extend(name for name in ("compact",) if title.startswith(f"Training {name}"))

    with opened(home) as app:
        result = app.create.train(
            "pets",
            recipe="seed-cnn,compact",
            epochs=1,
            progress=Watched(),
            should_stop=lambda: bool(begun),
        )
    assert begun == ["compact"]
    assert result.record["interrupted"]
    assert [each["name"] for each in result.record["candidates"]] == ["seed-cnn"]


def test_an_interrupted_search_keeps_what_its_rounds_taught(home: Path) -> None:
    def logs() -> list[Path]:
        return [path for path in (home / "runs").glob("*/log.jsonl") if path not in before]

    def stop() -> bool:
        found = logs()
        return bool(found) and len(found[0].read_text().splitlines()) >= 5

    before = list((home / "runs").glob("*/log.jsonl"))
    with opened(home) as app:
        result = app.create.train(
            "pets", recipe="seed-cnn,compact", epochs=8, search=True, should_stop=stop
        )
    assert result.record["interrupted"]
    lines = [json.loads(line) for line in logs()[0].read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"round-1"}
    assert all(each["epochs"] > 0 for each in result.record["candidates"])


def test_what_is_stopped_before_its_first_step_is_no_model(home: Path) -> None:
    with opened(home) as app, pytest.raises(KeyboardInterrupt):
        app.create.train("pets", recipe="seed-cnn", epochs=3, should_stop=lambda: True)
    assert [path.name for path in (home / "models/pets").glob("[!.]*")] == ["1"]


def test_where_no_time_is_left_a_step_is_made_and_signed_all_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = trials.fit
    monkeypatch.setattr(
        trials, "fit", lambda *given, **options: fit(*given, **options | {"seconds": 1e-6})
    )
    with opened(home) as app:
        result = app.create.train("pets", recipe="seed-cnn", seconds=20)
    assert result.version == 2
    (kept,) = result.record["candidates"]
    assert kept["history"][-1]["step"] == 1


def test_candidates_named_for_an_ablation_have_to_be_one(home: Path) -> None:
    with opened(home) as app, pytest.raises(ConfigError, match="takes one candidate, not 2"):
        app.create.train("pets", recipe="seed-cnn,compact", epochs=1, ablate=True)


def test_a_run_that_had_signed_its_model_before_it_died_does_not_sign_another(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(home) as app:

        def broken(*_: object) -> float:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(runs.Run, "_doubted", broken)
            with pytest.raises(KeyboardInterrupt):
                app.create.train("pets", recipe="seed-cnn", epochs=1)
        with app.workspace.database.read() as connection:
            (run,) = repository.unfinished_runs(connection)
        assert app.create.resume(run).version == 2
        assert app.create.model("pets").subject == "pets@2"


def test_a_run_is_trained_by_one_process_at_a_time(home: Path) -> None:
    with opened(home) as app:
        lock = app.workspace.run_lock
        with (
            lock("run_x"),
            pytest.raises(ConfigError, match="Another process"),
            lock("run_x"),
        ):
            pass
        with app.workspace.run_lock("run_x"):
            pass
