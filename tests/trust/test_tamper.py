"""The tamper matrix: whatever is done to what was signed is refused, with its name and reason."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.tampering import changed_copies, each_refused, flips, refusal

from mintage.bundle.archive import pack
from mintage.bundle.format import Manifest, write_bundle
from mintage.bundle.loader import load
from mintage.capture.receipts import PAYLOAD_TYPE
from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.progress import Silent
from mintage.core.types import Example, InputSpec
from mintage.create.dataset import keep_dataset
from mintage.create.integrity import check_dataset
from mintage.store.workspace import Workspace
from mintage.trust import folders
from mintage.trust.dsse import open_envelope, sign_envelope
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.signing import SIGNATURE_FILE, sign_files, verify_files

SAMPLE = 200


@dataclass(frozen=True)
class Small:
    """A small bundle: its folder, its files without the signature, and its maker's keys."""

    folder: Path
    files: dict[str, bytes]
    signature: bytes
    keys: KeyRing

    def fresh(self) -> tuple[PublicKey, ...]:
        """The maker's key, read anew: no verifier is used twice."""
        return (PublicKey.from_pem(self.keys.signer("bundle").public_pem),)


def write_small(folder: Path, keys: KeyRing, *, seed: int, subject: str) -> Small:
    manifest = Manifest(
        modality="image",
        task="class",
        labels=("cats", "dogs"),
        input=InputSpec("image", 2, {"filter": "box"}),
        temperature=1.0,
        abstain_threshold=None,
        novelty=None,
        dataset={"name": "pets", "version": "ab" * 32},
        recipe={"candidate": "seed-cnn"},
        metrics={"accuracy": 0.75},
        seed=seed,
        libraries={"torch": "2.13.0"},
    )
    files = {
        "model.onnx": random.Random(seed).randbytes(200_000),
        "card.md": b"# pets\n",
        "evaluation.json": b'{"accuracy":0.75}',
        "bom.json": b'{"bomFormat":"CycloneDX"}',
    }
    write_bundle(folder, manifest, files, keys.signer("bundle"), subject)
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    signature = written.pop(SIGNATURE_FILE)
    return Small(folder, written, signature, keys)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    scratch = tmp_path_factory.mktemp("tamper")
    return write_small(scratch / "1", KeyRing(scratch / "keys"), seed=1, subject="pets@1")


def test_each_byte_of_a_bundles_manifest_counts(small: Small) -> None:
    # A model of no bytes, so that a thousand verifications hash next to nothing else.
    rest = {**small.files, "model.onnx": b""}
    signature = sign_files(rest, "pets@1", small.keys.signer("bundle"))

    def verify(data: bytes) -> None:
        verify_files({**rest, "bundle.json": data}, signature, small.fresh(), subject="pets@1")

    assert each_refused(rest["bundle.json"], verify) > 2 * len(rest["bundle.json"])


def test_each_byte_of_a_bundles_signature_counts(small: Small) -> None:
    rest = {**small.files, "model.onnx": b""}
    signature = sign_files(rest, "pets@1", small.keys.signer("bundle"))

    def verify(data: bytes) -> None:
        verify_files(rest, data, small.fresh(), subject="pets@1")

    assert each_refused(signature, verify) > 2 * len(signature)


@pytest.mark.parametrize("name", ["model.onnx", "card.md", "evaluation.json", "bom.json"])
def test_sampled_bytes_of_every_other_file_count(small: Small, name: str) -> None:
    def verify(data: bytes) -> None:
        verify_files({**small.files, name: data}, small.signature, small.fresh())

    assert each_refused(small.files[name], verify, sample=SAMPLE)


def test_whatever_is_done_to_a_bundles_folder_is_refused_by_name(
    small: Small, tmp_path: Path
) -> None:
    load(small.folder, small.keys, "pets@1")
    names = [*small.files, SIGNATURE_FILE]
    count = 0
    for what, folder in changed_copies(small.folder, tmp_path, names):
        keys = KeyRing(tmp_path / "keys" / str(count))
        (keys.trusted_folder).mkdir(parents=True)
        (keys.trusted_folder / "maker.pub").write_bytes(small.keys.signer("bundle").public_pem)
        refusal(what, lambda folder=folder, keys=keys: load(folder, keys, "pets@1"))  # type: ignore[misc]
        count += 1
    assert count > 60


