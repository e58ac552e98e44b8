"""The list of a publisher's keys: signed by its root, never older, followed by who verifies."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ManualClock
from tests.trust.conftest import FILES, write_signed
from tests.trust.test_rotation import _digest, leaves, signing_keys_of

from mintage.core.canonical import canonical_json
from mintage.core.errors import ConfigError, DataError, MintageError, SignatureMismatch, TrustError
from mintage.store.workspace import Workspace
from mintage.trust.audit import append
from mintage.trust.dsse import sign_envelope
from mintage.trust.key_list import PAYLOAD_TYPE, KeyList, ListedKey, open_list, sign_list
from mintage.trust.keys import KeyRing
from mintage.trust.rotation import SigningKeys, read_root
from mintage.trust.signing import verify_folder
from mintage.trust.trusted import TrustedKeys, read_key_list


@dataclass
class Publisher:
    """Whoever signs, in a workspace of their own."""

    workspace: Workspace
    ring: KeyRing
    keys: SigningKeys


@pytest.fixture
def publisher(tmp_path: Path, clock: ManualClock):
    with Workspace(tmp_path / "publisher", clock) as workspace:
        ring = KeyRing(workspace.key_folder, clock)
        ring.signer("bundle")
        yield Publisher(workspace, ring, signing_keys_of(workspace, ring))


@pytest.fixture
def ring(workspace: Workspace, clock: ManualClock) -> KeyRing:
    return KeyRing(workspace.key_folder, clock)


@pytest.fixture
def believed(workspace: Workspace, ring: KeyRing, publisher: Publisher) -> TrustedKeys:
    """Somebody who trusts the publisher's root and nothing else."""
    found = TrustedKeys(workspace.database, ring, workspace.now)
    found.add(publisher.keys.root(), ["root"])
    return found


def checked(folder: Path, ring: KeyRing) -> str:
    return verify_folder(folder, ring.public_keys("bundle"), subject="pets@3").key_id


def test_whoever_trusts_the_root_follows_the_list(
    tmp_path: Path, publisher: Publisher, believed: TrustedKeys, ring: KeyRing, workspace: Workspace
) -> None:
    old = write_signed(tmp_path / "old", FILES, "pets@3", publisher.ring)
    with pytest.raises(SignatureMismatch):
        checked(old, ring)
    taken = believed.update(publisher.keys.publish()[1])
    assert (taken.is_new, taken.keys.version, len(taken.keys.keys)) == (True, 1, 1)
    first = checked(old, ring)

    publisher.keys.rotate("bundle")
    new = write_signed(tmp_path / "new", FILES, "pets@3", publisher.ring)
    with pytest.raises(SignatureMismatch):
        checked(new, ring)
    content = publisher.keys.publish()[1]
    assert believed.update(content).keys.version == 2
    assert checked(new, ring) != first == checked(old, ring)
    assert ring.public_keys("data") == ring.public_keys("root")[1:] == ()

    assert not believed.update(content).is_new
    kinds = [kind for kind, __ in leaves(workspace)]
    assert kinds == ["key.trusted", "keys.updated", "keys.updated"]
    published = [kind for kind, __ in leaves(publisher.workspace)]
    assert published == [
        "signing_key.made",
        "keys.published",
        "signing_key.rotated",
        "keys.published",
    ]


def test_what_a_revoked_key_signed_is_believed_only_where_it_was_imported_before(
    tmp_path: Path, publisher: Publisher, believed: TrustedKeys, ring: KeyRing, workspace: Workspace
) -> None:
    folder = write_signed(tmp_path / "pets", FILES, "pets@3", publisher.ring)
    never = write_signed(tmp_path / "never", {**FILES, "a": b"a"}, "pets@3", publisher.ring)
    believed.update(publisher.keys.publish()[1])
    record = {"name": "pets", "version": 3, "bundle_digest": _digest(FILES)}
    record["created_at"] = workspace.now()
    workspace.database.write(lambda connection: append(connection, "model.imported", record))
    workspace.clock.advance(60)
    publisher.keys.revoke(publisher.ring.signer("bundle").key_id, "leaked")
    workspace.clock.advance(3600)
    believed.update(publisher.keys.publish()[1])
    assert checked(folder, ring)
    with pytest.raises(SignatureMismatch, match=r"leaked.*nothing here shows"):
        checked(never, ring)
    # Nor does it help to trust that very key by itself.
    believed.add(next(key for key in ring.public_keys("bundle") if key.revocation), ["bundle"])
    with pytest.raises(SignatureMismatch, match=r"leaked.*nothing here shows"):
        checked(never, ring)


