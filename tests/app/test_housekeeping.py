import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import jpeg, two_classes

from mintage.app.clearing import Cleared, clear
from mintage.app.housekeeping import Housekeeping, clear_workspace
from mintage.app.root import App
from mintage.core.canonical import sha256_hex
from mintage.core.errors import ConfigError, RequestError
from mintage.core.ids import new_id
from mintage.core.settings import load_settings
from mintage.create import repository
from mintage.store import schema
from mintage.store.workspace import Workspace


@pytest.fixture
def app(home: Path) -> Iterator[App]:
    with App(load_settings(home=home, threads=1)) as opened:
        yield opened


@pytest.fixture
def keeping(app: App) -> Housekeeping:
    return Housekeeping(app.workspace, app.keys)


def counts(cleared: Cleared) -> dict[str, int]:
    return {each.kind: each.count for each in cleared.freed}


def leaves(app: App, kind: str) -> list[dict[str, Any]]:
    with app.workspace.database.read() as connection:
        rows = connection.execute(schema.log_leaves.select())
        return [json.loads(row.record) for row in rows if row.kind == kind]


def dataset_of(app: App) -> str:
    return app.create.dataset("pets").reference


def test_a_version_number_is_never_given_twice(app: App, keeping: Housekeeping) -> None:
    keeping.remove("pets@1")
    with pytest.raises(RequestError, match="no model 'pets"):
        app.create.model("pets")
    assert app.create.train("pets", recipe="seed-cnn", epochs=1).version == 2
    (leaf,) = leaves(app, "model.removed")
    assert (leaf["name"], leaf["version"]) == ("pets", 1)
    assert app.capture.audit()["records"] > 3


def test_a_run_whose_model_was_removed_says_so(app: App, keeping: Housekeeping) -> None:
    (before,) = keeping.listing()["runs"]
    assert (before["model"], before["model_removed"]) == ("pets@1", False)
    keeping.remove("pets@1")
    (after,) = keeping.listing()["runs"]
    assert (after["model"], after["model_removed"]) == ("pets@1", True)
    (shown,) = keeping.show(after["run"])
    assert (shown["model"], shown["model_removed"], shown["models"]) == ("pets@1", True, [])


def test_the_version_that_a_bare_name_means_is_marked(
    app: App, keeping: Housekeeping, trained_home: Path, tmp_path: Path
) -> None:
    first = dataset_of(app)
    second = app.create.collect(two_classes(tmp_path / "other", each=30), "pets").reference

    def current() -> dict[str, bool]:
        return {each["dataset"]: each["current"] for each in keeping.listing()["datasets"]}

    assert list(current().items()) == [(first, False), (second, True)]
    app.create.collect(trained_home.parent / "photos", "pets")  # the first, once more
    assert list(current().items()) == [(second, False), (first, True)]
    assert dataset_of(app) == first


def test_a_dataset_collected_again_is_there_again(
    app: App, keeping: Housekeeping, trained_home: Path
) -> None:
    reference = dataset_of(app)
    keeping.remove(reference, force=True)
    with pytest.raises(RequestError, match="no dataset"):
        app.create.dataset("pets")
    again = app.create.collect(trained_home.parent / "photos", "pets")
    assert again.reference == reference == dataset_of(app)
    assert len(leaves(app, "dataset.removed")) == 1
    app.close()
    with App(app.settings) as next_start:
        assert dataset_of(next_start) == reference


@pytest.mark.parametrize("reference", ["pets@1", "pets#", "run"])
def test_a_removal_that_a_crash_cut_short_is_ended_at_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    app = App(load_settings(home=home))
    keeping = Housekeeping(app.workspace, app.keys)
    listed = keeping.listing()
    named = {"pets#": listed["datasets"][0]["dataset"], "run": listed["runs"][0]["run"]}
    folder = keeping.removal(named.get(reference, reference), force=True).folder
    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        keeping.remove(named.get(reference, reference), force=True)
    app.close()
    monkeypatch.undo()
    assert folder.is_dir()
    others = {path for path in home.glob("*/*/*") if folder not in path.parents} - {folder}
    Workspace(home).close()
    assert not folder.exists()
    assert set(home.glob("*/*/*")) == others


