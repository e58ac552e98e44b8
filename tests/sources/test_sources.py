import json
import os
import zipfile
from pathlib import Path

import pytest
from tests.corpus.makers import raw_zip
from tests.pictures import jpeg

from mintage.core.errors import DataError
from mintage.core.messages import Message
from mintage.core.registry import modalities, sources
from mintage.core.types import SourceListing
from mintage.sources import listing as shared
from mintage.sources import rows
from mintage.sources.archive import ZipSource
from mintage.sources.folder import FolderSource
from mintage.sources.tables import TableSource


def listed(source: object, location: Path, label: str = "label") -> SourceListing:
    image = modalities().get("image")
    assert source.matches(location)  # type: ignore[attr-defined]
    return source.list(  # type: ignore[attr-defined,no-any-return]
        location, label=label, endings=image.endings, unsupported=image.unsupported
    )


def paths(listing: SourceListing) -> list[tuple[str, str]]:
    return [(found.path, found.label) for found in listing.examples]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("cats/1.JPG", "cats/deep/er/2.jpeg", "dogs/3.Png", "dogs/4.tiff"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg())
    for name in ("cats/.DS_Store", "__MACOSX/cats/._1.JPG", ".git/x.jpg", "dogs/Thumbs.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "readme.txt").write_text("stray")
    (root / "dogs/notes.md").write_text("stray")
    (root / "dogs/anim.GIF").write_bytes(b"GIF89a")
    return root


def test_a_folder_gives_its_class_folders_with_any_case_of_the_ending(photos: Path) -> None:
    listing = listed(FolderSource(), photos)
    assert paths(listing) == [
        ("cats/1.JPG", "cats"),
        ("cats/deep/er/2.jpeg", "cats"),
        ("dogs/3.Png", "dogs"),
        ("dogs/4.tiff", "dogs"),
    ]
    assert (listing.hidden, listing.stray) == (4, 2)


def test_a_known_format_that_is_not_read_is_named_with_its_remedy(photos: Path) -> None:
    (skipped,) = listed(FolderSource(), photos).skipped
    assert skipped.path == "dogs/anim.GIF"
    assert "GIF is not read; convert it" in skipped.reason


def test_an_empty_class_is_reported(photos: Path) -> None:
    (photos / "birds").mkdir()
    assert listed(FolderSource(), photos).empty_classes == ("birds",)


def test_a_link_out_of_the_folder_is_skipped_and_one_inside_is_followed(
    photos: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(jpeg(1))
    (photos / "cats/out.jpg").symlink_to(outside)
    (photos / "cats/in.jpg").symlink_to(photos / "cats/1.JPG")
    (photos / "cats/loop").symlink_to(photos)
    listing = listed(FolderSource(), photos)
    assert ("cats/in.jpg", "cats") in paths(listing)
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert "leads out" in reasons["cats/out.jpg"]
    assert "not followed" in reasons["cats/loop"]


def test_a_folder_without_class_folders_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg())
    with pytest.raises(DataError, match="no class folders"):
        listed(FolderSource(), tmp_path)


def test_class_folders_that_are_links_are_named_in_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cats").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no class folders") as caught:
        listed(FolderSource(), tmp_path / "photos")
    assert "Links to folders are not followed" in caught.value.remedy


def test_splits_are_not_taken_for_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cats", "dogs"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / "1.jpg").write_bytes(jpeg())
    with pytest.raises(DataError, match=r"look like splits.*Mintage draws its own"):
        listed(FolderSource(), tmp_path)


def zipped(location: Path, root: Path, wrapper: str = "") -> Path:
    with zipfile.ZipFile(location, "w") as opened:
        for path in sorted(root.rglob("*")):
            opened.write(path, wrapper + path.relative_to(root).as_posix())
    return location


