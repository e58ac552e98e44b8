"""Our own signing keys through time: rotated, revoked, and nothing lost on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ManualClock
from tests.databases import sqlite_alone
from tests.trust.conftest import FILES, write_signed

from mintage.core.canonical import canonical_json, sha256_hex
from mintage.core.clock import timestamp
from mintage.core.errors import (
    ConfigError,
    DependencyDown,
    MintageError,
    RequestError,
    SignatureMismatch,
    TrustError,
)
from mintage.store.workspace import Workspace
from mintage.trust import repository
from mintage.trust.audit import AuditLog, append
from mintage.trust.dsse import open_envelope, sign_envelope
from mintage.trust.key_list import KeyList
from mintage.trust.keys import KeyRing, SigningRole
from mintage.trust.notes import SignedHead, verify_note
from mintage.trust.public_key import PublicKey
from mintage.trust.rotation import SigningKeys
from mintage.trust.signing import (
    PAYLOAD_TYPE,
    files_digest,
    sign_files,
    verify_files,
    verify_folder,
)
from mintage.trust.switch import check_switches

ORIGIN = "mintage.example/log"
ROLES = get_args(SigningRole)


@pytest.fixture
def ring(workspace: Workspace, clock: ManualClock) -> KeyRing:
    return KeyRing(workspace.key_folder, clock)


@pytest.fixture
def signing_keys(workspace: Workspace, ring: KeyRing) -> SigningKeys:
    return signing_keys_of(workspace, ring)


def signing_keys_of(workspace: Workspace, ring: KeyRing) -> SigningKeys:
    log = AuditLog(workspace.database, ring, ORIGIN)
    return SigningKeys(workspace.database, ring, workspace.clock, log.tree_head)


def leaves(workspace: Workspace) -> list[tuple[str, dict[str, Any]]]:
    with workspace.database.read() as connection:
        return [(row.kind, json.loads(row.record)) for row in repository.read_rows(connection)]


def log_model(workspace: Workspace, subject: str, digest: str, moment: str | None = None) -> None:
    """The leaf that training writes."""
    name, __, version = subject.partition("@")
    record = {"name": name, "version": int(version), "bundle_digest": digest}
    record["created_at"] = moment or workspace.now()
    workspace.database.write(lambda connection: append(connection, "model.signed", record))


def refused(folder: Path, ring: KeyRing, subject: str = "pets@3") -> str:
    with pytest.raises(SignatureMismatch) as caught:
        verify_folder(folder, ring.public_keys("bundle"), subject=subject)
    return str(caught.value)


@pytest.mark.parametrize("role", ROLES)
def test_after_a_rotation_the_new_key_signs_and_the_former_ones_are_believed_on(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys, role: SigningRole
) -> None:
    first = ring.signer(role)
    signed = first.sign(b"data")
    for __ in range(2):
        workspace.clock.advance(60)
        done = signing_keys.rotate(role)
        assert ring.signer(role).key_id == done.key.key.key_id
        assert KeyRing(workspace.key_folder).signer(role).key_id == done.key.key.key_id
    assert done.former.valid_until == done.key.valid_from == workspace.now()
    keys = ring.public_keys(role)
    assert len(keys) == 3
    assert any(key.verify(signed, b"data") for key in keys)
    assert [kind for kind, __ in leaves(workspace)] == ["signing_key.rotated"] * 2
    assert leaves(workspace)[0][1] == {
        "kind": "signing_key.rotated",
        "role": role,
        "key_id": leaves(workspace)[1][1]["former"],
        "algorithm": first.public.algorithm,
        "former": first.key_id,
        "changed_at": "2026-11-23T12:01:00.000000Z",
    }
    states = [(each.valid_until is None) for each in signing_keys.list() if each.role == role]
    assert states == [True, False, False]


def test_the_former_private_key_is_overwritten_and_no_file_is_open_to_others(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    ring.signer("bundle")
    path = workspace.key_folder / "bundle.pem"
    with path.open("rb") as former:  # whoever still holds the file finds nothing in it
        size = len(former.read())
        signing_keys.rotate("bundle")
        former.seek(0)
        assert former.read() == bytes(size)
    signing_keys.publish()
    found = sorted(each.name for each in workspace.key_folder.iterdir())
    assert found == [".trusted.lock", "bundle.pem", "keys.json", "root.pem", "signing-keys.json"]
    assert {each.stat().st_mode & 0o777 for each in workspace.key_folder.iterdir()} == {0o600}
    assert workspace.key_folder.stat().st_mode & 0o777 == 0o700


def test_what_never_signed_is_not_rotated(signing_keys: SigningKeys, workspace: Workspace) -> None:
    with pytest.raises(RequestError, match="no key of the role data yet"):
        signing_keys.rotate("data")
    assert leaves(workspace) == []
    assert signing_keys.list() == []


def test_a_server_signs_with_the_new_key_within_a_second_and_what_it_signed_meanwhile_holds(
    workspace: Workspace, clock: ManualClock, ring: KeyRing
) -> None:
    server = KeyRing(workspace.key_folder, clock)
    former = server.signer("receipt").key_id
    new = signing_keys_of(workspace, ring).rotate("receipt").key.key.key_id
    overlapping = sign_envelope(b"{}", "application/json", server.signer("receipt"))
    assert overlapping["signatures"][0]["keyid"] == former
    assert open_envelope(overlapping, "application/json", ring.public_keys("receipt")) == b"{}"
    clock.advance(1)
    assert server.signer("receipt").key_id == new


def test_a_server_goes_on_with_its_key_where_it_cannot_look(
    workspace: Workspace, clock: ManualClock
) -> None:
    server = KeyRing(workspace.key_folder, clock)
    before = server.signer("receipt").key_id
    path = workspace.key_folder / "receipt.pem"
    kept = path.read_bytes()
    for change in (lambda: path.write_bytes(b"junk!"), path.unlink):
        change()
        clock.advance(1)
        assert server.signer("receipt").key_id == before
    path.write_bytes(kept)
    path.chmod(0o600)
    clock.advance(1)
    assert server.signer("receipt").key_id == before


def signed_by(note: str, *keys: PublicKey) -> SignedHead:
    """The head in a note, once each of these keys is found to have signed it."""
    heads = {verify_note(note, key, ORIGIN) for key in keys}
    (head,) = heads
    return head


def test_the_log_changes_its_key_at_a_head_that_both_sign(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    former = ring.signer("log").public
    done = signing_keys.rotate("log")
    assert done.key.switch is not None
    head = signed_by(done.key.switch, former, done.key.key)
    assert head.size == 1  # the rotation's own leaf is in it
    log = AuditLog(workspace.database, ring, ORIGIN)
    log.check(head)
    another = KeyRing(workspace.home / "another").signer("log").public
    with pytest.raises(SignatureMismatch, match="not signed by the key"):
        signed_by(done.key.switch, another)


def test_a_head_that_an_earlier_key_signed_gets_the_former_ones_signature_too(
    workspace: Workspace, ring: KeyRing
) -> None:
    kept = AuditLog(workspace.database, ring, ORIGIN).tree_head()  # by the very first key
    keys = SigningKeys(workspace.database, ring, workspace.clock, lambda: kept)
    keys.rotate("log")
    former = ring.signer("log").public
    done = keys.rotate("log")
    assert done.key.switch is not None
    assert signed_by(done.key.switch, former, done.key.key).root == kept.root
    ring.path("log").unlink()
    lost = SigningKeys(workspace.database, KeyRing(ring.folder), workspace.clock, lambda: kept)
    again = lost.rotate("log")
    assert again.key.switch is not None
    assert signed_by(again.key.switch, again.key.key).root == kept.root
    with pytest.raises(SignatureMismatch, match="not signed by the key"):
        signed_by(again.key.switch, again.former.key)  # it is not here to vouch
    check_switches(KeyList(1, workspace.now(), (*reversed(lost.list()),)))


def test_a_log_key_that_is_revoked_has_its_last_head_from_the_one_that_follows(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    former = ring.signer("log")
    log_model(workspace, "pets@1", "0" * 64)
    done = signing_keys.revoke(former.key_id, "leaked")
    assert done.successor is not None
    assert done.successor.switch is not None
    assert signed_by(done.successor.switch, done.successor.key).size == 3  # its entries too
    (known,) = [key for key in ring.public_keys("log") if key.key_id == former.key_id]
    assert known.last_head is not None
    assert known.last_head.note == done.successor.switch
    AuditLog(workspace.database, ring, ORIGIN).check()


def test_a_server_that_has_not_noticed_yet_keeps_no_head_by_the_former_key(
    workspace: Workspace, clock: ManualClock, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    server = KeyRing(workspace.key_folder, clock)
    log = AuditLog(workspace.database, server, ORIGIN, clock)
    former = server.signer("log").key_id
    log_model(workspace, "pets@1", "0" * 64)
    log.tree_head()
    new = signing_keys.rotate("log").key
    log_model(workspace, "pets@2", "0" * 64)
    assert server.signer("log").key_id == former  # no second has gone by
    head = log.tree_head()
    assert head.size == 3
    assert signed_by(head.note, new.key) == head
    log.check()


@pytest.mark.parametrize("statement", ["UPDATE log_heads SET size = -1", "DELETE FROM log_heads"])
def test_a_log_key_is_revoked_whatever_lies_in_the_logs_own_tables(
    workspace: Workspace, ring: KeyRing, statement: str
) -> None:
    from sqlalchemy import text

    kept = AuditLog(workspace.database, ring, ORIGIN).tree_head()
    keys = SigningKeys(workspace.database, ring, workspace.clock, lambda: kept)
    workspace.database.write(lambda connection: connection.execute(text(statement)).rowcount)
    done = keys.revoke(ring.signer("log").key_id, "leaked")
    assert done.successor is not None
    assert done.successor.switch is not None
    assert signed_by(done.successor.switch, done.successor.key).root == kept.root


def test_rotations_at_once_take_turns(workspace: Workspace, ring: KeyRing) -> None:
    ring.signer("bundle")

    def rotate(_: int) -> str:
        other = KeyRing(workspace.key_folder)
        return signing_keys_of(workspace, other).rotate("bundle").key.key.key_id

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(rotate, range(4)))
    ring.look_again()
    listed = signing_keys_of(workspace, ring).list()
    assert len(listed) == 5
    assert [each.is_current for each in listed] == [True, False, False, False, False]
    assert ring.signer("bundle").key_id == listed[0].key.key_id in made
    logged = [record for __, record in leaves(workspace)]
    followed = [(each["former"], each["key_id"]) for each in logged]
    assert all(one[1] == next_[0] for one, next_ in pairwise(followed))


_KILLED = """
import os, signal, sys
from pathlib import Path
from mintage.app.root import App
from mintage.core.settings import load_settings
from mintage.trust import key_record, rotation

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

