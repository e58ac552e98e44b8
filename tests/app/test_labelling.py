"""Opening a folder for labelling: classes, names, files, and a real model."""

from __future__ import annotations

import getpass
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.pictures import jpeg, two_classes

from mintage.app.labelling import (
    Labelling,
    check_classes,
    labeller_of,
    next_command,
    split_classes,
)
from mintage.app.root import App
from mintage.core.errors import ConfigError, DataError, RequestError
from mintage.core.settings import load_settings
from mintage.create.labelling import LabelSession


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    return folder


def opened(folder: Path, classes: str = "good,bad", **options: Any) -> LabelSession:
    return Labelling().open(folder, classes=split_classes(classes), **{"labeller": "ada"} | options)


def test_classes_are_split_as_people_type_them() -> None:
    assert split_classes(" good, scratch ") == ("good", "scratch")
    assert split_classes("好，划痕、污渍") == ("好", "划痕", "污渍")
    assert split_classes("") == ()
    assert split_classes("cafe\u0301,x") == ("caf\u00e9", "x")


@pytest.mark.parametrize("classes", ["good", "good,,bad", "good,good", "go\x1bod,bad"])
def test_classes_that_cannot_be_are_refused_before_anything_is_written(
    photos: Path, classes: str
) -> None:
    with pytest.raises(ConfigError):
        opened(photos, classes)
    with pytest.raises(ConfigError):
        check_classes([str(number) for number in range(51)])
    assert not (photos / "labels.jsonl").exists()


def test_without_classes_a_new_file_is_not_begun_and_an_old_one_has_its_own(photos: Path) -> None:
    with pytest.raises(ConfigError, match="classes are not said"):
        opened(photos, "")
    assert not (photos / "labels.jsonl").exists()
    opened(photos, overlap=0.5).close()
    session = opened(photos, "")
    assert session.state()["classes"] == ["good", "bad"]
    session.close()
    (photos / "labels.jsonl").write_bytes(b"")
    with pytest.raises(ConfigError, match="classes are not said"):
        opened(photos, "")


def test_a_class_may_be_added_and_one_in_use_not_dropped(photos: Path) -> None:
    session = opened(photos)
    session.decide(0, "bad", 1.0)
    session.close()
    with pytest.raises(ConfigError, match="bad cannot be dropped: it is the label of 1 in"):
        opened(photos, "good,dent")
    again = opened(photos, "dent,bad")  # good is nobody's
    assert again.state()["classes"] == ["dent", "bad"]
    again.undo()
    again.close()
    opened(photos, "good,dent").close()


def test_what_is_not_said_anew_stays_as_it_was(photos: Path) -> None:
    opened(photos, overlap=0.5).close()
    before = (photos / "labels.jsonl").read_bytes()
    opened(photos, "").close()
    assert (photos / "labels.jsonl").read_bytes() == before
    opened(photos, "", overlap=0.25).close()
    session = opened(photos, "")
    assert session.journal.header is not None
    assert session.journal.header.overlap == 0.25
    session.close()


def test_two_at_once_are_refused(photos: Path) -> None:
    first = opened(photos)
    with pytest.raises(ConfigError, match="Another mintage label"):
        opened(photos, labeller="ben")
    first.close()
    opened(photos, labeller="ben").close()


def test_labels_elsewhere_know_their_folder_and_follow_it_when_it_moves(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.jsonl"
    session = opened(photos, out=out)
    session.decide(0, "good", 1.0)
    session.close()
    assert not (photos / "labels.jsonl").exists()
    other = shutil.copytree(photos, tmp_path / "other")
    with pytest.raises(ConfigError, match="is about the pictures in"):
        opened(other, out=out)
    shutil.rmtree(photos)
    moved = opened(other, out=out)
    assert moved.state()["labelled"] == 1
    assert moved.journal.header is not None
    assert moved.journal.header.folder == str(other.resolve())
    moved.close()


def test_a_folder_that_moves_with_its_labels_needs_nothing(photos: Path, tmp_path: Path) -> None:
    session = opened(photos)
    session.decide(0, "good", 1.0)
    session.close()
    moved = opened(photos.rename(tmp_path / "moved"), "")
    assert moved.state()["labelled"] == 1
    moved.close()


@pytest.mark.parametrize("kind", ["empty", "missing", "file"])
def test_no_pictures_is_said(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError):
        opened(tmp_path / kind)


def test_the_labeller_is_the_systems_user_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert labeller_of("") == "ada"
    assert labeller_of(" Ben ") == "Ben"

    def unknown() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", unknown)
    for name in ("", "a\x1bb", "x" * 101):
        with pytest.raises(ConfigError) as refused:
            labeller_of(name)
        assert "--labeller" in refused.value.remedy


def test_the_next_command_can_be_pasted(photos: Path, tmp_path: Path) -> None:
    session = opened(photos)
    assert next_command(session) == f"mintage collect {photos}/labels.jsonl --name photos"
    session.close()
    spaced = opened(photos.rename(tmp_path / "my photos"))
    assert (
        next_command(spaced) == f"mintage collect '{tmp_path}/my photos/labels.jsonl' --name NAME"
    )
    spaced.close()


@pytest.mark.slow
def test_with_a_model_of_the_workspace_its_most_doubtful_come_first(
    trained_home: Path, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "unsorted", each=10)
    with App(load_settings(home=trained_home, threads=1), make=False) as app:
        with pytest.raises(RequestError, match="no model"):
            app.labelling.open(photos, classes=("dark", "light"), model="cars")
        with pytest.raises(ConfigError, match="none of these is among the classes"):
            app.labelling.open(photos, classes=("good", "bad"), model="pets@1")
        assert not (photos / "labels.jsonl").exists() or not (photos / "labels.jsonl").read_bytes()
        session = app.labelling.open(photos, classes=("dark", "light"), model="pets@latest")
        predictor = app.create.predictor("pets@1")
    # The workspace is closed; the model answers all the same.
    assert session._doubts is not None
    session._doubts.wait(30)
    chances = []
    for number in session.upcoming(99):
        answer = predictor.predict((photos / session.name(number)).read_bytes()).output
        values = answer["probabilities"]
        chances.append(2.0 if values is None else 1 - abs(values["dark"] - values["light"]))
    assert len(chances) == 20
    assert chances == sorted(chances, reverse=True)
    first = session.upcoming(1)[0]
    said = session.decide(first, "dark", 1.0)
    assert said is not None
    assert set(said) >= {"label", "probability", "unusual"}
    session.close()


def test_a_model_without_a_workspace_is_refused(photos: Path) -> None:
    with pytest.raises(ConfigError, match="needs a workspace"):
        opened(photos, model="pets@1")
