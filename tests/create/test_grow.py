"""Growing a dataset: what was there stays where it was, and what is new is drawn by one rule."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.pictures import encoded, jpeg, noise, two_classes

from mintage.core.clock import SystemClock
from mintage.core.errors import DataError
from mintage.core.progress import Silent
from mintage.core.types import Example
from mintage.create.collect import Origin, collect
from mintage.create.dataset import Dataset
from mintage.create.grow import Growth, grow
from mintage.create.inspect import findings
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


@pytest.fixture
def keys(workspace: Workspace) -> KeyRing:
    return KeyRing(workspace.key_folder)


@pytest.fixture
def pets(workspace: Workspace, keys: KeyRing, tmp_path: Path) -> Dataset:
    photos = two_classes(tmp_path / "photos", each=12)
    return collect(workspace, keys, photos, "pets", progress=Silent())


Add = Callable[..., Growth]


@pytest.fixture
def add(workspace: Workspace, keys: KeyRing) -> Add:
    def adding(location: Path, before: Dataset, **options: object) -> Growth:
        options = {"progress": Silent(), "newest": True, **options}
        return grow(workspace, keys, location, before, **options)  # type: ignore[arg-type]

    return adding


def more(folder: Path, first: int, each: int, *labels: str) -> Path:
    """Other pictures than ``two_classes`` makes."""
    for offset, label in enumerate(labels or ("dark", "light")):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            seed = 10_000 * (offset + 1) + first + number
            (folder / label / f"{seed}.jpg").write_bytes(jpeg(seed))
    return folder


def sides(dataset: Dataset) -> dict[str, tuple[str, str, int | None]]:
    return {e.sha256: (e.label, e.split, e.fold) for e in dataset.examples}


def by_path(dataset: Dataset) -> dict[str, Example]:
    return {example.path: example for example in dataset.examples}


def test_what_was_there_stays_and_the_card_says_what_it_grew_from(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    grown = add(more(tmp_path / "more", 0, 10), pets, about=Origin(licence="CC0")).dataset
    assert len(grown.examples) == 44
    assert sides(pets).items() <= sides(grown).items()
    assert {e.split for e in grown.examples if e.sha256 not in sides(pets)} == {"train", "test"}
    assert grown.card["grown_from"] == pets.version
    assert [source["name"] for source in grown.sources] == ["photos", "more"]
    assert findings(grown)["sources"] == grown.sources
    assert grown.card["about"]["licence"] == "CC0"
    assert grown.version != pets.version


def test_the_same_parts_give_the_same_version_again(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    first, second = more(tmp_path / "b", 0, 6), more(tmp_path / "c", 50, 5, "dark", "light")
    once = add(second, add(first, pets).dataset).dataset
    with Workspace(tmp_path / "other", SystemClock()) as other:
        keys = KeyRing(other.key_folder)
        dataset = collect(other, keys, tmp_path / "photos", "pets", progress=Silent())
        for part in (first, second):
            moved = Path(shutil.copytree(part, tmp_path / "elsewhere" / part.name))
            dataset = grow(other, keys, moved, dataset, progress=Silent(), newest=True).dataset
        assert dataset.version == once.version
        assert dataset.examples == once.examples


def test_nothing_new_is_the_same_version_and_every_copy_is_named(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    before = (pets.folder / "card.json").read_bytes()
    growth = add(tmp_path / "photos", pets)
    assert growth.dataset is growth.before is pets
    assert len(growth.quality["duplicates"]) == 24
    assert (pets.folder / "card.json").read_bytes() == before
    assert len(list(pets.folder.parent.glob("*/"))) == 1


def test_growing_twice_by_the_same_source_changes_nothing_more(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    batch = more(tmp_path / "more", 0, 6)
    shutil.copy(tmp_path / "photos/dark/001.jpg", batch / "light/conflict.jpg")
    grown = add(batch, pets).dataset
    assert add(batch, grown).dataset is grown


def test_the_same_picture_with_another_label_is_a_conflict_for_ever(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    batch = more(tmp_path / "more", 0, 6)
    shutil.copy(tmp_path / "photos/dark/001.jpg", batch / "light/conflict.jpg")
    shutil.copy(tmp_path / "photos/dark/002.jpg", batch / "dark/copy.jpg")
    growth = add(batch, pets)
    (conflict,) = growth.quality["conflicts"]
    assert conflict["examples"] == [
        {"path": "dark/001.jpg", "label": "dark"},
        {"path": "light/conflict.jpg", "label": "light"},
    ]
    assert growth.quality["duplicates"] == [{"kept": "dark/002.jpg", "left_out": ["dark/copy.jpg"]}]
    assert len(growth.dataset.examples) == 24 + 12 - 1
    assert conflict["sha256"] not in sides(growth.dataset)
    again = add(tmp_path / "photos", growth.dataset)
    assert again.dataset is growth.dataset
    assert again.quality["conflicts"][0]["sha256"] == conflict["sha256"]


def test_a_near_duplicate_of_an_old_example_joins_its_group_and_side(
    workspace: Workspace, keys: KeyRing, add: Add, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "large", each=20, size=(120, 90))
    pets = collect(workspace, keys, photos, "pets", progress=Silent())
    (tmp_path / "more/dark").mkdir(parents=True)
    for number in range(20):
        picture = Image.open(photos / f"dark/{number:03}.jpg")
        (tmp_path / f"more/dark/{number}.jpg").write_bytes(encoded(picture, quality=60))
    growth = add(tmp_path / "more", pets)
    examples = by_path(growth.dataset)
    old = by_path(pets)
    for number in range(20):
        new, was = examples[f"dark/{number}.jpg"], old[f"dark/{number:03}.jpg"]
        assert (new.group, new.split, new.fold) == (was.group, was.split, was.fold)
        assert new.flags == examples[was.path].flags == ("near_duplicate",)
    assert len(growth.quality["near_duplicates"]) == 20
    assert {new.split for new in examples.values()} == {"train", "test"}


def test_a_turned_picture_is_known_again_though_its_blob_does_not_say_how_it_was_held(
    workspace: Workspace, keys: KeyRing, add: Add, tmp_path: Path
) -> None:
    photos = two_classes(tmp_path / "photos", each=12, size=(120, 90))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = noise(999, (120, 90))
    (photos / "dark/turned.jpg").write_bytes(encoded(picture, quality=92, exif=exif))
    pets = collect(workspace, keys, photos, "pets", progress=Silent())
    assert by_path(pets)["dark/turned.jpg"].orientation == 6
    (tmp_path / "more/dark").mkdir(parents=True)
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    (tmp_path / "more/dark/upright.jpg").write_bytes(encoded(upright, quality=75))
    examples = by_path(add(tmp_path / "more", pets).dataset)
    assert examples["dark/upright.jpg"].group == examples["dark/turned.jpg"].group


def test_an_example_that_would_tie_two_sides_together_is_left_out_and_said(
    pets: Dataset, add: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mintage.create import grow as growing

    (tmp_path / "more/dark").mkdir(parents=True)
    (tmp_path / "more/dark/between.jpg").write_bytes(jpeg(9999))
    (tmp_path / "more/dark/other.jpg").write_bytes(jpeg(9998))

    def pairs(_kind: object, unique: list, _progress: object) -> list[tuple[int, int]]:
        new = next(n for n, each in enumerate(unique) if each.path == "dark/between.jpg")
        train = next(n for n, e in enumerate(unique) if e.before and e.before.split == "train")
        test = next(n for n, e in enumerate(unique) if e.before and e.before.split == "test")
        return [(new, train), (new, test)]

    monkeypatch.setattr(growing, "near_duplicates", pairs)
    growth = add(tmp_path / "more", pets)
    assert set(by_path(growth.dataset)) - set(by_path(pets)) == {"dark/other.jpg"}
    (skipped,) = growth.dataset.card["quality"]["skipped"]
    assert skipped["path"] == "dark/between.jpg"
    assert "two sides of the split" in skipped["reason"]
    assert sides(pets).items() <= sides(growth.dataset).items()


def test_new_classes_may_come_and_one_class_may_come_alone(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    batch = more(tmp_path / "more", 0, 6, "grey")
    (batch / "light").mkdir()  # nothing new of it
    grown = add(batch, pets).dataset
    assert grown.labels == ("dark", "grey", "light")
    splits_of_grey = [e.split for e in grown.examples if e.label == "grey"]
    assert {"train", "test"} == set(splits_of_grey)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda batch: (batch / "empty").mkdir(), "No readable example in the class empty"),
        (lambda batch: more(batch, 60, 4, "few"), "The class few has too few examples: 4"),
        (shutil.rmtree, "does not exist"),
        (
            lambda batch: [path.write_bytes(b"bad") for path in batch.rglob("*.jpg")],
            "Nothing readable was found",
        ),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_changes(
    pets: Dataset, add: Add, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    batch = more(tmp_path / "more", 0, 3)
    spoil(batch)
    with pytest.raises(DataError, match=message) as raised:
        add(batch, pets)
    assert raised.value.remedy
    assert len(list(pets.folder.parent.glob("*/"))) == 1


def test_two_who_grow_at_once_do_not_lose_each_others_examples(
    pets: Dataset, add: Add, tmp_path: Path
) -> None:
    first, second = more(tmp_path / "b", 0, 5), more(tmp_path / "c", 50, 5)
    newest = add(first, pets).dataset
    with pytest.raises(DataError, match="meanwhile") as raised:
        add(second, pets)
    assert raised.value.http_status == 409
    assert len(add(second, newest).dataset.examples) == 44
    assert len(add(second, pets, newest=False).dataset.examples) == 34


def test_findings_of_both_are_on_the_card_once(pets: Dataset, add: Add, tmp_path: Path) -> None:
    for number, first in enumerate((0, 50)):
        batch = more(tmp_path / f"more{number}", first, 5)
        (batch / "dark/bad.jpg").write_bytes(b"bad")
        (batch / "stray.txt").write_text("x")
        pets = add(batch, pets, about=Origin("CC0", "given" if number else "")).dataset
    quality = json.loads((pets.folder / "card.json").read_text())["quality"]
    assert [each["path"] for each in quality["skipped"]] == ["dark/bad.jpg"]
    assert quality["stray"] == 2
    assert pets.card["about"] == {"licence": "CC0", "consent": "given", "origin": ""}
    other = add(more(tmp_path / "d", 90, 5), pets, about=Origin("MIT")).dataset
    assert other.card["about"]["licence"] == "CC0; MIT"


_PICTURES = [jpeg(seed, (24, 18)) for seed in range(40)]


@settings(max_examples=12, deadline=None)
@given(
    batches=st.lists(
        st.dictionaries(st.integers(0, 39), st.sampled_from(["a", "b"]), max_size=14), max_size=3
    ),
    seed=st.integers(0, 3),
)
def test_splits_are_kept_and_groups_never_straddle_whatever_is_added(
    batches: list[dict[int, str]], seed: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace(Path(folder) / "workspace", SystemClock()) as workspace,
    ):
        keys = KeyRing(workspace.key_folder)

        def written(name: str, labels: dict[int, str]) -> Path:
            for number, label in labels.items():
                path = Path(folder) / name / label / f"{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_PICTURES[number])
            return Path(folder) / name

        start = {number: "ab"[number % 2] for number in range(14)}
        dataset = collect(
            workspace, keys, written("start", start), "d", progress=Silent(), seed=seed
        )
        given_labels = {number: {label} for number, label in start.items()}
        for position, batch in enumerate(filter(None, batches)):
            location = written(f"batch{position}", batch)
            try:
                grown = grow(
                    workspace, keys, location, dataset, progress=Silent(), newest=True
                ).dataset
            except DataError as error:  # so many conflicts that a class is too small
                if "too few" not in error.message:
                    raise
                return
            for number, label in batch.items():
                given_labels.setdefault(number, set()).add(label)
            before, after = sides(dataset), sides(grown)
            assert all(after[digest] == before[digest] for digest in before.keys() & after.keys())
            assert len(after) == sum(len(labels) == 1 for labels in given_labels.values())
            of_group: dict[str, set[tuple[str, int | None]]] = {}
            for example in grown.examples:
                of_group.setdefault(example.group, set()).add((example.split, example.fold))
            assert all(len(found) == 1 for found in of_group.values())
            dataset = grown