@pytest.mark.parametrize("wrapper", ["", "my photos/"])
def test_a_zip_gives_the_same_examples_as_its_folder(
    photos: Path, tmp_path: Path, wrapper: str
) -> None:
    location = zipped(tmp_path / "photos.bin", photos, wrapper)
    from_zip, from_folder = listed(ZipSource(), location), listed(FolderSource(), photos)
    assert paths(from_zip) == paths(from_folder)
    assert [f.read() for f in from_zip.examples] == [f.read() for f in from_folder.examples]
    assert (from_zip.hidden, from_zip.stray) == (from_folder.hidden, from_folder.stray)


def test_a_zips_traps_are_skipped_with_their_reason(tmp_path: Path) -> None:
    location = tmp_path / "traps.zip"
    with zipfile.ZipFile(location, "w") as opened:
        opened.writestr("cats/1.jpg", jpeg())
        opened.writestr("dogs/1.jpg", jpeg(1))
        for name in ("../evil.jpg", "/etc/evil.jpg", "cats\\evil.jpg"):
            opened.writestr(name, jpeg(2))
        link = zipfile.ZipInfo("cats/link.jpg")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("cats/1.jpg", jpeg(3))
    listing = listed(ZipSource(), location)
    assert paths(listing) == [("cats/1.jpg", "cats"), ("dogs/1.jpg", "dogs")]
    assert listing.examples[0].read() == jpeg()
    assert len(listing.skipped) == 5


def test_a_zip_entry_is_counted_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "MOST_BYTES", 10**6)
    location = tmp_path / "bomb.zip"
    with zipfile.ZipFile(location, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("cats/1.jpg", b"\0" * 10**7)
        opened.writestr("dogs/1.jpg", b"\0")
    bomb = listed(ZipSource(), location).examples[0]
    with pytest.raises(DataError, match="larger than 1 MB"):
        bomb.read()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_entry_grows_no_more_than_deflate_could_make_it(tmp_path: Path, method: int) -> None:
    location = tmp_path / "bomb.zip"
    with zipfile.ZipFile(location, "w", method) as opened:
        opened.writestr("cats/1.jpg", b"\0" * 10**7)
        opened.writestr("cats/2.jpg", b"\0" * 10**5)
    bomb, small = listed(ZipSource(), location).examples
    with pytest.raises(DataError, match="grows more than 1,100 times"):
        bomb.read()
    assert small.read() == b"\0" * 10**5


def test_what_deflate_packs_best_is_still_read(tmp_path: Path) -> None:
    location = tmp_path / "white.zip"
    with zipfile.ZipFile(location, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as opened:
        opened.writestr("cats/1.jpg", b"\0" * 10**7)
    assert len(listed(ZipSource(), location).examples[0].read()) == 10**7


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "path,label\ncats/1.JPG,猫\ndogs/3.Png,狗\n"),
        ("t.csv", "\ufefffile;label\r\ncats/1.JPG;猫\r\ndogs/3.Png;狗\r\n"),
        ("t.TSV", "label\timage\n猫\tcats/1.JPG\n狗\tdogs/3.Png\n"),
        (
            "t.jsonl",
            '{"path": "cats/1.JPG", "label": "猫"}\n\n{"path": "dogs/3.Png", "label": "狗"}\n',
        ),
    ],
)
def test_a_table_names_paths_and_labels(photos: Path, name: str, text: str) -> None:
    listing = listed(TableSource(), table(photos / name, text))
    assert paths(listing) == [("cats/1.JPG", "猫"), ("dogs/3.Png", "狗")]
    assert listing.examples[0].read() == (photos / "cats/1.JPG").read_bytes()


def test_the_label_may_stand_in_another_column(photos: Path) -> None:
    location = table(photos / "t.csv", "path,label,breed\ncats/1.JPG,x,siamese\n")
    assert paths(listed(TableSource(), location, "breed")) == [("cats/1.JPG", "siamese")]
    with pytest.raises(DataError, match=r"no column 'colour'; it has path, label, breed"):
        listed(TableSource(), location, "colour")


