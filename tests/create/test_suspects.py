"""Suspect labels: judged by networks that never saw them, kept, and never dropped from a test."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import ManualClock
from tests.create.test_leakage import dataset_of, example
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create import arrays, judges, out_of_fold, suspects
from mintage.create.dataset import Dataset
from mintage.create.out_of_fold import OutOfFold, Scale, folds_of
from mintage.create.pace import TrainProgress
from mintage.create.suspects import ALGORITHM, MOST_OF_A_CLASS, find, positions_to_drop
from mintage.datasets import drawn_pets
from mintage.store.workspace import Workspace


@pytest.fixture
def opened(tmp_path: Path):
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        yield app


def many(count=200, classes=2, seed=0):
    """A dataset without pictures: every class in every split, some near duplicates."""
    chance = np.random.default_rng(seed)
    examples: list = []
    for number in range(count):
        turn = number // classes % 10
        split = "test" if turn == 9 else "validation" if turn == 8 else "train"
        partner = number - classes if classes <= number % 30 < 2 * classes else number
        group = f"{partner:08x}" + "0" * 56
        examples.append(example(number, f"c{number % classes}", split, group=group))
    return dataset_of(chance.permutation(np.array(examples, dtype=object)).tolist())


def judged(dataset: Dataset, wrong=(), seed=0, sharp=6.0, in_full=True) -> OutOfFold:
    """What sure networks would say, that think otherwise of the examples that are ``wrong``."""
    chance = np.random.default_rng(seed)
    targets = np.array([dataset.labels.index(each.label) for each in dataset.examples])
    targets[list(wrong)] = (targets[list(wrong)] + 1) % len(dataset.labels)
    logits = chance.normal(size=(len(targets), len(dataset.labels)))
    logits[np.arange(len(targets)), targets] += sharp
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chances = np.clip(chances, 0.01, 1.0)
    chances /= chances.sum(axis=1, keepdims=True)
    features = chance.normal(size=(len(targets), 6)).astype(np.float32)
    fold = folds_of(dataset.examples, 3, 0)
    return OutOfFold(fold, chances.astype(np.float32), features, 12.5, in_full)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch):
    """Stands in for the trainings; says how often it was asked, and with what."""
    asked: list[dict] = []

    def ready(answer: OutOfFold | None) -> list[dict]:
        def judge_unseen(_workspace, _dataset, **options):
            asked.append(options)
            return answer

        monkeypatch.setattr(out_of_fold, "judge_unseen", judge_unseen)
        return asked

    return ready


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real networks, small and soon trained: what is easy to learn they learn."""
    monkeypatch.setattr(out_of_fold, "_OF_FEW", Scale(folds=3, side=48, shown=1600))
    monkeypatch.setattr(judges.probe, "PROBE_SECONDS", 0.1)


def found_in(workspace: Workspace, dataset: Dataset, **options) -> suspects.Suspects:
    return find(workspace, dataset, **({"threads": 1, "progress": Silent()} | options))


def test_folds_keep_groups_whole_and_classes_even_whatever_the_order():
    dataset = many(300, classes=3)
    fold = folds_of(dataset.examples, 4, seed=0)
    sides: dict[str, set] = {}
    for each, number in zip(dataset.examples, fold, strict=True):
        sides.setdefault(each.group, set()).add(int(number))
    assert all(len(folds) == 1 for folds in sides.values())
    for label in dataset.labels:
        sizes = Counter(
            int(number)
            for each, number in zip(dataset.examples, fold, strict=True)
            if each.label == label
        )
        assert len(sizes) == 4
        assert max(sizes.values()) - min(sizes.values()) <= 2
    order = np.random.default_rng(1).permutation(300)
    shuffled = folds_of([dataset.examples[position] for position in order], 4, seed=0)
    assert shuffled.tolist() == fold[order].tolist()
    assert folds_of(dataset.examples, 4, seed=1).tolist() != fold.tolist()


