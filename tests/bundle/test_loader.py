from __future__ import annotations

from pathlib import Path

import pytest

from mintage.bundle.format import Manifest, write_bundle
from mintage.bundle.loader import load
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.files import write_folder
from mintage.trust.keys import KeyRing
from mintage.trust.signing import sign_files

from .conftest import Write, graph, other_files


def test_a_bundle_loads_as_it_was_written(write: Write, keys: KeyRing, manifest: Manifest) -> None:
    folder = write("colours@1")
    bundle = load(folder, keys, "colours@1")
    assert bundle.manifest == manifest
    assert bundle.model == graph()
    assert bundle.subject == "colours@1"
    assert bundle.folder == folder
    again = write_bundle(folder, manifest, other_files(graph()), keys.signer("bundle"), "colours@1")
    assert bundle.digest == again


def test_every_file_changed_removed_or_added_is_refused(write: Write, keys: KeyRing) -> None:
    folder = write()
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        for change in (original + b"\n", original[:-1], None):
            path.unlink() if change is None else path.write_bytes(change)
            with pytest.raises(SignatureMismatch, match=path.name):
                load(folder, keys)
            path.write_bytes(original)
    for name in ("extra", ".hidden", "tokenizer.json", ".git"):
        (folder / name).write_bytes(b"")
        with pytest.raises(SignatureMismatch, match="is not signed"):
            load(folder, keys)
        (folder / name).unlink()
    load(folder, keys)


def test_the_model_is_what_was_verified_whatever_the_disk_says_later(
    write: Write, keys: KeyRing
) -> None:
    folder = write()
    bundle = load(folder, keys)
    (folder / "model.onnx").write_bytes(b"evil")
    assert bundle.model == graph()


def test_a_bundle_put_in_the_place_of_another_is_refused(write: Write, keys: KeyRing) -> None:
    old = write("colours@1")
    assert load(old, keys).subject == "colours@1"
    with pytest.raises(SignatureMismatch, match="colours@1"):
        load(old, keys, "colours@2")


def test_a_signed_file_that_is_not_a_bundles_is_refused(
    tmp_path: Path, keys: KeyRing, manifest: Manifest
) -> None:
    files = {**other_files(b"m"), "bundle.json": manifest.to_bytes(), "weights.pkl": b"\x80"}
    signature = sign_files(files, "x@1", keys.signer("bundle"))
    write_folder(tmp_path / "x", {**files, "signature.json": signature})
    with pytest.raises(DataError, match=r"weights\.pkl does not belong"):
        load(tmp_path / "x", keys)


def test_a_signed_dataset_is_not_a_bundle(tmp_path: Path, keys: KeyRing) -> None:
    files = {"manifest.jsonl": b"", "card.json": b"{}"}
    signature = sign_files(files, "pets", keys.signer("bundle"))
    write_folder(tmp_path / "x", {**files, "signature.json": signature})
    with pytest.raises(DataError, match=r"model\.onnx is missing"):
        load(tmp_path / "x", keys)


def test_a_folder_that_is_no_bundle_is_an_input_error(tmp_path: Path, keys: KeyRing) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "file").touch()
    for name in ("photos", "file", "nowhere"):
        with pytest.raises(DataError, match="not a bundle"):
            load(tmp_path / name, keys)


def test_nothing_is_trusted_before_a_key_is(write: Write, tmp_path: Path) -> None:
    with pytest.raises(SignatureMismatch, match="No key is trusted"):
        load(write(), KeyRing(tmp_path / "customer"))


def test_a_bundle_from_before_bills_of_materials_opens_as_ever(write: Write, keys: KeyRing) -> None:
    without = load(write("colours@1"), keys, "colours@1")
    assert "bom.json" not in without.files
    with_one = load(write("colours@2", **{"bom.json": b"{}"}), keys, "colours@2")
    assert with_one.manifest == without.manifest
    assert with_one.digest != without.digest
