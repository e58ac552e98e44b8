from __future__ import annotations

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from mintage.core.errors import SignatureMismatch
from mintage.trust.dsse import open_envelope, pre_authentication_encoding, sign_envelope
from mintage.trust.keys import KeyRing, PublicKey

TYPE = "application/example+json"


@pytest.fixture
def envelope(keys: KeyRing) -> dict[str, Any]:
    return sign_envelope(b'{"a":1}', TYPE, keys.signer("receipt"))


def test_the_encoding_is_the_one_that_the_standard_prints() -> None:
    # protocol.md, "Test Vectors"
    assert (
        pre_authentication_encoding(b"hello world", "http://example.com/HelloWorld")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope_opens_to_what_was_put_in(keys: KeyRing, envelope: dict[str, Any]) -> None:
    assert open_envelope(envelope, TYPE, keys.public_keys("receipt")) == b'{"a":1}'


def test_securesystemslib_opens_ours_and_refuses_it_once_changed(
    keys: KeyRing, envelope: dict[str, Any]
) -> None:
    public = serialization.load_pem_public_key(keys.signer("receipt").public_pem)
    key = SSlibKey.from_crypto(public, keyid=envelope["signatures"][0]["keyid"])
    theirs = Envelope.from_dict(copy.deepcopy(envelope))
    assert theirs.verify([key], 1)
    theirs.payload += b" "
    with pytest.raises(VerificationError):
        theirs.verify([key], 1)


@pytest.mark.parametrize("kind", ["ecdsa", "ed25519"])
def test_we_open_what_securesystemslib_signs_and_refuse_it_once_changed(kind: str) -> None:
    signer = CryptoSigner.generate_ecdsa() if kind == "ecdsa" else CryptoSigner.generate_ed25519()
    theirs = Envelope(b"payload", TYPE, {})
    theirs.sign(signer)
    key = (
        PublicKey.from_pem(signer.public_key.keyval["public"].encode())
        if kind == "ecdsa"
        else (
            PublicKey.from_pem(
                signer._private_key.public_key().public_bytes(
                    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
                )
            )
        )
    )
    assert open_envelope(theirs.to_dict(), TYPE, [key]) == b"payload"
    theirs.payload = b"Payload"
    with pytest.raises(SignatureMismatch):
        open_envelope(theirs.to_dict(), TYPE, [key])


def test_the_published_key_bundle_opens_and_refuses_a_changed_payload(shared_vectors: Path) -> None:
    folder = shared_vectors / "model-signing" / "test-vectors" / "v1.0" / "valid"
    bundles = {
        kind: json.loads((folder / f"{kind}.bundle.json").read_text())
        for kind in ("key", "certificate")
    }
    # The key itself is not among the vectors, but the certificate's is the same one.
    chain = bundles["certificate"]["verificationMaterial"]["x509CertificateChain"]["certificates"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(chain[0]["rawBytes"]))
    key = PublicKey(certificate.public_key())  # type: ignore[arg-type]
    hint = bundles["key"]["verificationMaterial"]["publicKey"]["hint"]
    assert hashlib.sha256(key.pem).hexdigest() == hint
    for bundle in bundles.values():
        envelope = bundle["dsseEnvelope"]
        payload = open_envelope(envelope, "application/vnd.in-toto+json", [key])
        assert json.loads(payload)["predicateType"] == "https://model_signing/signature/v1.0"
        envelope["payload"] = base64.b64encode(payload + b" ").decode()
        with pytest.raises(SignatureMismatch):
            open_envelope(envelope, "application/vnd.in-toto+json", [key])


def test_another_payload_type_is_refused_even_where_the_signature_is_good(
    keys: KeyRing, envelope: dict[str, Any]
) -> None:
    with pytest.raises(SignatureMismatch, match="type"):
        open_envelope(envelope, "application/other", keys.public_keys("receipt"))
    with pytest.raises(SignatureMismatch, match="no trusted key"):
        open_envelope(
            {**envelope, "payloadType": "application/other"},
            "application/other",
            keys.public_keys("receipt"),
        )


def test_the_key_id_decides_nothing(
    keys: KeyRing, tmp_path: Path, envelope: dict[str, Any]
) -> None:
    own = keys.public_keys("receipt")
    stranger = KeyRing(tmp_path / "stranger").signer("receipt")
    envelope["signatures"][0]["keyid"] = stranger.key_id
    assert open_envelope(envelope, TYPE, own) == b'{"a":1}'
    forged = sign_envelope(b'{"a":1}', TYPE, stranger)
    forged["signatures"][0]["keyid"] = own[0].key_id
    with pytest.raises(SignatureMismatch):
        open_envelope(forged, TYPE, own)


def test_the_receipt_key_does_not_open_what_the_bundle_key_signed(keys: KeyRing) -> None:
    envelope = sign_envelope(b"x", TYPE, keys.signer("bundle"))
    keys.signer("receipt")
    with pytest.raises(SignatureMismatch):
        open_envelope(envelope, TYPE, keys.public_keys("receipt"))


def test_with_no_trusted_key_nothing_opens(envelope: dict[str, Any]) -> None:
    with pytest.raises(SignatureMismatch, match="No key is trusted"):
        open_envelope(envelope, TYPE, [])


def test_two_signatures_are_one_too_many_even_if_both_are_good(
    keys: KeyRing, envelope: dict[str, Any]
) -> None:
    envelope["signatures"] *= 2
    with pytest.raises(SignatureMismatch, match="2 signatures"):
        open_envelope(envelope, TYPE, keys.public_keys("receipt"))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": None},
        {"payload": "!!!!"},
        {"payload": "eyJhIjoxf R=="},
        {"payloadType": 7},
        {"signatures": []},
        {"signatures": {}},
        {"signatures": "sig"},
        {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"sig": 1}]},
    ],
)
def test_what_is_no_envelope_is_refused_and_does_not_crash(
    keys: KeyRing, envelope: dict[str, Any], change: dict[str, Any]
) -> None:
    for broken in ({**envelope, **change}, {k: v for k, v in envelope.items() if k not in change}):
        with pytest.raises(SignatureMismatch):
            open_envelope(broken, TYPE, keys.public_keys("receipt"))


def test_base64_has_one_spelling(keys: KeyRing, envelope: dict[str, Any]) -> None:
    # Seven bytes leave four bits of the last digit unused, which decoders pass over.
    text = envelope["payload"]
    assert text.endswith("==")
    twin = text[:-3] + chr(ord(text[-3]) + 1) + "=="
    assert base64.b64decode(twin) == base64.b64decode(text)
    with pytest.raises(SignatureMismatch):
        open_envelope({**envelope, "payload": twin}, TYPE, keys.public_keys("receipt"))
