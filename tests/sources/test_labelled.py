"""A labels file as a source for collect."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pictures import jpeg

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.progress import Silent
from mintage.core.registry import modalities, sources
from mintage.core.types import SourceListing
from mintage.create.collect import collect
from mintage.sources.decisions import Action, Decision, Header
from mintage.sources.labelled import LabelsSource
from mintage.store.workspace import Workspace
from mintage.trust.keys import KeyRing


class Photos:
    """A folder of pictures, and a labels file beside them or elsewhere."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.lines: list[bytes] = []
        self.names = [f"{number:02}.jpg" for number in range(count)]
        folder.mkdir()
        for number, name in enumerate(self.names):
            (folder / name).write_bytes(jpeg(number))

    def said(self, who: str, name: str, label: str | None = None, action: Action = "label") -> None:
        path = self.folder / name
        digest = sha256_hex(path.read_bytes()) if path.exists() else "0" * 64
        self.lines.append(Decision(action, name, digest, who, "now", 1.0, label).to_line())

    def written(
        self, where: Path | None = None, classes: tuple[str, ...] = ("bad", "good")
    ) -> Path:
        path = where or self.folder / "labels.jsonl"
        header = Header(classes, 0.0, str(self.folder) if where else None)
        path.write_bytes(header.to_line() + b"".join(self.lines))
        return path


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return Photos(tmp_path / "photos", 16)


def listed(location: Path) -> SourceListing:
    image = modalities().get("image")
    first = next(each for each in map(sources().get, sources()) if each.matches(location))
    assert isinstance(first, LabelsSource)
    return first.list(location, label="label", endings=image.endings, unsupported=image.unsupported)


def reasons(listing: SourceListing) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in listing.skipped}


def test_examples_are_listed_by_what_stands_in_the_end(photos: Photos) -> None:
    for name, label in (("00.jpg", "good"), ("01.jpg", "bad"), ("02.jpg", "good")):
        photos.said("ada", name, label)
    photos.said("ada", "02.jpg", action="undo")
    photos.said("ben", "01.jpg", "good")
    photos.said("cleo", "01.jpg", "good")
    listing = listed(photos.written())
    assert [(found.path, found.label) for found in listing.examples] == [
        ("00.jpg", "good"),
        ("01.jpg", "good"),
    ]
    assert listing.examples[0].read() == jpeg(0)
    assert listing.skipped == ()
    assert listing.empty_classes == ()  # nobody said bad in the end: it is no class here


def test_what_has_no_label_is_skipped_with_the_reason(photos: Photos) -> None:
    photos.said("ada", "00.jpg", "good")
    photos.said("ada", "01.jpg", action="skip")
    photos.said("ada", "02.jpg", "good")
    photos.said("ben", "02.jpg", "bad")
    photos.said("ada", "gone.jpg", "bad")
    photos.said("ada", "../outside.jpg", "bad")
    photos.lines.append(b"what?\n")
    photos.lines.append(b'{"action": "label", "path"')
    found = reasons(listed(photos.written()))
    assert found["01.jpg"] == "skipped by ada"
    assert found["02.jpg"] == "labellers disagree evenly (ada: good, ben: bad); resolve it"
    assert "no such file" in found["gone.jpg"]
    assert "leads out of the folder" in found["../outside.jpg"]
    assert "not a decision" in found["line 8"]
    assert "cut short" in found["line 9"]
    assert len(found) == 6


def test_a_link_that_leads_out_is_not_read(photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(jpeg(99))
    (photos.folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    photos.said("ada", "00.jpg", "good")
    photos.said("ada", "link.jpg", "bad")
    assert "leads out" in reasons(listed(photos.written()))["link.jpg"]


def test_labels_elsewhere_say_where_their_pictures_lie(photos: Photos, tmp_path: Path) -> None:
    photos.said("ada", "00.jpg", "good")
    elsewhere = tmp_path / "out"
    elsewhere.mkdir()
    listing = listed(photos.written(elsewhere / "mine.jsonl"))
    assert [found.read() for found in listing.examples] == [jpeg(0)]


def test_with_nothing_labelled_the_way_to_begin_is_said(photos: Photos) -> None:
    with pytest.raises(DataError, match="Nothing is labelled yet"):
        listed(photos.written())


def test_a_table_of_the_same_ending_stays_a_table(tmp_path: Path) -> None:
    table = tmp_path / "labels.jsonl"
    table.write_text('{"path": "a.jpg", "label": "good"}\n')
    matching = next(name for name in sources() if sources().get(name).matches(table))
    assert matching == "table"


def test_collect_takes_it_and_leaves_out_pictures_that_changed(
    photos: Photos, workspace: Workspace
) -> None:
    for number, name in enumerate(photos.names):
        photos.said("ada", name, ("good", "bad")[number % 2])
    path = photos.written()
    (photos.folder / "03.jpg").write_bytes(jpeg(500))
    dataset = collect(workspace, KeyRing(workspace.key_folder), path, "plates", progress=Silent())
    assert dataset.card["source"] == {"kind": "labels", "name": "labels.jsonl"}
    assert dataset.card["quality"]["skipped"] == [
        {"path": "03.jpg", "reason": "changed since it was labelled; label it again"}
    ]
    labels = {example.path: example.label for example in dataset.examples}
    assert labels == {
        name: ("good", "bad")[number % 2]
        for number, name in enumerate(photos.names)
        if name != "03.jpg"
    }
