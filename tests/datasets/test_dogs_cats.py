import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.pictures import jpeg, two_classes

from mintage.app.face import open_workspace
from mintage.core.errors import DataError, RequestError
from mintage.datasets import dogs_cats
from mintage.modalities.image.reading import decode_square


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    """A workspace with the dataset ``pets`` of ``dark`` and ``light`` pictures."""
    app = open_workspace(tmp_path / "workspace")
    app.create.collect(two_classes(tmp_path / "photos", each=30), "pets")
    return app.workspace.home


def test_arrays_have_the_shapes_and_labels_that_the_docstring_says(collected: Path) -> None:
    (train_images, train_labels), (test_images, test_labels) = dogs_cats.load_data(home=collected)
    kept = open_workspace(collected).create.dataset("pets")
    held_out = [each for each in kept.examples if each.split == "test"]
    assert test_images.shape == (len(held_out), 28, 28, 3)
    assert train_images.shape == (60 - len(held_out), 28, 28, 3)
    assert train_labels.shape == (len(train_images),)
    assert test_labels.shape == (len(test_images),)
    arrays = (train_images, train_labels, test_images, test_labels)
    assert {array.dtype for array in arrays} == {np.dtype(np.uint8)}
    assert not any(isinstance(array, np.memmap) for array in arrays)
    every = np.concatenate([train_labels, test_labels])
    assert np.bincount(every).tolist() == [30, 30]
    # The first class by name is 0: what is labelled so is what was drawn dark.
    assert train_images[train_labels == 0].mean() < train_images[train_labels == 1].mean()


def test_pictures_are_decoded_as_the_network_sees_them_in_the_datasets_order(
    collected: Path,
) -> None:
    app = open_workspace(collected)
    kept = app.create.dataset("pets")
    (train_images, train_labels), (test_images, test_labels) = dogs_cats.load_data(
        home=collected, side=16
    )
    for images, labels, wanted in (
        (train_images, train_labels, ("train", "validation")),
        (test_images, test_labels, ("test",)),
    ):
        own = [each for each in kept.examples if each.split in wanted]
        assert [int(label) for label in labels] == [int(each.label == "light") for each in own]
        for image, each in zip(images, own, strict=True):
            data = app.workspace.blobs_of("pets").get(each.sha256)
            assert np.array_equal(image, decode_square(data, 16, each.orientation))


def test_the_same_version_gives_the_same_arrays(collected: Path) -> None:
    first, again = dogs_cats.load_data(home=collected), dogs_cats.load_data(home=collected)
    for (images, labels), (other_images, other_labels) in zip(first, again, strict=True):
        assert np.array_equal(images, other_images)
        assert np.array_equal(labels, other_labels)


def test_where_nothing_was_collected_the_verb_that_does_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="There is no dataset 'pets'") as refused:
        dogs_cats.load_data(home=tmp_path / "empty")
    assert "mintage get pets" in refused.value.remedy


def test_three_classes_are_refused(tmp_path: Path) -> None:
    photos = two_classes(tmp_path / "photos", each=6)
    (photos / "birds").mkdir()
    for number in range(6):
        (photos / "birds" / f"{number}.jpg").write_bytes(jpeg(5000 + number))
    open_workspace(tmp_path / "workspace").create.collect(photos, "pets")
    with pytest.raises(DataError, match="classes birds, dark, light; two are expected"):
        dogs_cats.load_data(home=tmp_path / "workspace")


def test_reading_arrays_loads_no_torch(collected: Path) -> None:
    script = (
        "import sys; from mintage.datasets import dogs_cats; "
        "assert 'mintage.app' not in sys.modules; "
        f"(x, y), test = dogs_cats.load_data(home={str(collected)!r}); "
        "assert len(x) and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
