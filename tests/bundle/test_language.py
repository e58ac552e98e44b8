"""A language model's bundle: every byte of it is what was signed, and nothing lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.language_bundle import FILES, MANIFEST, weights

from mintage.bundle.language import (
    LanguageManifest,
    check_names,
    is_language,
    load_language,
    write_language_bundle,
)
from mintage.core.errors import DataError, SignatureMismatch
from mintage.trust.keys import KeyRing


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def written(keys: KeyRing, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("models") / "1"
    digest = write_language_bundle(folder, MANIFEST, FILES, keys.signer("bundle"), "chats@1")
    return folder, digest


def test_what_was_written_is_read(written: tuple[Path, str], keys: KeyRing) -> None:
    folder, digest = written
    found = load_language(folder, keys, "chats@1")
    assert (found.manifest, found.digest, found.subject) == (MANIFEST, digest, "chats@1")
    assert found.evaluation == {"loss": 1.5}
    assert set(found.digests) == {*FILES, "bundle.json"}
    assert is_language(folder)
    with pytest.raises(SignatureMismatch, match="not as chats@2"):
        load_language(folder, keys, "chats@2")


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_byte_of_every_file_counts(
    written: tuple[Path, str], keys: KeyRing, data: st.DataObject
) -> None:
    folder, __ = written
    path = folder / data.draw(st.sampled_from([*FILES, "bundle.json", "signature.json"]))
    before = path.read_bytes()
    position = data.draw(st.integers(0, len(before) - 1))
    changed = bytearray(before)
    changed[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(SignatureMismatch):
            load_language(folder, keys)
    finally:
        path.write_bytes(before)


def test_files_added_removed_swapped_or_linked_are_refused(keys: KeyRing, tmp_path: Path) -> None:
    def fresh(name: str) -> Path:
        folder = tmp_path / name / "1"
        write_language_bundle(folder, MANIFEST, FILES, keys.signer("bundle"), "chats@1")
        return folder

    added = fresh("added")
    (added / "modeling_tiny.py").write_text("import os")
    with pytest.raises(SignatureMismatch, match=r"modeling_tiny.py is not signed"):
        load_language(added, keys)
    removed = fresh("removed")
    (removed / "model.safetensors").unlink()
    with pytest.raises(SignatureMismatch, match=r"model.safetensors is missing"):
        load_language(removed, keys)
    swapped = fresh("swapped")
    (swapped / "config.json").write_bytes(FILES["card.md"])
    with pytest.raises(SignatureMismatch, match=r"config.json was changed"):
        load_language(swapped, keys)
    linked = fresh("linked")
    (linked / "config.json").unlink()
    (linked / "config.json").symlink_to(linked / "tokenizer.json")
    with pytest.raises(SignatureMismatch, match="symbolic link"):
        load_language(linked, keys)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x04\x95" + bytes(100), "model.safetensors: a pickle"),
        (weights() + b"more", "model.safetensors: more comes after its tensors"),
        (weights()[:-1], "model.safetensors: it ends before its tensors do"),
        (
            weights(b"\xff" * 8).replace(b'"U8", "shape": [8]', b'"F64","shape": [1]'),
            "no finite number",
        ),
    ],
)
def test_weights_that_are_not_safe_to_read_are_refused_though_they_are_signed(
    data: bytes, reason: str, keys: KeyRing, tmp_path: Path
) -> None:
    folder = tmp_path / "chats" / "1"
    files = FILES | {"model.safetensors": data}
    write_language_bundle(folder, MANIFEST, files, keys.signer("bundle"), "chats@1")
    with pytest.raises(DataError, match=reason):
        load_language(folder, keys, "chats@1")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({*FILES, "bundle.json"} - {"config.json"}, "config.json is missing"),
        ({*FILES, "bundle.json"} - {"model.safetensors"}, "model.safetensors is missing"),
        ({*FILES, "bundle.json", "pytorch_model.bin"}, "pytorch_model.bin does not belong"),
        ({*FILES, "bundle.json", "code.py"}, "code.py does not belong"),
    ],
)
def test_only_weights_and_what_reads_them_belong_to_it(names: set[str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        check_names(names)


def test_weights_in_parts_belong_to_it_too() -> None:
    parts = {f"model-0000{i}-of-00002.safetensors" for i in (1, 2)}
    check_names({*FILES, "bundle.json", *parts, "model.safetensors.index.json"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": 2}, "reads up to 1"),
        ({"task": "class"}, "of no language model"),
        ({"more": 1}, "unknown or missing: more"),
        ({"base": {"name": "x"}}, "'base' is"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(change: dict[str, object], reason: str) -> None:
    content = {**json.loads(MANIFEST.to_bytes()), **change}
    with pytest.raises(DataError, match=reason):
        LanguageManifest.from_bytes(json.dumps(content).encode())
    for data in (b"{", b"[]", b"[" * 100_000):
        with pytest.raises(DataError, match="not an object"):
            LanguageManifest.from_bytes(data)


def test_a_folder_that_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    assert not is_language(tmp_path)
    (tmp_path / "bundle.json").write_text('{"task": "class"}')
    assert not is_language(tmp_path)
    (tmp_path / "bundle.json").write_text("{")
    assert not is_language(tmp_path)
