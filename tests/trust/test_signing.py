from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, SignatureMismatch
from mintage.trust import signing
from mintage.trust.dsse import sign_envelope
from mintage.trust.keys import KeyRing
from mintage.trust.signing import SIGNATURE_FILE, sign_files, verify_files, verify_folder

from .conftest import FILES, write_signed


def refused(folder: Path, keys: KeyRing, subject: str | None = None) -> str:
    with pytest.raises(SignatureMismatch) as caught:
        verify_folder(folder, keys.public_keys("bundle"), subject=subject)
    assert caught.value.exit_status == 3
    assert caught.value.remedy
    return caught.value.message


def statement_of(signature: bytes) -> Any:
    return json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))


def resigned(keys: KeyRing, statement: Any) -> bytes:
    """A genuine signature of our own key over any statement whatever."""
    signer = keys.signer("bundle")
    envelope = sign_envelope(canonical_json(statement), signing.PAYLOAD_TYPE, signer)
    return signing._packed(envelope, signer.public)


def test_a_signed_folder_verifies_and_gives_the_bytes_that_were_hashed(
    signed: Path, keys: KeyRing
) -> None:
    verified = verify_folder(signed, keys.public_keys("bundle"), subject="pets@3")
    assert dict(verified.files) == FILES
    assert verified.subject == "pets@3"
    assert verified.key_id == keys.signer("bundle").key_id
    lines = sorted(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in FILES.items())
    assert verified.digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_digest_counts_names_where_the_standards_own_does_not(keys: KeyRing) -> None:
    signer = keys.signer("bundle")
    one, two = ({"a": b"1", "b": b"2"}, {"a2": b"1", "b2": b"2"})
    signatures = [sign_files(files, "x@1", signer) for files in (one, two)]
    subjects = [statement_of(signature)["subject"][0]["digest"] for signature in signatures]
    assert subjects[0] == subjects[1]
    digests = {
        verify_files(files, signature, keys.public_keys("bundle")).digest
        for files, signature in zip((one, two), signatures, strict=True)
    }
    assert len(digests) == 2


