import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import jpeg, two_classes
from tests.terminal import Terminal


def test_collect_says_what_it_promised_in_json(mintage: Terminal, tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=6)
    (photos / "dark/bad.jpg").write_bytes(b"bad")
    found = mintage.json("collect", photos, "--name", "pets")
    assert found["dataset"] == "pets"
    assert len(found["version"]) == 64
    assert found["examples"] == 12
    assert found["classes"] == {"dark": 6, "light": 6}
    (skipped,) = found["skipped"]
    assert skipped["path"] == "dark/bad.jpg"
    assert skipped["reason"]
    assert mintage.json("inspect", "pets", "--quick")["version"] == found["version"]
    assert (tmp_path / ".mintage").is_dir()


def test_inspect_shows_counts_sizes_and_findings_as_tables(mintage: Terminal, home: Path) -> None:
    shown = mintage("inspect", "pets", "--quick", "--home", home)
    for word in ("dark", "light", "training", "width", "left out", "near duplicates", "folds"):
        assert word in shown


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["collect", "nowhere", "--name", "x"], 2, "does not exist"),
        (["inspect", "nothing"], 2, "There is no dataset 'nothing'"),
        (["train", "pets#zz"], 2, "There is no dataset"),
        (["train", "pets", "--time", "5 minutes"], 2, "Not a duration"),
        (["train", "pets", "--time", "5s"], 2, "shortest that works is --time 20s"),
        (["train", "pets", "--time", "60s", "--epochs", "3"], 2, "not both"),
        (["train", "pets", "--recipe", "seed-cn"], 2, "seed-cnn"),
        (["train", "pets", "--recipe", "missing.json"], 2, "cannot be read"),
        (["predict", "pets@9", "x.jpg"], 2, "There is no model 'pets@9'"),
        (["predict", "pets@nine", "x.jpg"], 2, "Not a model's version"),
        (["publish", "nothing", "--product", "p"], 2, "There is no model"),
        (["usage", "--customer", "nobody"], 2, "nobody"),
        (["key", "revoke", "nothing"], 2, "There is no key"),
        (["receipt", "rcp_nothing"], 2, "rcp_nothing"),
        (["serve"], 2, "Nothing is published yet"),
        (["--no-such-option"], 2, "No such option"),
        (["verify", "nothing"], 2, "There is no model"),
    ],
)
def test_a_mistake_is_one_clear_error_with_its_exit_status(
    mintage: Terminal, home: Path, words: list[str], status: int, message: str
) -> None:
    os.environ["MINTAGE_HOME"] = str(home)
    try:
        mintage(*words, status=status)
    finally:
        del os.environ["MINTAGE_HOME"]
    assert message in " ".join(mintage.err.split())
    assert "Traceback" not in mintage.err


def test_an_error_is_json_where_json_was_asked_for(mintage: Terminal, home: Path) -> None:
    found = mintage.json("inspect", "nothing", "--home", home, status=2)
    assert found["error"]["code"] == "request_error"
    assert "Collect it" in found["error"]["remedy"]


