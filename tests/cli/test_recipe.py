"""``mintage recipe``: what train would run, as a file that it does run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.create.recipe import Recipe
from mintage.create.recipe_file import read


def test_it_prints_the_recipe_of_the_options_with_what_it_is_for(
    mintage: Terminal, home: Path
) -> None:
    text = mintage(
        "recipe", "pets", "--recipe", "seed-cnn", "--epochs", 2, "--seed", 7, "--home", home
    )
    document = tomllib.loads(text)
    assert (document["epochs"], document["seed"], document["seconds"]) == (2, 7, "by epochs")
    assert [each["name"] for each in document["candidates"]] == ["seed-cnn"]
    head = [line for line in text.splitlines() if line.startswith("#")]
    assert "Chosen for pets#" in head[1]
    assert "examples to train on, 2 classes" in head[1]
    assert "mintage train pets --recipe pets.toml" in head[2]


def test_what_it_writes_is_what_train_runs_and_what_the_bundle_says(
    mintage: Terminal, home: Path
) -> None:
    at = ("--home", home)
    options = ("--recipe", "seed-cnn", "--epochs", 2, "--seed", 5)
    assert mintage("recipe", "pets", *options, "-o", "mine.toml", *at).strip() == "mine.toml"
    assert "mintage train pets --recipe mine.toml" in mintage.err
    text = Path("mine.toml").read_text(encoding="utf-8")
    Path("mine.toml").write_text(text.replace("batch_size = 32", "batch_size = 16"))
    written = read(Path("mine.toml"))
    assert written.candidates[0].batch_size == 16
    trained = mintage.json("train", "pets", "--recipe", "mine.toml", *at)
    bundle = json.loads((Path(trained["bundle"]) / "bundle.json").read_text())
    assert Recipe.from_json(bundle["recipe"]) == written
    Path("again.toml").write_text(mintage("recipe", trained["model"], *at), encoding="utf-8")
    assert read(Path("again.toml")) == written


def test_the_recipe_of_a_model_names_it_and_its_data(mintage: Terminal, home: Path) -> None:
    text = mintage("recipe", "pets@latest", "--home", home)
    assert "It made pets@1, from pets#" in text
    assert "mintage train pets#" in text
    mintage("recipe", "pets@1", "--epochs", 3, "--home", home, status=2)
    assert "change the file" in mintage.err


def test_json_is_the_recipe_alone_and_a_json_file_is_read_too(
    mintage: Terminal, home: Path
) -> None:
    options = ("--recipe", "seed-cnn", "--epochs", 2, "--home", home)
    document = mintage.json("recipe", "pets", *options)
    assert mintage.json("recipe", "pets", *options, "-o", "mine.json") == document
    assert json.loads(Path("mine.json").read_text()) == document
    assert read(Path("mine.json")) == Recipe.from_json(document)
    shown = mintage("recipe", "pets", "--recipe", "mine.json", "--home", home)
    assert tomllib.loads(shown)["epochs"] == 2


def test_a_recipe_written_by_hand_is_neither_replaced_nor_given_another_ending(
    mintage: Terminal, home: Path
) -> None:
    Path("mine.toml").write_text("precious")
    mintage("recipe", "pets", "-o", "mine.toml", "--home", home, status=2)
    assert "mine.toml is there already" in mintage.err
    assert Path("mine.toml").read_text() == "precious"
    mintage("recipe", "pets", "-o", "mine.txt", "--home", home, status=2)
    assert ".toml or .json" in mintage.err


def test_a_misspelt_key_is_refused_before_anything_is_trained(
    mintage: Terminal, home: Path
) -> None:
    at = ("--home", home)
    mintage("recipe", "pets", "--recipe", "seed-cnn", "--epochs", 1, "-o", "mine.toml", *at)
    text = Path("mine.toml").read_text(encoding="utf-8")
    Path("mine.toml").write_text(text.replace("dropout =", "drop_out ="), encoding="utf-8")
    runs = list((home / "runs").iterdir())
    mintage("train", "pets", "--recipe", "mine.toml", *at, status=2)
    assert "mine.toml: [[candidates]] 1 has no 'drop_out'" in mintage.err
    assert "Did you mean 'dropout'?" in mintage.err
    assert list((home / "runs").iterdir()) == runs


@pytest.mark.parametrize("name", ["compct", "missing.toml"])
def test_a_recipe_that_is_not_there_is_refused(mintage: Terminal, home: Path, name: str) -> None:
    mintage("recipe", "pets", "--recipe", name, "--home", home, status=2)
    assert name in mintage.err


def test_what_is_redirected_is_utf_8_whatever_the_terminal_speaks(
    trained_home: Path, tmp_path: Path
) -> None:
    home = shutil.copytree(trained_home, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-m", "mintage", "recipe", "pets@1", "--home", str(home)],
        env={"MINTAGE_LANG": "zh", "PYTHONIOENCODING": "latin-1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        timeout=120,
    )
    text = done.stdout.decode("utf-8")
    assert "训练方案" in text
    assert tomllib.loads(text)["name"] == "seed-cnn"
    assert done.stderr == b""
