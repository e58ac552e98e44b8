"""The verbs that grow, tell apart and compare, as a terminal shows them."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.create.test_grow import more
from tests.pictures import two_classes

from mintage.cli import collecting, comparing, create
from mintage.core.errors import ConfigError

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Path:
    """A workspace with the dataset ``pets``."""
    monkeypatch.setenv("MINTAGE_THREADS", "1")
    photos = two_classes(tmp_path / "photos", each=8)
    collecting.collect(str(photos), name="pets", home=tmp_path / "home")
    capsys.readouterr()
    return tmp_path / "home"


def collected(home: Path, capsys: Capture, location: Path, **options: Any) -> Any:
    collecting.collect(str(location), into="pets", home=home, as_json=True, **options)
    return json.loads(capsys.readouterr().out)


def test_collect_into_says_what_was_added_in_words_and_in_json(
    pets: Path, tmp_path: Path, capsys: Capture
) -> None:
    batch = more(tmp_path / "more", 0, 6, "dark", "grey")
    shutil.copy(tmp_path / "photos/light/001.jpg", batch / "dark/conflict.jpg")
    collecting.collect(str(batch), into="pets", home=pets)
    shown = capsys.readouterr().out
    for words in ("12 examples added to pets#", "1 taken out", "New classes: grey", "in 5 folds"):
        assert words in shown
    found = collected(pets, capsys, more(tmp_path / "again", 100, 3))
    assert len(found["added"]) == 6
    assert {each["label"] for each in found["added"]} == {"dark", "light"}
    assert found["removed"] == found["new_classes"] == []
    assert found["examples"] == sum(found["classes"].values()) == 16 + 12 - 1 + 6
    assert found["grown_from"] != found["version"]


def test_collect_into_says_when_nothing_is_new(pets: Path, tmp_path: Path, capsys: Capture) -> None:
    collecting.collect(str(tmp_path / "photos"), into="pets", home=pets)
    assert "Nothing new: pets#" in capsys.readouterr().out
    found = collected(pets, capsys, tmp_path / "photos")
    assert found["grown_from"] == found["version"]
    assert found["added"] == []
    assert len(found["duplicates"]) == 16


def test_growing_past_a_thousand_says_what_becomes_of_the_folds(
    pets: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mintage.create import splits

    monkeypatch.setattr(splits, "_FOLDS_BELOW", 20)
    collecting.collect(str(more(tmp_path / "more", 0, 6)), into="pets", home=pets)
    shown = capsys.readouterr().out
    assert "folds choose no more" in shown
    assert "validation" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "It is not said where"),
        ({"name": "a", "into": "b"}, "exclude one another"),
        ({"into": "pets", "seed": 3}, "keeps the seed"),
    ],
)
def test_where_examples_go_is_said_once(
    pets: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        collecting.collect(str(tmp_path / "photos"), home=pets, **options)
    assert raised.value.remedy


def test_diff_shows_counts_and_the_first_of_each_kind(
    pets: Path, tmp_path: Path, capsys: Capture
) -> None:
    old = collected(pets, capsys, tmp_path / "photos")["version"]
    batch = more(tmp_path / "more", 0, 8)
    shutil.copy(tmp_path / "photos/light/001.jpg", batch / "dark/conflict.jpg")
    collected(pets, capsys, batch)
    comparing.diff(f"pets#{old[:9]}", home=pets)
    shown = capsys.readouterr().out
    assert "removed: light/001.jpg (light)" in shown
    assert shown.count("added: ") == 10
    assert "… and 6 more; all with --json" in shown
    comparing.diff(f"pets#{old}", "pets", home=pets, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert len(found["added"]) == 16
    assert found["moved"] == []
    comparing.diff("pets", "pets", home=pets)
    assert "They are the same." in capsys.readouterr().out
    with pytest.raises(ConfigError, match="pets alone is its newest version"):
        comparing.diff("pets", home=pets)


def test_compare_shows_both_models_and_says_which_is_better_or_that_nobody_knows(
    home: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_THREADS", "1")
    create.train("pets", epochs=1, recipe="seed-cnn", seed=4, home=home)
    capsys.readouterr()
    comparing.compare("pets@1", "pets@2", home=home, as_json=True)
    found = json.loads(capsys.readouterr().out)
    comparing.compare("pets@1", "pets@2", home=home)
    shown = capsys.readouterr().out
    assert re.search(rf"only pets@1 right +{found['only_first_right']}\n", shown)
    assert found["in_words"] in shown
    assert "95 % interval" in shown
    assert "measured on pets#" in shown
    fresh = more(tmp_path / "fresh", 0, 4)
    (fresh / "dark/bad.jpg").write_bytes(b"bad")
    comparing.compare("pets@1", "pets@2", data=fresh, home=home)
    out, err = capsys.readouterr()
    assert "measured on fresh" in out
    assert "left out dark/bad.jpg" in err


def test_a_table_of_folds_has_no_column_of_zeros(pets: Path, capsys: Capture) -> None:
    collecting.inspect("pets", quick=True, home=pets)
    shown = capsys.readouterr().out
    assert "training, in 5 folds" in shown
    assert "validation  " not in shown
