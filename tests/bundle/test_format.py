from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from mintage.bundle.format import Manifest, write_bundle
from mintage.core.errors import DataError
from mintage.trust.keys import KeyRing

from .conftest import Write, other_files


def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    for one in (
        manifest,
        replace(manifest, abstain_threshold=0.6, novelty={"mean": [1.0, 2.5]}, labels=("猫", "狗")),
    ):
        assert Manifest.from_bytes(one.to_bytes()) == one
        assert Manifest.from_json(json.loads(one.to_bytes())).to_bytes() == one.to_bytes()


def test_the_keys_are_those_that_the_document_names(manifest: Manifest) -> None:
    document = Path(__file__).parents[2] / "docs" / "formats" / "bundle.md"
    described = {
        line.split("`")[1] for line in document.read_text().splitlines() if line.startswith("| `")
    }
    content = manifest.to_json()
    assert set(content) == {"format", *(field.name for field in fields(Manifest))}
    assert set(content) <= described
    assert {"input.side", "input.parameters", "dataset.name", "dataset.version"} <= described


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('"seed":', '"seed":1,"seed":', "'seed' stands twice"),
        ('"side":', '"side":4000,"side":', "'side' stands twice"),
        ('"temperature":1', '"temperature":NaN', "NaN is not a JSON value"),
    ],
)
def test_a_manifest_that_names_a_member_twice_is_refused(
    manifest: Manifest, before: str, after: str, reason: str
) -> None:
    text = manifest.to_bytes().decode()
    assert before in text
    with pytest.raises(DataError, match=reason):
        Manifest.from_bytes(text.replace(before, after).encode())


def test_the_same_manifest_is_the_same_bytes_whatever_the_order(manifest: Manifest) -> None:
    turned = replace(manifest, recipe=dict(reversed(manifest.recipe.items())))
    assert turned.to_bytes() == manifest.to_bytes()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 0),
        ("format", True),
        ("format", "1"),
        ("modality", ""),
        ("task", 3),
        ("labels", "cat"),
        ("labels", ["cat", "cat"]),
        ("labels", [1, 2]),
        ("labels", [[]]),
        ("input", []),
        ("input", {"side": 28}),
        ("input", {"side": 28, "parameters": {}, "mean": 0}),
        ("input", {"side": 0, "parameters": {}}),
        ("input", {"side": 28.0, "parameters": {}}),
        ("temperature", 0),
        ("temperature", "1"),
        ("temperature", True),
        ("abstain_threshold", 0),
        ("abstain_threshold", 1.5),
        ("novelty", []),
        ("dataset", {"name": "pets"}),
        ("dataset", {"name": "pets", "version": ""}),
        ("recipe", None),
        ("metrics", []),
        ("seed", -1),
        ("seed", 1.0),
        ("libraries", {"torch": 2}),
    ],
)
def test_a_value_that_the_format_does_not_allow_is_named(
    manifest: Manifest, key: str, value: Any
) -> None:
    with pytest.raises(DataError, match=key):
        Manifest.from_json({**manifest.to_json(), key: value})


@pytest.mark.parametrize("key", ["format", *(field.name for field in fields(Manifest))])
def test_a_missing_key_is_named(manifest: Manifest, key: str) -> None:
    content = {k: v for k, v in manifest.to_json().items() if k != key}
    with pytest.raises(DataError, match=key):
        Manifest.from_json(content)


def test_an_unknown_key_is_named(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="'created_at' is not known"):
        Manifest.from_json({**manifest.to_json(), "created_at": "now"})


def test_a_newer_format_says_to_upgrade_even_with_keys_we_do_not_know(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="format 2") as caught:
        Manifest.from_json({**manifest.to_json(), "format": 2, "future": 1})
    assert "--upgrade" in caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_manifest_is_an_input_error(data: bytes) -> None:
    with pytest.raises(DataError):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_numbers_are_refused(manifest: Manifest, value: str) -> None:
    text = manifest.to_bytes().decode().replace('"temperature":1', f'"temperature":{value}')
    assert value in text
    with pytest.raises(DataError):
        Manifest.from_bytes(text.encode())


def test_a_manifest_that_could_not_be_read_again_is_not_written(manifest: Manifest) -> None:
    with pytest.raises(DataError, match="temperature"):
        replace(manifest, temperature=float("nan")).to_bytes()
    with pytest.raises(DataError):
        replace(manifest, metrics={"accuracy": float("nan")}).to_bytes()


def test_the_same_content_has_the_same_digest_whoever_signs_and_as_whatever(
    manifest: Manifest, tmp_path: Path, keys: KeyRing
) -> None:
    other = KeyRing(tmp_path / "other")
    files = other_files(b"model")
    digests = [
        write_bundle(tmp_path / name, manifest, files, ring.signer("bundle"), name)
        for ring, name in ((keys, "pets@1"), (keys, "pets@2"), (other, "dogs@1"))
    ]
    assert len(set(digests)) == 1
    changed = write_bundle(
        tmp_path / "x", replace(manifest, seed=1), files, keys.signer("bundle"), "x@1"
    )
    assert changed != digests[0]


def test_a_bundle_holds_its_files_and_nothing_else(write: Write) -> None:
    folder = write(**{"bom.json": b"{}"})
    assert sorted(path.name for path in folder.iterdir()) == [
        "bom.json",
        "bundle.json",
        "card.md",
        "evaluation.json",
        "model.onnx",
        "signature.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    "name", ["weights.pkl", "model.onnx.data", "signature.json", "bundle.json", "Card.md", "a/b"]
)
def test_a_file_that_is_not_a_bundles_is_not_written(
    manifest: Manifest, tmp_path: Path, keys: KeyRing, name: str
) -> None:
    files = {**other_files(b"model"), name: b""}
    with pytest.raises(DataError, match=name):
        write_bundle(tmp_path / "x", manifest, files, keys.signer("bundle"), "x@1")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["model.onnx", "card.md", "evaluation.json"])
def test_a_required_file_that_is_missing_is_named(
    manifest: Manifest, tmp_path: Path, keys: KeyRing, name: str
) -> None:
    files = other_files(b"model")
    del files[name]
    with pytest.raises(DataError, match=f"{name} is missing"):
        write_bundle(tmp_path / "x", manifest, files, keys.signer("bundle"), "x@1")
    assert not (tmp_path / "x").exists()