def test_the_unforeseen_has_an_incident_id_and_its_traceback_only_with_debug(
    mintage: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mintage.create import inspect

    def broken(_dataset: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(inspect, "findings", broken)
    mintage("inspect", "pets", "--quick", "--home", home, status=1)
    assert "incident_" in mintage.err
    assert "Traceback" not in mintage.err
    mintage("--debug", "inspect", "pets", "--quick", "--home", home, status=1)
    assert "Traceback" in mintage.err


def test_training_says_what_it_promised_and_its_report_and_bundle_are_there(
    mintage: Terminal, home: Path
) -> None:
    words = ("train", "pets", "--recipe", "seed-cnn", "--epochs", "2", "--home", home)
    found = mintage.json(*words)
    assert found["model"] == "pets@2"
    assert found["candidate"] == "seed-cnn"
    assert found["run"].startswith("run_")
    assert found["seconds"] > 0
    assert {"accuracy", "interval", "train_accuracy", "validation_accuracy"} <= set(
        found["metrics"]
    )
    report = Path(found["report"]).read_text()
    assert "<svg" in report
    assert "http://" not in report.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "")
    folder = Path(found["bundle"])
    names = {
        "bom.json",
        "bundle.json",
        "model.onnx",
        "card.md",
        "evaluation.json",
        "signature.json",
    }
    assert {path.name for path in folder.iterdir()} == names
    lines = (Path(found["report"]).parent / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_without_a_report_the_model_stands_and_the_report_is_made_when_it_is_wanted(
    mintage: Terminal, home: Path
) -> None:
    words = ("train", "pets", "--recipe", "seed-cnn", "--epochs", "1", "--home", home)
    found = mintage.json(*words, "--no-report")
    assert found["report"] is None
    folder = home / "runs" / found["run"]
    assert not (folder / "report.html").exists()
    assert json.loads((folder / "run.json").read_text())["diagnosis"].keys() == {
        "format",
        "split",
        "left_out",
        "calibration",
        "coverage",
        "slices",
    }
    assert "none yet" in mintage(*words, "--no-report")
    assert mintage.json("train", "--resume", found["run"], "--home", home)["report"] is None
    mintage("train", "--resume", found["run"], "--no-report", "--home", home, status=2)
    made = Path(mintage.json("report", found["model"], "--home", home)["report"])
    assert made == folder / "report.html"
    assert "<svg" in made.read_text()
    assert mintage.json("train", "--resume", found["run"], "--home", home)["report"] == str(made)


def test_the_same_seed_gives_the_same_bundle(mintage: Terminal, home: Path) -> None:
    words = ("train", "pets", "--recipe", "seed-cnn", "--epochs", "1", "--home", home)
    first, second = (Path(mintage.json(*words)["bundle"]) for _ in range(2))
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    assert (first / "bundle.json").read_bytes() == (second / "bundle.json").read_bytes()
    other = Path(mintage.json(*words, "--seed", "1")["bundle"])
    assert (first / "model.onnx").read_bytes() != (other / "model.onnx").read_bytes()


def test_a_recipe_that_a_run_wrote_can_be_run_again(mintage: Terminal, home: Path) -> None:
    words = ("train", "pets", "--recipe", "seed-cnn", "--epochs", "1", "--home", home)
    first = mintage.json(*words, "--loss", "squared_error")
    recipe = Path(first["report"]).parent / "recipe.json"
    assert json.loads(recipe.read_text())["candidates"][0]["loss"] == "squared_error"
    again = mintage.json("train", "pets", "--recipe", recipe, "--home", home)
    models = [(Path(run["bundle"]) / "model.onnx").read_bytes() for run in (first, again)]
    assert models[0] == models[1]


def test_two_candidates_are_compared_and_the_better_is_kept(mintage: Terminal, home: Path) -> None:
    shown = mintage(
        "train", "pets", "--recipe", "seed-cnn,compact", "--epochs", "1", "--home", home
    )
    assert "seed-cnn" in shown
    assert "compact" in shown
    assert "was kept" in shown
    assert "five folds" in shown


def test_evaluate_says_what_it_promised(mintage: Terminal, home: Path) -> None:
    found = mintage.json("evaluate", "pets@latest", "--home", home)
    assert found["model"] == "pets@1"
    assert found["task"] == "class"
    assert found["labels"] == ["dark", "light"]
    assert found["examples"] == 24
    assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]
    assert sum(map(sum, found["confusion_matrix"])) == 24
    assert set(found["per_class"]) == {"dark", "light"}
    assert found["accuracy"] > 0.9
    shown = mintage("evaluate", "pets", "--home", home)
    assert "95 % interval" in shown
    assert "most frequent class alone 50.0%" in shown


def test_evaluate_on_another_folder_warns_of_examples_that_were_trained_on(
    mintage: Terminal, home: Path, trained_home: Path, tmp_path: Path
) -> None:
    fresh = two_classes(tmp_path / "fresh", each=4, size=(64, 48))
    found = mintage.json("evaluate", "pets", "--data", fresh, "--home", home)
    assert found["examples"] == 8
    assert found["trained_on"] == []
    photos = trained_home.parent / "photos"
    found = mintage.json("evaluate", "pets", "--data", photos, "--home", home)
    assert found["examples"] == 120
    assert len(found["trained_on"]) == 96
    assert "96 of 120 examples trained or chose" in mintage.err
    assert "measured on fresh" in mintage("evaluate", "pets", "--data", fresh, "--home", home)
    (fresh / "purple").mkdir()
    (fresh / "purple/1.jpg").write_bytes(jpeg())
    mintage("evaluate", "pets", "--data", fresh, "--home", home, status=2)
    assert "does not know the class purple" in mintage.err


def test_predict_gives_one_answer_a_file_and_names_what_it_could_not_read(
    mintage: Terminal, home: Path, trained_home: Path, tmp_path: Path
) -> None:
    good = trained_home.parent / "photos/light/003.jpg"
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a picture")
    answers = mintage.json("predict", "pets@latest", good, "--home", home)
    (answer,) = answers
    assert answer["input"] == str(good)
    assert answer["task"] == "class"
    assert answer["model"] == "pets@1"
    assert Path(answer["bundle"]) == home / "models/pets/1"
    assert answer["output"]["label"] == "light"
    assert answer["output"]["probability"] == answer["output"]["probabilities"]["light"] > 0.5
    answers = mintage.json("predict", "pets", bad, good, tmp_path / "no", "--home", home, status=2)
    assert ["error" in answer for answer in answers] == [True, False, True]
    mintage("predict", "pets", bad, good, "--home", home, status=2)
    assert "light" in mintage.out
    assert "not read: not a JPEG" in mintage.out
    assert "1 of 2 could not be read" in mintage.err


def test_a_picture_of_another_kind_gets_no_label(mintage: Terminal, home: Path) -> None:
    import numpy as np
    from PIL import Image

    picture = Path("stripes.png")
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::4] = (255, 0, 255)
    Image.fromarray(pixels).save(picture)
    (answer,) = mintage.json("predict", "pets", picture, "--home", home)
    assert answer["output"]["unusual"] is True
    assert answer["output"]["label"] is None
    assert answer["output"]["message"] == "unlike anything this model was shown"


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "tamper",
    [
        lambda folder: _flip(folder / "model.onnx"),
        lambda folder: _flip(folder / "card.md"),
        lambda folder: (folder / "extra.txt").write_text("x"),
        lambda folder: (folder / "card.md").unlink(),
        lambda folder: (folder / "card.md").rename(folder / "Card.md"),
        lambda folder: (folder / "signature.json").unlink(),
        lambda folder: [(folder / name).unlink() for name in ("bundle.json", "signature.json")],
        shutil.rmtree,
    ],
    ids=["model", "card", "added", "removed", "renamed", "unsigned", "emptied", "gone"],
)
def test_a_bundle_that_was_changed_is_refused_by_every_verb(
    mintage: Terminal, home: Path, trained_home: Path, tamper: Any
) -> None:
    mintage("publish", "pets", "--product", "pets", "--home", home)
    tamper(home / "models/pets/1")
    picture = trained_home.parent / "photos/light/003.jpg"
    for words in (
        ("predict", "pets", picture),
        ("publish", "pets", "--product", "pets"),
        ("evaluate", "pets"),
        ("verify", "pets@1"),
    ):
        mintage(*words, "--home", home, status=3)
    found = mintage.json("predict", "pets", picture, "--home", home, status=3)
    assert found["error"]["code"] == "signature_mismatch"
    mintage("serve", "--port", "0", "--operator-port", "0", "--home", home, status=3)


