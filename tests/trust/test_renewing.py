"""What a revoked key signed is signed again by the present one, where our log vouches for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock
from tests.trust.conftest import FILES, write_signed

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.errors import DataError, SignatureMismatch
from mintage.store.workspace import Workspace
from mintage.trust import repository
from mintage.trust.audit import AuditLog, append
from mintage.trust.given import GivenKeys
from mintage.trust.keys import KeyRing, Role
from mintage.trust.renewing import Renewing
from mintage.trust.rotation import SigningKeys
from mintage.trust.signing import SIGNATURE_FILE, files_digest, verify_folder
from mintage.trust.statements import keep_signed, open_statement

NAME = "invoice/INV-2026-000001"


@pytest.fixture
def ring(workspace: Workspace, clock: ManualClock) -> KeyRing:
    return KeyRing(workspace.key_folder, clock)


@pytest.fixture
def renewing(workspace: Workspace, ring: KeyRing) -> Renewing:
    return Renewing(workspace.database, ring, workspace.now)


def revoke(workspace: Workspace, ring: KeyRing, role: Role, hours: int = 0) -> None:
    """The role's key, as of so many hours ago."""
    log = AuditLog(workspace.database, ring, "mintage.example/log")
    keys = SigningKeys(workspace.database, ring, workspace.clock, log.tree_head)
    workspace.clock.advance(3600)
    at = None
    if hours:
        at = workspace.clock.now()
        workspace.clock.advance(3600 * hours)
    keys.revoke(ring.signer(role).key_id, "stolen", at)


def issue(workspace: Workspace, ring: KeyRing) -> dict[str, Any]:
    document = {"number": "INV-2026-000001", "total": "1.00", "issued_at": workspace.now()}
    logged = {"number": document["number"], "sha256": sha256_hex(canonical_json(document))}

    def work(connection: repository.Connection) -> None:
        append(connection, "evaluation.measured", {"id": "eva_1", "sha256": "0" * 64})
        append(connection, "invoice.issued", logged)
        append(connection, "plan.set", {"created_at": workspace.now(), "name": "a", "version": 1})
        keep_signed(connection, "invoice", document, ring.signer("receipt"))

    workspace.database.write(work)
    return document


def renewals(workspace: Workspace) -> list[dict[str, Any]]:
    with workspace.database.read() as connection:
        rows = list(repository.read_rows(connection, kinds=("signature.renewed",)))
    return [json.loads(row.record) for row in rows]


def present(ring: KeyRing, role: Role) -> GivenKeys:
    """What a customer holds: the present key alone."""
    return GivenKeys(((ring.signer(role).public, role),))


def test_a_document_of_before_is_signed_again_word_for_word_once(
    workspace: Workspace, ring: KeyRing, renewing: Renewing
) -> None:
    document = issue(workspace, ring)
    first = renewing.document(NAME)
    assert not first.is_renewed
    before = open_statement(first.data, ring)
    revoke(workspace, ring, "receipt")
    again = renewing.document(NAME)
    assert again.is_renewed
    with pytest.raises(SignatureMismatch):
        open_statement(first.data, present(ring, "receipt"))
    found = open_statement(again.data, present(ring, "receipt"))
    assert (found.document, found.sha256) == (document, before.sha256)
    assert found.key_id == ring.signer("receipt").key_id != before.key_id
    assert renewing.document(NAME) == again
    (logged,) = renewals(workspace)
    assert (logged["name"], logged["role"]) == (NAME, "receipt")
    assert (logged["former"], logged["key_id"]) == (before.key_id, found.key_id)
    with workspace.database.read() as connection:
        assert repository.find_statement(connection, NAME) == (2, again.data)


def test_a_document_of_after_the_theft_is_refused_unless_its_owner_asks_for_it(
    workspace: Workspace, ring: KeyRing, renewing: Renewing
) -> None:
    log = AuditLog(workspace.database, ring, "mintage.example/log")
    keys = SigningKeys(workspace.database, ring, workspace.clock, log.tree_head)
    stolen = workspace.clock.now()
    workspace.clock.advance(3600)
    issue(workspace, ring)
    workspace.clock.advance(3600)
    keys.revoke(ring.signer("receipt").key_id, "stolen", stolen)
    with pytest.raises(SignatureMismatch, match="nothing here shows") as refused:
        renewing.document(NAME)
    assert "sign-again" in refused.value.remedy
    assert renewals(workspace) == []
    asked = renewing.document(NAME, asked=True)
    assert open_statement(asked.data, present(ring, "receipt")).name == NAME
    assert renewing.document(NAME) == asked


