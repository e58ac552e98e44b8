"""Signatures of others by OpenSSF Model Signing, and ours in the hands of their tool."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from referencing import Registry, Resource
from tests import model_signing
from tests.tampering import mutations

from mintage.core.canonical import canonical_json
from mintage.core.errors import DataError, SignatureMismatch
from mintage.core.types import Example
from mintage.create.dataset import keep_dataset
from mintage.store.workspace import Workspace
from mintage.trust import signing
from mintage.trust.dsse import sign_envelope
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.signing import SIGNATURE_FILE, CheckedFolder
from mintage.trust.standard import check_standard, signature_beside

from .conftest import FILES

VALID = Path("model-signing/test-vectors/v1.0/valid")
VECTOR = {"signme-1": b"signme-1\n", "signme-2": b"signme-2"}
"""What was signed in the vectors made with a key and with a certificate; see their digests."""


@pytest.fixture
def vector_key(shared_vectors: Path) -> PublicKey:
    """The key's own file is not among the vectors, but a certificate has the same key."""
    bundle = json.loads((shared_vectors / VALID / "certificate.bundle.json").read_text())
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0]["rawBytes"]))
    return PublicKey(certificate.public_key())  # type: ignore[arg-type]


def laid(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def refused(folder: Path, keys: list[PublicKey], signature: Path | None = None) -> str:
    with pytest.raises(SignatureMismatch) as caught:
        check_standard(folder, signature or folder / "model.sig", keys)
    assert caught.value.remedy
    return str(caught.value)


def test_the_published_vector_made_with_a_key_verifies(
    shared_vectors: Path, vector_key: PublicKey, tmp_path: Path
) -> None:
    content = (shared_vectors / VALID / "key.bundle.json").read_bytes()
    folder = laid(tmp_path / "model", {**VECTOR, "model.sig": content})
    found = check_standard(folder, folder / "model.sig", [vector_key])
    assert (found.subject, found.key_id) == ("model", vector_key.key_id)
    assert dict(found.digests) == {
        name: hashlib.sha256(data).hexdigest() for name, data in VECTOR.items()
    }
    # Its list says that these may be ignored; here nothing is.
    for name in ("ignore-me", ".gitignore", ".git/config"):
        beside = laid(
            tmp_path / name.replace("/", "-"), {**VECTOR, name: b"", "model.sig": content}
        )
        assert "is not signed" in refused(beside, [vector_key])
    (folder / "signme-1").write_bytes(b"signme-2\n")
    assert "signme-1 was changed" in refused(folder, [vector_key])


@pytest.mark.parametrize("kind", ["certificate", "sigstore"])
def test_a_published_vector_made_with_a_certificate_is_refused_as_that(
    shared_vectors: Path, vector_key: PublicKey, tmp_path: Path, kind: str
) -> None:
    content = (shared_vectors / VALID / f"{kind}.bundle.json").read_bytes()
    folder = laid(tmp_path / "model", {**VECTOR, "model.sig": content})
    assert "signed with a certificate" in refused(folder, [vector_key])


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def written(folder: Path, name: str, key: ec.EllipticCurvePrivateKey) -> tuple[Path, PublicKey]:
    """The private key as a file outside the folder, and its public half."""
    path = folder / name
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path, PublicKey(key.public_key())


@pytest.mark.parametrize("how", ["file", "blake2b", "shard"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_ours_verifies_what_the_reference_tool_signs_and_refuses_it_once_changed(
    tmp_path: Path, signing_key: ec.EllipticCurvePrivateKey, how: str, inside: bool
) -> None:
    folder = laid(tmp_path / "theirs", FILES)
    signature = (folder if inside else tmp_path) / "model.sig"
    private, public = written(tmp_path, "k.pem", signing_key)
    model_signing.sign(folder, signature, private, how=how)
    found = check_standard(folder, signature, [public])
    assert found.key_id == public.key_id
    assert {name.split(":")[0] for name in found.digests} == set(FILES)
    for name, data in FILES.items():
        for changed in (data[:-1], data + b"x", bytes([data[0] ^ 1]) + data[1:], b""):
            (folder / name).write_bytes(changed)
            assert f"{name} was changed" in refused(folder, [public], signature)
        (folder / name).write_bytes(data)
    (folder / ".git").mkdir()
    assert ".git/ is not signed" in refused(folder, [public], signature)


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()])
def test_each_curve_of_the_standard_is_verified(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    folder = laid(tmp_path / "theirs", FILES)
    private, public = written(tmp_path, "k.pem", ec.generate_private_key(curve))
    model_signing.sign(folder, tmp_path / "model.sig", private)
    assert check_standard(folder, tmp_path / "model.sig", [public]).key_id == public.key_id
    stranger = PublicKey(ec.generate_private_key(curve).public_key())
    assert "no trusted key" in refused(folder, [stranger], tmp_path / "model.sig")


def test_the_reference_tool_verifies_our_bundle_and_refuses_it_once_changed(
    signed: Path, keys: KeyRing, tmp_path: Path
) -> None:
    public = tmp_path / "maker.pub"
    public.write_bytes(keys.signer("bundle").public_pem)
    accepted = model_signing.verify(signed, signed / SIGNATURE_FILE, public)
    assert accepted.returncode == 0, accepted.stderr
    (signed / "card.md").write_bytes(b"# Pots\n")
    assert model_signing.verify(signed, signed / SIGNATURE_FILE, public).returncode != 0


def test_the_reference_tool_verifies_our_dataset_and_refuses_it_once_changed(
    workspace: Workspace, tmp_path: Path
) -> None:
    keys = KeyRing(workspace.key_folder)
    data = b"a picture"
    digest = hashlib.sha256(data).hexdigest()
    workspace.blobs_of("pets").put(digest, data)
    card = {
        "modality": "image",
        "task": "class",
        "about": {"licence": "CC0", "consent": "", "origin": ""},
    }
    example = Example(digest, "cats/1.jpg", "cats", "train", None, digest)
    folder = keep_dataset(workspace, keys, "pets", [example], card)
    public = tmp_path / "data.pub"
    public.write_bytes(keys.signer("data").public_pem)
    accepted = model_signing.verify(folder, folder / SIGNATURE_FILE, public)
    assert accepted.returncode == 0, accepted.stderr
    check_standard(folder, folder / SIGNATURE_FILE, keys.public_keys("data"))  # ours is of theirs
    (folder / "card.json").write_bytes(b"{}")
    assert model_signing.verify(folder, folder / SIGNATURE_FILE, public).returncode != 0


def statement(files: dict[str, bytes]) -> dict[str, Any]:
    """A statement as the standard has it, in no order of ours."""
    digests = {name: hashlib.sha256(files[name]) for name in sorted(files, reverse=True)}
    root = hashlib.sha256(b"".join(each.digest() for each in digests.values())).hexdigest()
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "theirs", "digest": {"sha256": root}, "annotations": {}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": [
                {"name": name, "algorithm": "sha256", "digest": each.hexdigest()}
                for name, each in digests.items()
            ],
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": ["model.sig", ".git"],
            },
        },
    }