point, verb = sys.argv[2:]
if point == "record":
    key_record.KeyRecord.write = killed
elif point == "shown":
    rotation.write_shown = killed
else:
    rotation.SigningKeys._destroy_former = killed
with App(load_settings(home=Path(sys.argv[1]))) as app:
    if verb == "rotate":
        app.signing_keys.rotate("bundle")
    else:
        app.signing_keys.revoke(app.keys.signer("bundle").key_id, "leaked")
"""


@sqlite_alone
@pytest.mark.parametrize(
    ("point", "verb"),
    [
        ("record", "rotate"),
        ("end", "rotate"),
        ("shown", "revoke"),
        ("record", "revoke"),
        ("end", "revoke"),
    ],
)
def test_a_process_killed_between_leaf_and_files_leaves_a_key_that_signs_and_the_verb_finishes(
    tmp_path: Path, database_url: object, point: str, verb: str
) -> None:
    home = tmp_path / "workspace"
    with Workspace(home) as workspace:
        ring = KeyRing(workspace.key_folder)
        first = ring.signer("bundle").key_id
        folder = write_signed(tmp_path / "pets", FILES, "pets@3", ring)
        log_model(workspace, "pets@3", _digest(FILES))
    words = [sys.executable, "-c", _KILLED, str(home), point, verb]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(words, check=False, env=environment, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with Workspace(home) as workspace:
        ring = KeyRing(workspace.key_folder)
        kinds = [kind for kind, __ in leaves(workspace)]
        logged = {
            "rotate": ["signing_key.rotated"],
            "revoke": ["signing_key.rotated", "signing_key.revoked"],
        }
        assert kinds[1:] == logged[verb]
        # The record is the switch: before it nothing has changed, after it everything.
        assert (ring.signer("bundle").key_id == first) == (point != "end")
        verify_folder(folder, ring.public_keys("bundle"), subject="pets@3")
        signing_keys = signing_keys_of(workspace, ring)
        if verb == "rotate" or point == "end":
            signing_keys.rotate("bundle")
        else:
            signing_keys.revoke(first, "leaked")
        assert ring.signer("bundle").key_id != first
        assert not ring.next_path("bundle").exists()
        verify_folder(folder, ring.public_keys("bundle"), subject="pets@3")
        fresh = KeyRing(workspace.key_folder).signer("bundle").key_id
        (current,) = [each for each in signing_keys.list() if each.is_current]
        assert fresh == current.key.key_id


_ROTATES_FOR_EVER = """
import sys
from pathlib import Path
from mintage.app.root import App
from mintage.core.settings import load_settings

