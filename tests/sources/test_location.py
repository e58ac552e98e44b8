"""What lies at a location, with labels and without, and whether it is still the same."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from tests.pictures import jpeg

from mintage.core.canonical import sha256_hex
from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.core.types import SourceListing
from mintage.sources.decisions import Decision, Header
from mintage.sources.location import list_source, stamp_of

NAMES = ("1.jpg", "cats/2.jpg", "cats/old/3.jpg", " /4.jpg")


def unlabelled(location: Path) -> tuple[str, SourceListing]:
    return list_source(location, modalities().get("image"), "label", labelled=False)


def pairs(listing: SourceListing) -> list[tuple[str, str]]:
    return [(found.path, found.label) for found in listing.examples]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(number))
    (folder / "notes.txt").write_text("no picture")
    (folder / "phone.heic").write_bytes(b"no picture that is read")
    (folder / ".hidden.jpg").write_bytes(jpeg())
    return folder


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder))


EXPECTED = [(" /4.jpg", ""), ("1.jpg", ""), ("cats/2.jpg", "cats"), ("cats/old/3.jpg", "cats")]


def test_a_folder_without_class_folders_gives_every_picture_below_it(photos: Path) -> None:
    name, listing = unlabelled(photos)
    assert name == "folder"
    assert pairs(listing) == EXPECTED
    assert [skipped.path for skipped in listing.skipped] == ["phone.heic"]
    assert (listing.hidden, listing.stray) == (1, 1)


def test_a_zip_without_class_folders_gives_the_same(photos: Path) -> None:
    name, listing = unlabelled(zipped(photos))
    assert name == "zip"
    assert pairs(listing) == EXPECTED
    assert [found.read() for found in listing.examples] == [
        (photos / path).read_bytes() for path, __ in EXPECTED
    ]


def test_a_folder_whose_name_can_be_no_label_is_no_hindrance(photos: Path) -> None:
    (photos / "line\nfeed").mkdir()
    (photos / "line\nfeed/5.jpg").write_bytes(jpeg(5))
    __, listing = unlabelled(photos)
    assert pairs(listing) == EXPECTED
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert "control characters" in reasons["line␊feed/5.jpg"]


def test_folders_of_splits_are_pictures_too(photos: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cats", "dogs"):
            (tmp_path / "splits" / split / label).mkdir(parents=True)
            (tmp_path / "splits" / split / label / "1.jpg").write_bytes(jpeg())
    assert len(unlabelled(tmp_path / "splits")[1].examples) == 4


@pytest.mark.parametrize("content", ["path\n1.jpg\ncats/2.jpg\n", "path,label\n1.jpg,\ncats/2.jpg"])
def test_a_table_needs_no_label(photos: Path, content: str) -> None:
    table = photos / "table.csv"
    table.write_text(content)
    name, listing = unlabelled(table)
    assert name == "table"
    assert pairs(listing) == [("1.jpg", ""), ("cats/2.jpg", "")]
    with pytest.raises(DataError):
        list_source(table, modalities().get("image"), "label")


def test_a_tables_labels_are_kept_where_it_has_some(photos: Path) -> None:
    table = photos / "table.csv"
    table.write_text("path,label\n1.jpg,cat\ncats/2.jpg,\n,dog\n")
    __, listing = unlabelled(table)
    assert pairs(listing) == [("1.jpg", "cat"), ("cats/2.jpg", "")]
    assert [skipped.path for skipped in listing.skipped] == ["line 4"]


def test_what_labellers_skipped_or_dispute_is_a_picture_without_a_label(photos: Path) -> None:
    digest = sha256_hex((photos / "1.jpg").read_bytes())
    lines = [
        Header(("bad", "good"), 0.0, None).to_line(),
        Decision("skip", "1.jpg", digest, "ada", "now", 1.0, None).to_line(),
    ]
    labels = photos / "labels.jsonl"
    labels.write_bytes(b"".join(lines))
    name, listing = unlabelled(labels)
    assert name == "labels"
    assert pairs(listing) == [("1.jpg", "")]


def test_what_no_source_reads_is_said_with_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table")
    with pytest.raises(DataError, match="not a folder of pictures"):
        unlabelled(tmp_path / "notes.txt")


def stamps(location: Path) -> list[str]:
    return [stamp_of(found) for found in unlabelled(location)[1].examples]


def test_a_stamp_is_another_once_the_bytes_are_and_the_same_until_then(photos: Path) -> None:
    before = stamps(photos)
    assert stamps(photos) == before
    assert all(before)
    (photos / "1.jpg").write_bytes(jpeg(77))
    after = stamps(photos)
    assert [one == other for one, other in zip(before, after, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    os.utime(photos / "cats/2.jpg", (1, 1))  # rewritten with as many bytes
    assert stamps(photos)[2] != after[2]


def test_a_zips_stamps_are_of_its_contents_whenever_it_was_made(photos: Path) -> None:
    before = stamps(zipped(photos))
    assert stamps(zipped(photos)) == before
    (photos / "1.jpg").write_bytes(jpeg(77))
    assert stamps(zipped(photos)) != before


def test_a_table_and_a_labels_file_have_the_stamps_of_the_files_they_name(photos: Path) -> None:
    (photos / "table.csv").write_text("path\n1.jpg\n")
    digest = sha256_hex((photos / "1.jpg").read_bytes())
    (photos / "labels.jsonl").write_bytes(
        Header(("bad", "good"), 0.0, None).to_line()
        + Decision("label", "1.jpg", digest, "ada", "now", 1.0, "good").to_line()
    )
    expected = [stamps(photos)[1]]
    assert stamps(photos / "table.csv") == expected
    assert stamps(photos / "labels.jsonl") == expected


def test_what_is_gone_has_no_stamp_and_raises_nothing(photos: Path) -> None:
    __, listing = unlabelled(photos)
    shutil.rmtree(photos)
    assert {stamp_of(found) for found in listing.examples} == {""}


def test_an_entry_of_a_zip_that_is_no_zip_any_more_is_said_as_damaged(photos: Path) -> None:
    location = zipped(photos)
    with zipfile.ZipFile(location) as archive:
        start = archive.getinfo("1.jpg").header_offset
    data = bytearray(location.read_bytes())
    data[start + 40 : start + 60] = bytes(20)
    location.write_bytes(data)
    found = unlabelled(location)[1].examples[1]
    with pytest.raises(DataError, match="damaged in the zip"):
        found.read()
