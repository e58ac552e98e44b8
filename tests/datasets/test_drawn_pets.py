"""The drawings are reproducible, hold exactly the defects they claim, and cheat nowhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mintage.datasets.drawn_pets import Label, draw, samples, write_folder

SIZE = 40  # small enough to be quick; every test is about what holds at any size


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.jpg")}


def pixels(data: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(data)), dtype=np.float64)


def distance(one: bytes, other: bytes) -> float:
    """Mean absolute difference of two pictures, their mean brightness aside."""
    a, b = (p - p.mean() for p in map(pixels, (one, other)))
    return float(np.abs(a - b).mean())


def nearest_mean_accuracy(features: NDArray[np.float64], is_dog: NDArray[np.bool_]) -> float:
    """Five-fold accuracy of calling each picture after the nearer class mean."""
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    fold = np.arange(len(features)) // 2 % 5
    right = 0
    for k in range(5):
        known, asked = fold != k, fold == k
        cat = features[known & ~is_dog].mean(axis=0)
        dog = features[known & is_dog].mean(axis=0)
        nearer_dog = ((features[asked] - dog) ** 2).sum(1) < ((features[asked] - cat) ** 2).sum(1)
        right += int((nearer_dog == is_dog[asked]).sum())
    return right / len(features)


def colour_features(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean and spread of each colour, over the whole picture and over its middle."""
    middle = pictures[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
    parts = [f(p, axis=(1, 2)) for p in (pictures, middle) for f in (np.mean, np.std)]
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("label", ["cat", "dog"])
def test_the_same_seed_draws_the_same_bytes(label: Label) -> None:
    one, same, other = (draw(label, np.random.default_rng([seed, 5])) for seed in (0, 0, 1))
    assert (one.mode, one.size) == ("RGB", (160, 160))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("size", [1, 8, 33, 224])
def test_every_size_can_be_drawn(size: int) -> None:
    for index in range(12):
        assert draw("dog", np.random.default_rng([0, index]), size).size == (size, size)


def test_the_label_alone_turns_a_cat_into_a_dog() -> None:
    cat, dog = (draw(label, np.random.default_rng([0, 5])) for label in ("cat", "dog"))
    assert cat.tobytes() != dog.tobytes()


def test_a_longer_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    short = write_folder(tmp_path / "short", count=9, seed=3, size=SIZE)
    write_folder(tmp_path / "long", count=14, seed=3, size=SIZE)
    longer = contents(tmp_path / "long")
    assert len(longer) == 14
    shorter = contents(tmp_path / "short")
    assert len(shorter) == short.count == 9
    assert shorter.items() <= longer.items()
    assert sorted(shorter) == [
        *(f"cats/cat-000{i}.jpg" for i in range(1, 6)),
        *(f"dogs/dog-000{i}.jpg" for i in range(1, 5)),
    ]
    assert len(set(longer.values())) == 14


def test_the_planted_defects_are_exactly_what_is_said(tmp_path: Path) -> None:
    count = 48
    write_folder(tmp_path / "clean", count, seed=1, size=SIZE)
    drawn = write_folder(
        tmp_path / "planted",
        count,
        seed=1,
        unreadable=2,
        near_duplicates=4,
        wrong_labels=6,
        size=SIZE,
    )
    clean, planted = contents(tmp_path / "clean"), contents(tmp_path / "planted")
    copies = [copy for copy, _ in drawn.near_duplicates]
    originals = [original for _, original in drawn.near_duplicates]
    said = {*drawn.unreadable, *copies, *drawn.wrong_labels}

    assert drawn.count == len(planted) == count
    assert [len(drawn.unreadable), len(copies), len(drawn.wrong_labels)] == [2, 4, 6]
    assert {name for name in clean if clean[name] != planted[name]} == said
    assert len(said) == 12
    assert not said & set(originals)
    assert len(set(originals)) == 4
    for kind in (drawn.unreadable, copies, drawn.wrong_labels):
        assert sum(name.startswith("cats/") for name in kind) == len(kind) / 2

    for copy, original in drawn.near_duplicates:
        assert copy.split("/")[0] == original.split("/")[0]
        others = [distance(planted[copy], clean[name]) for name in clean if name != original]
        assert 0 < distance(planted[copy], planted[original]) < 0.5 * min(others)

    for name in drawn.wrong_labels:
        folder, number = name.split("/")[0], int(name[-8:-4])
        label: Label = "dog" if folder == "cats" else "cat"
        index = 2 * (number - 1) + (folder == "dogs")
        buffer = io.BytesIO()
        draw(label, np.random.default_rng([1, index]), SIZE).save(buffer, "PNG")
        other_kind = buffer.getvalue()
        assert distance(planted[name], other_kind) < 0.5 * distance(clean[name], other_kind)


def test_the_same_defects_are_planted_again(tmp_path: Path) -> None:
    first, again = (
        write_folder(
            tmp_path / name, 20, 2, unreadable=1, near_duplicates=1, wrong_labels=2, size=8
        )
        for name in ("first", "again")
    )
    assert first == again
    assert contents(tmp_path / "first") == contents(tmp_path / "again")


def test_pillow_cannot_decode_an_unreadable_file(tmp_path: Path) -> None:
    drawn = write_folder(tmp_path, 10, unreadable=3)
    for name in drawn.unreadable:
        with pytest.raises(OSError), Image.open(tmp_path / name) as picture:  # noqa: PT011
            picture.load()
    written = contents(tmp_path)
    readable = [pixels(data) for name, data in written.items() if name not in drawn.unreadable]
    assert [picture.shape for picture in readable] == [(160, 160, 3)] * 7


def test_colour_and_brightness_do_not_tell_the_class() -> None:
    is_dog = np.arange(300) % 2 == 1
    pictures = np.stack([
        np.asarray(draw("dog" if dog else "cat", np.random.default_rng([4, i]), SIZE), np.float64)
        for i, dog in enumerate(is_dog.tolist())
    ])  # fmt: skip
    assert nearest_mean_accuracy(colour_features(pictures), is_dog) < 0.62
    # The measure can see such a leak: dogs a quarter brighter would be found out.
    pictures[is_dog] *= 1.25
    assert nearest_mean_accuracy(colour_features(pictures), is_dog) > 0.62


def test_samples_are_cats_and_dogs_in_turn_that_no_training_set_holds() -> None:
    shown = {seed: samples(6, seed, size=SIZE) for seed in (0, 1)}
    assert [label for label, _ in shown[0]] == ["cat", "dog"] * 3
    assert [p.tobytes() for _, p in samples(6, 1, size=SIZE)] == [p.tobytes() for _, p in shown[1]]
    trained_on = {
        draw(label, np.random.default_rng([seed, index]), SIZE).tobytes()
        for seed in (0, 1)
        for index in range(12)
        for label in ("cat", "dog")
    }
    offered = {picture.tobytes() for pictures in shown.values() for _, picture in pictures}
    assert len(offered) == 12
    assert not offered & trained_on


def test_progress_is_told_after_each_file(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_folder(tmp_path, 4, size=8, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_more_defects_than_half_the_set_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Too many defects for 10 drawings"):
        write_folder(tmp_path, 10, near_duplicates=2, wrong_labels=2)
    with pytest.raises(ValueError, match="must not be negative"):
        write_folder(tmp_path, 10, unreadable=-1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_could_reach_into_another_stream_is_refused(seed: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed must be from 0"):
        write_folder(tmp_path, 2, seed)
    with pytest.raises(ValueError, match="seed must be from 0"):
        samples(1, seed)
