import unicodedata
from pathlib import Path

import pytest
from tests.corpus.makers import raw_zip, unicode_path
from tests.pictures import jpeg

from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.core.types import SourceListing
from mintage.sources.archive import ZipSource
from mintage.sources.folder import FolderSource
from mintage.sources.listing import well_formed
from mintage.sources.tables import TableSource

image = modalities().get("image")
NAMES = ("猫/一.jpg", "狗/二.jpg", "狗/photo.jpg")


def listed(
    source: ZipSource | FolderSource | TableSource, location: Path, label: str = ""
) -> SourceListing:
    return source.list(location, label=label, endings=image.endings, unsupported=image.unsupported)


def of_zip(tmp_path: Path, data: bytes) -> SourceListing:
    (tmp_path / "photos.zip").write_bytes(data)
    return listed(ZipSource(), tmp_path / "photos.zip")


def paths(listing: SourceListing) -> set[str]:
    return {found.path for found in listing.examples}


def picture_zip(names: list[bytes], **options: object) -> bytes:
    entries = [(name, jpeg(seed)) for seed, name in enumerate(names)]
    return raw_zip(entries, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["GBK", "GB18030", "UTF-8"])
def test_class_names_come_out_right_where_the_zip_does_not_say_how_they_are_written(
    tmp_path: Path, encoding: str
) -> None:
    listing = of_zip(tmp_path, picture_zip([name.encode(encoding) for name in NAMES]))
    assert {found.label for found in listing.examples} == {"猫", "狗"}
    assert paths(listing) == set(NAMES)
    assert sorted(found.read() for found in listing.examples) == sorted(map(jpeg, range(3)))


def test_names_that_alone_would_be_something_else_are_judged_with_the_others(
    tmp_path: Path,
) -> None:
    names = ["模cat/1.jpg", "猫cat/1.jpg", "狗/1.jpg"]
    raw = [name.encode("GBK") for name in names]
    assert raw[1].decode("UTF-8") == "ècat/1.jpg"  # as it happens
    assert paths(of_zip(tmp_path, picture_zip(raw))) == set(names)


def test_a_single_character_that_is_utf8_too_is_not_taken_for_a_lone_accent(
    tmp_path: Path,
) -> None:
    names = ["猫/1.jpg", "dogs/1.jpg"]
    assert names[0].encode("GBK").decode("UTF-8") == "è/1.jpg"
    assert paths(of_zip(tmp_path, picture_zip([n.encode("GBK") for n in names]))) == set(names)
    for names in (["chèvres/à.jpg", "moutons/é.jpg"], ["warm/20°.jpg", "cold/-1°.jpg"]):
        assert paths(of_zip(tmp_path, picture_zip([n.encode() for n in names]))) == set(names)


def test_a_zip_made_of_two_is_judged_entry_by_entry(tmp_path: Path) -> None:
    raw = ["猫咪/1.jpg".encode(), "小狗/1.jpg".encode("GBK"), b"caf\x82/1.jpg"]
    assert paths(of_zip(tmp_path, picture_zip(raw))) == {"猫咪/1.jpg", "小狗/1.jpg", "café/1.jpg"}


@pytest.mark.parametrize("name", ["Müller/1.jpg", "ñandú/1.jpg", "Fuß/1.jpg", "café/1.jpg"])
def test_western_names_of_code_page_437_are_not_taken_for_chinese(
    tmp_path: Path, name: str
) -> None:
    raw = [name.encode("cp437"), b"dogs/1.jpg"]
    assert paths(of_zip(tmp_path, picture_zip(raw))) == {name, "dogs/1.jpg"}


def test_what_the_zip_says_of_a_name_goes_first(tmp_path: Path) -> None:
    flagged = picture_zip([name.encode() for name in NAMES], flags=0x800)
    assert paths(of_zip(tmp_path, flagged)) == set(NAMES)
    extra = unicode_path(b"???/1.jpg", "猫/1.jpg")
    with_field = raw_zip([(b"???/1.jpg", jpeg())], extra=extra)
    assert paths(of_zip(tmp_path, with_field)) == {"猫/1.jpg"}
    renamed = raw_zip([(b"cat/1.jpg", jpeg())], extra=extra)
    assert paths(of_zip(tmp_path, renamed)) == {"cat/1.jpg"}


def test_a_byte_of_gbk_that_looks_like_a_backslash_is_none(tmp_path: Path) -> None:
    names = ["誠誠/1.jpg", "猫狗/1.jpg"]
    raw = [name.encode("GBK") for name in names]
    assert b"\\" in raw[0]
    listing = of_zip(tmp_path, picture_zip(raw))
    assert paths(listing) == set(names)
    assert listing.skipped == ()


