import gc
import io
import json
import os
import shutil
import tracemalloc
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.pictures import encoded, jpeg, noise, two_classes

from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.progress import Silent
from mintage.core.registry import modalities
from mintage.core.types import Example, InputSpec
from mintage.create.collect import Origin, collect
from mintage.create.dataset import Dataset, load_dataset, load_kept, write_manifest
from mintage.create.inspect import findings
from mintage.create.prepare import decoded
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@pytest.fixture
def keys(workspace: Workspace) -> KeyRing:
    return KeyRing(workspace.key_folder)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "photos", each=8)


def gathered(workspace: Workspace, keys: KeyRing, location: Path, **options: object) -> Dataset:
    return collect(workspace, keys, location, "pets", progress=Silent(), **options)  # type: ignore[arg-type]


def by_path(dataset: Dataset) -> dict[str, Example]:
    return {example.path: example for example in dataset.examples}


def test_the_same_input_gives_the_same_version_wherever_it_lies(
    workspace: Workspace, keys: KeyRing, photos: Path, tmp_path: Path
) -> None:
    first = gathered(workspace, keys, photos)
    copy = shutil.copytree(photos, tmp_path / "elsewhere" / "renamed")
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(photos.rglob("*.jpg"), reverse=True):
            opened.write(path, path.relative_to(photos))
    assert gathered(workspace, keys, copy).version == first.version
    assert gathered(workspace, keys, archive).version == first.version
    assert gathered(workspace, keys, photos, seed=1).version != first.version
    (copy / "dark/000.jpg").unlink()
    assert gathered(workspace, keys, copy).version != first.version


