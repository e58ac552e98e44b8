"""What is unlike all others, and pictures that need no network to be called faulty."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.pictures import encoded, noise, two_classes

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.create.measures import Measures, measured
from mintage.create.outliers import USUAL_SHARE, distances, faults, unlike


def test_the_distance_is_the_mean_to_the_nearest_by_an_oracle():
    chance = np.random.default_rng(0)
    features = chance.normal(size=(60, 5)).astype(np.float32)
    found = distances(features, np.zeros(60, dtype=np.int64))
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = [
        np.sort(np.linalg.norm(scaled - each, axis=1))[1:11].mean()  # the first is itself
        for each in scaled
    ]
    np.testing.assert_allclose(found, expected / np.median(expected), rtol=1e-5)


def test_folds_are_not_compared_since_each_has_a_network_of_its_own():
    chance = np.random.default_rng(1)
    features = chance.normal(size=(200, 4)).astype(np.float32)
    fold = np.repeat([0, 1], 100)
    features[fold == 1] = features[fold == 1] * 1000 + 5000
    found = distances(features, fold)
    assert np.median(found[fold == 0]) == pytest.approx(1)
    assert np.median(found[fold == 1]) == pytest.approx(1)
    assert not unlike(found).any()


def test_what_was_planted_far_away_is_found_and_nothing_else():
    chance = np.random.default_rng(2)
    features = chance.normal(size=(500, 8)).astype(np.float32)
    features[[7, 300]] += 12
    fold = np.arange(500) % 4
    assert np.flatnonzero(unlike(distances(features, fold))).tolist() == [7, 300]


@pytest.mark.parametrize("count", [1, 2, 3, 11])
def test_few_examples_and_features_that_never_vary_say_nothing(count):
    features = np.ones((count, 3), dtype=np.float32)
    found = distances(features, np.zeros(count, dtype=np.int64))
    assert found.tolist() == [1.0] * count
    assert not unlike(found).any()


def measures_of(**changes):
    """Two hundred ordinary pictures; ``changes`` are the values of the first ones."""
    values = {
        "width": np.full(200, 400),
        "height": np.full(200, 300),
        "brightness": np.full(200, 0.5, np.float32),
        "contrast": np.full(200, 0.2, np.float32),
        "size_bytes": np.full(200, 30_000),
        "formats": np.full(200, "JPEG"),
        "marks": np.zeros((200, 32), np.uint8),
        "mirrored": np.zeros((200, 32), np.uint8),
    }
    for name, first in changes.items():
        values[name][: len(first)] = first
    return Measures(**values)


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        ("blank", {"contrast": [0.001]}),
        ("dark", {"brightness": [0.03], "contrast": [0.05]}),
        ("bright", {"brightness": [0.97], "contrast": [0.05]}),
        ("long", {"width": [2000]}),
        ("tiny", {"width": [30], "height": [20]}),
    ],
)
def test_each_fault_is_told_from_the_others(fault, changes):
    found = faults(measures_of(**changes))
    assert {name: flags.sum() for name, flags in found.items() if flags.any()} == {fault: 1}
    assert found[fault][0]


def test_what_many_pictures_have_in_common_is_how_the_data_are():
    many = int(USUAL_SHARE * 200) + 1
    assert faults(measures_of(brightness=[0.02] * (many - 1)))["dark"].sum() == many - 1
    assert not faults(measures_of(brightness=[0.02] * many))["dark"].any()
    small = measures_of(width=[28] * 200, height=[28] * 200)
    assert not faults(small)["tiny"].any()


@pytest.fixture
def faulty(tmp_path: Path) -> App:
    """A workspace with a dataset in which a picture of each fault was planted."""
    photos = two_classes(tmp_path / "photos", each=24, size=(80, 60))
    plain = np.asarray(noise(700, (80, 60)), dtype=np.float64)
    planted = {
        "blank": Image.new("RGB", (80, 60), (90, 120, 90)),
        "dark": Image.fromarray((plain * 0.1).astype(np.uint8)),
        "bright": Image.fromarray((245 + plain * 0.04).astype(np.uint8)),
        "long": noise(701, (400, 60)),
        "tiny": noise(702, (24, 20)),
    }
    for name, picture in planted.items():
        (photos / f"light/{name}.png").write_bytes(encoded(picture, "PNG"))
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        app.create.collect(photos, "pets")
        yield app


def test_faults_are_found_in_real_files(faulty: App):
    found = faulty.create.inspect("pets", look="pictures")
    by_check = {
        concern["check"]: [example["path"] for example in concern["examples"]]
        for concern in found["concerns"]
        if concern["check"] in ("blank", "dark", "bright", "long", "tiny")
    }
    assert by_check == {
        name: [f"light/{name}.png"] for name in ("blank", "dark", "bright", "long", "tiny")
    }
    assert all(concern["suggestion"] for concern in found["concerns"])


def test_measures_are_what_pillow_says_and_are_computed_once(faulty: App, monkeypatch):
    dataset = faulty.create.dataset("pets")
    found = measured(faulty.workspace, dataset, Silent())
    assert found is not None
    for position in range(0, len(dataset.examples), 7):
        example = dataset.examples[position]
        data = faulty.workspace.blobs_of("pets").get(example.sha256)
        gray = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.float64) / 255
        assert found.brightness[position] == pytest.approx(gray.mean(), abs=0.02)
        assert found.formats[position] == Image.open(io.BytesIO(data)).format
        assert found.size_bytes[position] == len(data)
        assert (found.width[position], found.height[position]) == Image.open(io.BytesIO(data)).size
    monkeypatch.setattr(
        faulty.workspace.blobs_of("pets"), "get", lambda _: pytest.fail("read again")
    )
    again = measured(faulty.workspace, dataset, Silent())
    assert again is not None
    assert (again.marks == found.marks).all()


def test_a_turned_photograph_is_measured_as_it_is_seen(tmp_path: Path):
    photos = two_classes(tmp_path / "photos", each=10)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = noise(800, (60, 30))
    ImageDraw.Draw(picture).rectangle((0, 0, 20, 30), fill=(255, 255, 255))
    (photos / "light/turned.jpg").write_bytes(encoded(picture, exif=exif))
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        dataset = app.create.collect(photos, "pets")
        found = measured(app.workspace, dataset, Silent())
    at = [example.path for example in dataset.examples].index("light/turned.jpg")
    assert found is not None
    assert (found.width[at], found.height[at]) == (30, 60)