def test_what_is_sold_cannot_be_removed_by_whoever_looked_before_it_was(
    app: App, keeping: Housekeeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the question and the answer another terminal publishes it."""
    assert keeping.removal("pets@1").consequences == ()
    app.publishing.publish("pets@1", "pets")
    with pytest.raises(ConfigError, match="is sold as pets"):
        keeping.remove("pets@1")
    assert app.create.model("pets@1").subject == "pets@1"
    assert leaves(app, "model.removed") == []


def test_an_ambiguous_version_is_not_removed(
    app: App, keeping: Housekeeping, tmp_path: Path
) -> None:
    for number in range(17):  # of 17 digests two begin with the same digit
        photos = two_classes(tmp_path / "photos", each=12 + number)
        last = app.create.collect(photos, "many")
    with app.workspace.database.read() as connection:
        rows = connection.execute(schema.datasets.select().where(schema.datasets.c.name == "many"))
        firsts = [row.version[0] for row in rows]
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(ConfigError, match="may be any of"):
        keeping.removal(f"many#{twice}")
    assert keeping.removal(last.reference).reference == last.reference


def test_a_run_that_is_training_holds_itself_and_its_dataset(
    app: App, keeping: Housekeeping
) -> None:
    dataset = app.create.dataset("pets")
    run, trained_on, moment = new_id("run"), ("pets", dataset.version), app.workspace.now()
    app.workspace.database.write(
        lambda connection: repository.begin_run(connection, run, trained_on, moment, resumed=False)
    )
    for reference in (run, dataset.reference):
        with pytest.raises(ConfigError, match="training"):
            keeping.remove(reference, force=True)
    app.close()
    with App(app.settings) as next_start:  # it was killed: nobody goes on with it
        listed = Housekeeping(next_start.workspace, next_start.keys).listing()
        states = {each["run"]: (each["status"], each["seconds"]) for each in listed["runs"]}
        assert states[run] == ("interrupted", None)


def test_gc_frees_what_nothing_needs_and_nothing_else(app: App, keeping: Housekeeping) -> None:
    home = app.workspace.home
    stray = sha256_hex(b"nobody's")
    app.workspace.blobs_of("pets").put(stray, b"nobody's")
    (home / "downloads").mkdir()
    (home / "downloads/set.zip").write_bytes(b"x" * 1000)
    temporary = home / f"models/.1.{new_id('tmp')}"
    temporary.mkdir()
    (temporary / "card.md").write_text("half")
    (home / f"blobs/.half.{new_id('tmp')}").write_bytes(b"half")
    with pytest.raises(ZeroDivisionError):
        app.create.train("pets", recipe="seed-cnn", epochs=1, should_stop=lambda: 1 / 0 > 1)
    done = clear(app.workspace)
    assert counts(done) == {
        "cache": 1,
        "downloads": 1,
        "removed": 0,
        "runs": 1,  # the failed run's folder
        "weights": 2,  # checkpoints and graph of the one that finished
        "blobs": 1,
        "feedback": 0,
        "temporary": 2,
        "answers": 0,
    }
    freed = {each.kind: each.size_bytes for each in done.freed}
    assert freed["runs"] > 0
    assert freed["weights"] > freed["runs"]
    assert not app.workspace.blobs_of("pets").has(stray)
    assert len(app.workspace.stored("blobs")) == 120
    finished, failed = (run for run in keeping.listing()["runs"])
    assert (finished["status"], failed["status"]) == ("finished", "failed")
    assert failed["size_bytes"] == 0
    assert app.create.report("pets@1").exists()
    assert app.create.train("pets", recipe="seed-cnn", epochs=1).version == 2
    assert clear(app.workspace, dry_run=True).left == ()


def test_gc_sweeps_empty_folders_without_counting_them(workspace: Workspace) -> None:
    empty = workspace.download_folder / "0123456789abcdef"
    empty.mkdir(parents=True)
    assert counts(clear(workspace, dry_run=True))["downloads"] == 0
    assert empty.is_dir()
    assert counts(clear(workspace))["downloads"] == 0
    assert not empty.exists()


def test_gc_frees_the_examples_of_a_removed_dataset_but_not_those_it_shared(
    app: App, keeping: Housekeeping, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "photos", each=70)  # the 60 of each of pets, and 10 more
    more = app.create.collect(photos, "more")
    assert len(app.workspace.stored("blobs")) == 140
    keeping.remove(more.reference)
    assert counts(clear(app.workspace))["blobs"] == 20
    (leaf,) = leaves(app, "data.erased")
    assert leaf["counts"]["blobs"] == 20
    clear(app.workspace)
    assert len(leaves(app, "data.erased")) == 1, "nothing was freed"
    for example in app.create.dataset("pets").examples:
        app.workspace.blobs_of("pets").get(example.sha256)


def test_gc_frees_no_example_where_a_manifest_is_damaged(app: App, keeping: Housekeeping) -> None:
    folder = app.create.dataset("pets").folder
    manifest = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(b"".join(manifest.splitlines(keepends=True)[1:]))
    done = clear(app.workspace)
    assert counts(done)["blobs"] == 0
    assert "nobody can tell" in done.left[0]
    assert len(app.workspace.stored("blobs")) == 120
    (folder / "manifest.jsonl").write_bytes(manifest)
    assert len(app.create.dataset("pets").examples) == 120


def test_gc_forgets_stored_answers_past_their_time(workspace: Workspace, clock: Any) -> None:
    event = {column.name: "" for column in schema.usage_events.columns}
    event |= {
        "sequence": 1,
        "receipt": "rcp_1",
        "abstained": False,
        "final": True,
        "latency_seconds": 0.0,
    }
    event |= {"compute_seconds": 0.0, "probability": None, "plan_version": 1, "log_position": 0}
    kept = {"receipt": "rcp_1", "answer": b"x" * 700, "expires_at": workspace.now()}

    def work(connection: repository.Connection) -> None:
        connection.execute(schema.usage_events.insert(), event)
        connection.execute(schema.answers.insert(), kept)

    workspace.database.write(work)
    clock.advance(-1)
    assert counts(clear(workspace))["answers"] == 0
    clock.advance(1)
    freed = {each.kind: each for each in clear(workspace).freed}["answers"]
    assert (freed.count, freed.size_bytes) == (1, 700)
    with workspace.database.read() as connection:
        assert connection.execute(schema.answers.select()).all() == []


COLLECTING = """
import sys
from pathlib import Path
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.create import dataset

def wait(*args, **options):
    print("blobs are written", flush=True)
    sys.stdin.readline()
    return keep(*args, **options)

from mintage.create import collect
keep, collect.keep_dataset = collect.keep_dataset, wait
with App(load_settings(home=Path(sys.argv[1]))) as app:
    print(len(app.create.collect(Path(sys.argv[2]), "more").examples), flush=True)
"""


def test_gc_waits_for_no_collect_and_loses_it_no_example(home: Path, tmp_path: Path) -> None:
    """A real second process is stopped when its blobs are written and its manifest is not."""
    photos = two_classes(tmp_path / "photos", each=70)
    with subprocess.Popen(
        [sys.executable, "-c", COLLECTING, str(home), str(photos)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "blobs are written\n"
        with pytest.raises(ConfigError, match="in use by another process"):
            clear_workspace(home)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "140\n"
    assert counts(clear_workspace(home))["blobs"] == 0
    with App(load_settings(home=home)) as app:
        for example in app.create.dataset("more").examples:
            app.workspace.blobs_of("pets").get(example.sha256)


def test_whoever_comes_while_gc_works_waits_for_it(home: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from mintage.store.workspace import Workspace\n"
        "print('here', flush=True); Workspace(Path(sys.argv[1])).close(); print('in', flush=True)"
    )
    with Workspace(home) as ours, ours.alone():
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=0.5)
    with child:
        assert child.stdout.readline() == "in\n"


def test_pictures_can_be_collected_again_after_gc(app: App, tmp_path: Path) -> None:
    (tmp_path / "photos/a").mkdir(parents=True)
    app.workspace.blobs_of("pets").put(sha256_hex(jpeg(1)), jpeg(1))
    assert counts(clear(app.workspace))["blobs"] == 1
    app.workspace.blobs_of("pets").put(sha256_hex(jpeg(1)), jpeg(1))
    assert app.workspace.blobs_of("pets").get(sha256_hex(jpeg(1))) == jpeg(1)


def test_gc_of_a_full_disk_keeps_the_only_copy_and_counts_a_leftover_once(home: Path) -> None:
    """Reading only, nothing is put back first: a version set aside may be all there is of it."""
    model = home / "models/pets/1"
    aside = model.with_name(f".1.old-{new_id('tmp')}")
    model.rename(aside)
    begun = model.with_name(f".2.{new_id('tmp')}")
    begun.mkdir()
    (begun / "model.onnx").write_bytes(bytes(1000))
    with Workspace(home, reading=True) as workspace:
        found = {each.kind: each for each in clear(workspace).freed}
    assert found["removed"].count == 0
    assert (found["temporary"].count, found["temporary"].size_bytes) == (1, 1000)
    assert not begun.exists()
    with Workspace(home):
        assert (model / "model.onnx").exists()