def test_each_file_is_read_once(
    signed: Path, keys: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    really_open = os.open

    def counting(path: Any, *rest: Any) -> int:
        opened.append(str(path))
        return really_open(path, *rest)

    public = keys.public_keys("bundle")
    monkeypatch.setattr(signing.os, "open", counting)
    verify_folder(signed, public)
    assert sorted(opened) == sorted(str(signed / name) for name in (*FILES, SIGNATURE_FILE))


def flipped(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        for bit in (0, 5):  # 5: the bit that turns upper case into lower
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            yield bytes(changed)


@pytest.mark.parametrize("name", FILES)
def test_any_byte_flipped_in_any_file_is_found(signed: Path, keys: KeyRing, name: str) -> None:
    path = signed / name
    original = path.read_bytes()
    public = keys.public_keys("bundle")
    for changed in flipped(original):
        path.write_bytes(changed)
        with pytest.raises(SignatureMismatch, match=f"{re.escape(name)} was changed"):
            verify_folder(signed, public)
    path.write_bytes(original)
    verify_folder(signed, public)


def test_any_byte_flipped_in_the_signature_itself_is_found(signed: Path, keys: KeyRing) -> None:
    original = (signed / SIGNATURE_FILE).read_bytes()
    public = keys.public_keys("bundle")
    for changed in flipped(original):
        with pytest.raises(SignatureMismatch):
            verify_files(FILES, changed, public)
    (signed / SIGNATURE_FILE).write_bytes(changed)
    refused(signed, keys)


@pytest.mark.parametrize("name", [*FILES, SIGNATURE_FILE])
@pytest.mark.parametrize(
    "change",
    [lambda data: data + b" ", lambda data: data[:-1], lambda data: b"", lambda data: b" " + data],
    ids=["longer", "shorter", "emptied", "shifted"],
)
def test_a_file_of_another_length_is_found(
    signed: Path, keys: KeyRing, name: str, change: Callable[[bytes], bytes]
) -> None:
    (signed / name).write_bytes(change((signed / name).read_bytes()))
    assert name in refused(signed, keys)


@pytest.mark.parametrize("name", FILES)
def test_a_file_removed_is_named_as_missing(signed: Path, keys: KeyRing, name: str) -> None:
    (signed / name).unlink()
    assert f"{name} is missing" in refused(signed, keys)


def test_without_its_signature_a_folder_is_unsigned(signed: Path, keys: KeyRing) -> None:
    (signed / SIGNATURE_FILE).unlink()
    assert "not signed" in refused(signed, keys)


@pytest.mark.parametrize("name", FILES)
def test_a_file_renamed_is_missing_here_and_unsigned_there(
    signed: Path, keys: KeyRing, name: str
) -> None:
    (signed / name).rename(signed / f"{name}2")
    message = refused(signed, keys)
    assert f"{name} is missing" in message
    assert f"{name}2 is not signed" in message


def test_two_files_that_change_places_are_both_changed(signed: Path, keys: KeyRing) -> None:
    (signed / "card.md").rename(signed / "x")
    (signed / "model.onnx").rename(signed / "card.md")
    (signed / "x").rename(signed / "model.onnx")
    message = refused(signed, keys)
    assert "card.md was changed" in message
    assert "model.onnx was changed" in message


@pytest.mark.parametrize(
    "name",
    [
        "extra.txt",
        ".hidden",
        ".gitignore",
        ".git/config",
        ".github/workflow.yml",
        "parts/.hidden",
        "new/folder/file",
        "model.onnx.data",
        "signature.json.bak",
        "parts/signature.json",
    ],
)
def test_a_file_added_anywhere_is_named_as_not_signed(
    signed: Path, keys: KeyRing, name: str
) -> None:
    (signed / name).parent.mkdir(parents=True, exist_ok=True)
    (signed / name).write_bytes(b"")
    assert f"{name.split('/', maxsplit=1)[0]}" in (message := refused(signed, keys))
    assert "is not signed" in message


@pytest.mark.parametrize("name", ["empty", ".git", "parts/empty"])
def test_an_empty_folder_added_is_found(signed: Path, keys: KeyRing, name: str) -> None:
    (signed / name).mkdir()
    assert f"{name}/ is not signed" in refused(signed, keys)


@pytest.mark.parametrize("name", ["Model.onnx", "CARD.md", "Signature.json", "parts/Labels.txt"])
def test_a_second_file_that_differs_in_case_alone_is_found(
    signed: Path, keys: KeyRing, name: str
) -> None:
    (signed / name).write_bytes(b"")
    assert f"{name} is not signed" in refused(signed, keys)


@pytest.mark.parametrize("name", [*FILES, SIGNATURE_FILE])
def test_a_link_in_a_files_place_is_refused_even_to_the_same_bytes(
    signed: Path, keys: KeyRing, tmp_path: Path, name: str
) -> None:
    (signed / name).rename(tmp_path / "elsewhere")
    (signed / name).symlink_to(tmp_path / "elsewhere")
    assert name in refused(signed, keys)


def test_a_link_in_a_folders_place_is_refused(signed: Path, keys: KeyRing, tmp_path: Path) -> None:
    (signed / "parts").rename(tmp_path / "elsewhere")
    (signed / "parts").symlink_to(tmp_path / "elsewhere")
    assert "parts is a symbolic link" in refused(signed, keys)


def test_a_link_to_nowhere_is_refused(signed: Path, keys: KeyRing, tmp_path: Path) -> None:
    (signed / "nowhere").symlink_to(tmp_path / "missing")
    assert "nowhere is a symbolic link" in refused(signed, keys)


@pytest.mark.parametrize("name", ["model.onnx", "pipe", SIGNATURE_FILE])
def test_a_pipe_is_refused_and_not_waited_for(signed: Path, keys: KeyRing, name: str) -> None:
    (signed / name).unlink(missing_ok=True)
    os.mkfifo(signed / name)
    assert name in refused(signed, keys)


def test_a_folder_in_a_files_place_is_refused(signed: Path, keys: KeyRing) -> None:
    (signed / "card.md").unlink()
    (signed / "card.md").mkdir()
    assert "card.md is missing" in refused(signed, keys)
    shutil.rmtree(signed / "card.md")
    (signed / SIGNATURE_FILE).unlink()
    (signed / SIGNATURE_FILE).mkdir()
    assert SIGNATURE_FILE in refused(signed, keys)


def test_a_name_that_is_not_utf8_is_refused_in_words_that_can_be_printed(
    signed: Path, keys: KeyRing
) -> None:
    Path(os.fsdecode(os.fsencode(signed) + b"/bad\xff\x1b[2J")).write_bytes(b"")
    message = refused(signed, keys)
    assert "is not signed" in message
    assert message.encode().isascii()
    assert message.isprintable()


def test_many_differences_are_counted_and_the_first_named(signed: Path, keys: KeyRing) -> None:
    for number in range(20):
        (signed / f"extra{number:02}").touch()
    message = refused(signed, keys)
    assert "extra04 is not signed; and 15 more" in message


def test_the_signature_of_another_folder_is_refused_by_the_same_keys(
    signed: Path, keys: KeyRing, tmp_path: Path
) -> None:
    other = write_signed(tmp_path / "dogs", {**FILES, "card.md": b"# Dogs\n"}, "dogs@1", keys)
    public = keys.public_keys("bundle")
    for _ in range(2):  # the same objects, again and again: nothing is remembered
        verify_folder(signed, public)
        verify_folder(other, public)
    ours, theirs = signed / SIGNATURE_FILE, other / SIGNATURE_FILE
    first, second = ours.read_bytes(), theirs.read_bytes()
    ours.write_bytes(second)
    theirs.write_bytes(first)
    for folder in (signed, other):
        with pytest.raises(SignatureMismatch, match=r"card\.md was changed"):
            verify_folder(folder, public)


def test_a_file_that_another_folder_signed_is_refused_here_by_the_same_keys(
    signed: Path, keys: KeyRing, tmp_path: Path
) -> None:
    other = write_signed(tmp_path / "dogs", {**FILES, "extra": b""}, "dogs@1", keys)
    public = keys.public_keys("bundle")
    verify_folder(other, public)
    (signed / "extra").write_bytes(b"")
    with pytest.raises(SignatureMismatch, match="extra is not signed"):
        verify_folder(signed, public)


def test_an_honest_signature_for_another_name_is_refused_where_a_name_is_asked_for(
    keys: KeyRing, tmp_path: Path
) -> None:
    folder = write_signed(tmp_path / "x", FILES, "pets@2", keys)
    assert verify_folder(folder, keys.public_keys("bundle")).subject == "pets@2"
    message = refused(folder, keys, "pets@3")
    assert "pets@2" in message
    assert "pets@3" in message


def test_a_strangers_signature_is_refused_until_the_stranger_is_trusted(
    tmp_path: Path, keys: KeyRing
) -> None:
    stranger = KeyRing(tmp_path / "stranger")
    folder = write_signed(tmp_path / "theirs", FILES, "pets@3", stranger)
    keys.signer("bundle")
    assert "no trusted key" in refused(folder, keys)
    (tmp_path / "keys" / "trusted").mkdir()
    (tmp_path / "keys/trusted/stranger.pub").write_bytes(stranger.signer("bundle").public_pem)
    verified = verify_folder(folder, keys.public_keys("bundle"))
    assert verified.key_id == stranger.signer("bundle").key_id


def test_the_data_key_does_not_sign_bundles(tmp_path: Path, keys: KeyRing) -> None:
    keys.signer("bundle")
    signature = sign_files(FILES, "pets@3", keys.signer("data"))
    with pytest.raises(SignatureMismatch):
        verify_files(FILES, signature, keys.public_keys("bundle"))


def test_with_no_key_at_all_nothing_verifies(signed: Path, tmp_path: Path) -> None:
    assert "No key is trusted" in refused(signed, KeyRing(tmp_path / "none"))


def _outside(edit: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def change(signature: bytes) -> bytes:
        bundle = json.loads(signature)
        edit(bundle)
        return canonical_json(bundle) + b"\n"

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: signature.rstrip(),
        lambda signature: b" " + signature,
        lambda signature: json.dumps(json.loads(signature), indent=1).encode(),
        lambda signature: signature.replace(b'{"', b'{"a":1,"', 1),
        lambda signature: b"[" * 100_000,
        lambda signature: b"null",
        lambda signature: b"\xff",
        _outside(lambda bundle: bundle.update(mediaType="application/json")),
        _outside(lambda bundle: bundle["verificationMaterial"].update(tlogEntries=[{}])),
        _outside(lambda bundle: bundle["verificationMaterial"]["publicKey"].update(hint="00")),
        _outside(lambda bundle: bundle["dsseEnvelope"]["signatures"][0].update(keyid="00")),
        _outside(lambda bundle: bundle["dsseEnvelope"].update(extra=1)),
        _outside(
            lambda bundle: bundle["dsseEnvelope"]["signatures"].append(
                dict(bundle["dsseEnvelope"]["signatures"][0])
            )
        ),
        _outside(lambda bundle: bundle["dsseEnvelope"]["signatures"].clear()),
    ],
)
def test_signature_json_has_one_spelling(keys: KeyRing, change: Callable[[bytes], bytes]) -> None:
    signature = sign_files(FILES, "pets@3", keys.signer("bundle"))
    verify_files(FILES, signature, keys.public_keys("bundle"))
    with pytest.raises(SignatureMismatch):
        verify_files(FILES, change(signature), keys.public_keys("bundle"))


def _resources(statement: Any) -> Any:
    return statement["predicate"]["resources"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: _resources(s).reverse(),
        lambda s: _resources(s).append(_resources(s)[0]),
        lambda s: _resources(s).clear(),
        lambda s: _resources(s)[0].update(algorithm="blake3"),
        lambda s: _resources(s)[0].update(digest="zz"),
        lambda s: _resources(s)[0].update(digest=_resources(s)[0]["digest"].upper()),
        lambda s: _resources(s)[0].update(digest=1),
        lambda s: _resources(s)[0].update(name=1),
        lambda s: _resources(s)[0].update(extra=1),
        lambda s: s["predicate"]["serialization"].update(ignore_paths=["extra"]),
        lambda s: s["predicate"]["serialization"].update(ignore_paths=[".git", SIGNATURE_FILE]),
        lambda s: s["predicate"]["serialization"].update(allow_symlinks=True),
        lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=1),
        lambda s: s["predicate"]["serialization"].update(hash_type="blake2b"),
        lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s["subject"].clear(),
        lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
        lambda s: s["subject"][0].update(name=3),
        lambda s: s.pop("predicate"),
    ],
)
def test_a_genuine_signature_over_another_kind_of_statement_is_refused(
    keys: KeyRing, edit: Callable[[Any], object]
) -> None:
    statement = statement_of(sign_files(FILES, "pets@3", keys.signer("bundle")))
    verify_files(FILES, resigned(keys, statement), keys.public_keys("bundle"))  # the control
    edit(statement)
    with pytest.raises(SignatureMismatch):
        verify_files(FILES, resigned(keys, statement), keys.public_keys("bundle"))