def test_a_list_has_no_say_in_our_own_keys_nor_in_what_another_list_says(
    tmp_path: Path,
    clock: ManualClock,
    publisher: Publisher,
    believed: TrustedKeys,
    ring: KeyRing,
    workspace: Workspace,
) -> None:
    ours = write_signed(tmp_path / "ours", FILES, "pets@3", ring)
    theirs = write_signed(tmp_path / "theirs", FILES, "pets@3", publisher.ring)
    believed.update(publisher.keys.publish()[1])
    with Workspace(tmp_path / "hostile", clock) as elsewhere:
        hostile = KeyRing(elsewhere.key_folder, clock)
        named = [
            ListedKey("bundle", each.signer("bundle").public, str(clock), str(clock), at, "mine")
            for each in (ring, publisher.ring)
            for at in ["2020-01-01T00:00:00.000000Z"]
        ]
        content = sign_list(KeyList(1, str(clock), tuple(named)), hostile.signer("root"))
        believed.add(hostile.signer("root").public, ["root"])
    believed.update(content)
    assert checked(ours, ring) == ring.signer("bundle").key_id
    assert checked(theirs, ring) == publisher.ring.signer("bundle").key_id
    # What the list says of our own key changes nothing of what we say of it ourselves, either.
    workspace.clock.advance(1)
    stolen = ring.signer("bundle")
    signing_keys_of(workspace, ring).revoke(stolen.key_id, "leaked")
    with pytest.raises(SignatureMismatch, match="leaked"):
        checked(ours, ring)


def test_an_older_list_is_refused_even_where_the_newer_file_is_gone(
    publisher: Publisher, believed: TrustedKeys, ring: KeyRing
) -> None:
    old = publisher.keys.publish()[1]
    believed.update(old)
    publisher.keys.revoke(publisher.ring.signer("bundle").key_id, "leaked")
    new = publisher.keys.publish()[1]
    believed.update(new)
    with pytest.raises(SignatureMismatch, match="version 1, and version 2 was taken") as caught:
        believed.update(old)
    assert "revoked" in caught.value.message
    root = publisher.keys.root()
    ring.list_path(root).unlink()
    with pytest.raises(SignatureMismatch, match="version 2 was taken"):
        believed.update(old)
    believed.remove(root.key_id)
    believed.add(root, ["root"])
    with pytest.raises(SignatureMismatch, match="version 2 was taken"):
        believed.update(old)
    assert not believed.update(new).is_new
    assert ring.list_path(root).read_bytes() == new


def test_a_list_by_another_root_or_by_none_that_is_trusted_is_refused(
    tmp_path: Path, clock: ManualClock, publisher: Publisher, believed: TrustedKeys, ring: KeyRing
) -> None:
    with Workspace(tmp_path / "other", clock) as workspace:
        other = KeyRing(workspace.key_folder)
        other.signer("bundle")
        content = signing_keys_of(workspace, other).publish()[1]
    with pytest.raises(SignatureMismatch, match="This list of keys is not believed") as caught:
        believed.update(content)
    assert "--role root" in caught.value.remedy
    # A key that is trusted for bundles is no root.
    believed.remove(publisher.keys.root().key_id)
    believed.add(publisher.ring.signer("bundle").public)
    with pytest.raises(ConfigError, match="No root key is trusted") as refused:
        believed.update(publisher.keys.publish()[1])
    assert "--role root" in refused.value.remedy
    assert ring.lists() == []


def test_every_byte_of_a_list_counts_and_none_can_be_added_or_left_out(
    publisher: Publisher, believed: TrustedKeys, ring: KeyRing
) -> None:
    publisher.keys.rotate("bundle")
    content = publisher.keys.publish()[1]
    changed = [
        *(
            content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
            for at in range(len(content))
            for flip in (1, 0x20)
        ),
        *(content[:length] for length in range(0, len(content), 97)),
        content + b"\n",
        content.rstrip(),
        b" " + content,
        b"[" * 100_000,
        b"\xff" * 100,
    ]
    root = publisher.keys.root()
    for each in changed:
        with pytest.raises((DataError, SignatureMismatch)):
            open_list(each, [root])
    for each in changed[:: len(changed) // 20]:
        with pytest.raises((DataError, SignatureMismatch)):
            believed.update(each)
    assert believed.update(content).is_new


def _resigned(publisher: Publisher, change: Any) -> bytes:
    """A list with other content, by the very root: as a mistake of ours would make it."""
    content = publisher.keys.publish()[1]
    statement = json.loads(base64.b64decode(json.loads(content)["payload"]))
    change(statement)
    root = publisher.ring.signer("root")
    return canonical_json(sign_envelope(canonical_json(statement), PAYLOAD_TYPE, root)) + b"\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].update(version="2"),
        lambda s: s["predicate"].update(version=-1),
        lambda s: s["predicate"].update(more=1),
        lambda s: s["predicate"].update(issued_at="yesterday"),
        lambda s: s["predicate"].pop("keys"),
        lambda s: s["predicate"]["keys"].append(s["predicate"]["keys"][0]),
        lambda s: s["predicate"]["keys"][0].update(key_id="0" * 64),
        lambda s: s["predicate"]["keys"][0].update(role="root"),
        lambda s: s["predicate"]["keys"][0].update(role="log"),
        lambda s: s["predicate"]["keys"][0].update(algorithm="RSA"),
        lambda s: s["predicate"]["keys"][0].update(pem="nonsense"),
        lambda s: s["predicate"]["keys"][0].update(pem=7),
        lambda s: s["predicate"]["keys"][0].update(valid_from="2026-11-27"),
        lambda s: s["predicate"]["keys"][0].update(reason="for fun"),
        lambda s: s["predicate"]["keys"][0].pop("revoked_at"),
        lambda s: s["subject"].clear(),
        lambda s: s.update(predicateType="https://model_signing/signature/v1.0"),
        lambda s: s.clear(),
    ],
)
def test_a_list_that_says_what_cannot_be_is_refused_though_its_root_signed_it(
    publisher: Publisher, change: Any
) -> None:
    with pytest.raises(SignatureMismatch, match="list of keys"):
        open_list(_resigned(publisher, change), [publisher.keys.root()])


