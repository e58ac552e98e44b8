from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mintage.bundle import archive
from mintage.bundle.archive import pack, read_archive, unpack
from mintage.bundle.loader import load
from mintage.core.errors import DataError, SignatureMismatch
from mintage.trust.keys import KeyRing

from .conftest import Write

FILES = {
    "model.onnx": bytes(range(256)) * 40,
    "bundle.json": b'{"format":1}',
    "card.md": "# Katzen und Hunde: ä 猫\n".encode(),
    "evaluation.json": b"{}",
    "signature.json": b"{}\n",
}


def test_an_archive_is_these_very_bytes_under_every_python() -> None:
    # A change of this digest is a change of the format: archives that were made before would be
    # refused.
    digest = "6bdbd04782e4bd0fa45f1cc6225304d43cadbdc7a33e00b1212ce22d712e54f8"
    assert hashlib.sha256(pack(FILES)).hexdigest() == digest
    assert pack(dict(reversed(FILES.items()))) == pack(FILES)


def test_neither_clock_zone_umask_nor_hash_seed_is_in_it() -> None:
    program = (
        "import os, sys\n"
        "from mintage.bundle.archive import pack\n"
        "os.umask(int(sys.argv[1], 8))\n"
        "sys.stdout.buffer.write(pack({'model.onnx': b'x' * 999, 'card.md': b'y'}))\n"
    )
    made = {
        subprocess.run(
            [sys.executable, "-c", program, umask],
            env=os.environ | {"TZ": zone, "PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": seed},
            capture_output=True,
            check=True,
        ).stdout
        for umask, zone, seed in (("000", "UTC", "1"), ("077", "Asia/Kathmandu", "2000000000"))
    }
    assert made == {pack({"model.onnx": b"x" * 999, "card.md": b"y"})}


def test_any_zip_program_can_open_it_and_gets_plain_files() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(FILES))) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == sorted(FILES)
        assert {name: opened.read(name) for name in opened.namelist()} == FILES
        for entry in opened.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o100644
            assert not entry.extra
            assert not entry.comment


def test_what_was_packed_comes_back() -> None:
    assert unpack(pack(FILES)) == FILES