with App(load_settings(home=Path(sys.argv[1]))) as app:
    while True:
        print(app.signing_keys.rotate("bundle").key.key.key_id, flush=True)
"""


@sqlite_alone
def test_a_process_killed_at_any_moment_loses_no_key_that_it_said_was_at_work(
    tmp_path: Path, database_url: object
) -> None:
    home, seed = tmp_path / "workspace", random.Random(7)
    with Workspace(home) as workspace:
        ring = KeyRing(workspace.key_folder)
        signed = [(ring.signer("bundle").key_id, ring.signer("bundle").sign(b"data"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", _ROTATES_FOR_EVER, str(home)]
    for __ in range(max(2, int(os.environ.get("MINTAGE_ROUNDS", "10")) // 4)):
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            said = [process.stdout.readline().strip()]
            time.sleep(seed.uniform(0, 0.2))
            process.kill()
            said += process.stdout.read().split("\n")[:-1]
        with Workspace(home) as workspace:
            ring = KeyRing(workspace.key_folder)
            listed = signing_keys_of(workspace, ring).list()
            known = {each.key.key_id for each in listed}
            assert {*said} <= known
            logged = {record["key_id"] for kind, record in leaves(workspace)}
            assert known <= logged | {signed[0][0]}
            (current,) = [each for each in listed if each.is_current]
            signer = ring.signer("bundle")
            assert signer.key_id == current.key.key_id
            signed.append((signer.key_id, signer.sign(b"data")))
            keys = {key.key_id: key for key in ring.public_keys("bundle")}
            assert all(keys[key_id].verify(signature, b"data") for key_id, signature in signed)


def test_no_key_changes_where_the_leaf_is_not_committed(
    workspace: Workspace,
    ring: KeyRing,
    signing_keys: SigningKeys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key_id = ring.signer("bundle").key_id

    def failing(work: Any) -> None:
        def then_fail(connection: Any) -> None:
            work(connection)
            raise DependencyDown("no room")

        write(then_fail)

    write = workspace.database.write
    with monkeypatch.context() as patch:
        patch.setattr(workspace.database, "write", failing)
        for change in (
            lambda: signing_keys.rotate("bundle"),
            lambda: signing_keys.revoke(key_id, "leaked"),
            signing_keys.publish,
        ):
            with pytest.raises(DependencyDown):
                change()
    assert leaves(workspace) == []
    assert ring.record() is None
    assert KeyRing(workspace.key_folder).signer("bundle").key_id == key_id


# Revocation.


def _digest(files: dict[str, bytes]) -> str:
    return files_digest({name: sha256_hex(data) for name, data in files.items()})


def test_what_a_revoked_key_signed_is_believed_only_where_our_log_had_it_before(
    workspace: Workspace, tmp_path: Path, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    logged = write_signed(tmp_path / "logged", FILES, "pets@3", ring)
    log_model(workspace, "pets@3", _digest(FILES))
    thief = ring.signer("bundle")
    workspace.clock.advance(60)
    done = signing_keys.revoke(thief.key_id[:12], "the laptop was stolen")
    assert done.successor is not None
    assert done.successor.key.key_id == ring.signer("bundle").key_id != thief.key_id
    assert [kind for kind, __ in leaves(workspace)][1:] == [
        "signing_key.rotated",
        "signing_key.revoked",
    ]
    assert leaves(workspace)[2][1]["reason"] == "the laptop was stolen"
    verify_folder(logged, ring.public_keys("bundle"), subject="pets@3")

    # The same key, used afterwards by whoever has it: other bytes, another name, another version.
    for subject, files in (
        ("pets@3", {**FILES, "card.md": b"# Mine\n"}),
        ("pets@4", FILES),
        ("cats@3", FILES),
    ):
        forged = sign_files(files, subject, thief)
        with pytest.raises(SignatureMismatch) as caught:
            verify_files(files, forged, ring.public_keys("bundle"), subject=subject)
        assert "revoked as of 2026-11-23T12:01" in str(caught.value)
        assert "the laptop was stolen" in str(caught.value)
        assert "nothing here shows that this was signed before" in str(caught.value)

    # Logged only after the revocation: that shows nothing.
    log_model(workspace, "cats@3", _digest(FILES))
    late = sign_files(FILES, "cats@3", thief)
    with pytest.raises(SignatureMismatch, match="was revoked"):
        verify_files(FILES, late, ring.public_keys("bundle"), subject="cats@3")


def test_a_revocation_as_of_an_earlier_moment_takes_what_was_logged_since(
    workspace: Workspace, tmp_path: Path, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    before = write_signed(tmp_path / "before", FILES, "pets@3", ring)
    log_model(workspace, "pets@3", _digest(FILES))
    workspace.clock.advance(3600)
    stolen = workspace.clock.now()
    after = write_signed(tmp_path / "after", FILES, "pets@4", ring)
    log_model(workspace, "pets@4", _digest(FILES))
    # Put into the log afterwards with an earlier date: behind a later entry nobody believes that.
    made_up = write_signed(tmp_path / "made-up", FILES, "pets@5", ring)
    log_model(workspace, "pets@5", _digest(FILES), timestamp(stolen - timedelta(minutes=30)))
    workspace.clock.advance(3600)
    key_id = ring.signer("bundle").key_id
    signing_keys.revoke(key_id, "leaked")
    for folder, subject in ((before, "pets@3"), (after, "pets@4"), (made_up, "pets@5")):
        verify_folder(folder, ring.public_keys("bundle"), subject=subject)
    with pytest.raises(RequestError, match="revoked as of 2026-11-23T14:00"):
        signing_keys.revoke(key_id, "again")
    done = signing_keys.revoke(key_id, "earlier than we thought", stolen)
    assert done.successor is None
    verify_folder(before, ring.public_keys("bundle"), subject="pets@3")
    assert "earlier than we thought" in refused(after, ring, "pets@4")
    assert "earlier than we thought" in refused(made_up, ring, "pets@5")


def test_a_record_that_was_changed_in_the_log_shows_nothing(
    workspace: Workspace, tmp_path: Path, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    from sqlalchemy import text

    folder = write_signed(tmp_path / "pets", FILES, "pets@3", ring)
    log_model(workspace, "pets@3", "0" * 64)
    with workspace.database.read() as connection:
        (row,) = repository.read_rows(connection)
    forged = row.record.replace(b"0" * 64, _digest(FILES).encode())
    workspace.database.write(
        lambda connection: (
            connection.execute(
                text("UPDATE log_leaves SET record = :record"), {"record": forged}
            ).rowcount
        )
    )
    workspace.clock.advance(1)
    signing_keys.revoke(ring.signer("bundle").key_id, "leaked")
    assert "nothing here shows" in refused(folder, ring)


def test_documents_that_a_revoked_key_signed_are_believed_where_the_log_had_their_digest_before(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    signer = ring.signer("receipt")

    def log(kind: str, record: dict[str, Any]) -> None:
        workspace.database.write(lambda connection: append(connection, kind, record))

    def opened(name: str, document: Any, **changes: Any) -> bytes:
        """As if signed with the stolen key: a document beside the digest that belongs to it."""
        digest = {"sha256": sha256_hex(canonical_json(document))}
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": digest}],
            "predicateType": "urn:mintage:invoice:v1",
            "predicate": document | changes,
        }
        envelope = sign_envelope(canonical_json(statement), PAYLOAD_TYPE, signer)
        return open_envelope(envelope, PAYLOAD_TYPE, ring.public_keys("receipt"))

    plan = {"name": "gold", "version": 2, "created_at": workspace.now(), "price": "0.02"}
    invoices = [{"number": f"INV-{number}", "total": str(number)} for number in range(3)]
    log("plan.set", plan)
    for invoice in invoices[:2]:
        digest = sha256_hex(canonical_json(invoice))
        log("invoice.issued", {"number": invoice["number"], "sha256": digest})
        log("usage", {"recorded_at": workspace.now()})
        workspace.clock.advance(3600)
    signing_keys.revoke(signer.key_id, "leaked")
    assert opened("plan/gold@2", plan)
    assert opened("invoice/INV-1", invoices[1])
    for name, document, changes in (
        ("invoice/INV-2", invoices[2], {}),
        ("invoice/INV-0", invoices[1], {}),
        ("invoice/INV-1", invoices[1], {"total": "9999"}),
        ("plan/gold@3", plan, {}),
    ):
        with pytest.raises(SignatureMismatch, match="nothing here shows"):
            opened(name, document, **changes)
    # As of a moment between the two: the second is not shown to have been there by then.
    signing_keys.revoke(signer.key_id, "earlier", workspace.clock.now() - timedelta(minutes=90))
    assert opened("plan/gold@2", plan)
    assert opened("invoice/INV-0", invoices[0])
    with pytest.raises(SignatureMismatch, match="earlier"):
        opened("invoice/INV-1", invoices[1])


def test_a_receipt_by_a_revoked_key_is_refused_with_what_to_do(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    envelope = sign_envelope(b'{"price":"0.02"}', "application/json", ring.signer("receipt"))
    signing_keys.revoke(ring.signer("receipt").key_id, "leaked")
    with pytest.raises(SignatureMismatch, match="nothing here shows") as caught:
        open_envelope(envelope, "application/json", ring.public_keys("receipt"))
    assert "where it is fetched again" in caught.value.remedy


def test_what_cannot_be_revoked_says_why_and_changes_nothing(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    key_id = ring.signer("bundle").key_id
    tomorrow = workspace.clock.now() + timedelta(days=1)
    wrong: list[tuple[type[MintageError], str, str, datetime | None]] = [
        (ConfigError, "abc", "leaked", None),
        (RequestError, "0" * 64, "leaked", None),
        (ConfigError, key_id, " ", None),
        (ConfigError, key_id, "x" * 501, None),
        (ConfigError, key_id, "leaked\x1b[2J", None),
        (ConfigError, key_id, "leaked", tomorrow),
    ]
    for error, named, reason, at in wrong:
        with pytest.raises(error):
            signing_keys.revoke(named, reason, at)
    assert leaves(workspace) == []
    assert ring.signer("bundle").key_id == key_id


def test_a_revoked_key_that_is_laid_back_signs_nothing_and_stops_no_verification(
    workspace: Workspace, tmp_path: Path, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    folder = write_signed(tmp_path / "pets", FILES, "pets@3", ring)
    log_model(workspace, "pets@3", _digest(FILES))
    path = workspace.key_folder / "bundle.pem"
    kept = path.read_bytes()
    workspace.clock.advance(1)
    signing_keys.revoke(ring.signer("bundle").key_id, "leaked")
    path.write_bytes(kept)  # as an old backup of the keys would
    fresh = KeyRing(workspace.key_folder)
    with pytest.raises(TrustError, match="was revoked, and nothing is signed with it") as caught:
        fresh.signer("bundle")
    assert "signing-key rotate bundle" in caught.value.remedy
    verify_folder(folder, fresh.public_keys("bundle"), subject="pets@3")
    signing_keys_of(workspace, fresh).rotate("bundle")
    assert fresh.signer("bundle").sign(b"data")


def test_a_key_laid_in_anothers_place_by_hand_leaves_the_other_believed(
    workspace: Workspace, tmp_path: Path, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    folder = write_signed(tmp_path / "pets", FILES, "pets@3", ring)
    signing_keys.rotate("bundle")
    (workspace.key_folder / "bundle.pem").unlink()
    fresh = KeyRing(workspace.key_folder)
    made = fresh.signer("bundle").key_id  # lost, so another is made, as before there was a record
    again = signing_keys_of(workspace, fresh)
    assert [each.key.key_id for each in again.list() if each.is_current] == [made]
    verify_folder(folder, fresh.public_keys("bundle"), subject="pets@3")


def test_a_former_key_that_somebody_took_away_hinders_no_rotation(
    workspace: Workspace, ring: KeyRing, signing_keys: SigningKeys
) -> None:
    ring.signer("bundle")
    signing_keys.rotate("bundle")
    ring.path("bundle").unlink()
    again = signing_keys_of(workspace, KeyRing(workspace.key_folder))
    assert again.rotate("bundle").key.key.key_id == KeyRing(ring.folder).signer("bundle").key_id


@pytest.mark.parametrize("name", ["signing-keys.json", "shown.json"])
@pytest.mark.parametrize("junk", [b"", b"[]", b"{", b'{"keys":3}', b"\xff"])
def test_a_record_that_was_cut_short_or_edited_is_named(
    ring: KeyRing, signing_keys: SigningKeys, name: str, junk: bytes
) -> None:
    signing_keys.revoke(ring.signer("bundle").key_id, "leaked")
    path = ring.folder / name
    path.write_bytes(junk)
    with pytest.raises(TrustError, match=name) as caught:
        KeyRing(ring.folder).public_keys("bundle")
    assert "backup" in caught.value.remedy


# A model of what must hold, over random histories.


@dataclass
class _Believed:
    """What the model knows of a signed thing: by which key, and since when it is on the log."""

    signature: bytes
    subject: str
    key_id: str
    logged_at: str | None


@dataclass
class _Model:
    """The rules, as simply as they can be said."""

    revoked: dict[str, str] = field(default_factory=dict)
    things: list[_Believed] = field(default_factory=list)

    def believes(self, thing: _Believed) -> bool:
        moment = self.revoked.get(thing.key_id)
        return moment is None or (thing.logged_at is not None and thing.logged_at < moment)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sign", "sign and log", "rotate", "revoke", "publish"]),
        st.integers(0, 10_000),  # seconds that pass before it
        st.integers(0, 20_000),  # how long ago the key leaked
        st.integers(0, 9),  # which of the keys
    ),
    min_size=4,
    max_size=14,
)
_numbers = iter(range(1, 1_000_000))


@sqlite_alone
@settings(max_examples=int(os.environ.get("MINTAGE_ROUNDS", "10")) * 3, deadline=None)
@given(steps=_STEPS)
def test_any_history_of_rotations_and_revocations_believes_what_the_rules_say(
    tmp_path_factory: pytest.TempPathFactory, database_url: object, steps: list[Any]
) -> None:
    clock = ManualClock()
    with Workspace(tmp_path_factory.mktemp("history"), clock) as workspace:
        ring = KeyRing(workspace.key_folder, clock)
        signing_keys, model = signing_keys_of(workspace, ring), _Model()
        first = ring.signer("bundle").key_id
        for step, seconds, ago, which in steps:
            clock.advance(seconds + 0.5)
            if step.startswith("sign"):
                subject = f"pets@{next(_numbers)}"
                logs = step == "sign and log"
                signer = ring.signer("bundle")
                logged = str(clock) if logs else None
                signature = sign_files(FILES, subject, signer)
                model.things.append(_Believed(signature, subject, signer.key_id, logged))
                if logs:
                    log_model(workspace, subject, _digest(FILES))
            elif step == "rotate":
                signing_keys.rotate("bundle")
            elif step == "publish":
                signing_keys.publish()
            else:
                listed = [each for each in signing_keys.list() if each.role == "bundle"]
                chosen = listed[which % len(listed)].key.key_id
                at = clock.now() - timedelta(seconds=ago)
                known = model.revoked.get(chosen)
                if known is not None and known <= timestamp(at):
                    with pytest.raises(RequestError):
                        signing_keys.revoke(chosen, "leaked", at)
                else:
                    signing_keys.revoke(chosen, "leaked", at)
                    model.revoked[chosen] = timestamp(at)
            assert ring.signer("bundle").key_id not in model.revoked
        fresh = KeyRing(workspace.key_folder, clock)
        assert fresh.signer("bundle").key_id == ring.signer("bundle").key_id
        keys = fresh.public_keys("bundle")
        assert first in {key.key_id for key in keys}
        for thing in model.things:
            try:
                verify_files(FILES, thing.signature, keys, subject=thing.subject)
                believed = True
            except SignatureMismatch:
                believed = False
            assert believed == model.believes(thing), thing
