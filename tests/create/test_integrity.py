"""A dataset's folder is believed only as far as its signature, its version and its blobs agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, MintageError, SignatureMismatch
from mintage.core.progress import Silent
from mintage.create.integrity import blobs_beside, check_dataset
from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE, sign_files

BLOB = b"a picture"
SHA256 = hashlib.sha256(BLOB).hexdigest()
LINE = {
    "sha256": SHA256,
    "path": "cats/1.jpg",
    "label": "cats",
    "split": "train",
    "group": SHA256,
    "flags": [],
}


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys")


def laid(
    tmp_path: Path,
    keys: KeyRing,
    *,
    manifest: bytes = canonical_json(LINE) + b"\n",
    said: dict[str, object] | None = None,
    subject: str | None = None,
    more: dict[str, bytes] | None = None,
) -> Path:
    """A dataset's folder with a genuine signature over whatever is asked for, and one blob."""
    version = hashlib.sha256(manifest).hexdigest()
    card = {"name": "pets", "version": version} if said is None else said
    files = {"manifest.jsonl": manifest, "card.json": canonical_json(card), **(more or {})}
    signature = sign_files(files, subject or f"pets#{version}", keys.signer("data"))
    folder = tmp_path / "datasets" / "pets" / version
    folder.mkdir(parents=True)
    for name, data in {**files, SIGNATURE_FILE: signature}.items():
        (folder / name).write_bytes(data)
    (tmp_path / "blobs" / SHA256[:2]).mkdir(parents=True)
    (tmp_path / "blobs" / SHA256[:2] / SHA256).write_bytes(BLOB)
    return folder


def refused(folder: Path, keys: KeyRing, kind: type[MintageError]) -> str:
    with pytest.raises(kind) as caught:
        check_dataset(folder, blobs_beside(folder), keys.public_keys("data"), Silent())
    return str(caught.value.message)


def test_a_whole_dataset_is_counted(tmp_path: Path, keys: KeyRing) -> None:
    folder = laid(tmp_path, keys)
    found = check_dataset(folder, blobs_beside(folder), keys.public_keys("data"), Silent())
    assert (found.subject, found.examples, found.size_bytes) == (f"pets#{folder.name}", 1, 9)
    assert found.key_id == keys.signer("data").key_id


@pytest.mark.parametrize(
    "manifest",
    [
        canonical_json({**LINE, "sha256": "../../keys/data.pem"}),
        canonical_json({**LINE, "sha256": SHA256.upper()}),
        canonical_json({**LINE, "sha256": SHA256 + "\n"}),
        canonical_json({**LINE, "sha256": 7}),
        canonical_json({"path": "cats/1.jpg"}),
        b"{",
        b"[" * 100_000,
        b"\xff",
        b"7",
    ],
)
def test_a_manifest_that_names_no_blobs_is_refused_even_where_it_is_signed(
    tmp_path: Path, keys: KeyRing, manifest: bytes
) -> None:
    assert "not a dataset of format 1" in refused(
        laid(tmp_path, keys, manifest=manifest), keys, DataError
    )


def test_a_file_more_than_a_dataset_has_is_refused_even_where_it_is_signed(
    tmp_path: Path, keys: KeyRing
) -> None:
    folder = laid(tmp_path, keys, more={"weights.pkl": b"\x80"})
    assert "not a dataset of format 1" in refused(folder, keys, DataError)


def test_a_card_of_another_dataset_or_version_is_refused_even_where_it_is_signed(
    tmp_path: Path, keys: KeyRing
) -> None:
    folder = laid(tmp_path, keys, said={"name": "dogs", "version": "0" * 64})
    assert "not as dogs#000" in refused(folder, keys, SignatureMismatch)


def test_a_version_that_is_not_the_manifests_digest_is_refused_even_where_it_is_signed(
    tmp_path: Path, keys: KeyRing
) -> None:
    folder = laid(tmp_path, keys, subject="pets#" + "0" * 64)
    assert "not that version's" in refused(folder, keys, SignatureMismatch)


def test_the_blobs_are_looked_for_beside_the_folder_and_up_to_two_above_that(
    tmp_path: Path, keys: KeyRing
) -> None:
    folder = laid(tmp_path, keys)
    assert blobs_beside(folder) == tmp_path / "blobs"
    (folder.parent / "blobs").mkdir()
    assert blobs_beside(folder) == folder.parent / "blobs"
    assert "cannot be read" in refused(folder, keys, SignatureMismatch)  # there is none in it
    with pytest.raises(DataError, match="not here"):
        blobs_beside(tmp_path / "a" / "b" / "c" / "d" / "e")
    assert json.loads((folder / "card.json").read_bytes())["name"] == "pets"