def test_no_network_scores_what_it_or_a_near_duplicate_of_it_was_trained_on(
    opened: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    photos = tmp_path / "photos"
    drawn_pets.write_folder(photos, 80, size=48, near_duplicates=6)
    dataset = opened.create.collect(photos, "pets")
    assert len({each.group for each in dataset.examples}) < len(dataset.examples)
    trained: list[np.ndarray] = []
    scored: list[np.ndarray] = []
    real_fit, real_evaluate = judges.fit, judges.evaluate

    def fit(candidate, images, labels, train_index, validation_index, **options):
        trained.append(train_index)
        assert set(validation_index) <= set(train_index)  # nothing is chosen by what is scored
        assert not candidate.restore_best_weights
        assert candidate.early_stopping_patience is None
        options |= {"epochs": 1, "seconds": None}
        return real_fit(candidate, images, labels, train_index, validation_index, **options)

    def evaluate(network, candidate, images, index, **options):
        if not scored or scored[-1] is not index:  # the whole picture, then its middle
            scored.append(index)
        return real_evaluate(network, candidate, images, index, **options)

    monkeypatch.setattr(judges, "fit", fit)
    monkeypatch.setattr(judges, "evaluate", evaluate)
    monkeypatch.setattr(suspects, "_LEARNED", -9.0)  # one pass teaches nothing
    monkeypatch.setattr(judges.Trainer, "same_mirrored", lambda *_, **__: "none")
    found = found_in(opened.workspace, dataset)
    groups = [each.group for each in dataset.examples]
    assert len(trained) == len(scored) > 2
    for learned, asked in zip(trained, scored, strict=True):
        assert not {groups[p] for p in learned} & {groups[p] for p in asked}
        assert all(dataset.examples[position].split != "test" for position in learned)
        assert {dataset.examples[position].label for position in learned} == {"cats", "dogs"}
    assert sorted(np.concatenate(scored).tolist()) == list(range(len(dataset.examples)))
    assert len(found.examples) == len(dataset.examples)


def test_planted_wrong_labels_come_first_and_are_estimated(
    opened: App, tmp_path: Path, briefly: None
):
    photos = two_classes(tmp_path / "photos", each=60)
    moved = set()
    for number in range(0, 60, 10):
        for label, other in (("dark", "light"), ("light", "dark")):
            target = photos / other / f"from-{label}-{number}.jpg"
            (photos / label / f"{number:03}.jpg").rename(target)
            moved.add(target.relative_to(photos).as_posix())
    dataset = opened.create.collect(photos, "pets")
    found = found_in(opened.workspace, dataset, seconds=600)
    assert found.in_full
    assert len(moved & {each.path for each in found.ranked[:12]}) >= 10
    assert all(each.suggested != each.label for each in found.examples)
    assert 0.05 < found.noise_rate < 0.15
    dropped = {dataset.examples[position].path for position in positions_to_drop(found)}
    assert len(dropped & moved) >= 6
    assert len(dropped - moved) <= len(dropped & moved) / 2


def test_a_second_time_nothing_is_trained_and_the_answer_is_the_same(workspace, networks):
    dataset = many()
    asked = networks(judged(dataset, wrong=[3, 50]))
    first = found_in(workspace, dataset, seconds=60)
    again = found_in(workspace, dataset, seconds=600)
    assert len(asked) == 1
    assert first.ranked == again.ranked
    assert {each.position for each in again.listed} == {3, 50}
    assert again.distance.tolist() == first.distance.tolist()
    found_in(workspace, dataset, seconds=60, seed=1)
    found_in(workspace, replace(dataset, version="1" * 64), seconds=60)
    assert len(asked) == 3


def test_what_the_clock_cut_short_is_looked_for_again_where_there_is_more_time(workspace, networks):
    dataset = many()
    asked = networks(judged(dataset, in_full=False))
    for seconds in (60, 30, 60, 90, 90):
        found_in(workspace, dataset, seconds=seconds)
    assert [each["seconds"] for each in asked] == [0.97 * 60, 0.97 * 90]


def test_what_was_spent_already_is_no_longer_there_and_no_reason_to_look_again(workspace, networks):
    dataset = many()
    asked = networks(judged(dataset, in_full=False))
    found_in(workspace, dataset, seconds=60, spent=20)
    found_in(workspace, dataset, seconds=60, spent=2)
    assert [each["seconds"] for each in asked] == [0.97 * 60 - 20]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", None])
def test_a_damaged_or_foreign_cache_is_computed_anew(workspace, networks, damage):
    dataset = many()
    asked = networks(judged(dataset))
    found_in(workspace, dataset, seconds=60)
    path = arrays.place(workspace, dataset, ALGORITHM.replace("/", "-") + "-0")
    if damage is None:
        arrays.write(path, {"probabilities": np.zeros((3, 2)), "about": np.zeros(3)})
    else:
        path.write_bytes(damage)
    found = found_in(workspace, dataset, seconds=60)
    assert len(asked) == 2
    assert len(found.examples) == 200


def test_only_training_examples_are_dropped_though_all_are_judged(workspace, networks):
    dataset = many()
    wrong = list(range(0, 200, 7))
    networks(judged(dataset, wrong=wrong))
    found = found_in(workspace, dataset)
    assert {each.position for each in found.listed} == set(wrong)
    assert {each.split for each in found.listed} == {"train", "validation", "test"}
    positions = positions_to_drop(found)
    assert positions.dtype == np.int64
    assert positions.tolist() == [p for p in wrong if dataset.examples[p].split == "train"]


def test_no_more_is_dropped_than_was_estimated_nor_than_a_fifth_of_a_class(workspace, networks):
    dataset = many(300, classes=3)
    of_one = [p for p, each in enumerate(dataset.examples) if each.label == "c1"]
    networks(judged(dataset, wrong=of_one[: len(of_one) * 2 // 5]))
    found = found_in(workspace, dataset)
    positions = positions_to_drop(found)
    training = [e for e in dataset.examples if e.split == "train" and e.label == "c1"]
    assert 0 < len(positions) <= MOST_OF_A_CLASS * len(training)
    assert len(positions) <= found.noise_rate * len(dataset.examples)
    left = [found.examples[position].rank for position in positions]
    ranks = sorted(
        each.rank for each in found.listed if each.split == "train" and each.label == "c1"
    )
    assert sorted(left) == ranks[: len(left)]


def test_clean_labels_lose_nothing(workspace, networks):
    dataset = many(classes=4)
    networks(judged(dataset, sharp=14.0))
    found = found_in(workspace, dataset)
    assert found.listed == []
    assert found.noise_rate == 0
    assert positions_to_drop(found).tolist() == []


def test_networks_that_learned_nothing_doubt_no_label(workspace, networks):
    dataset = many()
    networks(judged(dataset, sharp=0.3))
    found = found_in(workspace, dataset)
    assert "learned too little" in str(found.why_not)
    assert positions_to_drop(found).tolist() == []
    assert found.listed == []


def test_where_it_was_stopped_nothing_is_kept_and_nothing_dropped(workspace, networks):
    dataset = many()
    networks(None)
    found = found_in(workspace, dataset)
    assert "stopped" in str(found.why_not)
    assert positions_to_drop(found).tolist() == []
    asked = networks(judged(dataset))
    assert found_in(workspace, dataset).why_not is None
    assert len(asked) == 2


def test_a_training_that_is_told_to_stop_ends_and_leaves_no_litter(
    opened: App, tmp_path: Path, briefly: None
):
    dataset = opened.create.collect(two_classes(tmp_path / "photos", each=26), "pets")
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 10

    found = found_in(opened.workspace, dataset, should_stop=stop)
    assert "stopped" in str(found.why_not)
    assert [each.name for each in opened.workspace.cache_folder.iterdir()] == [dataset.version[:32]]
    assert not list(opened.workspace.cache_folder.rglob("confident*"))


def test_the_clock_bounds_the_trainings_where_their_passes_do_not_fit(
    opened: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(suspects, "_LEARNED", -9.0)  # in a second little is learned
    monkeypatch.setattr(out_of_fold, "_LATEST", 100.0)
    dataset = opened.create.collect(two_classes(tmp_path / "photos", each=60), "pets")
    found = found_in(opened.workspace, dataset, seconds=1.0)
    assert not found.in_full
    assert found.seconds < 10  # of a second, four evaluations, and a machine with other work


def test_what_takes_far_longer_than_it_may_is_stopped_and_nothing_is_kept_of_it(
    opened: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain, asked = judges.evaluate, []

    def slow(*given, **options):
        asked.append(time.monotonic())
        time.sleep(1.0)  # as beside many busy processes
        return plain(*given, **options)

    monkeypatch.setattr(judges, "evaluate", slow)
    dataset = opened.create.collect(two_classes(tmp_path / "photos", each=60), "pets")
    found = found_in(opened.workspace, dataset, seconds=1.0)
    assert "stopped" in str(found.why_not)
    assert len(asked) <= 4  # one batch of two views, begun in time; a fold is one batch here
    assert not arrays.place(opened.workspace, dataset, ALGORITHM.replace("/", "-") + "-0").exists()


def test_by_passes_the_same_seed_gives_the_same_answers(
    opened: App, tmp_path: Path, briefly: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(suspects, "_LEARNED", -9.0)
    monkeypatch.setattr(out_of_fold, "_OF_FEW", Scale(folds=2, side=48, shown=100))
    dataset = opened.create.collect(two_classes(tmp_path / "photos", each=26), "pets")
    first = found_in(opened.workspace, dataset, seconds=600)
    arrays.place(opened.workspace, dataset, ALGORITHM.replace("/", "-") + "-0").unlink()
    again = found_in(opened.workspace, dataset, seconds=600)
    assert first.in_full
    assert [each.self_confidence for each in first.examples] == [
        each.self_confidence for each in again.examples
    ]
    assert first.distance.tolist() == again.distance.tolist()


def test_a_class_too_small_to_learn_from_is_not_judged_and_the_others_are(workspace, networks):
    dataset = many()
    few = [replace(each, label="rare") for each in dataset.examples[:15]]
    mixed = dataset_of([*few, *dataset.examples[15:]])
    asked = networks(judged(mixed, wrong=[40]))
    found = found_in(workspace, mixed)
    assert (found.labels, found.too_few) == (("c0", "c1"), ("rare",))
    assert asked[0]["judged"].tolist() == [False] * 15 + [True] * 185
    assert sorted(each.position for each in found.examples) == list(range(15, 200))
    assert [each.position for each in found.listed] == [40]
    assert {each.suggested for each in found.examples} == {"c0", "c1"}
    assert found.counts.sum() == 185


def test_where_less_than_two_classes_can_be_learned_nothing_is_judged(workspace, networks):
    dataset = many(30)
    asked = networks(judged(dataset))
    assert "fewer than two classes" in str(found_in(workspace, dataset).why_not)
    assert asked == []


def test_what_a_busy_machine_taught_too_little_is_tried_again(workspace, networks):
    dataset = many()
    asked = networks(judged(dataset, sharp=0.3, in_full=False))
    assert "learned too little" in str(found_in(workspace, dataset, seconds=60).why_not)
    networks(judged(dataset, in_full=False))
    assert found_in(workspace, dataset, seconds=60).why_not is None
    assert found_in(workspace, dataset, seconds=60).why_not is None
    assert len(asked) == 2


def test_a_rare_class_is_neither_learned_nor_asked_about(
    opened: App, tmp_path: Path, briefly: None
):
    photos = two_classes(tmp_path / "photos", each=40)
    rare = photos / "rare"
    rare.mkdir()
    for number in range(6):
        (photos / f"dark/{number:03}.jpg").rename(rare / f"{number:03}.jpg")
    dataset = opened.create.collect(photos, "pets")
    found = found_in(opened.workspace, dataset, seconds=600)
    assert found.why_not is None
    assert found.too_few == ("rare",)
    assert {each.label for each in found.examples} == {"dark", "light"}
    assert len(found.distance) == len(dataset.examples)


def test_a_machine_that_is_slower_than_was_thought_trains_what_it_has_time_for(
    monkeypatch: pytest.MonkeyPatch,
):
    clock = ManualClock()
    monkeypatch.setattr(out_of_fold.time, "monotonic", clock.monotonic)
    dataset = many(4000)
    plan = out_of_fold.planned(dataset, np.ones(4000, dtype=bool), 0)
    work = out_of_fold._Work(plan, lambda _: None, 2, clock.monotonic(), 400.0, 1.0, Silent())
    whole, seconds = work.choice(0)
    assert seconds is None
    with work.measured(whole) as show:
        for step in range(1, 12):  # a second for each step, as beside many busy processes
            clock.advance(1.0)
            show(TrainProgress(0.1, 1, step, 0.5, 0.5, 100.0, 9.0))
    assert work.speed == pytest.approx(1000 / judges.milliseconds(whole, whole.batch_size))
    less, seconds = work.choice(0)
    assert seconds == pytest.approx(work.share(0))
    assert less.augmentation.crop < whole.augmentation.crop  # of few passes changes cost more


def test_no_bar_goes_back_where_the_end_will_take_longer_than_was_thought() -> None:
    seen: list[float] = []

    class Watched(Silent):
        def advance(self, done: float, note: str = "") -> None:
            seen.append(done)

    plan = out_of_fold.planned(many(4000), np.ones(4000, dtype=bool), 0)
    work = out_of_fold._Work(plan, lambda _: None, 2, time.monotonic(), 400.0, 1.0, Watched())
    with work.measured(plan.by_passes()) as show:
        for fraction in (0.1, 0.3, 0.2, 0.4):
            show(TrainProgress(fraction, 1, 1, 0.5, 0.5, 100.0, 9.0))
    assert seen == [0.1, 0.3, 0.3, 0.4]


def test_a_workspace_that_can_only_be_read_says_so_but_gives_what_was_found_before(
    workspace, networks, monkeypatch
):
    from mintage.core.errors import ConfigError

    dataset = many()
    asked = networks(judged(dataset, wrong=[3]))
    monkeypatch.setattr(workspace, "refusal", ConfigError("read only"))
    assert "only be read" in str(found_in(workspace, dataset).why_not)
    assert asked == []
    monkeypatch.setattr(workspace, "refusal", None)
    found_in(workspace, dataset)
    monkeypatch.setattr(workspace, "refusal", ConfigError("read only"))
    assert [each.position for each in found_in(workspace, dataset).listed] == [3]


def test_more_examples_get_more_time_within_bounds():
    assert suspects.default_seconds(many(10)) == 90
    assert suspects.default_seconds(many(4000)) == 400
    assert suspects.default_seconds(many(60_000)) == 900