def test_the_newest_collected_is_the_one_that_a_name_means(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    from mintage.create import repository

    first = gathered(workspace, keys, photos)
    second = gathered(workspace, keys, photos, seed=1)
    with workspace.database.read() as connection:
        assert repository.dataset_version(connection, "pets", None) == second.version
    gathered(workspace, keys, photos)
    with workspace.database.read() as connection:
        assert repository.dataset_version(connection, "pets", None) == first.version
        assert repository.dataset_version(connection, "pets", second.version[:8]) == second.version
        assert repository.dataset_version(connection, "pets", "%") is None


def test_what_cannot_be_decoded_is_named_left_out_and_the_job_goes_on(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    (photos / "dark/broken.JPG").write_bytes(jpeg(3, (300, 200))[:1500])
    (photos / "light/text.png").write_text("not a picture")
    (photos / "light/empty.jpg").write_bytes(b"")
    dataset = gathered(workspace, keys, photos)
    skipped = {s["path"]: s["reason"] for s in findings(dataset)["skipped"]}
    assert set(skipped) == {"dark/broken.JPG", "light/text.png", "light/empty.jpg"}
    assert skipped["light/empty.jpg"] == "an empty file"
    assert len(dataset.examples) == 16
    with pytest.raises(DataError, match=r"broken\.JPG.*--strict"):
        gathered(workspace, keys, photos, strict=True)


def test_exact_copies_count_once_and_two_labels_are_a_conflict(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    shutil.copy(photos / "dark/000.jpg", photos / "dark/copy.jpg")
    shutil.copy(photos / "dark/001.jpg", photos / "light/conflict.jpg")
    found = findings(dataset := gathered(workspace, keys, photos))
    assert found["duplicates"] == [{"kept": "dark/000.jpg", "left_out": ["dark/copy.jpg"]}]
    (conflict,) = found["conflicts"]
    assert conflict["examples"] == [
        {"path": "dark/001.jpg", "label": "dark"},
        {"path": "light/conflict.jpg", "label": "light"},
    ]
    assert "dark/001.jpg" not in by_path(dataset)
    assert "light/conflict.jpg" not in by_path(dataset)


def test_a_copy_with_other_metadata_is_still_an_exact_copy(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    picture = noise(77)
    (photos / "dark/a.jpg").write_bytes(encoded(picture, comment=b"one"))
    (photos / "dark/b.jpg").write_bytes(encoded(picture, comment=b"two"))
    found = findings(gathered(workspace, keys, photos))
    assert found["duplicates"] == [{"kept": "dark/a.jpg", "left_out": ["dark/b.jpg"]}]


def test_near_duplicates_are_kept_on_one_side_of_the_split(
    workspace: Workspace, keys: KeyRing, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "many", each=40, size=(120, 90))
    for number in range(40):
        picture = noise(number, (120, 90)).point(lambda value: value * 0.35)
        (photos / f"dark/{number:03}.jpg").write_bytes(encoded(picture, quality=92))
        (photos / f"dark/{number:03}-again.jpg").write_bytes(encoded(picture, quality=60))
    dataset = gathered(workspace, keys, photos)
    examples = by_path(dataset)
    pairs = [(examples[f"dark/{n:03}.jpg"], examples[f"dark/{n:03}-again.jpg"]) for n in range(40)]
    assert all(a.group == b.group and a.split == b.split and a.fold == b.fold for a, b in pairs)
    assert {a.split for a, _ in pairs} == {"train", "test"}
    assert all("near_duplicate" in a.flags for a, _ in pairs)
    assert len(findings(dataset)["near_duplicates"]) == 40


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda photos: shutil.rmtree(photos / "light"), "Only one class"),
        (lambda photos: (photos / "birds").mkdir(), "No readable example in the class birds"),
        (shutil.rmtree, "does not exist"),
    ],
)
def test_what_cannot_become_a_dataset_is_a_clear_error_and_leaves_nothing(
    workspace: Workspace, keys: KeyRing, photos: Path, spoil: object, message: str
) -> None:
    spoil(photos)  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as raised:
        gathered(workspace, keys, photos)
    assert raised.value.exit_status == 2
    assert raised.value.remedy
    assert not (workspace.home / "datasets").exists()


def test_a_class_of_which_nothing_is_readable_is_an_empty_class(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    for path in (photos / "light").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="No readable example in the class light"):
        gathered(workspace, keys, photos)


def test_a_table_gives_the_labels_it_says(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    rows = "".join(
        f"{p.relative_to(photos)},{p.parent.name.upper()}\n" for p in photos.rglob("*.jpg")
    )
    (photos / "t.csv").write_text("path,kind\n" + rows)
    dataset = gathered(workspace, keys, photos / "t.csv", label="kind")
    assert dataset.labels == ("DARK", "LIGHT")
    assert len(dataset.examples) == 16


def test_a_file_that_is_nothing_of_ours_is_refused(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    with pytest.raises(DataError, match="not a folder of class folders"):
        gathered(workspace, keys, photos / "dark/000.jpg")


@pytest.mark.parametrize("name", ["manifest.jsonl", "card.json", "signature.json"])
def test_a_dataset_with_a_changed_byte_is_refused(
    workspace: Workspace, keys: KeyRing, photos: Path, name: str
) -> None:
    dataset = gathered(workspace, keys, photos)
    path = dataset.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(SignatureMismatch):
        load_dataset(dataset.folder, "pets", keys)


def test_the_card_says_what_people_said_of_the_data(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    dataset = gathered(workspace, keys, photos, about=Origin("CC0", "given", "our cameras"))
    card = json.loads((dataset.folder / "card.json").read_text())
    assert card["about"] == {"licence": "CC0", "consent": "given", "origin": "our cameras"}
    assert card["algorithms"]["near_duplicates"]


def test_decoded_pixels_are_those_of_each_example_and_a_cache_is_used_again(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    dataset = gathered(workspace, keys, photos)
    kind, spec = modalities().get("image"), InputSpec("image", 12)
    array = decoded(workspace, dataset, kind, spec, Silent())
    assert array.shape == (16, 12, 12, 3)
    for position, example in enumerate(dataset.examples):
        data = workspace.blobs_of("pets").get(example.sha256)
        assert (array[position] == kind.decode(data, spec, orientation=1)).all()
    shutil.rmtree(workspace.home / "blobs")
    assert (decoded(workspace, dataset, kind, spec, Silent()) == array).all()


def test_an_interrupted_cache_is_not_taken_for_a_whole_one(
    workspace: Workspace, keys: KeyRing, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = gathered(workspace, keys, photos)
    kind, spec = modalities().get("image"), InputSpec("image", 12)
    good = type(kind).decode
    calls = []

    def failing(self: object, *args: object, **options: object) -> object:
        calls.append(1)
        if len(calls) > 5:
            raise KeyboardInterrupt
        return good(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(kind), "decode", failing)
    with pytest.raises(KeyboardInterrupt):
        decoded(workspace, dataset, kind, spec, Silent())
    monkeypatch.undo()
    assert decoded(workspace, dataset, kind, spec, Silent()).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(("each", "message"), [(1, ": 1, copies"), (4, ": 4, copies")])
def test_a_class_too_small_to_be_split_is_refused(
    workspace: Workspace, keys: KeyRing, photos: Path, each: int, message: str
) -> None:
    for path in sorted((photos / "light").iterdir())[each:]:
        path.unlink()
    copy = encoded(noise(1000), comment=b"again")
    (photos / "light/copy.jpg").write_bytes(copy)
    (photos / "light/copy of copy.jpg").write_bytes(copy)
    (photos / "light/000.jpg").write_bytes(copy)
    with pytest.raises(DataError, match=f"The class light has too few examples{message}") as raised:
        gathered(workspace, keys, photos)
    assert raised.value.exit_status == 2
    assert "50 a class are a start" in raised.value.remedy


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_dataset_has_every_fold(
    workspace: Workspace, keys: KeyRing, tmp_path: Path, seed: int
) -> None:
    dataset = gathered(workspace, keys, two_classes(tmp_path / "few", each=5), seed=seed)
    assert {example.fold for example in dataset.examples} == {None, 0, 1, 2, 3, 4}


def test_a_version_collected_again_is_left_alone(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    first = gathered(workspace, keys, photos, about=Origin("CC0", "given", "our cameras"))
    before = (first.folder.stat().st_ino, (first.folder / "signature.json").read_bytes())
    again = gathered(workspace, keys, photos)
    assert again.card["about"] == {"licence": "CC0", "consent": "given", "origin": "our cameras"}
    after = (again.folder.stat().st_ino, (again.folder / "signature.json").read_bytes())
    assert after == before


def test_another_licence_replaces_the_card_and_keeps_the_rest(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    gathered(workspace, keys, photos, about=Origin("CC0", "given"))
    again = gathered(workspace, keys, photos, about=Origin("MIT", origin="our cameras"))
    assert again.card["about"] == {"licence": "MIT", "consent": "given", "origin": "our cameras"}
    assert [path for path in again.folder.parent.iterdir() if path.is_dir()] == [again.folder]


def test_a_damaged_dataset_is_made_whole_by_collecting_it_again(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    first = gathered(workspace, keys, photos)
    (first.folder / "manifest.jsonl").write_bytes(b"{}")
    assert len(gathered(workspace, keys, photos).examples) == 16


def test_collecting_into_one_name_at_once_loses_nothing(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    def once(number: int) -> str:
        return gathered(workspace, keys, photos, about=Origin(f"licence {number}")).version

    with ThreadPoolExecutor(4) as pool:
        versions = set(pool.map(once, range(12)))
    (version,) = versions
    folder = workspace.dataset_folder("pets", version)
    assert len(load_dataset(folder, "pets", keys).examples) == 16
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]


def test_damage_of_every_kind_is_left_out_and_counted(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    progressive = jpeg(50, (60, 60), progressive=True)
    for length in range(20, len(progressive), 40):
        (photos / f"dark/cut{length}.jpg").write_bytes(progressive[:length])
    (photos / "dark" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(jpeg(51))
    os.mkfifo(photos / "dark/pipe.jpg")
    quality = gathered(workspace, keys, photos).card["quality"]
    named = {skipped["path"] for skipped in quality["skipped"]}
    assert {"dark/caf\ufffd.jpg", "dark/pipe.jpg", "dark/cut20.jpg"} <= named
    assert len(named) > 10


def many_pictures(folder: Path, count: int) -> Path:
    """So many small pictures of noise in two classes, no two alike."""
    chance = np.random.default_rng(0)
    for label in ("dark", "light"):
        (folder / label).mkdir(parents=True)
    for number in range(count):
        coarse = Image.fromarray(chance.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize((48, 48), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=40)
        path = folder / ("dark", "light")[number % 2] / f"photo.{number:05}.jpg"
        path.write_bytes(stream.getvalue())
    return folder


def test_collecting_holds_less_for_each_picture_than_the_dataset_does(
    workspace: Workspace, keys: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks, held = [], []

    def read_back(*given: Any) -> Dataset:
        peaks.append(tracemalloc.get_traced_memory()[1])  # of collecting, reading back not counted
        return load_kept(*given)

    gathered(workspace, keys, many_pictures(tmp_path / "warm up", 40))  # loads what is loaded once
    monkeypatch.setattr("mintage.create.collect.load_kept", read_back)
    counts = (1000, 2500)
    for count in counts:
        folder = many_pictures(tmp_path / str(count), count)
        gc.collect()
        tracemalloc.start()
        try:
            dataset = gathered(workspace, keys, folder)
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len(dataset.examples) == count
        held.append(after + (dataset.folder / "manifest.jsonl").stat().st_size)
        del dataset
    assert peaks[1] - peaks[0] < held[1] - held[0]


def test_a_manifest_is_written_in_its_order_alone(
    workspace: Workspace, keys: KeyRing, photos: Path
) -> None:
    examples = gathered(workspace, keys, photos).examples
    with pytest.raises(ValueError, match="after"):
        write_manifest(reversed(examples), io.BytesIO())
    with pytest.raises(ValueError, match="after"):
        write_manifest([examples[0], examples[0]], io.BytesIO())
