import os
import unicodedata
from pathlib import Path

import pytest
from tests.pictures import jpeg

from mintage.core.errors import DataError
from mintage.core.registry import modalities
from mintage.core.types import SourceListing
from mintage.sources.encoding import chinese, decode
from mintage.sources.tables import TableSource

image = modalities().get("image")
TABLE = "文件名,类别\n猫/一.jpg,猫\n狗/二.jpg,狗\n"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("猫/一.jpg", "狗/二.jpg")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(jpeg(seed))
    return tmp_path


def listed(location: Path, label: str = "label") -> SourceListing:
    source = TableSource()
    assert source.matches(location)
    return source.list(location, label=label, endings=image.endings, unsupported=image.unsupported)


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", TABLE.encode("UTF-8")),
        ("t.csv", TABLE.encode("utf-8-sig")),
        ("t.csv", TABLE.encode("GBK")),
        ("t.csv", TABLE.encode("GB18030")),
        ("t.csv", TABLE.encode("UTF-16")),
        ("t.csv", b"\xfe\xff" + TABLE.encode("UTF-16-BE")),
        ("t.tsv", TABLE.replace(",", "\t").replace("\n", "\r\n").encode("GB18030")),
        ("Unicode text.txt", TABLE.replace(",", "\t").encode("UTF-16")),
    ],
)
def test_a_table_is_read_in_every_encoding_that_excel_and_wps_write(
    photos: Path, name: str, data: bytes
) -> None:
    listing = listed(written(photos, name, data), "类别")
    assert [(found.path, found.label) for found in listing.examples] == [
        ("狗/二.jpg", "狗"),
        ("猫/一.jpg", "猫"),
    ]
    assert [found.read() for found in listing.examples] == [jpeg(1), jpeg(0)]


@pytest.mark.parametrize("labels", ["鹦鹉", "鳄鱼,蜥蜴", "貓,狗,鳥,魚", "犬,ねこ"])
def test_rare_traditional_and_japanese_words_are_believed_too(labels: str) -> None:
    assert decode(labels.encode("GB18030")) == (labels, "GB18030")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("naïve café, Müller", "latin-1"),
        ("el niño pequeño, año", "cp1252"),
        ("貓狗動物學習圖書館的照片", "Big5"),
        ("日本語の写真", "shift_jis"),
        ("猫狗照片" * 5, "UTF-16-LE"),
    ],
)
def test_what_could_be_read_as_gb18030_but_is_not_is_refused_with_its_place(
    photos: Path, text: str, encoding: str
) -> None:
    data = b"path,label\n" + text.encode(encoding)
    with pytest.raises(DataError, match=r"byte \d+.*UTF-8") as raised:
        listed(written(photos, "t.csv", data))
    assert "UTF-8" in raised.value.remedy


def test_utf8_with_a_damaged_byte_is_not_taken_for_gb18030() -> None:
    data = bytearray(("图片里有一只猫和一只狗，它们在草地上玩。" * 20).encode())
    for place in range(100, 400, 7):
        damaged = bytes(data[:place]) + b"\xff" + bytes(data[place + 1 :])
        assert chinese(damaged) is None
        shortened = bytes(data[:place] + data[place + 1 :])
        with pytest.raises(UnicodeDecodeError):
            decode(shortened)


def test_a_mark_that_lies_is_named(photos: Path) -> None:
    with pytest.raises(DataError, match=r"says that it is UTF-16, but is not \(byte \d+\)"):
        listed(written(photos, "t.csv", b"\xff\xfea\0b"))


def test_a_file_of_zeros_is_no_table(photos: Path) -> None:
    with pytest.raises(DataError, match="is not text"):
        listed(written(photos, "t.csv", b"path,label\n\0\0\0\0"))


def test_a_text_without_a_mark_is_not_a_table(photos: Path) -> None:
    assert not TableSource().matches(written(photos, "notes.txt", TABLE.encode()))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_path_is_found_however_the_disk_spells_it(tmp_path: Path, form: str) -> None:
    (tmp_path / unicodedata.normalize(form, "café.jpg")).write_bytes(jpeg())
    for written_form in ("NFC", "NFD"):
        text = unicodedata.normalize(written_form, "path,label\ncafé.jpg,cup\n")
        (found,) = listed(written(tmp_path, "t.csv", text.encode())).examples
        assert found.read() == jpeg()
        assert found.path == "caf\u00e9.jpg"


def test_a_path_in_gbk_is_found_where_the_disk_has_its_very_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode("猫.jpg".encode("GBK"))).write_bytes(jpeg())
    table = written(tmp_path, "t.csv", "path,label\n猫.jpg,猫\n".encode("GBK"))
    (found,) = listed(table).examples
    assert (found.path, found.label, found.read()) == ("猫.jpg", "猫", jpeg())


def test_a_path_of_windows_is_found(photos: Path) -> None:
    (found,) = listed(written(photos, "t.csv", "path,label\n猫\\一.jpg,猫\n".encode())).examples
    assert found.read() == jpeg(0)


def test_empty_rows_say_nothing_and_rows_too_long_are_named(photos: Path) -> None:
    text = "\n,,\npath,label\n,\n猫/一.jpg,猫\n狗/二.jpg,狗,a comma too many\n\n , \n"
    listing = listed(written(photos, "t.csv", text.encode()))
    assert [found.path for found in listing.examples] == ["猫/一.jpg"]
    assert [(s.path, s.reason) for s in listing.skipped] == [
        ("line 6", "line 6 has more cells than there are columns")
    ]


@pytest.mark.parametrize("length", [300, 5000, 100_000])
def test_a_path_longer_than_any_disk_takes_is_skipped_and_shown_shortened(
    photos: Path, length: int
) -> None:
    text = f"path,label\n{'长' * length}.jpg,猫\n猫/一.jpg,猫\n"
    listing = listed(written(photos, "t.csv", text.encode()))
    (skipped,) = listing.skipped
    assert skipped.reason == "cannot be read: File name too long"
    assert len(skipped.path) <= 301
