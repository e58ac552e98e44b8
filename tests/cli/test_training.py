"""What ``mintage train`` can be asked beside the main job."""

import json
from pathlib import Path

import pytest
from tests.checkpoints import learned
from tests.pictures import two_classes
from tests.terminal import Terminal


@pytest.fixture
def pets(mintage: Terminal, tmp_path: Path) -> None:
    """The dataset ``pets`` in the workspace of the folder."""
    mintage("collect", two_classes(tmp_path / "photos", each=60), "--name", "pets")


@pytest.mark.usefixtures("pets")
def test_sure_withholds_labels_below_a_threshold_found_on_validation_data(
    mintage: Terminal, tmp_path: Path
) -> None:
    run = mintage.json("train", "pets", "--recipe", "seed-cnn", "--epochs", "8", "--sure", "60%")
    threshold = json.loads((Path(run["bundle"]) / "bundle.json").read_text())["abstain_threshold"]
    measured = mintage.json("evaluate", run["model"])
    assert threshold is not None
    assert measured["answered"] <= measured["examples"]


@pytest.mark.usefixtures("pets")
def test_a_run_that_was_killed_is_named_and_resumed(mintage: Terminal) -> None:
    run = mintage.json("train", "pets", "--recipe", "seed-cnn", "--epochs", "2")["run"]
    again = mintage.json("train", "--resume", run)
    assert again["model"] == "pets@1"
    assert "had finished" in mintage.err


@pytest.mark.usefixtures("pets")
def test_an_ablation_prints_a_line_a_cure(mintage: Terminal) -> None:
    shown = mintage("train", "pets", "--recipe", "seed-cnn", "--epochs", "1", "--ablate")
    for cure in ("none", "rotation", "cropping", "mixup", "cutmix", "L1", "dropout", "all"):
        assert f"\n{cure} " in shown
    # Words stand after the cure, so that all that follows is numbers, aligned as such.
    (bare,) = [line.split("  ") for line in shown.splitlines() if line.startswith("none ")]
    assert [part.strip() for part in bare if part.strip()][1] == "nothing to compare with"


@pytest.mark.usefixtures("pets")
def test_a_search_prints_its_rounds(mintage: Terminal) -> None:
    shown = mintage("train", "pets", "--recipe", "seed-cnn,compact", "--epochs", "2", "--search")
    assert "round" in shown
    assert "goes on" in shown
    assert "was left of the search" in shown


@pytest.mark.usefixtures("pets")
def test_a_search_of_one_candidate_is_none_and_that_is_said(mintage: Terminal) -> None:
    shown = mintage("train", "pets", "--recipe", "seed-cnn", "--epochs", "1", "--search")
    assert "nothing to search among: seed-cnn" in mintage.err
    assert "was the only candidate trained" in shown


@pytest.mark.usefixtures("pets")
def test_where_no_time_is_given_the_number_of_passes_is_said(mintage: Terminal) -> None:
    mintage("train", "pets", "--recipe", "seed-cnn")
    assert "No --time given: 30 passes over" in mintage.err


@pytest.mark.usefixtures("pets")
def test_pretrained_weights_in_a_folder_are_fine_tuned_and_named_on_the_card(
    mintage: Terminal, tmp_path: Path
) -> None:
    weights = learned(tmp_path / "shapes-net", steps=30)
    run = mintage.json("train", "pets", "--recipe", f"hub:{weights}", "--epochs", "2")
    bundle = Path(run["bundle"])
    assert "shapes-net" in (bundle / "card.md").read_text(encoding="utf-8")
    recipe = json.loads((bundle / "bundle.json").read_text())["recipe"]["candidates"][0]
    assert recipe["weights"] == "shapes-net"  # and not the path of this machine
    assert len(recipe["weights_sha256"]) == 64
    bill = json.loads((bundle / "bom.json").read_text())
    (ancestor,) = bill["metadata"]["component"]["pedigree"]["ancestors"]
    assert ancestor["name"] == "shapes-net"
    assert ancestor["hashes"][0]["content"] == recipe["weights_sha256"]
    assert str(tmp_path) not in json.dumps(bill)
    assert "frozen backbone" in mintage.err


@pytest.mark.usefixtures("pets")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), "Name a dataset"),
        (("train", "pets", "--resume", "run_x"), "goes alone"),
        (("train", "--resume", "run_x"), "no run"),
        (("train", "pets", "--time", "1m", "--epochs", "3"), "not both"),
        (("train", "pets", "--sure", "40%"), "--sure"),
        (("train", "pets", "--ablate", "--search"), "Leave one of the two out"),
        (("train", "pets", "--recipe", "hub:no/such/folder", "--epochs", "1"), "no/such/folder"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    mintage: Terminal, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(AssertionError):
        mintage(*words)
    assert said in mintage.err