def test_what_the_log_never_had_is_signed_again_for_nobody(
    workspace: Workspace, ring: KeyRing, renewing: Renewing
) -> None:
    forged = {"number": "INV-2026-000001", "total": "9.00", "issued_at": workspace.now()}
    workspace.database.write(
        lambda connection: keep_signed(connection, "invoice", forged, ring.signer("receipt"))
    )
    revoke(workspace, ring, "receipt")
    for asked in (False, True):
        with pytest.raises(SignatureMismatch):
            renewing.document(NAME, asked=asked)
    with pytest.raises(DataError):
        renewing.document("invoice/INV-2026-000002", asked=True)


def log_model(workspace: Workspace, kind: str = "model.signed") -> None:
    digest = files_digest({name: sha256_hex(data) for name, data in FILES.items()})
    record = {"name": "pets", "version": 3, "bundle_digest": digest, "created_at": workspace.now()}
    workspace.database.write(lambda connection: append(connection, kind, record))


@pytest.mark.parametrize("hours", [0, 1])
def test_a_folder_is_signed_again_after_every_byte_was_checked(
    workspace: Workspace, ring: KeyRing, renewing: Renewing, tmp_path: Path, hours: int
) -> None:
    folder = write_signed(tmp_path / "models" / "3", FILES, "pets@3", ring)
    log_model(workspace)
    assert not renewing.folder(folder, "pets@3", "bundle")
    before = verify_folder(folder, ring.public_keys("bundle"))
    revoke(workspace, ring, "bundle", hours)
    (folder / "card.md").write_bytes(b"# Mine\n")
    with pytest.raises(SignatureMismatch, match=r"card\.md was changed"):
        renewing.folder(folder, "pets@3", "bundle", asked=True)
    (folder / "card.md").write_bytes(FILES["card.md"])
    assert renewing.folder(folder, "pets@3", "bundle", asked=bool(hours))
    after = verify_folder(folder, present(ring, "bundle").public_keys("bundle"), subject="pets@3")
    assert after.digest == before.digest
    assert not renewing.folder(folder, "pets@3", "bundle")
    assert [each.name for each in folder.parent.iterdir()] == ["3"]
    assert len(renewals(workspace)) == 1


def test_what_somebody_else_signed_is_not_signed_in_their_place(
    workspace: Workspace, renewing: Renewing, tmp_path: Path
) -> None:
    theirs = KeyRing(tmp_path / "theirs")
    folder = write_signed(tmp_path / "3", FILES, "pets@3", theirs)
    signature = (folder / SIGNATURE_FILE).read_bytes()
    with pytest.raises(SignatureMismatch, match="No key of this workspace"):
        renewing.folder(folder, "pets@3", "bundle", asked=True)
    assert (folder / SIGNATURE_FILE).read_bytes() == signature


@pytest.mark.parametrize("hours", [0, 1])
def test_what_a_thief_signed_with_our_key_and_we_took_in_is_not_signed_again(
    workspace: Workspace, ring: KeyRing, renewing: Renewing, tmp_path: Path, hours: int
) -> None:
    folder = write_signed(tmp_path / "3", FILES, "pets@3", ring)
    signature = (folder / SIGNATURE_FILE).read_bytes()
    log_model(workspace, "model.imported")
    log_model(workspace, "model.restored")
    revoke(workspace, ring, "bundle", hours)
    with pytest.raises(SignatureMismatch, match="made here"):
        renewing.folder(folder, "pets@3", "bundle", asked=True)
    with pytest.raises(SignatureMismatch):
        renewing.folder(folder, "pets@3", "bundle")
    assert (folder / SIGNATURE_FILE).read_bytes() == signature
    assert renewals(workspace) == []
