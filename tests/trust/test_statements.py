"""Signed documents: what is signed is the document, in one spelling, by the key of its kind."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import MintageError, SignatureMismatch
from mintage.trust.keys import KeyRing
from mintage.trust.statements import kind_of, name_of, open_statement, sign_document

INVOICE = {"number": "INV-2026-000001", "total": "1.20", "lines": [{"amount": "1.20"}]}
PLAN = {"name": "gold", "version": 2, "fee": "29"}
EVALUATION = {"id": "eva_1", "model": "pets@3", "accuracy": 0.93}


@pytest.fixture
def signed(keys: KeyRing) -> bytes:
    return sign_document("invoice", INVOICE, keys.signer("receipt"))


def repacked(envelope: dict[str, Any]) -> bytes:
    return canonical_json(envelope) + b"\n"


def test_the_statement_is_in_totos_and_the_signature_is_dsses_by_others_means(
    keys: KeyRing, signed: bytes
) -> None:
    envelope = json.loads(signed)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"], validate=True)
    kind = envelope["payloadType"].encode()
    said = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    key = load_pem_public_key(keys.signer("receipt").public_pem)
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), said, ECDSA(SHA256()))  # type: ignore[union-attr, call-arg]
    statement = json.loads(payload)
    assert statement == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {
                "name": "invoice/INV-2026-000001",
                "digest": {"sha256": sha256_hex(canonical_json(INVOICE))},
            }
        ],
        "predicateType": "urn:mintage:invoice:v1",
        "predicate": INVOICE,
    }


@pytest.mark.parametrize(
    ("kind", "document", "role", "name"),
    [
        ("invoice", INVOICE, "receipt", "invoice/INV-2026-000001"),
        ("credit_note", {"number": "CN-2026-000001"}, "receipt", "credit-note/CN-2026-000001"),
        ("plan", PLAN, "receipt", "plan/gold@2"),
        ("evaluation", EVALUATION, "bundle", "evaluation/eva_1"),
    ],
)
def test_each_kind_opens_with_the_key_of_its_role_and_no_other(
    keys: KeyRing, kind: Any, document: dict[str, Any], role: Any, name: str
) -> None:
    assert name_of(kind, document) == name
    data = sign_document(kind, document, keys.signer(role))
    assert kind_of(data) == kind
    found = open_statement(data, keys, kind=kind)
    assert (found.name, found.document) == (name, document)
    assert found.sha256 == sha256_hex(canonical_json(document))
    other: Any = {"receipt": "bundle", "bundle": "receipt"}[role]
    with pytest.raises(SignatureMismatch, match="no trusted key"):
        open_statement(sign_document(kind, document, keys.signer(other)), keys)


def test_one_kind_is_not_taken_for_another(keys: KeyRing, signed: bytes) -> None:
    with pytest.raises(SignatureMismatch, match="kind invoice, not plan"):
        open_statement(signed, keys, kind="plan")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyRing, bytes]:
    """Signed once: ECDSA draws anew at each signature, and its length differs by a byte or two."""
    keys = KeyRing(tmp_path_factory.mktemp("statement-keys"))
    return keys, sign_document("plan", PLAN, keys.signer("receipt"))


@given(place=st.integers(0, 2**16), bit=st.integers(0, 7))
def test_no_byte_of_the_file_can_change(plan: tuple[KeyRing, bytes], place: int, bit: int) -> None:
    keys, signed = plan
    changed = bytearray(signed)
    changed[place % len(signed)] ^= 1 << bit
    with pytest.raises(MintageError) as refused:
        open_statement(bytes(changed), keys)
    assert isinstance(refused.value, SignatureMismatch)


def test_spaces_more_members_and_a_key_id_are_no_other_spelling(
    keys: KeyRing, signed: bytes
) -> None:
    envelope = json.loads(signed)
    for other in (
        signed + b"\n",
        signed[:-1],
        json.dumps(envelope).encode(),
        repacked({**envelope, "more": 1}),
        repacked({**envelope, "signatures": [{**envelope["signatures"][0], "keyid": "0" * 64}]}),
    ):
        with pytest.raises(SignatureMismatch, match="outside what it signs"):
            open_statement(other, keys)


@pytest.mark.parametrize(
    "payload",
    [
        {"subject": [], "_type": "https://in-toto.io/Statement/v1"},
        {"subject": [{"name": "plan/gold@3", "digest": {"sha256": "0" * 64}}], "_type": "x"},
    ],
)
def test_what_a_trusted_key_signed_otherwise_is_no_document(
    keys: KeyRing, payload: dict[str, Any]
) -> None:
    from mintage.trust.dsse import sign_envelope

    said = {**payload, "predicateType": "urn:mintage:plan:v1", "predicate": PLAN}
    signer = keys.signer("receipt")
    envelope = sign_envelope(canonical_json(said), "application/vnd.in-toto+json", signer)
    with pytest.raises(SignatureMismatch, match="not a document as Mintage writes it"):
        open_statement(repacked(envelope), keys)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'"\xff"', b'{"payload": 1}', b"[" * 100_000])
def test_what_is_no_statement_is_said_to_be_none(keys: KeyRing, data: bytes) -> None:
    assert kind_of(data) is None
    with pytest.raises(SignatureMismatch, match="not a signed document"):
        open_statement(data, keys)
