"""What is wrong with a dataset, each finding with what to do about it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.create.test_leakage import dataset_of, example
from tests.create.test_outliers import measures_of
from tests.create.test_suspects import judged, many
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create import inspect, out_of_fold, suspects
from mintage.create.inspect import MEASURES, WIDE, examined
from mintage.create.leakage import binned
from mintage.tasks.metrics import wilson_interval


@pytest.fixture
def pets(tmp_path: Path):
    """A workspace with 2 × 40 pictures."""
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        app.create.collect(two_classes(tmp_path / "photos", each=40), "pets")
        yield app


@pytest.fixture
def networks(pets: App, monkeypatch: pytest.MonkeyPatch):
    """Sure networks, which think otherwise of the examples at some positions."""

    def ready(wrong=(), far=()):
        answer = judged(pets.create.dataset("pets"), wrong)
        answer.features[list(far)] += 40

        def judge_unseen(*_, **__):
            return answer

        monkeypatch.setattr(out_of_fold, "judge_unseen", judge_unseen)

    return ready


def checks(found) -> Counter:
    return Counter(concern["check"] for concern in found["concerns"])


def test_wrong_labels_and_outliers_are_listed_with_what_to_do(pets: App, networks):
    networks(wrong=[2, 17, 30], far=[5])
    found = pets.create.inspect("pets", look="labels", threads=1)
    by_check = {concern["check"]: concern for concern in found["concerns"]}
    paths = [each.path for each in pets.create.dataset("pets").examples]
    errors = by_check["label_errors"]
    assert {each["path"] for each in errors["examples"]} == {paths[2], paths[17], paths[30]}
    assert [each["rank"] for each in errors["examples"]] == [0, 1, 2]
    assert "probably wrong: 3 of 80" in errors["found"]
    assert "mintage train pets --drop-suspect" in errors["suggestion"]
    assert [each["path"] for each in by_check["outliers"]["examples"]] == [paths[5]]
    assert by_check["outliers"]["suggestion"]
    about = found["label_errors"]
    assert about["noise_rate"] == pytest.approx(3 / 80, abs=0.01)
    assert np.array(about["counts"]).sum() == 80
    assert found["left_out"] == []
    json.dumps(found)


def test_what_collecting_found_is_still_there_and_the_card_alone_is_read_by_default(pets: App):
    alone = pets.create.inspect("pets")
    assert not (pets.workspace.cache_folder / alone["version"][:32]).exists()
    closer = pets.create.inspect("pets", look="pictures")
    assert {name: closer[name] for name in alone} == alone
    assert closer.keys() - alone.keys() == {"concerns", "label_errors", "left_out"}


def test_a_quick_look_trains_nothing_and_says_what_it_leaves_out(pets: App, monkeypatch):
    monkeypatch.setattr(suspects, "find", lambda *_, **__: pytest.fail("trained"))
    found = pets.create.inspect("pets", look="pictures")
    assert found["label_errors"] is None
    (reason,) = found["left_out"]
    assert "--quick" in reason


def test_without_torch_the_rest_is_done_and_the_line_that_installs_it_is_said(
    pets: App, monkeypatch
):
    monkeypatch.setattr(suspects, "has_torch", lambda: False)
    found = pets.create.inspect("pets", look="labels")
    (reason,) = found["left_out"]
    assert "pip install 'mintage[train]'" in reason
    assert checks(found)["small_class"] == 2


def test_why_labels_could_not_be_judged_is_passed_on(pets: App, networks):
    networks(wrong=range(40))
    found = pets.create.inspect("pets", look="labels", threads=1)
    assert found["label_errors"] is None
    assert "learned too little" in found["left_out"][0]
    assert not checks(found)["label_errors"]


def test_a_workspace_that_can_only_be_read_can_be_inspected(pets: App, monkeypatch):
    from mintage.core.errors import ConfigError

    monkeypatch.setattr(pets.workspace, "refusal", ConfigError("read only"))
    found = pets.create.inspect("pets", look="labels", threads=1)
    assert "only be read" in found["left_out"][0]
    assert checks(found)["small_class"] == 2
    assert not list(pets.workspace.cache_folder.rglob("*.npz"))


def small(test: int, train: int, copies: int = 0):
    """One class with so many examples beside a large one; copies are near duplicates of a test."""
    numbers = iter(range(10_000))
    examples = [example(next(numbers), "large", "test") for _ in range(200)]
    examples += [example(next(numbers), "large") for _ in range(1800)]
    examples += [example(next(numbers), "small", "test") for _ in range(test)]
    examples += [example(next(numbers), "small") for _ in range(train)]
    group = examples[2000].group
    examples += [example(next(numbers), "small", "test", group=group) for _ in range(copies)]
    return dataset_of(examples)


def of_small_classes(dataset):
    return list(inspect._of_small_classes(dataset))


def test_a_class_too_small_to_measure_is_named_with_how_many_are_missing():
    (concern,) = of_small_classes(small(test=10, train=90))
    (row,) = concern.examples
    low, high = wilson_interval(9, 10)
    assert f"{low:.0%} to {high:.0%}" in concern.found
    assert row["label"] == "small"
    # With so many more, a tenth of which are for the test, the interval is as narrow as wanted.
    enough = 10 + round(row["more"] / 10)
    low, high = wilson_interval(0.9 * enough, enough)
    assert high - low <= WIDE
    low, high = wilson_interval(0.9 * (enough - 2), enough - 2)
    assert high - low > WIDE


def test_near_duplicates_do_not_make_a_class_large_enough():
    assert of_small_classes(small(test=60, train=540)) == []
    assert len(of_small_classes(small(test=12, train=540, copies=60))) == 1


def test_a_class_of_which_the_test_has_nothing_is_too_small():
    (concern,) = of_small_classes(small(test=0, train=20))
    assert concern.examples[0]["test_examples"] == 0
    assert concern.examples[0]["more"] >= 30


def test_a_clean_dataset_of_many_pictures_raises_no_concern(workspace, monkeypatch):
    dataset = many(2000)
    card = {"task": "class", "source": {}, "about": {}} | dict(dataset.card)
    card["quality"] = dict.fromkeys(
        ("skipped", "duplicates", "conflicts", "near_duplicates", "hidden", "stray"), ()
    )
    examples = [each for each in dataset.examples if each.group == many_own_group(each)]
    clean = dataset_of(examples)
    object.__setattr__(clean, "card", card)
    monkeypatch.setattr(inspect, "measured", lambda *_: None)
    monkeypatch.setattr(out_of_fold, "judge_unseen", lambda *_, **__: judged(clean, sharp=14.0))
    found = examined(workspace, clean, train=True, progress=Silent())
    assert found["concerns"] == []
    assert found["label_errors"]["noise_rate"] == 0


def many_own_group(each) -> str:
    """The group of an example that is in one by itself, as ``many`` numbers them."""
    return f"{int(each.sha256, 16):08x}" + "0" * 56


def test_every_measure_has_a_name_for_people():
    assert MEASURES.keys() == binned(measures_of()).keys()