def zipped(
    *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip as others write it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, data in entries:
            made.writestr(name, data)
    return target.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    return entry


def encrypted() -> bytes:
    data = bytearray(pack(FILES))
    data[6] |= 1
    return bytes(data)


def doubled_directory() -> bytes:
    """The central directory and its end once more: two readers may take two different ones."""
    data = pack(FILES)
    return data + data[data.index(b"PK\1\2") :]


def renamed_in_the_directory() -> bytes:
    """Readers of the directory see a name that readers of the entries do not."""
    data = pack(FILES)
    where = data.rindex(b"card.md")
    return data[:where] + b"evil.md" + data[where + 7 :]


def swapped() -> bytes:
    """One byte of a file's content is another."""
    data = bytearray(pack(FILES))
    data[data.index(b"card.md") + len(b"card.md") + 1] ^= 1
    return bytes(data)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "its bytes are not"),
        (lambda: b"not a zip", "its bytes are not"),
        (zipped, "its bytes are not"),
        (lambda: pack(FILES)[:-1], "its bytes are not"),
        (lambda: pack(FILES)[:5000], "ends too early"),
        (lambda: pack(FILES)[:20], "ends too early"),
        (lambda: pack(FILES) + b"\0", "its bytes are not"),
        (lambda: pack(FILES) + pack(FILES), "its bytes are not"),
        (lambda: b"#!/bin/sh\n" + pack(FILES), "its bytes are not"),
        (lambda: pack(FILES)[:-2] + b"\5\0hello", "its bytes are not"),
        (doubled_directory, "its bytes are not"),
        (encrypted, "bundle.json is encrypted"),
        (lambda: zipped(("card.md", b"a" * 99), method=zipfile.ZIP_DEFLATED), "is compressed"),
        (lambda: zipped(("model.onnx", bytes(10**7)), method=zipfile.ZIP_DEFLATED), "compressed"),
        (lambda: zipped(("model.onnx", b"a" * 99), method=zipfile.ZIP_LZMA), "is compressed"),
        (lambda: zipped(("../model.onnx", b"")), "'../model.onnx' does not belong"),
        (lambda: zipped(("/etc/passwd", b"")), "'/etc/passwd' does not belong"),
        (lambda: zipped(("pets/model.onnx", b"")), "'pets/model.onnx' does not belong"),
        (lambda: zipped(("pets/", b"")), "'pets/' does not belong"),
        (lambda: zipped(("weights.pkl", b"")), "'weights.pkl' does not belong"),
        (lambda: zipped(("MODEL.ONNX", b"")), "does not belong"),
        (lambda: zipped(("mödel.onnx", b"")), "does not belong"),
        (lambda: zipped(("card.md", b"a"), ("card.md", b"b")), "holds card.md twice"),
    ],
)
def test_whatever_else_a_zip_can_be_is_refused(make: Callable[[], bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        unpack(make())


def test_every_single_byte_of_an_archive_counts() -> None:
    data = pack({"card.md": b"# Pets\n", "model.onnx": b"weights", "signature.json": b"{}"})
    assert unpack(data)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x10
        try:
            # A byte of the content itself gives other content, which the signature refuses.
            assert unpack(bytes(changed)) != unpack(data)
        except (DataError, SignatureMismatch):
            continue


@pytest.mark.parametrize(
    "make",
    [
        swapped,
        renamed_in_the_directory,
        lambda: zipped((link("card.md"), b"/etc/passwd")),
        lambda: zipped(*sorted(FILES.items())),  # with today's date
    ],
)
def test_an_archive_that_was_changed_is_not_what_was_signed(make: Callable[[], bytes]) -> None:
    with pytest.raises(SignatureMismatch, match="changed after it was exported"):
        unpack(make())


def test_a_length_that_lies_is_refused_without_reserving_it() -> None:
    data = bytearray(pack(FILES))
    data[18:26] = b"\xfe\xff\xff\x7f" * 2
    with pytest.raises(DataError, match="ends too early"):
        unpack(bytes(data))


def test_what_is_too_large_is_refused_before_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 20_000)
    path = tmp_path / "big.mintage"
    path.write_bytes(bytes(20_001))
    with pytest.raises(DataError, match="larger than"):
        read_archive(path)
    with pytest.raises(DataError, match="larger than"):
        pack({"model.onnx": bytes(10_001)})


def test_an_archive_loads_as_its_folder_does(write: Write, keys: KeyRing, tmp_path: Path) -> None:
    bundle = load(write("colours@1"), keys)
    path = tmp_path / "colours.mintage"
    path.write_bytes(pack({**bundle.files, "signature.json": bundle.signature}))
    opened = load(path, keys, "colours@1")
    assert opened.files == bundle.files
    assert (opened.digest, opened.subject, opened.key_id, opened.signature) == (
        bundle.digest,
        bundle.subject,
        bundle.key_id,
        bundle.signature,
    )
    assert opened.key_id == keys.signer("bundle").key_id
    assert opened.folder == path


def test_an_archive_is_verified_before_anything_of_it_is_read(
    write: Write, keys: KeyRing, tmp_path: Path
) -> None:
    bundle = load(write("colours@1"), keys)
    whole = {**bundle.files, "signature.json": bundle.signature}
    path = tmp_path / "colours.mintage"

    def refused(files: dict[str, bytes], subject: str | None = None) -> str:
        path.write_bytes(pack(files))
        with pytest.raises(SignatureMismatch) as caught:
            load(path, keys, subject)
        return str(caught.value)

    for name in bundle.files:
        assert f"{name} was changed" in refused({**whole, name: whole[name] + b" "})
        assert f"{name} is missing" in refused({k: v for k, v in whole.items() if k != name})
    assert "bom.json is not signed" in refused({**whole, "bom.json": b"{}"})
    assert "it has no signature.json" in refused(dict(bundle.files))
    assert "not as colours@2" in refused(whole, "colours@2")
    other = load(write("other@1", model=b"another"), keys)
    assert "was changed" in refused({**whole, "signature.json": other.signature})


def test_an_archive_that_is_not_there_is_said_to_be_so(keys: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.mintage cannot be read: No such file"):
        load(tmp_path / "no.mintage", keys)
