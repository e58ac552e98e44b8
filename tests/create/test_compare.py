"""Two models on the same examples, which neither of them has seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.create.test_grow import more
from tests.pictures import two_classes

from mintage.app.root import App
from mintage.core.errors import ConfigError, DataError
from mintage.core.settings import load_settings
from mintage.core.types import Example
from mintage.create import compare
from mintage.create.dataset import Dataset


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    """pets@1 of the first version, pets@2 of one that was grown."""
    with App(load_settings(home=home, threads=1)) as opened:
        yield opened


def test_the_newer_models_test_data_decides_without_what_either_has_seen(
    app: App, tmp_path: Path
) -> None:
    growth = app.create.grow(two_classes(tmp_path / "more", each=75), "pets")
    app.create.train("pets", recipe="seed-cnn", epochs=1)
    found = app.create.compare("pets@1", "pets@2")
    test = [example for example in growth.dataset.examples if example.split == "test"]
    assert found["data"] == {"dataset": growth.dataset.reference, "split": "test"}
    assert found["examples"] == len(test)
    assert found["left_out"] == {"seen": 0, "near_duplicates": 0}
    first, second = found["models"]
    assert (first["model"], second["model"]) == ("pets@1", "pets@2")
    agree = found["both_right"] + found["both_wrong"]
    assert agree + found["only_first_right"] + found["only_second_right"] == len(test)
    right = found["both_right"] + found["only_first_right"]
    assert first["accuracy"] == pytest.approx(right / len(test))
    assert found["difference"] == pytest.approx(second["accuracy"] - first["accuracy"])
    low, high = found["difference_interval"]
    assert low <= found["difference"] <= high
    # Each alone over the same examples says the same.
    alone = app.create.evaluate_split("pets@2", growth.dataset, "test")
    assert alone["accuracy"] == pytest.approx(second["accuracy"])
    turned = app.create.compare("pets@2", "pets@1")
    assert turned["data"] == found["data"]
    assert turned["only_first_right"] == found["only_second_right"]
    assert turned["p_value"] == found["p_value"]


def test_what_one_of_them_trained_on_is_left_out(app: App, tmp_path: Path) -> None:
    photos = app.create.dataset("pets")
    source = home_of(app)
    app.create.collect(source, "again", seed=5)
    app.create.train("again", recipe="seed-cnn", epochs=1)
    seen = {e.sha256 for e in photos.examples if e.split != "test"}
    tested = [e for e in app.create.dataset("again").examples if e.split == "test"]
    found = app.create.compare("pets@1", "again@1")
    assert found["left_out"]["seen"] == sum(e.sha256 in seen for e in tested) > 0
    assert found["examples"] == len(tested) - found["left_out"]["seen"]


def home_of(app: App) -> Path:
    """The pictures of the dataset pets as a folder again."""
    folder = app.workspace.home / "pictures"
    for example in app.create.dataset("pets").examples:
        path = folder / example.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(app.workspace.blobs_of("pets").get(example.sha256))
    return folder


def test_other_data_is_read_once_and_what_was_seen_there_is_left_out(
    app: App, tmp_path: Path
) -> None:
    app.create.train("pets", recipe="compact", epochs=1)
    photos = home_of(app)
    (photos / "dark/copy.jpg").write_bytes((photos / "dark/000.jpg").read_bytes())
    (photos / "dark/bad.jpg").write_bytes(b"bad")
    fresh = more(photos, 0, 6)
    found = app.create.compare("pets@1", "pets@2", data=fresh)
    tested = sum(e.split == "test" for e in app.create.dataset("pets").examples)
    assert found["examples"] == tested + 12
    assert found["left_out"]["seen"] >= 120 - tested
    assert "dark/bad.jpg" in {each["path"] for each in found["skipped"]}
    assert found["data"]["name"] == "pictures"


def test_models_that_cannot_be_compared_are_refused_with_a_reason(app: App, tmp_path: Path) -> None:
    photos = more(two_classes(tmp_path / "photos", each=8), 0, 8, "grey")
    app.create.collect(photos, "three")
    app.create.train("three", recipe="seed-cnn", epochs=1)
    with pytest.raises(ConfigError, match="different classes: only one of them knows grey"):
        app.create.compare("pets", "three")
    with pytest.raises(ConfigError, match="compared with itself"):
        app.create.compare("pets@1", "pets@latest")
    app.create.train("pets", recipe="seed-cnn", epochs=1)
    with pytest.raises(DataError, match="does not know the class grey"):
        app.create.compare("pets@1", "pets@2", data=photos)


def test_without_the_datasets_nobody_can_know_and_data_is_asked_for(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.create.train("pets", recipe="seed-cnn", epochs=1)
    monkeypatch.setattr(type(app.create), "_trained_on", lambda *_: None)
    with pytest.raises(DataError, match="not in this workspace") as raised:
        app.create.compare("pets@1", "pets@2")
    assert "--data" in raised.value.remedy
    found = app.create.compare("pets@1", "pets@2", data=more(tmp_path / "more", 0, 6))
    assert found["left_out"]["seen"] is None


@dataclass
class Fake:
    """A dataset of letters: ``a`` in train, ``A`` in test; ``x=g`` stands in the group g."""

    words: str

    def dataset(self) -> Dataset:
        examples = []
        for word in self.words.split():
            letter, _, group = word.partition("=")
            split: Any = "test" if letter.isupper() else "train"
            digest = letter.lower()
            line = Example(digest, letter, "cat", split, None, group or digest, (1, 1), 1)
            examples.append(line)
        return Dataset("d", "1", tuple(examples), {}, Path())


@pytest.mark.parametrize(
    ("newer", "older", "unseen"),
    [
        ("A B c", "A d", "A B"),  # B was added since
        ("A B c", "a B", "B"),  # a trained the older one
        ("A B=b C=b d", "A b=b", "A"),  # c is nearly b, which trained the older one
        ("A B", "A=g x=g", "B"),  # in the older one a is nearly x
        ("A", "a", ""),
    ],
)
def test_what_neither_has_seen_is_told_by_content_and_group(
    newer: str, older: str, unseen: str
) -> None:
    dataset = Fake(newer).dataset()
    found = compare._unseen(dataset, [Fake(older).dataset(), dataset])
    assert [dataset.examples[position].path for position in found] == unseen.split()


def contenders() -> Any:
    return SimpleNamespace(name="pets@1"), SimpleNamespace(name="pets@2")


@pytest.mark.parametrize(
    ("only_first", "only_second", "better", "words"),
    [
        (
            1,
            12,
            "pets@2",
            "pets@2 is better: it answers 11.0 more of 100 examples right (p = 0.003",
        ),
        (
            30,
            2,
            "pets@1",
            "pets@1 is better: it answers 28.0 more of 100 examples right (p < 0.001",
        ),
        (3, 5, None, "No difference can be told from 100 examples (p = 0.727)"),
        (0, 0, None, "No difference can be told from 100 examples (p = 1.000)"),
    ],
)
def test_the_verdict_is_said_in_words(
    only_first: int, only_second: int, better: str | None, words: str
) -> None:
    first = np.arange(100) < 50
    second = first.copy()
    second[50 : 50 + only_second] = True
    second[:only_first] = False
    found = compare._compared(contenders(), first, second)
    assert found["better"] == better
    assert words in found["in_words"]
    assert (found["only_first_right"], found["only_second_right"]) == (only_first, only_second)
