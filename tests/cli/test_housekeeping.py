import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pictures import two_classes
from tests.terminal import Terminal

from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.store.workspace import Workspace


@pytest.fixture
def mintage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINTAGE_HOME", str(home))
    return Terminal(capsys, monkeypatch)


@pytest.fixture
def sold(home: Path) -> Path:
    """The workspace, with ``pets@1`` sold as ``pets`` and one customer."""
    with App(load_settings(home=home)) as app:
        app.publishing.publish("pets@1", "pets", price="0.05", currency="EUR")
    return home


def test_list_says_what_points_at_what_and_how_large_it_is(mintage: Terminal, sold: Path) -> None:
    found = mintage.json("list")
    (dataset,), (model,), (run,), (product,) = (
        found[kind] for kind in ("datasets", "models", "runs", "products")
    )
    assert dataset["dataset"] == model["dataset"] == run["dataset"]
    assert dataset["models"] == [run["model"]] == ["pets@1"]
    assert model["run"] == run["run"]
    assert model["products"] == ["pets"]
    assert product["aliases"] == {"stable": "pets@1"}
    assert (run["status"], dataset["examples"]) == ("finished", 120)
    assert run["seconds"] > 0
    sizes = found["sizes"]
    models = [path.stat().st_size for path in (sold / "models").rglob("*") if path.is_file()]
    assert sizes["models"] == model["size_bytes"] == sum(models)
    parts = {name: size for name, size in sizes.items() if name not in ("total", "shared")}
    assert sum(parts.values()) == sizes["total"]
    assert sizes["datasets"] == dataset["size_bytes"]
    assert sizes["cache"] > 120 * 28 * 28 * 3
    assert sizes["shared"] == 0


def test_list_shows_tables_for_people_and_only_the_kinds_asked_for(
    mintage: Terminal, sold: Path
) -> None:
    shown = mintage("list")
    for text in ("pets@1", "stable → pets@1", "finished", "kB", "decoded cache", "in all"):
        assert text in shown
    assert "stable" not in mintage("list", "models", "runs")
    assert set(mintage.json("list", "models")) == {"models", "sizes"}
    mintage("list", "models", "--home", sold.parent / "new", status=2)
    assert "There is no workspace" in mintage.err
    Workspace(sold.parent / "new").close()
    mintage("list", "models", "--home", sold.parent / "new")
    assert "Next: mintage collect" in mintage.err
    mintage("list", "things", status=2)
    assert "There is no kind 'things'" in mintage.err
    assert "datasets, models, runs, products" in mintage.err
    assert mintage.json("list", "model", "run") == mintage.json("list", "models", "runs")


def test_examples_that_datasets_share_are_counted_once_and_that_is_said(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "photos", each=30)
    with App(load_settings(home=home)) as app:
        app.create.collect(photos, "fewer")
    found = mintage.json("list", "datasets")
    sizes = found["sizes"]
    alone = sum(each["size_bytes"] for each in found["datasets"])
    assert 0 < sizes["shared"] == alone - sizes["datasets"]
    assert "counted once" in mintage("list")


def test_show_of_a_bare_name_shows_each_thing_of_that_name(mintage: Terminal, sold: Path) -> None:
    product, model, dataset = mintage.json("show", "pets")
    assert [each["kind"] for each in (product, model, dataset)] == ["product", "model", "dataset"]
    assert product["plan"]["price"] == "0.05"
    assert product["datasets"] == {"stable": dataset["dataset"]}
    assert product["calls"] == 0
    assert model["products"] == ["pets"]
    assert model["plans"]["pets"]["currency"] == "EUR"
    assert model["signed_by"]["name"] == dataset["signed_by"]["name"] == "own"
    assert model["signed_by"]["key_id"] != dataset["signed_by"]["key_id"]
    assert model["metrics"]["interval"][0] <= model["metrics"]["accuracy"]
    assert model["folder"] == str(sold / "models/pets/1")
    assert dataset["classes"]["dark"]["train"] == 48
    (run,) = mintage.json("show", model["run"])
    assert run["models"] == ["pets@1"]
    assert run["recipe"] == model["recipe"]