def test_the_way_of_a_sale_by_the_verbs(mintage: Terminal, home: Path) -> None:
    mintage("publish", "pets", "--product", "animals", "--price", "0.05", "--home", home)
    assert "animals → pets@1, 0.05 EUR per image" in mintage.out
    assert "does not state: consent, licence, origin" in " ".join(mintage.err.split())
    (product,) = mintage.json("products", "--home", home)
    assert (product["product"], product["plan"]["price"]) == ("animals", "0.05")
    mintage("publish", "pets", "--product", "animals", "--home", home)
    assert mintage.json("products", "--home", home)[0]["plan"]["version"] == 1
    added = mintage.json("customer", "add", "Ada & Söhne", "--home", home)
    assert added["key"].startswith("mtg_live_")
    second = mintage("key", "add", "Ada & Söhne", "--home", home).strip()
    assert second.startswith("mtg_live_")
    listed = mintage.json("key", "list", "Ada & Söhne", "--home", home)
    assert [key["revoked_at"] for key in listed] == [None, None]
    assert second not in json.dumps(listed)
    mintage("key", "revoke", listed[0]["id"], "--home", home)
    assert mintage.json("key", "list", "Ada & Söhne", "--home", home)[0]["revoked_at"]
    assert [c["name"] for c in mintage.json("customer", "list", "--home", home)] == ["Ada & Söhne"]
    assert mintage.json("usage", "--home", home) == []
    assert "pets@1 is as it was signed" in mintage("verify", "pets", "--home", home)
    for words in (("customer", "list"), ("key", "list", "Ada & Söhne"), ("products",), ("usage",)):
        mintage(*words, "--home", home)


