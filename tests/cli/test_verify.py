"""``mintage verify``: models, datasets, folders; by a workspace's keys or by one that is given."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.terminal import Terminal

from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE, sign_files


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with no workspace near."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def public(home: Path, role: str, folder: Path) -> Path:
    path = folder / f"{role}.pub"
    path.write_bytes(KeyRing(home / "keys").signer(role).public_pem)  # type: ignore[arg-type]
    return path


def test_a_dataset_of_the_workspace_is_verified_with_every_blob(
    mintage: Terminal, home: Path
) -> None:
    found = mintage.json("verify", "pets#latest", "--home", home)
    assert found["kind"] == "dataset"
    assert found["dataset"] == f"pets#{found['version']}"
    assert found["examples"] == len(list((home / "blobs").glob("??/*")))
    assert found["bytes"] == sum(path.stat().st_size for path in (home / "blobs").glob("??/*"))
    assert found["files"] == ["card.json", "manifest.jsonl"]
    assert "is as it was signed" in mintage("verify", "pets#", "--home", home)
    blob = next((home / "blobs").glob("??/*"))
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    mintage("verify", "pets#latest", "--home", home, status=3)
    assert f"blob {blob.name[:12]}… was changed" in " ".join(mintage.err.split())
    blob.unlink()
    found = mintage.json("verify", "pets#latest", "--home", home, status=3)
    assert f"blob {blob.name[:12]}… cannot be read" in found["error"]["message"]


def test_a_copied_dataset_is_verified_with_nothing_but_the_makers_public_key(
    mintage: Terminal, home: Path, away: Path
) -> None:
    key = public(home, "data", away)
    (folder,) = (home / "datasets/pets").iterdir()
    copied = shutil.copytree(folder, away / "copied" / "datasets" / "pets" / folder.name)
    mintage("verify", copied, "--key", key, status=2)
    assert "The blobs of" in mintage.err
    shutil.copytree(home / "blobs", away / "copied" / "blobs")
    found = mintage.json("verify", copied, "--key", key)
    assert found["version"] == folder.name
    renamed = copied.rename(away / "copied" / "renamed")
    assert mintage.json("verify", renamed, "--key", key)["dataset"] == f"pets#{folder.name}"
    mintage("verify", renamed, "--key", public(home, "bundle", away), status=3)
    assert "None of the keys that were given is for the role data" in mintage.err
    assert "--key data.pub" in mintage.err
    mintage("verify", renamed, status=3)
    assert "No key is trusted here" in mintage.err
    assert sorted(each.name for each in away.iterdir()) == ["bundle.pub", "copied", "data.pub"]


def test_an_archive_and_a_bundles_folder_are_verified_outside_any_workspace(
    mintage: Terminal, home: Path, away: Path
) -> None:
    key = public(home, "bundle", away)
    mintage("export", "pets@1", "pets.mintage", "--home", home)
    shutil.copytree(home / "models/pets/1", away / "bundle")
    stranger = away / "stranger.pub"
    stranger.write_bytes(KeyRing(away / "keys").signer("bundle").public_pem)
    shutil.rmtree(away / "keys")
    for thing in ("pets.mintage", "bundle", "./bundle"):
        found = mintage.json("verify", thing, "--key", key)
        assert (found["kind"], found["model"]) == ("model", "pets@1")
        mintage("verify", thing, "--key", stranger, "--key", key)
        mintage("verify", thing, "--key", stranger, status=3)
        mintage("verify", thing, status=3)
    assert not (away / ".mintage").exists()
    # The workspace's own key counts for nothing where others are named.
    mintage("verify", away / "bundle", "--key", stranger, "--home", home, status=3)
    mintage("verify", "pets.mintage", "--key", home / "keys/bundle.pem", status=3)
    assert "private key" in mintage.err
    mintage("verify", "pets.mintage", "--key", "nothing.pub", status=2)


def test_a_name_without_a_workspace_is_told_and_none_is_made(mintage: Terminal, away: Path) -> None:
    for name in ("pets@1", "pets#latest", "pets"):
        mintage("verify", name, status=2)
        assert "no workspace" in mintage.err
    assert list(away.iterdir()) == []


def test_a_folder_that_was_signed_by_the_standard_is_verified_as_such(
    mintage: Terminal, tmp_path: Path, away: Path
) -> None:
    keys = KeyRing(tmp_path / "theirs")
    key = away / "maker.pub"
    key.write_bytes(keys.signer("bundle").public_pem)
    files = {"weights.bin": b"\0" * 100, "README.md": b"# theirs\n"}
    (away / "model").mkdir()
    for name, data in files.items():
        (away / "model" / name).write_bytes(data)
    signature = sign_files(files, "theirs", keys.signer("bundle"))
    (away / "model.sig").write_bytes(signature)
    found = mintage.json("verify", "model", "--signature", "model.sig", "--key", key)
    assert (found["kind"], found["subject"]) == ("folder", "theirs")
    assert found["files"] == sorted(files)
    (away / "model" / SIGNATURE_FILE).write_bytes(signature)
    assert mintage.json("verify", "model", "--key", key)["digest"] == found["digest"]
    (away / "model/.git").mkdir()
    refused = mintage.json("verify", "model", "--key", key, status=3)
    assert refused["error"]["code"] == "signature_mismatch"
    assert ".git/ is not signed" in refused["error"]["message"]
    assert json.loads(signature)  # the very file that was laid there