def test_show_tells_people_the_same_in_words(mintage: Terminal, sold: Path) -> None:
    shown = mintage("show", "pets")
    for text in (
        "0.05 EUR for 1 × image",
        "trained on pets#",
        "seed-cnn at 28 px: adam, learning rate 0.001, batches of 32, cross_entropy",
        "95 % interval",
        "this workspace's own key",
        "48 for training, in 5 folds, 12 for test",
        "not stated",
    ):
        assert text in shown
    run = mintage.json("list", "runs")["runs"][0]["run"]
    assert "report.html" in mintage("show", run)
    assert mintage.json("show", "pets@1") == mintage.json("show", "pets@latest")


def test_show_of_what_was_changed_says_so_and_shows_the_rest(mintage: Terminal, home: Path) -> None:
    (home / "models/pets/1/card.md").write_text("another")
    model, dataset = mintage.json("show", "pets")
    assert model["problem"]["code"] == "signature_mismatch"
    assert model["bundle_digest"]
    assert "problem" not in dataset
    mintage("show", "pets")
    assert "was changed" in mintage.err


@pytest.mark.parametrize(
    ("reference", "remedy"),
    [
        ("pet", "Did you mean pets?"),
        ("pets@7", "exists, but not in that version"),
        ("pets#ffff", "exists, but not in that version"),
        ("nothing-like-it", "mintage list"),
    ],
)
def test_what_is_not_there_is_an_error_with_what_may_be_meant(
    mintage: Terminal, reference: str, remedy: str
) -> None:
    for words in (["show", reference], ["remove", reference, "--yes"]):
        mintage(*words, status=2)
        assert f"There is no '{reference}'" in mintage.err
        assert remedy in mintage.err


def test_a_model_that_was_removed_is_marked_in_its_run(mintage: Terminal, home: Path) -> None:
    mintage("remove", "pets@1", "--yes")
    assert "pets@1 (removed)" in mintage("list", "runs")
    run = mintage.json("list", "runs")["runs"][0]["run"]
    assert "pets@1 (removed)" in mintage("show", run)


def test_what_a_bare_name_means_is_marked_among_its_versions(
    mintage: Terminal, home: Path, tmp_path: Path
) -> None:
    assert "collected last" not in mintage("list", "datasets")
    with App(load_settings(home=home)) as app:
        newest = app.create.collect(two_classes(tmp_path / "photos", each=30), "pets").version
    shown = mintage("list", "datasets")
    assert "collected last" in shown
    (marked,) = (line for line in shown.splitlines() if line.startswith("pets#") and " * " in line)
    assert newest[:12] in marked


def test_a_model_from_elsewhere_is_shown_as_imported(mintage: Terminal, home: Path) -> None:
    mintage("export", "pets@1", "pets.mintage")
    Path("publisher.pub").write_text(mintage("public-key", "bundle"))
    there = ("--home", "there")
    mintage("trust", "add", "publisher.pub", "--yes", *there)
    mintage("import", "pets.mintage", *there)
    (model,) = mintage.json("show", "pets", *there)
    assert (model["imported"], model["run"]) == (True, "")
    lines = mintage("show", "pets@1", *there).splitlines()
    shown = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines}
    assert "created" not in shown
    assert shown["imported"] == model["created_at"][:16].replace("T", " ")
    assert shown["run"] == "trained elsewhere"
    assert shown["signed by"] == f"the trusted key {model['signed_by']['key_id']}"
    (own,) = (each for each in mintage.json("show", "pets@1"))
    assert own["imported"] is False


def test_a_product_alone_is_not_removed_and_that_is_said(mintage: Terminal, home: Path) -> None:
    with App(load_settings(home=home)) as app:
        app.publishing.publish("pets@1", "sorting", price="0.05", currency="EUR")
    mintage("remove", "sorting", "--yes", status=2)
    assert "sorting is a product, and products are not removed" in mintage.err
    assert "mintage key revoke" in mintage.err
    mintage("list", "products")
    assert "sorting" in mintage.out


