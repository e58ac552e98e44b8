"""From when to when a key signs: what says of itself that it is later is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.conftest import ManualClock

from mintage.core.clock import timestamp
from mintage.core.errors import SignatureMismatch, TrustError
from mintage.store.workspace import Workspace
from mintage.trust.audit import AuditLog
from mintage.trust.cosigning import cosign, cosigned
from mintage.trust.dsse import open_envelope, sign_envelope
from mintage.trust.keys import KeyRing, PublicKey
from mintage.trust.moments import LEEWAY, said_moment
from mintage.trust.public_key import Validity
from mintage.trust.rotation import SigningKeys
from mintage.trust.signing import sign_files, verify_files
from mintage.trust.statements import open_statement, sign_document

UNTIL = datetime(2026, 11, 23, 12, 1, tzinfo=UTC)
DOCUMENTS: dict[str, dict[str, Any]] = {
    "invoice": {"number": "INV-2026-000001"},
    "credit_note": {"number": "CN-2026-000001"},
    "plan": {"name": "gold", "version": 1},
    "evaluation": {"id": "eva_1"},
}
MEMBERS = {"plan": "created_at", "evaluation": "measured_at"}


@pytest.fixture
def ring(workspace: Workspace, clock: ManualClock) -> KeyRing:
    return KeyRing(workspace.key_folder, clock)


@pytest.fixture
def signing_keys(workspace: Workspace, ring: KeyRing) -> SigningKeys:
    log = AuditLog(workspace.database, ring, "mintage.example/log")
    return SigningKeys(workspace.database, ring, workspace.clock, log.tree_head)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_that_says_it_is_of_after_the_rotation_is_refused_by_the_former_key(
    clock: ManualClock, ring: KeyRing, signing_keys: SigningKeys, kind: Any
) -> None:
    role: Any = "bundle" if kind == "evaluation" else "receipt"
    former = ring.signer(role)
    clock.advance(60)
    signing_keys.rotate(role)
    assert timestamp(UNTIL) == timestamp(clock.now())

    def signed(moment: datetime) -> bytes:
        document = {**DOCUMENTS[kind], MEMBERS.get(kind, "issued_at"): timestamp(moment)}
        return sign_document(kind, document, former)

    for good in (UNTIL - timedelta(days=1), UNTIL, UNTIL + LEEWAY):
        assert open_statement(signed(good), ring).key_id == former.key_id
    with pytest.raises(SignatureMismatch, match=r"in use until 2026-11-23T12:01") as refused:
        open_statement(signed(UNTIL + LEEWAY + timedelta(seconds=1)), ring)
    assert "given up" in refused.value.remedy


def test_a_receipt_that_says_it_is_of_after_the_rotation_is_refused(
    clock: ManualClock, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    former = ring.signer("receipt")
    clock.advance(60)
    signing_keys.rotate("receipt")
    for moment, holds in (("2026-11-23T12:00:30.000000Z", True), ("2026-11-24", False)):
        said = f'{{"recorded_at":"{moment}"}}'.encode()
        envelope = sign_envelope(said, "application/x", former)
        if holds:
            assert open_envelope(envelope, "application/x", ring.public_keys("receipt")) == said
        else:
            with pytest.raises(SignatureMismatch, match="in use until"):
                open_envelope(envelope, "application/x", ring.public_keys("receipt"))


def test_of_files_nothing_says_when_so_a_rotated_key_is_believed(
    ring: KeyRing, signing_keys: SigningKeys, clock: ManualClock
) -> None:
    signature = sign_files({"a": b"1"}, "pets@1", ring.signer("bundle"))
    clock.advance(60)
    signing_keys.rotate("bundle")
    verify_files({"a": b"1"}, signature, ring.public_keys("bundle"), subject="pets@1")


def test_a_key_that_another_followed_and_that_was_laid_back_signs_nothing(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    ring.signer("receipt")
    path = workspace.key_folder / "receipt.pem"
    former = path.read_bytes()
    signing_keys.rotate("receipt")
    path.write_bytes(former)
    with pytest.raises(TrustError, match="was followed by another") as refused:
        KeyRing(workspace.key_folder).signer("receipt")
    assert "mintage signing-key rotate receipt" in refused.value.remedy
    ring.look_again()
    made = signing_keys.rotate("receipt").key.key.key_id
    assert KeyRing(workspace.key_folder).signer("receipt").key_id == made


@pytest.mark.parametrize(("minutes", "holds"), [(-1, True), (4, True), (6, False)])
def test_a_witness_cosigns_within_its_keys_validity(
    workspace: Workspace, ring: KeyRing, minutes: int, holds: bool
) -> None:
    note = AuditLog(workspace.database, ring, "mintage.example/log").tree_head().note
    witness = ring.signer("witness")
    signed = cosign(note, "w1", witness, UNTIL + timedelta(minutes=minutes))
    validity = Validity(timestamp(UNTIL - timedelta(days=9)), timestamp(UNTIL))
    key = PublicKey(witness.public.key, validity=validity)
    if holds:
        assert cosigned(signed, "w1", key)[0] == UNTIL + timedelta(minutes=minutes)
        return
    with pytest.raises(SignatureMismatch, match="in use until"):
        cosigned(signed, "w1", key)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"recorded_at": 5}',
        b'{"recorded_at": "soon"}',
        b'{"predicateType": "urn:other", "predicate": {"issued_at": "2026-11-23"}}',
        b'{"predicateType": "urn:mintage:invoice:v1", "predicate": {}}',
        b"[" * 100_000,
    ],
)
def test_what_names_no_moment_has_none(payload: bytes) -> None:
    assert said_moment(payload) is None