def test_a_class_written_composed_and_decomposed_is_one_class(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number, form in enumerate(("NFC", "NFD")):
        name = unicodedata.normalize(form, "café")
        (folder / name).mkdir(parents=True)
        (folder / name / f"{number}.jpg").write_bytes(jpeg(number))
    listing = listed(FolderSource(), folder)
    assert {found.label for found in listing.examples} == {"caf\u00e9"}
    assert paths(listing) == {"caf\u00e9/0.jpg", "caf\u00e9/1.jpg"}
    assert [found.read() for found in listing.examples] == [jpeg(0), jpeg(1)]
    assert listing.empty_classes == ()


def both_spellings(folder: Path) -> list[str]:
    names = [unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD")]
    (folder / "cup").mkdir()
    for seed, name in enumerate(names):
        (folder / "cup" / name).write_bytes(jpeg(seed))
    return names


@pytest.mark.parametrize("source", ["folder", "zip", "table"])
def test_a_second_file_of_one_name_once_composed_is_named_and_left_out(
    tmp_path: Path, source: str
) -> None:
    names = both_spellings(tmp_path)
    if source == "folder":
        listing = listed(FolderSource(), tmp_path)
    elif source == "zip":
        listing = of_zip(tmp_path, picture_zip([f"cup/{name}".encode() for name in names]))
    else:
        lines = [f"cup/{name},cup" for name in names]
        (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")
        listing = listed(TableSource(), tmp_path / "t.csv", "label")
    assert [found.path for found in listing.examples] == ["cup/caf\u00e9.jpg"]
    assert [(skipped.path, skipped.reason) for skipped in listing.skipped] == [
        (
            "cup/caf\u00e9.jpg",
            "a second file of this name, its accents written otherwise; rename it",
        )
    ]


def test_a_table_that_names_one_file_twice_keeps_both_rows_to_be_compared(tmp_path: Path) -> None:
    both_spellings(tmp_path)
    (tmp_path / "t.csv").write_text("path,label\ncup/caf\u00e9.jpg,a\ncup/caf\u00e9.jpg,b\n")
    listing = listed(TableSource(), tmp_path / "t.csv", "label")
    assert [found.label for found in listing.examples] == ["a", "b"]
    assert listing.skipped == ()


@pytest.mark.parametrize(
    "name",
    [
        "x" * 251 + ".jpg",
        "猫" * 83 + "ab.jpg",
        "😺👨‍👩‍👧.jpg",
        "قط.jpg",
        "שלום\u200f.jpg",
        "  spaces  .jpg",
        "trailing.jpg ",
        "'\"$(x)`&|<>*?.jpg",
    ],
)
def test_odd_names_are_kept_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / name).write_bytes(jpeg())
    (found,) = listed(FolderSource(), tmp_path).examples
    assert found.path == f"cats/{name}"
    assert found.read() == jpeg()


def test_spaces_around_a_class_folders_name_are_not_part_of_its_label(tmp_path: Path) -> None:
    for name in ("cats", "cats "):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(jpeg())
    assert {found.label for found in listed(FolderSource(), tmp_path).examples} == {"cats"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.jpg", "a␊b.jpg"),
        ("\x1b[2Jx.jpg", "␛[2Jx.jpg"),
        ("x\x7f.jpg", "x␡.jpg"),
        ("x\x9b.jpg", "x\ufffd.jpg"),
        ("x\u202egpj.jpg", "x\ufffdgpj.jpg"),
        ("x\u2028.jpg", "x\ufffd.jpg"),
    ],
)
def test_a_name_that_would_play_with_a_terminal_is_skipped_and_shown_harmless(
    tmp_path: Path, name: str, shown: str
) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / name).write_bytes(jpeg())
    (tmp_path / "cats/good.jpg").write_bytes(jpeg(1))
    listing = listed(FolderSource(), tmp_path)
    (skipped,) = listing.skipped
    assert skipped.path == f"cats/{shown}"
    assert skipped.reason == "its name holds control characters; rename it"
    assert paths(listing) == {"cats/good.jpg"}


@pytest.mark.parametrize("name", ["a\nb", "猫\x1b", " ", "\udcc3\udcc3"])
def test_a_class_folder_that_cannot_be_a_label_is_an_error_that_names_it(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="class folder") as raised:
        listed(FolderSource(), tmp_path)
    assert raised.value.remedy
    assert well_formed(raised.value.message) == raised.value.message


def test_a_macs_folder_icon_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats/Icon\r").write_bytes(b"")
    (tmp_path / "cats/1.jpg").write_bytes(jpeg())
    assert listed(FolderSource(), tmp_path).hidden == 1
