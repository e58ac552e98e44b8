"""``mintage inspect`` on the command line: what is wrong, in words and as JSON."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps
from tests.pictures import encoded, noise, two_classes
from tests.terminal import Terminal

from mintage.create import judges, out_of_fold
from mintage.create.out_of_fold import OutOfFold, Scale, folds_of


@pytest.fixture
def pets(tmp_path: Path, mintage: Terminal) -> Path:
    """A workspace with ``pets``: 2 × 40 pictures, some with the wrong label, one mirrored."""
    photos = two_classes(tmp_path / "photos", each=40)
    for number in (3, 11, 27):
        (photos / f"dark/{number:03}.jpg").rename(photos / f"light/dark-{number}.jpg")
    mirrored = ImageOps.mirror(noise(20))
    (photos / "light/mirrored.jpg").write_bytes(encoded(mirrored, quality=92))
    (photos / "light/tiny.png").write_bytes(encoded(noise(901, (12, 9)), "PNG"))
    mintage("collect", photos, "--name", "pets", "--home", tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real networks, small and soon trained."""
    monkeypatch.setattr(out_of_fold, "_OF_FEW", Scale(folds=3, side=48, shown=1600))
    monkeypatch.setattr(judges.probe, "PROBE_SECONDS", 0.1)


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that trained already: sure of what the names of the files say."""

    def judge_unseen(_workspace, dataset, **_) -> OutOfFold:
        dark = np.array(["dark" in each.path for each in dataset.examples])
        chances = np.where(dark[:, None], [0.97, 0.03], [0.03, 0.97]).astype(np.float32)
        features = np.random.default_rng(0).normal(size=(len(dark), 4)).astype(np.float32)
        features[0] = 50
        return OutOfFold(folds_of(dataset.examples, 3, 0), chances, features, 33.0, True)

    monkeypatch.setattr(out_of_fold, "judge_unseen", judge_unseen)


def test_wrong_labels_are_found_by_real_networks_and_a_second_time_at_once(
    pets: Path, mintage: Terminal, briefly: None
) -> None:
    shown = mintage("inspect", "pets", "--home", pets, "--time", "10m")
    assert "Wrong labels: network 3 of 3, " in mintage.err
    assert "Labels that are probably wrong" in shown
    named = [each.strip() for each in shown.splitlines() if "more likely" in each]
    assert named
    assert all(each.startswith("light/dark-") for each in named)
    began = time.monotonic()
    assert mintage("inspect", "pets", "--home", pets) == shown
    assert "Wrong labels: network" not in mintage.err
    assert time.monotonic() - began < 5


def test_every_concern_is_shown_with_its_first_examples_and_what_to_do(
    pets: Path, mintage: Terminal, ready: None
) -> None:
    shown = mintage("inspect", "pets", "--home", pets)
    for words in (
        "left out, each with its reason",  # what it printed before
        "labels: about 3.7% seem wrong",
        "Labels that are probably wrong: 3 of 82",
        "light/dark-3.jpg: light, more likely dark (3% for light)",
        "mintage train pets --drop-suspect",
        "Pictures unlike all others: 1",
        "times as far from others as usual",
        "The label can be read off the picture's brightness",
        "dark has 8 test examples",
        "more pictures",
    ):
        assert words in shown, words
    assert shown.count("→") == len(mintage.json("inspect", "pets", "--home", pets)["concerns"])


def test_json_has_everything_and_nothing_else_is_on_stdout(
    pets: Path, mintage: Terminal, ready: None
) -> None:
    found = mintage.json("inspect", "pets", "--home", pets)
    assert found["label_errors"]["in_full"]
    assert found["label_errors"]["algorithm"]
    for concern in found["concerns"]:
        assert concern.keys() == {"check", "found", "suggestion", "examples"}
        assert concern["examples"]
    assert found["left_out"] == []


def test_a_quick_look_says_in_one_line_what_it_leaves_out(pets: Path, mintage: Terminal) -> None:
    shown = mintage("inspect", "pets", "--quick", "--home", pets)
    assert "label can be read off" in shown
    assert "probably wrong" not in shown
    assert len([line for line in shown.splitlines() if "--quick" in line]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--quick", "--time", "90s"], "nothing to bound"),
        (["--time", "soon"], "Not a duration"),
    ],
)
def test_options_that_contradict_one_another_are_refused(
    pets: Path, mintage: Terminal, options: list[str], message: str
) -> None:
    mintage("inspect", "pets", *options, "--home", pets, status=2)
    assert message in mintage.err


def test_it_is_said_in_chinese(
    pets: Path, mintage: Terminal, ready: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    shown = mintage("inspect", "pets", "--home", pets)
    assert "标签" in shown
    for english in ("probably", "pictures", "unlike", "suggest", "anything from"):
        assert english not in shown


def test_where_torch_is_not_installed_the_line_that_installs_it_is_said(pets: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; "
        f"sys.argv = ['mintage', 'inspect', 'pets', '--home', {str(pets)!r}]; "
        "from mintage.__main__ import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'mintage[train]'" in done.stdout
    assert "label can be read off" in done.stdout
