import shutil
from pathlib import Path

import pytest
from tests.pictures import jpeg

import mintage
from mintage.core.errors import ConfigError, InputError, RequestError, SignatureMismatch


def test_the_python_face_does_what_the_verbs_do(home: Path, trained_home: Path) -> None:
    data = mintage.dataset("pets", home=home)
    assert data.name == "pets"
    assert data.reference == f"pets#{data.version}"
    assert data.labels == ("dark", "light")
    assert len(data) == 120
    assert (len(data.train), len(data.validation), len(data.test)) == (96, 0, 24)
    assert data.quality == mintage.inspect("pets", home=home)
    run = mintage.train(data, recipe="seed-cnn", epochs=2, name="other")
    assert run.model.reference == "other@1"
    own, split = run.model.evaluate(), run.model.evaluate(data.test)
    assert own["accuracy"] == split["accuracy"] == run.metrics["accuracy"]
    with pytest.raises(InputError, match="no examples in its validation split"):
        run.model.evaluate(data.validation)
    picture = trained_home.parent / "photos/light/003.jpg"
    answer = mintage.model("pets@1", home=home).predict(picture)
    assert answer["output"]["label"] == "light"
    assert mintage.predict("pets", picture, home=home) == answer
    assert run.model.evaluate(trained_home.parent / "photos")["examples"] == 120


def test_scores_in_python_are_those_of_the_verb(
    home: Path, trained_home: Path, tmp_path: Path
) -> None:
    photos = trained_home.parent / "photos"
    done = mintage.score(photos, model="pets", out=tmp_path / "scores.csv", home=home)
    assert (done["rows"], done["unreadable"], done["source"]) == (120, 0, "folder")
    with pytest.raises(ConfigError, match="there already"):
        mintage.score(photos, model="pets", out=tmp_path / "scores.csv", home=home)
    again = mintage.model("pets@1", home=home).score(photos, tmp_path / "again.csv")
    assert again | {"path": done["path"]} == done
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "scores.csv").read_bytes()


def test_collect_in_python_gives_the_same_version_again(home: Path, trained_home: Path) -> None:
    photos = trained_home.parent / "photos"
    again = mintage.collect(photos, name="pets", home=home)
    assert again.version == mintage.dataset("pets", home=home).version


def test_the_time_is_promised_from_the_call_to_the_bundle(home: Path) -> None:
    import time

    began = time.monotonic()
    run = mintage.train("pets", time="21s", recipe="seed-cnn", home=home)
    assert time.monotonic() - began < 21 * 1.05
    assert run.record["seconds"] <= 21 * 1.05
    assert Path(run.record["bundle"], "signature.json").exists()


@pytest.mark.parametrize("options", [{"time": "5s"}, {"recipe": "nothing"}, {"name": "../x"}])
def test_a_training_that_cannot_be_is_refused_before_it_begins(home: Path, options: dict) -> None:
    with pytest.raises(ConfigError):
        mintage.train("pets", home=home, **options)


def test_what_is_not_there_or_was_changed_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        mintage.dataset("nothing", home=home)
    model = mintage.model("pets", home=home)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a JPEG"):
        model.predict(bad)
    card = home / "models/pets/1/card.md"
    card.write_text(card.read_text() + " ")
    with pytest.raises(SignatureMismatch):
        model.predict(bad)


def test_python_grows_tells_apart_and_compares_as_the_verbs_do(
    home: Path, trained_home: Path, tmp_path: Path
) -> None:
    from mintage.app import face

    before = mintage.dataset("pets", home=home)
    photos = shutil.copytree(trained_home.parent / "photos", tmp_path / "photos")
    for path in sorted(photos.glob("*/*.jpg"))[::2]:
        path.unlink()
    assert mintage.collect(photos, into="pets", home=home).version == before.version
    (photos / "dark/new.jpg").write_bytes(jpeg(4321))
    grown = mintage.collect(photos, into="pets", home=home)
    assert len(grown) == 121
    assert len(face.diff(before.reference, home=home)["added"]) == 1
    face.train(grown, recipe="seed-cnn", epochs=1)
    assert face.compare("pets@1", "pets@2", home=home)["examples"] >= 24
    for options in ({}, {"name": "a", "into": "b"}):
        with pytest.raises(ConfigError):
            mintage.collect(photos, home=home, **options)