BAD_NAMES = [
    "../evil",
    "/etc/passwd",
    "a/../b",
    "a//b",
    "./a",
    "a/",
    "",
    "a\\b",
    "C:evil",
    "a\nb",
    "a\x00b",
    SIGNATURE_FILE,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_an_unsafe_name_is_neither_signed_nor_believed(keys: KeyRing, name: str) -> None:
    files = {"good": b"", name: b"x"}
    with pytest.raises(DataError):
        sign_files(files, "x@1", keys.signer("bundle"))
    digests = {key: hashlib.sha256(data).hexdigest() for key, data in files.items()}
    signature = resigned(keys, signing._statement("x@1", digests))
    with pytest.raises(SignatureMismatch, match="cannot be believed"):
        verify_files(files, signature, keys.public_keys("bundle"))


@pytest.mark.parametrize(
    "pair", [("a.txt", "A.txt"), ("stra\u00dfe", "STRASSE"), ("\u00e9", "e\u0301")]
)
def test_names_that_would_be_one_file_elsewhere_are_neither_signed_nor_believed(
    keys: KeyRing, pair: tuple[str, str]
) -> None:
    files = dict.fromkeys(pair, b"")
    with pytest.raises(DataError, match="one file"):
        sign_files(files, "x@1", keys.signer("bundle"))
    digests = dict.fromkeys(pair, hashlib.sha256(b"").hexdigest())
    with pytest.raises(SignatureMismatch, match="one file"):
        verify_files(
            files, resigned(keys, signing._statement("x@1", digests)), keys.public_keys("bundle")
        )


def test_nothing_is_not_signed(keys: KeyRing) -> None:
    with pytest.raises(DataError, match="no files"):
        sign_files({}, "x@1", keys.signer("bundle"))


def test_a_folder_that_is_not_there_is_an_input_error(tmp_path: Path, keys: KeyRing) -> None:
    with pytest.raises(DataError):
        verify_folder(tmp_path / "nowhere", keys.public_keys("bundle"))


_NAMES = st.text("abcdefgh", min_size=1, max_size=4)
_FOLDERS = st.dictionaries(_NAMES, st.binary(max_size=20), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def module_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("signing") / "keys")


@settings(deadline=None, max_examples=60)
@given(first=_FOLDERS, second=_FOLDERS)
def test_a_signature_fits_exactly_the_files_it_was_made_for(
    module_keys: KeyRing, first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    signature = sign_files(first, "x@1", module_keys.signer("bundle"))
    public = module_keys.public_keys("bundle")
    assert dict(verify_files(first, signature, public).files) == first
    if first != second:
        with pytest.raises(SignatureMismatch):
            verify_files(second, signature, public)


def test_our_signature_fits_the_published_schemas(keys: KeyRing, shared_vectors: Path) -> None:
    folder = shared_vectors / "model-signing" / "schemas" / "v1.0"
    schemas = {path.name.split(".")[0]: json.loads(path.read_text()) for path in folder.iterdir()}
    registry = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()]
    )
    signature = sign_files(FILES, "pets@3", keys.signer("bundle"))
    statement = statement_of(signature)

    def check(kind: str, value: Any) -> None:
        jsonschema.Draft202012Validator(schemas[kind], registry=registry).validate(value)

    check("bundle", json.loads(signature))
    check("statement", statement)
    statement["subject"].append(statement["subject"][0])
    with pytest.raises(jsonschema.ValidationError):
        check("statement", statement)


def test_the_digest_of_the_whole_is_the_standards(shared_vectors: Path) -> None:
    folder = shared_vectors / "model-signing" / "test-vectors" / "v1.0" / "valid"
    for kind in ("key", "certificate", "sigstore"):
        statement = statement_of((folder / f"{kind}.bundle.json").read_bytes())
        subject = statement["subject"][0]
        digests = {item["name"]: item["digest"] for item in _resources(statement)}
        assert signing._statement(subject["name"], digests)["subject"] == [subject]