def test_a_stored_list_that_was_edited_is_named_and_taken_again(
    publisher: Publisher, believed: TrustedKeys, ring: KeyRing
) -> None:
    content = publisher.keys.publish()[1]
    believed.update(content)
    path = ring.list_path(publisher.keys.root())
    for junk in (content[:-20], b"", content.replace(b"payload", b"pay1oad", 1)):
        path.write_bytes(junk)
        with pytest.raises(TrustError, match=path.name) as caught:
            ring.public_keys("bundle")
        assert "trust update" in caught.value.remedy
        assert not believed.update(content).is_new
        assert len(ring.public_keys("bundle")) == 1


def test_what_is_no_list_is_refused_with_its_path(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * ((1 << 20) + 1))
    refused: dict[Path, type[MintageError]] = {
        tmp_path: DataError,
        tmp_path / "none.json": DataError,
        large: DataError,
    }
    for path, error in refused.items():
        with pytest.raises(error, match=str(path)):
            read_key_list(path)


def test_the_root_may_lie_elsewhere_and_is_asked_for_only_where_something_changed(
    tmp_path: Path, publisher: Publisher
) -> None:
    keys = publisher.keys
    root = keys.root()
    first = keys.publish()
    offline = tmp_path / "root.pem"
    publisher.ring.path("root").rename(offline)
    publisher.ring.look_again()
    assert keys.root() == root
    assert keys.publish() == first
    keys.rotate("bundle")
    keys.revoke(publisher.ring.signer("bundle").key_id, "leaked")  # these need no root
    with pytest.raises(ConfigError, match="is not on this machine") as caught:
        keys.publish()
    assert "--root-key" in caught.value.remedy
    assert not publisher.ring.path("root").exists()
    other = KeyRing(tmp_path / "other")
    with pytest.raises(TrustError, match="not the root key that signed the list"):
        keys.publish(other.signer("root"))
    listed, content = keys.publish(read_root(offline))
    assert listed.version == 2
    assert open_list(content, [root])[0] == listed
    offline.chmod(0o644)
    with pytest.raises(TrustError, match="open to others"):
        read_root(offline)
    with pytest.raises(ConfigError, match="no file"):
        read_root(tmp_path / "none.pem")


def test_the_same_keys_are_one_list_however_often_it_is_published(publisher: Publisher) -> None:
    first = publisher.keys.publish()
    publisher.workspace.clock.advance(3600)
    assert publisher.keys.publish() == first
    (publisher.workspace.key_folder / "keys.json").unlink()
    again, __ = publisher.keys.publish()
    assert again.version == 2


def test_whoever_takes_the_list_sees_that_the_logs_former_key_vouches_for_the_new_one(
    publisher: Publisher, believed: TrustedKeys
) -> None:
    publisher.ring.signer("log")
    publisher.keys.rotate("log")
    listed, content = publisher.keys.publish()
    assert listed.of("log")[0].switch
    assert believed.update(content).is_new

    def forge(statement: Any) -> None:
        log = [each for each in statement["predicate"]["keys"] if each["role"] == "log"]
        note = log[1]["switch"]
        log[1]["switch"] = note[: note.rindex("—")]

    publisher.keys.rotate("log")
    publisher.keys.publish()
    with pytest.raises(SignatureMismatch, match="not signed by the key"):
        believed.update(_resigned(publisher, forge))