def test_rows_that_cannot_be_used_are_named(photos: Path) -> None:
    lines = [
        json.dumps({"path": "cats/1.JPG", "label": 3}),
        json.dumps({"path": "gone.jpg", "label": 3}),
        json.dumps({"path": "dogs/3.Png", "label": ""}),
        "not json",
        "[1]",
    ]
    listing = listed(TableSource(), table(photos / "t.jsonl", "\n".join(lines)))
    assert paths(listing) == [("cats/1.JPG", "3")]
    assert sorted((s.path, s.reason) for s in listing.skipped) == [
        ("dogs/3.Png", "line 3 has no path or no label"),
        ("gone.jpg", "no such file; paths begin at the table's own folder"),
        ("line 4", "line 4 is not a JSON object"),
        ("line 5", "line 5 is not a JSON object"),
    ]


def test_a_table_in_no_encoding_of_ours_or_without_a_path_is_refused(photos: Path) -> None:
    (photos / "t.csv").write_bytes("path,label\nnaïve.jpg,a\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"neither UTF-8 nor GB18030 \(byte 13\).*Save it as UTF-8"):
        listed(TableSource(), photos / "t.csv")
    with pytest.raises(DataError, match="no column for the path"):
        listed(TableSource(), table(photos / "u.csv", "where,label\nx,y\n"))


def test_every_registered_source_answers_whether_it_reads_a_location(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("nothing of ours")
    for name in sources():
        assert sources().get(name).name == name
        assert sources().get(name).matches(tmp_path / "x.txt") is False


def test_what_a_mac_puts_beside_the_wrapping_folder_is_hidden(photos: Path, tmp_path: Path) -> None:
    location = tmp_path / "mac.zip"
    with zipfile.ZipFile(location, "w") as opened:
        for folder in ("pets/", "pets/dark/", "pets/light/", "__MACOSX/", "__MACOSX/pets/"):
            opened.writestr(folder, b"")
        for label in ("dark", "light"):
            opened.writestr(f"pets/{label}/1.jpg", jpeg())
            opened.writestr(f"__MACOSX/pets/{label}/._1.jpg", b"x")
    listing = listed(ZipSource(), location)
    assert paths(listing) == [("dark/1.jpg", "dark"), ("light/1.jpg", "light")]
    assert (listing.hidden, listing.stray, listing.empty_classes) == (2, 0, ())


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_every_kind_of_damage_inside_a_zip_is_a_reason(tmp_path: Path, method: int) -> None:
    location = tmp_path / "photos.zip"
    body = bytes(range(256)) * 8
    with zipfile.ZipFile(location, "w", method) as opened:
        for label in ("cats", "dogs"):
            opened.writestr(f"{label}/1.jpg", body)
    whole = location.read_bytes()
    start = whole.index(b"cats/1.jpg") + len("cats/1.jpg")
    refused = 0
    for position in range(max(0, start - 40), start + 60):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        location.write_bytes(damaged)
        try:
            for found in (
                ZipSource()
                .list(location, label="", endings=frozenset({".jpg"}), unsupported=frozenset())
                .examples
            ):
                assert found.read() == body
        except DataError as error:
            refused += "damaged in the zip" in error.message
    assert refused > 40


def test_only_regular_files_are_read_and_a_pipe_is_not_waited_for(photos: Path) -> None:
    os.mkfifo(photos / "cats/pipe.jpg")
    (photos / "cats/to-pipe.jpg").symlink_to(photos / "cats/pipe.jpg")
    listing = listed(FolderSource(), photos)
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert reasons["cats/pipe.jpg"] == "not a regular file"
    assert "not followed" in reasons["cats/to-pipe.jpg"]
    assert len(listing.examples) == 4


def test_a_folder_inside_that_cannot_be_read_is_named(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith(("deep", ".git")):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    listing = listed(FolderSource(), photos)
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert reasons["cats/deep"] == "a folder that cannot be read: Permission denied"
    assert ".git" not in reasons


def test_a_folder_that_cannot_be_read_is_a_clear_error(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match=r"photos cannot be read: Permission denied"):
        listed(FolderSource(), photos)


def test_a_name_that_is_not_utf8_is_skipped_and_can_be_shown(photos: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (photos / "cats" / name).write_bytes(jpeg())
    listing = listed(FolderSource(), photos)
    assert len(listing.examples) == 4
    reasons = {skipped.path: skipped.reason for skipped in listing.skipped}
    assert reasons["cats/caf\ufffd.jpg"] == "its name is not UTF-8; rename it"


def test_a_label_that_is_not_utf8_is_skipped_too(photos: Path) -> None:
    rows = '{"path": "cats/1.JPG", "label": "\\ud800"}\n{"path": "dogs/3.Png", "label": "dog"}\n'
    listing = listed(TableSource(), table(photos / "t.jsonl", rows))
    assert paths(listing) == [("dogs/3.Png", "dog")]
    assert [skipped.path for skipped in listing.skipped] == ["cats/1.JPG"]


def test_a_field_that_never_ends_is_an_error_that_names_the_line(photos: Path) -> None:
    text = "path,label\ncats/1.JPG,cat\ndogs/3.Png," + "x" * 140_000 + "\n"
    with pytest.raises(
        DataError, match=r"t\.csv cannot be read from line 3 on: a cell is longer than"
    ):
        listed(TableSource(), table(photos / "t.csv", text))


def test_a_path_that_no_file_system_takes_is_skipped(photos: Path) -> None:
    text = f"path,label\n{'x' * 300}.jpg,cat\ncats/1.JPG,cat\n"
    listing = listed(TableSource(), table(photos / "t.csv", text))
    assert paths(listing) == [("cats/1.JPG", "cat")]
    assert listing.skipped[0].reason == "cannot be read: File name too long"


def test_a_table_larger_than_a_table_may_be_is_refused(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_BYTES", 1_000_000)
    location = photos / "t.csv"
    location.write_text("path,label\ncats/1.JPG,cat\n")
    os.truncate(location, 1_000_001)
    with pytest.raises(DataError, match=r"t\.csv is larger than 1 MB.*Split it"):
        listed(TableSource(), location)


def test_a_table_that_may_not_be_read_says_so(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = table(photos / "t.csv", "path,label\n")

    def refuse(path: Path, *mode: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"t\.csv cannot be read: Permission denied") as raised:
        listed(TableSource(), location)
    assert isinstance(raised.value.message, Message)
    assert isinstance(raised.value.message.values["reason"], Message)


def test_the_columns_of_json_lines_are_those_of_all_rows(photos: Path) -> None:
    lines = [
        {"note": "no path\u2028and no label"},
        {"path": "cats/1.JPG"},
        {"path": "dogs/3.Png", "label": "dog"},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    listing = listed(TableSource(), table(photos / "t.jsonl", text))
    assert paths(listing) == [("dogs/3.Png", "dog")]
    assert sorted((s.path, s.reason) for s in listing.skipped) == [
        ("cats/1.JPG", "line 2 has no path or no label"),
        ("line 1", "line 1 has no path or no label"),
    ]
    with pytest.raises(DataError, match=r"no column 'colour'; it has note, path, label"):
        listed(TableSource(), photos / "t.jsonl", "colour")


def test_an_entry_without_a_name_is_named_as_that(tmp_path: Path) -> None:
    location = tmp_path / "photos.zip"
    location.write_bytes(
        raw_zip([(b"cats/1.jpg", jpeg()), (b"", jpeg(1)), (b"dogs/1.jpg", jpeg(2))])
    )
    listing = listed(ZipSource(), location)
    assert paths(listing) == [("cats/1.jpg", "cats"), ("dogs/1.jpg", "dogs")]
    assert [(each.path, str(each.reason)) for each in listing.skipped] == [
        ("an entry", "it has no name")
    ]
