"""The same picture on two sides of the split, and labels that can be read off the file."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.pictures import encoded, noise, two_classes

from mintage.app.root import App
from mintage.core.progress import Silent
from mintage.core.settings import load_settings
from mintage.core.types import Example
from mintage.create.dataset import Dataset
from mintage.create.leakage import (
    Pair,
    across_splits,
    contradictory,
    pairs,
    shortcuts,
)
from mintage.create.measures import Measures, measured
from mintage.tasks.metrics import roc_auc


def example(number, label="a", split="train", group=None, sha=None, fold=None):
    digest = f"{number:064x}"
    return Example(
        sha256=sha or digest,
        path=f"{label}/{number}.jpg",
        label=label,
        split=split,
        fold=fold,
        group=group or digest[::-1],
        size=(40, 30),
        orientation=1,
    )


def dataset_of(examples):
    card = {"modality": "image", "task": "class", "quality": {}}
    return Dataset("pets", "0" * 64, tuple(examples), card, Path())


def test_same_bytes_and_one_group_on_two_sides_are_leaks():
    dataset = dataset_of(
        [
            example(0),
            example(1, split="test", sha=f"{0:064x}"),
            example(2, group="g"),
            example(3, split="validation", group="g"),
            example(4, group="h"),
            example(5, group="h"),
            example(6, fold=0, group="i"),
            example(7, fold=1, group="i"),
        ]
    )
    found = across_splits(dataset, pairs(dataset, None))
    assert found == [
        Pair(0, 1, "same_bytes"),
        Pair(2, 3, "same_group"),
        Pair(6, 7, "same_group"),
    ]
    assert contradictory(dataset, pairs(dataset, None)) == []


def test_a_group_with_two_labels_contradicts_itself():
    dataset = dataset_of([example(0, group="g"), example(1, "b", group="g"), example(2, "b")])
    (pair,) = contradictory(dataset, pairs(dataset, None))
    assert pair.to_json(dataset.examples) == {
        "alike": "same_group",
        "paths": ["a/0.jpg", "b/1.jpg"],
        "labels": ["a", "b"],
        "splits": ["train", "train"],
    }


def test_mirror_images_are_found_in_real_pictures_and_strangers_are_not(tmp_path: Path):
    photos = two_classes(tmp_path / "photos", each=30, size=(80, 60))
    for number in range(6):
        path = photos / f"dark/{number:03}.jpg"
        mirrored = ImageOps.mirror(Image.open(path))
        (photos / f"light/mirrored-{number}.jpg").write_bytes(encoded(mirrored, quality=80))
    copy = Image.open(photos / "dark/010.jpg").resize((76, 57))
    (photos / "dark/copy.jpg").write_bytes(encoded(copy, quality=70))
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        dataset = app.create.collect(photos, "pets")
        found = pairs(dataset, measured(app.workspace, dataset, Silent()))
    paths = [each.path for each in dataset.examples]
    named = {(frozenset((paths[pair.first], paths[pair.second])), pair.alike) for pair in found}
    expected = {
        (frozenset((f"dark/{n:03}.jpg", f"light/mirrored-{n}.jpg")), "mirrored") for n in range(6)
    }
    assert named == expected | {
        (frozenset(("dark/010.jpg", "dark/copy.jpg")), "near_duplicate"),
    }
    assert len(contradictory(dataset, found)) == 6


def test_a_picture_that_is_its_own_mirror_image_is_no_pair(tmp_path: Path):
    photos = two_classes(tmp_path / "photos", each=10, size=(80, 60))
    half = np.asarray(noise(900, (40, 60)))
    symmetrical = Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1))
    (photos / "light/symmetrical.png").write_bytes(encoded(symmetrical, "PNG"))
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        dataset = app.create.collect(photos, "pets")
        assert pairs(dataset, measured(app.workspace, dataset, Silent())) == []


def labelled(labels, seed=0, **given):
    """Measures by chance alone but for those that are given, and the dataset that has them."""
    count = len(labels)
    chance = np.random.default_rng(seed)
    values = {
        "width": chance.integers(200, 500, count),
        "height": chance.integers(200, 500, count),
        "brightness": chance.uniform(0.2, 0.8, count).astype(np.float32),
        "contrast": chance.uniform(0.1, 0.3, count).astype(np.float32),
        "size_bytes": chance.integers(10_000, 50_000, count),
        "formats": np.where(chance.random(count) < 0.5, "JPEG", "PNG"),
        "marks": np.zeros((count, 32), np.uint8),
        "mirrored": np.zeros((count, 32), np.uint8),
    } | given
    examples = [
        example(number, str(label), group=f"{chance.integers(2**32):08x}")
        for number, label in enumerate(labels)
    ]
    return dataset_of(examples), Measures(**values)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [24, 120, 2000])
def test_labels_drawn_by_chance_cannot_be_read_off_anything(seed, count):
    labels = np.random.default_rng(100 + seed).integers(3, size=count)
    assert shortcuts(*labelled(labels, seed)) == []


@pytest.mark.parametrize("name", ["width", "brightness", "size_bytes"])
def test_a_number_that_differs_by_class_is_a_shortcut(name):
    labels = np.arange(300) % 2
    scale = {"width": 400, "brightness": 0.5, "size_bytes": 30_000}[name]
    chance = np.random.default_rng(3)
    values = scale * (1 + 0.4 * labels + chance.normal(0, 0.08, 300))
    found = shortcuts(*labelled(labels, **{name: values}))
    measure = {"size_bytes": "file_size"}.get(name, name)
    (shortcut,) = [each for each in found if each.measure == measure]
    # The oracle is the AUC of the number itself; bins and folds cost a little of it.
    assert shortcut.auc == pytest.approx(roc_auc(values, labels == 1), abs=0.03)


def test_the_files_format_alone_is_a_shortcut():
    labels = np.arange(200) % 2
    found = shortcuts(*labelled(labels, formats=np.where(labels == 1, "PNG", "JPEG")))
    assert [(each.measure, round(each.auc, 2)) for each in found] == [("format", 1.0)]


def test_one_size_among_many_tells_a_class_though_it_lies_in_the_middle():
    # No threshold tells 350 from what is larger and smaller; a rule by bins does.
    labels = np.arange(400) % 4
    chance = np.random.default_rng(4)
    width = np.where(labels == 2, 350, chance.permutation(np.linspace(200, 500, 400)).astype(int))
    found = {each.measure: each for each in shortcuts(*labelled(labels, width=width))}
    assert found["width"].label == "2"
    assert roc_auc(width.astype(float), labels == 2) == pytest.approx(0.5, abs=0.1)


def test_a_leaking_size_and_format_are_found_in_real_files(tmp_path: Path):
    photos = tmp_path / "photos"
    for label, size, kind in (("a", (80, 60), "JPEG"), ("b", (64, 64), "PNG")):
        (photos / label).mkdir(parents=True)
        for number in range(40):
            picture = noise(number + 1000 * (label == "b"), size)
            stream = io.BytesIO()
            picture.save(stream, kind)
            (photos / label / f"{number}.{kind.lower()}").write_bytes(stream.getvalue())
    with App(load_settings(home=tmp_path / "home", threads=1)) as app:
        app.create.collect(photos, "pets")
        found = app.create.inspect("pets", look="pictures")
    told = {
        concern["examples"][0]["measure"]
        for concern in found["concerns"]
        if concern["check"] == "shortcut"
    }
    assert {"width", "height", "shape", "format", "file_size"} <= told
    assert "brightness" not in told