def signed_by_them(keys: KeyRing, payload: bytes) -> bytes:
    """A bundle as another tool spells it: indented, and with no word of the key."""
    envelope = sign_envelope(payload, signing.PAYLOAD_TYPE, keys.signer("bundle"))
    del envelope["signatures"][0]["keyid"]
    material = {"publicKey": {"hint": "whatever"}}
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": material,
        "dsseEnvelope": envelope,
    }
    return json.dumps(bundle, indent=4).encode()


def schemas(shared_vectors: Path) -> Callable[[str, Any], None]:
    folder = shared_vectors / "model-signing" / "schemas" / "v1.0"
    known = {path.name.split(".")[0]: json.loads(path.read_text()) for path in folder.iterdir()}
    registry = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in known.values()]
    )

    def check(kind: str, value: Any) -> None:
        jsonschema.Draft202012Validator(known[kind], registry=registry).validate(value)

    return check


def test_another_tools_spelling_verifies_where_the_schemas_allow_it(
    shared_vectors: Path, keys: KeyRing, tmp_path: Path
) -> None:
    content = signed_by_them(keys, json.dumps(statement(FILES), indent=2).encode())
    check = schemas(shared_vectors)
    check("bundle", json.loads(content))
    check("statement", statement(FILES))
    for kind in ("key", "certificate", "sigstore"):
        check("bundle", json.loads((shared_vectors / VALID / f"{kind}.bundle.json").read_text()))
    folder = laid(tmp_path / "theirs", {**FILES, "model.sig": content})
    assert signature_beside(folder) == folder / "model.sig"
    check_standard(folder, folder / "model.sig", keys.public_keys("bundle"))


def _resources(said: dict[str, Any]) -> Any:
    return said["predicate"]["resources"]


def _how(said: dict[str, Any]) -> Any:
    return said["predicate"]["serialization"]


