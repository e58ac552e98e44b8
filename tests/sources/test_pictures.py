"""Unsorted pictures in a folder, and that none leads out of it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.sources.pictures import Pictures, find_pictures, locate


def found(folder: Path) -> Pictures:
    image = modalities().get("image")
    return find_pictures(folder, image.endings, image.unsupported)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("b.JPG", "a.png", "deep/er/c.webp", ".hidden/x.jpg", ".y.jpg", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_pictures_are_found_at_any_depth_and_hidden_ones_passed_over(folder: Path) -> None:
    assert found(folder) == Pictures(("a.png", "b.JPG", "deep/er/c.webp"))


def test_what_is_left_out_is_named_with_the_reason(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "again").symlink_to(folder)
    (folder / "inside.jpg").symlink_to("a.png")
    (folder / "x.heic").write_bytes(b"x")
    (folder / "bi\u202ddi.jpg").write_bytes(b"x")
    os.mkfifo(folder / "pipe.jpg")
    listing = found(folder)
    assert listing.paths == ("a.png", "b.JPG", "deep/er/c.webp", "inside.jpg")
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert set(reasons) == {
        *("again", "bi\ufffddi.jpg", "dangling.jpg", "loop.jpg", "out.jpg", "pipe.jpg", "x.heic"),
    }
    assert "leads out of the folder" in reasons["out.jpg"]
    assert "not followed" in reasons["again"]
    assert "HEIC is not read" in reasons["x.heic"]
    assert "not a regular file" in reasons["pipe.jpg"]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError):
        found(tmp_path / kind)


@pytest.mark.parametrize(
    "path",
    ["../secret.jpg", "/etc/passwd", "deep/../../secret.jpg", "", "a\0.jpg", "out/secret.jpg"],
)
def test_no_path_leads_out_of_the_folder(folder: Path, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(DataError):
        locate(folder, path)


def test_accents_may_be_composed_otherwise_on_this_disk(folder: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "café.jpg")
    (folder / decomposed).write_bytes(b"x")
    assert locate(folder, "café.jpg").name in (decomposed, "café.jpg")
