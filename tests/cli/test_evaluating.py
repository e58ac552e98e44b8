"""Asking a model with reasons, and measuring it beside people, as a terminal shows them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.pictures import encoded, jpeg
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.bundle.overlay import is_ours
from mintage.core.settings import load_settings


@pytest.fixture
def pictures(trained_home: Path, tmp_path: Path) -> Path:
    """Two of one name in two folders, one that is none, one unlike all that the model knows."""
    folder = tmp_path / "in"
    for label in ("dark", "light"):
        (folder / label).mkdir(parents=True)
        shutil.copy(trained_home.parent / "photos" / label / "003.jpg", folder / label / "003.jpg")
    (folder / "broken.jpg").write_bytes(jpeg(7)[:300])
    lines = Image.effect_noise((64, 64), 200).convert("RGB")
    (folder / "stranger.png").write_bytes(encoded(lines, "PNG"))
    return folder


def test_predict_with_explain_draws_each_picture_and_says_where_it_looked(
    mintage: Terminal, home: Path, pictures: Path, tmp_path: Path
) -> None:
    inputs = [pictures / "dark/003.jpg", pictures / "light/003.jpg"]
    plain = mintage.json("predict", "pets@1", *inputs, "--home", home)
    found = mintage.json(
        "predict", "pets@1", *inputs, "--home", home, "--explain", tmp_path / "why/inner"
    )
    assert [each["output"] for each in found] == [each["output"] for each in plain]
    assert all("explanation" not in each for each in plain)
    files = [Path(each["explanation"]["file"]) for each in found]
    assert [file.name for file in files] == ["003.explained.png", "003-2.explained.png"]
    assert {file.parent for file in files} == {tmp_path / "why/inner"}
    for each, file in zip(found, files, strict=True):
        with Image.open(file) as drawing:
            assert drawing.width == 512
            assert 384 < drawing.height < 450  # a picture of 40 by 30, and the strip
        assert isinstance(each["explanation"]["drop"], float)
        assert isinstance(each["explanation"]["where"], str)
    shown = mintage("predict", "pets@1", *inputs, "--home", home, "--explain", tmp_path / "why")
    assert "looked at" in shown
    assert "003-2.explained.png" in shown
    assert found[0]["explanation"]["where"] in shown


def test_what_gets_no_label_gets_no_drawing_but_the_reason(
    mintage: Terminal, home: Path, pictures: Path, tmp_path: Path
) -> None:
    inputs = [pictures / "stranger.png", pictures / "broken.jpg"]
    why = tmp_path / "why"
    stranger, broken = mintage.json(
        "predict", "pets@1", *inputs, "--home", home, "--explain", why, status=2
    )
    assert stranger["output"]["label"] is None
    assert stranger["explanation"] == {
        "file": None,
        "where": None,
        "drop": None,
        "reason": stranger["output"]["message"],
    }
    assert "explanation" not in broken
    assert broken["error"]["code"] == "data_error"
    assert [*why.iterdir()] == []
    shown = mintage("predict", "pets@1", *inputs, "--home", home, "--explain", why, status=2)
    assert "unlike anything" in shown


def test_a_drawing_replaces_an_earlier_one_and_nothing_else(
    mintage: Terminal, home: Path, pictures: Path, tmp_path: Path
) -> None:
    why = tmp_path / "why"
    why.mkdir()
    own = why / "003.explained.png"
    own.write_bytes(encoded(Image.new("RGB", (9, 9)), "PNG"))
    before = own.read_bytes()
    (why / "003-2.explained.png").symlink_to(why / "nowhere")
    ask = ("predict", "pets@1", pictures / "dark/003.jpg", "--home", home, "--explain", why)
    for __ in range(2):
        (found,) = mintage.json(*ask)
        assert Path(found["explanation"]["file"]).name == "003-3.explained.png"
    assert own.read_bytes() == before
    assert is_ours((why / "003-3.explained.png").read_bytes())
    assert len([*why.iterdir()]) == 3


def test_a_file_in_place_of_the_folder_is_refused_before_anything_is_asked(
    mintage: Terminal, home: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    found = mintage.json(
        "predict", "pets", pictures / "dark/003.jpg", "--home", home,
        "--explain", tmp_path / "taken", status=2,
    )  # fmt: skip
    assert found["error"]["code"] == "config_error"
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_long_or_strange_name_can_be_drawn(
    mintage: Terminal, home: Path, pictures: Path, tmp_path: Path
) -> None:
    for name in ("猫" * 80 + ".jpg", "a\nb.jpg"):
        shutil.copy(pictures / "dark/003.jpg", pictures / name)
        (found,) = mintage.json(
            "predict", "pets", pictures / name, "--home", home, "--explain", tmp_path / "why"
        )
        file = Path(found["explanation"]["file"])
        assert is_ours(file.read_bytes())
        assert "\n" not in file.name


@pytest.fixture
def human(home: Path, tmp_path: Path) -> Path:
    """Ada knows them all, Bo none, Cy answers a few, and some of it cannot be used."""
    with App(load_settings(home=home, threads=1)) as app:
        examples = [e for e in app.create.dataset("pets").examples if e.split == "test"]
    other = {"dark": "light", "light": "dark"}
    rows = ["path,Ada,Bo,Cy,remarks"]
    for number, each in enumerate(examples):
        few = each.label.upper() if number < 9 else "?" if number == 9 else ""
        rows.append(f"{each.path},{each.label},{other[each.label]},{few},sharp")
    rows.append("elsewhere.jpg,dark,dark,dark,")
    path = tmp_path / "human.csv"
    path.write_text("\n".join(rows))
    return path


def test_evaluate_against_people_says_who_is_right_and_who_agrees(
    mintage: Terminal, home: Path, human: Path
) -> None:
    found = mintage.json("evaluate", "pets@1", "--against", human, "--home", home)
    ada, bo, cy = found["people"]
    assert (ada["accuracy"], bo["accuracy"], cy["accuracy"], cy["examples"]) == (1, 0, 1, 9)
    assert bo["better"] == "pets@1"
    assert found["majority"]["accuracy"] == 1  # with Cy's nine votes; else it is even
    assert found["left_out"]["unknown_class"] == 1
    assert found["left_out"]["unknown_picture"] == 1
    assert found["left_out"]["not_a_person"] == 1
    assert found["left_out"]["empty"] == ada["examples"] - 10
    shown = mintage("evaluate", "pets@1", "--against", human, "--home", home)
    assert "measured on pets#" in shown
    assert f"Bo: {bo['in_words']}" in shown
    assert "Ada and Bo" in shown
    assert "-1.00" in shown  # of who always says the opposite
    assert "the people's majority" in shown
    said = mintage.err
    assert "left out, pictures that are not there: 1" in said
    assert "left out elsewhere.jpg: no such picture" in said
    assert "more; all with --json" in said
    assert "signed evaluation" not in said


def test_people_in_chinese(
    mintage: Terminal, home: Path, human: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    shown = mintage("evaluate", "pets@1", "--against", human, "--home", home)
    assert "Ada" in shown
    for english in ("right", "majority", "is better", "the same answer", "examples"):
        assert english not in shown
    assert "left out" not in mintage.err


def test_a_table_that_cannot_be_used_is_an_error_with_its_remedy(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    table = tmp_path / "human.csv"
    table.write_text("who,what\nAda,dark\n")
    found = mintage.json("evaluate", "pets@1", "--against", table, "--home", home, status=2)
    assert "no column for the picture" in found["error"]["message"]
    assert found["error"]["remedy"]


def test_what_is_measured_is_plain_json(home: Path, human: Path) -> None:
    with App(load_settings(home=home, threads=1)) as app:
        found = app.create.evaluate_against("pets@1", human)
    assert json.loads(json.dumps(found)) == found