INVALID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "older predicate": (
        lambda s: s.update(predicateType="https://model_signing/Digests/v0.1"),
        "'predicateType' is",
    ),
    "older statement": (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "'_type'"),
    "two subjects": (lambda s: s["subject"].append(s["subject"][0]), "2 subjects"),
    "no subject": (lambda s: s["subject"].clear(), "0 subjects"),
    "another root": (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "the whole"),
    "a second root": (lambda s: s["subject"][0]["digest"].update(sha512="0"), "the whole"),
    "reordered": (lambda s: _resources(s).reverse(), "the whole"),
    "symlinks": (lambda s: _how(s).update(allow_symlinks=True), "symbolic links"),
    "symlinks as text": (lambda s: _how(s).update(allow_symlinks="false"), "symbolic links"),
    "unknown hash": (lambda s: _how(s).update(hash_type="blake3"), "'blake3'"),
    "two hashes": (lambda s: _resources(s)[0].update(algorithm="blake2b"), "no list of files"),
    "upper case": (
        lambda s: _resources(s)[0].update(digest=_resources(s)[0]["digest"].upper()),
        "no list of files",
    ),
    "parts without a size": (lambda s: _how(s).update(method="shards"), "no list of files"),
    "a size without parts": (lambda s: _how(s).update(shard_size=10), "no list of files"),
    "unknown method": (lambda s: _how(s).update(method="bytes"), "no list of files"),
    "unknown member": (lambda s: s.update(more=1), "no list of files"),
    "unknown rule": (lambda s: _how(s).update(follow=True), "no list of files"),
    "no predicate": (lambda s: s.pop("predicate"), "no list of files"),
    "a name that is none": (lambda s: _resources(s)[0].update(name=7), "no list of files"),
}


@pytest.mark.parametrize("edit", INVALID)
def test_a_genuine_signature_over_an_invalid_statement_is_refused_with_its_reason(
    keys: KeyRing, tmp_path: Path, edit: str
) -> None:
    change, reason = INVALID[edit]
    said = statement(FILES)
    change(said)
    folder = laid(
        tmp_path / "theirs", {**FILES, "model.sig": signed_by_them(keys, canonical_json(said))}
    )
    assert reason in refused(folder, [*keys.public_keys("bundle")])


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["../evil", "a"], "not a plain relative name"),
        (["/etc/passwd", "a"], "not a plain relative name"),
        (["a\\b", "a"], "not a plain relative name"),
        (["C:x", "a"], "not a plain relative name"),
        (["a.", "a"], "not a plain relative name"),
        (["a ", "a"], "not a plain relative name"),
        (["a\u202eb", "a"], "not a plain relative name"),
        (["A", "a"], "would be one file"),
        (["\u00e9", "e\u0301"], "would be one file"),
        (["model.sig", "a"], "cannot be listed in itself"),
    ],
)
def test_an_unsafe_name_is_refused_whoever_signed_it(
    keys: KeyRing, tmp_path: Path, names: list[str], reason: str
) -> None:
    said = statement(dict.fromkeys(names, b""))
    content = signed_by_them(keys, canonical_json(said))
    folder = laid(tmp_path / "theirs", {"a": b"", "model.sig": content})
    assert reason in refused(folder, [*keys.public_keys("bundle")])


def test_a_name_listed_twice_is_refused(keys: KeyRing, tmp_path: Path) -> None:
    said = statement({"a": b""})
    _resources(said).append(_resources(said)[0])
    twice = hashlib.sha256(2 * hashlib.sha256(b"").digest()).hexdigest()
    said["subject"][0]["digest"]["sha256"] = twice
    content = signed_by_them(keys, canonical_json(said))
    folder = laid(tmp_path / "theirs", {"a": b"", "model.sig": content})
    assert "a is listed twice" in refused(folder, [*keys.public_keys("bundle")])


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 10), (11, 20)],
        [(0, 10), (9, 20)],
        [(1, 10)],
        [(0, 10), (10, 10)],
        [(0, 9), (9, 19)],
        [(0, 11)],
        [(0, 10), (20, 30)],
    ],
)
def test_parts_that_leave_bytes_out_or_lie_over_one_another_are_refused(
    keys: KeyRing, tmp_path: Path, parts: list[tuple[int, int]]
) -> None:
    data = bytes(range(30))
    said = statement({})
    digests = [hashlib.sha256(data[start:end]) for start, end in parts]
    said["subject"][0]["digest"]["sha256"] = hashlib.sha256(
        b"".join(each.digest() for each in digests)
    ).hexdigest()
    _resources(said).extend(
        {"name": f"a:{start}:{end}", "algorithm": "sha256", "digest": digest.hexdigest()}
        for (start, end), digest in zip(parts, digests, strict=True)
    )
    _how(said).update(method="shards", shard_size=10)
    content = signed_by_them(keys, canonical_json(said))
    folder = laid(tmp_path / "theirs", {"a": data, "model.sig": content})
    assert "do not make up a file" in refused(folder, [*keys.public_keys("bundle")])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"mediaType":"application/json","verificationMaterial":{},"dsseEnvelope":{}}',
    ],
)
def test_what_is_no_signature_is_refused_and_does_not_crash(
    keys: KeyRing, tmp_path: Path, content: bytes
) -> None:
    folder = laid(tmp_path / "theirs", {"a": b"", "model.sig": content})
    assert "no signature by OpenSSF" in refused(folder, [*keys.public_keys("bundle")])