def test_remove_asks_nobody_in_a_script_but_wants_yes(mintage: Terminal, home: Path) -> None:
    mintage("remove", "pets@1", status=2)
    assert "Say --yes" in mintage.err
    assert (home / "models/pets/1").is_dir()
    done = mintage.json("remove", "pets@1", "--yes")
    assert (done["kind"], done["removed"]) == ("model", "pets@1")
    assert not (home / "models/pets/1").exists()
    mintage("show", "pets@1", status=2)


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("n", False)])
def test_remove_asks_whoever_sits_at_the_terminal(home: Path, answer: str, goes: bool) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "mintage", "remove", "pets@1", "--home", str(home)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    said = child.communicate(timeout=60)[1].decode()
    os.close(ours)
    assert "Remove pets@1" in said
    assert child.returncode == (0 if goes else 130)
    assert (home / "models/pets/1").exists() is not goes


def test_remove_is_refused_where_something_stands_on_it(mintage: Terminal, sold: Path) -> None:
    (dataset,), (run,) = (mintage.json("list")[kind] for kind in ("datasets", "runs"))
    for reference, reason in (
        ("pets@1", "answers for what is sold as pets"),
        (dataset["dataset"], "still here: pets@1"),
        (run["run"], "still here: pets@1"),
        ("pets", "names no version"),
    ):
        mintage("remove", reference, "--yes", status=2)
        assert reason in mintage.err
    assert "No verb takes a product off sale yet" in mintage.err
    mintage("remove", dataset["dataset"][:9], "--yes", "--force")
    assert "can no longer tell" in mintage.err
    mintage("remove", run["run"], "--yes", "--force")
    assert "can no longer write the report" in mintage.err
    left = mintage.json("list")
    assert (left["datasets"], left["runs"]) == ([], [])
    assert left["models"][0]["model"] == "pets@1"


def test_gc_says_what_it_would_free_and_then_frees_that(mintage: Terminal, home: Path) -> None:
    before = mintage.json("list")["sizes"]
    planned = mintage.json("gc", "--dry-run")
    assert planned["dry_run"] is True
    assert planned["freed"]["cache"]["size_bytes"] == before["cache"] > 0
    assert mintage.json("list")["sizes"] == before
    done = mintage.json("gc")
    assert (done["freed"], done["left"]) == (planned["freed"], [])
    after = mintage.json("list")["sizes"]
    assert before["total"] - after["total"] == done["size_bytes"]
    assert "0 B freed" in mintage("gc")


def test_gc_counts_runs_without_a_model_and_weights_apart(mintage: Terminal, home: Path) -> None:
    freed = mintage.json("gc", "--dry-run")["freed"]
    assert freed["runs"] == {"count": 0, "size_bytes": 0}
    assert freed["weights"]["size_bytes"] > 0
    rows = mintage("gc").splitlines()
    (runs,) = (row for row in rows if row.startswith("runs without a model"))
    (weights,) = (row for row in rows if row.startswith("checkpoints and weights"))
    assert runs.split()[-3:] == ["0", "0", "B"]
    assert weights.split()[-3] == str(freed["weights"]["count"])


def test_gc_is_refused_while_a_server_has_the_workspace_open(mintage: Terminal, home: Path) -> None:
    with Workspace(home):
        mintage("gc", status=2)
        assert "in use by another process" in mintage.err
        assert "Stop the server" in mintage.err
    mintage("gc")


def test_doctor_exits_with_2_only_where_something_is_wrong(mintage: Terminal, home: Path) -> None:
    found = {finding["check"]: finding for finding in mintage.json("doctor")}
    assert found["database"]["status"] == found["audit log"]["status"] == "ok"
    (home / "keys/bundle.pem").chmod(0o644)
    shown = mintage("doctor", status=2)
    assert "problem  keys: " in shown
    assert "chmod 600" in shown
    (home / "keys/bundle.pem").chmod(0o600)
    shutil.rmtree(home / "models/pets/1")
    assert f"missing: {home}/models/pets/1" in mintage("doctor", status=2)