def test_prices_of_other_products_stay_as_they_are(mintage: Terminal, home: Path) -> None:
    def prices() -> dict[str, str]:
        listed = mintage.json("products", "--home", home)
        return {p["product"]: f"{p['plan']['price']} {p['plan']['currency']}" for p in listed}

    mintage("publish", "pets", "--product", "a", "--home", home)
    mintage(
        "publish", "pets", "--product", "b", "--price", "5", "--currency", "USD", "--home", home
    )
    mintage("publish", "pets", "--product", "c", "--home", home)
    assert prices() == {"a": "0.02 EUR", "b": "5 USD", "c": "0.02 EUR"}
    mintage("publish", "pets", "--product", "standard", "--price", "9", "--home", home, status=2)
    mintage("publish", "pets", "--product", "a", "--currency", "USD", "--home", home, status=2)
    assert "A currency needs a price" in mintage.err
    assert prices() == {"a": "0.02 EUR", "b": "5 USD", "c": "0.02 EUR"}


def test_a_recipe_file_yields_to_what_was_asked_and_a_broken_one_is_refused(
    mintage: Terminal, home: Path
) -> None:
    words = ("train", "pets", "--home", home)
    first = mintage.json(*words, "--recipe", "seed-cnn", "--epochs", "1")
    recipe = Path(first["report"]).parent / "recipe.json"
    again = mintage.json(*words, "--recipe", recipe, "--epochs", "2", "--seed", "9")
    used = json.loads((Path(again["report"]).parent / "recipe.json").read_text())
    assert (used["epochs"], used["seed"]) == (2, 9)
    good = json.loads(recipe.read_text())
    broken = {"candidates": 5}, {"epochs": -3}, {"candidates": []}, {"epoch": 3}
    for change in broken:
        recipe.write_text(json.dumps(good | change))
        mintage(*words, "--recipe", recipe, status=2)


def test_a_misspelt_name_gets_the_right_one(mintage: Terminal, home: Path) -> None:
    mintage("inspect", "petz", "--home", home, status=2)
    assert "Did you mean pets?" in mintage.err
    mintage("predict", "pets@9", "x.jpg", "--home", home, status=2)
    assert "pets exists, but not in that version" in mintage.err


def test_no_workspace_name_is_taken_for_a_part_of_an_address(
    mintage: Terminal, tmp_path: Path
) -> None:
    mintage("customer", "add", "Ada", "--home", tmp_path / "we?ird")
    assert (tmp_path / "we?ird" / "mintage.db").exists()


def test_the_verb_alone_shows_what_there_is(mintage: Terminal) -> None:
    mintage(status=2)
    assert "Create 创造" in mintage.out + mintage.err
    assert "error" not in mintage.err


def test_the_report_can_be_written_anew(mintage: Terminal, home: Path) -> None:
    path = Path(mintage.json("report", "pets", "--home", home)["report"])
    path.unlink()
    assert mintage("report", "pets", "--home", home).strip() == str(path)
    assert path.exists()