def test_a_member_that_stands_twice_is_refused_since_two_readers_would_read_two_things(
    keys: KeyRing, tmp_path: Path
) -> None:
    payload = canonical_json(statement(FILES)).replace(b'"method"', b'"method":"files","method"')
    folder = laid(tmp_path / "theirs", {**FILES, "model.sig": signed_by_them(keys, payload)})
    assert "no list of files" in refused(folder, [*keys.public_keys("bundle")])


def test_links_and_pipes_are_refused_in_anothers_folder_too(keys: KeyRing, tmp_path: Path) -> None:
    content = signed_by_them(keys, canonical_json(statement(FILES)))
    own = [*keys.public_keys("bundle")]
    linked = laid(tmp_path / "linked", {**FILES, "model.sig": content})
    (linked / "card.md").rename(tmp_path / "elsewhere")
    (linked / "card.md").symlink_to(tmp_path / "elsewhere")
    assert "card.md is a symbolic link" in refused(linked, own)
    piped = laid(tmp_path / "piped", {**FILES, "model.sig": content})
    (piped / "card.md").unlink()
    os.mkfifo(piped / "card.md")
    assert "card.md is neither a file nor a folder" in refused(piped, own)
    (piped / "model.sig").unlink()
    (piped / "model.sig").symlink_to(linked / "model.sig")
    assert "model.sig cannot be read" in refused(piped, own)


def test_whatever_byte_of_anothers_signature_is_changed_the_files_are_as_signed_or_it_is_refused(
    keys: KeyRing, tmp_path: Path
) -> None:
    """Spaces and hints are not signed; what is believed of the files never changes with them."""
    content = signed_by_them(keys, canonical_json(statement(FILES)))
    folder = laid(tmp_path / "theirs", {**FILES, "model.sig": content})
    own = [keys.signer("bundle").public]
    signature = folder / "model.sig"
    whole = check_standard(folder, signature, own)
    accepted = 0
    for __, changed in mutations(content, sample=200):
        signature.write_bytes(changed)
        try:
            found = check_standard(folder, signature, own)
        except SignatureMismatch:
            continue
        assert (found.subject, found.digest) == (whole.subject, whole.digest)
        accepted += 1
    assert accepted < 100  # the hint of the key, its version of the format, blanks


def test_a_signature_without_an_end_is_refused_before_it_fills_the_memory(
    keys: KeyRing, tmp_path: Path
) -> None:
    folder = laid(tmp_path / "theirs", {"a": b""})
    with (folder / "model.sig").open("wb") as stream:
        stream.truncate(10**12)  # a hole: no disk holds a terabyte of it
    assert "model.sig is larger than" in refused(folder, [keys.signer("bundle").public])


def test_nothing_is_remembered_from_one_folder_to_the_next(keys: KeyRing, tmp_path: Path) -> None:
    """The reference verifier, used twice, kept the first signature's list of ignored paths."""
    lenient = statement({"a": b""})
    _how(lenient)["ignore_paths"] = ["planted"]
    strict = statement({"a": b""})
    own = [keys.signer("bundle").public]
    for number, said in enumerate((lenient, strict, lenient)):
        content = signed_by_them(keys, canonical_json(said))
        folder = laid(tmp_path / str(number), {"a": b"", "model.sig": content})
        assert isinstance(check_standard(folder, folder / "model.sig", own), CheckedFolder)
        (folder / "planted").write_bytes(b"")
        assert "planted is not signed" in refused(folder, own)


def test_a_folder_that_is_not_there_is_an_input_error(keys: KeyRing, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        check_standard(tmp_path / "nowhere", tmp_path / "x", [*keys.public_keys("bundle")])
