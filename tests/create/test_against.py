"""A model beside people on the same pictures; scikit-learn and SciPy say what is right."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, cohen_kappa_score
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.bundle.graph import Graph
from mintage.core.errors import DataError
from mintage.core.settings import load_settings
from mintage.core.types import Example

People = dict[str, dict[str, str]]


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with App(load_settings(home=home, threads=1)) as opened:
        yield opened


def held_out(app: App) -> list[Example]:
    return [each for each in app.create.dataset("pets").examples if each.split == "test"]


def answers_of(app: App, examples: list[Example]) -> dict[str, str]:
    """What the graph itself says of each, by path."""
    bundle = app.create.model("pets@1")
    predictor = app.create.open(bundle)
    pixels = np.stack(
        [predictor.decode(app.workspace.blobs_of("pets").get(e.sha256)) for e in examples]
    )
    logits, __ = Graph(bundle.model, threads=1).run(pixels)
    said = [bundle.manifest.labels[int(logit > 0)] for logit in logits[:, 0]]
    return {each.path: answer for each, answer in zip(examples, said, strict=True)}


def people_for(examples: list[Example]) -> People:
    """Ada errs on every fifth, Bo on every third, Cy on most, and not everybody answers all."""
    other = {"dark": "light", "light": "dark"}

    def erring(wrong: Any, left_out: Any) -> dict[str, str]:
        return {
            each.path: other[each.label] if wrong(n) else each.label
            for n, each in enumerate(examples)
            if not left_out(n)
        }

    return {
        "Ada": erring(lambda n: n % 5 == 0, lambda n: False),
        "Bo": erring(lambda n: n % 3 == 0, lambda n: n % 4 == 1),
        "Cy": erring(lambda n: n % 6 != 0, lambda n: n % 7 == 2),
    }


def written(path: Path, people: Mapping[str, Mapping[str, str]]) -> Path:
    pictures = sorted({picture for said in people.values() for picture in said})
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["path", *people])
        for picture in pictures:
            table.writerow([picture, *(said.get(picture, "") for said in people.values())])
    return path


def test_every_figure_is_what_others_compute(app: App, tmp_path: Path) -> None:
    examples = held_out(app)
    people, model = people_for(examples), answers_of(app, examples)
    truth = {each.path: each.label for each in examples}
    found = app.create.evaluate_against("pets@1", written(tmp_path / "human.csv", people))
    assert found["data"] == {"dataset": app.create.dataset("pets").reference, "split": "test"}
    assert (found["model"], found["against"]) == ("pets@1", "human.csv")
    assert found["examples"] == len(examples)
    assert found["unanswered"] == 0
    assert [each["person"] for each in found["people"]] == ["Ada", "Bo", "Cy"]
    for each in found["people"]:
        _check_contest(each, people[each["person"]], model, truth)
    voices = {"pets@1": model, **people}
    pairs = [tuple(each["between"]) for each in found["agreement"]]
    assert pairs == [
        ("pets@1", "Ada"), ("pets@1", "Bo"), ("pets@1", "Cy"),
        ("Ada", "Bo"), ("Ada", "Cy"), ("Bo", "Cy"),
    ]  # fmt: skip
    for each in found["agreement"]:
        one, other = (voices[name] for name in each["between"])
        both = sorted(one.keys() & other.keys())
        first, second = [one[path] for path in both], [other[path] for path in both]
        assert each["examples"] == len(both)
        assert each["agreed"] == pytest.approx(accuracy_score(first, second))
        assert each["kappa"] == pytest.approx(cohen_kappa_score(first, second))
    assert found["skipped"]
    assert found["left_out"]["empty"] == len(found["skipped"]) == _blanks(people, examples)


def _blanks(people: People, examples: list[Example]) -> int:
    return sum(len(examples) - len(said) for said in people.values())


def _check_contest(
    each: dict[str, Any], said: dict[str, str], model: dict[str, str], truth: dict[str, str]
) -> None:
    paths = sorted(said)
    right = Counter((said[path] == truth[path], model[path] == truth[path]) for path in paths)
    assert each["examples"] == len(paths)
    assert each["accuracy"] == pytest.approx(np.mean([said[p] == truth[p] for p in paths]))
    assert each["model_accuracy"] == pytest.approx(np.mean([model[p] == truth[p] for p in paths]))
    assert each["both_right"] == right[True, True]
    assert each["only_person_right"] == right[True, False]
    assert each["only_model_right"] == right[False, True]
    assert each["both_wrong"] == right[False, False]
    for name, share in (("interval", "accuracy"), ("model_interval", "model_accuracy")):
        hits = round(each[share] * len(paths))
        wilson = binomtest(hits, len(paths)).proportion_ci(method="wilson")
        assert each[name] == pytest.approx([wilson.low, wilson.high], abs=1e-9)
    apart = right[True, False] + right[False, True]
    p_value = binomtest(right[True, False], apart).pvalue if apart else 1.0
    assert each["p_value"] == pytest.approx(p_value)
    wanted = None
    if p_value < 0.05:
        wanted = each["person"] if right[True, False] > right[False, True] else "pets@1"
    assert each["better"] == wanted
    if wanted is None:
        assert "No difference can be told" in each["in_words"]
    else:
        assert each["in_words"].startswith(f"{wanted} is better: ")
    low, high = each["difference_interval"]
    assert low <= each["difference"] <= high


def test_who_is_clearly_better_is_said(app: App, tmp_path: Path) -> None:
    examples = held_out(app)
    truth = {each.path: each.label for each in examples}
    model = answers_of(app, examples)
    other = {"dark": "light", "light": "dark"}
    wrong = {path: other[label] for path, label in truth.items()}
    found = app.create.evaluate_against("pets", written(tmp_path / "a.csv", {"Zed": wrong}))
    (zed,) = found["people"]
    right = sum(model[path] == truth[path] for path in truth)
    assert right > 15  # or the test says nothing
    assert zed["better"] == "pets@1"
    assert zed["in_words"] == (
        f"pets@1 is better: {100 * right / len(truth):.1f} more of 100 examples right (p < 0.001)."
    )
    assert found["majority"] is None
    assert found["alpha"] is None


def test_the_majority_is_of_two_at_least_and_an_even_vote_is_none(app: App, tmp_path: Path) -> None:
    examples = held_out(app)[:6]
    dark, light = "dark", "light"
    votes = [
        [dark, dark, light],
        [light, "", light],
        [dark, "", ""],  # one alone is no majority
        [dark, light, ""],  # even
        [light, light, light],
        [dark, light, light],
    ]
    people: People = {"Ada": {}, "Bo": {}, "Cy": {}}
    for example, row in zip(examples, votes, strict=True):
        for person, answer in zip(people, row, strict=True):
            people[person][example.path] = answer
    found = app.create.evaluate_against("pets@1", written(tmp_path / "a.csv", people))
    wanted = [dark, light, None, None, light, light]
    pairs = [(example.label, vote) for example, vote in zip(examples, wanted, strict=True) if vote]
    majority = found["majority"]
    assert majority["person"] == "the people's majority"
    assert majority["examples"] == len(pairs) == 4
    assert majority["accuracy"] == pytest.approx(np.mean([one == other for one, other in pairs]))
    assert found["left_out"]["empty"] == 4
    del people["Cy"]
    found = app.create.evaluate_against("pets@1", written(tmp_path / "b.csv", people))
    assert found["majority"] is None


def test_what_the_model_learned_from_does_not_count(app: App, tmp_path: Path) -> None:
    dataset = app.create.dataset("pets")
    everything = {each.path: each.label for each in dataset.examples}
    found = app.create.evaluate_against("pets", written(tmp_path / "a.csv", {"Ada": everything}))
    test = held_out(app)
    assert found["examples"] == len({each.group for each in test})
    assert found["left_out"]["unfit"] == len(everything) - len(test)
    learned = {each.path for each in dataset.examples if each.split != "test"}
    assert {each["path"] for each in found["skipped"]} == learned
    assert {each["reason"] for each in found["skipped"]} == {"the model learned or chose from it"}
    only = {path: label for path, label in everything.items() if path in learned}
    with pytest.raises(DataError, match=r"No answer of b\.csv is about") as raised:
        app.create.evaluate_against("pets", written(tmp_path / "b.csv", {"Ada": only}))
    assert "learned or chose" in raised.value.remedy


def test_of_near_duplicates_one_counts(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from mintage.app.evaluating import Evaluating

    dataset = app.create.dataset("pets")
    first, second, third = held_out(app)[:3]
    same = {second.path: first.group}
    examples = tuple(replace(e, group=same.get(e.path, e.group)) for e in dataset.examples)
    changed = replace(dataset, examples=examples)
    monkeypatch.setattr(Evaluating, "_trained_on", lambda *__: changed)
    people = {
        "Ada": {each.path: each.label for each in (first, second, third)},
        "Bo": {each.path: each.label for each in (second, third)},
    }
    found = app.create.evaluate_against("pets", written(tmp_path / "a.csv", people))
    assert found["examples"] == 2
    assert found["left_out"]["near_duplicates"] == 1
    assert found["unanswered"] == len(held_out(app)) - 3
    # The one that more people answered is the one that counts.
    assert [each["examples"] for each in found["people"]] == [2, 2]


def test_other_pictures_are_compared_on_without_those_the_model_has_seen(
    app: App, home: Path, tmp_path: Path
) -> None:
    fresh = two_classes(tmp_path / "fresh", each=12, size=(52, 41))
    learned = next(each for each in app.create.dataset("pets").examples if each.split == "train")
    (fresh / learned.label / "seen.jpg").write_bytes(
        app.workspace.blobs_of("pets").get(learned.sha256)
    )
    shutil.copy(fresh / "dark/003.jpg", fresh / "dark/copy.jpg")
    shutil.copy(fresh / "dark/004.jpg", fresh / "light/otherwise.jpg")
    (fresh / "dark/broken.jpg").write_bytes(b"broken")
    rows = {
        "dark/003.jpg": "dark", "dark/copy.jpg": "dark", "dark/004.jpg": "dark",
        f"{learned.label}/seen.jpg": "dark", "light/005.jpg": "light", "dark/broken.jpg": "dark",
    }  # fmt: skip
    table = written(tmp_path / "human.csv", {"Ada": rows})
    found = app.create.evaluate_against("pets", table, data=fresh)
    assert found["data"] == {"kind": "folder", "name": "fresh"}
    assert found["examples"] == 2  # 003, whatever its name, and 005
    assert found["people"][0]["accuracy"] == 1
    assert found["unanswered"] == 24 - 3
    assert found["left_out"]["unfit"] == 2
    reasons = {each["path"]: each["reason"] for each in found["skipped"]}
    assert reasons["dark/broken.jpg"] == "no such picture"
    assert "another label" in reasons["dark/004.jpg"]
    assert reasons[f"{learned.label}/seen.jpg"] == "the model learned or chose from it"


def test_where_the_dataset_is_not_here_other_pictures_are_asked_for(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mintage.app.evaluating import Evaluating

    monkeypatch.setattr(Evaluating, "_trained_on", lambda *__: None)
    table = written(tmp_path / "a.csv", {"Ada": {"dark/000.jpg": "dark", "light/001.jpg": "light"}})
    with pytest.raises(DataError, match="not in this workspace") as raised:
        app.create.evaluate_against("pets", table)
    assert "--data" in raised.value.remedy
    fresh = two_classes(tmp_path / "fresh", each=3, size=(52, 41))
    found = app.create.evaluate_against("pets", table, data=fresh)
    assert found["left_out"]["unfit"] is None
    assert found["examples"] == 2