def test_ctrl_c_once_ends_training_in_order_and_the_model_is_usable(
    home: Path, trained_home: Path
) -> None:
    words = [sys.executable, "-m", "mintage", "train", "pets", "--recipe", "seed-cnn"]
    words += ["--epochs", "100000", "--home", str(home), "--json"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with child:
        log = home / "runs"
        deadline = time.monotonic() + 120
        while not [
            p for p in log.glob("*/log.jsonl") if "100000" in (p.parent / "recipe.json").read_text()
        ]:
            assert time.monotonic() < deadline, child.stderr
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["interrupted"] is True
    assert found["model"] == "pets@2"
    assert b"Stopping" in err


def test_version_and_help_say_what_there_is(mintage: Terminal) -> None:
    from mintage import __version__

    assert mintage("--version") == f"mintage {__version__}\n"
    shown = mintage("--help")
    for panel in ("Create 创造", "Deliver 传递", "Capture 获取收入", "Trust 信任"):
        assert panel in shown


def test_a_copied_workspace_and_a_foreign_folder_both_verify(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(home / "models/pets/1", tmp_path / "bundle")
    assert "pets@1 is as it was signed" in mintage("verify", folder, "--home", home)
    mintage("verify", folder, "--home", tmp_path / "stranger", status=3)


def test_a_reference_of_the_other_kind_is_recognised(mintage: Terminal, home: Path) -> None:
    mintage("inspect", "pets@1", "--home", home, status=2)
    assert "name of a model's version, not of a dataset" in mintage.err
    mintage("evaluate", "pets#1f9c", "--home", home, status=2)
    assert "mintage show pets#1f9c" in mintage.err


def test_customers_and_operator_need_two_ports(mintage: Terminal, home: Path) -> None:
    mintage("serve", "--port", 8123, "--operator-port", 8123, "--home", home, status=2)
    assert "cannot share the port 8123" in mintage.err


def test_what_an_error_quotes_cannot_drive_the_terminal(mintage: Terminal) -> None:
    mintage("collect", "no\x1b]0;title\x07\x1b[31m", "--name", "x", status=2)
    assert "\x1b]0" not in mintage.err
    assert "\\x1b]0;title\\x07" in mintage.err


def test_a_locale_is_as_good_as_a_language(
    mintage: Terminal, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh_CN.UTF-8")
    assert "类别" in mintage("inspect", "pets", "--quick", "--home", home)
    assert json.loads(mintage("inspect", "nope", "--home", home, "--json", status=2))["error"][
        "message"
    ].startswith("There is no dataset")
    monkeypatch.setenv("MINTAGE_LANG", "fr")
    mintage("inspect", "pets", "--home", home, status=2)
    assert "MINTAGE_LANG" in mintage.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--foo"), "没有选项 --foo"),
        (("nonsense",), "没有命令 'nonsense'"),
        (("train", "pets", "--epochs", "x"), "应为整数"),
        (("score",), "缺少参数 'source'"),
    ],
)
def test_usage_errors_are_said_in_the_readers_language(
    mintage: Terminal, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("MINTAGE_LANG", "zh")
    mintage(*arguments, status=2)
    assert said in mintage.err


def test_a_collect_that_turns_a_name_back_says_so(mintage: Terminal, tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=6)
    first = mintage.json("collect", photos, "--name", "pets")["version"]
    two_classes(tmp_path / "photos", each=7)
    mintage("collect", photos, "--name", "pets")
    assert f"before, it was pets#{first[:12]}" in mintage.err


def test_what_is_loaded_is_set_apart_from_what_can_be_garbage() -> None:
    program = (
        "import gc, sys, typer; "
        "typer.main.get_command = lambda _: sys.exit("
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)); "
        "from mintage.__main__ import run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "True"], done.stderr


@pytest.mark.parametrize(
    "words", ["products", "rollback pets", "usage", "customer list", "key list Ada"]
)
def test_verbs_of_sale_wait_for_no_numerics(home: Path, words: str) -> None:
    program = (
        "import sys; from mintage.__main__ import run\n"
        "try: run()\n"
        "finally: print({'numpy', 'onnxruntime', 'PIL', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words.split(), "--home", home],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.rstrip().endswith("set()"), done.stdout + done.stderr


def test_ctrl_c_while_the_verbs_are_loaded_shows_no_traceback() -> None:
    program = """
import sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "mintage.cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from mintage.__main__ import run
run()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")