def test_signatures_that_change_places_and_old_versions_under_new_names_are_refused(
    small: Small, tmp_path: Path
) -> None:
    other = write_small(tmp_path / "2", small.keys, seed=3, subject="pets@2")
    one = shutil.copytree(small.folder, tmp_path / "one")
    two = shutil.copytree(other.folder, tmp_path / "two")
    (one / SIGNATURE_FILE).write_bytes(other.signature)
    (two / SIGNATURE_FILE).write_bytes(small.signature)
    for folder, name in ((one, "pets@1"), (two, "pets@2")):
        assert "not as" in refusal(
            "another's signature", lambda f=folder, n=name: load(f, small.keys, n)
        )  # type: ignore[misc]
        said = refusal("another's signature", lambda f=folder: load(f, small.keys))  # type: ignore[misc]
        assert "bundle.json was changed" in said
    replayed = shutil.copytree(small.folder, tmp_path / "replayed")
    said = refusal("replay", lambda: load(replayed, small.keys, "pets@2"))
    assert "signed as pets@1, not as pets@2" in said


def test_the_signed_list_in_another_order_is_refused(small: Small) -> None:
    bundle = json.loads(small.signature)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"].reverse()
    payload = canonical_json(statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    reordered = canonical_json(bundle) + b"\n"
    refusal("reordered", lambda: verify_files(small.files, reordered, small.fresh()))
    unsorted = json.dumps(dict(reversed(json.loads(small.signature).items()))).encode()
    refusal("respelled", lambda: verify_files(small.files, unsorted, small.fresh()))


def test_sampled_bytes_of_an_archive_count(small: Small, tmp_path: Path) -> None:
    path = tmp_path / "pets.mintage"
    whole = pack({**small.files, SIGNATURE_FILE: small.signature})
    path.write_bytes(whole)
    load(path, small.keys, "pets@1")
    for what, changed in flips(whole, sample=SAMPLE):
        path.write_bytes(changed)
        # An archive that is none is bad input; one that is, is not what was signed.
        try:
            load(path, small.keys, "pets@1")
        except (SignatureMismatch, DataError):
            continue
        pytest.fail(f"{what}: accepted")


def test_what_is_loaded_are_the_bytes_that_were_hashed_whatever_the_file_is_by_then(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(small.folder, tmp_path / "bundle"))
    opened: list[str] = []
    really = os.open

    def swapped_at_once(path: object, *rest: int) -> int:
        """Each file becomes another as soon as it is open: what is read later is not it."""
        descriptor = really(path, *rest)  # type: ignore[arg-type]
        opened.append(Path(str(path)).name)
        evil = tmp_path / "evil"
        evil.write_bytes(b"evil")
        evil.rename(str(path))
        return descriptor

    monkeypatch.setattr(folders.os, "open", swapped_at_once)
    bundle = load(folder, GivenOnly(small.fresh()), "pets@1")
    monkeypatch.undo()
    assert bundle.model == small.files["model.onnx"]
    assert dict(bundle.files) == small.files
    assert sorted(opened) == sorted([*small.files, SIGNATURE_FILE])  # and each once
    assert (folder / "model.onnx").read_bytes() == b"evil"
    refusal("the next time", lambda: load(folder, small.keys, "pets@1"))


@dataclass(frozen=True)
class GivenOnly:
    """Keys that are read from no file, so that only the bundle's files are opened."""

    keys: tuple[PublicKey, ...]

    def public_keys(self, role: str) -> tuple[PublicKey, ...]:
        return self.keys


@pytest.fixture
def database_url() -> None:
    """What is signed lies in files: one kind of database is enough."""


CARD = {
    "modality": "image",
    "task": "class",
    "source": {"kind": "folder", "name": "photos"},
    "about": {"licence": "CC0", "consent": "", "origin": ""},
}


@dataclass(frozen=True)
class Data:
    """A dataset of twelve small blobs."""

    home: Path
    folder: Path
    keys: KeyRing

    @property
    def subject(self) -> str:
        return f"pets#{self.folder.name}"

    def check(self, folder: Path | None = None, blobs: Path | None = None) -> None:
        keys = (PublicKey.from_pem(self.keys.signer("data").public_pem),)
        where = folder or self.folder
        check_dataset(where, blobs or self.home / "blobs", keys, Silent(), subject=self.subject)


@pytest.fixture
def data(workspace: Workspace) -> Data:
    keys = KeyRing(workspace.key_folder)
    examples = []
    for number in range(12):
        content = random.Random(number).randbytes(3000)
        digest = hashlib.sha256(content).hexdigest()
        workspace.blobs_of("pets").put(digest, content)
        path = f"cats/{number}.jpg"
        examples.append(Example(digest, path, "cats", "train", None, digest, size=(30, 20)))
    examples.sort(key=lambda each: each.sha256)
    folder = keep_dataset(workspace, keys, "pets", examples, CARD)
    return Data(workspace.home, folder, keys)


@pytest.mark.parametrize("name", ["manifest.jsonl", "card.json", SIGNATURE_FILE])
def test_each_byte_of_a_datasets_files_counts(data: Data, name: str) -> None:
    content = {path.name: path.read_bytes() for path in data.folder.iterdir()}
    key = (PublicKey.from_pem(data.keys.signer("data").public_pem),)

    def verify(changed: bytes) -> None:
        files = {**content, name: changed}
        signature = files.pop(SIGNATURE_FILE)
        verify_files(files, signature, key, subject=data.subject)

    assert each_refused(content[name], verify) > 2 * len(content[name])


def test_whatever_is_done_to_a_datasets_folder_is_refused_by_name(
    data: Data, tmp_path: Path
) -> None:
    data.check()
    names = [path.name for path in data.folder.iterdir()]
    count = 0
    for what, folder in changed_copies(data.folder, tmp_path / "changed", names):
        refusal(what, lambda folder=folder: data.check(folder))  # type: ignore[misc]
        count += 1
    lines = (data.folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    for what, kept in (("reordered", lines[::-1]), ("shortened", lines[1:])):
        copy = Path(shutil.copytree(data.folder, tmp_path / what))
        (copy / "manifest.jsonl").write_bytes(b"".join(kept))
        assert "manifest.jsonl was changed" in refusal(what, lambda copy=copy: data.check(copy))  # type: ignore[misc]
    assert count > 40


def test_whatever_is_done_to_a_blob_is_refused_by_name(data: Data, tmp_path: Path) -> None:
    blobs = data.home / "blobs"
    path, other = sorted(blobs.glob("??/*"))[:2]
    short = path.name[:12]
    original = path.read_bytes()

    def verify(changed: bytes) -> None:
        path.write_bytes(changed)
        data.check()

    assert each_refused(original, verify, sample=30) > 60
    path.write_bytes(other.read_bytes())
    assert f"blob {short}… was changed" in refusal("swapped", data.check)
    path.unlink()
    assert f"blob {short}… cannot be read" in refusal("removed", data.check)
    (tmp_path / "elsewhere").write_bytes(original)
    path.symlink_to(tmp_path / "elsewhere")
    assert f"blob {short}… cannot be read" in refusal("linked", data.check)
    path.unlink()
    os.mkfifo(path)
    assert short in refusal("a pipe", data.check)
    path.unlink()
    path.mkdir()
    assert short in refusal("a folder", data.check)
    path.rmdir()
    path.write_bytes(original)
    data.check()
    path.parent.rename(tmp_path / "moved")
    path.parent.symlink_to(tmp_path / "moved")
    assert f"blobs/{path.parent.name} is a symbolic link" in refusal("linked folder", data.check)


def test_a_dataset_under_another_ones_name_or_version_is_refused(data: Data) -> None:
    key = (PublicKey.from_pem(data.keys.signer("data").public_pem),)
    for subject in ("dogs#" + data.folder.name, "pets#" + "0" * 64):
        said = refusal(
            "renamed",
            lambda subject=subject: check_dataset(  # type: ignore[misc]
                data.folder, data.home / "blobs", key, Silent(), subject=subject
            ),
        )
        assert "not as" in said


def test_each_byte_that_a_receipt_promises_counts(tmp_path: Path) -> None:
    keys = KeyRing(tmp_path / "keys")
    promise = canonical_json({"event": "evt_1", "price": "0.02", "currency": "EUR", "version": 1})
    envelope = sign_envelope(promise, PAYLOAD_TYPE, keys.signer("receipt"))
    key = (PublicKey.from_pem(keys.signer("receipt").public_pem),)

    def opens(changed: dict[str, object]) -> None:
        open_envelope(changed, PAYLOAD_TYPE, key)

    signed = envelope["signatures"][0]
    for name in ("payload", "payloadType"):
        each_refused(
            envelope[name].encode(),
            lambda text, name=name: opens({**envelope, name: text.decode("latin-1")}),  # type: ignore[misc]
        )
    each_refused(
        signed["sig"].encode(),
        lambda text: opens({**envelope, "signatures": [{**signed, "sig": text.decode("latin-1")}]}),
    )
    # What the hint says decides nothing, by DSSE: whatever it is, the promise is the same.
    for __, text in flips(signed["keyid"].encode()):
        hinted = {**signed, "keyid": text.decode("latin-1")}
        assert open_envelope({**envelope, "signatures": [hinted]}, PAYLOAD_TYPE, key) == promise
